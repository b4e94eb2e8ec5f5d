"""The `.keras` file of an arm: it loads where Contraste is not, and has the loss that was recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.config import Config
from core.engine.client import Engine
from core.experiments import experiments
from core.result import RunFailure
from core.store import Store

pytestmark = pytest.mark.slow

SMALL = {
    "overfitting": "dataset=moons&n_train=60&epochs=3&seeds=1&width=16&arms=batch_norm,max_norm",
    "custom_loss": "dataset=friedman&n_train=60&epochs=3&seeds=1&width=16&losses=cauchy",
    "metrics": "epochs=3&seeds=1&width=16&arms=l2",
    "entropy": "n_train=60&epochs=3&seeds=1&width=16&arms=label_smoothing",
    "rnn": "corpus=topics&n_train=4000&n_validation=1000&epochs=2&seeds=1&units=8&window=8&arms=l2",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(Store(""), Config(store_url="", workers=1, idle_seconds=120))
    yield made
    made.close()


def test_every_experiment_is_here():
    assert set(SMALL) == set(experiments())


@pytest.mark.parametrize("name", SMALL)
def test_saved_net_loads_without_contraste_and_has_the_recorded_loss(engine, tmp_path, name):
    import keras
    import numpy as np

    experiment = experiments()[name]
    study = experiment.study(experiment.settings.parse(SMALL[name]))
    spec = study.spec(study.arms[-1], 0)
    engine.submit([spec])
    engine.wait([spec.digest])
    result = engine.store.get([spec.digest])[spec.digest]
    kept = {part: result.frames[part] for part in experiment.kept_weights}
    file = engine.save_model(spec, kept)
    assert isinstance(file, bytes), file
    path = tmp_path / "net.keras"
    path.write_bytes(file)
    alone = subprocess.run(
        [sys.executable, "-c", f"import keras; print(keras.saving.load_model({str(path)!r}).count_params())"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr[-2_000:]
    assert int(alone.stdout) == result.info.parameters
    model = keras.saving.load_model(path)
    if name != "rnn":  # whose losses carry a state along; its weights are compared
        split = experiment.data(spec).validation
        loss = float(experiment.data_loss(spec, experiment.model(spec))(split.y, model(split.x, training=False)))
        assert loss == pytest.approx(result.curves["validation_loss"].iloc[result.info.final_epoch], rel=1e-4)
        return
    from core.text.generation import Net, unpack

    codes = np.arange(8, dtype="int32")
    np.testing.assert_allclose(model(codes[None])[0], Net("gru", unpack(kept["weights"])).read(codes)[0], atol=1e-5)
    again = engine.save_model(spec, {})  # too large nets are not kept: they are trained again
    assert isinstance(again, bytes)
    path.write_bytes(again)
    np.testing.assert_allclose(keras.saving.load_model(path)(codes[None]), model(codes[None]), atol=1e-6)


def test_net_that_cannot_be_made_is_a_sentence(engine):
    experiment = experiments()["rnn"]
    spec = experiment.study(experiment.settings.parse(SMALL["rnn"])).base
    lost = engine.save_model(spec.model_copy(update={"fingerprint": "0" * 64}), {})
    assert isinstance(lost, RunFailure)
    assert "Expected the help topics" in lost.sentence()
