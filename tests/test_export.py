"""What a viewer takes away: the script reproduces the numbers, the archive and the page hold them."""

from __future__ import annotations

import importlib
import io
import json
import math
import subprocess
import sys
import zipfile

import pandas as pd
import pytest

from core import export
from core.charts import curves, series
from core.charts.effects import forest
from core.comparison import GAP, Comparison, tidy_tables
from core.config import GALLERY
from core.experiments import experiments
from core.experiments.overfitting import EXPERIMENT
from core.store import Store
from core.ui.takeaway import export_figures
from core.ui.view import View

NAMES = EXPERIMENT.arm_names


def compared(settings) -> list[Comparison]:
    store = Store("", GALLERY)
    studies = EXPERIMENT.studies(settings)
    comparisons = [Comparison(study, store.get(spec.digest for spec in study.runs.values())) for study in studies]
    store.close()
    return comparisons


@pytest.fixture(scope="module")
def shipped() -> list[Comparison]:
    """Compare the default settings, and its series, from the gallery."""
    return compared(EXPERIMENT.settings())


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "n_train=100&flipped=0.1&epochs=3&seeds=1&arms=l1,l2_dropout,weight_decay,max_norm&noise=0.2",
        "n_train=60&epochs=8&seeds=1&arms=early_stopping&patience=2&width=32",
        "dataset=moons&n_train=40&epochs=3&seeds=1&arms=dropout&width=32&optimizer=momentum",
        "dataset=diabetes&n_train=50&epochs=3&seeds=1&arms=l2&width=32&optimizer=rmsprop&flipped=0.2",
    ],
)
def test_exported_script_reproduces_the_numbers_without_contraste(query, tmp_path):
    from core.training import train

    settings = EXPERIMENT.settings.parse(query)
    (tmp_path / "train.py").write_text(export.script(EXPERIMENT, settings))
    done = subprocess.run([sys.executable, "-I", "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2_000:]
    written = pd.read_csv(tmp_path / "curves.csv")
    assert "core" not in (tmp_path / "train.py").read_text().split("import ")[1]
    for arm, seed, spec in EXPERIMENT.study(settings):
        own = written[(written["arm"] == arm.name) & (written["seed"] == seed)].set_index("epoch")
        expected = train(EXPERIMENT, spec).curves.set_index("epoch")
        assert own.index.tolist() == expected.index.tolist()
        for column in ("train_loss", "validation_loss", "train_score", "validation_score"):
            # Not bit for bit: `fit` and the graph of an epoch use other threads and kernels.
            assert own[column].to_numpy() == pytest.approx(expected[column].to_numpy(), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("dataset", ["digits", "breast_cancer", "diabetes", "xor", "mnist", "fashion_mnist"])
def test_every_script_is_python(dataset):
    text = export.script(EXPERIMENT, EXPERIMENT.settings.parse(f"dataset={dataset}"))
    compile(text, "train.py", "exec")
    assert "import core" not in text
    assert "from core" not in text


def test_archive_holds_tables_charts_settings_and_script(shipped):
    settings, comparison = EXPERIMENT.settings(), shipped[0]
    figures = {"curves": curves.hero(comparison, NAMES), "effects": forest(comparison, NAMES)}
    data = export.archive(EXPERIMENT, settings, comparison, "verdict", tidy_tables(comparison), figures)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        names = set(file.namelist())
        about = json.loads(file.read("comparison.json"))
        outcomes = pd.read_csv(io.BytesIO(file.read("outcomes.csv")))
        assert b"<svg" in file.read("curves.svg")
        assert file.read("effects.png").startswith(b"\x89PNG")
    assert {"train.py", "curves.csv", "effects.csv", "curves.vl.json"} <= names
    assert about["digest"] == comparison.study.digest
    assert about["query"] == settings.query()
    assert len(outcomes) == 2 * len(comparison.study.runs)


def test_specs_that_leave_hold_only_finite_numbers(shipped):
    figure = curves.hero(shipped[0], NAMES)
    figure.datasets["best"].loc[0, "raw"] = math.inf
    spec = export.chart_spec(figure)
    json.dumps(spec, allow_nan=False)
    assert spec["datasets"]["best"][0]["raw"] is None


def test_strength_sweep_has_a_lowest_point_inside_and_a_collapse_zone(shipped):
    along = EXPERIMENT.series(EXPERIMENT.settings())
    figure = series.along(along, shipped[1:], NAMES)
    lowest = figure.datasets["best"]["x"].item()
    values = [value for value, _study in along.points]
    assert values[0] < lowest < values[-1]
    assert figure.datasets["zone"]["from"].item() > lowest
    assert set(figure.table.iloc[:, 0]) == {f"{value:g}" for value in values}
    gap = series.along(along, shipped[1:], NAMES, GAP)
    assert not len(gap.datasets["best"])


@pytest.mark.parametrize("along", ["l1", "l2", "dropout", "n_train", "capacity"])
@pytest.mark.parametrize("dataset", ["digits", "wine", "diabetes", "moons"])
def test_every_series_pairs_its_points_with_valid_studies(along, dataset):
    settings = EXPERIMENT.settings.parse(f"dataset={dataset}&along={along}&seeds=2")
    found = EXPERIMENT.series(settings)
    assert len({value for value, _study in found.points}) == len(found.points) >= 2
    for _value, study in found.points:
        assert len(study.runs) == 2 * len(study.arms)
    empty = series.along(found, [Comparison(study, {}) for _value, study in found.points], NAMES)
    assert empty.title
    assert not len(empty.table)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", experiments().values(), ids=lambda experiment: experiment.name)
def test_every_page_leaves_as_one_file_and_as_an_archive_with_its_own_charts(experiment):
    module = importlib.import_module(f"core.ui.{experiment.name}")
    settings = experiment.settings()
    study = experiment.study(settings)
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    view = View(experiment, settings, study, comparison, comparison, settings, comparison, settings, False)
    own_figures = getattr(module, "own_figures", None)
    figures = export_figures(view, own_figures)
    assert (len(figures) > 2) == (own_figures is not None)
    verdict = experiment.verdict(comparison, settings)
    page = export.page_html("title", verdict, "facts", "address", list(figures.values()), pd.DataFrame({"a": [1.0]}))
    assert page.count('role="img"') == len(figures)
    with zipfile.ZipFile(
        io.BytesIO(export.archive(experiment, settings, comparison, verdict, tidy_tables(comparison), figures))
    ) as file:
        assert {f"{name}.svg" for name in figures} <= set(file.namelist())
        for name in figures:
            assert len(file.read(f"{name}.svg")) > 2_000
        compile(file.read("train.py"), "train.py", "exec")
