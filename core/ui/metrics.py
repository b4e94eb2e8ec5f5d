"""The sections of the metrics page."""

from __future__ import annotations

import streamlit as st

from core.charts import curves
from core.charts import metrics as charts
from core.charts.curves import Axes
from core.charts.figure import Figure
from core.comparison import Comparison, label, lowered
from core.i18n import _, number, percent
from core.metrics.scores import Scores, change_in_words, largest, scores_of
from core.ui import figures, metric_lessons, teaching, thresholds
from core.ui.tables import draw_arm_table
from core.ui.view import View, escape

ROOM = 2.0  # times the baseline's highest loss after training began, as far as curves are shown
LIVE_CEILING = 0.8  # of a live chart at least: a net that learns wrong labels by heart goes well above the start


def hero(view: View) -> None:
    """Draw the validation loss of all arms; the axes stand still while the study runs."""
    if not len(view.shown.outcomes):
        st.info(_("Here the validation loss of every arm will be drawn over the epochs, as soon as it is trained."))
        return
    axes = late_axes(view.shown)
    is_live = view.is_live and view.is_own
    if is_live:
        high = max(1.15 * view.experiment.loss_ceiling(view.study.base), LIVE_CEILING)
        axes = Axes(view.settings.epochs, 0.0, high)  # type: ignore[attr-defined]
    figure = curves.hero(
        view.shown, view.arm_names, axes=axes, smoothing=view.settings.smoothing  # type: ignore[attr-defined]
    )  # fmt: skip
    figures.draw(figure, "hero", names=view.arm_names, is_live=is_live)


def late_axes(comparison: Comparison) -> Axes:
    """Choose domains that show the baseline well: class weights make the loss leap in the first epochs."""
    axes = curves.axes_of(comparison)
    rows = curves.means(comparison, "validation_loss")
    own = rows[rows["arm"] == comparison.baseline.name]["raw"]
    if not len(own):
        return axes
    high = max(ROOM * float(own.iloc[1:].max()), 1.1 * float(rows.groupby("arm")["raw"].last().max()))
    return Axes(axes.epochs, axes.low, max(axes.low + 1e-6, min(axes.high, high)))


def by_metric(view: View) -> None:
    """Draw every metric of every arm against the baseline, and say what the contradictions mean."""
    scores = scores_of(view.settled)
    if not scores.deltas:
        return
    figures.draw(view.settled.remember(("heat",), lambda: charts.heat_map(scores)), "heat")
    st.markdown(view.settled.remember(("dispute",), lambda: dispute(scores)))
    tests = sum(delta.interval.n > 1 for delta in scores.deltas.values())
    if tests:
        st.caption(
            _(
                "{tests} intervals of 95%: about {chance} of them would exclude zero by chance alone, so a single"
                " coloured cell is weak evidence; several metrics that move together are not independent either."
            ).format(tests=tests, chance=number(0.05 * tests, 2))
        )


def dispute(scores: Scores) -> str:
    """Explain the most disputed arm: what it gains, what it loses, and who does not see it."""
    arm = scores.most_disputed
    if all(delta.interval.n < 2 for delta in scores.deltas.values()):
        return ""
    if arm is None:
        return _(
            "No arm is better by one metric and worse by another here. Where positives are rarer or labels wrong, they"
            " part: try another preset."
        )
    baseline = scores.comparison.baseline.name
    errors = {}
    for name in (baseline, arm.name):
        own = [counts for (other, _seed), counts in scores.counts.items() if other == name]
        errors[name] = [sum(c.fn for c in own) / len(own), sum(c.fp for c in own) / len(own)]
    (missed, alarms), (missed_now, alarms_now) = errors[baseline], errors[arm.name]
    up, down = largest(scores.better(arm)), largest(scores.worse(arm))
    text = _(
        "**{arm}**, on average over seeds: {missed} missed positives become {missed_now}, and {alarms} false alarms"
        " become {alarms_now}. Better by {up}, which forgives: {up_forgives} Worse by {down}, which forgives:"
        " {down_forgives}"
    )
    return text.format(
        arm=escape(label(arm)),
        missed=number(missed),
        missed_now=number(missed_now),
        alarms=number(alarms),
        alarms_now=number(alarms_now),
        up=change_in_words(up),
        up_forgives=lowered(_(up.metric.forgives)),
        down=change_in_words(down),
        down_forgives=lowered(_(down.metric.forgives)),
    )


def own_figures(view: View) -> dict[str, Figure]:
    """Draw what leaves this page beside curves and effects: the heat map of all metrics."""
    scores = scores_of(view.shown)
    return {"metrics": view.shown.remember(("heat",), lambda: charts.heat_map(scores))} if scores.deltas else {}


def table(view: View) -> None:
    """Draw the table of arms."""
    if not len(view.settled.outcomes):
        return
    st.subheader(_("All arms in numbers"), anchor=False)
    draw_arm_table(view.settled, _("Accuracy"), "last")


def depth(view: View) -> None:
    """Offer the rest in tabs; only the open one is computed."""
    sections = {
        _("Threshold and cost"): thresholds.explorer,
        _("Over epochs"): thresholds.over_epochs,
        _("Three ways to write one"): metric_lessons.ways,
        _("Your own metric"): metric_lessons.own,
        _("Predict first"): teaching.tasks,
        _("Wrong and right"): metric_lessons.lessons,
        _("Every metric"): metric_lessons.every_metric,
        _("How it is measured"): method,
    }
    for tab, draw in zip(
        st.tabs(list(sections), on_change="rerun", key="tabs.metrics"), sections.values(), strict=True
    ):
        if tab.open:
            with tab:
                draw(view)


def method(view: View) -> None:
    """Write down the protocol of the page."""
    st.markdown(measured(view))


def measured(view: View) -> str:
    """Explain the protocol of the page."""
    settings = view.settled_settings
    return _(
        "- **Paired seeds.** For each seed every arm gets the same split, the same wrong labels, the same initial"
        " weights and the same batch order; only the remedy differs. Differences are taken seed by seed.\n"
        "- **Splits.** Every split has the same share of positives, {share}. 30% of the rows are test rows, the same"
        " for all seeds; 30% validate; 10% steer early stopping and nothing else; the rest trains.\n"
        "- **Metrics** are computed on the whole split from the predictions of the weights that a run ends with, never"
        " as a mean over batches. One that the data do not define is “undefined” and never 0; such pairs are left out"
        " and counted.\n"
        "- **Losses** in the curves are data losses without penalty and without class weights, in inference mode.\n"
        "- **Class weights** multiply the loss of a positive, in training only.\n"
        "- **Wrong labels** are in the training split only, the same share of each class."
    ).format(share=percent(settings.share))  # type: ignore[attr-defined]
