"""The health check and its derivatives: right about sound losses, and about each way to be unsound."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.formula import FormulaError, parse
from core.i18n import use_language
from core.losses import LOSSES, VARIABLES
from core.losses.derivative import with_derivative
from core.losses.health import EDGES, SPAN, examine, likely_term, profile, shape
from tests.test_formula import COMPUTED, LEAVES, _grown

Y = np.linspace(-2, 2, 41) + 0.0123
NAMES = ("y_true", "y_pred")


@pytest.mark.parametrize("text", [text for text, _ in COMPUTED])
def test_derivative_agrees_with_finite_differences(text):
    formula = parse(text, NAMES)

    def value(y):
        return np.broadcast_to(formula.evaluate(np, **{k: v for k, v in {"y_true": y, "y_pred": 0.5 * y - 0.3}.items() if k in formula.used}), y.shape)  # fmt: skip

    with np.errstate(all="ignore"):
        expected = (value(Y + 1e-6) - value(Y - 1e-6)) / 2e-6
    found_value, found = with_derivative(
        formula, {"y_true": Y, "y_pred": 0.5 * Y - 0.3}, {"y_true": np.ones_like(Y), "y_pred": 0.5 * np.ones_like(Y)}
    )
    np.testing.assert_allclose(found_value, value(Y))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@given(st.recursive(LEAVES, _grown, max_leaves=6), st.floats(-2, 2), st.floats(-2, 2))
def test_derivative_of_any_formula_agrees_with_finite_differences_where_it_is_smooth(text, true, predicted):
    try:
        formula = parse(text, NAMES)
    except FormulaError:
        assume(False)
    values = {"y_true": np.array([true]), "delta": 0.75}

    def value(step):
        given_values = {**values, "y_pred": np.array([predicted + step])}
        return float(np.squeeze(formula.evaluate(np, **{k: v for k, v in given_values.items() if k in formula.used})))

    steps = [value(k * 1e-4) for k in (-2, -1, 0, 1, 2)]
    assume(np.isfinite(steps).all() and max(map(abs, steps)) < 1e4)
    left, right = (steps[2] - steps[1]) / 1e-4, (steps[3] - steps[2]) / 1e-4
    assume(abs(left - right) < 1e-2)  # no kink, no very steep place
    _, found = with_derivative(formula, {**values, "y_pred": np.array([predicted])}, {"y_pred": np.ones(1)})
    assume(np.isfinite(found).all())  # a branch not taken may spoil it, as it does in TensorFlow
    assert float(np.squeeze(found)) == pytest.approx((left + right) / 2, abs=2e-2)


@pytest.mark.slow
def test_derivative_is_that_of_tensorflow_also_behind_a_branch_not_taken():
    import tensorflow as tf
    from keras import ops

    texts = [loss.text for loss in LOSSES.values() if loss.kind == "regression"]
    texts += [
        "where(y_pred > 0, y_pred**0.5, 0)",
        "where(y_pred < 1, exp(1000*y_pred), 0)",
        "where(y_pred > 0, log(maximum(y_pred, 0.1)), 0)",
        "abs(y_pred)**1.5",
    ]
    for text in texts:
        formula = parse(text, NAMES)
        parameters = dict.fromkeys(formula.parameters, 0.8)
        values = {"y_true": np.zeros_like(Y) + 0.1, "y_pred": Y, **parameters}
        _, found = with_derivative(formula, values, {"y_pred": np.ones_like(Y)})
        prediction = tf.Variable(Y)
        used = {name: value for name, value in {**values, "y_pred": prediction}.items() if name in formula.used}
        with tf.GradientTape() as tape:
            loss = formula.evaluate(ops, **used)
        np.testing.assert_allclose(found, tape.gradient(loss, prediction).numpy(), rtol=1e-4, atol=1e-5, err_msg=text)


def _found(text: str, kind: str = "regression", **parameters: float) -> dict[str, str]:
    formula = parse(text, VARIABLES[kind])
    return {finding.name: finding.judgement for finding in examine(kind, formula, parameters)}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gallery_has_no_fault(loss):
    findings = examine(loss.kind, loss.formula, loss.parameters)
    assert len(findings) == 7
    assert not [finding for finding in findings if finding.judgement == "bad"]
    for finding in findings:
        assert finding.evidence.endswith(".")
        assert bool(finding.advice) == (finding.judgement != "good")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("tukey", "Gradient flows"), ("tukey", "Convex in the residual"), ("cauchy", "Convex in the residual"),
        ("hinge", "Gradient flows"), ("gce", "Convex in the margin"), ("smoothing", "Least at the truth"), ("linex", "Finite"),
    ],
)  # fmt: skip
def test_known_limits_of_the_gallery_are_noted(name, finding):
    loss = LOSSES[name]
    noted = {f.name for f in examine(loss.kind, loss.formula, loss.parameters) if f.judgement == "note"}
    assert finding in noted


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "log_cosh", "quantile", "cross_entropy", "weighted"])
def test_sound_losses_are_called_sound(name):
    loss = LOSSES[name]
    assert all(f.judgement == "good" for f in examine(loss.kind, loss.formula, loss.parameters))


@pytest.mark.parametrize(
    ("text", "finding", "judgement"),
    [
        ("log(y_pred)", "Finite", "bad"),
        ("1/(y_true - y_pred)", "Finite", "bad"),
        ("(log(1+y_true) - log(1+y_pred))**2", "Finite", "bad"),
        ("exp((y_true - y_pred)**2)", "Finite", "note"),
        ("y_pred > y_true", "Gradient flows", "bad"),
        ("sign(y_true - y_pred)", "Gradient flows", "bad"),
        ("sqrt(abs(y_true - y_pred))", "Gradient flows", "bad"),
        ("where(y_pred > 0, sqrt(y_pred), 0) + (y_true - y_pred)**2", "Finite", "good"),
        ("where(y_pred > 0, sqrt(y_pred), 0) + (y_true - y_pred)**2", "Gradient flows", "bad"),
        ("where(abs(y_true-y_pred) < 1, (y_true-y_pred)**2, 5)", "Gradient agrees with finite differences", "bad"),
        (
            "where(y_pred < 0.3331, (y_true-y_pred)**2, (y_true-y_pred)**2 + 0.001)",
            "Gradient agrees with finite differences",
            "bad",
        ),
        ("-(y_true - y_pred)**2", "Never negative", "note"),
        ("-(y_true - y_pred)**2", "Least at the truth", "bad"),
        ("(y_true + y_pred)**2", "Least at the truth", "bad"),
        ("(y_true - y_pred)**2 + 3", "Least at the truth", "note"),
        ("abs(y_true - y_pred)**0.9 + 0*y_pred", "Convex in the residual", "note"),
        ("(y_true - y_pred)**4", "Convex in the residual", "good"),
    ],
)
def test_unsound_formula_is_found_out(text, finding, judgement):
    assert _found(text)[finding] == judgement


@pytest.mark.parametrize(
    ("text", "finding", "judgement"),
    [
        ("log_p", "Least at the truth", "note"),
        ("log(p)", "Finite", "note"),
        ("log_p", "Finite", "good"),
        ("1/p", "Finite", "note"),
        ("log(1 - p)", "Never negative", "note"),
        ("margin > 0", "Gradient flows", "bad"),
    ],
)
def test_unsound_formula_of_classes_is_found_out(text, finding, judgement):
    assert _found(text, "classification")[finding] == judgement


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("(log(1 + y_true) - log(1 + y_pred))**2", "log(1 + y_pred)"),
        ("y_pred - y_true*log(y_pred)", "log(y_pred)"),
        ("sqrt(y_pred)", "sqrt(y_pred)"),
        ("where(y_pred > 0, sqrt(maximum(y_pred, 0)), 0)", "sqrt(maximum(y_pred, 0))"),
        ("(y_true - y_pred)**2", ""),
    ],
)
def test_likely_term_is_the_innermost_one(text, term):
    assert likely_term("regression", parse(text, VARIABLES["regression"]), {}) == term


def test_grid_includes_the_truth_and_the_edges():
    assert 0.0 in EDGES
    assert max(EDGES) >= 1e6
    own = profile("regression", LOSSES["mae"].formula, {}, np.array([-SPAN, 0.0, SPAN]))
    np.testing.assert_allclose(own.values, np.tile([SPAN, 0, SPAN], (5, 1)))
    np.testing.assert_allclose(own.slopes, np.tile([-1, 0, 1], (5, 1)))


def test_shape_follows_residual_and_probability():
    rows = shape("regression", {"a": (LOSSES["mse"].formula, {})}, span=2.0, points=5)
    np.testing.assert_allclose(rows["loss"], [4, 1, 0, 1, 4])
    np.testing.assert_allclose(rows["slope"], [-4, -2, 0, 2, 4])
    rows = shape("classification", {"a": (LOSSES["cross_entropy"].formula, {})}, points=3)
    np.testing.assert_allclose(rows["loss"], -np.log([0.005, 0.5, 0.995]))
    np.testing.assert_allclose(rows["slope"], [-0.995, -0.5, -0.005])  # by the logit: p − 1


def test_examination_answers_while_one_types_in_both_languages():
    loss = LOSSES["tukey"]
    examine(loss.kind, loss.formula, loss.parameters)
    started = time.process_time()
    examine(loss.kind, loss.formula, loss.parameters)
    assert time.process_time() - started < 0.2
    use_language("es")
    assert all(finding.evidence.endswith(".") for finding in examine(loss.kind, loss.formula, loss.parameters))
