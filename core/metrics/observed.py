"""Take a net's predictions and compute every metric after each epoch; imported by worker processes only."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from core.datasets.loaders import Split, Splits
from core.metrics import METRICS, all_values
from core.metrics.scores import TEST, VALIDATION

_traced: weakref.WeakKeyDictionary[keras.Model, Callable[[tf.Tensor], tf.Tensor]] = weakref.WeakKeyDictionary()


def probabilities(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the probability of the second of two classes, shape (N,), float32, from a model of two logits."""
    if model not in _traced:
        own = weakref.ref(model)  # the graph holds the variables; the model may go

        def positive(inputs: tf.Tensor) -> tf.Tensor:
            logits = own()(inputs, training=False)  # type: ignore[misc]
            return tf.sigmoid(logits[:, 1] - logits[:, 0])

        signature = [tf.TensorSpec([None, x.shape[1]], tf.float32)]
        # Called as a concrete function, which saves a quarter of the call: it is made once an epoch.
        _traced[model] = tf.function(positive, input_signature=signature, jit_compile=False).get_concrete_function()
    return _traced[model](tf.convert_to_tensor(x)).numpy()


class EpochScores:
    """Compute every metric of the catalogue on one split for each epoch; the whole split, never batches.

    Epochs only predict; the metrics are computed at the end, one epoch after the other, in half the time.
    """

    def __init__(self, split: Split):
        self.x, self.y = tf.constant(split.x), split.y.astype("float64")
        self.epochs: list[np.ndarray] = []

    def __call__(self, epoch: int, model: keras.Model) -> None:
        """Keep the predictions of an epoch."""
        self.epochs.append(probabilities(model, self.x))

    def restored(self, model: keras.Model) -> None:
        """Take no note: the weights are those of an epoch that was seen."""

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return `scores`: one row an epoch, from 0, with a column a metric; NaN where it is undefined."""
        undefined = dict.fromkeys(METRICS, float("nan"))  # what a diverged net predicts has no metrics
        rows = [all_values(self.y, p.astype("float64")) if np.isfinite(p).all() else undefined for p in self.epochs]
        frame = pd.DataFrame(rows, columns=list(METRICS)).astype("float32")
        frame.insert(0, "epoch", np.arange(len(frame), dtype="int32"))
        return {"scores": frame}


def predictions(model: keras.Model, splits: Splits) -> pd.DataFrame:
    """Predict the validation and test rows: `split` (0, 1), the label `y`, and `p`, the probability of class 1."""
    parts = [
        pd.DataFrame(
            {
                "split": np.full(len(part.y), code, "int8"),
                "y": part.y.astype("int8"),
                "p": probabilities(model, part.x),
            }
        )
        for code, part in ((VALIDATION, splits.validation), (TEST, splits.test))
    ]
    return pd.concat(parts, ignore_index=True)
