"""Measure how far confidence can be trusted: ECE, Brier, temperature, AUROC; with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.entropy import log_softmax

BINS = 15


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Compute the share of rows whose largest logit, shape (N, K), is that of the label, shape (N,)."""
    return float((logits.argmax(-1) == labels).mean())


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean −ln p of the labels, in nats (NLL)."""
    return float(-log_softmax(np.asarray(logits, "float64"))[np.arange(len(labels)), labels].mean())


def brier(logits: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean squared distance of the answer to the one-hot label, summed over classes, in [0, 2].

    Source: Brier (1950), Verification of forecasts expressed in terms of probability.
    """
    p = np.exp(log_softmax(np.asarray(logits, "float64")))
    p[np.arange(len(labels)), labels] -= 1.0
    return float((p**2).sum(-1).mean())


@dataclass(frozen=True)
class Reliability:
    """Counts, mean confidence and share of right answers in bins of equal width; NaN in empty bins."""

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Average |accuracy − confidence| over the bins, weighted by their counts, in [0, 1]."""
        filled = self.count > 0
        gap = np.abs(self.accuracy - self.confidence)[filled]
        return float((self.count[filled] * gap).sum() / max(self.count.sum(), 1))


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort answers into `bins` bins of confidence, each open on the left and closed on the right.

    Args:
        confidence: Probability of the answered class, shape (N,), in [0, 1].
        right: Whether the answer is right, shape (N,).

    Source: Guo et al. (2017), On calibration of modern neural networks, equations 1 to 3.
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / count
        share = np.bincount(place, np.asarray(right, float), bins) / count
    return Reliability(edges, count, mean, share)


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Compute the ECE of logits, shape (N, K); a calibrated net is above 0 too, by about 0.74/√N."""
    log_p = log_softmax(np.asarray(logits, "float64"))
    return reliability(np.exp(log_p.max(-1)), log_p.argmax(-1) == labels, bins).ece


def bootstrap_band(
    confidence: np.ndarray, right: np.ndarray, bins: int, rounds: int = 200, level: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """Resample rows and return each bin's `level` band of accuracy, low and high, shape (bins,); NaN where empty."""
    rng = np.random.default_rng(0)
    n = len(confidence)
    place = np.clip(np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True) - 1, 0, bins - 1)
    # A resampled bin's right answers, given its resampled count: the same as resampling rows, and quicker.
    count = np.bincount(place, minlength=bins)
    hits = np.bincount(place, np.asarray(right, float), bins)
    shares = np.stack([count - hits, hits], 1).ravel() / max(n, 1)
    draws = rng.multinomial(n, shares / shares.sum(), size=rounds).reshape(rounds, bins, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = draws[:, :, 1] / draws.sum(-1)
    low, high = np.full(bins, np.nan), np.full(bins, np.nan)
    for index in np.flatnonzero(count):
        own = values[:, index][np.isfinite(values[:, index])]
        low[index], high[index] = np.quantile(own, [(1 - level) / 2, (1 + level) / 2])
    return low, high


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the T in [0.05, 20] for which softmax(logits/T) has the lowest cross-entropy.

    The cross-entropy is convex in 1/T: bisection on the sign of its derivative.

    Source: Guo et al. (2017), section 4.2.
    """
    z = np.asarray(logits, "float64")
    z = z - z.max(-1, keepdims=True)
    own = z[np.arange(len(labels)), labels].mean()

    def slope(inverse: float) -> float:
        p = np.exp(log_softmax(z * inverse))
        return float((p * z).sum(-1).mean() - own)

    low, high = 0.05, 20.0  # of 1/T
    for _round in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1.0 / np.sqrt(low * high))


def auroc(higher: Sequence[float] | np.ndarray, lower: Sequence[float] | np.ndarray) -> float:
    """Compute the chance that a value of `higher` is above one of `lower`, ties counting half, in [0, 1].

    Source: Hanley & McNeil (1982), the Wilcoxon statistic.
    """
    a, b = np.asarray(higher, float), np.asarray(lower, float)
    values, places = np.unique(np.concatenate([a, b]), return_inverse=True)
    above = np.bincount(places[: len(a)], minlength=len(values))
    below = np.bincount(places[len(a) :], minlength=len(values))
    wins = above * (np.cumsum(below) - below) + 0.5 * above * below
    return float(wins.sum() / (len(a) * len(b)))
