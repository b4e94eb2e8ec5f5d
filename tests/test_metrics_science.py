"""What a textbook promises of metrics, M1 to M6, tested by simulation, by Keras and on the shipped results.

M1 (streams are exact, means over batches are not) is in `test_keras_metrics`. Thresholds are what the
numbers bear out, with the measured ones beside them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.comparison import Comparison
from core.config import GALLERY
from core.experiments.metrics import EXPERIMENT, MetricsSettings
from core.metrics import METRICS, all_values, ece, null_ece
from core.metrics.batching import ROWS, batch_errors, calibrated_ece, draw, exact_f1
from core.metrics.scores import scores_of
from core.store import Store
from core.study import BASELINE


def _errors(prevalence: float, metric: str = "f1") -> dict[tuple[int, str], float]:
    return {(found.size, found.rule): found.error for found in batch_errors(prevalence, metric)}


def _shipped(name: str = "rare_digits") -> Comparison:
    query = next(preset.query for preset in EXPERIMENT.presets if preset.name == name)
    study = EXPERIMENT.study(MetricsSettings.parse(query))
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    assert comparison.is_complete
    return comparison


@pytest.mark.parametrize(("prevalence", "expected"), [(0.5, 0.841), (0.2, 0.691), (0.05, 0.453)])
def test_simulation_has_the_f1_that_was_measured_elsewhere(prevalence, expected):
    y, p = draw(prevalence)
    values = [all_values(*pair)["f1"] for pair in zip(y, p, strict=True)]
    # Other draws of other scores gave `expected`; at 1 % they gave 0.210, and these 0.154 of 41 positives a draw.
    assert np.mean(values) == pytest.approx(expected, abs=0.005 if prevalence > 0.1 else 0.03)
    assert np.mean(values) == pytest.approx(exact_f1(prevalence), abs=0.03)


def test_m2_the_error_of_batch_averaged_f1_is_large_and_its_sign_hangs_on_the_rule():
    at = _errors(0.05)
    assert at[32, "zero"] < -0.3  # −36 %
    assert abs(at[32, "one"]) < 0.1  # +1 %: two errors that happen to cancel
    assert -0.3 < at[32, "skip"] < -0.15  # −24 %
    assert at[16, "zero"] < -0.5  # −58 %
    assert at[16, "one"] > 0.25  # +35 %


def test_m2_the_error_grows_as_batches_or_positives_get_fewer():
    for prevalence in (0.2, 0.05, 0.01):
        at = _errors(prevalence)
        by_size = [abs(at[size, "zero"]) for size in (16, 32, 128, 512)]
        assert by_size == sorted(by_size, reverse=True)
    by_prevalence = [abs(_errors(prevalence)[32, "zero"]) for prevalence in (0.5, 0.2, 0.05, 0.01)]
    assert by_prevalence == sorted(by_prevalence)


def test_m3_at_half_positives_nobody_notices():
    at = _errors(0.5)
    assert all(abs(at[32, rule]) < 0.01 for rule in ("zero", "one", "skip"))  # −0.5 %


@pytest.mark.parametrize("prevalence", [0.5, 0.05, 0.01])
def test_m4_accuracy_is_a_mean_of_rows_and_so_exact_in_equal_batches(prevalence):
    assert max(abs(error) for error in _errors(prevalence, "accuracy").values()) < 1e-12


def test_m4_unweighted_only_the_last_partial_batch_errs():
    right = np.array([0.0] * 96 + [1.0] * 4)
    means = [right[start : start + 32].mean() for start in range(0, 100, 32)]
    sizes = [len(right[start : start + 32]) for start in range(0, 100, 32)]
    assert np.mean(means) == 0.25
    assert np.average(means, weights=sizes) == right.mean() == 0.04


def test_m5_ece_of_right_probabilities_falls_with_the_root_of_the_rows_and_is_never_averaged():
    found = dict(calibrated_ece(0.5))
    # 0.144, 0.109, 0.071, 0.046, 0.032, 0.014, 0.008: about 1.0/√n here, where .74/√n was measured with other scores
    scaled = [value * math.sqrt(rows) for rows, value in found.items()]
    assert min(scaled) > 0.9
    assert max(scaled) < 1.2
    y, p = draw(0.5)
    whole = np.mean([ece(*pair, np.ones(ROWS)) for pair in zip(y, p, strict=True)])
    batches = [ece(y[0, i : i + 32], p[0, i : i + 32], np.ones(32)) for i in range(0, ROWS, 32)]
    assert np.mean(batches) > 8 * whole  # 0.174 against 0.016


def test_m5_null_ece_is_what_right_probabilities_score():
    y, p = draw(0.2, 500)
    measured = np.mean([ece(*pair, np.ones(500)) for pair in zip(y, p, strict=True)])
    expected = np.mean([null_ece(own, draws=50) for own in p])
    assert expected == pytest.approx(measured, rel=0.1)


def test_m6_always_negative_is_accurate_and_worthless():
    comparison = _shipped("always_negative")
    scores = scores_of(comparison)
    for arm in comparison.study.treatments:
        for seed in comparison.study.seeds:
            values = scores.values[arm.name, seed]
            assert values["accuracy"] == pytest.approx(0.95, abs=0.005)
            assert values["f1"] == 0
            # scikit-learn says 0; nothing is called positive, so neither is defined
            assert math.isnan(values["mcc"])
            assert math.isnan(values["precision"])
    assert all(scores.values[BASELINE, seed]["f1"] > 0.5 for seed in comparison.study.seeds)


def test_m6_the_choice_of_the_metric_flips_the_winner():
    scores = scores_of(_shipped())
    weights = [arm for arm in scores.arms if arm.name == "class_weights"]
    by = {name: scores.delta(weights[0], metric) for name, metric in METRICS.items()}
    assert by["recall"].is_better  # +0.077
    assert by["precision"].is_worse  # −0.11
    assert by["brier"].is_worse  # +0.036
    l2 = next(arm for arm in scores.arms if arm.name == "l2")
    assert scores.delta(l2, METRICS["precision"]).interval.mean > 0.4  # +0.57
    assert scores.delta(l2, METRICS["recall"]).interval.mean < -0.2  # −0.33
    assert scores.delta(l2, METRICS["log_loss"]).is_better
    assert scores.delta(l2, METRICS["ece"]).is_worse


def test_where_both_classes_are_common_no_arm_is_disputed():
    scores = scores_of(_shipped("half_and_half"))
    disputed = {arm.name: min(len(scores.better(arm)), len(scores.worse(arm))) for arm in scores.arms}
    assert not any(disputed.values()), disputed


def test_without_wrong_labels_l2_and_dropout_miss_more_of_the_rare_class():
    scores = scores_of(_shipped("clean_digits"))
    arms = {arm.name: arm for arm in scores.arms}
    assert scores.delta(arms["l2"], METRICS["recall"]).is_worse
    assert scores.delta(arms["l2"], METRICS["mcc"]).is_worse
    assert scores.delta(arms["dropout"], METRICS["recall"]).interval.mean < 0


def test_metrics_choose_different_epochs():
    from core.charts.epochs import choices

    comparison = _shipped()
    found = {choice.metric.name: choice for choice in choices(comparison, comparison.baseline)}
    medians = {name: np.median(choice.epochs) for name, choice in found.items()}
    assert max(medians.values()) - min(medians.values()) > 10
    assert all(choice.cost.high <= 1e-9 or choice.cost.mean <= 0 for choice in found.values())
    assert found["log_loss"].cost.mean == 0
