"""The metrics as Keras streams them: the whole-set value, whatever the batches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core import metrics as formulas
from core.metrics import METRICS, all_values

pytestmark = pytest.mark.slow

N, CLASSES = 203, 5


@pytest.fixture(scope="module")
def streaming():
    """Import Keras as a worker does."""
    from core.engine.task import prepare

    prepare()
    import core.metrics.stateful as module

    return module


@pytest.fixture(scope="module")
def rows():
    """Draw rows with ties, rare positives and weights, some of them 0."""
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=N) < 0.1).astype("float32")
    p = np.round(np.clip(0.42 * y + 0.58 * rng.uniform(size=N), 0.02, 0.98), 2).astype("float32")
    return y, p, rng.integers(0, 4, N).astype("float32")


def stream(metric, y, p, w=None, batch=32):
    for start in range(0, len(y), batch):
        part = slice(start, start + batch)
        metric.update_state(y[part], p[part], None if w is None else w[part])
    return float(metric.result())


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("batch", [1, 7, 32, N])
def test_m1_streaming_gives_the_whole_set_value_for_every_batch_size_and_order(streaming, rows, name, batch):
    y, p, w = rows
    expected = all_values(y.astype(float), p.astype(float), w.astype(float))[name]
    order = np.random.default_rng(batch).permutation(N)
    got = stream(streaming.streamed(name, N), y[order], p[order], w[order], batch)
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["f1", "mcc", "recall"])
def test_m1_a_mean_over_batches_gives_something_else(rows, name):
    y, p, _w = rows
    whole = all_values(y.astype(float), p.astype(float))[name]
    parts = [all_values(y[i : i + 32].astype(float), p[i : i + 32].astype(float))[name] for i in range(0, N, 32)]
    assert abs(np.nan_to_num(parts).mean() - whole) > 0.02


@pytest.mark.parametrize("name", METRICS)
def test_empty_and_one_class_streams_are_undefined_as_the_formula_is(streaming, name):
    assert math.isnan(float(streaming.streamed(name, 4).result()))
    y, p = np.zeros(3, "float32"), np.array([0.1, 0.2, 0.3], "float32")
    expected = all_values(y.astype(float), p.astype(float))[name]
    assert stream(streaming.streamed(name, 4), y, p) == pytest.approx(expected, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", ["f1", "ece", "brier", "roc_auc"])
def test_reset_forgets_every_row(streaming, rows, name):
    y, p, w = rows
    metric = streaming.streamed(name, N)
    first = stream(metric, y, p, w)
    metric.reset_state()
    assert stream(metric, y, p, w) == first


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("score", [formulas.precision, formulas.recall, formulas.f1], ids=lambda score: score.__name__)
def test_averages_of_several_classes(streaming, rows, average, score):
    rng = np.random.default_rng(1)
    y, scores, w = rng.integers(0, CLASSES, N), rng.uniform(size=(N, CLASSES)).astype("float32"), rows[2]
    matrix = formulas.confusion_matrix(y, scores.argmax(1), w.astype(float), CLASSES)
    got = stream(streaming.AveragedScore(score, CLASSES, average), y, scores, w)
    assert got == pytest.approx(float(formulas.averaged(score, matrix, average)), abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k(streaming, rows, k):
    rng = np.random.default_rng(2)
    y, scores, w = rng.integers(0, CLASSES, N), np.round(rng.uniform(size=(N, CLASSES)) * 4) / 4, rows[2]
    got = stream(streaming.TopK(k), y, scores.astype("float32"), w)
    assert got == pytest.approx(formulas.top_k(y, scores, w.astype(float), k), abs=1e-6)


def test_metrics_of_regression(streaming, rows):
    rng = np.random.default_rng(3)
    y, w = rng.normal(size=N).astype("float32"), rows[2]
    p = (y + rng.normal(size=N)).astype("float32")
    double = y.astype(float), p.astype(float), w.astype(float)
    for metric, expected in (
        (streaming.RowMean(streaming.absolute_error), formulas.mae(*double)),
        (streaming.RowMean(streaming.squared_error, root=True), formulas.rmse(*double)),
        (streaming.RowMean(streaming.quantile_error), formulas.pinball(*double)),
        (streaming.RowMean(streaming.relative_error), formulas.mape(*double)),
        (streaming.Determination(), formulas.r2(*double)),
    ):
        assert stream(metric, y, p, w) == pytest.approx(expected, rel=2e-6, abs=1e-6), metric.name
    zero = np.where(np.arange(N) == 5, 0, y).astype("float32")
    assert math.isnan(stream(streaming.RowMean(streaming.relative_error), zero, p))


def test_more_rows_than_a_ranking_keeps_are_an_error_and_no_silent_loss(streaming, rows):
    y, p, _w = rows
    with pytest.raises(Exception, match=r"(?i)indices"):
        stream(streaming.streamed("roc_auc", 100), y, p)


def test_metrics_work_in_a_compiled_graph(streaming, rows):
    import keras

    y, p, _w = rows
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    metrics = [streaming.streamed(name, N) for name in ("f1", "mcc", "ece", "brier")]
    model.compile(loss="binary_crossentropy", metrics=metrics)
    got = model.evaluate(p[:, None], y[:, None], batch_size=32, verbose=0, return_dict=True)
    expected = all_values(y.astype(float), p.astype(float))
    for name in ("f1", "mcc", "ece", "brier"):
        assert got[name] == pytest.approx(expected[name], abs=1e-6)
