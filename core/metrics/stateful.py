"""Stream the metrics of `core.metrics` as Keras metrics: batches in, the exact whole-set value out.

Imported by worker processes only. Every metric takes `sample_weight`, any batch size and any order of rows,
and is NaN where the rows so far do not define it. Each keeps only sums, but for those that need the order
of all rows, which keep the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from core.metrics import BINS, EPSILON, METRICS, QUANTILE, TOP, Average, Counts, averaged, ratio


def _rows(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Return labels, predictions and weights, each shape (B,), float32."""
    y, p = (ops.reshape(ops.cast(part, "float32"), (-1,)) for part in (y_true, y_pred))
    w = ops.ones_like(y) if sample_weight is None else ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
    return y, p, w


class CountScore(keras.metrics.Metric):
    """A score of the confusion matrix of two classes; the state is its four weighted counts.

    Args:
        score: A formula over counts, such as `core.metrics.f1`.
        threshold: From which probability on a row is called positive.
        name: As Keras reports it.
    """

    def __init__(self, score: Callable[[Counts, Any], Any], threshold: float = 0.5, name: str = "score", **options):
        super().__init__(name=name, **options)
        self.score, self.threshold = score, threshold
        self.counts = self.add_weight(shape=(4,), initializer="zeros", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the counts of a batch: labels 0 or 1 and probabilities, (B,) or (B, 1)."""
        y, p, w = _rows(y_true, y_pred, sample_weight)
        called = ops.cast(p >= self.threshold, "float32")
        cells = [called * y, called * (1 - y), (1 - called) * y, (1 - called) * (1 - y)]
        self.counts.assign_add(ops.stack([ops.sum(w * cell) for cell in cells]))

    def result(self):
        """Compute the score of all rows so far."""
        tp, fp, fn, tn = ops.unstack(self.counts, 4)
        return self.score(Counts(tp, fp, fn, tn), ops)


class RowMean(keras.metrics.Metric):
    """The weighted mean of one value a row: what a plain function may be, because means of means add up by weight.

    Args:
        values: From labels and predictions to one value a row.
        root: Whether the square root of the mean is meant (RMSE).
    """

    def __init__(self, values: Callable[[Any, Any], Any], root: bool = False, name: str = "mean", **options):
        super().__init__(name=name, **options)
        self.values, self.root = values, root
        self.sums = self.add_weight(shape=(2,), initializer="zeros", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the weighted values of a batch, and its weights."""
        y, p, w = _rows(y_true, y_pred, sample_weight)
        # A row without weight adds nothing, even where its value is not a number.
        value = ops.where(w > 0, self.values(y, p), 0.0)
        self.sums.assign_add(ops.stack([ops.sum(w * value), ops.sum(w)]))

    def result(self):
        """Compute the mean of all rows so far."""
        total, weight = ops.unstack(self.sums, 2)
        mean = ratio(total, weight, ops)
        return ops.sqrt(mean) if self.root else mean


class BinnedError(keras.metrics.Metric):
    """The expected calibration error; the state is one sum a bin."""

    def __init__(self, bins: int = BINS, name: str = "ece", **options):
        super().__init__(name=name, **options)
        self.bins = bins
        self.drift = self.add_weight(shape=(bins,), initializer="zeros", name="drift")
        self.weight = self.add_weight(shape=(), initializer="zeros", name="weight")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the weighted differences of label and probability to their bins."""
        y, p, w = _rows(y_true, y_pred, sample_weight)
        scaled = ops.cast(p, "float64") * self.bins  # in float32 a probability on an edge would change its bin
        index = ops.clip(ops.cast(ops.ceil(scaled), "int32") - 1, 0, self.bins - 1)
        self.drift.assign_add(ops.segment_sum(w * (y - p), index, num_segments=self.bins))
        self.weight.assign_add(ops.sum(w))

    def result(self):
        """Compute the error of all rows so far."""
        return ratio(ops.sum(ops.abs(self.drift)), self.weight, ops)


class Determination(keras.metrics.Metric):
    """R²; the state is the weight, the labels' mean, and the sums of squares around it and of the residuals.

    Source: Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance, equation 2.1: plain sums
    of squares lose most of float32's digits where the mean is far from 0.
    """

    def __init__(self, name: str = "r2", **options):
        super().__init__(name=name, **options)
        self.sums = self.add_weight(shape=(4,), initializer="zeros", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Merge a batch."""
        y, p, w = _rows(y_true, y_pred, sample_weight)
        weight, mean, squares, residual = ops.unstack(self.sums, 4)
        own = ops.sum(w)
        own_mean = ops.where(own > 0, ops.sum(w * y) / ops.where(own > 0, own, 1.0), mean)
        total = weight + own
        share = ops.where(total > 0, own / ops.where(total > 0, total, 1.0), 0.0)
        step = own_mean - mean
        squares = squares + ops.sum(w * (y - own_mean) ** 2) + step * step * weight * share
        self.sums.assign(ops.stack([total, mean + step * share, squares, residual + ops.sum(w * (y - p) ** 2)]))

    def result(self):
        """Compute R² of all rows so far."""
        _weight, _mean, squares, residual = ops.unstack(self.sums, 4)
        return 1.0 - ratio(residual, squares, ops)


class AveragedScore(keras.metrics.Metric):
    """A score of several classes, averaged; the state is the confusion matrix.

    Args:
        score: A formula over counts, such as `core.metrics.f1`.
        classes: How many.
        average: `macro`, `micro` or `weighted`.
    """

    def __init__(
        self, score: Callable[[Counts, Any], Any], classes: int, average: Average, name: str = "averaged", **options
    ):
        super().__init__(name=name, **options)
        self.score, self.classes, self.average = score, classes, average
        self.matrix = self.add_weight(shape=(classes, classes), initializer="zeros", name="matrix")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: classes (B,) and scores (B, C)."""
        y = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        answers = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        w = ops.ones_like(y, dtype="float32") if sample_weight is None else ops.cast(sample_weight, "float32")
        flat = ops.segment_sum(ops.reshape(w, (-1,)), y * self.classes + answers, num_segments=self.classes**2)
        self.matrix.assign_add(ops.reshape(flat, (self.classes, self.classes)))

    def result(self):
        """Compute the averaged score of all rows so far."""
        return averaged(self.score, self.matrix, self.average, ops)


class TopK(keras.metrics.Metric):
    """The share of rows whose true class is among the k highest scores; of equal scores the later class is higher."""

    def __init__(self, k: int = TOP, name: str = "top_k", **options):
        super().__init__(name=name, **options)
        self.k = k
        self.sums = self.add_weight(shape=(2,), initializer="zeros", name="sums")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: classes (B,) and scores (B, C)."""
        y = ops.reshape(ops.cast(y_true, "int32"), (-1, 1))
        own = ops.take_along_axis(y_pred, y, axis=1)
        later = ops.arange(y_pred.shape[1], dtype="int32")[None, :] > y
        above = ops.sum(ops.cast((y_pred > own) | ((y_pred == own) & later), "int32"), axis=1)
        hit = ops.cast(above < self.k, "float32")
        w = ops.ones_like(hit) if sample_weight is None else ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        self.sums.assign_add(ops.stack([ops.sum(w * hit), ops.sum(w)]))

    def result(self):
        """Compute the share of all rows so far."""
        hits, weight = ops.unstack(self.sums, 2)
        return ratio(hits, weight, ops)


class Ranked(keras.metrics.Metric):
    """A metric of the order of all rows, exact, ties included: it keeps the rows, and forgets none.

    `keras.metrics.AUC` keeps 200 thresholds instead and is approximate.

    Args:
        formula: From labels, probabilities and weights, shape (N,), to a number, in NumPy.
        capacity: How many rows there may be at most; more are an error and not a silent loss.
    """

    def __init__(self, formula: Callable[..., float], capacity: int, name: str = "ranked", **options):
        super().__init__(name=name, **options)
        self.formula, self.capacity = formula, capacity
        self.rows = self.add_weight(shape=(capacity, 3), initializer="zeros", name="rows")
        self.seen = self.add_weight(shape=(), initializer="zeros", dtype="int32", name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Keep a batch: labels 0 or 1 and probabilities, (B,) or (B, 1)."""
        batch = ops.stack(_rows(y_true, y_pred, sample_weight), axis=1)
        places = ops.convert_to_tensor(self.seen) + ops.arange(ops.shape(batch)[0], dtype="int32")
        self.rows.assign(ops.scatter_update(self.rows, places[:, None], batch))
        self.seen.assign_add(ops.shape(batch)[0])

    def result(self):
        """Compute the metric of all rows so far; outside of graphs, from Python."""
        rows = np.asarray(self.rows, "float64")[: int(self.seen)]
        return ops.convert_to_tensor(self.formula(rows[:, 0], rows[:, 1], rows[:, 2]), "float32")


def squared_error(y: Any, p: Any) -> Any:
    """Compute (y − p)² of each row: the Brier score's value, and the MSE's."""
    return ops.square(y - p)


def surprise(y: Any, p: Any) -> Any:
    """Compute −ln(probability of the true class) of each row, clipped at float32's own smallest step."""
    return -ops.log(ops.clip(ops.where(y == 1, p, 1.0 - p), max(EPSILON, 1.2e-7), 1.0))


def absolute_error(y: Any, p: Any) -> Any:
    """Compute |y − p| of each row."""
    return ops.abs(y - p)


def relative_error(y: Any, p: Any) -> Any:
    """Compute |y − p|/|y| of each row; NaN where y is 0, and so is every mean that holds it."""
    safe = ops.where(y == 0, 1.0, ops.abs(y))
    return ops.where(y == 0, float("nan"), ops.abs(y - p) / safe)


def quantile_error(y: Any, p: Any) -> Any:
    """Compute the pinball loss of each row at `QUANTILE`."""
    return ops.maximum(QUANTILE * (y - p), (QUANTILE - 1) * (y - p))


def streamed(name: str, capacity: int) -> keras.metrics.Metric:
    """Build the streaming form of a metric of the catalogue, for at most `capacity` rows."""
    metric = METRICS[name]
    if metric.of_counts is not None:
        return CountScore(metric.of_counts, name=name)
    if name == "ece":
        return BinnedError(name=name)
    if name in ("brier", "log_loss"):
        return RowMean({"brier": squared_error, "log_loss": surprise}[name], name=name)
    assert metric.of_rows is not None
    return Ranked(metric.of_rows, capacity, name=name)
