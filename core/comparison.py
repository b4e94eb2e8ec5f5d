"""Turn a study and its results into tidy rows: the only source of charts, verdict, tables and exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from core.i18n import N_, _, plain
from core.result import RunFailure, RunResult
from core.statistics import Interval, paired_interval
from core.study import BASELINE, Arm, Study

At = Literal["best", "last"]
COLLAPSE_SHARE = 0.95  # a training data loss above this share of the constant answer's has learnt nothing


@dataclass(frozen=True)
class Measure:
    """A column of the outcomes: `sign` is −1 where lower is better, +1 where higher is."""

    name: str
    label: str
    sign: int
    is_relative: bool = False


VALIDATION_LOSS = Measure("validation_loss", N_("validation data loss"), -1, is_relative=True)
VALIDATION_SCORE = Measure("validation_score", N_("validation score"), +1)
GAP = Measure("gap", N_("generalization gap"), -1)
MEASURES = (VALIDATION_LOSS, VALIDATION_SCORE, GAP)


@dataclass(frozen=True)
class Effect:
    """The paired difference of one treatment to the baseline in one measure.

    `by_seed` holds the seed's difference in the measure's unit and, for losses, as a share of that
    seed's baseline. `absolute` and `relative` are their intervals over the seeds that both arms
    finished; `relative` is empty (NaN) for measures that have no meaningful zero.
    """

    arm: Arm
    measure: Measure
    by_seed: pd.DataFrame
    absolute: Interval
    relative: Interval

    @property
    def shown(self) -> Interval:
        """Return the interval that the page shows: relative for losses."""
        return self.relative if self.measure.is_relative else self.absolute

    @property
    def is_significant(self) -> bool:
        """Tell whether every interval of this effect excludes zero."""
        both = [self.absolute, self.relative] if self.measure.is_relative else [self.absolute]
        return all(interval.excludes_zero for interval in both)

    @property
    def is_better(self) -> bool:
        """Tell whether the treatment improves on the baseline beyond its interval."""
        return self.is_significant and self.absolute.mean * self.measure.sign > 0

    @property
    def is_worse(self) -> bool:
        """Tell whether the treatment is worse than the baseline beyond its interval."""
        return self.is_significant and not self.is_better


class Comparison:
    """A study with the results at hand.

    Args:
        study: What is compared.
        results: Results by run digest; a run that is absent, failed or has no epoch is left out of
            every row, and named by `missing`, `failures` and `status`.
    """

    def __init__(self, study: Study, results: Mapping[str, RunResult | RunFailure]):
        self.study = study
        self.results = {d: r for d, r in results.items() if isinstance(r, RunResult) and len(r.curves)}
        self.failures = [r for r in results.values() if isinstance(r, RunFailure)]

    @property
    def missing(self) -> list[str]:
        """List the digests of runs without a finished result."""
        specs = self.study.runs.values()
        return [s.digest for s in specs if s.digest not in self.results or not self.results[s.digest].is_complete]

    @property
    def is_complete(self) -> bool:
        """Tell whether every run came to its own end."""
        return not self.missing

    @property
    def is_partial(self) -> bool:
        """Tell whether some run was stopped before its end."""
        return any(not result.is_complete for result in self.results.values())

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row a run and moment: `arm`, `seed`, `at` (best, last), `epoch`, measures and facts."""
        rows = []
        for arm, seed, spec in self.study:
            result = self.results.get(spec.digest)
            if result is None:
                continue
            info, curves = result.info, result.curves.set_index("epoch")
            for at, epoch in (("best", info.best_epoch), ("last", info.final_epoch)):
                row = curves.loc[epoch]
                rows.append(
                    {
                        "arm": arm.name,
                        "seed": seed,
                        "at": at,
                        "epoch": epoch,
                        **{key: float(row[key]) for key in row.index},
                        "gap": float(row["validation_loss"] - row["train_loss"]),
                        "status": info.status,
                        "collapsed": bool(
                            info.status != "diverged" and row["train_loss"] > COLLAPSE_SHARE * info.prior_loss
                        ),
                        "parameters": info.parameters,
                        "epochs": info.epochs,
                        "seconds": info.seconds,
                    }
                )
        return pd.DataFrame(rows)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row an arm, seed and epoch, with the measures of `RunResult.curves`.

        A run that ended early by its own rule keeps the values of the weights it ended with, so that
        means over seeds always hold the same runs; `kept` marks those rows.
        """
        frames = []
        for arm, seed, spec in self.study:
            result = self.results.get(spec.digest)
            if result is None:
                continue
            frame = result.curves.assign(arm=arm.name, seed=seed, kept=False)
            planned, last = getattr(spec, "epochs", result.info.epochs), result.info.epochs
            if result.info.status == "complete" and last < planned:
                final = frame[frame["epoch"] == result.info.final_epoch]
                tail = pd.concat([final] * (planned - last), ignore_index=True)
                tail["epoch"] = range(last + 1, planned + 1)
                frame = pd.concat([frame, tail.assign(kept=True)], ignore_index=True)
            frames.append(frame)
        if not frames:
            return pd.DataFrame(columns=["arm", "seed", "kept", "epoch", "train_loss", "validation_loss"])
        return pd.concat(frames, ignore_index=True)

    def effect(self, arm: Arm, measure: Measure = VALIDATION_LOSS, at: At = "last") -> Effect:
        """Pair `arm` with the baseline, seed by seed; diverged runs have no pair."""
        return self.difference(arm, self.study.arms[0], measure, at)

    def difference(self, arm: Arm, reference: Arm, measure: Measure, at: At = "last") -> Effect:
        """Pair two arms of the study, seed by seed."""
        rows = self.outcomes
        if len(rows):
            rows = rows[(rows["at"] == at) & (rows["status"] != "diverged")]
            table = rows.pivot(index="seed", columns="arm", values=measure.name)
        else:
            table = pd.DataFrame()
        if arm.name in table and reference.name in table:
            pairs = table[[arm.name, reference.name]].dropna()
            absolute = pairs[arm.name] - pairs[reference.name]
            relative = absolute / pairs[reference.name].abs()
        else:
            absolute = relative = pd.Series(dtype=float)
        by_seed = pd.DataFrame({"seed": absolute.index, "absolute": absolute.values, "relative": relative.values})
        return Effect(
            arm,
            measure,
            by_seed,
            paired_interval(by_seed["absolute"]),
            paired_interval(by_seed["relative"] if measure.is_relative else []),
        )

    def effects(self, measure: Measure = VALIDATION_LOSS, at: At = "last") -> list[Effect]:
        """Pair every treatment with the baseline, best first; arms without a pair come last."""
        effects = [self.effect(arm, measure, at) for arm in self.study.treatments]
        return sorted(effects, key=lambda e: (e.absolute.n == 0, -e.absolute.mean * measure.sign))

    def seeds_with(self, arm: Arm, *, status: str = "", collapsed: bool = False) -> int:
        """Count the seeds of `arm` whose run has a `status` or has collapsed."""
        rows = self.outcomes
        if not len(rows):
            return 0
        rows = rows[(rows["arm"] == arm.name) & (rows["at"] == "last")]
        return int(rows["collapsed"].sum() if collapsed else (rows["status"] == status).sum())

    @property
    def baseline(self) -> Arm:
        """Return the arm that the others are compared with."""
        return self.study.arms[0]


def label(arm: Arm) -> str:
    """Name an arm in the viewer's language, with its strengths."""
    return _(arm.label).format(**{key: plain(value) for key, value in arm.arguments})


def is_baseline(arm: Arm) -> bool:
    """Tell whether `arm` is the unregularized one."""
    return arm.name == BASELINE
