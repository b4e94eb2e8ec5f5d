"""Training: the epoch graph is Keras' own `fit`, measured in inference mode, and the same every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from core.experiments.overfitting import EXPERIMENT, OverfittingRun, OverfittingSettings
from core.result import CURVE_COLUMNS
from core.study import BASELINE

pytestmark = pytest.mark.slow

OPTIMIZERS = ["adam", "sgd", "momentum", "rmsprop"]
REGULARIZERS = {
    "l1": {"l1": 1e-3},
    "l2": {"l2": 1e-2},
    "l1_l2": {"l1": 1e-3, "l2": 1e-2},
    "dropout": {"dropout": 0.5},
    "l2_dropout": {"l2": 1e-3, "dropout": 0.3},
    "weight_decay": {"weight_decay": 1.0},
    "max_norm": {"max_norm": 0.5},
    "batch_norm": {"batch_norm": True},
    "gaussian_noise": {"gaussian_noise": 0.3},
    "label_smoothing": {"label_smoothing": 0.1},
    "augmentation": {"augmentation": 0.1},
    "cosine_decay": {"cosine_decay": True},
}
TRAIN_LOSS, VALIDATION_LOSS, PENALTY = (
    CURVE_COLUMNS.index(name) for name in ("train_loss", "validation_loss", "penalty")
)


@pytest.fixture(scope="module", autouse=True)
def training():
    """Import TensorFlow as a worker does, with one thread."""
    from core.engine.task import prepare

    prepare()
    import core.training as module

    return module


def run_spec(**values) -> OverfittingRun:
    """Describe a run small enough for a test: 70 points leave a last batch of 6."""
    shared = {
        "seed": 0, "dataset": "digits", "n_train": 70, "n_validation": 60, "flipped": 0.1, "noise": 0.0, "width": 12,
        "depth": 2, "epochs": 4, "batch_size": 32, "optimizer": "adam", "learning_rate": 3e-3,
    }  # fmt: skip
    return OverfittingRun(**(shared | values))


def in_order(spec, n):
    """Draw the rows as `fit(shuffle=False)` takes them."""
    return lambda: np.arange(n, dtype="int32")


CASES = (
    [{"optimizer": optimizer, "dataset": dataset} for optimizer in OPTIMIZERS for dataset in ("digits", "diabetes")]
    + list(REGULARIZERS.values())
    + [{"optimizer": optimizer, "weight_decay": 0.5} for optimizer in OPTIMIZERS[1:]]
    + [{"optimizer": "momentum", "max_norm": 0.3}, {"dataset": "diabetes", "l2": 1e-2, "dropout": 0.2}]
)


@pytest.mark.parametrize(
    "values", CASES, ids=lambda values: "-".join(f"{key}={value}" for key, value in values.items())
)
def test_epochs_of_the_graph_are_those_of_fit(training, values):
    import tensorflow as tf

    spec = run_spec(**values)
    splits = EXPERIMENT.data(spec)
    ours, theirs = EXPERIMENT.model(spec), EXPERIMENT.model(spec)
    start = ours.get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(start, theirs.get_weights(), strict=True))

    program = training.Program(ours, spec.batch_size, splits.train, ours.loss)
    order = tf.range(len(splits.train.x))
    held_out = [tf.constant(part) for s in (splits.validation, splits.stopping) for part in (s.x, s.y)]
    x, y = tf.constant(splits.train.x), tf.constant(splits.train.y)
    for _epoch in range(spec.epochs):
        row = program.epoch(order, x, y, held_out).numpy()
    theirs.fit(splits.train.x, splits.train.y, batch_size=spec.batch_size, epochs=spec.epochs, shuffle=False, verbose=0)
    for one, other, before in zip(ours.get_weights(), theirs.get_weights(), start, strict=True):
        assert not np.array_equal(one, before)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)

    # What Keras reports as the loss is the data loss and the penalty, which are recorded apart.
    reported = theirs.evaluate(splits.train.x, splits.train.y, batch_size=len(splits.train.x), verbose=0)
    assert row[TRAIN_LOSS] + row[PENALTY] == pytest.approx(reported, rel=1e-5)
    reported = theirs.evaluate(splits.validation.x, splits.validation.y, batch_size=len(splits.validation.x), verbose=0)
    assert row[VALIDATION_LOSS] + row[PENALTY] == pytest.approx(reported, rel=1e-5)
    assert (row[PENALTY] > 0) == bool(spec.l1 or spec.l2)


def test_penalty_is_keras_form_without_a_half(training):
    spec = run_spec(l1=0.01, l2=0.02, epochs=1)
    kernels = [w for w in EXPERIMENT.model(spec).get_weights() if w.ndim > 1]
    expected = sum(0.01 * np.abs(w).sum() + 0.02 * np.square(w).sum() for w in kernels)
    result = training.train(EXPERIMENT, spec)
    assert result.curves["penalty"].iloc[0] == pytest.approx(expected, rel=1e-5)


def test_max_norm_holds_after_every_step(training):
    spec = run_spec(max_norm=0.4, learning_rate=0.1)
    program = training.program_for(EXPERIMENT, spec, EXPERIMENT.data(spec).train)
    _advance(program, spec, 2)
    for kernel in (w for w in program.model.get_weights() if w.ndim > 1):
        assert np.linalg.norm(kernel, axis=0).max() <= 0.4 + 1e-5


def test_weight_decay_leaves_biases_and_the_loss_alone(training):
    plain, decayed = (training.train(EXPERIMENT, run_spec(weight_decay=decay)) for decay in (0.0, 5.0))
    assert (decayed.curves["penalty"] == 0).all()
    assert plain.curves["train_loss"].iloc[-1] != decayed.curves["train_loss"].iloc[-1]
    spec = run_spec(weight_decay=5.0)
    model = EXPERIMENT.model(spec)
    model.optimizer.build(model.trainable_variables)
    shrunk = [v.path.rsplit("/", 1)[-1] for v in model.trainable_variables if model.optimizer._use_weight_decay(v)]
    assert shrunk == ["kernel"] * 3


def _advance(program, spec, epochs: int) -> np.ndarray:
    """Run epochs of a program as `train` does and return the last row."""
    import tensorflow as tf

    from core.training import batch_order

    splits = EXPERIMENT.data(spec)
    held_out = [tf.constant(part) for s in (splits.validation, splits.stopping) for part in (s.x, s.y)]
    x, y = tf.constant(splits.train.x), tf.constant(splits.train.y)
    draw = batch_order(spec, len(splits.train.x))
    row = program.epoch(tf.constant(np.empty(0, "int32")), x, y, held_out)
    for _epoch in range(epochs):
        row = program.epoch(tf.constant(draw()), x, y, held_out)
    return row.numpy()


def test_measuring_is_in_inference_mode_and_changes_nothing(training):
    import tensorflow as tf

    spec = run_spec(dropout=0.9)
    program = training.program_for(EXPERIMENT, spec, EXPERIMENT.data(spec).train)
    first = _advance(program, spec, 2)
    before = program.model.get_weights()
    splits = EXPERIMENT.data(spec)
    held_out = [tf.constant(part) for s in (splits.validation, splits.stopping) for part in (s.x, s.y)]
    nothing = tf.constant(np.empty(0, "int32"))
    again = program.epoch(nothing, tf.constant(splits.train.x), tf.constant(splits.train.y), held_out).numpy()
    assert again.tolist() == first.tolist()
    assert all(np.array_equal(one, other) for one, other in zip(before, program.model.get_weights(), strict=True))
    outputs = program.model(splits.train.x, training=False)
    assert first[TRAIN_LOSS] == pytest.approx(float(program.model.loss(splits.train.y, outputs)), rel=1e-6)


@pytest.mark.parametrize("dataset", ["digits", "diabetes"])
def test_scores_are_those_of_scikit_learn(training, dataset):
    from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score

    spec = run_spec(dataset=dataset)
    program = training.program_for(EXPERIMENT, spec, EXPERIMENT.data(spec).train)
    row = dict(zip(CURVE_COLUMNS, _advance(program, spec, 3), strict=True))
    splits = EXPERIMENT.data(spec)
    for name, part in (("train", splits.train), ("validation", splits.validation), ("stopping", splits.stopping)):
        outputs = program.model(part.x, training=False).numpy()
        if dataset == "digits":
            shares = np.exp(outputs - outputs.max(1, keepdims=True))
            shares /= shares.sum(1, keepdims=True)
            assert row[f"{name}_loss"] == pytest.approx(log_loss(part.y, shares, labels=range(10)), rel=1e-4)
            assert row[f"{name}_score"] == pytest.approx(accuracy_score(part.y, outputs.argmax(1)))
        else:
            assert row[f"{name}_loss"] == pytest.approx(mean_squared_error(part.y, outputs), rel=1e-5)
            assert row[f"{name}_score"] == pytest.approx(r2_score(part.y, outputs), rel=1e-4)


# -- the same every time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{}, {"dropout": 0.5, "l2": 1e-3}, {"optimizer": "momentum", "noise": 0.3}])
def test_same_spec_gives_the_same_bits_whatever_ran_between(training, values):
    spec = run_spec(**values)
    first = training.train(EXPERIMENT, spec)
    for other in (run_spec(**values, seed=7), run_spec(width=5), run_spec(optimizer="rmsprop", dropout=0.2)):
        training.train(EXPERIMENT, other)
    second = training.train(EXPERIMENT, spec)
    assert first.curves.to_numpy().tobytes() == second.curves.to_numpy().tobytes()
    other = training.train(EXPERIMENT, run_spec(**values, seed=7))
    assert other.curves["train_loss"].iloc[0] != first.curves["train_loss"].iloc[0]


def test_run_traced_anew_gives_the_bits_of_one_that_reused_a_graph(training, monkeypatch):
    spec = run_spec(dropout=0.5, seed=3)
    training.train(EXPERIMENT, run_spec(dropout=0.5, seed=2))
    reused = training.train(EXPERIMENT, spec)
    monkeypatch.setattr(training, "MAX_PROGRAMS", 1)
    training.train(EXPERIMENT, run_spec(width=6))  # lets every other graph go
    anew = training.train(EXPERIMENT, spec)
    assert reused.curves.to_numpy().tobytes() == anew.curves.to_numpy().tobytes()


def test_keras_global_seed_has_no_part_in_it(training):
    import keras

    spec = run_spec(dropout=0.5)
    curves = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        curves.append(training.train(EXPERIMENT, spec).curves.to_numpy().tobytes())
    assert curves[0] == curves[1]


def test_order_of_batches_depends_on_the_seed_alone(training):
    orders = [training.batch_order(run_spec(l2=l2, dropout=l2), 70) for l2 in (0.0, 0.1)]
    for _epoch in range(3):
        one, other = (draw() for draw in orders)
        assert one.tolist() == other.tolist()
        assert sorted(one.tolist()) == list(range(70))
    assert training.batch_order(run_spec(seed=1), 70)().tolist() != training.batch_order(run_spec(), 70)().tolist()


def test_arms_start_from_the_same_loss_and_first_steps_data(training):
    study = EXPERIMENT.study(OverfittingSettings(n_train=40, n_validation=40, width=8, epochs=1, seeds=1))
    starts = {arm.name: training.train(EXPERIMENT, spec).curves.iloc[0] for arm, _, spec in study}
    for name, row in starts.items():
        assert row["train_loss"] == starts[BASELINE]["train_loss"], name
        assert row["validation_loss"] == starts[BASELINE]["validation_loss"], name


# -- facts and ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        ({"width": 256, "depth": 2}, 85_002),  # 64·256 + 256 + 256·256 + 256 + 256·10 + 10
        ({"width": 256, "depth": 2, "dropout": 0.5, "l2": 0.1}, 85_002),
        ({"dataset": "diabetes", "width": 16, "depth": 1}, 193),  # 10·16 + 16 + 16 + 1
        ({"dataset": "moons", "width": 8, "depth": 3}, 186),  # 2·8 + 8 + 2·(8·8 + 8) + 8·2 + 2
        ({"dataset": "mnist", "width": 512, "depth": 2}, 669_706),
    ],
)
def test_parameters_are_counted(values, parameters):
    assert EXPERIMENT.model(run_spec(**values)).count_params() == parameters


def test_result_holds_the_facts_of_the_run(training):
    spec = run_spec()
    result = training.train(EXPERIMENT, spec)
    assert result.info.digest == spec.digest
    assert result.info.spec == spec.canonical()
    assert result.info.status == "complete"
    assert result.info.epochs == result.info.final_epoch == spec.epochs
    assert result.info.best_epoch == int(result.curves["validation_loss"].argmin())
    assert result.info.parameters == EXPERIMENT.model(spec).count_params()
    assert result.info.prior_loss == EXPERIMENT.data(spec).prior_loss
    assert result.info.seconds > 0
    assert set(result.info.versions) >= {"python", "tensorflow", "keras", "numpy"}
    assert result.curves["epoch"].tolist() == list(range(spec.epochs + 1))
    assert list(result.curves.columns) == ["epoch", *CURVE_COLUMNS]


def test_report_gets_every_epoch_as_it_is_recorded(training):
    seen = []
    result = training.train(EXPERIMENT, run_spec(), report=lambda epoch, row: seen.append((epoch, *row)))
    assert np.array(seen, "float32").tolist() == result.curves.to_numpy("float32").tolist()


@pytest.mark.parametrize("asked", [0, 1, 3])
def test_stop_ends_the_run_at_the_epoch_in_which_it_was_asked(training, asked):
    answers = iter([False] * asked + [True] * 10)
    result = training.train(EXPERIMENT, run_spec(epochs=50, patience=0), should_stop=lambda: next(answers))
    assert result.info.status == "stopped"
    assert not result.is_complete
    assert result.info.epochs == asked
    whole = training.train(EXPERIMENT, run_spec(epochs=6))
    shared = min(asked, 6) + 1
    assert result.curves.iloc[:shared].to_numpy().tobytes() == whole.curves.iloc[:shared].to_numpy().tobytes()


def test_stop_asked_after_the_last_epoch_leaves_a_complete_run(training):
    answers = iter([False, False, True, True])
    result = training.train(EXPERIMENT, run_spec(epochs=2), should_stop=lambda: next(answers))
    assert result.info.status == "complete"


@pytest.mark.parametrize("values", [{"learning_rate": 10.0, "optimizer": "sgd"}, {"learning_rate": 10.0}])
def test_run_that_explodes_is_marked_diverged_and_ends(training, values):
    result = training.train(EXPERIMENT, run_spec(epochs=300, width=64, **values))
    assert result.info.status == "diverged"
    assert result.is_complete
    assert result.info.epochs < 300
    last = result.curves["train_loss"].iloc[-1]
    assert not np.isfinite(last) or last > 100 * result.curves["train_loss"].iloc[0]
    assert np.isfinite(result.curves["validation_loss"].iloc[result.info.best_epoch])


@pytest.mark.parametrize("patience", [1, 3, 8])
def test_early_stopping_is_that_of_keras_on_the_stopping_split(training, monkeypatch, patience):
    import keras

    spec = run_spec(epochs=60, patience=patience, learning_rate=0.02, width=32, flipped=0.2)
    splits = EXPERIMENT.data(spec)
    # In order, as `fit` takes the rows; dropout's random state would follow the same draws
    monkeypatch.setattr(training, "batch_order", in_order)
    ours = training.train(EXPERIMENT, spec)

    model = EXPERIMENT.model(spec)
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)
    history = model.fit(
        splits.train.x, splits.train.y, batch_size=spec.batch_size, epochs=spec.epochs, shuffle=False, verbose=0,
        validation_data=(splits.stopping.x, splits.stopping.y), validation_batch_size=len(splits.stopping.x),
        callbacks=[callback],
    ).history  # fmt: skip
    assert ours.info.epochs == len(history["val_loss"]) < 60
    np.testing.assert_allclose(ours.curves["stopping_loss"].iloc[1:], history["val_loss"], rtol=1e-5)
    assert ours.info.final_epoch == int(np.argmin(history["val_loss"])) + 1
    restored = model.evaluate(splits.validation.x, splits.validation.y, batch_size=1_000, verbose=0)
    assert ours.curves["validation_loss"].iloc[ours.info.final_epoch] == pytest.approx(restored, rel=1e-5)
    assert ours.info.status == "complete"


def test_early_stopping_never_looks_at_validation_or_test(training):
    spec = run_spec(epochs=40, patience=3, learning_rate=0.02)
    splits = EXPERIMENT.data(spec)
    other = dataclasses.replace(splits, validation=splits.stopping, test=splits.stopping)
    one, two = (training.train(EXPERIMENT, spec, data=data) for data in (splits, other))
    assert one.info.final_epoch == two.info.final_epoch
    assert one.curves["train_loss"].tolist() == two.curves["train_loss"].tolist()


def test_observer_sees_the_model_at_the_end_of_every_epoch(training):
    spec = run_spec(epochs=2)
    splits = EXPERIMENT.data(spec)
    seen = []

    class Watcher:
        def __call__(self, epoch, model):
            loss = model.loss(splits.validation.y, model(splits.validation.x, training=False))
            seen.append((epoch, float(loss)))

        def frames(self):
            return {"seen": pd.DataFrame(seen)}

    result = training.train(EXPERIMENT, spec, data=splits, observe=Watcher())
    curves = result.curves
    assert len(result.frames["seen"]) == 3
    assert [epoch for epoch, _loss in seen] == [0, 1, 2]
    np.testing.assert_allclose([loss for _epoch, loss in seen], curves["validation_loss"], rtol=1e-5)
