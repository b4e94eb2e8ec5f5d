"""The metrics: the formulas against scikit-learn, what is undefined, and what is refused."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve

from core import metrics as ours
from core.i18n import use_language
from core.metrics import METRICS, Counts, MetricInputError, all_values, check_binary, count

TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def _quiet():
    """Keep scikit-learn's warnings about the undefined to itself: that is where we say NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _draw(seed: int, n: int, share: float, ties: bool, weighted: bool):
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=n) < share).astype(float)
    p = np.clip(0.3 * y + 0.7 * rng.uniform(size=n), 0, 1)
    if ties:
        p = np.round(p * 4) / 4
    w = rng.integers(0, 4, n).astype(float) if weighted else np.ones(n)
    return y, p, w


cases = given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), share=st.floats(0, 1), ties=st.booleans(),
    weighted=st.booleans(),
)  # fmt: skip


def _agree(own: float, expected: float) -> None:
    if math.isnan(own):
        return
    assert own == pytest.approx(expected, abs=TOLERANCE)


@cases
def test_binary_metrics_agree_with_scikit_learn(seed, n, share, ties, weighted):
    y, p, w = _draw(seed, n, share, ties, weighted)
    own = all_values(y, p, w)
    called = (p >= 0.5).astype(int)
    nan = {"sample_weight": w, "zero_division": np.nan}
    if w.sum() > 0:
        for name, expected in {
            "accuracy": theirs.accuracy_score(y, called, sample_weight=w),
            "precision": theirs.precision_score(y, called, **nan),
            "recall": theirs.recall_score(y, called, **nan),
            "specificity": theirs.recall_score(y, called, pos_label=0, **nan),
            "f1": theirs.f1_score(y, called, **nan),
            "f2": theirs.fbeta_score(y, called, beta=2, **nan),
        }.items():
            assert own[name] == pytest.approx(expected, abs=TOLERANCE, nan_ok=True), name
        _agree(own["balanced_accuracy"], theirs.balanced_accuracy_score(y, called, sample_weight=w))
        _agree(own["mcc"], theirs.matthews_corrcoef(y, called, sample_weight=w))
        _agree(own["kappa"], theirs.cohen_kappa_score(y, called, sample_weight=w))
        assert own["brier"] == pytest.approx(theirs.brier_score_loss(y, p, sample_weight=w, pos_label=1), abs=TOLERANCE)
        assert own["log_loss"] == pytest.approx(theirs.log_loss(y, p, sample_weight=w, labels=[0, 1]), abs=TOLERANCE)
    if len(set(y[w > 0])) == 2:
        assert own["roc_auc"] == pytest.approx(theirs.roc_auc_score(y, p, sample_weight=w), abs=TOLERANCE)
        assert own["pr_auc"] == pytest.approx(theirs.average_precision_score(y, p, sample_weight=w), abs=TOLERANCE)
        assert all(not math.isnan(own[name]) for name in ("balanced_accuracy", "kappa", "f1"))


@cases
def test_metrics_are_undefined_exactly_where_a_need_is_not_met(seed, n, share, ties, weighted):
    y, p, w = _draw(seed, n, share, ties, weighted)
    for metric in METRICS.values():
        value, reason = metric.value(y, p, w), metric.why_undefined(y, p, w)
        assert math.isnan(value) == bool(reason), (metric.name, value, reason)


@cases
def test_calibration_error_agrees_with_the_bins_of_scikit_learn(seed, n, share, ties, weighted):
    y, p, _w = _draw(seed, n, share, False, False)
    p = np.where(p == np.round(p * 15) / 15, p + 1e-9, p)  # the two put edges into different bins
    truth, predicted = calibration_curve(y, p, n_bins=15)
    counts = np.histogram(p, np.linspace(0, 1, 16))[0]
    expected = (counts[counts > 0] * np.abs(truth - predicted)).sum() / n
    assert ours.ece(y, p, np.ones(n)) == pytest.approx(expected, abs=TOLERANCE)


@cases
def test_integer_weights_count_a_row_that_often(seed, n, share, ties, weighted):
    y, p, w = _draw(seed, n, share, ties, True)
    times = w.astype(int)
    weighted_values, repeated = all_values(y, p, w), all_values(np.repeat(y, times), np.repeat(p, times))
    for name, value in weighted_values.items():
        assert value == pytest.approx(repeated[name], abs=1e-9, nan_ok=True), name


@cases
def test_order_of_rows_does_not_matter(seed, n, share, ties, weighted):
    y, p, w = _draw(seed, n, share, ties, weighted)
    order = np.random.default_rng(seed).permutation(n)
    one, other = all_values(y, p, w), all_values(y[order], p[order], w[order])
    assert all(value == pytest.approx(other[name], abs=1e-9, nan_ok=True) for name, value in one.items())


several = given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), classes=st.integers(2, 5), k=st.integers(1, 4),
    ties=st.booleans(), weighted=st.booleans(),
)  # fmt: skip


@several
def test_metrics_of_several_classes_agree_with_scikit_learn(seed, n, classes, k, ties, weighted):
    rng = np.random.default_rng(seed)
    y, scores = rng.integers(0, classes, n), rng.uniform(size=(n, classes))
    scores = np.round(scores * 3) / 3 if ties else scores
    w = rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)
    answers = scores.argmax(1)
    matrix = ours.confusion_matrix(y, answers, w, classes)
    np.testing.assert_allclose(matrix, theirs.confusion_matrix(y, answers, sample_weight=w, labels=range(classes)))
    for average in ("macro", "micro", "weighted"):
        for name, formula in {"precision": ours.precision, "recall": ours.recall, "f1": ours.f1}.items():
            expected = getattr(theirs, f"{name}_score")(
                y, answers, average=average, sample_weight=w, zero_division=np.nan
            )
            own = float(ours.averaged(formula, matrix, average))
            if math.isnan(own):  # undefined in every class that has rows: scikit-learn says 0 there, or NaN
                assert not expected > 0
            else:
                assert own == pytest.approx(expected, abs=TOLERANCE), (average, name)
    if k < classes and classes > 2:  # of two classes scikit-learn takes one score
        expected = theirs.top_k_accuracy_score(y, scores, k=k, labels=range(classes), sample_weight=w)
        assert ours.top_k(y, scores, w, k) == pytest.approx(expected, abs=TOLERANCE)


@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), scale=st.floats(0.01, 100), weighted=st.booleans(),
    quantile=st.floats(0.01, 0.99),
)  # fmt: skip
def test_metrics_of_regression_agree_with_scikit_learn(seed, n, scale, weighted, quantile):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n) * scale
    p = y + rng.normal(size=n)
    w = rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)
    for own, expected in (
        (ours.mae(y, p, w), theirs.mean_absolute_error(y, p, sample_weight=w)),
        (ours.rmse(y, p, w), theirs.root_mean_squared_error(y, p, sample_weight=w)),
        (ours.mape(y, p, w), theirs.mean_absolute_percentage_error(y, p, sample_weight=w)),
        (ours.pinball(y, p, w, quantile), theirs.mean_pinball_loss(y, p, sample_weight=w, alpha=quantile)),
    ):
        assert own == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    if n > 1:
        assert ours.r2(y, p, w) == pytest.approx(theirs.r2_score(y, p, sample_weight=w), rel=TOLERANCE, abs=TOLERANCE)


# -- what is undefined ---------------------------------------------------------------------------------------

Y, P = np.array([0, 0, 1, 1.0]), np.array([0.1, 0.6, 0.4, 0.9])
UNDEFINED = [
    ([], [], set(METRICS)),
    ([0, 0], [0.1, 0.2], {"balanced_accuracy", "precision", "recall", "f1", "f2", "mcc", "kappa", "roc_auc", "pr_auc"}),
    ([0, 0], [0.1, 0.9], {"balanced_accuracy", "recall", "mcc", "roc_auc", "pr_auc"}),
    ([1, 1], [0.9, 0.8], {"balanced_accuracy", "specificity", "mcc", "kappa", "roc_auc"}),
    ([0, 1], [0.1, 0.2], {"precision", "mcc"}),
    ([0, 1], [0.9, 0.8], {"mcc"}),
    ([0, 1], [0.1, 0.9], set()),
]


@pytest.mark.parametrize(("y", "p", "expected"), UNDEFINED)
def test_what_the_data_do_not_define_is_nan_and_never_zero(y, p, expected):
    values = all_values(np.array(y, float), np.array(p, float))
    assert {name for name, value in values.items() if math.isnan(value)} == expected


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(("y", "p", "expected"), UNDEFINED)
def test_every_undefined_metric_gives_its_reason(y, p, expected, language):
    use_language(language)
    rows = np.array(y, float), np.array(p, float), np.ones(len(y))
    for name in expected:
        assert METRICS[name].why_undefined(*rows)


@pytest.mark.parametrize(
    ("own", "y", "p"),
    [
        (ours.mae, [], []), (ours.rmse, [], []), (ours.r2, [], []), (ours.mape, [], []), (ours.pinball, [], []),
        (ours.r2, [2, 2, 2], [1, 2, 3]), (ours.r2, [2], [2]), (ours.mape, [0, 1], [1, 1]),
    ],
)  # fmt: skip
def test_undefined_metrics_of_regression_are_nan(own, y, p):
    assert math.isnan(own(np.array(y, float), np.array(p, float), np.ones(len(y))))


def test_weights_that_add_up_to_nothing_define_nothing():
    assert all(math.isnan(value) for value in all_values(Y, P, np.zeros(4)).values())


def test_class_that_is_nowhere_has_no_say_in_an_average():
    matrix = ours.confusion_matrix(np.array([0, 1]), np.array([0, 1]), np.ones(2), 3)
    assert float(ours.averaged(ours.recall, matrix, "macro")) == 1.0
    assert math.isnan(float(ours.averaged(ours.recall, np.zeros((3, 3)), "macro")))


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "p", "w", "words"),
    [
        ([0, 2], [0.1, 0.2], None, "received 2 in row 2"),
        ([0, -1], [0.1, 0.2], None, "received -1 in row 2"),
        ([0, math.nan], [0.1, 0.2], None, "received NaN in row 2"),
        ([0, 0.5], [0.1, 0.2], None, "received 0.5 in row 2"),
        (["0", "<b>"], [0.1, 0.2], None, "received 0 in row 1"),
        ([0, 1], [math.nan, 0.2], None, "received NaN in row 1"),
        ([0, 1], [0.1, math.inf], None, "received inf in row 2"),
        ([0, 1], [0.1, 1.2], None, "received 1.2 in row 2"),
        ([0, 1], [-0.1, 0.2], None, "received -0.1 in row 1"),
        ([0, 1], [0.1], None, "received 1"),
        ([0], [0.1, 0.2], None, "received 2"),
        ([0, 1], [0.1, 0.2], [1], "received 1"),
        ([0, 1], [0.1, 0.2], [1, -1], "received -1.0 in row 2"),
        ([0, 1], [0.1, 0.2], [1, math.nan], "received NaN in row 2"),
        ([0, 1], [0.1, 0.2], [1, math.inf], "received inf in row 2"),
    ],
)
def test_bad_input_is_one_sentence(y, p, w, words):
    with pytest.raises(MetricInputError) as caught:
        check_binary(y, p, w)
    for language in ("en", "es"):
        use_language(language)
        text = caught.value.sentence()
        assert len(text.splitlines()) == 1
        assert not set("{}") & set(text)
    assert "Expected" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(("y", "answer"), [([0, 3], [0, 1]), ([0, 1], [0, 3]), ([0, -1], [0, 1]), ([0, 1.5], [0, 1])])
def test_label_outside_the_classes_is_refused(y, answer):
    with pytest.raises(MetricInputError, match="Expected a class from 0 to 2"):
        ours.confusion_matrix(np.array(y), np.array(answer), np.ones(2), 3)


# -- by hand ---------------------------------------------------------------------------------------------------


def test_values_computed_by_hand():
    # at 0.5: tp 1 (0.9), fp 1 (0.6), fn 1 (0.4), tn 1 (0.1)
    assert count(Y, P, np.ones(4)) == Counts(1, 1, 1, 1)
    values = all_values(Y, P)
    for name in ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "f2"):
        assert values[name] == 0.5
    assert values["mcc"] == values["kappa"] == 0
    assert values["roc_auc"] == 0.75  # of four pairs only (0.4, 0.6) is in the wrong order
    assert values["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert values["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert values["log_loss"] == pytest.approx(-(2 * math.log(0.9) + 2 * math.log(0.4)) / 4)
    assert values["ece"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4)
    assert values["ks"] == pytest.approx(0.5 / 4)  # the running sum: −0.1, +0.5, −0.1, 0


def test_wrong_certainty_costs_36_nats_and_not_infinity():
    assert ours.log_loss(np.array([1.0]), np.array([0.0]), np.ones(1)) == pytest.approx(36.04, abs=0.01)


def test_every_metric_says_what_it_forgives_and_where_it_is_from():
    for metric in METRICS.values():
        assert metric.forgives.endswith(".")
        assert metric.source or metric.name == "accuracy"
        assert metric.sign in (-1, 1)
        assert (metric.of_counts is None) != (metric.of_rows is None)
        assert metric.inline
    assert METRICS["recall"].inline == "recall"
    assert METRICS["brier"].inline == "Brier score"
    assert METRICS["roc_auc"].inline == "ROC-AUC"
