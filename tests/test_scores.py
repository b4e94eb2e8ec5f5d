"""Scores by every measure equal scikit-learn's; the cross table marks a best only where intervals allow it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.comparison import Comparison
from core.experiments.custom_loss import EXPERIMENT, CustomLossSettings
from core.losses.crosstable import BEST, TIED, cross_table
from core.losses.scores import (
    CLASSIFICATION,
    REGRESSION,
    average_precision,
    calibration_error,
    classification_scores,
    regression_scores,
)
from core.result import RunResult
from tests.conftest import result_of

RNG = np.random.default_rng(3)


def test_regression_scores_by_hand():
    found = regression_scores(np.array([0.0, 0.0, 1.0, 3.0]), np.array([0.0, 2.0, 0.5, 2.0]))
    assert set(found) == {score.name for score in REGRESSION}
    assert found["mse"] == pytest.approx((4 + 0.25 + 1) / 4)
    assert found["mae"] == pytest.approx(3.5 / 4)
    assert found["median_ae"] == pytest.approx(0.75)
    assert found["huber"] == pytest.approx((1.5 + 0.125 + 0.5) / 4)
    assert found["pinball"] == pytest.approx((0.2 + 0.45 + 0.9) / 4)
    assert found["abs_bias"] == pytest.approx(0.125)
    assert found["r2"] == pytest.approx(1 - 5.25 / 6)
    assert found["below"] == 0.25


def test_scikit_learn_agrees():
    from scipy.special import softmax
    from sklearn import metrics

    true, predicted = RNG.standard_normal(80), RNG.standard_normal(80)
    found = regression_scores(true, predicted)
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(true, predicted))
    assert found["median_ae"] == pytest.approx(metrics.median_absolute_error(true, predicted))
    assert found["pinball"] == pytest.approx(metrics.mean_pinball_loss(true, predicted, alpha=0.9))
    assert found["r2"] == pytest.approx(metrics.r2_score(true, predicted))
    labels, logits = RNG.integers(0, 3, 200), RNG.standard_normal((200, 3))
    found = classification_scores(labels, logits, 2, cost=4.0)
    assert set(found) == {score.name for score in CLASSIFICATION}
    probabilities, answers = softmax(logits, axis=-1), logits.argmax(-1)
    rare = labels == 2
    assert found["cross_entropy"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert found["error"] == pytest.approx(1 - metrics.accuracy_score(labels, answers))
    assert found["recall"] == pytest.approx(metrics.recall_score(rare, answers == 2))
    assert found["precision"] == pytest.approx(metrics.precision_score(rare, answers == 2))
    assert found["f1"] == pytest.approx(metrics.f1_score(rare, answers == 2))
    assert found["ap"] == pytest.approx(metrics.average_precision_score(rare, probabilities[:, 2]))
    ties = RNG.integers(0, 6, 200).astype(float)
    assert average_precision(rare, ties) == pytest.approx(metrics.average_precision_score(rare, ties))
    costs = np.where(answers == labels, 0, np.where(rare, 4.0, 1.0))
    assert found["cost"] == pytest.approx(costs.mean())


def test_brier_and_calibration_by_hand():
    logits = np.log([[0.8, 0.2], [0.6, 0.4]])
    found = classification_scores(np.array([0, 1]), logits, 1)
    assert found["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2)
    assert found["ece"] == pytest.approx((0.2 + 0.6) / 2)
    assert calibration_error(np.array([1.0, 1.0, 0.05]), np.array([True, False, False])) == pytest.approx(
        (1.0 + 0.05) / 3
    )


@given(st.lists(st.booleans(), min_size=2, max_size=30), st.integers(0, 1000))
def test_average_precision_is_a_share_and_does_not_depend_on_the_order_of_rows(positive, seed):
    rng = np.random.default_rng(seed)
    positive, score = np.array(positive), rng.integers(0, 5, len(positive)).astype(float)
    found = average_precision(positive, score)
    if not positive.any():
        assert np.isnan(found)
        return
    assert positive.mean() / len(positive) <= found <= 1 + 1e-12
    order = rng.permutation(len(positive))
    assert average_precision(positive[order], score[order]) == pytest.approx(found)


@pytest.mark.parametrize("answer", [0, 1])
def test_scores_of_a_constant_answer_are_numbers(answer):
    labels, logits = np.array([0, 0, 1, 0]), np.tile(np.where(np.arange(2) == answer, 3.0, 0.0), (4, 1))
    found = classification_scores(labels, logits, 1)
    assert np.isfinite(list(found.values())).all()
    assert found["recall"] == answer
    assert found["ap"] == pytest.approx(0.25)


# -- the cross table --------------------------------------------------------------------------------------

SETTINGS = CustomLossSettings(losses=("mae", "huber"), seeds=4)
STUDY = EXPERIMENT.study(SETTINGS)


def _comparison(values: dict[str, dict[str, list[float]]], status: str = "complete") -> Comparison:
    results = {}
    for arm, seed, spec in STUDY:
        if arm.name in values:
            scores = [(measure, column[seed]) for measure, column in values[arm.name].items()]
            frame = pd.DataFrame(scores, columns=["measure", "value"])
            result = result_of(spec, [1.0, 0.5], status=status)
            results[spec.digest] = RunResult(result.info, {**result.frames, "scores": frame})
    return Comparison(STUDY, results)


def _marks(table, measure: str) -> dict[str, str]:
    rows = table.cells[table.cells["measure"] == measure]
    return dict(zip(rows["arm"], rows["mark"], strict=True))


def test_best_is_marked_where_the_paired_lead_excludes_zero():
    table = cross_table(
        _comparison(
            {
                "none": {"mse": [2.0, 3.0, 4.0, 5.0], "r2": [0.1, 0.2, 0.3, 0.4]},
                "mae": {"mse": [1.0, 2.1, 2.9, 4.0], "r2": [0.1, 0.3, 0.2, 0.4]},
                "huber": {"mse": [0.5, 1.5, 2.4, 3.6], "r2": [0.0, 0.0, 0.0, 0.0]},
            }
        ),
        REGRESSION,
    )
    # every seed of Huber is ahead of its partners by much the same, though the arms overlap
    assert _marks(table, "mse") == {"none": "", "mae": "", "huber": BEST}
    # higher is better; two arms that cannot be told apart share the mark, the third is out
    assert _marks(table, "r2") == {"none": TIED, "mae": TIED, "huber": ""}
    assert table.winners() == {"none": [], "mae": [], "huber": ["mse"]}


def test_no_mark_without_intervals_or_direction():
    same = {"mse": [1.0, 1.0, 1.0, 1.0], "below": [0.1, 0.5, 0.9, 0.3]}
    table = cross_table(_comparison({"none": same, "mae": same}), REGRESSION)
    assert _marks(table, "mse") == {"none": TIED, "mae": TIED}
    assert _marks(table, "below") == {"none": "", "mae": ""}
    assert not len(cross_table(_comparison({}), REGRESSION).cells)
    assert not len(cross_table(_comparison({"none": same}, status="diverged"), REGRESSION).cells)
    one = EXPERIMENT.study(SETTINGS.model_copy(update={"seeds": 1}))
    results = dict(_comparison({"none": same, "mae": {"mse": [0.5] * 4}}).results)
    table = cross_table(Comparison(one, results), REGRESSION)
    assert set(table.cells["mark"]) == {""}
