"""Set every arm of a comparison against every measure; a best is named only where paired intervals allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.comparison import Comparison
from core.losses.scores import Score
from core.statistics import paired_interval
from core.study import Arm

BEST, TIED = "best", "tied"


@dataclass(frozen=True)
class CrossTable:
    """Scores of arms by measures.

    `values` has a row an arm, seed and measure; `cells` one an arm and measure: `mean` and `sd` over
    seeds, and `mark`: `best` where the arm beats every other beyond the interval of their paired
    difference, `tied` for those among whom the best cannot be told, empty for the others.
    """

    arms: tuple[Arm, ...]
    measures: tuple[Score, ...]
    values: pd.DataFrame
    cells: pd.DataFrame

    def winners(self, mark: str = BEST) -> dict[str, list[str]]:
        """Map arm names to the measures in which they carry `mark`."""
        rows = self.cells[self.cells["mark"] == mark]
        return {arm.name: rows.loc[rows["arm"] == arm.name, "measure"].tolist() for arm in self.arms}


def cross_table(comparison: Comparison, measures: Sequence[Score]) -> CrossTable:
    """Gather the scores of all finished runs; an arm with fewer seeds than another has no mark."""
    rows = []
    for arm, seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is None or result.info.status == "diverged" or "scores" not in result.frames:
            continue
        frame = result.frames["scores"]
        rows += [
            {"arm": arm.name, "seed": seed, "measure": measure, "value": value}
            for measure, value in zip(frame["measure"], frame["value"], strict=True)
        ]
    values = pd.DataFrame(rows, columns=["arm", "seed", "measure", "value"])
    present = tuple(arm for arm in comparison.study.arms if arm.name in set(values["arm"]))
    cells = [cell for score in measures for cell in _column(values[values["measure"] == score.name], score, present)]
    return CrossTable(
        present, tuple(measures), values, pd.DataFrame(cells, columns=["arm", "measure", "mean", "sd", "mark"])
    )


def _column(values: pd.DataFrame, score: Score, arms: Sequence[Arm]) -> list[dict]:
    table = values.pivot(index="seed", columns="arm", values="value").reindex(columns=[arm.name for arm in arms])
    means, spreads = table.mean(), table.std()
    cells = [
        {"arm": arm.name, "measure": score.name, "mean": means[arm.name], "sd": spreads[arm.name], "mark": ""}
        for arm in arms
    ]
    whole = table.dropna(axis=1)
    if not score.sign or whole.shape[0] < 2 or whole.shape[1] < 2:
        return cells
    leader = (score.sign * whole.mean()).idxmax()
    level = {leader}
    for other in whole.columns.drop(leader):
        lead = score.sign * (whole[leader] - whole[other]).to_numpy()
        if np.allclose(lead, 0) or paired_interval(lead.tolist()).low <= 0:
            level.add(other)
    for cell in cells:
        if cell["arm"] in level:
            cell["mark"] = BEST if len(level) == 1 else TIED
    return cells
