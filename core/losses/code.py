"""Write a loss as a Keras module that stands alone: function, class, and the test of both.

The text is made of the formula's allowed parts and of numbers; nothing here executes it. Imports no TensorFlow.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping

import numpy as np

from core.datasets import Kind
from core.formula import NUMPY, Formula
from core.losses import FAR, class_variables, evaluate

# Hand-sized cases: values of six rows, or labels and logits of five with three classes.
Y_TRUE = np.array([0.0, 1.0, -0.5, 2.0, 0.25, -1.5])
Y_PRED = np.array([0.5, -1.25, -0.5, 2.1, 3.0, -1.0])
LABELS = np.array([0, 1, 2, 1, 0])
LOGITS = np.array([[2.0, -1.0, 0.5], [0.3, 0.1, -0.2], [-1.0, 2.0, 1.5], [-3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])

_PRELUDE = {
    "log_p": "log_p = -ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)",
    "p": "p = ops.exp(log_p)",
    "margin": "margin = ops.sum(true * y_pred, axis=-1) - ops.max(y_pred - {far} * true, axis=-1)",
    "mean_log_p": "mean_log_p = ops.mean(ops.log_softmax(y_pred), axis=-1)",
    "rare": "rare = ops.cast(ops.equal(labels, {rare_class}), y_pred.dtype)",
}


def class_name(name: str) -> str:
    """Write a function's name as that of a class."""
    return "".join(word.capitalize() for word in name.split("_"))


def identifier(name: str) -> str:
    """Name the function of a loss: the gallery's own name, `my_loss` for the viewer's."""
    return "my_loss" if name == "own" or keyword.iskeyword(name) else name


def function_form(name: str, kind: Kind, formula: Formula, parameters: Mapping[str, float], rare_class: int = 0) -> str:
    """Write the function `(y_true, y_pred)`, with the parameters' values as defaults."""
    arguments = "".join(f", {key}={float(parameters[key])!r}" for key in formula.parameters)
    lines = [f"def {identifier(name)}(y_true, y_pred{arguments}):"]
    if kind == "regression":
        lines += [
            '    """Return one value a row; y_true and y_pred have shape (rows, values)."""',
            f"    return ops.mean({formula.source()}, axis=-1)",
        ]
        return "\n".join(lines)
    lines += [
        '    """Return one value a row; y_true holds classes from 0, y_pred logits of shape (rows, classes)."""',
        '    labels = ops.cast(y_true, "int32")',
    ]
    used = formula.used | ({"log_p"} if "p" in formula.used else set())
    if "margin" in used:
        lines.append("    true = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)")
    lines += ["    " + text.format(far=FAR, rare_class=rare_class) for key, text in _PRELUDE.items() if key in used]
    return "\n".join([*lines, f"    return {formula.source()}"])


def class_form(name: str, formula: Formula, parameters: Mapping[str, float]) -> str:
    """Write the subclass of `keras.losses.Loss` that calls the function and can be saved with a model."""
    own = identifier(name)
    arguments = "".join(f"{key}={float(parameters[key])!r}, " for key in formula.parameters)
    passed = "".join(f", {key}=self.{key}" for key in formula.parameters)
    config = "".join(f', "{key}": self.{key}' for key in formula.parameters)
    kept = "".join(f"\n        self.{key} = {key}" for key in formula.parameters)
    return f'''@keras.saving.register_keras_serializable(package="losses")
class {class_name(own)}(keras.losses.Loss):
    """The same loss as an object: `reduction` and `sample_weight` come with it."""

    def __init__(self, {arguments}name="{own}", **kwargs):
        super().__init__(name=name, **kwargs){kept}

    def call(self, y_true, y_pred):
        return {own}(y_true, y_pred{passed})

    def get_config(self):
        return {{**super().get_config(){config}}}'''


def by_hand(kind: Kind, formula: Formula, parameters: Mapping[str, float], rare_class: int = 0) -> list[float]:
    """Compute the loss of the hand-sized cases with NumPy, one value a row."""
    if kind == "regression":
        variables = {"y_true": Y_TRUE, "y_pred": Y_PRED}
    else:
        variables = class_variables(LABELS, LOGITS, rare_class)
    return [
        float(value) for value in np.broadcast_to(evaluate(formula, NUMPY, variables, parameters), len(_rows(kind)))
    ]


def _rows(kind: Kind) -> np.ndarray:
    return Y_TRUE if kind == "regression" else LABELS


def module(
    name: str, kind: Kind, formula: Formula, parameters: Mapping[str, float], rare_class: int = 0, origin: str = ""
) -> str:
    """Write the whole module: `python NAME.py` runs its test, and so does pytest."""
    own = identifier(name)
    values = by_hand(kind, formula, parameters, rare_class)
    expected = f"[{', '.join(repr(round(v, 6)) if math.isfinite(v) else f'float({str(v)!r})' for v in values)}]"
    if kind == "regression":
        data = f'Y_TRUE = np.array({Y_TRUE[:, None].tolist()}, dtype="float32")\nY_PRED = np.array({Y_PRED[:, None].tolist()}, dtype="float32")'
    else:
        data = f'Y_TRUE = np.array({LABELS.tolist()})\nY_PRED = np.array({LOGITS.tolist()}, dtype="float32")'
    return f'''"""The loss {formula.text.strip()}

As a function and as a class, for Keras 3 with any backend{origin}.
Test it by `python {own}.py`, or by pytest.
"""

import keras
import numpy as np
from keras import ops


{function_form(name, kind, formula, parameters, rare_class)}


{class_form(name, formula, parameters)}


{data}
BY_HAND = {expected}
WEIGHTS = np.linspace(0.0, 2.0, len(BY_HAND)).astype("float32")


def test_one_value_a_row():
    values = ops.convert_to_numpy({own}(ops.convert_to_tensor(Y_TRUE), ops.convert_to_tensor(Y_PRED)))
    np.testing.assert_allclose(values, BY_HAND, rtol=1e-4, atol=1e-5)


def test_class_equals_function():
    rows = {class_name(own)}(reduction="none")(Y_TRUE, Y_PRED)
    np.testing.assert_allclose(ops.convert_to_numpy(rows), BY_HAND, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(float({class_name(own)}()(Y_TRUE, Y_PRED)), np.mean(BY_HAND), rtol=1e-4, atol=1e-5)


def test_weights_weigh_rows():
    weighted = float({class_name(own)}()(Y_TRUE, Y_PRED, sample_weight=WEIGHTS))
    np.testing.assert_allclose(weighted, np.mean(WEIGHTS * BY_HAND), rtol=1e-4, atol=1e-5)


def test_configuration_makes_the_same_loss():
    again = {class_name(own)}.from_config({class_name(own)}().get_config())
    np.testing.assert_allclose(float(again(Y_TRUE, Y_PRED)), np.mean(BY_HAND), rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            test()
            print(name, "passed")
'''
