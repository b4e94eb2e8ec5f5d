"""Paired intervals; imports nothing of the project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; `low` and `high` are NaN for fewer than two values."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Tell whether zero lies outside; False where there is no interval."""
        return self.low > 0 or self.high < 0


def paired_interval(differences: Sequence[float], level: float = LEVEL) -> Interval:
    """Estimate the mean of paired differences with Student's t interval.

    Args:
        differences: Shape (seeds,), treatment minus baseline of the same seed, any unit.
        level: Confidence level in (0, 1).

    Returns:
        The mean and its interval with n − 1 degrees of freedom, exact for normal differences at any
        n ≥ 2. The percentile bootstrap is not used: at 5 values its nominal 95 % covers 85 %.

    Source: Student (1908), The probable error of a mean, Biometrika 6(1).
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    half = float(stdtrit(n - 1, 0.5 + level / 2) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)
