"""Charts: values made of frames, each line from the arm it is labelled with, standing still while data arrive."""

from __future__ import annotations

import itertools
import json
import math
import tomllib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.charts import curves
from core.charts.curves import Axes, summarize
from core.charts.effects import forest
from core.charts.figure import Figure
from core.charts.style import DARK, DASHES, LIGHT, spread
from core.comparison import GAP, VALIDATION_LOSS, VALIDATION_SCORE, Comparison, label
from core.config import GALLERY, ROOT
from core.experiments.overfitting import EXPERIMENT
from core.store import Store
from core.study import BASELINE
from tests.conftest import result_of, results_of, small_study

NAMES = EXPERIMENT.arm_names


@pytest.fixture(scope="module")
def shipped() -> Comparison:
    """Compare the default settings from the gallery."""
    store = Store("", GALLERY)
    study = EXPERIMENT.study(EXPERIMENT.settings())
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    assert comparison.is_complete
    return comparison


def _marks(spec: dict) -> list[str]:
    layers = spec.get("layer", [spec])
    return [layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"] for layer in layers]


def _data_names(spec: dict) -> set[str]:
    found = set()
    for part in [spec, *spec.get("layer", [])]:
        if "name" in part.get("data", {}):
            found.add(part["data"]["name"])
    return found


def _all(comparison: Comparison) -> dict[str, Figure]:
    axes = curves.panel_axes(comparison)
    figures = {"hero": curves.hero(comparison, NAMES)}
    figures |= {f"panel {arm.name}": curves.panel(comparison, arm.name, NAMES, axes) for arm in comparison.study.arms}
    figures |= {f"parts {name}": curves.loss_parts(comparison, name) for name in ("l1", "l2")}
    for measure in (VALIDATION_LOSS, VALIDATION_SCORE, GAP):
        figures[f"forest {measure.name}"] = forest(comparison, NAMES, measure)
    return figures


def test_every_figure_has_words_a_table_and_a_spec_that_is_json_without_data(shipped):
    for name, figure in _all(shipped).items():
        assert figure.title, name
        assert figure.subtitle, name
        assert figure.alt, name
        assert len(figure.alt.splitlines()) == 1
        assert len(figure.table), name
        assert len(json.dumps(figure.spec, allow_nan=False)) < 20_000, name
        assert "values" not in figure.spec.get("data", {})
        assert _data_names(figure.spec) <= set(figure.datasets)
        assert figure.spec["usermeta"]["embedOptions"]["renderer"] == "svg"
        assert figure.spec["width"] == "container"
        assert not set("{}") & set(figure.title + figure.subtitle + figure.alt)


def test_curves_hold_a_band_a_line_a_best_epoch_and_a_label_an_arm(shipped):
    figure = curves.hero(shipped, NAMES)
    assert _marks(figure.spec) == ["area", "line", "point", "text"]
    assert _data_names(figure.spec) == {"lines", "best", "ends"}
    for name, rows in figure.datasets.items():
        assert set(rows["arm"]) == {arm.name for arm in shipped.study.arms}, name
    assert len(figure.datasets["best"]) == len(figure.datasets["ends"]) == len(shipped.study.arms)


def test_smoothing_keeps_the_raw_line(shipped):
    plain = curves.hero(shipped, NAMES)
    smooth = curves.hero(shipped, NAMES, smoothing=0.9)
    assert _marks(smooth.spec) == ["area", "line", "line", "point", "text"]
    raw = smooth.datasets["lines"]["raw"]
    assert raw.tolist() == plain.datasets["lines"]["raw"].tolist()
    assert raw.tolist() != smooth.datasets["lines"]["mean"].tolist()
    assert smooth.datasets["best"]["epoch"].tolist() == plain.datasets["best"]["epoch"].tolist()


def test_label_colour_and_data_of_a_line_come_from_the_same_arm(shipped):
    figure = curves.hero(shipped, NAMES)
    labels = {arm.name: label(arm) for arm in shipped.study.arms}
    rows = figure.datasets["lines"]
    assert (rows["label"] == rows["arm"].map(labels)).all()
    for arm in shipped.study.arms:
        own = shipped.curves[(shipped.curves["arm"] == arm.name) & (shipped.curves["epoch"] == 50)]
        drawn = rows[(rows["arm"] == arm.name) & (rows["epoch"] == 50)]
        assert drawn["raw"].item() == pytest.approx(own["validation_loss"].mean(), rel=1e-5)
    for layer in figure.spec["layer"]:
        assert layer["encoding"]["color"]["scale"]["domain"] == list(NAMES)
    assert dict(figure.legend) == labels


def test_dash_is_a_second_mark_of_every_arm(shipped):
    line = curves.hero(shipped, NAMES).spec["layer"][1]["encoding"]["strokeDash"]["scale"]
    assert line["domain"] == list(NAMES)
    assert len({tuple(dash) for dash in line["range"]}) == len(NAMES)
    assert len(set(LIGHT)) == len(LIGHT) >= len(NAMES)
    assert len(set(DASHES)) == len(DASHES) >= len(NAMES)


def test_forest_has_a_row_a_treatment_a_ring_a_seed_and_zero(shipped):
    effects = shipped.effects()
    figure = forest(shipped, NAMES, VALIDATION_LOSS)
    assert _marks(figure.spec) == ["rule", "rule", "point", "point", "text"]
    assert figure.datasets["means"]["arm"].tolist() == [effect.arm.name for effect in effects]
    assert len(figure.datasets["seeds"]) == len(shipped.study.seeds) * len(effects)
    assert figure.datasets["zero"]["value"].tolist() == [0.0]
    means = figure.datasets["means"].set_index("arm")
    for effect in effects:
        assert means.loc[effect.arm.name, "mean"] == effect.relative.mean
        assert means.loc[effect.arm.name, "low"] <= means.loc[effect.arm.name, "mean"]


def test_panel_draws_both_splits_of_its_own_arm(shipped):
    axes = curves.panel_axes(shipped)
    for arm in shipped.study.arms:
        figure = curves.panel(shipped, arm.name, NAMES, axes)
        last = shipped.curves[(shipped.curves["arm"] == arm.name) & (shipped.curves["epoch"] == 100)]
        row = figure.datasets["rows"].set_index("epoch").loc[100]
        assert row["train"] == pytest.approx(last["train_loss"].mean(), rel=1e-5)
        assert row["validation"] == pytest.approx(last["validation_loss"].mean(), rel=1e-5)
        assert figure.title == label(arm)
    specs = [curves.panel(shipped, arm.name, NAMES, axes).spec for arm in shipped.study.arms]
    assert all(spec == specs[0] for spec in specs)  # the same axes in all panels


def test_parts_of_the_loss_add_up(shipped):
    rows = curves.loss_parts(shipped, "l1").datasets["rows"]
    data, penalty, objective = (rows[rows["order"] == order]["raw"].to_numpy() for order in range(3))
    assert objective == pytest.approx(data + penalty, rel=1e-5)
    assert (penalty > 0).all()


def test_standalone_chart_carries_its_data(shipped):
    standalone = curves.hero(shipped, NAMES).standalone()
    assert {row["arm"] for row in standalone["datasets"]["lines"]} == {arm.name for arm in shipped.study.arms}
    assert standalone["title"]["text"]


# -- live charts stand still ---------------------------------------------------------------------------


def test_spec_stays_the_same_while_epochs_arrive():
    study = small_study(arms=("l1", "l2"), epochs=20)
    axes = Axes(20, 0.0, 2.6)
    specs = []
    for epochs in (1, 2, 7, 20):
        losses = np.linspace(2.3, 0.5 + epochs / 50, epochs + 1)
        results = {spec.digest: result_of(spec, losses, status="stopped") for _, _, spec in study}
        figure = curves.hero(Comparison(study, results), NAMES, axes=axes)
        specs.append(json.dumps(figure.spec, sort_keys=True))
        assert figure.datasets["lines"]["epoch"].max() == epochs
    assert len(set(specs)) == 1


def test_spec_stays_the_same_while_arms_arrive():
    study = small_study(arms=("l1", "l2"), epochs=20)
    axes = Axes(20, 0.0, 2.6)
    specs = set()
    for arms in ({BASELINE}, {BASELINE, "l1"}, {BASELINE, "l1", "l2"}):
        results = {
            spec.digest: result_of(spec, [2.3, 1.0], status="stopped") for arm, _, spec in study if arm.name in arms
        }
        specs.add(json.dumps(curves.hero(Comparison(study, results), NAMES, axes=axes).spec, sort_keys=True))
    assert len(specs) == 1


# -- odd comparisons -----------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[2.3, math.nan], [2.3, math.inf], [2.3, 1e30], [math.nan, math.nan], [2.3]])
def test_diverged_runs_draw_without_an_exception(values):
    study = small_study(arms=("l1", "l2"))
    results = {spec.digest: result_of(spec, values, train=values, status="diverged") for _, _, spec in study}
    comparison = Comparison(study, results)
    for name, figure in _all(comparison).items():
        if not name.startswith("forest"):
            json.dumps(figure.spec, allow_nan=False)
    assert curves.hero_title(comparison)


def test_nothing_draws_without_an_exception():
    comparison = Comparison(small_study(arms=("l1", "l2")), {})
    figure = curves.hero(comparison, NAMES)
    json.dumps(figure.spec, allow_nan=False)
    assert not len(figure.datasets["lines"])
    assert forest(comparison, NAMES, VALIDATION_LOSS).title


def test_one_seed_has_no_interval_to_draw():
    study = small_study(seeds=1, arms=("l1",))
    comparison = Comparison(study, results_of(study, {BASELINE: [1.0], "l1": [0.5]}))
    figure = forest(comparison, NAMES, VALIDATION_LOSS)
    assert figure.datasets["means"]["low"].isna().all()
    json.dumps(figure.spec, allow_nan=False)


def test_title_says_whether_the_baseline_turns_up():
    study = small_study(arms=("l1",))
    rising = {spec.digest: result_of(spec, [2.3, 0.5, 1.0]) for _, _, spec in study}
    falling = {spec.digest: result_of(spec, [2.3, 1.0, 0.5]) for _, _, spec in study}
    assert "100%" in curves.hero_title(Comparison(study, rising))
    assert curves.hero_title(Comparison(study, rising)) != curves.hero_title(Comparison(study, falling))


# -- summaries -----------------------------------------------------------------------------------------


def _frame(values: np.ndarray) -> pd.DataFrame:
    """Lay values of shape (seeds, epochs) out as rows of one arm."""
    seeds, epochs = values.shape
    return pd.DataFrame(
        {
            "arm": "l1",
            "seed": np.repeat(np.arange(seeds), epochs),
            "epoch": np.tile(np.arange(epochs), seeds),
            "validation_loss": values.ravel(),
        }
    )


def test_summary_is_the_mean_and_the_range_over_seeds():
    rows = summarize(_frame(np.array([[1.0, 2.0], [3.0, 6.0]])), "validation_loss")
    assert rows["raw"].tolist() == [2.0, 4.0]
    assert rows["mean"].tolist() == [2.0, 4.0]
    assert rows["low"].tolist() == [1.0, 2.0]
    assert rows["high"].tolist() == [3.0, 6.0]
    assert rows["seeds"].tolist() == [2, 2]


def test_epochs_that_not_every_seed_has_reached_are_left_out():
    frame = _frame(np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]]))
    frame = frame[(frame["seed"] == 0) | (frame["epoch"] < 2)]
    assert summarize(frame, "validation_loss")["epoch"].tolist() == [0, 1]


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=40), st.floats(0, 0.98))
def test_smoothed_line_stays_within_the_raw_one(values, smoothing):
    rows = summarize(_frame(np.array([values])), "validation_loss", smoothing)
    assert rows["raw"].tolist() == pytest.approx(values)
    assert rows["mean"].min() >= min(values) - 1e-9
    assert rows["mean"].max() <= max(values) + 1e-9
    assert rows["mean"].iloc[0] == pytest.approx(values[0])


@given(st.lists(st.floats(-5, 15, allow_nan=False), min_size=1, max_size=9), st.floats(0.01, 1.0))
def test_labels_keep_their_distance_their_order_and_the_picture(values, distance):
    low, high = 0.0, 10.0
    placed = spread(values, distance, low, high)
    assert len(placed) == len(values)
    order = sorted(range(len(values)), key=lambda i: values[i])
    positions = [placed[i] for i in order]
    for lower, upper in itertools.pairwise(positions):
        assert upper - lower >= distance * (1 - 1e-9) - 1e-9
    assert min(positions) >= low - 1e-9
    if distance * (len(values) - 1) <= high - low:
        assert max(positions) <= high + 1e-9


@given(st.lists(st.floats(1, 9), min_size=1, max_size=9, unique=True))
def test_labels_that_are_far_apart_do_not_move(values):
    distance = min((b - a for a, b in zip(sorted(values), sorted(values)[1:], strict=False)), default=1.0) * 0.9
    assert spread(values, distance, 0.0, 10.0) == pytest.approx(values)


def test_palettes_are_those_of_the_theme():
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    assert tuple(theme["light"]["chartCategoricalColors"]) == LIGHT
    assert tuple(theme["dark"]["chartCategoricalColors"]) == DARK
    for marks in (LIGHT, DARK, DASHES):
        assert len(set(marks)) == len(marks) >= len(NAMES)
