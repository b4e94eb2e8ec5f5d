"""Formulas of entropy and of what is done with it, from logits, for NumPy and `keras.ops` alike.

Imports NumPy alone. Formulas take `ops`: `numpy` to draw and test, `keras.ops` to train. What a caller
hands over outside of a graph is typed, `Logits` or `Probabilities`, so that one is never read as the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_BETA = 1_000.0
SUM_TOLERANCE = 1e-3


def _rows(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype="float64")
    if array.ndim < 1 or array.shape[-1] < 2:
        raise ValueError(f"Invalid `{name}`. Expected rows of at least two classes; received shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"Invalid `{name}`. Expected finite numbers; received {_first_odd(array)}.")
    return array


def _first_odd(array: np.ndarray) -> float:
    return float(array[~np.isfinite(array)].flat[0])


def _are_distributions(array: np.ndarray) -> bool:
    return bool((array >= 0).all() and np.allclose(array.sum(-1), 1.0, rtol=0, atol=SUM_TOLERANCE))


@dataclass(frozen=True, eq=False)
class Logits:
    """Unnormalized log-probabilities, shape (..., K), K ≥ 2, finite.

    Raises:
        ValueError: For one class, values that are not finite, and several rows that are all distributions.
    """

    values: np.ndarray

    def __init__(self, values: Any):
        array = _rows("logits", values)
        if array.ndim > 1 and len(array) > 1 and _are_distributions(array):
            raise ValueError(
                "Invalid `logits`. Expected unnormalized values; received probabilities: every row sums to 1."
            )
        object.__setattr__(self, "values", array)


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Distributions, shape (..., K), K ≥ 2, rows in [0, 1] that sum to 1 within 1e-3.

    Raises:
        ValueError: For one class, values that are not finite, and rows that are no distributions.
    """

    values: np.ndarray

    def __init__(self, values: Any):
        array = _rows("probabilities", values)
        if not _are_distributions(array):
            raise ValueError(
                "Invalid `probabilities`. Expected rows in [0, 1] that sum to 1; received values from"
                f" {array.min():.3g} to {array.max():.3g}, sums from {array.sum(-1).min():.3g} to {array.sum(-1).max():.3g}."
            )
        object.__setattr__(self, "values", array)


def entropy(given: Logits | Probabilities) -> np.ndarray:
    """Compute the Shannon entropy H = −Σ p·ln p of each row, in nats, shape (...,), in [0, ln K].

    Raises:
        TypeError: For a bare array, which does not say what it holds.

    Source: Shannon (1948), A mathematical theory of communication, section 6. Limits: 0 for a certain answer,
    ln K for the uniform one.
    """
    if isinstance(given, Logits):
        return entropy_of_logits(given.values)
    if isinstance(given, Probabilities):
        positive = np.where(given.values > 0, given.values, 1.0)
        return -(given.values * np.log(positive)).sum(-1)
    raise TypeError(f"Expected Logits or Probabilities; received {type(given).__name__}.")


def log_softmax(logits, ops: Any = np):
    """Compute ln p from logits of shape (..., K).

    The largest class is summed apart, by `log1p` of all others, so that ln p of a nearly certain class keeps
    its relative precision.
    """
    shifted = logits - ops.max(logits, axis=-1, keepdims=True)
    top = ops.expand_dims(ops.argmax(logits, axis=-1), -1) == ops.arange(logits.shape[-1])
    others = ops.sum(ops.where(top, ops.zeros_like(shifted), ops.exp(shifted)), axis=-1, keepdims=True)
    return shifted - ops.log1p(others)


def entropy_of_logits(logits, ops: Any = np):
    """Compute H(softmax(logits)) in nats; sound where probabilities are 0 or 1 in floating point.

    Args:
        logits: Shape (..., K), finite; ±1e4 is fine, since only differences to the largest are exponentiated.
        ops: `numpy` or `keras.ops`.

    Returns:
        Shape (...,), in [0, ln K].
    """
    log_p = log_softmax(logits, ops)
    return -ops.sum(ops.exp(log_p) * log_p, axis=-1)


def entropy_gradient(logits, ops: Any = np):
    """Compute ∂H/∂z = −p·(ln p + H), shape (..., K); 0 at certainty and at the uniform answer."""
    log_p = log_softmax(logits, ops)
    p = ops.exp(log_p)
    return -p * (log_p - ops.sum(p * log_p, axis=-1, keepdims=True))


def binary_entropy_of_logit(logit, ops: Any = np):
    """Compute H of a Bernoulli answer from its one logit, any shape, in nats, in [0, ln 2].

    With a = |z|: H = ln(1 + e^−a) + a·e^−a/(1 + e^−a), in which nothing overflows or cancels.
    """
    a = ops.abs(logit)
    tail = ops.exp(-a)
    return ops.log1p(tail) + a * tail / (1.0 + tail)


def penalty(entropies, beta: float, floor: float = 0.0, ops: Any = np):
    """Compute what a confidence penalty adds to the cross-entropy, shape as `entropies`.

    Args:
        entropies: H of each answer, in nats, ≥ 0.
        beta: Weight β ≥ 0; 0 adds nothing.
        floor: Γ ≥ 0 in nats. 0 rewards entropy everywhere, −β·H; above 0 only a lack of it costs,
            β·max(0, Γ − H).

    Source: Pereyra et al. (2017), Regularizing neural networks by penalizing confident output distributions,
    sections 3 and 3.1. For a loss that is minimized the paper's thresholded equation has the wrong sign.
    """
    if floor:
        return beta * ops.maximum(floor - entropies, 0.0)
    return -beta * entropies


def checked_beta(beta: Any) -> float:
    """Return `beta` as a float.

    Raises:
        ValueError: Where it is no number from 0 to 1000.
    """
    is_number = isinstance(beta, int | float) and not isinstance(beta, bool)
    if not is_number or not math.isfinite(beta) or not 0 <= beta <= MAX_BETA:
        raise ValueError(f"Invalid `beta`. Expected a float from 0 to {MAX_BETA:g}; received beta={beta!r}.")
    return float(beta)


def smoothing_gradient(logits: np.ndarray, epsilon: float) -> np.ndarray:
    """Compute the gradient of ε·KL(u‖p), the pull of label smoothing toward the uniform u, shape (..., K).

    It is ε·(p − 1/K), which stays where the answer is certain; −β·∂H/∂z fades there.

    Source: Pereyra et al. (2017), section 3.2.
    """
    return epsilon * (np.exp(log_softmax(logits)) - 1.0 / logits.shape[-1])
