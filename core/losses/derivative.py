"""Differentiate formulas with NumPy, as automatic differentiation does; imports no TensorFlow."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.formula import NUMPY, Formula, Part, value_of

Pair = tuple[Any, Any]  # a value and its derivative; None where nothing differentiable stands in it


def with_derivative(formula: Formula, values: Mapping[str, Any], slopes: Mapping[str, Any]) -> tuple[Any, np.ndarray]:
    """Compute a formula and its derivative.

    Args:
        formula: What to differentiate.
        values: A number or array for every name in it.
        slopes: The derivatives of those names that move; the others stand still.

    Returns:
        Value and derivative, of one shape. As in automatic differentiation a branch that `where` does
        not take is multiplied by zero and not left out, so that an infinite slope there makes the whole one NaN
        (TensorFlow alone spares `sqrt` this); a kink of `maximum` takes the slope of its first argument, that
        of `abs` is 0.
    """
    with np.errstate(all="ignore"):
        value, slope = _pair(formula.tree, values, slopes)
        shape = np.broadcast_shapes(np.shape(value), *(np.shape(one) for one in values.values()))
        return np.broadcast_to(value, shape), np.broadcast_to(0.0 if slope is None else slope, shape)


def _pair(part: Part, values: Mapping[str, Any], slopes: Mapping[str, Any]) -> Pair:
    if part.kind != "call":
        return value_of(part, NUMPY, values), slopes.get(part.value) if part.kind == "name" else None
    if part.value == "clip":
        x, low, high = (_pair(one, values, slopes) for one in part.parts)
        return _choose("minimum", _choose("maximum", x, low), high)
    arguments = [_pair(one, values, slopes) for one in part.parts]
    if part.value in ("maximum", "minimum"):
        return _choose(part.value, *arguments)
    value = value_of(part, NUMPY, values)
    if part.value in _SLOPES:
        terms = _SLOPES[part.value](value, *[v for v, _slope in arguments])
    elif part.value == "where":
        taken = np.asarray(arguments[0][0], dtype=float)
        terms = (None, taken, 1 - taken)
    else:  # comparisons, logic and sign: flat wherever they have a slope
        return value, None
    return value, _sum(_weighted(terms, arguments))


def _weighted(terms: tuple, arguments: list[Pair]) -> list[Any]:
    """Multiply each argument's slope by its weight, leaving out those that stand still."""
    return [
        (weight() if callable(weight) else weight) * slope
        for weight, (_value, slope) in zip(terms, arguments, strict=True)
        if slope is not None and weight is not None
    ]


def _sum(terms: list[Any]) -> Any:
    return functools.reduce(operator.add, terms) if terms else None


def _choose(name: str, one: Pair, other: Pair) -> Pair:
    value = getattr(NUMPY, name)(one[0], other[0])
    first = np.asarray(one[0] >= other[0] if name == "maximum" else one[0] <= other[0], dtype=float)
    return value, _sum(_weighted((first, 1 - first), [one, other]))


# By name, the weights of the arguments' slopes from the value and the arguments; called only where needed.
_SLOPES: dict[str, Callable[..., tuple]] = {
    "add": lambda v, a, b: (1.0, 1.0),
    "subtract": lambda v, a, b: (1.0, -1.0),
    "multiply": lambda v, a, b: (b, a),
    "divide": lambda v, a, b: (lambda: np.divide(1.0, b), lambda: -v / b),
    "power": lambda v, a, b: (lambda: b * NUMPY.power(a, b - 1.0), lambda: v * np.log(a)),
    "negative": lambda v, a: (-1.0,),
    "abs": lambda v, a: (np.sign(a),),
    "square": lambda v, a: (2.0 * a,),
    "sqrt": lambda v, a: (lambda: np.divide(0.5, v),),
    "exp": lambda v, a: (v,),
    "expm1": lambda v, a: (v + 1.0,),
    "log": lambda v, a: (lambda: np.divide(1.0, a),),
    "log1p": lambda v, a: (lambda: np.divide(1.0, 1.0 + a),),
    "sin": lambda v, a: (np.cos(a),),
    "cos": lambda v, a: (-np.sin(a),),
    "tanh": lambda v, a: (1.0 - v**2,),
    "sigmoid": lambda v, a: (v * (1.0 - v),),
    "softplus": lambda v, a: (NUMPY.sigmoid(a),),
}
