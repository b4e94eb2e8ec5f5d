"""Measure a trained classifier's answers: calibration, unfamiliar inputs, the answers themselves; in a worker.

Called with the model of a run; imports no TensorFlow itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.datasets import Dataset
from core.entropy import entropy_of_logits, log_softmax
from core.entropy.calibration import (
    accuracy,
    auroc,
    brier,
    cross_entropy,
    expected_calibration_error,
    fit_temperature,
)

if TYPE_CHECKING:
    import keras

    from core.datasets.loaders import Splits

ANGLES = tuple(range(0, 181, 15))
MAX_PREDICTIONS = 600  # rows whose answers are kept
MAX_UNFAMILIAR = 400
MAX_PIXELS = 26_000  # of the images that are kept for the examples: 400 of 8×8, 33 of 28×28
FAR = 5.0


def measure(
    spec: Any, dataset: Dataset, model: keras.Model, splits: Splits, *, keep_images: bool
) -> Mapping[str, pd.DataFrame]:
    """Return the frames of a run beside its curves; none for a run that left the finite.

    `measures`: rows of `name` and `value`; `accuracy`, `nll`, `ece`, `brier`, `entropy`, `confidence` on the validation split;
    `temperature` that fits the stopping split, and with it `nll_scaled`, `ece_scaled`; `balanced_accuracy` and
    `rare_accuracy`, means over all classes and over the rarer half; `repeated` and `sampled`, the largest change
    of a probability between two evaluations, in inference and in training mode; for each kind of unfamiliar
    input its `auroc_` and mean `confidence_`.
    `predictions`: `label`, `answer`, `confidence` and `entropy` of validation points (half precision).
    `rotation` (images): `angle` in degrees, `accuracy`, `confidence`, `entropy`.
    `images` (images, where `keep_images`): `pixels`, one byte each, of the first validation points.
    """

    def answer(x: np.ndarray, *, training: bool = False) -> np.ndarray:
        return np.asarray(model(x.astype("float32"), training=training), dtype="float64")

    x, labels = splits.validation.x, splits.validation.y
    logits = answer(x)
    if not np.isfinite(logits).all():
        return {}
    temperature = fit_temperature(answer(splits.stopping.x), splits.stopping.y)
    p = np.exp(log_softmax(logits))
    known = p.max(-1)
    right = logits.argmax(-1) == labels
    recalls = np.array([right[labels == own].mean() for own in range(dataset.classes) if (labels == own).any()])
    values = {
        "accuracy": accuracy(logits, labels),
        "nll": cross_entropy(logits, labels),
        "ece": expected_calibration_error(logits, labels),
        "brier": brier(logits, labels),
        "entropy": float(entropy_of_logits(logits).mean()),
        "confidence": float(known.mean()),
        "temperature": temperature,
        "nll_scaled": cross_entropy(logits / temperature, labels),
        "ece_scaled": expected_calibration_error(logits / temperature, labels),
        "balanced_accuracy": float(recalls.mean()),
        "rare_accuracy": float(recalls[len(recalls) // 2 :].mean()),
        "repeated": float(np.abs(np.exp(log_softmax(answer(x))) - p).max()),
        "sampled": float(np.abs(_sampled(answer, x) - _sampled(answer, x)).max()),
    }
    for kind, inputs in unfamiliar(dataset, splits, spec.seed).items():
        confidence = np.exp(log_softmax(answer(inputs)).max(-1))
        values[f"auroc_{kind}"] = auroc(known, confidence)
        values[f"confidence_{kind}"] = float(confidence.mean())
    frames = {
        "measures": pd.DataFrame({"name": list(values), "value": list(values.values())}),
        "predictions": _predictions(labels[:MAX_PREDICTIONS], logits[:MAX_PREDICTIONS]),
    }
    if len(dataset.shape) > 1:
        frames["rotation"] = _rotation(answer, dataset, x[:MAX_UNFAMILIAR], labels[:MAX_UNFAMILIAR])
        if keep_images:
            few = x[: MAX_PIXELS // dataset.inputs]
            scaled = np.clip(np.round(255 * few / max(few.max(), 1e-6)), 0, 255).astype("uint8")
            frames["images"] = pd.DataFrame({"pixels": [row.tobytes() for row in scaled]})
    return frames


def _sampled(answer, x: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(answer(x, training=True)))


def _predictions(labels: np.ndarray, logits: np.ndarray) -> pd.DataFrame:
    log_p = log_softmax(logits)
    return pd.DataFrame(
        {
            "label": labels.astype("int8"),
            "answer": log_p.argmax(-1).astype("int8"),
            "confidence": np.exp(log_p.max(-1)).astype("float16"),
            "entropy": entropy_of_logits(logits).astype("float16"),
        }
    )


def unfamiliar(dataset: Dataset, splits: Splits, seed: int) -> dict[str, np.ndarray]:
    """Make inputs that belong to no class, or that training has not seen, from the validation split.

    Returns:
        Kinds with inputs of shape (N, F): of images `rotated` (by 90°), `shuffled` (each image's pixels in an
        order of its own); of others `far` (five times as far from the mean); of all `noise` (each input drawn
        evenly between its lowest and highest training value).
    """
    rng = np.random.default_rng([seed, 31])
    x = splits.validation.x[:MAX_UNFAMILIAR]
    low, high = splits.train.x.min(0), splits.train.x.max(0)
    noise = {"noise": rng.uniform(low, high, x.shape)}
    if len(dataset.shape) > 1:
        images = x.reshape(-1, *dataset.shape)
        return {
            "rotated": np.rot90(images, axes=(1, 2)).reshape(x.shape),
            "shuffled": rng.permuted(x, axis=1),
            **noise,
        }
    return {"far": FAR * x, **noise}


def _rotation(answer, dataset: Dataset, x: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    from scipy.ndimage import rotate

    rows = []
    images = x.reshape(-1, *dataset.shape)
    for angle in ANGLES:
        turned = rotate(images, angle, axes=(1, 2), reshape=False, order=1) if angle else images
        logits = answer(turned.reshape(x.shape))
        rows.append(
            {
                "angle": angle,
                "accuracy": accuracy(logits, labels),
                "confidence": float(np.exp(log_softmax(logits).max(-1)).mean()),
                "entropy": float(entropy_of_logits(logits).mean()),
            }
        )
    return pd.DataFrame(rows).astype({"accuracy": "float32", "confidence": "float32", "entropy": "float32"})
