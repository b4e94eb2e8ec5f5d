"""Ask the viewer of the metrics page to predict first; the answers are read from recorded results."""

from __future__ import annotations

from core.comparison import Comparison
from core.experiments import Task
from core.i18n import N_
from core.metrics.scores import scores_of


def _sides(comparison: Comparison, arm_name: str, *names: str) -> list[int]:
    """Tell of each metric whether the arm is better (+1) or worse (−1) beyond its interval, or neither (0)."""
    scores = scores_of(comparison)
    deltas = [scores.deltas[arm_name, name] for name in names]
    return [1 if delta.is_better else -1 if delta.is_worse else 0 for delta in deltas]


def _weights(comparison: Comparison) -> frozenset[int]:
    sides = _sides(comparison, "class_weights", "recall", "precision")
    cases = {(1, 1): 0, (1, -1): 1, (-1, 1): 2}
    return frozenset({cases.get((sides[0], sides[1]), 3)})


def _silent(comparison: Comparison) -> frozenset[int]:
    values = scores_of(comparison).values
    own = [values["dropout", seed]["accuracy"] for seed in comparison.study.seeds]
    mean = sum(own) / len(own)
    return frozenset({0 if mean < 0.4 else 1 if mean < 0.7 else 2})


def _disputed(comparison: Comparison) -> frozenset[int]:
    scores = scores_of(comparison)
    count = sum(bool(scores.better(arm) and scores.worse(arm)) for arm in scores.arms)
    return frozenset({0 if count == 0 else 2 if count == len(scores.arms) else 1})


def _stopping(comparison: Comparison) -> frozenset[int]:
    sides = _sides(comparison, "early_stopping", "log_loss", "recall")
    cases = {(1, 1): 0, (1, -1): 1, (-1, 1): 2}
    return frozenset({cases.get((sides[0], sides[1]), 3)})


TASKS = (
    Task(
        "class_weights",
        "rare_digits",
        N_("Every positive counts nineteen times in the loss. What happens to recall and precision?"),
        (
            N_("Both rise"),
            N_("Recall rises, precision falls"),
            N_("Recall falls, precision rises"),
            N_("Neither pattern is seen"),
        ),
        _weights,
        N_(
            "Class weights mostly move the net along its own curve, toward calling more rows positive. A lower threshold"
            " does much the same without training."
        ),
    ),
    Task(
        "silent",
        "always_negative",
        N_("Dropout of 0.95 makes the net call nothing positive; one row in twenty is. How accurate is it?"),
        (N_("Below 40%"), N_("40 to 70%"), N_("Above 70%")),
        _silent,
        N_("Accuracy forgives missed positives as long as they are rare. F1 is 0; precision and MCC are undefined."),
    ),
    Task(
        "early_stopping",
        "rare_digits",
        N_("Early stopping ends where the loss is lowest. What do log loss and recall say of it?"),
        (
            N_("Better by both"),
            N_("Better by log loss, worse by recall"),
            N_("Worse by log loss, better by recall"),
            N_("Neither pattern is seen"),
        ),
        _stopping,
        N_("The metric that you stop by is the metric that you get: the tab on epochs shows when each would stop."),
    ),
    Task(
        "half_and_half",
        "half_and_half",
        N_("Half of the rows are positive. Of how many remedies do two metrics say the opposite?"),
        (N_("Of none"), N_("Of some"), N_("Of all")),
        _disputed,
        N_(
            "Metrics part where classes are rare and errors cost differently. With common classes the choice hardly matters."
        ),
    ),
)
