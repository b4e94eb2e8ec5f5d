"""The RNN page, from top to bottom."""

from core.ui import shell

shell.boot()

from core.experiments.rnn import EXPERIMENT
from core.ui import page, present, writing
from core.ui import rnn as sections
from core.ui.view import View


def body(view: View) -> None:
    if shell.is_presenting():
        present.show(view, sections.own_figures, [writing.screen])
        return
    page.header(view)
    sections.hero(view)
    writing.live(view)
    page.what_differs(view)
    page.mark_settled(view)
    writing.writing(view)
    sections.effects(view)
    sections.panels(view)
    sections.table(view)
    sections.depth(view)


page.show(EXPERIMENT, body, sections.own_figures)
