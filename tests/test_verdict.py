"""The verdict: computed from the numbers, never naming a winner inside its interval, in both languages."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.charts.effects import forest_title
from core.comparison import VALIDATION_LOSS, Comparison, label
from core.i18n import LANGUAGES, use_language
from core.result import RunFailure
from core.study import BASELINE
from core.verdict import verdict
from tests.conftest import result_of, results_of, small_study

ARMS = ("l1", "l2", "dropout")
STUDY = small_study(seeds=5, arms=ARMS)
JITTER = np.array([0.00, 0.01, -0.01, 0.02, -0.02])


def _losses(**means: float) -> dict[str, list[float]]:
    """Lay each arm's five losses around its mean, closely enough to tell 0.1 apart."""
    return {
        BASELINE: list(1 + JITTER),
        **{name: list(mean + JITTER[::-1] * (place + 1) / 3) for place, (name, mean) in enumerate(means.items())},
    }


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


def _named(text: str) -> set[str]:
    """Name the arms whose label stands in `text`; sentences may begin a label with a small letter."""
    return {arm.name for arm in STUDY.treatments if label(arm).casefold() in text.casefold()}


def _calls_better(text: str) -> set[str]:
    """Name the arms in those sentences that speak of an improvement."""
    return {name for s in _sentences(text) if re.search(r"\blowers?\b|\bhelps?\b", s) for name in _named(s)}


def _calls_worse(text: str) -> set[str]:
    return {name for s in _sentences(text) if re.search(r"\braises?\b", s) for name in _named(s)}


def _of(**means: float) -> Comparison:
    return Comparison(STUDY, results_of(STUDY, _losses(**means)))


def test_winner_is_named_first_with_its_mean():
    text = verdict(_of(l1=0.6, l2=0.8, dropout=0.9))
    assert _named(_sentences(text)[0]) == {"l1"}
    assert "40%" in _sentences(text)[0]
    assert _calls_better(text) == {"l1", "l2", "dropout"}


def test_tie_at_the_top_names_both_and_no_winner():
    text = verdict(_of(l1=0.6, l2=0.602, dropout=0.9))
    assert _named(_sentences(text)[0]) == {"l1", "l2"}


def test_no_difference_calls_nothing_better_or_worse():
    text = verdict(_of(l1=1.001, l2=0.999, dropout=1.0))
    assert not _calls_better(text)
    assert not _calls_worse(text)
    assert _named(text) == {"l1", "l2", "dropout"}


def test_worse_arms_are_called_worse():
    text = verdict(_of(l1=1.5, l2=1.4, dropout=1.0))
    assert not _calls_better(text)
    assert _calls_worse(text) == {"l1", "l2"}


def test_better_same_and_worse_are_told_apart():
    text = verdict(_of(l1=0.6, l2=1.0, dropout=1.5))
    assert _calls_better(text) == {"l1"}
    assert _calls_worse(text) == {"dropout"}
    assert "l2" in _named(text)


def test_everything_worse_still_says_so():
    text = verdict(_of(l1=1.5, l2=1.4, dropout=1.3))
    assert not _calls_better(text)
    assert _calls_worse(text) == {"l1", "l2", "dropout"}


def test_one_seed_gives_numbers_and_no_verdict():
    study = small_study(seeds=1, arms=ARMS)
    losses = {BASELINE: [1.0], "l1": [0.5], "l2": [1.2], "dropout": [1.0]}
    text = verdict(Comparison(study, results_of(study, losses)))
    assert not _calls_better(text)
    assert not _calls_worse(text)
    assert "50" in text
    assert "95%" not in text


def test_diverged_baseline_leaves_no_winner():
    results = results_of(STUDY, _losses(l1=0.6, l2=0.7, dropout=0.8))
    for seed in STUDY.seeds:
        spec = STUDY.runs[BASELINE, seed]
        results[spec.digest] = result_of(spec, [2.0, math.nan], status="diverged")
    text = verdict(Comparison(STUDY, results))
    assert "diverged" in text
    assert not _calls_better(text)


def test_baseline_that_diverged_or_collapsed_in_every_run_leaves_no_winner():
    results = results_of(STUDY, _losses(l1=0.6, l2=0.7, dropout=0.8))
    for seed in STUDY.seeds:
        spec = STUDY.runs[BASELINE, seed]
        if seed % 2:
            results[spec.digest] = result_of(spec, [2.0, math.nan], status="diverged")
        else:
            results[spec.digest] = result_of(spec, [2.3, 2.3], train=[2.3, 2.3])
    assert not _calls_better(verdict(Comparison(STUDY, results)))


def test_diverged_treatment_is_named_with_its_count():
    results = results_of(STUDY, _losses(l1=0.6, l2=0.7, dropout=0.8))
    for seed in (0, 1):
        spec = STUDY.runs["dropout", seed]
        results[spec.digest] = result_of(spec, [2.0, math.inf], status="diverged")
    text = verdict(Comparison(STUDY, results))
    (sentence,) = [s for s in _sentences(text) if "diverged" in s.casefold()]
    assert _named(sentence) == {"dropout"}
    assert "2 of 5" in sentence


def test_every_treatment_diverged():
    results = results_of(STUDY, _losses())
    for name in ARMS:
        for seed in STUDY.seeds:
            spec = STUDY.runs[name, seed]
            results[spec.digest] = result_of(spec, [2.0, math.nan], status="diverged")
    text = verdict(Comparison(STUDY, results))
    assert "diverged" in text
    assert _named(text) == set(ARMS)
    assert not _calls_better(text)


def test_collapse_is_named_with_its_count():
    results = results_of(STUDY, _losses(l1=0.6, l2=0.7, dropout=2.3))
    for seed in STUDY.seeds:
        spec = STUDY.runs["dropout", seed]
        results[spec.digest] = result_of(spec, [2.3, 2.3 + seed / 100], train=[2.3, 2.29])
    text = verdict(Comparison(STUDY, results))
    (sentence,) = [s for s in _sentences(text) if "collapsed" in s.casefold()]
    assert _named(sentence) == {"dropout"}
    assert "dropout" not in _calls_better(text)


def test_nothing_trained_is_no_verdict():
    text = verdict(Comparison(STUDY, {}))
    assert text
    assert not _named(text)


def test_failed_runs_alone_are_no_verdict():
    results = {spec.digest: RunFailure(digest=spec.digest, reason="download") for spec in STUDY.runs.values()}
    assert not _named(verdict(Comparison(STUDY, results)))


def test_baseline_alone_is_no_verdict():
    assert not _calls_better(verdict(Comparison(STUDY, results_of(STUDY, _losses()))))


def test_verdict_at_the_best_epoch_judges_the_best_epoch():
    results = {}
    for arm, seed, spec in STUDY:
        last = 0.6 if arm.name == "l1" else 1.0
        results[spec.digest] = result_of(spec, [2.3, 0.5 + JITTER[seed], last + JITTER[seed]])
    comparison = Comparison(STUDY, results)
    assert _calls_better(verdict(comparison, at="last")) == {"l1"}
    assert not _calls_better(verdict(comparison, at="best"))


# -- every kind of comparison, in every language -------------------------------------------------------


def _stopped() -> Comparison:
    results = {spec.digest: result_of(spec, [2.3, 1.0 + seed / 10], status="stopped") for _, seed, spec in STUDY}
    return Comparison(STUDY, results)


def _diverged(*names: str) -> Comparison:
    results = results_of(STUDY, _losses(l1=0.6, l2=0.7, dropout=0.8))
    for name in names:
        for seed in STUDY.seeds:
            spec = STUDY.runs[name, seed]
            results[spec.digest] = result_of(spec, [2.0, math.nan], status="diverged")
    return Comparison(STUDY, results)


CASES = {
    "winner": lambda: _of(l1=0.6, l2=0.8, dropout=0.9),
    "winner and one more": lambda: _of(l1=0.6, l2=0.8, dropout=1.0),
    "tie": lambda: _of(l1=0.6, l2=0.602, dropout=0.9),
    "no difference": lambda: _of(l1=1.001, l2=0.999, dropout=1.0),
    "no difference, one arm": lambda: _of(l1=1.001),
    "worse": lambda: _of(l1=1.5, l2=1.4, dropout=1.3),
    "one worse": lambda: _of(l1=1.5, l2=1.0, dropout=1.0),
    "all three": lambda: _of(l1=0.6, l2=1.0, dropout=1.5),
    "one seed": lambda: Comparison(
        s := small_study(seeds=1, arms=ARMS), results_of(s, {BASELINE: [1.0], **{name: [0.5] for name in ARMS}})
    ),
    "diverged baseline": lambda: _diverged(BASELINE),
    "diverged treatment": lambda: _diverged("l1"),
    "diverged treatments": lambda: _diverged(*ARMS),
    "diverged everything": lambda: _diverged(BASELINE, *ARMS),
    "partial": _stopped,
    "nothing": lambda: Comparison(STUDY, {}),
    "baseline alone": lambda: _of(),
    "same to the digit": lambda: Comparison(
        STUDY, {spec.digest: result_of(spec, [2.3, 1.0]) for _, _, spec in STUDY}
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_every_verdict_is_whole_text_in_every_language(case, language):
    use_language(language)
    comparison = CASES[case]()
    for text in (verdict(comparison), verdict(comparison, at="best"), forest_title(comparison.effects())):
        assert text.strip() == text
        assert text
        assert not set("{}") & set(text)
        assert "nan" not in text.casefold().split()
        assert len(text.splitlines()) == 1
        assert text[-1] == "."


def test_languages_agree_on_the_numbers():
    comparison = CASES["winner"]()
    texts = {}
    for language in LANGUAGES:
        use_language(language)
        texts[language] = verdict(comparison)
    assert len({tuple(re.findall(r"\d+(?=\s?%)", text)) for text in texts.values()}) == 1


# -- properties ----------------------------------------------------------------------------------------

DIFFERENCES = st.lists(
    st.lists(st.floats(-0.9, 2.0, allow_nan=False), min_size=5, max_size=5), min_size=len(ARMS), max_size=len(ARMS)
)
LEVELS = st.lists(st.floats(0.05, 5.0), min_size=5, max_size=5)


@settings(max_examples=40)
@given(LEVELS, DIFFERENCES)
def test_nothing_is_said_of_an_arm_that_its_interval_does_not_bear_out(levels, differences):
    losses = {BASELINE: levels}
    for name, shares in zip(ARMS, differences, strict=True):
        losses[name] = [level * (1 + share) for level, share in zip(levels, shares, strict=True)]
    comparison = Comparison(STUDY, results_of(STUDY, losses))
    text = verdict(comparison)
    effects = {effect.arm.name: effect for effect in comparison.effects()}
    for name in _calls_better(text):
        assert effects[name].shown.high < 0
        assert effects[name].absolute.high < 0
    for name in _calls_worse(text):
        assert effects[name].shown.low > 0
    assert _named(text) == set(ARMS)
    first = _sentences(text)[0]
    leaders = _named(first) & _calls_better(first)
    if len(leaders) == 1:  # alone in front only where it beats every other arm beyond the interval too
        leader = effects[leaders.pop()].arm
        others = [effect.arm for effect in effects.values() if effect.is_better and effect.arm is not leader]
        assert all(comparison.difference(leader, other, VALIDATION_LOSS).is_better for other in others)
