"""Choose where to cut: counts and expected cost at every threshold, curves over seeds; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.i18n import N_
from core.metrics import METRICS, Counts, MetricInputError, sweep

POINTS = 101  # of a curve over thresholds, false positive rates or recalls
PER = 1_000  # rows that an expected cost is given for


@dataclass(frozen=True)
class CostMatrix:
    """What one row costs by truth and answer, in any unit; what is right may cost as well.

    Raises:
        MetricInputError: When a cost is not a finite number.
    """

    tp: float = 0.0
    fp: float = 1.0
    fn: float = 10.0
    tn: float = 0.0

    def __post_init__(self) -> None:
        for cost in (self.tp, self.fp, self.fn, self.tn):
            if isinstance(cost, bool) or not isinstance(cost, int | float) or not np.isfinite(cost):
                raise MetricInputError(
                    N_("Invalid costs. Expected four finite numbers; received {value}."), value=str(cost)[:20]
                )

    def expected(self, counts: Counts) -> Any:
        """Compute the cost of `PER` rows of the kind that was counted; NaN without rows."""
        total = np.asarray(counts.tp + counts.fp + counts.fn + counts.tn, float)
        cost = self.tp * counts.tp + self.fp * counts.fp + self.fn * counts.fn + self.tn * counts.tn
        return PER * np.divide(cost, total, out=np.full_like(total, np.nan), where=total > 0)

    @property
    def calibrated_threshold(self) -> float:
        """Return the cheapest threshold for probabilities that are right; NaN where calling never or always pays.

        (c_fp − c_tn) / (c_fp − c_tn + c_fn − c_tp).

        Source: Elkan (2001), The foundations of cost-sensitive learning, IJCAI, equation 2.
        """
        alarm, miss = self.fp - self.tn, self.fn - self.tp
        return alarm / (alarm + miss) if alarm >= 0 and miss >= 0 and alarm + miss > 0 else float("nan")


def counts_at(y: np.ndarray, p: np.ndarray, thresholds: np.ndarray) -> Counts:
    """Count the confusion matrix at many thresholds, arrays of their shape; `p >= threshold` is positive."""
    positive, negative = np.sort(p[y == 1]), np.sort(p[y == 0])
    fn, tn = np.searchsorted(positive, thresholds, "left"), np.searchsorted(negative, thresholds, "left")
    return Counts(len(positive) - fn, len(negative) - tn, fn, tn)


def best_threshold(y: np.ndarray, p: np.ndarray, goal: str, costs: CostMatrix) -> float:
    """Choose the threshold that is best on these rows.

    Args:
        y, p: Labels and probabilities, shape (N,).
        goal: `cost` for the lowest expected cost, or the name of a metric of the confusion matrix.
        costs: What rows cost.

    Returns:
        A threshold halfway between two probabilities that occur, so that rows near it are not cut by
        rounding; of equally good ones that nearest to 0.5. 0.5 where the goal is undefined everywhere.
    """
    own = sweep(y, p, np.ones(len(y)))
    metric = METRICS.get(goal)
    with np.errstate(all="ignore"):
        if metric is not None and metric.of_counts is not None:
            value = metric.sign * np.asarray(metric.of_counts(own.counts, np), float)
        else:
            value = -np.asarray(costs.expected(own.counts), float)
    if np.isnan(value).all():
        return 0.5
    upper = np.append(1.0, own.thresholds[1:])
    lower = np.append(own.thresholds[1:], 0.0)
    middle = (upper + lower) / 2
    good = np.flatnonzero(value >= np.nanmax(value) - 1e-12)
    return float(middle[good[np.argmin(np.abs(middle[good] - 0.5))]])


@dataclass(frozen=True)
class Band:
    """A curve over seeds: `x` shared, `mean`, `low` and `high` (the range), shape (POINTS,) each."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _band(x: np.ndarray, curves: Sequence[np.ndarray]) -> Band:
    table = np.array(curves)
    return Band(x, table.mean(0), table.min(0), table.max(0))


def roc_band(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band:
    """Average the ROC curves of several seeds over the false positive rate (vertical averaging).

    Source: Fawcett (2006), An introduction to ROC analysis, section 9.1.
    """
    x = np.linspace(0, 1, POINTS)
    curves = []
    for y, p in rows:
        c = sweep(y, p, np.ones(len(y))).counts
        curves.append(np.interp(x, c.fp / c.fp[-1], c.tp / c.tp[-1]))
    return _band(x, curves)


def pr_band(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> Band:
    """Average the precision of several seeds over recall; between points false positives grow linearly.

    Source: Davis & Goadrich (2006), ICML, section 4.
    """
    x = np.linspace(0, 1, POINTS)[1:]
    curves = []
    for y, p in rows:
        c = sweep(y, p, np.ones(len(y))).counts
        first = np.append(0, np.flatnonzero(np.diff(c.tp)) + 1)  # the fewest false alarms of each recall
        own = x * c.tp[-1]
        curves.append(own / (own + np.interp(own, c.tp[first], c.fp[first])))
    return _band(x, curves)


def cost_band(rows: Sequence[tuple[np.ndarray, np.ndarray]], costs: CostMatrix) -> Band:
    """Average the expected cost of several seeds over the threshold."""
    x = np.linspace(0, 1, POINTS)
    return _band(x, [costs.expected(counts_at(y, p, x)) for y, p in rows])
