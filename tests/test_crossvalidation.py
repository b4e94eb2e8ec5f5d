"""Cross-validation: the folds, the choice, and the one look at the test points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.charts import folds
from core.config import GALLERY
from core.crossvalidation import CrossValidation, final_test
from core.datasets import find
from core.datasets.loaders import load, split
from core.experiments.overfitting import EXPERIMENT
from core.store import Store
from tests.conftest import result_of


def rows_of(means: dict[float, float], error: float = 0.1, n: int = 5) -> pd.DataFrame:
    """Summarize made-up folds."""
    return pd.DataFrame(
        [{"strength": s, "mean": m, "error": error, "low": m - 0.2, "high": m + 0.2, "folds": n}
         for s, m in means.items()]
    )  # fmt: skip


@pytest.fixture
def validation() -> CrossValidation:
    return EXPERIMENT.cross_validation(EXPERIMENT.settings())


@pytest.mark.parametrize(
    ("means", "error", "expected"),
    [
        ({0.0: 1.0, 0.1: 0.8, 0.2: 0.85, 0.3: 2.0}, 0.1, (0.1, 0.2)),
        ({0.0: 1.0, 0.1: 0.8, 0.2: 0.95, 0.3: 2.0}, 0.1, (0.1, 0.1)),
        ({0.0: 0.8, 0.1: 0.85, 0.2: 0.95, 0.3: 2.0}, 0.1, (0.0, 0.1)),
        ({0.0: 0.8, 0.1: 1.5, 0.2: 1.6, 0.3: 2.0}, 0.1, (0.0, 0.0)),
        ({0.0: 1.0, 0.1: 0.8, 0.2: 0.85, 0.3: 2.0}, 9.0, (0.1, 0.3)),
    ],
)
def test_the_strongest_within_one_standard_error_is_chosen(means, error, expected):
    base = EXPERIMENT.study(EXPERIMENT.settings()).base
    runs = {(strength, fold): base for strength in means for fold in range(5)}
    own = CrossValidation("l2", "Strength λ", True, 5, runs)
    rows = rows_of(means, error)
    assert own.choose(rows) == expected
    assert own.choose(rows.head(3)) is None, "no choice before every strength is measured"
    assert own.choose(rows.assign(folds=[5, 5, 4, 5])) is None, "no choice before every fold is measured"
    title = folds.choice(own, rows, EXPERIMENT.arm_names).title
    assert ("no regularization" in title) == (expected[1] == 0)


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_folds_are_the_training_points_cut_into_parts(n_folds):
    dataset = find("wine")
    x, y = load(dataset)
    shared = {"n_train": 90, "n_validation": 40, "seed": 3}
    whole = split(dataset, x, y, **shared)
    left_out = []
    for fold in range(n_folds):
        part = split(dataset, x, y, folds=n_folds, fold=fold, **shared)
        assert len(part.train.x) + len(part.validation.x) == 90
        assert sorted(np.concatenate([part.train.y, part.validation.y])) == sorted(whole.train.y)
        assert abs(len(part.validation.x) - 90 / n_folds) < 1
        np.testing.assert_allclose(part.train.x.mean(0), 0, atol=1e-5)
        left_out.append(part.validation.y)
        assert np.array_equal(part.test.y, whole.test.y)
    assert sorted(np.concatenate(left_out)) == sorted(whole.train.y), "each point is left out once"


def test_wrong_labels_stay_in_the_parts_that_train():
    dataset = find("digits")
    x, y = load(dataset)
    shared = {"n_train": 200, "n_validation": 40, "seed": 0, "folds": 4, "fold": 1}
    clean, noisy = (split(dataset, x, y, flipped=share, **shared) for share in (0.0, 0.3))
    assert (clean.train.y != noisy.train.y).mean() == pytest.approx(0.3, abs=0.01)
    assert np.array_equal(clean.validation.y, noisy.validation.y)


def test_summary_counts_finished_folds_only(validation):
    results = {}
    for index, spec in enumerate(list(validation.runs.values())[:12]):
        results[spec.digest] = result_of(spec, [2.0, 1.0 + 0.1 * index])
    rows = validation.summarize(results)
    assert rows["folds"].sum() == 12
    assert rows["strength"].is_monotonic_increasing
    two = rows[rows["folds"] == 2].iloc[0]
    assert two["error"] == pytest.approx(np.std([two["low"], two["high"]], ddof=1) / np.sqrt(2))
    assert np.isnan(rows[rows["folds"] == 1]["error"]).all()
    assert validation.choose(rows) is None
    assert "12 of 45" in folds.choice(validation, rows, EXPERIMENT.arm_names).title


@pytest.mark.parametrize(
    ("along", "field", "strengths"),
    [("l2", "l2", 9), ("l1", "l1", 9), ("dropout", "dropout", 10), ("n_train", "l2", 9)],
)
def test_runs_differ_in_strength_and_fold_alone(along, field, strengths):
    settings = EXPERIMENT.settings(along=along, cv_folds=3)
    own = EXPERIMENT.cross_validation(settings)
    assert own.field == field
    assert len(own.runs) == 3 * strengths == len({spec.digest for spec in own.runs.values()})
    base = EXPERIMENT.study(settings).base.model_dump()
    for (strength, fold), spec in own.runs.items():
        changed = {key for key, value in spec.model_dump().items() if value != base[key]}
        assert changed <= {field, "folds", "fold"}
        assert (getattr(spec, field), spec.fold) == (strength, fold)


def test_recorded_folds_choose_regularization_on_noisy_digits(validation):
    store = Store("", GALLERY)
    rows = validation.summarize(store.get(spec.digest for spec in validation.runs.values()))
    store.close()
    chosen = validation.choose(rows)
    assert chosen is not None
    assert chosen[1] >= chosen[0] > 0
    figure = folds.choice(validation, rows, EXPERIMENT.arm_names)
    assert len(figure.datasets["marked"]) == 2
    assert len(figure.table) == 9


def test_main_study_is_no_fold_and_looks_at_no_test_point():
    for spec in EXPERIMENT.study(EXPERIMENT.settings()).runs.values():
        assert (spec.folds, spec.fold, spec.is_final) == (0, 0, False)


@pytest.mark.slow
def test_final_runs_measure_the_test_points_once_paired_by_seed():
    from core.training import train

    settings = EXPERIMENT.settings(n_train=60, epochs=4, seeds=3, width=16, depth=1)
    pairs = EXPERIMENT.final_pairs(settings, 0.01)
    assert len(pairs) == 3
    results = {}
    for pair in pairs:
        assert [spec.l2 for spec in pair] == [0.0, 0.01]
        assert len({spec.seed for spec in pair}) == 1
        assert final_test(pairs, results) is None
        for spec in pair:
            results[spec.digest] = train(EXPERIMENT, spec)
            assert results[spec.digest].frames["test"]["n"].item() == find("digits").test
    measured = final_test(pairs, results)
    assert measured.difference.n == 3
    model, splits = EXPERIMENT.model(pairs[0][0]), EXPERIMENT.data(pairs[0][0])
    untrained = float(model.loss(splits.test.y, model(splits.test.x, training=False)))
    assert measured.baseline[0] < untrained
