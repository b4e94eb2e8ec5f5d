"""The entropy page, from top to bottom."""

from core.ui import shell

shell.boot()

from core.experiments.entropy import EXPERIMENT
from core.ui import entropy as sections
from core.ui import page, present
from core.ui.view import View


def body(view: View) -> None:
    if shell.is_presenting():
        present.show(view, sections.own_figures)
        return
    page.header(view)
    sections.hero(view)
    page.what_differs(view)
    page.mark_settled(view)
    sections.effects(view)
    sections.reliability(view)
    sections.table(view)
    sections.depth(view)


page.show(EXPERIMENT, body, sections.own_figures)
