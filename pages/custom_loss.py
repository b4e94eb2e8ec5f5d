"""The custom loss page, from top to bottom."""

from core.ui import shell

shell.boot()

from core.experiments.custom_loss import EXPERIMENT
from core.ui import custom_loss as sections
from core.ui import page, present
from core.ui.view import View


def body(view: View) -> None:
    if shell.is_presenting():
        present.show(view, sections.own_figures)
        return
    page.header(view)
    sections.troubles(view)
    sections.hero(view)
    page.what_differs(view)
    page.mark_settled(view)
    sections.effects(view)
    sections.fits(view)
    sections.cross(view)
    sections.table(view)
    sections.depth(view)


page.show(EXPERIMENT, body, sections.own_figures)
