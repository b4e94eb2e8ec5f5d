"""The sections of the custom loss page."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.charts import curves
from core.charts import custom_loss as charts
from core.charts.curves import Axes
from core.charts.effects import forest
from core.comparison import label
from core.crosstable import BEST, TIED, CrossTable, cross_table
from core.experiments.custom_loss import RARE_NAMES, SETS, CustomLossSettings
from core.i18n import _, listing, ngettext, number
from core.scores import SCORES
from core.ui import figures
from core.ui.tables import draw_arm_table
from core.ui.view import View

COLUMNS = 3
MARKS = {BEST: "●", TIED: "○", "": ""}


def hero(view: View) -> None:
    """Draw the yardstick of all arms over epochs; the axes stand still while the study runs."""
    if not len(view.shown.outcomes):
        st.info(_("Here the validation loss of every arm will be drawn over the epochs, as soon as it is trained."))
        return
    settings: CustomLossSettings = view.settings  # type: ignore[assignment]
    axes = None
    if view.is_live and view.is_own:
        axes = Axes(settings.epochs, 0.0, 1.6 * view.experiment.loss_ceiling(view.study.base))
    figure = charts.hero(view.shown, view.arm_names, axes=axes, smoothing=settings.smoothing)
    figures.draw(figure, "hero", names=view.arm_names, is_live=axes is not None)


def settled_names(view: View) -> tuple[str, ...]:
    """List the arms that the settled comparison can have, for colours and dashes."""
    return view.experiment.names(view.settled_settings)


def effects(view: View) -> None:
    """Draw the paired differences to the baseline."""
    figure = forest(view.settled, settled_names(view), at=view.settled_settings.moment)  # type: ignore[attr-defined]
    if len(figure.table):
        figures.draw(figure, "effects")


def fits(view: View) -> None:
    """Draw the fits themselves where there is one input, and scikit-learn's beside them."""
    if not charts.has_fits(view.settled):
        return
    left, right = st.columns(2)
    with left:
        names = settled_names(view)
        figures.draw(charts.fits(view.settled, names), "fits", names=names)
    if len(charts.reference_scores(view.settled)):
        with right:
            figures.draw(charts.reference_fits(view.settled), "references", names=charts.REFERENCE_NAMES)


def cross(view: View) -> None:
    """Set every loss against every measure."""
    settings: CustomLossSettings = view.settled_settings  # type: ignore[assignment]
    table = view.settled.remember("cross", lambda: cross_table(view.settled, SCORES[settings.kind]))
    if not len(table.cells):
        return
    st.subheader(cross_title(table), anchor=False)
    frame = view.settled.remember("cross.frame", lambda: cross_frame(table, view))
    st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        alt=cross_title(table),
        column_config={_(score.label): st.column_config.TextColumn(help=_(score.help)) for score in table.measures},
    )
    words = _(
        "Means over seeds, on the validation split, of the weights a run ends with. ● best: ahead of every other loss"
        " beyond the 95% interval of their paired difference. ○ among the best: the lead is within the interval. With"
        " many columns a mark now and then is luck."
    )
    if settings.kind == "classification":
        words += " " + _("The rare class is {name}.").format(name=_(RARE_NAMES[settings.dataset]))
    st.caption(words)


def cross_title(table: CrossTable) -> str:
    """State who is best in how many measures, and who in none."""
    best, total = table.winners(), sum(1 for score in table.measures if score.sign)
    leaders = sorted((arm for arm in table.arms if best[arm.name]), key=lambda arm: -len(best[arm.name]))
    if not leaders:
        return _("Every loss has its measure, and here none is best by any of {total}.").format(total=total)
    parts = [
        ngettext("{arm} by {count} of {total} measures", "{arm} by {count} of {total} measures", total).format(
            arm=label(arm), count=len(best[arm.name]), total=total
        )
        for arm in leaders[:3]
    ]
    return _("Clearly best: {parts}.").format(parts=listing(parts))


def cross_frame(table: CrossTable, view: View) -> pd.DataFrame:
    """Write the table: a row an arm, then scikit-learn's regressions as a reference."""
    cells = table.cells.set_index(["arm", "measure"])
    rows = []
    for arm in table.arms:
        row = {_("Arm"): label(arm)}
        for score in table.measures:
            cell = cells.loc[(arm.name, score.name)]
            row[_(score.label)] = f"{number(cell['mean'])} {MARKS[cell['mark']]}".strip()
        rows.append(row)
    references = charts.reference_scores(view.settled)
    for method, own in references.groupby("method", sort=False):
        means = own.groupby("measure")["value"].mean()
        name = _("Reference: {name}").format(name=_(charts.REFERENCES[str(method)]))
        rows.append({_("Arm"): name, **{_(score.label): number(means[score.name]) for score in table.measures}})
    return pd.DataFrame(rows)


def panels(view: View) -> None:
    """Draw a panel an arm, its two splits and the gap between them, on the same axes."""
    if not len(view.settled.outcomes):
        return
    st.subheader(_("Training and validation, arm by arm"), anchor=False)
    st.caption(
        _(
            "Solid: validation. Dotted: training, in the same yardstick; outliers and wrong labels are in the training"
            " points, so a robust arm is worse there, and should be."
        )
    )
    axes, names = curves.panel_axes(view.settled), settled_names(view)
    present = set(view.settled.outcomes["arm"])
    arms = [arm for arm in view.settled.study.arms if arm.name in present]
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                figure = curves.panel(view.settled, arm.name, names, axes)
                figures.draw(figure, f"panel.{arm.name}", heading=False)


def table(view: View) -> None:
    """Draw the table of arms."""
    if not len(view.settled.outcomes):
        return
    settings: CustomLossSettings = view.settled_settings  # type: ignore[assignment]
    st.subheader(_("All arms in numbers"), anchor=False)
    score = _("Accuracy") if SETS[settings.dataset].classes else _("R²")
    draw_arm_table(view.settled, score, settings.moment)  # type: ignore[arg-type]
