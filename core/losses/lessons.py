"""Lessons on custom losses: what the wrong code and the right code do when Keras runs them.

Run by workers. Each lesson is a function that returns rows of a table; the page shows its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from core.datasets import Kind
from core.formula import Formula
from core.losses import keras_function, keras_loss
from core.losses.code import LABELS, LOGITS, Y_PRED, Y_TRUE, by_hand

WEIGHTS = (1.0, 0.0, 2.0, 0.5, 1.0, 3.0)


def wrong_enumeration(x: np.ndarray, y: np.ndarray) -> str:
    """Inherit from Reduction, which only names the ways to average, and try to train."""
    import keras
    import tensorflow as tf

    class CustomLoss(tf.keras.losses.Reduction):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizer="sgd", loss=CustomLoss())
    return f"{model.evaluate(x, y, verbose=0):.4f}"


def right_enumeration(x: np.ndarray, y: np.ndarray) -> str:
    """Inherit from Loss, and evaluate."""
    import keras

    class CustomLoss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizer="sgd", loss=CustomLoss())
    return f"{model.evaluate(x, y, verbose=0):.4f}"


def wrong_renamed(y_true: Any, y_pred: Any) -> Any:
    """Call the built-in and give it another name."""
    import keras

    return keras.losses.mean_squared_error(y_true, y_pred)


def right_renamed(y_true: Any, y_pred: Any) -> Any:
    """Write a formula of one's own: too low costs three times as much as too high."""
    from keras import ops

    error = y_true - y_pred
    return ops.mean(ops.where(error > 0, 3.0, 1.0) * ops.square(error), axis=-1)


def wrong_weights(y_true: Any, y_pred: Any) -> Any:
    """Average over the whole batch: one number, which no weight can take apart."""
    from keras import ops

    return ops.mean(ops.square(y_true - y_pred))


def right_weights(y_true: Any, y_pred: Any) -> Any:
    """Average over the values of a row only: one number a row."""
    from keras import ops

    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def suspects() -> dict[str, Any]:
    """List four functions that claim to be the mean squared error; one is."""
    from keras import ops

    return {
        "mean((y_true - y_pred)**2)": lambda y_true, y_pred: ops.mean(ops.square(y_true - y_pred), axis=-1),
        "mean(y_true - y_pred)": lambda y_true, y_pred: ops.mean(y_true - y_pred, axis=-1),
        "mean(abs(y_true - y_pred)**3)": lambda y_true, y_pred: ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1),
        "mean(0*(y_true - y_pred))": lambda y_true, y_pred: ops.mean(0.0 * (y_true - y_pred), axis=-1),
    }


def enumeration() -> pd.DataFrame:
    """Run the subclass of the enumeration and the subclass of Loss."""
    x, y = np.linspace(-1, 1, 8, dtype="float32")[:, None], np.zeros((8, 1), "float32")
    rows = []
    for side, run in (("wrong", wrong_enumeration), ("right", right_enumeration)):
        try:
            rows.append({"side": side, "outcome": "value", "text": run(x, y)})
        except (TypeError, ValueError) as error:
            text = str(error).split("<")[0].strip().rstrip(":")
            rows.append({"side": side, "outcome": type(error).__name__, "text": text})
    return pd.DataFrame(rows)


def renamed() -> pd.DataFrame:
    """Compare the “custom” loss with the built-in, and with a formula of one's own."""
    import keras

    y_true, y_pred = Y_TRUE[:, None].astype("float32"), Y_PRED[:, None].astype("float32")
    built_in = np.asarray(keras.losses.mean_squared_error(y_true, y_pred))
    rows = []
    for side, run in (("wrong", wrong_renamed), ("right", right_renamed)):
        values = np.asarray(run(y_true, y_pred))
        rows.append({"side": side, "value": float(values.mean()), "difference": float(np.abs(values - built_in).max())})
    return pd.DataFrame(rows)


def equal() -> pd.DataFrame:
    """Test four functions once with prediction = truth, once with unequal values known by hand."""
    truth = np.array([[1.0], [2.0], [3.0]], "float32")
    other = np.array([[1.5], [0.0], [2.0]], "float32")
    rows = []
    for text, function in suspects().items():
        at_truth = float(np.mean(np.asarray(function(truth, truth))))
        unequal = float(np.mean(np.asarray(function(truth, other))))
        # by hand: (0.25 + 4 + 1) / 3
        rows.append({"text": text, "at_truth": at_truth, "unequal": unequal, "expected": 5.25 / 3})
    return pd.DataFrame(rows)


def weights() -> pd.DataFrame:
    """Evaluate a scalar and a vector loss on 100 rows of which 50 have weight 0."""
    import keras

    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 1)).astype("float32")
    weight = np.repeat(np.array([1, 0], "float32"), 50)  # the second half is noisier, and is not to count
    y = (x + np.where(weight, 0.4, 1.2)[:, None] * rng.standard_normal((100, 1))).astype("float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    own = np.asarray((y - x)[:, 0], dtype=float) ** 2
    rows = []
    for side, loss in (("wrong", wrong_weights), ("right", right_weights)):
        model.compile(optimizer="sgd", loss=loss)
        value = model.evaluate(x, y, sample_weight=weight, batch_size=100, verbose=0)
        rows.append({"side": side, "value": float(value), "exact": float((weight * own).mean()), "mixed": float(weight.mean() * own.mean())})  # fmt: skip
    return pd.DataFrame(rows)


LESSONS = {"enumeration": enumeration, "renamed": renamed, "equal": equal, "weights": weights}


def forms(kind: Kind, formula: Formula, parameters: Mapping[str, float], rare_class: int) -> pd.DataFrame:
    """Run both forms of a loss on hand-sized rows.

    Returns:
        One row an item (`item`): the six (or five) rows by number, then each reduction without and with
        weights; with the values of `numpy`, `function` and `class`, and of `scalar`, the function that
        averages too early, which Keras takes without complaint.
    """
    import keras
    from keras import ops

    if kind == "regression":
        y_true, y_pred = Y_TRUE[:, None].astype("float32"), Y_PRED[:, None].astype("float32")
    else:
        y_true, y_pred = LABELS.astype("int32"), LOGITS.astype("float32")
    weight = np.array(WEIGHTS[: len(y_true)], "float32")
    function = keras_function(kind, formula, parameters, rare_class)
    exact = np.array(by_hand(kind, formula, parameters, rare_class))
    loss = keras_loss(kind, formula, parameters, rare_class)

    def scalar(true, predicted):
        return ops.mean(function(true, predicted))

    class Wrapped(keras.losses.Loss):  # what Keras makes of a function that it is given
        def __init__(self, call: Any, reduction: str):
            super().__init__(reduction=reduction)
            self.function = call

        def call(self, true, predicted):
            return self.function(true, predicted)

    def reduced(call: Any, reduction: str, weights: Any) -> float:
        return float(Wrapped(call, reduction)(y_true, y_pred, sample_weight=weights))

    by_function = np.asarray(function(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)))
    loss.reduction = "none"
    by_class = np.asarray(loss(y_true, y_pred))
    rows = [
        {
            "item": str(i),
            "numpy": exact[i],
            "function": float(by_function[i]),
            "class": float(by_class[i]),
            "scalar": np.nan,
        }
        for i in range(len(exact))
    ]
    for reduction, weights_given in (("mean", None), ("sum", None), ("mean", weight), ("sum", weight)):
        loss.reduction = "sum_over_batch_size" if reduction == "mean" else reduction
        weighted = exact * (1.0 if weights_given is None else weight)
        rows.append(
            {
                "item": reduction if weights_given is None else f"{reduction}_weighted",
                "numpy": float(weighted.mean() if reduction == "mean" else weighted.sum()),
                "function": reduced(function, loss.reduction, weights_given),
                "class": float(loss(y_true, y_pred, sample_weight=weights_given)),
                "scalar": reduced(scalar, loss.reduction, weights_given),
            }
        )
    return pd.DataFrame(rows)
