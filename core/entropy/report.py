"""Pair what runs measured beside their curves, and say in a few sentences what improved and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from core.comparison import GAP, At, Comparison, Effect, Measure, inline, inlined, sentence
from core.datasets import find
from core.i18n import N_, _, listing, ngettext, number, percent
from core.result import CURVE_COLUMNS
from core.statistics import paired_interval
from core.study import BASELINE, Arm
from core.verdict import oddities
from core.verdict import verdict as verdict_on_loss

NLL = Measure("nll", N_("NLL"), -1, is_relative=True)
ACCURACY = Measure("accuracy", N_("accuracy"), +1)
ECE = Measure("ece", N_("calibration error (ECE)"), -1)
BRIER = Measure("brier", N_("Brier score"), -1, is_relative=True)
ENTROPY = Measure("entropy", N_("mean entropy"), +1)
NLL_SCALED = Measure("nll_scaled", N_("NLL after temperature scaling"), -1, is_relative=True)
BALANCED = Measure("balanced_accuracy", N_("balanced accuracy"), +1)
RARE = Measure("rare_accuracy", N_("accuracy in the rarer half of the classes"), +1)
JUDGED = (NLL, ACCURACY, ECE, NLL_SCALED)
SHORT = {"nll": N_("NLL"), "accuracy": N_("accuracy"), "ece": N_("calibration"), "nll_scaled": N_("NLL once scaled")}
UNIFORM = 0.9  # of ln K: a mean entropy above this share says next to nothing


class Measured(Comparison):
    """A comparison that also knows what runs measured on the weights they ended with.

    `outcomes` and effects take the columns of the frame `measures`; a run on its way has none yet.
    """

    @cached_property
    def measures(self) -> pd.DataFrame:
        """One row an arm and seed, a column for each name that `core.entropy.measured.measure` gives."""
        rows = []
        for arm, seed, spec in self.study:
            result = self.results.get(spec.digest)
            if result is not None and "measures" in result.frames:
                frame = result.frames["measures"]
                rows.append({"arm": arm.name, "seed": seed, **dict(zip(frame["name"], frame["value"], strict=True))})
        return pd.DataFrame(rows, columns=None if rows else ["arm", "seed"])

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Return `Comparison.outcomes` with the measures beside them."""
        rows = super().outcomes
        return rows.merge(self.measures, on=["arm", "seed"], how="left") if len(rows) else rows

    def difference(self, arm: Arm, reference: Arm, measure: Measure, at: At = "last") -> Effect:
        """Pair two arms, seed by seed, also in what the curves do not hold."""
        if measure is GAP or measure.name in CURVE_COLUMNS:
            return super().difference(arm, reference, measure, at)
        rows_of = self.measures.groupby("arm") if measure.name in self.measures else ()
        values = {name: own.set_index("seed")[measure.name] for name, own in rows_of}
        rows = []
        if arm.name in values and reference.name in values:
            both = values[arm.name].to_frame("mine").join(values[reference.name].rename("other"), how="inner").dropna()
            for seed, mine, other in zip(both.index, both["mine"], both["other"], strict=True):
                difference = mine - other
                rows.append({"seed": seed, "absolute": difference, "relative": difference / abs(other or 1e-12)})
        by_seed = pd.DataFrame(rows, columns=["seed", "absolute", "relative"])
        relative = by_seed["relative"].tolist() if measure.is_relative else []
        absolute = paired_interval(by_seed["absolute"].tolist())
        return Effect(arm, measure, by_seed, absolute, paired_interval(relative))

    def mean(self, arm: str, column: str) -> float:
        """Average a measure over the seeds of an arm; NaN where none has it."""
        rows = self.measures
        if column not in rows:
            return math.nan
        return float(rows.loc[rows["arm"] == arm, column].mean())


def measured(comparison: Comparison) -> Measured:
    """See what runs measured beside their curves."""
    return comparison.remember("measured", lambda: Measured(comparison.study, comparison.results))


def amount(effect: Effect) -> str:
    """Write an effect: per cent of the baseline, points of accuracy, or units of the measure."""
    shown = effect.shown
    if effect.measure.is_relative:
        parts = [percent(value, signed=True) for value in (shown.mean, shown.low, shown.high)]
    elif effect.measure in (ACCURACY, BALANCED, RARE):
        parts = [points(shown.mean), *(points(value, unit=False) for value in (shown.low, shown.high))]
    else:
        parts = [("+" if value > 0 else "") + number(value, 2) for value in (shown.mean, shown.low, shown.high)]
    return f"{parts[0]} [{parts[1]}; {parts[2]}]"


def points(share: float, *, unit: bool = True) -> str:
    """Write a difference of two shares in percentage points."""
    text = ("+" if share > 0 else "") + number(100 * share, 2)
    return _("{number} points").format(number=text) if unit else text


def verdict(comparison: Comparison) -> str:
    """Name what the first treatment improved and what it cost, beyond the intervals, and then its rivals.

    While no pair of runs has its measures, or with one seed, the verdict on the validation loss is what there is.
    """
    seen = measured(comparison)
    pairs = {arm: judge(seen, arm) for arm in comparison.study.treatments}
    pairs = {arm: effects for arm, effects in pairs.items() if effects[0].absolute.n}
    if not pairs or all(effects[0].absolute.n < 2 for effects in pairs.values()):
        return verdict_on_loss(comparison)
    uniform = _uniform(seen)
    rest = {arm: effects for arm, effects in pairs.items() if arm not in uniform}
    sentences = []
    if rest:
        first = next(iter(rest))
        sentences.append(_of_one(first, rest.pop(first), seen))
        sentences += _of_rivals(rest)
    sentences += [_of_uniform(arm, seen) for arm in uniform]
    if not uniform:
        sentences += oddities(comparison)
    return " ".join(sentence(text) for text in sentences)


def judge(seen: Measured, arm: Arm) -> list[Effect]:
    """Pair an arm with the baseline in every measure of the verdict; scaled twice, its logits tell nothing new."""
    measures = JUDGED[:-1] if arm.name == "temperature" else JUDGED
    return [seen.effect(arm, measure) for measure in measures]


def _of_one(arm: Arm, effects: Sequence[Effect], seen: Measured) -> str:
    seeds = effects[0].absolute.n
    gains, costs = [_item(e, seen) for e in effects if e.is_better], [_item(e, seen) for e in effects if e.is_worse]
    if gains and costs:
        text = ngettext(
            "{arm} improves {gains}, and costs {costs} (95% intervals, {n} seed).",
            "{arm} improves {gains}, and costs {costs} (95% intervals, {n} seeds).",
            seeds,
        )
    elif gains:
        text = ngettext(
            "{arm} improves {gains}, and no cost is seen (95% intervals, {n} seed).",
            "{arm} improves {gains}, and no cost is seen (95% intervals, {n} seeds).",
            seeds,
        )
    elif costs:
        text = ngettext(
            "{arm} improves nothing, and costs {costs} (95% intervals, {n} seed).",
            "{arm} improves nothing, and costs {costs} (95% intervals, {n} seeds).",
            seeds,
        )
    else:
        text = ngettext(
            "No difference seen with {arm} in {measures} ({n} seed).",
            "No difference seen with {arm} in {measures} ({n} seeds).",
            seeds,
        )
    names = listing(_(SHORT[effect.measure.name]) for effect in effects)
    return text.format(arm=inline(arm), gains=listing(gains), costs=listing(costs), n=seeds, measures=names)


def _item(effect: Effect, seen: Measured) -> str:
    if effect.measure is ECE:
        before, after = seen.mean(BASELINE, "ece"), seen.mean(effect.arm.name, "ece")
        return _("calibration (ECE {before} to {after})").format(before=number(before, 2), after=number(after, 2))
    name = _("NLL once temperature is fitted") if effect.measure is NLL_SCALED else _(effect.measure.label)
    return f"{name} ({amount(effect)})"


def _of_rivals(pairs: dict[Arm, list[Effect]]) -> list[str]:
    """Group arms that improve and cost the same."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Arm]] = {}
    for arm, effects in pairs.items():
        better = tuple(SHORT[e.measure.name] for e in effects if e.is_better)
        worse = tuple(SHORT[e.measure.name] for e in effects if e.is_worse)
        groups.setdefault((better, worse), []).append(arm)
    sentences = []
    for (better, worse), arms in sorted(groups.items(), key=lambda item: (len(item[0][1]), -len(item[0][0]))):
        gains, costs = listing(_(label) for label in better), listing(_(label) for label in worse)
        if better and worse:
            text = _("{arms}: better {gains}, worse {costs}.")
        elif better:
            text = _("{arms}: better {gains}.")
        elif worse:
            text = _("{arms}: worse {costs}.")
        else:
            text = _("{arms}: no difference seen.")
        sentences.append(text.format(arms=inlined(arms), gains=gains, costs=costs))
    return sentences


def _uniform(seen: Measured) -> list[Arm]:
    """List the arms whose answers are nearly uniform on average."""
    most = math.log(find(seen.study.base.dataset).classes)  # type: ignore[attr-defined]
    return [arm for arm in seen.study.arms if seen.mean(arm.name, "entropy") > UNIFORM * most]


def _of_uniform(arm: Arm, seen: Measured) -> str:
    classes = find(seen.study.base.dataset).classes  # type: ignore[attr-defined]
    return _(
        "{arm} collapses to the uniform answer: mean entropy {entropy} of at most ln {classes} = {most}, whatever the"
        " input. Its first choice is still right in {accuracy} (baseline {other}), but its probabilities say nothing."
    ).format(
        arm=inline(arm),
        entropy=number(seen.mean(arm.name, "entropy")),
        classes=classes,
        most=number(math.log(classes)),
        accuracy=percent(seen.mean(arm.name, "accuracy")),
        other=percent(seen.mean(BASELINE, "accuracy")),
    )
