"""A comparison: tidy rows and paired differences from constructed results, whatever became of the runs."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from core.cli import as_json
from core.comparison import GAP, VALIDATION_LOSS, VALIDATION_SCORE, Comparison, label, lowered, tidy_tables
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.result import CURVE_COLUMNS, RunFailure, RunResult
from core.study import BASELINE
from tests.conftest import result_of, results_of, small_study

STUDY = small_study(seeds=3, arms=("l1", "l2"))
LOSSES = {BASELINE: [1.0, 2.0, 4.0], "l1": [0.5, 1.0, 2.0], "l2": [1.1, 1.9, 4.1]}


def _arm(study, name):
    return next(arm for arm in study.arms if arm.name == name)


def test_effect_is_the_mean_of_the_differences_seed_by_seed():
    effect = Comparison(STUDY, results_of(STUDY, LOSSES)).effect(_arm(STUDY, "l1"))
    assert effect.by_seed["absolute"].tolist() == pytest.approx([-0.5, -1.0, -2.0])
    assert effect.by_seed["relative"].tolist() == pytest.approx([-0.5, -0.5, -0.5])
    assert effect.absolute.mean == pytest.approx(-3.5 / 3)
    assert effect.relative.mean == pytest.approx(-0.5)
    assert effect.shown is effect.relative


def test_better_needs_both_the_absolute_and_the_relative_interval():
    effect = Comparison(STUDY, results_of(STUDY, LOSSES)).effect(_arm(STUDY, "l1"))
    # −0.5, −1, −2: Student's interval of three such values covers zero, though every share is −50 %
    assert effect.relative.excludes_zero
    assert not effect.absolute.excludes_zero
    assert not effect.is_significant
    assert not effect.is_better
    assert not effect.is_worse


def test_effects_come_best_first_and_without_a_pair_last():
    losses = {BASELINE: [1.0, 1.0, 1.0], "l2": [0.5, 0.51, 0.52], "dropout": [0.8, 0.81, 0.82]}
    study = small_study(arms=("l1", "l2", "dropout"))
    effects = Comparison(study, results_of(study, losses)).effects()
    assert [effect.arm.name for effect in effects] == ["l2", "dropout", "l1"]
    assert effects[0].is_better
    assert effects[-1].absolute.n == 0


def test_score_is_better_where_it_is_higher_and_has_no_share():
    results = {}
    for arm, seed, spec in STUDY:
        results[spec.digest] = result_of(spec, [2.0, 1.0], score=[0.1, (0.7 if arm.name == "l1" else 0.5) + seed / 100])
    effect = Comparison(STUDY, results).effect(_arm(STUDY, "l1"), VALIDATION_SCORE)
    assert effect.absolute.mean == pytest.approx(0.2)
    assert effect.is_better
    assert effect.relative.n == 0
    assert effect.shown is effect.absolute


def test_gap_is_validation_minus_training_loss():
    results = {spec.digest: result_of(spec, [2.0, 1.0], train=[2.0, 0.25]) for _, _, spec in STUDY}
    rows = Comparison(STUDY, results).outcomes
    assert rows.loc[rows["at"] == "last", "gap"].tolist() == pytest.approx([0.75] * 9)
    assert Comparison(STUDY, results).effect(_arm(STUDY, "l1"), GAP).absolute.mean == 0


def test_outcomes_hold_a_row_a_run_and_moment():
    rows = Comparison(STUDY, results_of(STUDY, LOSSES)).outcomes
    assert len(rows) == 9 * 2
    assert set(CURVE_COLUMNS) <= set(rows.columns)
    assert rows.groupby(["arm", "seed", "at"]).size().eq(1).all()


def test_best_moment_is_the_minimum_and_last_the_weights_the_run_ends_with():
    _, _, spec = next(iter(STUDY))
    result = result_of(spec, [2.0, 1.0, 0.5, 0.7, 0.9], final_epoch=3)
    rows = Comparison(STUDY, {spec.digest: result}).outcomes.set_index("at")
    assert (rows.loc["best", "epoch"], rows.loc["best", "validation_loss"]) == (2, np.float32(0.5))
    assert (rows.loc["last", "epoch"], rows.loc["last", "validation_loss"]) == (3, np.float32(0.7))


def test_run_that_ended_early_keeps_its_final_values_to_the_planned_end():
    _, _, spec = next(iter(STUDY))
    comparison = Comparison(STUDY, {spec.digest: result_of(spec, [2.0, 1.0, 1.5], final_epoch=1)})
    curves = comparison.curves
    assert curves["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert curves["kept"].tolist() == [False, False, False, True, True]
    assert curves.loc[curves["kept"], "validation_loss"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("status", ["stopped", "diverged"])
def test_run_that_did_not_reach_its_end_is_not_prolonged(status):
    _, _, spec = next(iter(STUDY))
    comparison = Comparison(STUDY, {spec.digest: result_of(spec, [2.0, 1.0, 1.5], status=status)})
    assert comparison.curves["epoch"].tolist() == [0, 1, 2]
    assert comparison.is_partial is (status == "stopped")


def test_diverged_seed_has_no_pair():
    results = results_of(STUDY, LOSSES)
    spec = STUDY.runs["l1", 1]
    results[spec.digest] = result_of(spec, [2.0, math.nan], status="diverged")
    comparison = Comparison(STUDY, results)
    assert comparison.effect(_arm(STUDY, "l1")).by_seed["seed"].tolist() == [0, 2]
    assert comparison.seeds_with(_arm(STUDY, "l1"), status="diverged") == 1
    assert comparison.is_complete


def test_diverged_baseline_leaves_no_pair_for_any_arm_of_that_seed():
    results = results_of(STUDY, LOSSES)
    spec = STUDY.runs[BASELINE, 0]
    results[spec.digest] = result_of(spec, [2.0, math.inf], status="diverged")
    assert [effect.absolute.n for effect in Comparison(STUDY, results).effects()] == [2, 2]


@pytest.mark.parametrize(("loss", "collapsed"), [(2.3, True), (2.19, True), (2.18, False), (0.1, False)])
def test_collapse_is_a_training_loss_near_the_constant_answers(loss, collapsed):
    results = {spec.digest: result_of(spec, [2.3, 2.3], train=[2.3, loss]) for _, _, spec in STUDY}
    assert Comparison(STUDY, results).seeds_with(_arm(STUDY, "l1"), collapsed=True) == (3 if collapsed else 0)


@pytest.mark.parametrize("says", [True, False])
def test_run_that_says_itself_whether_it_collapsed_is_believed(says):
    results = {
        digest: RunResult(result.info.model_copy(update={"collapsed": says}), result.frames)
        for digest, result in results_of(STUDY, {"none": [0.5] * 3, "l1": [0.4] * 3}).items()
    }
    assert Comparison(STUDY, results).seeds_with(_arm(STUDY, "l1"), collapsed=True) == (3 if says else 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Early stopping", "early stopping"), ("L1 0.1", "L1 0.1"), ("Huber δ 1", "Huber δ 1"), ("MAE", "MAE"), ("", "")],
)
def test_names_and_abbreviations_keep_their_capital_within_a_sentence(text, expected):
    assert lowered(text) == expected


def test_diverged_run_has_not_collapsed():
    results = {spec.digest: result_of(spec, [2.3, 9e9], train=[2.3, 9e9], status="diverged") for _, _, spec in STUDY}
    assert Comparison(STUDY, results).seeds_with(_arm(STUDY, "l1"), collapsed=True) == 0


def test_nothing_at_all_is_a_comparison_without_rows():
    comparison = Comparison(STUDY, {})
    assert len(comparison.missing) == 9
    assert not comparison.is_complete
    assert not comparison.is_partial
    assert not len(comparison.outcomes)
    assert not len(comparison.curves)
    assert {"arm", "seed", "epoch", "validation_loss"} <= set(comparison.curves.columns)
    assert [effect.absolute.n for effect in comparison.effects()] == [0, 0]


def test_failure_is_kept_apart_from_results():
    _, _, spec = next(iter(STUDY))
    comparison = Comparison(STUDY, {spec.digest: RunFailure(digest=spec.digest, reason="download", detail="folder")})
    assert [failure.reason for failure in comparison.failures] == ["download"]
    assert spec.digest in comparison.missing
    assert not comparison.results


def test_label_data_and_difference_of_an_arm_come_from_the_same_arm():
    study = small_study(arms=("l1", "l2", "dropout"))
    losses = {arm.name: [float(place + 1)] * 3 for place, arm in enumerate(study.arms)}
    comparison = Comparison(study, results_of(study, losses))
    exported = as_json(EXPERIMENT, comparison, OverfittingSettings(arms=("l1", "l2", "dropout"), seeds=3, epochs=4))
    for arm in study.arms:
        entry = exported["arms"][label(arm)]
        assert entry["name"] == arm.name
        assert entry["seeds"]["0"]["last"]["validation_loss"] == pytest.approx(losses[arm.name][0])
    for entry in exported["comparisons"]:
        if entry["measure"] == VALIDATION_LOSS.name:
            name = exported["arms"][entry["arm"]]["name"]
            assert entry["difference"] == pytest.approx(losses[name][0] - 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_export_holds_no_number_that_json_lacks(bad):
    results = results_of(STUDY, LOSSES)
    for seed in STUDY.seeds:
        spec = STUDY.runs["l2", seed]
        results[spec.digest] = result_of(spec, [2.0, bad], train=[2.0, bad], status="diverged")
    comparison = Comparison(STUDY, results)
    exported = as_json(EXPERIMENT, comparison, OverfittingSettings(arms=("l1", "l2"), seeds=3, epochs=4))
    json.dumps(exported, allow_nan=False)
    assert exported["arms"][label(_arm(STUDY, "l2"))]["seeds"]["0"]["last"]["validation_loss"] is None


def test_export_of_nothing_is_complete_in_its_keys():
    exported = as_json(EXPERIMENT, Comparison(STUDY, {}), OverfittingSettings())
    assert set(exported) == {"digest", "settings", "arms", "comparisons", "verdict"}
    assert [entry["seeds"] for entry in exported["comparisons"]] == [0] * 6
    assert {entry["difference"] for entry in exported["comparisons"]} == {None}


def test_tables_are_tidy_and_agree_with_the_effects():
    comparison = Comparison(STUDY, results_of(STUDY, LOSSES))
    exported = tidy_tables(comparison)
    assert set(exported) == {"curves", "outcomes", "effects"}
    assert all(isinstance(frame, pd.DataFrame) and len(frame) for frame in exported.values())
    rows = exported["effects"].set_index(["arm", "measure", "at"])
    assert rows.index.is_unique
    effect = comparison.effect(_arm(STUDY, "l1"), VALIDATION_LOSS)
    assert rows.loc[("l1", "validation_loss", "last"), "difference"] == effect.absolute.mean
