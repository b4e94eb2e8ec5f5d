"""Read from a comparison which answer to a prediction holds, where several pages ask the same."""

from __future__ import annotations

from core.comparison import Comparison


def what_validation_does(comparison: Comparison) -> frozenset[int]:
    """Tell what the baseline's loss does after its best: 0 nothing comes after it, 1 hardly rises, 2 rises by over 5 %."""
    rows = comparison.outcomes
    own = rows[rows["arm"] == comparison.baseline.name].set_index(["seed", "at"])["validation_loss"].unstack()
    rise = float((own["last"] / own["best"] - 1).mean())
    return frozenset({2 if rise > 0.05 else 1 if rise > 0 else 0})
