"""Student's t interval of paired differences: its values, its edge cases, its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.statistics import Interval, paired_interval


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        # mean ± t(0.975, n − 1) · s/√n with t = 12.7062, 4.3027, 2.7764 from a printed table
        ([1.0, 2.0], 1.5 - 12.7062 * 0.5, 1.5 + 12.7062 * 0.5),
        ([1.0, 2.0, 3.0], 2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3 - 2.7764 * math.sqrt(0.5), 3 + 2.7764 * math.sqrt(0.5)),
    ],
)
def test_interval_equals_the_hand_computed_one(values, low, high):
    interval = paired_interval(values)
    assert interval.low == pytest.approx(low, rel=1e-4)
    assert interval.high == pytest.approx(high, rel=1e-4)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_interval_equals_scipy(n, level):
    values = np.random.default_rng(n).normal(0.3, 2.0, n)
    expected = stats.t.interval(level, n - 1, loc=values.mean(), scale=stats.sem(values))
    interval = paired_interval(values, level)
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.n == n


def test_no_value_gives_no_mean_and_no_interval():
    interval = paired_interval([])
    assert interval.n == 0
    assert all(math.isnan(number) for number in (interval.mean, interval.low, interval.high))
    assert not interval.excludes_zero


def test_one_value_gives_a_mean_without_an_interval():
    interval = paired_interval([0.25])
    assert (interval.mean, interval.n) == (0.25, 1)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert not interval.excludes_zero


def test_equal_values_give_an_interval_of_no_width():
    interval = paired_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.mean, interval.high) == (0.5, 0.5, 0.5)
    assert interval.excludes_zero
    assert not paired_interval([0.0, 0.0]).excludes_zero


@pytest.mark.parametrize(
    ("low", "high", "excludes"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 1.0, False), (-1.0, 0.0, False)],
)
def test_interval_that_touches_zero_does_not_exclude_it(low, high, excludes):
    assert Interval((low + high) / 2, low, high, 5).excludes_zero is excludes


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_interval_holds_the_mean_and_turns_over_with_the_sign(values):
    interval = paired_interval(values)
    assert interval.low <= interval.mean <= interval.high
    turned = paired_interval([-value for value in values])
    assert turned.low == pytest.approx(-interval.high, abs=1e-6)
    assert turned.excludes_zero == interval.excludes_zero


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_nominal_95_percent_covers_95_percent(n):
    draws = np.random.default_rng(n).normal(1.0, 3.0, (4_000, n))
    intervals = [paired_interval(row) for row in draws]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    # the standard error of a share of 0.95 over 4,000 draws is 0.0034
    assert covered == pytest.approx(0.95, abs=0.012)
