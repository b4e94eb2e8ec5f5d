"""Lessons and tasks: what they say is what their code did and what the results show."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.comparison import Comparison
from core.config import GALLERY
from core.experiments import experiments
from core.lessons import lesson_run
from core.store import Store
from tests.conftest import ROOT

LESSONS = [(experiment, lesson) for experiment in experiments().values() for lesson in experiment.corrections]
TASKS = [(experiment, task) for experiment in experiments().values() for task in experiment.tasks]
each_lesson = pytest.mark.parametrize(
    ("experiment", "lesson"), LESSONS, ids=[f"{experiment.name}-{lesson.name}" for experiment, lesson in LESSONS]
)


@pytest.fixture(scope="module")
def store():
    shipped = Store("", GALLERY)
    yield shipped
    shipped.close()


def outcomes(store: Store, page: str, name: str) -> dict[str, list[float | str]]:
    """Read what both sides of a recorded lesson did."""
    lesson = next(lesson for experiment, lesson in LESSONS if (experiment.name, lesson.name) == (page, name))
    run = lesson_run(page, lesson)
    frame = store.get([run.digest])[run.digest].frames["outcomes"]
    return {
        side: [row.text or row.value for row in frame[frame["side"] == side].itertuples()]
        for side in ("wrong", "right")
    }


@each_lesson
def test_both_sides_of_a_lesson_have_run(experiment, lesson, store):
    both = outcomes(store, experiment.name, lesson.name)
    assert both["wrong"]
    assert both["right"]
    assert both["wrong"] != both["right"]


@each_lesson
def test_code_that_is_shown_stands_alone(experiment, lesson):
    for source in lesson.sources:
        compile(source, lesson.name, "exec")
        assert "N_(" not in source
        assert "Outcome" not in source


def test_changed_code_is_run_again():
    experiment, lesson = LESSONS[0]
    other = type(lesson)(lesson.name, lesson.claim, lesson.teaches, lesson.right, lesson.right)
    assert lesson_run(experiment.name, lesson).digest != lesson_run(experiment.name, other).digest


@pytest.mark.slow
def test_shown_code_runs_by_itself_and_prints_what_is_recorded(store):
    _experiment, lesson = next(one for one in LESSONS if one[1].name == "dropout_rate")
    for side, source in zip(("wrong", "right"), lesson.sources, strict=True):
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, timeout=120)
        assert done.returncode == 0, done.stderr
        for value in outcomes(store, "overfitting", "dropout_rate")[side]:
            assert str(value) in done.stdout


def test_a_dense_layer_has_no_dropout_rate_and_the_layer_is_at_rest_in_inference(store):
    both = outcomes(store, "overfitting", "dropout_rate")
    assert "dropoutRate" in both["wrong"][0]
    assert both["right"] == [pytest.approx(0.5, abs=0.02), 0.0]


def test_dropout_zeroes_outputs_and_dropconnect_weights(store):
    both = outcomes(store, "overfitting", "outputs_not_weights")
    assert both["wrong"][0] < 0.3
    assert both["wrong"][1] > 15
    assert both["right"] == [pytest.approx(0.5, abs=0.02), 2.0]


def test_val_loss_ranks_the_other_way_than_the_data_loss(store):
    both = outcomes(store, "overfitting", "val_loss")
    assert both["wrong"][1] > both["wrong"][0]
    assert both["right"][1] < both["right"][0]
    assert both["right"][0] == pytest.approx(both["wrong"][0], rel=1e-4), "without a penalty they agree"


def test_adam_hardly_decays_weights_with_large_gradients_unless_decoupled(store):
    both = outcomes(store, "overfitting", "decoupled_decay")
    assert both["wrong"][0] > 0.95 > 0.8 > both["wrong"][1]
    assert both["right"][0] == pytest.approx(both["right"][1], abs=0.02)


@pytest.mark.parametrize(
    ("experiment", "task"), TASKS, ids=[f"{experiment.name}-{task.name}" for experiment, task in TASKS]
)
def test_task_is_answered_by_the_recorded_results(experiment, task, store):
    preset = next(preset for preset in experiment.presets if preset.name == task.preset)
    study = experiment.study(experiment.settings.parse(preset.query))
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    assert comparison.is_complete
    right = task.right(comparison)
    assert right
    assert right < set(range(len(task.options))), "a task that every answer solves asks nothing"
    assert len(set(task.options)) == len(task.options) >= 3


def test_an_lstm_without_an_output_layer_cannot_be_sure_of_a_letter(store):
    both = outcomes(store, "rnn", "output_layer")
    answer, loss, bound = both["wrong"]
    assert "has no attribute 'compile'" in answer
    assert loss > bound > 2.1  # 2.55 bits of a bound of 2.13
    assert both["right"][0] < 0.1  # 0.01: the alphabet is certain
