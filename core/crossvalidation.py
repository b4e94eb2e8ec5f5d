"""Choose a strength by K-fold cross-validation, and measure the choice once on test points.

Cross-validation estimates how well settings generalize; it does not regularize anything by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.result import RunFailure, RunResult
from core.spec import RunSpec
from core.statistics import Interval, paired_interval


@dataclass(frozen=True)
class CrossValidation:
    """Runs of one strength each on all folds but one: `runs` by (strength, fold), strengths ascending from 0."""

    field: str
    axis: str
    is_log: bool
    folds: int
    runs: Mapping[tuple[float, int], RunSpec]

    def summarize(self, results: Mapping[str, RunResult | RunFailure]) -> pd.DataFrame:
        """Average the loss on the fold that was left out, at the end of training.

        Returns:
            One row a strength with at least one finished fold: `strength`, `mean`, `error` (standard error of
            the mean over folds, NaN with one), `low`, `high` (the range), `folds`.
        """
        values: dict[float, list[float]] = {}
        for (strength, _fold), spec in self.runs.items():
            result = results.get(spec.digest)
            if isinstance(result, RunResult) and result.info.status == "complete":
                loss = float(result.curves["validation_loss"].iloc[result.info.final_epoch])
                values.setdefault(strength, []).append(loss)
        rows = [
            {
                "strength": strength,
                "mean": float(np.mean(losses)),
                "error": float(np.std(losses, ddof=1) / np.sqrt(len(losses))) if len(losses) > 1 else float("nan"),
                "low": min(losses),
                "high": max(losses),
                "folds": len(losses),
            }
            for strength, losses in sorted(values.items())
        ]
        return pd.DataFrame(rows, columns=["strength", "mean", "error", "low", "high", "folds"])

    def choose(self, rows: pd.DataFrame) -> tuple[float, float] | None:
        """Name the strength of the lowest mean, and that of the one-standard-error rule.

        The rule takes the strongest regularization whose mean lies within one standard error of the
        lowest (Breiman et al. 1984; Hastie, Tibshirani & Friedman 2009, section 7.10). None until every
        fold of every strength has finished.
        """
        complete = rows[rows["folds"] == self.folds]
        if len(complete) < len({strength for strength, _fold in self.runs}):
            return None
        lowest = complete.loc[complete["mean"].idxmin()]
        within = complete[complete["mean"] <= lowest["mean"] + lowest["error"]]
        return float(lowest["strength"]), float(within["strength"].max())


@dataclass(frozen=True)
class FinalTest:
    """Test losses of the unregularized and of the chosen net, paired over seeds, and their difference."""

    baseline: tuple[float, ...]
    chosen: tuple[float, ...]

    @property
    def difference(self) -> Interval:
        """Return the relative paired difference with its 95 % interval."""
        return paired_interval([c / b - 1 for b, c in zip(self.baseline, self.chosen, strict=True)])


def final_test(pairs: list[tuple[RunSpec, RunSpec]], results: Mapping[str, RunResult]) -> FinalTest | None:
    """Read the test losses of (baseline, chosen) runs; None until all are there."""
    losses: list[list[float]] = [[], []]
    for pair in pairs:
        for side, spec in zip(losses, pair, strict=True):
            if spec.digest not in results or "test" not in results[spec.digest].frames:
                return None
            side.append(float(results[spec.digest].frames["test"]["loss"].iloc[0]))
    return FinalTest(tuple(losses[0]), tuple(losses[1]))
