"""What workers do for the entropy page: losses in Keras, nets that need more than a loss, agents; with TensorFlow."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core import export
from core.entropy import entropy_gradient, entropy_of_logits, log_softmax, penalty
from core.entropy.calibration import cross_entropy, fit_temperature
from core.entropy.worlds import world
from core.experiments.entropy import EXPERIMENT, LESSONS, TASKS, EntropyRun, class_shares, cut
from core.study import BASELINE

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(7)
Z = np.concatenate(
    [
        RNG.normal(0, 4, (40, 10)),
        [[1e4] + [-1e4] * 9, [-1e4] * 10, [1e4] * 10, [80.0] + [0.0] * 9, [0.0] * 10, [1e4, 1e4, *[-1e4] * 8]],
    ]
).astype("float32")
Y = RNG.integers(0, 10, len(Z)).astype("int32")


@pytest.fixture(scope="module", autouse=True)
def training():
    """Import TensorFlow as a worker does, with one thread."""
    from core.engine.task import prepare

    prepare()
    import core.training as module

    return module


def run_spec(**values) -> EntropyRun:
    """Describe a run small enough for a test."""
    shared = {
        "seed": 0, "dataset": "digits", "n_train": 70, "n_validation": 60, "unlabelled": 20, "noise": 0.5, "width": 12,
        "depth": 2, "epochs": 4, "batch_size": 32, "optimizer": "adam", "learning_rate": 3e-3,
    }  # fmt: skip
    return EntropyRun(**(shared | values))


# -- losses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "floor"), [(0.0, 0.0), (0.3, 0.0), (5.0, 0.0), (0.3, 0.5), (1_000.0, 0.0)])
@pytest.mark.parametrize("rewards", [True, False])
def test_loss_and_gradient_are_the_formula_s_at_ordinary_and_saturated_logits(beta, floor, rewards):
    import tensorflow as tf

    from core.entropy.losses import ConfidencePenalty

    z = tf.constant(Z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = ConfidencePenalty(beta, floor, rewards=rewards, reduction="none")(Y, z)
    gradient = tape.gradient(values, z).numpy()
    exact = Z.astype("float64")
    h, sign = entropy_of_logits(exact), 1 if rewards else -1
    own = -log_softmax(exact)[np.arange(len(Y)), Y]
    np.testing.assert_allclose(values, own + sign * penalty(h, beta, floor), rtol=1e-5, atol=1e-6 * (1 + beta))
    pull = np.exp(log_softmax(exact)) - np.eye(10)[Y]
    active = (h < floor)[:, None] if floor else 1.0
    expected = pull - sign * beta * active * entropy_gradient(exact)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=2e-6 * (1 + beta))
    assert np.isfinite(gradient).all()


def test_formula_is_the_same_under_keras_ops():
    import keras

    np.testing.assert_allclose(entropy_of_logits(Z, keras.ops), entropy_of_logits(Z.astype("float64")), atol=2e-6)
    np.testing.assert_allclose(
        entropy_gradient(Z, keras.ops), entropy_gradient(Z.astype("float64")), rtol=1e-4, atol=2e-6
    )
    h = np.array([0.0, 0.5, 2.0], "float32")
    np.testing.assert_allclose(penalty(h, 0.5, 1.0, keras.ops), penalty(h, 0.5, 1.0))


def test_exact_identities():
    """β = 0, ε = 0, γ = 0 and weights of 1 are the cross-entropy; CP = CE + β(KL(p‖u) − ln K); LS as its mixture."""
    import keras

    from core.entropy.losses import ConfidencePenalty, Focal, LabelSmoothing, WeightedCrossEntropy

    z = Z[:40]
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")(Y[:40], z).numpy()
    same = [ConfidencePenalty(0.0), LabelSmoothing(0.0), Focal(0.0), WeightedCrossEntropy([1.0] * 10)]
    for loss in same:
        loss.reduction = "none"
        np.testing.assert_allclose(loss(Y[:40], z), plain, rtol=1e-5, atol=1e-5)
    log_p = log_softmax(z.astype("float64"))
    kl_to_uniform = (np.exp(log_p) * (log_p + math.log(10))).sum(-1)
    kl_from_uniform = (-math.log(10) - log_p).mean(-1)
    penalized = ConfidencePenalty(0.7, reduction="none")(Y[:40], z)
    np.testing.assert_allclose(penalized, plain + 0.7 * (kl_to_uniform - math.log(10)), rtol=1e-4, atol=1e-5)
    smoothed = LabelSmoothing(0.2, reduction="none")(Y[:40], z)
    np.testing.assert_allclose(smoothed, 0.8 * plain + 0.2 * (kl_from_uniform + math.log(10)), rtol=1e-4, atol=1e-5)
    p = np.exp(-plain)
    np.testing.assert_allclose(Focal(3.0, reduction="none")(Y[:40], z), (1 - p) ** 3 * plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 5.0])
def test_focal_gradient_is_finite_where_the_answer_is_certain(gamma):
    import tensorflow as tf

    from core.entropy.losses import Focal

    z = tf.constant([[1e4, 0.0], [60.0, 0.0], [0.0, 1e4]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = Focal(gamma)(np.zeros(3, "int32"), z)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, z)).all()


@pytest.mark.parametrize("logit", [0.0, 2.0, -2.0, 1e4, -1e4])
@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_binary_form_is_the_form_for_two_classes(logit, floor):
    import tensorflow as tf

    from core.entropy.losses import BinaryConfidencePenalty, ConfidencePenalty

    one, two = tf.constant([[logit]]), tf.constant([[0.0, logit]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([one, two])
        short = BinaryConfidencePenalty(0.4, floor)(np.ones((1, 1)), one)
        long = ConfidencePenalty(0.4, floor)(np.ones(1), two)
    assert float(short) == pytest.approx(float(long), abs=1e-5)
    assert tape.gradient(short, one).numpy().item() == pytest.approx(tape.gradient(long, two).numpy()[0, 1], abs=1e-5)


@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf, 1e9, "1"])
def test_loss_refuses_a_beta_out_of_range(beta):
    from core.entropy.losses import BinaryConfidencePenalty, ConfidencePenalty

    for kind in (ConfidencePenalty, BinaryConfidencePenalty):
        with pytest.raises(ValueError, match="Expected a float from 0 to 1000; received"):
            kind(beta)


@pytest.mark.parametrize("floor", [-1.0, math.nan, math.inf])
def test_loss_refuses_a_floor_out_of_range(floor):
    from core.entropy.losses import ConfidencePenalty

    with pytest.raises(ValueError, match="Expected a float >= 0; received"):
        ConfidencePenalty(1.0, floor)


@pytest.mark.parametrize("shape", [(4, 1), (4,), (4, 3, 2)])
def test_losses_refuse_one_class(shape):
    from core.entropy.losses import ConfidencePenalty, Focal, LabelSmoothing

    for loss in (ConfidencePenalty(0.1), Focal(), LabelSmoothing()):
        with pytest.raises(ValueError, match="at least two classes; received shape"):
            loss(np.zeros(shape[:-1] or (4,), "int32"), np.zeros(shape, "float32"))


def test_loss_gives_one_value_a_row_so_that_weights_count():
    from core.entropy.losses import BinaryConfidencePenalty, ConfidencePenalty, Focal, LabelSmoothing

    weights = np.linspace(0, 1, 40).astype("float32")
    for loss in (ConfidencePenalty(0.3), ConfidencePenalty(0.3, 0.5), Focal(), LabelSmoothing()):
        rows = type(loss).from_config(loss.get_config() | {"reduction": "none"})(Y[:40], Z[:40]).numpy()
        assert rows.shape == (40,)
        assert float(loss(Y[:40], Z[:40], sample_weight=weights)) == pytest.approx((rows * weights).mean(), rel=1e-5)
        assert float(loss(Y[:40, None], Z[:40])) == pytest.approx(rows.mean(), rel=1e-5)
    assert BinaryConfidencePenalty(0.3, reduction="none")(np.ones((5, 1)), np.zeros((5, 1))).shape == (5,)


# -- data ----------------------------------------------------------------------------------------------------


def test_arms_of_a_seed_share_every_split_and_unlabelled_points_are_nobody_else_s():
    from core.datasets import find

    digits = find("digits")
    spec = run_spec(noise=0.0)
    splits, pool = cut(spec, digits)
    assert (len(splits.train.x), len(splits.validation.x), len(pool)) == (70, 60, 20)
    for changes in ({"beta": 1.0}, {"minimise": 0.3}, {"is_calibrated": True}, {"mixup": 0.4}):
        other, its_pool = cut(spec.model_copy(update=changes), digits)
        assert np.array_equal(other.train.x, splits.train.x)
        assert np.array_equal(other.train.y, splits.train.y)
        assert np.array_equal(other.validation.x, splits.validation.x)
        assert np.array_equal(its_pool, pool)
    rows = {
        row.tobytes()
        for part in (splits.train.x, splits.validation.x, splits.stopping.x, splits.test.x)
        for row in part
    }
    assert not rows & {row.tobytes() for row in pool}


@pytest.mark.parametrize("ratio", [2.0, 10.0])
def test_imbalance_gives_the_classes_their_shares(ratio):
    from core.datasets import find

    spec = run_spec(n_train=300, n_validation=500, imbalance=ratio)
    splits, _pool = cut(spec, find("digits"))
    counts = np.bincount(splits.train.y, minlength=10)
    np.testing.assert_allclose(counts, 300 * class_shares(10, ratio), atol=1)
    assert counts[0] / counts[9] == pytest.approx(ratio, rel=0.15)
    assert (np.diff(counts) <= 0).all()
    plain, _pool = cut(spec.model_copy(update={"imbalance": 1.0}), find("digits"))
    assert np.array_equal(splits.validation.y, plain.validation.y)


@pytest.mark.parametrize("ratio", [2.0, 20.0, 100.0])
@pytest.mark.parametrize(
    ("dataset", "n_train", "unlabelled"), [("wine", 90, 10), ("digits", 200, 200), ("moons", 10, 10)]
)
def test_imbalance_leaves_every_unlabelled_point(dataset, n_train, unlabelled, ratio):
    from core.datasets import find

    for seed in range(3):
        spec = run_spec(dataset=dataset, n_train=n_train, unlabelled=unlabelled, imbalance=ratio, seed=seed)
        splits, pool = cut(spec.model_copy(update={"n_validation": 5_000}), find(dataset))
        assert len(pool) == unlabelled
        assert len(splits.train.x) <= n_train


def test_flipped_share_is_exact_beside_unlabelled_points():
    from core.datasets import find

    clean, _pool = cut(run_spec(), find("digits"))
    flipped, _pool = cut(run_spec(flipped=0.2), find("digits"))
    assert (clean.train.y != flipped.train.y).sum() == 14
    assert np.array_equal(clean.train.x, flipped.train.x)


# -- nets ----------------------------------------------------------------------------------------------------

ARMS = {
    "penalty": {"beta": 0.3},
    "hinge": {"beta": 0.3, "floor": 0.3},
    "anneal": {"beta": 0.3, "anneal": 6},
    "label_smoothing": {"epsilon": 0.1},
    "focal": {"gamma": 2.0},
    "dropout": {"dropout": 0.3},
    "mixup": {"mixup": 0.4},
    "minimise": {"minimise": 0.3},
    "temperature": {"is_calibrated": True},
}


@pytest.mark.parametrize("changes", ARMS.values(), ids=ARMS)
def test_same_run_twice_gives_the_same_numbers_also_on_a_reused_graph(training, changes):
    spec = run_spec(**changes)
    first = training.train(EXPERIMENT, spec)
    training.train(EXPERIMENT, spec.model_copy(update={"seed": 1}))  # the same graph, other data
    again = training.train(EXPERIMENT, spec)
    pd.testing.assert_frame_equal(first.curves, again.curves)
    pd.testing.assert_frame_equal(first.frames["predictions"], again.frames["predictions"])
    training._programs.clear()
    pd.testing.assert_frame_equal(first.curves, training.train(EXPERIMENT, spec).curves)
    parameters = {training.train(EXPERIMENT, run_spec()).info.parameters, first.info.parameters}
    assert len(parameters) == 1  # neither the pool nor the temperature counts


def test_switched_off_net_trains_as_keras_own_model(training):
    """Annealing over no steps, and the temperature arm's weights, change nothing of the training."""
    plain = training.train(EXPERIMENT, run_spec()).curves
    scaled = training.train(EXPERIMENT, run_spec(is_calibrated=True)).curves
    assert np.array_equal(plain["validation_score"], scaled["validation_score"])
    assert not np.array_equal(plain["validation_loss"], scaled["validation_loss"])
    assert (scaled["stopping_loss"] <= plain["stopping_loss"] + 1e-6).all()


def test_annealed_penalty_starts_at_zero_and_ends_at_beta(training):
    spec = run_spec(beta=0.5, anneal=6, epochs=3)
    model = EXPERIMENT.model(spec)
    assert float(model.scale.value) == 0
    splits = EXPERIMENT.data(spec)
    seen = []
    for _step in range(8):
        model.train_step((splits.train.x[:32], splits.train.y[:32]))
        seen.append(float(model.scale.value))
    np.testing.assert_allclose(seen, [min(1, step / 6) for step in range(8)], atol=1e-6)


def test_temperature_is_the_one_that_numpy_finds(training):
    spec = run_spec(is_calibrated=True, epochs=12)
    result = training.train(EXPERIMENT, spec)
    model = training.program_for(EXPERIMENT, run_spec(epochs=12), EXPERIMENT.data(spec).train).model
    plain = training.train(EXPERIMENT, run_spec(epochs=12))
    splits = EXPERIMENT.data(spec)
    logits = np.asarray(model(splits.stopping.x, training=False))
    temperature = fit_temperature(logits, splits.stopping.y)
    validation = np.asarray(model(splits.validation.x, training=False))
    expected = cross_entropy(validation / temperature, splits.validation.y)
    assert result.curves["validation_loss"].iloc[-1] == pytest.approx(expected, rel=1e-4)
    measures = dict(zip(plain.frames["measures"]["name"], plain.frames["measures"]["value"], strict=True))
    assert measures["temperature"] == pytest.approx(temperature, rel=1e-4)
    assert measures["nll"] == pytest.approx(plain.curves["validation_loss"].iloc[-1], rel=1e-4)
    assert measures["accuracy"] == pytest.approx(plain.curves["validation_score"].iloc[-1], abs=1e-6)


def test_diverged_run_is_a_value_without_measures(training):
    result = training.train(EXPERIMENT, run_spec(optimizer="sgd", learning_rate=10.0, epochs=30, batch_size=4))
    assert result.info.status == "diverged" or "measures" in result.frames
    broken = training.train(
        EXPERIMENT, run_spec(optimizer="sgd", learning_rate=10.0, epochs=60, batch_size=1, noise=3.0)
    )
    assert broken.info.status == "diverged"


@pytest.mark.parametrize("dataset", ["moons", "wine", "breast_cancer"])
def test_tables_and_points_are_measured_too(training, dataset):
    result = training.train(EXPERIMENT, run_spec(dataset=dataset, n_train=40, n_validation=40))
    names = set(result.frames["measures"]["name"])
    assert {"auroc_far", "auroc_noise", "ece", "rare_accuracy"} <= names
    assert "rotation" not in result.frames
    assert np.isfinite(result.frames["measures"]["value"]).all()


@pytest.mark.parametrize("lesson", LESSONS)
def test_lessons_build(training, lesson):
    study = EXPERIMENT.lesson(lesson)
    for arm in study.arms:
        spec = study.spec(arm, 0).model_copy(update={"epochs": 1, "width": 8})
        assert training.train(EXPERIMENT, spec).is_complete


def test_exported_script_reproduces_the_numbers_without_contraste(training, tmp_path):
    query = (
        "n_train=60&epochs=2&seeds=1&width=16&anneal=1&imbalance=3&flipped=0.1"
        "&arms=penalty,label_smoothing,focal,mixup,temperature,minimise"
    )
    settings = EXPERIMENT.settings.parse(query)
    text = export.script(EXPERIMENT, settings)
    assert "from core" not in text
    assert "import core" not in text
    (tmp_path / "train.py").write_text(text)
    done = subprocess.run([sys.executable, "-I", "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2_000:]
    written = pd.read_csv(tmp_path / "curves.csv")
    for arm, seed, spec in EXPERIMENT.study(settings):
        own = written[(written["arm"] == arm.name) & (written["seed"] == seed)]
        expected = training.train(EXPERIMENT, spec).curves
        for column in ("train_loss", "validation_loss", "train_score", "validation_score"):
            assert own[column].to_numpy() == pytest.approx(expected[column].to_numpy(), rel=2e-3, abs=2e-3), arm.name


# -- agents --------------------------------------------------------------------------------------------------


def _agent(task: str, **values) -> EntropyRun:
    study = EXPERIMENT.agents(task)
    return study.spec(study.arms[0], 0).model_copy(update=values)


@pytest.mark.parametrize("task", TASKS)
def test_agent_is_decided_by_its_seed(task):
    def rows(spec):
        return EXPERIMENT.train(spec, lambda epoch, values: None, lambda: False).curves

    spec = _agent(task, epochs=3)
    first = rows(spec)
    other = rows(spec.model_copy(update={"seed": 1, "beta": 0.3}))
    pd.testing.assert_frame_equal(first, rows(spec))
    assert not np.array_equal(first["train_loss"].to_numpy(), other["train_loss"].to_numpy())
    uniform = world(task).best - first["train_loss"].iloc[0]
    assert uniform == pytest.approx(first["train_score"].iloc[0], abs=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_agent_stops_within_a_chunk_keeps_what_it_measured_and_starts_again(task):
    reported: list[int] = []
    spec = _agent(task, epochs=6)
    stopped = EXPERIMENT.train(spec, lambda epoch, values: reported.append(epoch), lambda: len(reported) == 3)
    assert stopped.info.status == "stopped"
    assert reported == [0, 1, 2]
    assert stopped.curves["epoch"].tolist() == [0, 1, 2]
    whole = EXPERIMENT.train(spec, lambda epoch, values: None, lambda: False)
    assert whole.is_complete
    pd.testing.assert_frame_equal(whole.curves.iloc[:3], stopped.curves)


def test_policy_gradient_learns_the_bandit():
    spec = _agent("bandit", epochs=50, learning_rate=0.3)
    result = EXPERIMENT.train(spec, lambda epoch, values: None, lambda: False)
    assert result.curves["train_score"].iloc[-1] > 0.8
    assert result.frames["agent"]["entropy"].iloc[0] == pytest.approx(math.log(10))


def test_arms_of_the_lessons_and_of_the_agents_differ_only_where_they_may():
    for study in (EXPERIMENT.signs(), *map(EXPERIMENT.agents, TASKS), *map(EXPERIMENT.lesson, LESSONS)):
        assert study.arms[0].name == BASELINE
        assert len({spec.digest for spec in study.runs.values()}) == len(study.runs)
