"""Turn a study and its results into tidy rows: the only source of charts, verdict, tables and exports."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from core.i18n import N_, _, language, listing, plain
from core.result import RunFailure, RunInfo, RunResult
from core.statistics import Interval, paired_interval
from core.study import Arm, Study

At = Literal["best", "last"]
MOMENTS: tuple[At, ...] = ("last", "best")
MAX_REMEMBERED = 256
PROPER_NAMES = ("Huber", "Tukey", "Cauchy", "Linex")  # keep their capital within a sentence
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
        self._memory: dict[Hashable, Any] = {}

    def remember(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` made for `key` and this language; a comparison never changes."""
        key = (key, language())
        if key in self._memory:
            return self._memory[key]
        value = self._memory[key] = make()
        while len(self._memory) > MAX_REMEMBERED:  # a link can ask for any smoothing; other viewers may be here too
            self._memory.pop(next(iter(list(self._memory))), None)
        return value

    @cached_property
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
        """One row a run and moment: `arm`, `seed`, `at` (best, last), `epoch`, measures and facts.

        What a diverged run measured beyond the finite is NaN.
        """
        rows = []
        for arm, seed, spec in self.study:
            result = self.results.get(spec.digest)
            if result is None:
                continue
            info, columns, values = result.info, result.curves.columns, result.curves.to_numpy(dtype=float)
            for at, epoch in (("best", info.best_epoch), ("last", info.final_epoch)):
                row = dict(zip(columns, values[epoch].tolist(), strict=True))  # row n holds epoch n
                rows.append(
                    {
                        "arm": arm.name,
                        "seed": seed,
                        "at": at,
                        **row,
                        "epoch": epoch,
                        "gap": row["validation_loss"] - row["train_loss"],
                        "status": info.status,
                        "collapsed": info.status != "diverged" and _has_collapsed(info, row["train_loss"]),
                        "parameters": info.parameters,
                        "epochs": info.epochs,
                        "seconds": info.seconds,
                    }
                )
        frame = pd.DataFrame(rows)
        return frame.replace([float("inf"), float("-inf")], float("nan")) if rows else frame

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
        """Pair two arms of the study, seed by seed.

        A run that is not over is compared with its partner at the last epoch that both have reached,
        so that a comparison on its way never sets a late epoch against an early one.
        """
        rows = []
        for seed in self.study.seeds:
            mine, other = self._result(arm, seed), self._result(reference, seed)
            if mine is None or other is None:
                continue
            if not (mine.is_complete and other.is_complete):
                common = min(mine.info.epochs, other.info.epochs)
                values = [_value(result, measure, common) for result in (mine, other)]
            else:
                values = [_value(result, measure, result.epoch_at(at)) for result in (mine, other)]
            difference = values[0] - values[1]
            rows.append({"seed": seed, "absolute": difference, "relative": difference / abs(values[1] or 1e-12)})
        by_seed = pd.DataFrame(rows, columns=["seed", "absolute", "relative"])
        return Effect(
            arm,
            measure,
            by_seed,
            paired_interval(by_seed["absolute"].tolist()),
            paired_interval(by_seed["relative"].tolist() if measure.is_relative else []),
        )

    def _result(self, arm: Arm, seed: int) -> RunResult | None:
        result = self.results.get(self.study.runs[arm.name, seed].digest)
        return result if result is not None and result.info.status != "diverged" else None

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


def _has_collapsed(info: RunInfo, train_loss: float) -> bool:
    if info.collapsed is not None:
        return info.collapsed
    return bool(train_loss > COLLAPSE_SHARE * info.prior_loss)


def _value(result: RunResult, measure: Measure, epoch: int) -> float:
    row = result.curves.iloc[epoch]
    if measure is GAP:
        return float(row["validation_loss"]) - float(row["train_loss"])
    return float(row[measure.name])


def label(arm: Arm) -> str:
    """Name an arm in the viewer's language, with its strengths."""
    return _(arm.label).format(**{key: plain(value) for key, value in arm.arguments})


def inline(arm: Arm) -> str:
    """Name an arm in the middle of a sentence: “early stopping”, but “L1 0.001”."""
    return lowered(label(arm))


def lowered(text: str) -> str:
    """Begin `text` small, for the middle of a sentence, unless its first word is a name or an abbreviation."""
    if text.startswith(PROPER_NAMES):
        return text
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def inlined(arms: Iterable[Arm]) -> str:
    """List arms as a sentence does: “L1 0.001, dropout 0.5 and early stopping”."""
    return listing([inline(arm) for arm in arms])


def sentence(text: str) -> str:
    """Begin `text` with a capital."""
    return text[:1].upper() + text[1:]


def tidy_tables(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """Return the tidy tables of a comparison; `samples` only where its nets have written something."""
    effects = [
        {
            "arm": effect.arm.name,
            "measure": measure.name,
            "at": at,
            "difference": effect.absolute.mean,
            "low": effect.absolute.low,
            "high": effect.absolute.high,
            "relative_difference": effect.relative.mean,
            "relative_low": effect.relative.low,
            "relative_high": effect.relative.high,
            "seeds": effect.absolute.n,
            "significant": effect.is_significant,
        }
        for measure in MEASURES
        for at in MOMENTS
        for effect in comparison.effects(measure, at)
    ]
    tables = {"curves": comparison.curves, "outcomes": comparison.outcomes, "effects": pd.DataFrame(effects)}
    written = [
        result.frames["samples"].assign(arm=arm.name, seed=seed)
        for arm, seed, spec in comparison.study
        if (result := comparison.results.get(spec.digest)) is not None and "samples" in result.frames
    ]
    return tables | ({"samples": pd.concat(written, ignore_index=True)} if written else {})
