"""Say what a comparison shows, in one or two sentences computed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.comparison import VALIDATION_LOSS, At, Comparison, Effect, Measure, inline, inlined, sentence
from core.i18n import _, listing, ngettext, percent
from core.statistics import Interval
from core.study import Arm


def verdict(comparison: Comparison, measure: Measure = VALIDATION_LOSS, at: At = "last") -> str:
    """Write the verdict on a loss, at the last or the best epoch; never names a winner inside its interval.

    The leading arm is called best only where its paired difference to the runner-up excludes zero
    as well; the remaining arms are grouped into better, not distinguishable and worse.
    """
    problem = cannot_tell(comparison)
    if problem:
        return problem
    effects = [effect for effect in comparison.effects(measure, at) if effect.absolute.n]
    if effects[0].absolute.n == 1:
        return _one_run(effects)
    better = [e for e in effects if e.is_better]
    worse = [e for e in reversed(effects) if e.is_worse]
    same = [e for e in effects if not e.is_significant]
    sentences = _lead(comparison, better, measure, at) if better else []
    if not better:
        sentences.append(_no_winner(effects, worse, same))
    elif same:
        sentences.append(_("No difference seen: {arms}.").format(arms=_names(same)))
    if worse:
        sentences.append(_worse(worse))
    sentences += oddities(comparison)
    return " ".join(sentence(text) for text in sentences)


def cannot_tell(comparison: Comparison) -> str:
    """Say why there is nothing to compare; empty where there is."""
    baseline, seeds = comparison.baseline, len(comparison.study.seeds)
    if not len(comparison.outcomes):
        return _("Nothing has been trained yet, so there is no verdict.")
    diverged = comparison.seeds_with(baseline, status="diverged")
    collapsed = comparison.seeds_with(baseline, collapsed=True)
    if diverged + collapsed == seeds:
        text = ngettext(
            "The baseline learnt nothing: of {seeds} run {diverged} diverged and {collapsed} collapsed, no better than"
            " one answer for every input; there is nothing to compare with.",
            "The baseline learnt nothing: of {seeds} runs {diverged} diverged and {collapsed} collapsed, no better than"
            " one answer for every input; there is nothing to compare with.",
            seeds,
        ).format(seeds=seeds, diverged=diverged, collapsed=collapsed)
        return text + " " + (_("Lower the learning rate.") if diverged else _("Train longer, or on more points."))
    if not any(effect.absolute.n for effect in comparison.effects()):
        diverged_arms = [a for a in comparison.study.treatments if comparison.seeds_with(a, status="diverged")]
        if diverged_arms:
            return _("No verdict: {arms} diverged in every run.").format(arms=inlined(diverged_arms))
        return _("No pair of runs has finished yet, so there is no verdict.")
    return ""


def _lead(comparison: Comparison, better: Sequence[Effect], measure: Measure, at: At) -> list[str]:
    first, rest = better[0], better[1:]
    seeds = first.shown.n
    tied = [first, *[e for e in rest if not comparison.difference(first.arm, e.arm, measure, at).is_better]]
    if len(tied) == 1:
        text = ngettext(
            "{arm} lowers validation loss by {mean} (95% interval {low} to {high}, {n} seed).",
            "{arm} lowers validation loss by {mean} (95% interval {low} to {high}, {n} seeds).",
            seeds,
        ).format(arm=inline(first.arm), n=seeds, **_sizes(first.shown))
    else:
        text = ngettext(
            "{arms} lower validation loss most, by {means} (95% intervals within {low} to {high}, {n} seed);"
            " between them no difference is seen.",
            "{arms} lower validation loss most, by {means} (95% intervals within {low} to {high}, {n} seeds);"
            " between them no difference is seen.",
            seeds,
        ).format(
            arms=_names(tied),
            means=_range([e.shown.mean for e in tied]),
            low=percent(min(-e.shown.high for e in tied)),
            high=percent(max(-e.shown.low for e in tied)),
            n=seeds,
        )
    others = [e for e in rest if e not in tied]
    if not others:
        return [text]
    if len(others) == 1:
        also = _("{arm} helps too, by {mean}.").format(arm=inline(others[0].arm), mean=percent(-others[0].shown.mean))
    else:
        also = _("{arms} help too, by {range}.").format(
            arms=_names(others), range=_range([e.shown.mean for e in others])
        )
    return [text, also]


def _no_winner(effects: Sequence[Effect], worse: Sequence[Effect], same: Sequence[Effect]) -> str:
    n = effects[0].shown.n
    if worse and not same:
        return _("Nothing helps here.")
    if len(same) == 1:
        (only,) = same
        return ngettext(
            "No difference seen: {arm} changes validation loss by {mean}, and the 95% interval,"
            " {low} to {high}, covers zero ({n} seed).",
            "No difference seen: {arm} changes validation loss by {mean}, and the 95% interval,"
            " {low} to {high}, covers zero ({n} seeds).",
            n,
        ).format(
            arm=inline(only.arm),
            mean=percent(only.shown.mean, signed=True),
            low=percent(only.shown.low, signed=True),
            high=percent(only.shown.high, signed=True),
            n=n,
        )
    return ngettext(
        "No difference seen: the 95% intervals of {arms} all cover zero ({n} seed).",
        "No difference seen: the 95% intervals of {arms} all cover zero ({n} seeds).",
        n,
    ).format(arms=_names(same), n=n)


def _worse(worse: Sequence[Effect]) -> str:
    if len(worse) == 1:
        interval = worse[0].shown
        return _("{arm} raises validation loss by {mean} (95% interval {low} to {high}).").format(
            arm=inline(worse[0].arm),
            mean=percent(interval.mean),
            low=percent(interval.low),
            high=percent(interval.high),
        )
    means = [e.shown.mean for e in worse]
    return _("{arms} raise validation loss, by {low} to {high}.").format(
        arms=_names(worse), low=percent(min(means)), high=percent(max(means))
    )


def _one_run(effects: Sequence[Effect]) -> str:
    parts = [f"{inline(e.arm)} {percent(e.shown.mean, signed=True)}" for e in effects]
    return _("One run each, so no interval and no verdict. Validation loss against the baseline: {parts}.").format(
        parts="; ".join(parts)
    )


def oddities(comparison: Comparison) -> list[str]:
    """Name the arms that collapsed to the constant answer or diverged, so that nobody takes it for a bug."""
    seeds = len(comparison.study.seeds)
    collapsed = {arm: comparison.seeds_with(arm, collapsed=True) for arm in comparison.study.arms}
    diverged = {arm: comparison.seeds_with(arm, status="diverged") for arm in comparison.study.arms}
    sentences = []
    if named := _with_counts(collapsed, seeds):
        sentences.append(_("Collapsed, no better than one answer for every input: {arms}.").format(arms=named))
    if named := _with_counts(diverged, seeds):
        sentences.append(_("Diverged, and left out: {arms}.").format(arms=named))
    return sentences


def _with_counts(counts: Mapping[Arm, int], seeds: int) -> str:
    return listing(
        inline(arm) + (_(" ({count} of {seeds} runs)").format(count=count, seeds=seeds) if count < seeds else "")
        for arm, count in counts.items()
        if count
    )


def _names(effects: Sequence[Effect]) -> str:
    return inlined(e.arm for e in effects)


def _sizes(interval: Interval) -> dict[str, str]:
    return {"mean": percent(-interval.mean), "low": percent(-interval.high), "high": percent(-interval.low)}


def _range(means: Sequence[float]) -> str:
    low, high = percent(min(-m for m in means)), percent(max(-m for m in means))
    return low if low == high else _("{low} to {high}").format(low=low, high=high)
