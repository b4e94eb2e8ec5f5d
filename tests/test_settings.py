"""Settings: one declaration, valid by construction, equal to their link whatever a link contains."""

from __future__ import annotations

import math
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets import DATASETS
from core.experiments.overfitting import OverfittingSettings
from core.i18n import use_language
from core.settings import (
    MAX_QUERY_LENGTH,
    SCHEMA_VERSION,
    Choice,
    Choices,
    Integer,
    InvalidSettingsError,
    Problem,
    Real,
    Settings,
    Text,
    shorten,
)
from core.work import MAX_MULTIPLICATIONS, cost

CONTROLS: dict[str, Any] = OverfittingSettings.controls()
INTEGERS = [key for key, control in CONTROLS.items() if isinstance(control, Integer)]
REALS = [key for key, control in CONTROLS.items() if isinstance(control, Real)]
CHOICES = [key for key, control in CONTROLS.items() if isinstance(control, Choice)]

NOT_WHOLE = ["", "abc", "NaN", "1e999", "10.5", "-1", "99999999999999999999999", "1_0", "１０", "0x1F", "10 20"]
NOT_REAL = ["", "abc", "nan", "-inf", "1e999", "-0.5", "1e9", "0,5", "٠.١", "0.1_1", "1e", "1/2"]
NOT_AN_OPTION = ["", "DIGITS", "adam ", "__class__", "Last", "0", "../../etc/passwd", "l1,l2"]
NOT_ARMS = ["", ",", "l1,", "L1", "none", "l1;l2", "l1|l2", "all", "l1, l2", "l1,l2,evil", "[]", "l1%00"]
INJECTIONS = [
    "' OR 1=1 --",
    "1; DROP TABLE runs",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "**bold** `code` $x^2$",
    ":material/delete: :red[x]",
    "{0.__class__.__mro__}",
    "{key}{received}{}",
    "%s%s%n%x",
    "${jndi:ldap://x}",
    "\x00",
    "300\x00",
    "a\nb\r\nc",
    "\u202eabc\u2028x",
    "💥" * 5,
    "\ud7ff\ufffd",
    "a" * 1_000,
    "9" * 3_000,
    "(" * 500,
]


def _table() -> list[str]:
    links = [f"{key}={quote(text)}" for key in INTEGERS for text in NOT_WHOLE]
    links += [f"{key}={quote(text)}" for key in REALS for text in NOT_REAL]
    links += [f"{key}={quote(text)}" for key in CHOICES for text in NOT_AN_OPTION]
    links += [f"arms={text if '%' in text else quote(text)}" for text in NOT_ARMS]
    links += [f"{key}={quote(text)}" for key in ("n_train", "dataset") for text in INJECTIONS]
    links += [f"{quote(text)}=1" for text in INJECTIONS]
    links += [
        # keys: unknown, wrong case, empty, of another page, nested, without a value
        "unknown=1", "N_TRAIN=200", "Dataset=digits", "n-train=200", "ntrain=200", "=5", "=", "n_train", "epochs",
        "n_train[]=200", "n_train.low=1", "overfitting.n_train=200", "__proto__=1", "model_config=1", "self=1",
        "n_train%20=200", "%6E_train%00=1", "seed=3", "l3=0.1", "recipe=2",
        # the same key twice
        "n_train=200&n_train=200", "n_train=200&n_train=300", "arms=l1&arms=l2", "dataset=wine&dataset=digits",
        "l2=0.1&l2=abc", "epochs=0&epochs=10", "v=1&v=2",
        # another schema
        "v=0", "v=2", "v=", "v=abc", "v=-1", "v=1.0", "v=99999999999999999999", "v=%31%30",
        # percent-encoding that ends early, twice, or in no character
        "n_train=%", "n_train=%zz", "n_train=%2", "n_train=%25%33%30", "n_train=%ff%fe", "n_train=%c0%80",
        "dataset=%00digits", "dataset=digits%00", "dataset=digits%0a", "dataset=%E2%80%AE", "a%26b=1", "%3d=%3D",
        # values that cannot stand together
        "n_train=5000", "n_train=1471", "dataset=wine&n_train=300", "dataset=iris", "dataset=wine&n_train=101",
        "dataset=breast_cancer&n_train=420", "dataset=moons&n_train=2000", "dataset=diabetes&n_train=10000",
        "dataset=mnist&n_train=10001", "flipped=1", "flipped=1.0", "flipped=0.91", "epochs=0", "seeds=0",
        "dropout=1", "dropout=0.96", "learning_rate=0", "max_norm=0", "patience=0", "batch_size=0", "n_train=0",
        "n_train=9", "width=0", "depth=0", "depth=7", "width=1025", "seeds=21", "epochs=2001", "smoothing=1",
        # more than half an hour of arithmetic
        "width=1024&depth=6&epochs=2000&n_train=1400&seeds=20",
        "epochs=2000&batch_size=1&n_train=1400&seeds=20",
        "dataset=mnist&n_train=10000&width=1024&depth=6&epochs=2000&seeds=20",
        "dataset=mnist&n_train=10000&batch_size=1&epochs=2000&seeds=20&width=1&depth=1",
        "seeds=20&epochs=2000&arms=l1,l2,l1_l2,dropout,early_stopping,l2_dropout,weight_decay,max_norm&width=1024",
        # too long, and much of it wrong at once
        "n_train=200&" + "x" * MAX_QUERY_LENGTH, "&".join(f"k{i}={i}" for i in range(300)),
        "arms=" + ",".join(["l1"] * 2_000), "n_train=" + "1" * (MAX_QUERY_LENGTH + 1),
        "&".join(f"{key}=nan" for key in CONTROLS), "&".join(f"{key}=" for key in CONTROLS),
        "l1=abc&l2=abc&epochs=abc&n_train=5000", "dataset=wine&n_train=abc&epochs=2001&x=1",
    ]  # fmt: skip
    return list(dict.fromkeys(links))


HOSTILE = _table()
MEGABYTE = "n_train=200&x=" + "a" * 1_000_000

VALID = [
    "",
    "v=1",
    "n_train=200",
    "n_train=%32%30%30",
    "dataset=wine",
    "dataset=wine&n_train=100",
    "dataset=mnist&n_train=10000&epochs=1&seeds=1&arms=l2",
    "arms=l2,l1",
    "arms=l1%2Cl2",
    "l1=1e-3&l2=.01",
    "flipped=0.9&noise=3",
    "epochs=1&seeds=1&width=1&depth=1&batch_size=1",
    "lang=es&present=true&embed=true",
    "smoothing=0.98&moment=best",
    "learning_rate=10&optimizer=sgd",
    "&&n_train=200&&",
    OverfittingSettings().query(),
]


def test_table_holds_enough_hostile_links():
    assert len(HOSTILE) >= 220
    assert len(set(HOSTILE)) == len(HOSTILE)


@pytest.mark.parametrize("link", [*HOSTILE, MEGABYTE], ids=range(len(HOSTILE) + 1))
def test_hostile_link_gives_valid_settings_and_one_sentence_a_fault(link):
    settings, problems = OverfittingSettings.read(link)
    assert OverfittingSettings(**dict(settings)) == settings
    assert problems
    for problem in problems:
        sentence = problem.sentence()
        assert len(sentence.splitlines()) == 1
        assert sentence.isprintable()
        assert "Expected" in sentence
        assert "received" in sentence
        assert len(sentence) < 500
        assert not set("<>\\$*[]") & set(sentence)
    with pytest.raises(InvalidSettingsError, match="Expected"):
        OverfittingSettings.parse(link)


@pytest.mark.parametrize("link", VALID)
def test_valid_link_has_no_problem(link):
    settings, problems = OverfittingSettings.read(link)
    assert not problems
    assert OverfittingSettings.parse(link) == settings


@pytest.mark.parametrize("link", HOSTILE[::9])
def test_problem_can_be_said_in_spanish(link):
    use_language("es")
    for problem in OverfittingSettings.read(link)[1]:
        sentence = problem.sentence()
        assert len(sentence.splitlines()) == 1
        assert sentence.isprintable()


@pytest.mark.parametrize("link", ["=5", "=", "%00=5"])
def test_empty_key_is_not_given_a_name(link):
    (problem,) = OverfittingSettings.read(link)[1]
    assert not any(letter.isalpha() for letter in problem.key)


def test_reading_the_same_link_gives_the_same_problems():
    link = "&".join(HOSTILE[:20])
    assert OverfittingSettings.read(link) == OverfittingSettings.read(link)


def test_what_is_right_in_a_half_wrong_link_is_kept():
    settings, problems = OverfittingSettings.read("n_train=200&l2=abc&seeds=3&arms=l2")
    assert [problem.key for problem in problems] == ["l2"]
    assert (settings.n_train, settings.seeds, settings.arms) == (200, 3, ("l2",))
    assert settings.l2 == OverfittingSettings().l2
    assert problems[0].used == "0.01"


def test_conflict_is_repaired_to_the_nearest_that_agrees():
    settings, problems = OverfittingSettings.read("dataset=wine&n_train=5000")
    assert settings.n_train == DATASETS["wine"].max_train
    assert [problem.key for problem in problems] == ["n_train"]


@pytest.mark.parametrize("link", [link for link in HOSTILE if "epochs=2000" in link or "batch_size=1&" in link])
def test_excess_of_work_is_cut_to_the_limit(link):
    settings, problems = OverfittingSettings.read(link)
    assert problems
    assert cost(dict(settings)) <= MAX_MULTIPLICATIONS


def test_unset_training_points_follow_a_small_data_set_silently():
    settings, problems = OverfittingSettings.read("dataset=wine")
    assert not problems
    assert settings.n_train == DATASETS["wine"].max_train


def test_negative_zero_is_zero_so_that_equal_settings_have_one_digest():
    written = OverfittingSettings.parse("flipped=-0.0").query()
    assert written == OverfittingSettings.parse("flipped=0").query()


# -- controls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", CONTROLS)
def test_default_is_accepted_and_written_exactly(key):
    control = CONTROLS[key]
    value = OverfittingSettings.model_fields[key].default
    assert control.accepts(value)
    assert control.parse(control.format(value)) == value
    assert control.label
    assert control.help
    assert control.group


@pytest.mark.parametrize("key", INTEGERS)
def test_integer_accepts_its_bounds_and_nothing_beyond(key):
    control = CONTROLS[key]
    assert control.accepts(control.low)
    assert control.accepts(control.high)
    assert not control.accepts(control.low - 1)
    assert not control.accepts(control.high + 1)
    assert not control.accepts(True)
    assert not control.accepts(float(control.low))
    assert OverfittingSettings.read(f"{key}={control.low - 1}")[1]
    assert OverfittingSettings.read(f"{key}={control.high + 1}")[1]


@pytest.mark.parametrize("key", REALS)
def test_real_accepts_its_bounds_and_nothing_beyond(key):
    control = CONTROLS[key]
    assert control.accepts(control.low)
    assert control.accepts(control.high)
    assert not control.accepts(math.nextafter(control.low, -math.inf))
    assert not control.accepts(math.nextafter(control.high, math.inf))
    assert not any(control.accepts(value) for value in (math.nan, math.inf, -math.inf, "1"))
    assert all(control.accepts(mark) for mark in control.marks)
    assert list(control.marks) == sorted(set(control.marks))
    assert control.format(0.1) == "0.1"


@pytest.mark.parametrize("key", CHOICES)
def test_choice_accepts_every_option_and_nothing_else(key):
    control = CONTROLS[key]
    assert all(control.accepts(option) for option in control.options)
    assert not any(control.accepts(value) for value in ("", "x", None, 1, next(iter(control.options)).upper()))


def test_choices_are_unique_ordered_and_not_empty():
    control = CONTROLS["arms"]
    assert isinstance(control, Choices)
    assert control.parse("l2,l1,l2") == ("l1", "l2")
    assert control.accepts(tuple(control.options))
    assert not control.accepts(())
    assert not control.accepts(("l2", "l1"))
    assert not control.accepts(("l1", "l1"))


@pytest.mark.parametrize(
    "values",
    [{"n_train": 5}, {"l1": float("nan")}, {"dataset": "iris"}, {"arms": ()}, {"dataset": "wine"}, {"epochs": 0}],
)
def test_settings_refuse_to_be_built_invalid(values):
    with pytest.raises(ValueError, match=r"Expected|Value error"):
        OverfittingSettings(**values)


def test_settings_are_frozen_and_know_no_other_field():
    with pytest.raises(ValueError, match="frozen"):
        OverfittingSettings().n_train = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra inputs"):
        OverfittingSettings(unknown=1)  # type: ignore[call-arg]


# -- properties -------------------------------------------------------------------------------------


def _values(control):
    match control:
        case Integer():
            return st.integers(control.low, control.high)
        case Real():
            return st.floats(control.low, control.high, allow_nan=False)
        case Choice():
            return st.sampled_from(list(control.options))
        case Choices():
            subsets = st.sets(st.sampled_from(list(control.options)), min_size=1)
            return subsets.map(lambda chosen: tuple(name for name in control.options if name in chosen))
    raise AssertionError(control)


ANY_VALUES = st.fixed_dictionaries({key: _values(control) for key, control in CONTROLS.items()})


@given(ANY_VALUES)
def test_link_of_valid_settings_reads_back_to_the_same(values):
    for _round in range(3):
        values = OverfittingSettings.repair(values)
    settings = OverfittingSettings(**values)
    read, problems = OverfittingSettings.read(settings.query())
    assert not problems
    assert read == settings
    assert read.query() == settings.query()
    assert dict(parse_qsl(settings.query()))["v"] == str(SCHEMA_VERSION)


@given(ANY_VALUES)
def test_values_in_range_are_only_ever_faulted_for_conflicts(values):
    pairs = {key: CONTROLS[key].format(value) for key, value in values.items()}
    settings, problems = OverfittingSettings.read(urlencode(pairs))
    assert bool(problems) == bool(OverfittingSettings.conflicts(values))
    assert OverfittingSettings.parse(settings.query()) == settings


@given(st.text(max_size=200))
def test_any_text_as_a_link_is_read_without_an_exception(text):
    settings, problems = OverfittingSettings.read(text)
    assert OverfittingSettings.parse(settings.query()) == settings
    assert all(len(problem.sentence().splitlines()) == 1 for problem in problems)


@given(st.dictionaries(st.sampled_from([*CONTROLS, "v", "x"]), st.text(max_size=50), max_size=4))
def test_any_text_as_a_value_is_read_without_an_exception(pairs):
    settings, problems = OverfittingSettings.read(urlencode(pairs, errors="surrogatepass"))
    assert OverfittingSettings.parse(settings.query()) == settings
    assert all(len(problem.sentence().splitlines()) == 1 for problem in problems)


@given(st.text())
def test_quoted_text_can_format_nothing(text):
    quoted = shorten(text)
    assert quoted.isprintable()
    assert len(quoted) <= 43
    assert not set("`<>*[]$\\|~#\n") & set(quoted)


def test_sentence_does_not_format_what_was_received():
    problem = Problem("key", "a number from {low} to {high}", "{low}{x.__class__}", (("low", 1), ("high", 2)))
    assert problem.sentence() == "Invalid `key`. Expected a number from 1 to 2; received “{low}{x.··class··}”."


# -- text and idle settings ------------------------------------------------------------------------------


class Worded(Settings):
    """Settings with a line of text that must not shout."""

    word: Annotated[
        str,
        Text(
            "Word", "A word.", "Data", limit=8,
            check=lambda text: ("a word in small letters", (), text[:2]) if text != text.lower() else None,
        ),
    ] = "small"  # fmt: skip
    count: Annotated[int, Integer("Count", "A count.", "Data")] = 1

    def idle(self) -> frozenset[str]:
        return frozenset({"count"}) if self.word == "none" else frozenset()


@pytest.mark.parametrize("word", ["", "a b&c=d", "é+%", "12345678", "#?/"])
def test_text_travels_in_the_link_unchanged(word):
    settings = Worded(word=word)
    assert Worded.parse(settings.query()) == settings


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("word=BIG", "Invalid `word`. Expected a word in small letters; received “BI”. Using small instead."),
        ("word=123456789", "Invalid `word`. Expected text of at most 8 characters; received “123456789”. Using small instead."),
    ],
)  # fmt: skip
def test_bad_text_is_one_sentence_and_the_default(query, sentence):
    settings, problems = Worded.read(query)
    assert settings == Worded()
    assert [problem.sentence() for problem in problems] == [sentence]


def test_settings_may_have_no_effect_beside_others():
    assert Worded().idle() == frozenset()
    assert Worded(word="none").idle() == {"count"}
