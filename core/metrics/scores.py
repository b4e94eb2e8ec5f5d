"""Compare the arms of a study by every metric, from the predictions that its runs kept; frames in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.comparison import Comparison, inline, inlined, sentence
from core.i18n import _, listing, number
from core.metrics import METRICS, Counts, Metric, all_values, count
from core.result import RunResult
from core.statistics import Interval, paired_interval
from core.study import Arm
from core.verdict import oddities, verdict

VALIDATION, TEST = 0, 1  # in the column `split` of the frame `predictions`


def rows_of(result: RunResult, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of one split, shape (N,) each, float64."""
    frame = result.frames["predictions"]
    own = frame[frame["split"] == split]
    return own["y"].to_numpy("float64"), own["p"].to_numpy("float64")


@dataclass(frozen=True)
class Delta:
    """The paired difference of one treatment to the baseline in one metric.

    `mean` and `baseline` average over the pairs of `interval`; `undefined` counts the pairs of runs left
    out because the metric is undefined in one of them.
    """

    arm: Arm
    metric: Metric
    interval: Interval
    mean: float
    baseline: float
    undefined: int

    @property
    def is_better(self) -> bool:
        """Tell whether the treatment improves on the baseline beyond its interval."""
        return self.interval.excludes_zero and self.interval.mean * self.metric.sign > 0

    @property
    def is_worse(self) -> bool:
        """Tell whether the treatment is worse than the baseline beyond its interval."""
        return self.interval.excludes_zero and not self.is_better


class Scores:
    """Every metric of every run of a comparison that kept predictions; diverged runs have none.

    Args:
        comparison: Study and results.
        split: `VALIDATION` or `TEST`.
        threshold: From which probability on a row is called positive, in [0, 1].
    """

    def __init__(self, comparison: Comparison, split: int = VALIDATION, threshold: float = 0.5):
        self.comparison, self.split, self.threshold = comparison, split, threshold

    @cached_property
    def rows(self) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
        """Map (arm name, seed) to labels and probabilities."""
        found = {}
        for (arm, seed), spec in self.comparison.study.runs.items():
            result = self.comparison.results.get(spec.digest)
            if result is None or result.info.status != "complete" or "predictions" not in result.frames:
                continue
            y, p = rows_of(result, self.split)
            if np.isfinite(p).all():
                found[arm, seed] = (y, p)
        return found

    @cached_property
    def values(self) -> dict[tuple[str, int], dict[str, float]]:
        """Map (arm name, seed) to the metrics by name; NaN where one is undefined."""
        return {key: all_values(y, p, threshold=self.threshold) for key, (y, p) in self.rows.items()}

    @cached_property
    def counts(self) -> dict[tuple[str, int], Counts]:
        """Map (arm name, seed) to the confusion matrix at the threshold."""
        return {key: count(y, p, np.ones(len(y)), self.threshold) for key, (y, p) in self.rows.items()}

    def delta(self, arm: Arm, metric: Metric) -> Delta:
        """Pair `arm` with the baseline in a metric, seed by seed."""
        pairs, undefined = [], 0
        for seed in self.comparison.study.seeds:
            keys = (arm.name, seed), (self.comparison.baseline.name, seed)
            if not all(key in self.values for key in keys):
                continue
            own, other = (self.values[key][metric.name] for key in keys)
            if np.isnan(own) or np.isnan(other):
                undefined += 1
            else:
                pairs.append((own, other))
        table = np.array(pairs).reshape(-1, 2)
        means = table.mean(0) if len(table) else np.full(2, np.nan)
        interval = paired_interval((table[:, 0] - table[:, 1]).tolist())
        return Delta(arm, metric, interval, float(means[0]), float(means[1]), undefined)

    @cached_property
    def deltas(self) -> dict[tuple[str, str], Delta]:
        """Map (arm name, metric name) to the paired difference, for every treatment with predictions."""
        arms = [arm for arm in self.comparison.study.treatments if any(name == arm.name for name, _seed in self.rows)]
        return {(arm.name, name): self.delta(arm, metric) for arm in arms for name, metric in METRICS.items()}

    @property
    def arms(self) -> list[Arm]:
        """List the treatments with predictions."""
        names = {arm for arm, _metric in self.deltas}
        return [arm for arm in self.comparison.study.treatments if arm.name in names]

    def better(self, arm: Arm) -> list[Delta]:
        """List the metrics by which `arm` is better beyond the interval, the clearest first."""
        return self._clearest([d for d in self._of(arm) if d.is_better])

    def worse(self, arm: Arm) -> list[Delta]:
        """List the metrics by which `arm` is worse beyond the interval, the clearest first."""
        return self._clearest([d for d in self._of(arm) if d.is_worse])

    def _of(self, arm: Arm) -> list[Delta]:
        return [delta for (name, _metric), delta in self.deltas.items() if name == arm.name]

    @staticmethod
    def _clearest(deltas: list[Delta]) -> list[Delta]:
        return sorted(deltas, key=lambda d: -abs(d.interval.mean) / (d.interval.high - d.interval.low + 1e-12))

    @cached_property
    def most_disputed(self) -> Arm | None:
        """Return the arm about which most metrics contradict each other; None where none do."""
        disputed = [(min(len(self.better(arm)), len(self.worse(arm))), arm) for arm in self.arms]
        most = max(disputed, key=lambda pair: pair[0], default=(0, None))
        return most[1] if most[0] else None


def scores_of(comparison: Comparison, split: int = VALIDATION, threshold: float = 0.5) -> Scores:
    """Return the scores of a comparison, computed once."""
    key = ("scores", split, round(threshold, 6))
    return comparison.remember(key, lambda: Scores(comparison, split, threshold))


def metrics_verdict(comparison: Comparison) -> str:
    """Say by which metrics the arms are better and worse, and where the metrics contradict each other.

    Falls back to the verdict on the validation loss where too little is measured for metrics.
    """
    scores = scores_of(comparison)
    if not scores.deltas or all(d.interval.n < 2 for d in scores.deltas.values()):
        return verdict(comparison)
    total = len(METRICS)
    disputed, better, worse, same = [], [], [], []
    for arm in scores.arms:
        ups, downs = len(scores.better(arm)), len(scores.worse(arm))
        if ups and downs:
            disputed.append(arm)
        elif ups:
            better.append(_("{arm} ({count} of {total})").format(arm=inline(arm), count=ups, total=total))
        elif downs:
            worse.append(_("{arm} ({count} of {total})").format(arm=inline(arm), count=downs, total=total))
        else:
            same.append(inline(arm))
    sentences = []
    if disputed:
        sentences.append(_("Better or worse depends on the metric for {arms}.").format(arms=inlined(disputed)))
        most = scores.most_disputed
        assert most is not None
        sentences.append(
            _("Most disputed: {arm}, better by {up} and worse by {down}.").format(
                arm=inline(most),
                up=change_in_words(largest(scores.better(most))),
                down=change_in_words(largest(scores.worse(most))),
            )
        )
    if better:
        sentences.append(_("Better by some metrics and worse by none: {arms}.").format(arms=listing(better)))
    if worse:
        sentences.append(_("Worse by some metrics and better by none: {arms}.").format(arms=listing(worse)))
    if same:
        sentences.append(_("No difference seen by any metric: {arms}.").format(arms=listing(same)))
    undefined: dict[str, list[Arm]] = {}
    for arm in scores.arms:
        lost = [m.inline for name, m in METRICS.items() if not scores.deltas[arm.name, name].interval.n]
        if lost:
            undefined.setdefault(listing(lost), []).append(arm)
    for names, arms in undefined.items():
        sentences.append(_("Undefined, and not 0, for {arms}: {metrics}.").format(arms=inlined(arms), metrics=names))
    return " ".join(sentence(text) for text in [*sentences, *oddities(comparison)])


def largest(deltas: Sequence[Delta]) -> Delta:
    """Return the largest difference, in the metrics' own units."""
    return max(deltas, key=lambda delta: abs(delta.interval.mean))


def names_of(deltas: Sequence[Delta]) -> str:
    """List metrics as a sentence does."""
    return listing([delta.metric.inline for delta in deltas])


def change_in_words(delta: Delta) -> str:
    """Write a metric's name and its means before and after: “recall (0.66 → 0.73)”."""
    for digits in (2, 3, 4, 5):
        before, after = number(delta.baseline, digits), number(delta.mean, digits)
        if before != after:
            break
    return f"{delta.metric.inline} ({before} → {after})"
