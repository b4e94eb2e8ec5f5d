"""Show what a mean over batches does to a metric that is no mean: an exact simulation in NumPy."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from core.metrics import Counts, accuracy, ece, f1

ROWS, DRAWS = 4_096, 20
SIZES = (8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096)
RULES = ("zero", "one", "skip")  # what a batch counts in which the metric is 0/0


@dataclass(frozen=True)
class Averaged:
    """The error of a mean over batches of `size` rows under a `rule`: its share of the true value, over draws."""

    size: int
    rule: str
    error: float
    low: float
    high: float


def draw(prevalence: float, rows: int = ROWS, draws: int = DRAWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels and exactly right probabilities.

    A score is normal with standard deviation 1 around +1 for positives and −1 for negatives; the
    probability is the one that Bayes' rule gives it.

    Returns:
        Labels and probabilities, shape (draws, rows) each.
    """
    rng = np.random.default_rng([seed, round(1e6 * prevalence)])
    y = rng.uniform(size=(draws, rows)) < prevalence
    score = rng.normal(size=y.shape) + np.where(y, 1.0, -1.0)
    return y.astype(float), 1 / (1 + np.exp(-2 * score) * (1 - prevalence) / prevalence)


def batch_counts(y: np.ndarray, p: np.ndarray, size: int) -> Counts:
    """Count the confusion matrix of each batch of `size` rows, at 0.5: arrays (draws, batches)."""
    shape = (len(y), -1, size)
    truth, called = y.reshape(shape) == 1, p.reshape(shape) >= 0.5
    return Counts(
        (called & truth).sum(-1), (called & ~truth).sum(-1), (~called & truth).sum(-1), (~called & ~truth).sum(-1)
    )


def batch_mean(values: np.ndarray, rule: str) -> np.ndarray:
    """Average over batches, shape (draws, batches) to (draws,); undefined batches count by `rule`."""
    if rule == "skip":
        defined = ~np.isnan(values)
        total = np.where(defined, values, 0.0).sum(-1)
        return np.divide(total, defined.sum(-1), out=np.full(len(values), np.nan), where=defined.any(-1))
    return np.where(np.isnan(values), 1.0 if rule == "one" else 0.0, values).mean(-1)


@functools.lru_cache(maxsize=32)
def batch_errors(prevalence: float, metric: str = "f1") -> tuple[Averaged, ...]:
    """Compute how far the mean over batches is from the value of the whole set, by batch size and rule.

    Args:
        prevalence: Share of positives in (0, 1).
        metric: `f1` or `accuracy`.
    """
    score = {"f1": f1, "accuracy": accuracy}[metric]
    y, p = draw(prevalence)
    whole = np.asarray(score(batch_counts(y, p, ROWS)))[:, 0]
    found = []
    for size in SIZES:
        values = np.asarray(score(batch_counts(y, p, size)))
        for rule in RULES:
            error = batch_mean(values, rule) / whole - 1
            error = error[np.isfinite(error)]
            if len(error):
                found.append(Averaged(size, rule, float(error.mean()), float(error.min()), float(error.max())))
    return tuple(found)


@functools.lru_cache(maxsize=32)
def calibrated_ece(prevalence: float, draws: int = 40) -> tuple[tuple[int, float], ...]:
    """Compute the mean ECE of exactly right probabilities by the number of rows."""
    found = []
    for rows in (50, 100, 200, 500, 1_000, 5_000, 20_000):
        y, p = draw(prevalence, rows, draws if rows < 5_000 else 5)
        found.append((rows, float(np.mean([ece(*pair, np.ones(rows)) for pair in zip(y, p, strict=True)]))))
    return tuple(found)


def exact_f1(prevalence: float) -> float:
    """Compute the F1 at 0.5 that infinitely many rows of `draw` would have."""
    shift = math.log((1 - prevalence) / prevalence) / 2
    recall = 0.5 * math.erfc((shift - 1) / math.sqrt(2))
    alarms = 0.5 * math.erfc((shift + 1) / math.sqrt(2))
    return 2 * prevalence * recall / (prevalence + prevalence * recall + (1 - prevalence) * alarms)
