"""The formulas of entropy and calibration: against 50 digits, by hand, and refusing what they are not made for."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.entropy import (
    Logits,
    Probabilities,
    binary_entropy_of_logit,
    checked_beta,
    entropy,
    entropy_gradient,
    entropy_of_logits,
    log_softmax,
    penalty,
    smoothing_gradient,
)
from core.entropy.calibration import (
    accuracy,
    auroc,
    bootstrap_band,
    brier,
    cross_entropy,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from core.entropy.worlds import FAR, SIDE, outlook, world

ROWS = [
    [0.0, 0.0],
    [1.0, -1.0],
    [3.0, 2.0, 1.0, 0.0],
    [20.0, 0.0, -5.0],
    [40.0, 0.0],
    [100.0, 0.0, 99.0],
    [700.0, 0.0],
    [1e4, -1e4],
    [-1e4, -1e4, -1e4],
    [1e4, 1e4],
    [1e-12, -1e-12, 0.0],
    [5.0] * 10,
    [12.5, *[0.0] * 9],
]


def _exact(row: list[float]) -> tuple[Decimal, list[Decimal]]:
    """Compute H and its gradient with 50 digits."""
    with localcontext() as context:
        context.prec = 400  # so that fifty digits are left where nearly all of them cancel
        z = [Decimal(value) for value in row]
        top = max(z)
        weights = [(value - top).exp() for value in z]
        total = sum(weights)
        log_p = [value - top - total.ln() for value in z]
        h = -sum(w / total * lp for w, lp in zip(weights, log_p, strict=True))
        return h, [-(w / total) * (lp + h) for w, lp in zip(weights, log_p, strict=True)]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_entropy_and_its_gradient_agree_with_fifty_digits(row):
    h, gradient = _exact(row)
    assert entropy_of_logits(np.array(row)) == pytest.approx(float(h), rel=1e-12, abs=1e-300)
    np.testing.assert_allclose(entropy_gradient(np.array(row)), [float(g) for g in gradient], rtol=1e-9, atol=1e-15)
    assert 0 <= entropy_of_logits(np.array(row)) <= math.log(len(row)) * (1 + 1e-12)


@pytest.mark.parametrize("logit", [0.0, 1.0, -1.0, 30.0, -30.0, 300.0, 1e4, -1e4])
def test_binary_entropy_is_that_of_two_classes(logit):
    h, _gradient = _exact([logit, 0.0])
    assert binary_entropy_of_logit(np.array(logit)) == pytest.approx(float(h), rel=1e-12, abs=1e-300)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=12), st.floats(-1e3, 1e3))
def test_entropy_stays_in_its_range_whatever_is_added_to_all_logits(row, shift):
    h = entropy_of_logits(np.array(row))
    assert 0 <= h <= math.log(len(row)) + 1e-9
    assert entropy_of_logits(np.array(row) + shift) == pytest.approx(h, abs=1e-8)


def test_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    z, step = rng.normal(0, 2, 6), 1e-6
    differences = [
        (entropy_of_logits(z + step * unit) - entropy_of_logits(z - step * unit)) / (2 * step) for unit in np.eye(6)
    ]
    np.testing.assert_allclose(entropy_gradient(z), differences, atol=1e-8)
    uniform = np.full(6, 1 / 6)

    def kl(logits):
        return float((uniform * (np.log(uniform) - log_softmax(logits))).sum())

    differences = [0.3 * (kl(z + step * unit) - kl(z - step * unit)) / (2 * step) for unit in np.eye(6)]
    np.testing.assert_allclose(smoothing_gradient(z, 0.3), differences, atol=1e-8)


def test_the_pull_of_the_penalty_fades_at_certainty_and_that_of_label_smoothing_does_not():
    """With K = 10 and a lead of 16 (p = 1 − 1e-6) the penalty has lost all but a ten-thousandth of its peak."""
    lead = np.zeros((200, 10))
    lead[:, 0] = np.linspace(0, 16, 200)
    pull, smooth = -entropy_gradient(lead)[:, 0], smoothing_gradient(lead, 1.0)[:, 0]
    assert pull[-1] < 1e-4 * pull.max()
    assert pull[0] == pytest.approx(0, abs=1e-12)
    assert smooth[-1] == pytest.approx(0.9, abs=1e-5)
    assert (np.diff(smooth) > 0).all()


@pytest.mark.parametrize(
    ("entropies", "beta", "floor", "expected"),
    [
        ([0.0, 1.0, 2.0], 0.5, 0.0, [0.0, -0.5, -1.0]),
        ([0.0, 1.0, 2.0], 0.5, 1.5, [0.75, 0.25, 0.0]),
        ([0.0, 1.0, 2.0], 0.0, 0.0, [0.0, 0.0, 0.0]),
        ([0.0, 1.0, 2.0], 0.0, 1.0, [0.0, 0.0, 0.0]),
    ],
)
def test_penalty_by_hand(entropies, beta, floor, expected):
    np.testing.assert_allclose(penalty(np.array(entropies), beta, floor), expected)


@pytest.mark.parametrize("beta", [-0.1, -1e-300, math.nan, math.inf, -math.inf, 1_000.1, 1e300, "1", None, True, [1.0]])
def test_beta_out_of_range_is_refused_with_a_sentence(beta):
    with pytest.raises(ValueError, match="Expected a float from 0 to 1000; received") as caught:
        checked_beta(beta)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("beta", [0, 0.0, 1, 0.3, 1_000])
def test_beta_in_range_is_a_float(beta):
    assert checked_beta(beta) == beta
    assert isinstance(checked_beta(beta), float)


# -- types ---------------------------------------------------------------------------------------------------

PROBABILITIES = [[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]]
LOGITS = [[2.0, -1.0], [0.0, 0.0], [-3.0, 5.0]]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Logits, PROBABILITIES, "received probabilities"),
        (Logits, [[1.0], [2.0]], "at least two classes"),
        (Logits, 3.0, "at least two classes"),
        (Logits, [[math.nan, 0.0]], "finite"),
        (Logits, [[math.inf, 0.0]], "finite"),
        (Probabilities, LOGITS, "rows in \\[0, 1\\]"),
        (Probabilities, [[0.5, 0.6]], "sum to 1"),
        (Probabilities, [[-0.5, 1.5]], "rows in"),
        (Probabilities, [[1.0], [1.0]], "at least two classes"),
        (Probabilities, [[math.nan, 1.0]], "finite"),
    ],
)
def test_one_is_never_read_as_the_other(kind, values, message):
    with pytest.raises(ValueError, match=message) as caught:
        kind(values)
    assert "Expected" in str(caught.value)
    assert "received" in str(caught.value)


@pytest.mark.parametrize("bare", [np.zeros((2, 3)), [[0.0, 1.0]], None, 1.0])
def test_bare_array_does_not_say_what_it_holds(bare):
    with pytest.raises(TypeError, match="Expected Logits or Probabilities; received"):
        entropy(bare)


def test_entropy_of_probabilities_is_that_of_their_logits():
    z = np.random.default_rng(1).normal(0, 3, (50, 4))
    p = np.exp(log_softmax(z))
    np.testing.assert_allclose(entropy(Logits(z)), entropy(Probabilities(p)), rtol=1e-10)
    np.testing.assert_allclose(entropy(Probabilities(PROBABILITIES))[1:], [math.log(2), 0.0])


# -- calibration ---------------------------------------------------------------------------------------------

Z = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]]))
Y = np.array([0, 1, 1, 0])


def test_measures_by_hand():
    assert accuracy(Z, Y) == 0.5
    assert cross_entropy(Z, Y) == pytest.approx(-np.log([0.9, 0.4, 0.7, 0.2]).mean())
    assert brier(Z, Y) == pytest.approx(np.mean([2 * 0.01, 2 * 0.36, 2 * 0.09, 2 * 0.64]))
    # 15 bins of width 1/15: each answer alone in its bin, |right − confidence| = 0.1, 0.6, 0.3, 0.8
    assert expected_calibration_error(Z, Y) == pytest.approx(0.45)


def test_reliability_puts_a_bin_s_right_end_into_it():
    bins = reliability(np.array([0.5, 0.500001, 1.0, 0.0]), np.array([1, 0, 1, 0]), 2)
    assert bins.count.tolist() == [2, 2]
    np.testing.assert_allclose(bins.accuracy, [0.5, 0.5])
    assert reliability(np.array([0.9]), np.array([1]), 4).count.tolist() == [0, 0, 0, 1]


def test_ece_of_a_calibrated_net_is_above_zero_and_shrinks_with_the_root_of_n():
    rng = np.random.default_rng(3)
    means = []
    for n in (100, 10_000):
        confidence = rng.uniform(0.5, 1, (200, n))
        right = rng.uniform(size=(200, n)) < confidence
        means.append(np.mean([reliability(c, r).ece for c, r in zip(confidence, right, strict=True)]))
    assert 0.04 < means[0] < 0.12
    assert means[1] == pytest.approx(means[0] / 10, rel=0.4)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
def test_temperature_is_found_again_and_changes_no_answer(true):
    rng = np.random.default_rng(4)
    z = rng.normal(0, 3, (20_000, 5))
    labels = (z + rng.gumbel(size=z.shape)).argmax(-1)  # drawn from softmax(z)
    found = fit_temperature(z * true, labels)
    assert found == pytest.approx(true, rel=0.05)
    assert ((z * true / found).argmax(-1) == z.argmax(-1)).all()
    assert cross_entropy(z * true / found, labels) <= cross_entropy(z * true, labels) + 1e-12


def test_temperature_stays_in_its_range_where_nothing_bounds_it():
    z = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(z, np.array([0, 1])) == pytest.approx(0.05, rel=1e-6)
    assert fit_temperature(z, np.array([1, 0])) == pytest.approx(20.0, rel=1e-6)


@pytest.mark.parametrize(
    ("higher", "lower", "expected"),
    [([2, 3], [0, 1], 1.0), ([0, 1], [2, 3], 0.0), ([1, 1], [1, 1], 0.5), ([0, 2], [1], 0.5), ([1, 2], [1], 0.75)],
)
def test_auroc_by_hand(higher, lower, expected):
    assert auroc(higher, lower) == expected


def test_bootstrap_band_holds_the_share_and_narrows_with_more_answers():
    rng = np.random.default_rng(5)
    widths = []
    for n in (100, 10_000):
        confidence = rng.uniform(0.5, 1, n)
        right = rng.uniform(size=n) < confidence
        low, high = bootstrap_band(confidence, right, 10)
        bins = reliability(confidence, right, 10)
        filled = bins.count > 0
        assert np.isnan(low[~filled]).all()
        assert (low[filled] <= bins.accuracy[filled] + 1e-12).all()
        assert (high[filled] >= bins.accuracy[filled] - 1e-12).all()
        widths.append((high - low)[filled].mean())
    assert widths[1] < 0.2 * widths[0]


# -- worlds --------------------------------------------------------------------------------------------------


def test_bandit_pays_its_chance_and_uniform_play_has_the_highest_entropy():
    bandit = world("bandit")
    assert bandit.best == 0.9
    for arm in range(10):
        now = outlook(bandit, np.eye(10)[[arm]])
        assert now.expected_return == pytest.approx(bandit.reward[0, arm])
        assert now.entropy == 0
    assert outlook(bandit, np.full((1, 10), 0.1)).entropy == pytest.approx(math.log(10))


def test_grid_is_walked_by_hand():
    grid = world("grid")
    policy = np.zeros((SIDE * SIDE, 4))
    down_then_right = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    for row, column in down_then_right:
        policy[row * SIDE + column, 1 if row < FAR[0] else 3] = 1.0
    now = outlook(grid, policy)
    assert now.expected_return == pytest.approx(grid.best) == 1.0
    assert now.entropy == 0
    assert now.visits.sum() == pytest.approx(13)  # twelve moves and the start
    right = np.zeros((SIDE * SIDE, 4))
    right[:, 3] = 1.0
    assert outlook(grid, right).expected_return == pytest.approx(0.3)
    up = np.zeros((SIDE * SIDE, 4))
    up[:, 0] = 1.0
    assert outlook(grid, up).expected_return == 0
    assert outlook(grid, up).visits[0] == grid.horizon + 1  # against the wall until the episode ends
