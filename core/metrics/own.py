"""Compute a metric that a viewer typed, over rows or counts; a safe formula, never code. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.formula import Formula, FormulaError, parse
from core.i18n import N_
from core.metrics import Counts, count
from core.metrics.scores import Scores
from core.statistics import Interval, paired_interval
from core.study import Arm

ROWS = ("y_true", "y_pred")
COUNTS = ("tp", "fp", "fn", "tn")
NAMES = (*ROWS, *COUNTS)
EXAMPLES = {
    "jaccard": "tp/(tp+fp+fn)",
    "g_mean": "sqrt(tp/(tp+fn)*tn/(tn+fp))",
    "youden": "tp/(tp+fn)+tn/(tn+fp)-1",
    "spherical": "where(y_true==1,y_pred,1-y_pred)/sqrt(y_pred**2+(1-y_pred)**2)",
    "cost": "(10*fn+fp)/(tp+fp+fn+tn)",
}


def read(text: str) -> Formula:
    """Read a metric over `NAMES`.

    Raises:
        FormulaError: One sentence on the first fault; any other name is one.
    """
    formula = parse(text, NAMES)
    if formula.parameters:
        name = formula.parameters[0]
        raise FormulaError(N_("one of the names {names}"), name, text.find(name), len(name), names=NAMES)
    if not formula.used:
        raise FormulaError(N_("at least one of the names {names}"), text, 0, len(text), names=NAMES)
    return formula


def check(text: str) -> tuple[str, tuple[tuple[str, object], ...], str] | None:
    """Name what is wrong with a formula, as a setting asks for it; None where nothing is."""
    try:
        read(text)
    except FormulaError as error:
        return error.expected, tuple(error.arguments.items()), error.received
    return None


def is_row_mean(formula: Formula) -> bool:
    """Tell whether the formula gives a value a row, which is then averaged."""
    return bool(formula.used & set(ROWS))


def value(formula: Formula, y: np.ndarray, p: np.ndarray, counts: Counts) -> float:
    """Compute the formula of some rows; NaN where it is undefined or infinite.

    Args:
        formula: From `read`.
        y, p: Labels 0 or 1, and probabilities, shape (N,).
        counts: Their confusion matrix at the threshold.
    """
    given = {"y_true": y, "y_pred": p, "tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "tn": counts.tn}
    numbers = {name: np.asarray(part, float) for name, part in given.items()}
    result = np.asarray(formula.evaluate(np, **numbers), float)
    if not result.size:
        return float("nan")
    mean = float(result.mean())
    return mean if np.isfinite(mean) else float("nan")


@dataclass(frozen=True)
class OwnDelta:
    """A typed metric of one arm: its mean over seeds, and the paired difference to the baseline (empty for it)."""

    arm: Arm
    mean: float
    interval: Interval
    undefined: int


def deltas(formula: Formula, scores: Scores) -> list[OwnDelta]:
    """Compute the typed metric of every arm, and its paired differences to the baseline."""
    study = scores.comparison.study
    values = {
        key: value(formula, y, p, count(y, p, np.ones(len(y)), scores.threshold)) for key, (y, p) in scores.rows.items()
    }
    found = []
    for arm in study.arms:
        own = {seed: v for (name, seed), v in values.items() if name == arm.name}
        if not own:
            continue
        defined = [v for v in own.values() if not np.isnan(v)]
        pairs = [
            v - values[study.arms[0].name, seed]
            for seed, v in own.items()
            if arm is not study.arms[0] and (study.arms[0].name, seed) in values
        ]
        pairs = [pair for pair in pairs if not np.isnan(pair)]
        mean = float(np.mean(defined)) if defined else float("nan")
        found.append(OwnDelta(arm, mean, paired_interval(pairs), len(own) - len(defined)))
    return found


def batch_value(formula: Formula, y: np.ndarray, p: np.ndarray, threshold: float, size: int) -> float:
    """Average the formula over batches of `size` rows in their order; undefined batches are left out."""
    values = []
    for start in range(0, len(y), size):
        truth, answer = y[start : start + size], p[start : start + size]
        values.append(value(formula, truth, answer, count(truth, answer, np.ones(len(truth)), threshold)))
    defined = [v for v in values if not np.isnan(v)]
    return float(np.mean(defined)) if defined else float("nan")


CLASS = '''import keras
from keras import ops


class OwnMetric(keras.metrics.Metric):
    """{text}"""

    def __init__(self, threshold={threshold}, name="own"):
        super().__init__(name=name)
        self.threshold = threshold
        self.counts = self.add_weight(shape=(4,), initializer="zeros", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y, called = ops.cast(y_true, "float32"), ops.cast(y_pred >= self.threshold, "float32")
        w = 1.0 if sample_weight is None else ops.reshape(ops.cast(sample_weight, "float32"), ops.shape(y))
        cells = [called * y, called * (1 - y), (1 - called) * y, (1 - called) * (1 - y)]
        self.counts.assign_add(ops.stack([ops.sum(w * cell) for cell in cells]))

    def result(self):
        tp, fp, fn, tn = ops.unstack(self.counts, 4)
        return {source}
'''
FUNCTION = '''from keras import ops


def own_metric(y_true, y_pred):
    """{text}: one value a row, so that Keras' mean over batches is exact."""
    y_true = ops.cast(y_true, y_pred.dtype)
    return {source}
'''


def keras_source(formula: Formula, threshold: float) -> str | None:
    """Write the metric for Keras: counts as a stateful metric, rows as a plain function; None for a mixture."""
    if not is_row_mean(formula):
        return CLASS.format(text=formula.text, source=formula.source(), threshold=threshold)
    if formula.used <= set(ROWS):
        return FUNCTION.format(text=formula.text, source=formula.source())
    return None
