"""The sections of the overfitting page."""

from __future__ import annotations

import streamlit as st

from core.charts import curves
from core.charts import series as series_chart
from core.charts.curves import Axes
from core.charts.effects import forest
from core.comparison import GAP, label
from core.datasets import find
from core.experiments.overfitting import EXPERIMENT, EXPLAINED, OverfittingSettings
from core.i18n import _
from core.ui import figures, folds, inside, links, teaching, training
from core.ui.services import services
from core.ui.tables import draw_arm_table
from core.ui.view import View, escape
from core.work import MAX_MULTIPLICATIONS

COLUMNS = 3
LIVE_CEILING = 1.6  # of a live chart at least: with few classes an overfitted net goes well above the constant answer


def hero(view: View) -> None:
    """Draw the validation curves of all arms; the axes stand still while the study runs."""
    if not len(view.shown.outcomes):
        st.info(_("Here the validation loss of every arm will be drawn over the epochs, as soon as it is trained."))
        return
    axes = None
    if view.is_live and view.is_own:
        base = view.study.base
        high = max(1.15 * view.experiment.loss_ceiling(base), LIVE_CEILING)
        axes = Axes(view.settings.epochs, 0.0, high)  # type: ignore[attr-defined]
    figure = curves.hero(
        view.shown, view.arm_names, axes=axes, smoothing=view.settings.smoothing  # type: ignore[attr-defined]
    )  # fmt: skip
    figures.draw(figure, "hero", names=view.arm_names, is_live=axes is not None)


def effects(view: View) -> None:
    """Draw the paired differences to the baseline."""
    at = view.settled_settings.moment  # type: ignore[attr-defined]
    figure = forest(view.settled, view.arm_names, at=at)
    if len(figure.table):
        figures.draw(figure, "effects")


def panels(view: View) -> None:
    """Draw a panel an arm, its two splits and the gap between them, on the same axes."""
    if not len(view.settled.outcomes):
        return
    st.subheader(curves.panels_title(view.settled), anchor=False)
    st.caption(
        _(
            "Solid: validation. Dotted: training, evaluated like validation, without dropout or penalty. Shaded: the"
            " gap; it is below zero where wrong labels make the training points harder than the validation points."
        )
    )
    axes = curves.panel_axes(view.settled)
    present = set(view.settled.outcomes["arm"])
    arms = [arm for arm in view.settled.study.arms if arm.name in present]
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                figure = curves.panel(view.settled, arm.name, view.arm_names, axes)
                figures.draw(figure, f"panel.{arm.name}", heading=False)


def table(view: View) -> None:
    """Draw the table of arms."""
    if not len(view.settled.outcomes):
        return
    st.subheader(_("All arms in numbers"), anchor=False)
    dataset = find(view.settled_settings.dataset)  # type: ignore[attr-defined]
    score = _("Accuracy") if dataset.classes else _("R²")
    draw_arm_table(view.settled, score, view.settled_settings.moment)  # type: ignore[attr-defined]


def depth(view: View) -> None:
    """Offer the rest in tabs; only the open one is computed."""
    sections = {
        _("Along one setting"): along_setting,
        _("Cross-validation"): folds.cross_validation,
        _("Boundaries"): inside.boundaries,
        _("Weights"): inside.weights,
        _("The loss taken apart"): loss_parts,
        _("Predict first"): teaching.tasks,
        _("Wrong and right"): teaching.lessons,
        _("How it is measured"): method,
    }
    for tab, draw in zip(
        st.tabs(list(sections), on_change="rerun", key="tabs.overfitting"), sections.values(), strict=True
    ):
        if tab.open:
            with tab:
                draw(view)


def along_setting(view: View) -> None:
    """Repeat the comparison along a strength, the number of training points or the size of the net."""
    settings: OverfittingSettings = view.settings  # type: ignore[assignment]
    control = settings.controls()["along"]
    if st.session_state[links.widget_key(EXPERIMENT, "along")] != settings.along:
        st.rerun()  # chosen in this tab, whose fragment ran alone: the settings are read by the whole page
    st.session_state["overfitting.along.tab"] = settings.along
    st.segmented_control(
        _(control.label),
        list(control.options),  # type: ignore[attr-defined]
        format_func=lambda name: _(control.options[name]),  # type: ignore[attr-defined]
        key="overfitting.along.tab",
        on_change=_choose_along,
        required=True,
    )
    series = EXPERIMENT.series(settings)
    if EXPERIMENT.work(series.runs.values()) > MAX_MULTIPLICATIONS:
        st.info(_("This series would take more than half an hour: choose fewer epochs, seeds, points or units."))
        return
    comparisons = [services().comparison(study) for _value, study in series.points]
    missing = {digest for comparison in comparisons for digest in comparison.missing}
    training.controls(view, list(series.runs.values()), missing, "overfitting.series", is_beside=True)
    if not any(len(comparison.outcomes) for comparison in comparisons):
        st.caption(_("Here the validation loss will be drawn along the setting, point by point as they are trained."))
        return
    left, right = st.columns([3, 2])
    with left:
        figure = series_chart.along(series, comparisons, view.arm_names, at=settings.moment)  # type: ignore[arg-type]
        figures.draw(figure, "along", names=view.arm_names)
    with right:
        figures.draw(
            series_chart.along(series, comparisons, view.arm_names, GAP, settings.moment),  # type: ignore[arg-type]
            "along.gap",
            names=view.arm_names,
        )
    st.caption(
        _(
            "The point with the lowest validation loss was chosen on the very data that it is measured on, so its"
            " value is a little too good; neighbouring points within each other's bands are not told apart."
        )
    )


def _choose_along() -> None:
    chosen = st.session_state["overfitting.along.tab"]
    st.session_state[links.widget_key(EXPERIMENT, "along")] = chosen


def loss_parts(view: View) -> None:
    """Draw data loss, penalty and objective of each penalized arm."""
    rows = view.settled.outcomes
    if not len(rows):
        return
    arms = [a for a in view.settled.study.arms if rows.loc[rows["arm"] == a.name, "penalty"].max() > 0]
    st.markdown(
        _(
            "L1 and L2 add a penalty to what is minimized. Keras reports the sum, in `loss` and in `val_loss` alike, so"
            " two arms' reported losses cannot be compared: this page compares the data loss alone."
        )
    )
    if not arms:
        st.caption(_("No arm of this comparison adds a penalty."))
    for start in range(0, len(arms), 2):
        for column, arm in zip(st.columns(2), arms[start : start + 2], strict=False):
            with column:
                figures.draw(curves.loss_parts(view.settled, arm.name), f"parts.{arm.name}")


def method(view: View) -> None:
    """Explain the protocol, then every remedy of this comparison with its formula."""
    st.markdown(measured(view))
    st.markdown(f"**{_('The remedies of this comparison')}**")
    for arm in view.settled.study.treatments:
        sentence, formula = EXPLAINED[arm.name]
        st.markdown(f"- **{escape(label(arm))}.** {_(sentence)}" + f"  \n  ${formula}$")


def measured(view: View) -> str:
    """Explain the protocol of the page."""
    dataset = find(view.settled_settings.dataset)  # type: ignore[attr-defined]
    return _(
        "- **Paired seeds.** For each seed every arm gets the same split, the same wrong labels, the same initial"
        " weights and the same batch order; only the regularizer differs. Differences are taken seed by seed.\n"
        "- **Interval.** 95% Student t interval of the paired differences, each arm by itself. It covers the spread"
        " over seeds, not the finite validation split. With one seed there is none, and no verdict.\n"
        "- **Losses.** Data losses, without the penalty, evaluated in inference mode on the same weights for both"
        " splits after each epoch.\n"
        "- **Splits.** {test} test points are put away, the same for all seeds, and no run of this page touches them."
        " {stopping} points steer early stopping and nothing else, so that it is judged on data it has not seen."
        " Validation is what the curves show.\n"
        "- **Wrong labels** are in the training split only.\n"
        "- **Collapsed** means a training data loss above 95% of the best constant answer's; **diverged**, a loss"
        " that left the finite or grew a hundredfold."
    ).format(test=dataset.test, stopping=dataset.stopping)
