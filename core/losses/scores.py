"""Score predictions on held-out data by many measures, in NumPy; imports nothing else of the project but words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.i18n import N_

BINS = 15


@dataclass(frozen=True)
class Score:
    """A measure: `sign` is −1 where lower is better, +1 where higher is, 0 where neither is."""

    name: str
    label: str
    sign: int
    help: str


REGRESSION = (
    Score("mse", "MSE", -1, N_("Mean squared error; what MSE minimizes.")),
    Score("mae", "MAE", -1, N_("Mean absolute error; what MAE minimizes.")),
    Score("median_ae", N_("Median |e|"), -1, N_("Median absolute error: half of the errors are smaller.")),
    Score("huber", "Huber 1", -1, N_("Mean Huber loss with δ = 1.")),
    Score("pinball", N_("Pinball 0.9"), -1, N_("Mean pinball loss at level 0.9; what the quantile loss minimizes.")),
    Score("abs_bias", N_("|Bias|"), -1, N_("Mean error without its sign: is the fit shifted?")),
    Score("r2", "R²", +1, N_("1 minus the squared error in units of the variance.")),
    Score("below", N_("Share below"), 0, N_("Share of targets below the prediction: 0.5 for a median, 0.9 for a 0.9 quantile.")),
)  # fmt: skip
CLASSIFICATION = (
    Score("cross_entropy", N_("Cross-entropy"), -1, N_("Mean negative log-probability of the true class.")),
    Score("error", N_("Error rate"), -1, N_("Share of wrong answers.")),
    Score("brier", "Brier", -1, N_("Squared distance of the probabilities from the truth, summed over classes.")),
    Score("ece", "ECE", -1, N_("Expected calibration error over 15 bins of confidence; biased upwards on few points.")),
    Score("recall", N_("Recall, rare class"), +1, N_("Share of the rare class that is found.")),
    Score("precision", N_("Precision, rare class"), +1, N_("Share of right answers among those that say “rare”.")),
    Score("f1", N_("F1, rare class"), +1, N_("Harmonic mean of precision and recall.")),
    Score("ap", N_("AP, rare class"), +1, N_("Average precision over all thresholds: how well it ranks, whatever the threshold.")),
    Score("cost", N_("Cost"), -1, N_("Mean cost of the decisions: a missed rare case costs what the setting says, any other error 1.")),
)  # fmt: skip
SCORES = {"regression": REGRESSION, "classification": CLASSIFICATION}


def regression_scores(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Score predictions of values, both of shape (N,)."""
    error = y_pred - y_true
    size = np.abs(error)
    total = float(((y_true - y_true.mean()) ** 2).sum())
    return {
        "mse": float((error**2).mean()),
        "mae": float(size.mean()),
        "median_ae": float(np.median(size)),
        "huber": float(np.where(size < 1, error**2 / 2, size - 0.5).mean()),
        "pinball": float(np.maximum(-0.9 * error, 0.1 * error).mean()),
        "abs_bias": float(abs(error.mean())),
        "r2": 1.0 - float((error**2).sum()) / total if total else float("nan"),
        "below": float((y_true < y_pred).mean()),
    }


def classification_scores(
    labels: np.ndarray, logits: np.ndarray, rare_class: int, cost: float = 1.0
) -> dict[str, float]:
    """Score logits of shape (N, K) against labels of shape (N,).

    Args:
        labels, logits: The truth and the net's outputs.
        rare_class: The class that recall, precision, F1 and average precision speak of.
        cost: Cost of answering a rare case wrongly; every other error costs 1.
    """
    logits = np.asarray(logits, dtype=float)
    shifted = logits - logits.max(-1, keepdims=True)
    log_all = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    probabilities = np.exp(log_all)
    answers, rows = logits.argmax(-1), np.arange(len(labels))
    wrong, is_rare, says_rare = answers != labels, labels == rare_class, answers == rare_class
    found = float((is_rare & says_rare).sum())
    recall = found / is_rare.sum() if is_rare.any() else float("nan")
    precision = found / says_rare.sum() if says_rare.any() else 0.0
    truth = np.zeros_like(probabilities)
    truth[rows, labels] = 1.0
    return {
        "cross_entropy": float(-log_all[rows, labels].mean()),
        "error": float(wrong.mean()),
        "brier": float(((probabilities - truth) ** 2).sum(-1).mean()),
        "ece": calibration_error(probabilities.max(-1), ~wrong),
        "recall": recall,
        "precision": precision,
        "f1": 2 * found / float(is_rare.sum() + says_rare.sum()) if (is_rare | says_rare).any() else float("nan"),
        "ap": average_precision(is_rare, probabilities[:, rare_class]),
        "cost": float((wrong * np.where(is_rare, cost, 1.0)).mean()),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Average |accuracy − confidence| over bins of equal width, weighted by their counts.

    Source: Guo et al. (2017), arXiv:1706.04599, eq. 3.
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, right.astype(float) - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Sum precision over the steps of recall, from the highest score down; tied scores make one step."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float((np.diff(np.append(0.0, recall)) * precision).sum())
