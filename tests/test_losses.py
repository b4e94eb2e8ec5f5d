"""The gallery of losses: equal to Keras, scikit-learn, SciPy and hand-computed values, in NumPy and on tensors."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formula import FormulaError, parse
from core.losses import (
    BASELINES,
    LOSSES,
    VARIABLES,
    class_variables,
    evaluate,
    keras_loss,
    of_kind,
    own_fault,
    read_values,
    write_values,
)
from core.losses import code as losscode

RNG = np.random.default_rng(0)
Y_TRUE, Y_PRED = RNG.standard_normal(50) * 3, RNG.standard_normal(50) * 3
LABELS, LOGITS = RNG.integers(0, 4, 50), RNG.standard_normal((50, 4)) * 3
EVERY = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def regression(name: str, y_true=Y_TRUE, y_pred=Y_PRED, **parameters) -> np.ndarray:
    loss = LOSSES[name]
    return evaluate(loss.formula, np, {"y_true": y_true, "y_pred": y_pred}, {**loss.parameters, **parameters})


def classification(name: str, labels=LABELS, logits=LOGITS, rare=1, **parameters) -> np.ndarray:
    loss = LOSSES[name]
    return evaluate(loss.formula, np, class_variables(labels, logits, rare), {**loss.parameters, **parameters})


@EVERY
def test_entry_is_whole(loss):
    assert set(loss.formula.parameters) == set(loss.parameters)
    assert loss.formula.used - set(loss.parameters) <= set(VARIABLES[loss.kind])
    assert loss.source
    assert loss.purpose.endswith(".")
    assert loss.limits.endswith(".")
    assert loss.label.format(**loss.parameters)
    assert own_fault(loss.text, loss.kind) is None


def test_gallery_has_what_it_promises():
    assert [loss.name for loss in of_kind("regression")] == [
        "mse", "mae", "huber", "log_cosh", "quantile", "linex", "tukey", "cauchy",
    ]  # fmt: skip
    assert [loss.name for loss in of_kind("classification")] == [
        "cross_entropy", "focal", "gce", "sce", "smoothing", "weighted", "hinge",
    ]  # fmt: skip
    assert all(next(iter(of_kind(kind))).name == name for kind, name in BASELINES.items())


# -- by hand, in the order residual 0, +2 (too high), −3 (too low) ----------------------------------------

HAND = [
    ("mse", {}, [0, 4, 9]),
    ("mae", {}, [0, 2, 3]),
    ("huber", {"delta": 2.5}, [0, 2, 2.5 * (3 - 1.25)]),
    ("log_cosh", {}, [0, math.log(math.cosh(2)), math.log(math.cosh(3))]),
    ("quantile", {"level": 0.9}, [0, 0.2, 2.7]),
    ("linex", {"slope": 1.0}, [0, math.exp(2) - 3, math.exp(-3) + 2]),
    ("linex", {"slope": -0.5}, [0, math.exp(-1), math.exp(1.5) - 2.5]),
    ("tukey", {"c": 2.5}, [0, 2.5**2 / 6 * (1 - (1 - 0.64) ** 3), 2.5**2 / 6]),
    ("cauchy", {"scale": 2.0}, [0, 2 * math.log(2), 2 * math.log(3.25)]),
]


@pytest.mark.parametrize(("name", "parameters", "expected"), HAND)
def test_regression_loss_by_hand(name, parameters, expected):
    found = regression(name, np.array([1.0, 1.0, 1.0]), np.array([1.0, 3.0, -2.0]), **parameters)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_classification_losses_by_hand():
    p = 0.8  # of the true class, of two
    logits = np.array([[math.log(p), math.log(1 - p)]])
    labels = np.array([0])
    expected = {
        "cross_entropy": -math.log(p),
        "focal": -(0.2**2) * math.log(p),
        "gce": (1 - p**0.7) / 0.7,
        "sce": -0.1 * math.log(p) + 4 * 0.2,
        "smoothing": -0.9 * math.log(p) - 0.1 * (math.log(p) + math.log(0.2)) / 2,
        "weighted": -math.log(p),
        "hinge": max(0.0, 1 - math.log(4)),
    }
    for name, value in expected.items():
        assert classification(name, labels, logits, rare=1)[0] == pytest.approx(value, abs=1e-12), name
    assert classification("weighted", labels, logits, rare=0)[0] == pytest.approx(-5 * math.log(p))
    assert classification("focal", labels, logits, rare=0, alpha=0.75)[0] == pytest.approx(-1.5 * 0.04 * math.log(p))


# -- identities -------------------------------------------------------------------------------------------


def test_exact_identities():
    mse, mae = regression("mse"), regression("mae")
    np.testing.assert_allclose(regression("huber", delta=1e6), mse / 2)
    np.testing.assert_allclose(regression("huber", delta=1e-9) / 1e-9, mae, atol=1e-8)
    np.testing.assert_allclose(regression("quantile", level=0.5), mae / 2)
    np.testing.assert_allclose(regression("tukey", c=1e3), mse / 2, rtol=5e-4, atol=1e-7)
    np.testing.assert_allclose(regression("cauchy", scale=1e6), mse / 2, rtol=1e-6)
    far = np.array([50.0])
    np.testing.assert_allclose(regression("log_cosh", far, 0 * far), far - math.log(2))
    near = np.array([1e-3])
    np.testing.assert_allclose(regression("log_cosh", near, 0 * near), near**2 / 2, rtol=1e-5)
    ce, p = classification("cross_entropy"), class_variables(LABELS, LOGITS, 0)["p"]
    np.testing.assert_allclose(classification("focal", gamma=0.0), ce)
    np.testing.assert_allclose(classification("gce", q=1.0), 1 - p)
    np.testing.assert_allclose(classification("gce", q=1e-6), ce, rtol=1e-4)
    np.testing.assert_allclose(classification("smoothing", eps=0.0), ce)
    np.testing.assert_allclose(classification("weighted", weight=1.0), ce)
    np.testing.assert_allclose(classification("sce", sce_a=1.0, sce_b=0.0), ce)


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.1, 5))
def test_regression_losses_are_zero_at_the_truth_and_never_negative(true, predicted, parameter):
    for loss in of_kind("regression"):
        given_values = {name: min(parameter, 0.95) if name == "level" else parameter for name in loss.parameters}
        truth, other = (np.array([true]), np.array([predicted]))
        assert regression(loss.name, truth, truth, **given_values)[0] == pytest.approx(0, abs=1e-12)
        assert regression(loss.name, truth, other, **given_values)[0] >= -1e-9


def test_classification_losses_stay_finite_at_any_logits():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 0.0]])
    for loss in of_kind("classification"):
        assert np.isfinite(classification(loss.name, np.zeros(3, int), logits, rare=0)).all(), loss.name


# -- against SciPy and scikit-learn -----------------------------------------------------------------------


def test_scipy_and_scikit_learn_agree():
    from scipy.special import huber, log_softmax
    from sklearn.metrics import hinge_loss, log_loss, mean_absolute_error, mean_pinball_loss, mean_squared_error

    np.testing.assert_allclose(regression("huber", delta=1.7), huber(1.7, Y_TRUE - Y_PRED))
    assert regression("mse").mean() == pytest.approx(mean_squared_error(Y_TRUE, Y_PRED))
    assert regression("mae").mean() == pytest.approx(mean_absolute_error(Y_TRUE, Y_PRED))
    assert regression("quantile", level=0.3).mean() == pytest.approx(mean_pinball_loss(Y_TRUE, Y_PRED, alpha=0.3))
    probabilities = np.exp(log_softmax(LOGITS, axis=-1))
    assert classification("cross_entropy").mean() == pytest.approx(log_loss(LABELS, probabilities))
    assert classification("hinge").mean() == pytest.approx(hinge_loss(LABELS, LOGITS, labels=[0, 1, 2, 3]))


# -- against Keras ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_keras_agrees_where_it_has_the_loss():
    import keras

    def column(values):
        return np.asarray(values, "float32")[:, None]

    true, predicted = column(Y_TRUE), column(Y_PRED)
    one_hot = np.eye(4, dtype="float32")[LABELS]
    logits = LOGITS.astype("float32")
    cases = [
        (regression("mse"), keras.losses.MeanSquaredError(reduction="none"), true, predicted),
        (regression("mae"), keras.losses.MeanAbsoluteError(reduction="none"), true, predicted),
        (regression("huber", delta=0.7), keras.losses.Huber(0.7, reduction="none"), true, predicted),
        (regression("log_cosh"), keras.losses.LogCosh(reduction="none"), true, predicted),
        (
            classification("cross_entropy"),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none"), LABELS, logits,
        ),
        (
            classification("smoothing", eps=0.2),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2, reduction="none"), one_hot, logits,
        ),
        (
            classification("focal", gamma=3.0),
            keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=3.0, from_logits=True, reduction="none"), one_hot, logits,
        ),
    ]  # fmt: skip
    for values, reference, y_true, y_pred in cases:
        np.testing.assert_allclose(
            values, np.asarray(reference(y_true, y_pred)), rtol=2e-4, atol=2e-5, err_msg=reference.name
        )
    # Keras' binary focal loss with class balancing, from the two-class form: α on class 1, and no factor of 2
    two = np.stack([np.zeros(50), Y_PRED], 1)
    own = classification("focal", LABELS % 2, two, rare=1, gamma=2.0, alpha=0.3) / 2
    binary = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=0.3, gamma=2.0, from_logits=True, reduction="none"
    )
    np.testing.assert_allclose(own, np.asarray(binary(column(LABELS % 2), predicted)), rtol=2e-4, atol=2e-5)


@pytest.mark.slow
def test_every_loss_is_the_same_on_tensors_one_value_a_row_with_a_finite_gradient():
    import tensorflow as tf

    for loss in LOSSES.values():
        built = keras_loss(loss.kind, loss.formula, loss.parameters, rare_class=1)
        built.reduction = "none"
        if loss.kind == "regression":
            # kinks and the truth itself among them
            true = tf.constant(np.append(Y_TRUE, [0.0, 1.0]).astype("float32")[:, None])
            outputs = tf.Variable(np.append(Y_PRED, [0.0, 1.0]).astype("float32")[:, None])
            expected = regression(loss.name, true.numpy()[:, 0].astype(float), outputs.numpy()[:, 0].astype(float))
        else:
            true = tf.constant(np.append(LABELS, [0, 1]).astype("int32"))
            # one answer so sure that its probability rounds to 1, one so wrong that it rounds to 0
            outputs = tf.Variable(np.concatenate([LOGITS, [[200.0, 0, 0, 0], [200.0, 0, 0, 0]]]).astype("float32"))
            expected = classification(loss.name, true.numpy(), outputs.numpy().astype(float))
        with tf.GradientTape() as tape:
            rows = built(true, outputs)
        assert rows.shape == (52,), loss.name
        np.testing.assert_allclose(rows, expected, rtol=2e-4, atol=1e-5, err_msg=loss.name)
        assert np.isfinite(tape.gradient(rows, outputs).numpy()).all(), loss.name


# -- generated code ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_generated_module_passes_its_own_test(tmp_path):
    """One process imports all modules: each holds function, class, and its test."""
    own = parse(
        "where(abs(y_true - y_pred) < k, 0.5*(y_true - y_pred)**2, k*(abs(y_true - y_pred) - 0.5*k))",
        VARIABLES["regression"],
    )
    for loss in LOSSES.values():
        text = losscode.module(loss.name, loss.kind, loss.formula, loss.parameters, rare_class=1)
        (tmp_path / f"test_{loss.name}.py").write_text(text)
    (tmp_path / "test_own.py").write_text(losscode.module("own", "regression", own, {"k": 1.5}))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2_000:]
    assert f"{4 * (len(LOSSES) + 1)} passed" in done.stdout


@pytest.mark.slow
def test_generated_module_runs_alone(tmp_path):
    loss = LOSSES["gce"]
    path = tmp_path / "gce.py"
    path.write_text(losscode.module("gce", loss.kind, loss.formula, loss.parameters))
    done = subprocess.run([sys.executable, "-I", str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.count("passed") == 4


def test_generated_code_names_every_parameter_in_both_forms():
    loss = LOSSES["sce"]
    function = losscode.function_form("sce", loss.kind, loss.formula, loss.parameters)
    own = losscode.class_form("sce", loss.formula, loss.parameters)
    assert "def sce(y_true, y_pred, sce_a=0.1, sce_b=1.0):" in function
    assert "class Sce(keras.losses.Loss):" in own
    assert '"sce_a": self.sce_a, "sce_b": self.sce_b' in own


# -- the viewer's parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [("", {}), ("k=1", {"k": 1.0}), (" k = 1.5 , b=-2e3", {"k": 1.5, "b": -2000.0}), ("delta=.5", {"delta": 0.5})],
)
def test_values_are_read(text, values):
    assert read_values(text) == values
    assert read_values(write_values(values)) == values


@pytest.mark.parametrize(
    "text",
    ["k", "k=", "=1", "k=1,k=2", "k=nan", "k=inf", "k=1e999", "k=1e7", "k=1_0", "k=0x1", "k==1", "k=1;b=2", "é=1", "k=٣",
     "k=1,,b=2", ",", "1=2", "k=" + "1" * 30, "__import__('os')", "k=open('x')"],
)  # fmt: skip
def test_bad_values_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - float() has its own words
        read_values(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("1", "regression"), ("y_true**2", "regression"), ("k*k", "regression"), ("rare", "classification"), ("y_pred", "classification")],
)  # fmt: skip
def test_formula_without_the_prediction_is_no_loss(text, kind):
    error = own_fault(text, kind)
    assert isinstance(error, FormulaError)
    assert "prediction" in str(error)
