"""Training of recurrent nets: the graph's steps are Keras' own, and the NumPy net gives the Keras layers' outputs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from core.experiments.rnn import EXPERIMENT, RnnRun
from core.result import CURVE_COLUMNS
from core.text import STREAMS, Text, cut
from core.text.generation import Net, unpack

pytestmark = pytest.mark.slow

SENTENCE = "The quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"


@pytest.fixture(scope="module")
def text() -> Text:
    """Cut a small text that can be learnt."""
    rng = np.random.default_rng(0)
    words = SENTENCE.split()
    return cut(" ".join(rng.choice(words, 1_200)), 3_000, 400)


@pytest.fixture(autouse=True)
def _clear() -> Iterator[None]:
    yield
    import keras

    keras.backend.clear_session()


def spec_of(**values) -> RnnRun:
    fields = {
        "seed": 0, "corpus": "topics", "n_train": 3_000, "n_validation": 400, "cell": "gru", "units": 12,
        "embedding": 6, "window": 8, "epochs": 2, "batch_size": 16, "learning_rate": 0.01, "clip": 1.0,
    }  # fmt: skip
    return RnnRun(**(fields | values))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("embedding", [6, 0])
def test_numpy_net_gives_the_outputs_of_the_keras_layers(text, cell, layers, embedding):
    from core.text.recurrent import build_model, weights_of

    size = len(text.vocabulary)
    model = build_model(spec_of(cell=cell, layers=layers, embedding=embedding), size)
    rng = np.random.default_rng(1)
    model.set_weights([w + rng.normal(0, 0.3, w.shape).astype("float32") for w in model.get_weights()])
    codes = text.train[:8]
    logits = Net(cell, weights_of(model)).read(codes)[0]
    np.testing.assert_allclose(logits, model(codes[None], training=False)[0], atol=1e-5)


@pytest.mark.parametrize(
    "values", [{}, {"cell": "lstm", "l2": 1e-3, "schedule": "cosine"}, {"window": 1, "embedding": 0}]
)
def test_training_equals_keras_own_steps(text, values):
    """Two epochs of the graph and of `train_on_batch` on the same windows end with the same weights."""
    from core.text.recurrent import build_model, train, window_starts

    spec = spec_of(units=8, **values)
    result = train(spec, text, "The ")
    model = build_model(spec, len(text.vocabulary))
    draw = window_starts(spec, len(text.train))
    for _epoch in range(spec.epochs):
        starts = draw()
        for step in range(0, len(starts), spec.batch_size):
            places = starts[step : step + spec.batch_size, None] + np.arange(spec.window)
            model.train_on_batch(text.train[places], text.train[places + 1])
    trained = unpack(result.frames["weights"])
    np.testing.assert_allclose(trained["0/recurrent"], model.get_layer("recurrent_0").get_weights()[1], atol=2e-5)
    np.testing.assert_allclose(trained["dense/bias"], model.get_layer("dense").get_weights()[1], atol=2e-5)


def test_measured_loss_is_that_of_reading_with_the_state_carried(text):
    from core.text.recurrent import stretches, train

    spec = spec_of()
    result = train(spec, text, "The ")
    net = Net("gru", unpack(result.frames["weights"]))
    for part, column in ((text.train, "train_loss"), (text.validation, "validation_loss")):
        x, y = stretches(part, spec.n_validation, spec.window)
        losses = []
        for stream in range(x.shape[1]):
            logits = net.read(x[:, stream].reshape(-1))[0].astype("float64")
            labels = y[:, stream].reshape(-1)
            losses += list(np.log2(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels] / math.log(2))
        assert x.shape[1] <= STREAMS
        assert result.curves[column].iloc[-1] == pytest.approx(np.mean(losses), abs=1e-4)


def test_first_loss_is_that_of_guessing_and_training_gets_below_the_unigram(text):
    from core.text.recurrent import train

    reported = []
    result = train(
        spec_of(epochs=6, units=24),
        text,
        "The ",
        lambda epoch, row, sample=None: reported.append((epoch, list(row), sample)),
    )
    uniform = math.log2(len(text.vocabulary))
    assert result.curves["validation_loss"].iloc[0] == pytest.approx(uniform, abs=0.1)
    lines = dict(zip(result.frames["references"]["line"], result.frames["references"]["bits"], strict=True))
    assert lines["uniform"] == pytest.approx(uniform, rel=1e-6)
    assert result.curves["validation_loss"].iloc[-1] < lines["1-gram"]
    assert [epoch for epoch, _row, _sample in reported] == list(range(7))
    clock = result.frames["clock"]
    assert clock["epoch"].tolist() == list(range(7))
    assert clock["seconds"].iloc[0] == 0
    assert clock["seconds"].is_monotonic_increasing
    assert clock["seconds"].iloc[-1] <= result.info.seconds
    assert len(reported[0][1]) == len(CURVE_COLUMNS)
    samples = result.frames["samples"]
    assert samples[samples["kind"] == "sampled"]["epoch"].tolist() == list(range(7))
    assert samples.iloc[:7].to_dict("records") == [sample for _epoch, _row, sample in reported]
    assert set("".join(samples["text"])) <= set(text.vocabulary.symbols)


def test_same_seed_gives_the_same_curves_and_another_one_does_not(text):
    from core.text.recurrent import train

    one, two, other = (train(spec_of(seed=seed, dropout=0.3), text, "The ").curves for seed in (0, 0, 1))
    np.testing.assert_allclose(one, two, rtol=1e-6)
    assert not np.allclose(one["validation_loss"].iloc[1:], other["validation_loss"].iloc[1:], rtol=1e-6)


@pytest.mark.parametrize(
    "values",
    [{"dropout": 0.5}, {"recurrent_dropout": 0.3}, {"embedding_dropout": 0.3}, {"l2": 0.01}, {"weight_decay": 1.0}],
)
def test_every_regularizer_changes_training_and_not_the_start(text, values):
    from core.text.recurrent import train

    plain, own = (train(spec_of(epochs=1, **fields), text, "The ").curves for fields in ({}, values))
    assert own["validation_loss"].iloc[0] == pytest.approx(plain["validation_loss"].iloc[0], rel=1e-6)
    assert own["train_loss"].iloc[1] != pytest.approx(plain["train_loss"].iloc[1], rel=1e-6)
    assert (own["penalty"].iloc[0] > 0) == ("l2" in values)


def test_early_stopping_restores_its_best_and_stopping_answers_within_an_epoch(text):
    from core.text.recurrent import train

    stopped = train(spec_of(epochs=9), text, "The ", None, lambda: True)
    assert (stopped.info.status, stopped.info.epochs) == ("stopped", 0)
    early = train(spec_of(epochs=60, patience=1, learning_rate=0.1), text, "The ")
    assert early.info.status == "complete"
    assert early.info.epochs < 60
    assert early.info.final_epoch == int(early.curves["stopping_loss"].argmin())


@pytest.mark.parametrize(("window", "n"), [(8, 8), (128, 100)])
def test_text_shorter_than_a_window_is_one_sentence(window, n):
    from core.text.recurrent import window_starts

    with pytest.raises(ValueError, match="Expected a training text longer than a window"):
        window_starts(spec_of(window=window), n)


def test_experiment_trains_the_help_topics_with_no_network():
    settings = EXPERIMENT.settings.parse("corpus=topics&n_train=4000&n_validation=1000&epochs=1&units=8&seeds=1")
    spec = EXPERIMENT.study(settings).base
    result = EXPERIMENT.train(spec, lambda *_: None, lambda: False)
    assert result.info.digest == spec.digest
    assert set(result.frames) == {"curves", "clock", "places", "samples", "weights", "references", "text", "vocabulary"}


def test_exported_script_reproduces_the_curves_without_contraste(tmp_path):
    link = "corpus=topics&n_train=3000&n_validation=1000&epochs=2&units=8&seeds=1&arms=l2&kept=lower&window=6"
    settings = EXPERIMENT.settings.parse(link)
    script = EXPERIMENT.script(settings)
    assert "import core" not in script
    assert "from core" not in script
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    written = pd.read_csv(tmp_path / "curves.csv")
    study = EXPERIMENT.study(settings)
    for arm, _seed, spec in study:
        own = EXPERIMENT.train(spec, lambda *_: None, lambda: False).curves
        rows = written[written["arm"] == arm.name]
        for column in ("train_loss", "validation_loss"):
            np.testing.assert_allclose(rows[column], own[column], rtol=2e-3)
