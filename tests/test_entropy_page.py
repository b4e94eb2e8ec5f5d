"""The entropy page through Streamlit's own test runner, its settings, and the words computed from its numbers."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.charts import agents
from core.charts import entropy as charts
from core.comparison import Comparison
from core.config import GALLERY
from core.datasets import DATASETS
from core.entropy.report import ECE, NLL, Measured, amount, measured, verdict
from core.experiments.entropy import AGENT_NAMES, EXPERIMENT, LESSON_NAMES, LESSONS, TASKS, EntropySettings
from core.i18n import LANGUAGES, use_language
from core.result import RunResult
from core.store import Store
from core.study import BASELINE
from core.ui import entropy as sections
from tests.conftest import ROOT, result_of
from tests.test_pages import charts as drawn

PAGE = str(ROOT / "pages" / "entropy.py")
TABS = (
    "Along one setting", "Confidence", "Calibrated afterwards", "Unfamiliar inputs", "The sign", "Exploration", "Lessons",
    "How it is measured",
)  # fmt: skip

HOSTILE = (
    "beta=-0.1", "beta=nan", "beta=inf", "beta=-inf", "beta=1e999", "beta=1000.1", "beta=", "beta=abc", "beta=0x1",
    "beta=1_0", "beta=1&beta=2", "beta=%00", "epsilon=-0.1", "epsilon=1.1", "epsilon=nan", "gamma=-1", "gamma=11",
    "floor=-0.1", "floor=1.01", "floor=nan", "anneal=-1", "anneal=1.5", "anneal=99999", "mixup=0", "mixup=-1",
    "mixup=inf", "minimise=-0.1", "minimise=1e9", "imbalance=0.99", "imbalance=0", "imbalance=nan", "imbalance=101",
    "unlabelled=0", "unlabelled=-5", "unlabelled=2001", "dataset=diabetes", "dataset=", "dataset=Digits", "arms=",
    "arms=none", "arms=penalty,evil", "arms=PENALTY", "along=evil", "moment=best", "dropout=1", "n_train=1400&unlabelled=500",
    "dataset=wine&n_train=100&unlabelled=50", "dataset=wine&n_train=500", "bonus=0", "bonus=nan", "step=-1", "step=1e9", "epochs=0", "seeds=21", "width=0",
    "width=1024&depth=6&epochs=2000&seeds=20&batch_size=1", "task=bandit", "is_sign_wrong=true", "v=2", "Beta=1",
)  # fmt: skip


def visit(test: AppTest, link: str) -> AppTest:
    test.query_params.clear()
    for key, texts in parse_qs(link, keep_blank_values=True).items():
        test.query_params[key] = texts
    return test.run()


@pytest.fixture(scope="module")
def store():
    opened = Store("", GALLERY)
    yield opened
    opened.close()


def shipped(store: Store, study) -> Comparison:
    return Comparison(study, store.get(spec.digest for spec in study.runs.values()))


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", HOSTILE)
def test_hostile_link_is_answered_with_a_sentence_and_settings_in_range(link):
    settings, problems = EntropySettings.read(link)
    assert problems
    for problem in problems:
        sentence = problem.sentence()
        assert "Expected" in sentence
        assert "received" in sentence
        assert len(sentence.splitlines()) == 1
    for key, control in EntropySettings.controls().items():
        assert control.accepts(getattr(settings, key)), key
    assert EntropySettings.parse(settings.query()) == settings
    assert settings.n_train + settings.unlabelled <= DATASETS[settings.dataset].max_train


@pytest.mark.parametrize("dataset", [name for name, dataset in DATASETS.items() if dataset.classes])
def test_defaults_fit_every_data_set(dataset):
    settings = EntropySettings.parse(f"dataset={dataset}")
    low, high = settings.limits()["n_train"]
    assert low <= settings.n_train <= high
    low, high = settings.limits()["unlabelled"]
    assert low <= settings.unlabelled <= high


def test_beta_of_zero_is_the_baseline_itself():
    study = EXPERIMENT.study(EntropySettings.parse("arms=penalty&beta=0&anneal=0"))
    digests = [study.spec(arm, 0).digest for arm in study.arms]
    assert digests[0] == digests[1]


# -- the page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "language"),
    [(preset, list(LANGUAGES)[place % len(LANGUAGES)]) for place, preset in enumerate(EXPERIMENT.presets)],
    ids=[preset.name for preset in EXPERIMENT.presets],
)
def test_every_preset_is_shown_whole_without_training(page, preset, language):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), f"{preset.query}&lang={language}".lstrip("&"))
    assert not test.exception
    assert not test.warning
    assert not test.error
    study = EXPERIMENT.study(EntropySettings.parse(preset.query))
    shown = " ".join(markdown.value for markdown in test.markdown)
    assert f"`{study.digest[:10]}`" in shown
    assert not any((button.key or "").endswith("main.train") for button in test.button)
    found = drawn(test)
    assert len(found) >= 5 + len(study.arms)
    for spec, frames, alt in found:
        assert alt
        assert frames
        json.dumps(spec, allow_nan=False)


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_of_the_default_is_complete_from_the_gallery(page, tab):
    test = AppTest.from_file(PAGE, default_timeout=60)
    test.session_state["tabs.entropy"] = tab
    test.run()
    assert not test.exception
    assert not [button for button in test.button if (button.key or "").endswith(".train")]
    assert len(test.get("vega_lite_chart")) >= 11 or tab in ("Lessons", "How it is measured")


CHOICES = [
    ("Confidence", "entropy_quantity", "entropy"),
    *[("Confidence", "entropy_example_order", order) for order in ("rose", "repaired", "broken")],
    ("The sign", "entropy_sign", "minimise"),
    ("Exploration", "entropy_world", "bandit"),
    *[("Lessons", "entropy_lesson", lesson) for lesson in LESSONS],
]


@pytest.mark.parametrize(
    ("tab", "key", "choice", "language"),
    [(*choice, list(LANGUAGES)[place % len(LANGUAGES)]) for place, choice in enumerate(CHOICES)],
)
def test_every_choice_within_a_tab_is_drawn(page, tab, key, choice, language):
    test = AppTest.from_file(PAGE, default_timeout=60)
    use_language(language)
    from core.i18n import _

    test.session_state["tabs.entropy"] = _(tab)
    test.session_state[key] = choice
    test.query_params["lang"] = language
    test.run()
    assert not test.exception
    assert not test.error
    assert test.session_state[key] == choice


@pytest.mark.parametrize("tab", TABS[:4])
def test_tabs_of_settings_without_a_result_say_what_will_be_there(page, tab):
    test = AppTest.from_file(PAGE, default_timeout=60)
    test.session_state["tabs.entropy"] = tab
    visit(test, "dataset=moons&n_train=40&seeds=2")
    assert not test.exception
    assert any((button.key or "").endswith("main.train") for button in test.button)


@pytest.mark.parametrize("link", ["beta=nan", "beta=-1", "dataset=diabetes", "n_train=1400&unlabelled=500"])
def test_hostile_link_through_the_page(page, link):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), link)
    assert not test.exception
    assert test.warning
    assert all("Expected" in warning.value for warning in test.warning)


@pytest.mark.parametrize("screen", [1, 4, 9])
def test_every_screen_of_the_presentation_opens(page, screen):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), f"present=true&screen={screen}")
    assert not test.exception


@pytest.mark.parametrize("values", [[2.3], [2.3, 1.0]])
def test_stopped_study_without_measures_is_shown_as_partial(page, values):
    link = f"n_train=60&seeds=2&epochs=30&batch_size={len(values)}"
    for spec in EXPERIMENT.study(EntropySettings.parse(link)).runs.values():
        page.store.put(result_of(spec, values, status="stopped"))
    test = visit(AppTest.from_file(PAGE, default_timeout=60), link)
    assert not test.exception
    assert any((button.key or "").endswith("main.train") for button in test.button)


# -- the verdict ---------------------------------------------------------------------------------------------

SETTINGS = EntropySettings.parse("arms=penalty,focal,dropout,temperature&seeds=5")
STUDY = EXPERIMENT.study(SETTINGS)
JITTER = (0.0, 0.01, -0.01, 0.02, -0.02)
PLAIN = {"nll": 1.0, "accuracy": 0.8, "ece": 0.1, "brier": 0.3, "nll_scaled": 0.7, "entropy": 0.5}


def constructed(study=STUDY, **arms: dict[str, float]) -> Comparison:
    """Construct a comparison from the mean measures of each arm; seeds differ a little, the same way in all."""
    results: dict[str, RunResult] = {}
    for arm, seed, spec in study:
        values = PLAIN | arms.get(arm.name, {})
        own = 1 if arm.name == BASELINE else 1.1
        shifted = {name: value + 0.02 * own * JITTER[seed] for name, value in values.items()}
        result = result_of(spec, [2.3, values["nll"]])
        frames = {"measures": pd.DataFrame({"name": list(shifted), "value": list(shifted.values())})}
        results[spec.digest] = RunResult(result.info, {"curves": result.curves, **frames})
    return Comparison(study, results)


@pytest.mark.parametrize(
    ("arms", "said", "unsaid"),
    [
        (
            {"penalty": {"nll": 0.8, "ece": 0.05}},
            ["improves NLL (−20%", "calibration (ECE 0.10 to 0.050)", "no cost is seen"],
            ["costs"],
        ),
        (
            {"penalty": {"nll": 0.8, "accuracy": 0.7}},
            ["improves NLL", "costs accuracy (−10 points"],
            ["no cost"],
        ),
        (
            {"penalty": {"ece": 0.4}},
            ["improves nothing, and costs calibration (ECE 0.10 to 0.40)"],
            ["better"],
        ),
        ({}, ["No difference seen with confidence penalty"], ["improves", "costs", "better", "worse"]),
        ({"penalty": {"nll_scaled": 0.8}}, ["costs NLL once temperature is fitted (+14%"], ["improves NLL"]),
        (
            {"focal": {"nll": 0.8}, "dropout": {"nll": 0.7}},
            ["focal loss 2 and dropout 0.5: better NLL."],
            [],
        ),
        ({"dropout": {"accuracy": 0.9, "ece": 0.2}}, ["dropout 0.5: better accuracy, worse calibration."], []),
    ],
)
def test_verdict_names_what_improved_and_what_it_cost(arms, said, unsaid):
    text = verdict(constructed(**arms)).casefold()
    for part in said:
        assert part.casefold() in text
    for part in unsaid:
        assert part.casefold() not in text


def test_uniform_answers_are_named_as_a_collapse():
    text = verdict(constructed(penalty={"entropy": 2.28, "nll": 2.25, "accuracy": 0.4}))
    assert "collapses to the uniform answer" in text
    assert "2.28 of at most ln 10 = 2.30" in text
    assert "40%" in text
    assert "improves" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_verdict_is_said_in_each_language_from_the_first_report_to_the_end(language):
    use_language(language)
    one_seed = EXPERIMENT.study(EntropySettings.parse("seeds=1"))
    curves_only = {spec.digest: result_of(spec, [2.3, 1.0]) for spec in STUDY.runs.values()}
    cases = [
        Comparison(STUDY, {}), Comparison(STUDY, curves_only), constructed(one_seed), constructed(),
        constructed(penalty={"entropy": 2.29}),
        constructed(STUDY, **{arm.name: {"entropy": 2.29} for arm in STUDY.treatments}),
    ]  # fmt: skip
    for comparison in cases:
        text = verdict(comparison)
        assert len(text) > 20
        assert not re.search(r"[{}]|\bnan\b", text)


def test_effects_of_measures_are_paired_and_those_of_curves_stay():
    comparison = constructed(penalty={"nll": 0.8, "ece": 0.05})
    seen = measured(comparison)
    arm = STUDY.treatments[0]
    effect = seen.effect(arm, NLL)
    assert effect.absolute.n == 5
    assert effect.absolute.mean == pytest.approx(-0.2, abs=1e-6)
    assert effect.is_better
    assert seen.effect(arm, ECE).is_better
    assert amount(seen.effect(arm, ECE)).startswith("−0.050 [")
    assert measured(comparison) is seen
    assert isinstance(seen, Measured)
    assert len(seen.outcomes) == 2 * len(STUDY.runs)


# -- figures -------------------------------------------------------------------------------------------------


def test_figures_of_a_recorded_study_state_numbers_that_are_there(store):
    comparison = shipped(store, EXPERIMENT.study(EntropySettings()))
    seen, names = measured(comparison), EXPERIMENT.arm_names
    for arm in comparison.study.arms:
        figure = charts.reliability_panel(comparison, arm.name, names)
        rows = charts.answers(comparison, arm.name)
        assert figure.datasets["bins"]["count"].sum() == len(rows)
        assert figure.table["Answers"].sum() == len(rows)
        spread = charts.histogram_panel(comparison, arm.name, "entropy", 1.0)
        assert spread.datasets["bins"]["share"].sum() == pytest.approx(1)
    for column in ("ece", "nll"):
        assert len(charts.scaled(seen, names, column).table) == len(comparison.study.arms)
    for what in ("confidence", "auroc"):
        assert charts.unfamiliar(seen, names, what).datasets["rows"]["mean"].between(0, 1).all()
    for column in ("confidence", "accuracy"):
        figure = charts.rotation(seen, names, column)
        assert figure is not None
        assert len(figure.datasets["rows"]) == 13 * len(comparison.study.arms)


@pytest.mark.parametrize("order", ["fell", "rose", "repaired", "broken"])
def test_examples_show_the_points_that_changed_with_their_images(store, order):
    comparison = shipped(store, EXPERIMENT.study(EntropySettings()))
    figure = charts.examples(comparison, "penalty", EXPERIMENT.arm_names, order)
    assert figure is not None
    rows = figure.datasets["rows"]
    assert 0 < len(rows) <= charts.EXAMPLES
    assert rows["picture"].str.startswith("data:image/png;base64,").all()
    change = rows["after"] - rows["before"]
    if order == "fell":
        assert (np.diff(change) >= 0).all()
        assert (change < 0).all()
    if order == "rose":
        assert (np.diff(change) <= 0).all()
    if order == "repaired":
        assert (rows["answer_before"] != rows["label"]).all()
        assert (rows["answer_after"] == rows["label"]).all()
    if order == "broken":
        assert (rows["answer_before"] == rows["label"]).all()
        assert (rows["answer_after"] != rows["label"]).all()


def test_examples_without_images_are_drawn_too(store):
    study = EXPERIMENT.study(EntropySettings.parse("arms=penalty&seeds=1&n_train=40"))
    results = {}
    for arm, _seed, spec in study:
        answers = pd.DataFrame({"label": [0, 1, 2], "answer": [0, 1, 1], "entropy": [0.5, 0.4, 0.3]})
        answers["confidence"] = [0.9, 0.8, 0.7] if arm.name == BASELINE else [0.5, 0.6, 0.2]
        result = result_of(spec, [2.3, 1.0])
        results[spec.digest] = RunResult(result.info, {"curves": result.curves, "predictions": answers})
    comparison = Comparison(study, results)
    figure = charts.examples(comparison, "penalty", EXPERIMENT.arm_names, "fell")
    assert figure is not None
    assert figure.datasets["rows"]["row"].tolist() == [2, 0, 1]
    assert charts.examples(comparison, "penalty", EXPERIMENT.arm_names, "broken") is None


def test_sweep_pairs_its_points_and_states_the_best(store):
    series = EXPERIMENT.series(EntropySettings())
    seen = [measured(shipped(store, study)) for _value, study in series.points]
    for measure in charts.SWEPT:
        figure = charts.sweep(series, seen, EXPERIMENT.arm_names, measure)
        assert set(figure.datasets["rows"]["arm"]) == {BASELINE, "penalty"}
        assert len(figure.datasets["rows"]) == 2 * len(series.points)
        assert figure.title in figure.alt


@pytest.mark.parametrize("along", EntropySettings.controls()["along"].options)  # type: ignore[attr-defined]
@pytest.mark.parametrize("dataset", ["digits", "wine", "moons"])
def test_every_series_pairs_its_points_with_valid_studies(along, dataset):
    settings = EntropySettings.parse(f"dataset={dataset}&along={along}&seeds=2")
    found = EXPERIMENT.series(settings)
    assert len({value for value, _study in found.points}) == len(found.points) >= 1
    for _value, study in found.points:
        assert len(study.runs) == 2 * len(study.arms)
    empty = [measured(Comparison(study, {})) for _value, study in found.points]
    assert not len(charts.sweep(found, empty, EXPERIMENT.arm_names, NLL).table)


@pytest.mark.parametrize(
    ("classes", "beta", "epsilon", "floor"), [(2, 0.2, 0.05, 0.2), (10, 1.0, 0.0, 0.0), (10, 0.0, 0.1, 1.0)]
)
def test_pull_is_drawn_for_any_strength(classes, beta, epsilon, floor):
    figure = charts.pull(classes, beta, epsilon, floor, EXPERIMENT.arm_names)
    assert set(figure.datasets["rows"]["arm"]) == {"penalty", "hinge", "label_smoothing"}
    json.dumps(figure.spec, allow_nan=False)
    assert "nan" not in figure.title


@pytest.mark.parametrize("task", TASKS)
def test_agents_are_drawn_and_counted(store, task):
    comparison = shipped(store, EXPERIMENT.agents(task))
    for column in ("expected_return", "entropy"):
        figure = agents.learning(comparison, AGENT_NAMES, column)
        assert figure is not None
        assert figure.datasets["rows"]["arm"].nunique() == len(AGENT_NAMES)
    if task == "grid":
        figure = agents.visited(comparison, BASELINE)
        assert figure is not None
        assert len(figure.datasets["rows"]) == 49
        assert figure.datasets["rows"]["visits"].sum() > 1
    empty = Comparison(comparison.study, {})
    assert agents.learning(empty, AGENT_NAMES, "entropy") is None
    assert agents.visited(empty, BASELINE) is None


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_a_lesson_are_computed(store, lesson, language):
    use_language(language)
    study = EXPERIMENT.lesson(lesson)
    assert tuple(arm.name for arm in study.arms) == LESSON_NAMES[lesson]
    words = sections.lesson_words(measured(shipped(store, study)), lesson)
    assert words[-1] == "."
    assert "nan" not in words
    assert not set("{}") & set(words)
