"""The tabs of the metrics page on thresholds and epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.charts import epochs, thresholds
from core.comparison import Comparison, inline, label
from core.experiments.metrics import EXPERIMENT, MetricsSettings
from core.i18n import _, number
from core.metrics import METRICS, all_values, count
from core.metrics.scores import TEST, VALIDATION, Scores, scores_of
from core.metrics.thresholds import CostMatrix, best_threshold
from core.settings import Choice, Real, Text
from core.statistics import Interval, paired_interval
from core.study import Arm
from core.ui import figures, links
from core.ui.view import View, escape

TOLD = ("precision", "recall", "f1", "mcc")  # in the table of the explorer, before the cost


def mirror(view: View, field: str) -> None:
    """Draw a second widget for a setting, beside what it changes; the sidebar's and the link follow."""
    control = view.settings.controls()[field]
    own, key = links.widget_key(EXPERIMENT, field), f"metrics.{field}.tab"
    value = getattr(view.settings, field)
    if st.session_state.get(own, value) != value:
        st.rerun()  # chosen in a tab, whose fragment ran alone: the settings are read by the whole page
    st.session_state[key] = value
    shared: dict[str, Any] = {"key": key, "help": _(control.help), "on_change": _follow, "args": (field,)}
    match control:
        case Choice():
            options = control.options
            st.selectbox(_(control.label), list(options), format_func=lambda name: _(options[name]), **shared)
        case Real(marks=()):
            st.slider(_(control.label), control.low, control.high, step=0.01, **shared)
        case Text():
            st.text_input(_(control.label), max_chars=control.limit, **shared)
        case Real():
            st.number_input(_(control.label), control.low, control.high, **shared)


def _follow(field: str) -> None:
    st.session_state[links.widget_key(EXPERIMENT, field)] = st.session_state[f"metrics.{field}.tab"]


def explored(comparison: Comparison, settings: MetricsSettings) -> Arm:
    """Return the arm that the viewer explores; the baseline where it is not in the study."""
    return next((arm for arm in comparison.study.arms if arm.name == settings.explored), comparison.baseline)


def explorer(view: View) -> None:
    """Let the viewer move the threshold, say what errors cost, and see what a threshold chosen on validation does."""
    settings: MetricsSettings = view.settings  # type: ignore[assignment]
    costs = CostMatrix(settings.cost_tp, settings.cost_fp, settings.cost_fn, settings.cost_tn)
    scores, test = scores_of(view.settled, VALIDATION), scores_of(view.settled, TEST)
    arm = explored(view.settled, settings)
    left, right = st.columns([2, 3], gap="large")
    with left:
        mirror(view, "explored")
        mirror(view, "threshold")
        one, other = st.columns(2)
        with one:
            mirror(view, "cost_fn")
            mirror(view, "cost_tp")
        with other:
            mirror(view, "cost_fp")
            mirror(view, "cost_tn")
    if not any(name == arm.name for name, _seed in scores.rows):
        st.info(_("No complete run of this arm: there is nothing to explore yet."))
        return
    at = thresholds.cut(scores, arm, settings.threshold)
    with right:
        figures.draw(thresholds.confusion(at), "confusion")
    others = [view.settled.baseline] if any(name == view.settled.baseline.name for name, _s in scores.rows) else []
    arms = list(dict.fromkeys([*others, arm]))
    drawn = [
        (thresholds.roc(scores, arms, view.arm_names, at), "roc"),
        (thresholds.precision_recall(scores, arms, view.arm_names, at), "pr"),
    ]
    for column, (figure, key) in zip(st.columns(2), drawn, strict=True):
        with column:
            if figure is None:
                st.info(_("Undefined here: the validation rows hold one class only."))
            else:
                figures.draw(figure, key, names=view.arm_names)
    figures.draw(thresholds.cost_curves(scores, arms, view.arm_names, at, costs), "cost", names=view.arm_names)
    mirror(view, "goal")
    st.markdown(escape(chosen_words(scores, test, arm, settings.goal, costs)))
    st.dataframe(
        outcome_table(scores, test, arm, settings, costs),
        hide_index=True, width="stretch",
        alt=_("Metrics and cost at the threshold of the slider, at 0.5 and at the chosen one, on validation and test."),
    )  # fmt: skip
    st.caption(
        _(
            "A threshold is chosen for each seed on its validation rows and then judged on the test rows. The net"
            " answered them once, when its run ended; nothing on this page is chosen by them."
        )
    )


def choose(scores: Scores, arm: Arm, goal: str, costs: CostMatrix) -> dict[int, float]:
    """Choose a threshold for each seed of an arm on the rows of `scores`."""
    return {seed: best_threshold(y, p, goal, costs) for (name, seed), (y, p) in scores.rows.items() if name == arm.name}


def chosen_words(scores: Scores, test: Scores, arm: Arm, goal: str, costs: CostMatrix) -> str:
    """Say which thresholds validation chooses, and what they change on test against 0.5."""
    chosen = choose(scores, arm, goal, costs)
    change = paired_change(test, arm, chosen, costs)
    values = sorted(chosen.values())
    text = _("{arm}: validation chooses a threshold of {median}, {low} to {high} over seeds.").format(
        arm=label(arm), median=number(float(np.median(values))), low=number(values[0]), high=number(values[-1])
    )
    if change.n < 2:
        verdict = _("On test, with one run, the expected cost of a thousand rows changes by {mean} against 0.5.")
    elif change.excludes_zero:
        verdict = _("On test the expected cost of a thousand rows changes by {mean} against 0.5 [{low}; {high}].")
    else:
        verdict = _(
            "On test no difference to 0.5 is seen: the expected cost of a thousand rows changes by {mean} [{low}; {high}]."
        )
    text += " " + verdict.format(mean=number(change.mean), low=number(change.low), high=number(change.high))
    ideal = costs.calibrated_threshold
    if goal == "cost" and ideal == ideal:
        text += " " + _("If the probabilities were right, {ideal} would be cheapest.").format(ideal=number(ideal))
    return text


def paired_change(test: Scores, arm: Arm, chosen: dict[int, float], costs: CostMatrix) -> Interval:
    """Estimate how the expected cost on `test` differs between the chosen thresholds and 0.5, paired by seed."""
    changes = []
    for seed, threshold in chosen.items():
        y, p = test.rows[arm.name, seed]
        now, before = (float(costs.expected(count(y, p, np.ones(len(y)), t))) for t in (threshold, 0.5))
        changes.append(now - before)
    return paired_interval(changes)


def outcome_table(scores: Scores, test: Scores, arm: Arm, settings: MetricsSettings, costs: CostMatrix) -> pd.DataFrame:
    """One row a threshold and split: its metrics and cost, means over the seeds where they are defined."""
    chosen = choose(scores, arm, settings.goal, costs)
    cases = [
        (_("the slider's"), _("validation"), scores, dict.fromkeys(chosen, settings.threshold)),
        (_("chosen on validation"), _("validation"), scores, chosen),
        (number(0.5), _("test"), test, dict.fromkeys(chosen, 0.5)),
        (_("chosen on validation"), _("test"), test, chosen),
    ]
    rows = []
    for name, split, own, cuts in cases:
        row = {_("Threshold"): name, _("Rows"): split}
        values = [all_values(*own.rows[arm.name, seed], threshold=cut) for seed, cut in cuts.items()]
        for metric in TOLD:
            defined = [value[metric] for value in values if value[metric] == value[metric]]
            text = number(float(np.mean(defined))) if defined else _("undefined")
            if defined and len(defined) < len(values):
                text += " " + _("({count} of {total} seeds)").format(count=len(defined), total=len(values))
            row[_(METRICS[metric].label)] = text
        cost = [
            float(costs.expected(count(y, p, np.ones(len(y)), cuts[seed])))
            for seed in cuts for y, p in [own.rows[arm.name, seed]]
        ]  # fmt: skip
        row[_("Cost of 1,000 rows")] = number(float(np.mean(cost)))
        rows.append(row)
    return pd.DataFrame(rows)


def over_epochs(view: View) -> None:
    """Draw a metric over epochs, and the epochs that each metric would choose."""
    settings: MetricsSettings = view.settings  # type: ignore[assignment]
    if not len(epochs.epoch_scores(view.settled)):
        st.info(_("Here every metric will be drawn over the epochs, as soon as a run is complete."))
        return
    left, right = st.columns(2)
    with left:
        mirror(view, "metric")
    with right:
        mirror(view, "explored")
    figure = epochs.over_epochs(view.settled, settings.metric, view.arm_names, settings.smoothing)
    figures.draw(figure, "epochs", names=view.arm_names)
    arm = explored(view.settled, settings)
    figures.draw(epochs.chosen_epochs(view.settled, arm, view.arm_names), "chosen")
    st.markdown(escape(stopping_words(view.settled, arm)))


def stopping_words(comparison: Comparison, arm: Arm) -> str:
    """Say what early stopping by the loss costs in the metric that loses most."""
    found = [choice for choice in epochs.choices(comparison, arm) if choice.cost.n > 1]
    if not found:
        return ""
    lost = [c for c in found if c.cost.high < 0]
    if not lost:
        return _("By no metric is anything lost beyond the interval when the log loss chooses the epoch.")
    # The threshold metrics share a scale from 0 to 1; the probability metrics do not.
    worst = min(lost, key=lambda c: c.cost.mean)
    return _(
        "Stopping {arm} where the log loss is lowest loses most in {metric}: {cost} against that metric's own best"
        " epoch [{low}; {high}]. The own epoch was chosen on the rows that it is judged on, which flatters it: with few"
        " positives a part of this is luck."
    ).format(
        arm=inline(arm), metric=worst.metric.inline, cost=number(worst.cost.mean), low=number(worst.cost.low),
        high=number(worst.cost.high),
    )  # fmt: skip
