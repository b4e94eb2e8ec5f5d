"""What is inside a net: boundaries, weights and activations, measured in workers and drawn from their frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.charts import inside
from core.comparison import Comparison
from core.config import GALLERY
from core.experiments.overfitting import EXPERIMENT, OverfittingRun
from core.inspection import CELLS, EDGES, PASSES, snapshot_epochs
from core.store import Store
from core.study import BASELINE

NAMES = EXPERIMENT.arm_names


def shipped(preset: str) -> Comparison:
    """Read the recorded comparison of a preset."""
    settings = EXPERIMENT.settings.parse(next(p.query for p in EXPERIMENT.presets if p.name == preset))
    study = EXPERIMENT.study(settings)
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    return comparison


@pytest.fixture(scope="module")
def moons() -> Comparison:
    return shipped("moons")


@pytest.fixture(scope="module")
def digits() -> Comparison:
    return shipped("noisy_digits")


@pytest.mark.parametrize(("epochs", "count"), [(1, 2), (2, 3), (20, 11), (400, 14), (2_000, 14)])
def test_snapshots_begin_before_training_and_end_with_it(epochs, count):
    chosen = snapshot_epochs(epochs)
    assert chosen == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, epochs)
    assert len(chosen) == count


@pytest.mark.parametrize(
    ("shares", "length"),
    [
        (np.zeros((CELLS, CELLS)), 0.0),
        (np.repeat([[0.0, 1.0]], CELLS, axis=0).repeat(CELLS // 2, axis=1), 3.0),
        (np.indices((CELLS, CELLS)).sum(0) % 2.0, (CELLS - 1) * (2.0 + 3.0)),
    ],
    ids=["one class", "a straight line", "a chessboard"],
)
def test_boundary_is_measured_along_the_cells(shares, length):
    assert inside.boundary_length(shares, 2.0, 3.0) == pytest.approx(length)


def test_boundary_of_the_baseline_grows_ragged_and_regularization_keeps_it_short(moons):
    epochs = inside.epochs_of(moons)
    own = [inside.lengths(moons, epoch)[BASELINE] for epoch in epochs]
    assert own[-1] > 1.5 * own[len(epochs) // 2]
    assert inside.lengths(moons, epochs[-1])["l2"] < 0.7 * own[-1]


def test_boundary_keeps_the_weights_that_early_stopping_restored(moons):
    arm = next(arm for arm in moons.study.arms if arm.name == "early_stopping")
    result = inside.run_of(moons, arm, "boundary")
    assert result.info.epochs < 400
    kept = result.frames["boundary"]["epoch"].unique()
    assert kept.max() == 400
    before = [epoch for epoch in kept if epoch <= result.info.epochs]
    assert len(before) + 1 == len(kept)


@pytest.mark.parametrize("epoch", [0, 16, 400])
def test_boundary_chart_has_all_cells_the_points_and_their_words(moons, epoch):
    figure = inside.boundary(moons, BASELINE, epoch)
    assert len(figure.datasets["cells"]) == CELLS**2
    assert figure.datasets["cells"]["share"].between(0, 1).all()
    points = figure.datasets["points"]
    assert (points["part"] == "training").sum() == 100
    assert set(points["kind"]) == {"0", "1"}
    colour = figure.spec["layer"][0]["encoding"]["color"]["scale"]
    assert colour["domain"] == [0, 0.5, 1], "the scale is the same in all arms"
    assert figure.alt.startswith("No regularization: boundary ")


@pytest.mark.parametrize("threshold", [EDGES[0], EDGES[24], EDGES[40], EDGES[-1]])
def test_share_below_a_threshold_is_counted_in_whole_bins(threshold):
    rng = np.random.default_rng(1)
    weights = 10 ** rng.uniform(-8, 1, 5_000)
    edges = np.array([0.0, *EDGES, np.inf])
    counts, _ = np.histogram(weights, edges)
    frame = pd.DataFrame(
        {"layer": 0, "low": edges[:-1], "count": counts, "arm": BASELINE, "label": "No regularization", "seed": 0}
    )
    share = inside.shares_below(frame[frame["count"] > 0], threshold)["share"].item()
    assert share == pytest.approx((weights < threshold).mean())


def test_o7_l1_empties_weights_that_l2_only_shrinks(digits):
    shares = inside.shares_below(inside.weights_of(digits), EDGES[24])
    mean = shares.groupby("arm")["share"].mean()
    assert EDGES[24] == pytest.approx(1e-3)
    assert mean["l1"] > 0.6 > 0.5 > mean["l2"] > 0.1 > mean[BASELINE]


def test_weights_are_all_counted(digits):
    histogram = inside.weights_of(digits)
    counted = histogram.groupby(["arm", "seed"])["count"].sum()
    biases = 256 + 256 + 10
    parameters = digits.outcomes.set_index("arm")["parameters"].iloc[0]
    assert set(counted) == {parameters - biases}
    for layer in range(3):
        figure = inside.weight_sizes(digits, NAMES, layer, EDGES[24])
        assert figure.datasets["rows"].groupby("arm")["share"].sum().max() <= 1 + 1e-9


def test_dropout_zeroes_outputs_and_scales_the_others(digits):
    arm = next(arm for arm in digits.study.arms if arm.name == "dropout")
    frame = inside.run_of(digits, arm, "activations").frames["activations"]
    active = frame[frame["inference"] > 0]
    for step in ("first", "second"):
        kept = active[active[step] > 0]
        np.testing.assert_allclose(kept[step], 2 * kept["inference"], rtol=1e-5)
        assert 0.3 < len(kept) / len(active) < 0.7
    assert (active["first"] > 0).ne(active["second"] > 0).any(), "each step draws a mask of its own"
    error = 3 / np.sqrt(PASSES) * active["inference"]
    assert (abs(active["mean"] - active["inference"]) < 1.5 * error).mean() > 0.95
    for view in ("inference", "first", "second", "mean"):
        assert inside.dropout_passes(digits, "dropout", view).alt


@pytest.mark.slow
def test_frames_are_measured_where_they_mean_something():
    shared = {"n_train": 40, "n_validation": 40, "flipped": 0.0, "noise": 0.0, "width": 8, "depth": 1, "epochs": 3,
              "batch_size": 16, "optimizer": "adam", "learning_rate": 1e-3}  # fmt: skip
    cases = [
        ("moons", 0, 0.0, {"curves", "boundary", "points", "weights"}),
        ("moons", 1, 0.5, {"curves", "weights"}),
        ("wine", 0, 0.5, {"curves", "weights", "activations"}),
        ("diabetes", 0, 0.0, {"curves", "weights"}),
    ]
    for dataset, seed, dropout, frames in cases:
        spec = OverfittingRun(seed=seed, dataset=dataset, dropout=dropout, **shared)
        assert set(EXPERIMENT.train(spec, lambda *_: None, lambda: False).frames) == frames
