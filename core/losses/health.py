"""Examine a loss before anything is trained on it: one finding a line, with its evidence and what to do.

Pure NumPy and a few milliseconds, so that it answers while one types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.datasets import Kind
from core.formula import NUMPY, Formula, Part, value_of
from core.i18n import _, number, percent
from core.losses.derivative import with_derivative

Judgement = Literal["good", "note", "bad"]
TARGETS = (-2.0, -0.5, 0.0, 1.0, 3.0)  # standardized targets: what a regression meets
SPAN = 10.0  # residuals, or logits of the true class above the other, on the ordinary grid
STEPS = 2_001
EDGES = (-1e6, -1e3, -1e-6, 0.0, 1e-6, 1e3, 1e6)
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Finding:
    """One thing examined: its `name`, a judgement, the `evidence` with numbers, and what to do."""

    name: str
    judgement: Judgement
    evidence: str
    advice: str = ""


@dataclass(frozen=True)
class Profile:
    """A loss along the residual, or along the logit margin of two classes.

    `x` are residuals y_pred − y_true or margins, shape (N,); `values` and `slopes` have a row a target (or
    for the frequent and the rare class), shape (R, N); `slopes` are taken with respect to `x`.
    """

    x: np.ndarray
    values: np.ndarray
    slopes: np.ndarray


def inputs(kind: Kind, x: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name the variables of a formula along `x`, shape (R, N), and their slopes."""
    if kind == "regression":
        targets = np.array(TARGETS)[:, None]
        return {"y_true": targets + 0 * x, "y_pred": targets + x}, {"y_pred": np.ones((len(TARGETS), len(x)))}
    rare = np.array([[0.0], [1.0]]) + 0 * x
    margin = rare * 0 + x
    log_p, log_other = -np.logaddexp(0.0, -margin), -np.logaddexp(0.0, margin)
    p, other = np.exp(log_p), np.exp(log_other)
    values = {"log_p": log_p, "p": p, "margin": margin, "mean_log_p": (log_p + log_other) / 2, "rare": rare}
    slopes = {"log_p": other, "p": p * other, "margin": np.ones_like(margin), "mean_log_p": (other - p) / 2}
    return values, slopes


def profile(kind: Kind, formula: Formula, parameters: Mapping[str, float], x: np.ndarray) -> Profile:
    """Compute a loss and its slope along `x`."""
    variables, slopes = inputs(kind, x)
    values, slope = with_derivative(formula, {**variables, **parameters}, slopes)
    return Profile(x, values, slope)


def examine(kind: Kind, formula: Formula, parameters: Mapping[str, float]) -> list[Finding]:
    """Examine a loss on a grid of residuals (or margins) that includes the edges."""
    x = np.linspace(-SPAN, SPAN, STEPS)
    ordinary = profile(kind, formula, parameters, x)
    edges = profile(kind, formula, parameters, np.array(EDGES))
    findings = [
        _finite(kind, formula, parameters, ordinary, edges),
        _one_a_sample(kind, formula, parameters),
        _flows(kind, formula, ordinary),
    ]
    if np.isfinite(ordinary.values).all():
        findings += [
            _agrees(kind, formula, parameters, ordinary),
            _non_negative(kind, ordinary),
            _at_the_truth(kind, formula, parameters, ordinary),
            _convex(kind, ordinary),
        ]
    return findings


def axis(kind: Kind) -> str:
    """Name what a loss is followed along."""
    return _("residual y_pred − y_true") if kind == "regression" else _("margin of the true class")


def undefined_part(formula: Formula, values: Mapping[str, Any]) -> Part | None:
    """Find the innermost part that is not finite though all that stands in it is."""
    with np.errstate(all="ignore"):
        for part in reversed(list(formula.tree)):  # the walk is from outside in
            if part.kind != "call" or np.isfinite(np.asarray(value_of(part, NUMPY, values), dtype=float)).all():
                continue
            inner = [np.asarray(value_of(one, NUMPY, values), dtype=float) for one in part.parts]
            if all(np.isfinite(one).all() for one in inner):
                return part
    return None


def likely_term(kind: Kind, formula: Formula, parameters: Mapping[str, float]) -> str:
    """Name the term that leaves the finite on an ordinary grid, or whose slope does; empty where none does."""
    x = np.linspace(-SPAN, SPAN, STEPS)
    variables, slopes = inputs(kind, x)
    values, slope = with_derivative(formula, {**variables, **parameters}, slopes)
    bad = ~(np.isfinite(values) & np.isfinite(slope))
    if not bad.any():
        return ""
    place = np.unravel_index(np.argmax(bad), bad.shape)
    here = {name: float(value[place]) for name, value in variables.items()} | dict(parameters)
    steps = {name: float(one[place]) for name, one in slopes.items()}
    part = undefined_part(formula, here) or _undefined_slope(formula, here, steps)
    return part.text if part else formula.tree.text


def _undefined_slope(formula: Formula, values: Mapping[str, float], slopes: Mapping[str, float]) -> Part | None:
    for part in reversed(list(formula.tree)):
        own = Formula("", formula.variables, formula.parameters, part)
        if part.kind == "call" and not np.isfinite(with_derivative(own, values, slopes)[1]).all():
            return part
    return None


def _place(kind: Kind, row: int, x: float) -> str:
    if kind == "regression":
        return _("y_true = {true}, y_pred = {predicted}").format(
            true=number(TARGETS[row]), predicted=number(TARGETS[row] + x)
        )
    return _("margin {margin}, so p = {p}").format(margin=number(x), p=number(float(np.exp(-np.logaddexp(0, -x)))))


def _finite(kind: Kind, formula: Formula, parameters: Mapping[str, float], grid: Profile, edges: Profile) -> Finding:
    name = _("Finite")
    bad = ~np.isfinite(grid.values)
    if bad.any():
        row, column = np.unravel_index(np.argmax(bad), bad.shape)
        evidence = _(
            "Not a number or infinite at {share} of the grid, such as at {place}; the term is `{term}`."
        ).format(
            share=percent(float(bad.mean())),
            place=_place(kind, int(row), float(grid.x[column])),
            term=likely_term(kind, formula, parameters),
        )
        return Finding(name, "bad", evidence, _("Keep the argument of log, sqrt and divisions away from where they end: maximum(…, 1e-6), log1p, softplus."))  # fmt: skip
    bad = ~np.isfinite(edges.values)
    if bad.any():
        row, column = np.unravel_index(np.argmax(bad), bad.shape)
        evidence = _("Finite on the ordinary grid, but infinite at the edge: at {place}.").format(
            place=_place(kind, int(row), float(edges.x[column]))
        )
        return Finding(name, "note", evidence, _("One wild residual ends the training; clip it, or use a form that grows more slowly."))  # fmt: skip
    evidence = _("At all {count} points of the grid and at the edges, up to {edge}.").format(
        count=number(grid.values.size), edge=number(max(EDGES))
    )
    return Finding(name, "good", evidence)


def _one_a_sample(kind: Kind, formula: Formula, parameters: Mapping[str, float]) -> Finding:
    variables, _slopes = inputs(kind, np.linspace(-1, 1, 7))
    row = {name: value[0] for name, value in variables.items() if name in formula.used}
    shape = np.shape(formula.evaluate(NUMPY, **row, **parameters))
    evidence = _("7 samples in, {count} values out.").format(count=shape[0] if shape else 1)
    if shape == (7,):
        return Finding(_("One value a sample"), "good", evidence)
    advice = _("Let the prediction stand in the formula: a constant has nothing to weigh and nothing to learn from.")
    return Finding(_("One value a sample"), "bad", evidence, advice)


def _flows(kind: Kind, formula: Formula, grid: Profile) -> Finding:
    name = _("Gradient flows")
    lost = ~np.isfinite(grid.slopes) & np.isfinite(grid.values)
    if lost.any():
        row, column = np.unravel_index(np.argmax(lost), lost.shape)
        evidence = _("The loss is finite, its gradient is not: at {place}.").format(
            place=_place(kind, int(row), float(grid.x[column]))
        )
        advice = _("Its slope is infinite there: add a small number inside the root or power.")
        if any(part.value == "where" for part in formula.tree):
            advice = _(
                "A branch that where(…) does not take still counts in most frameworks: make its argument harmless there, with maximum(…)."
            )
        return Finding(name, "bad", evidence, advice)
    flat = np.abs(grid.slopes) < 1e-12
    if not np.isfinite(grid.slopes).all():
        return Finding(name, "bad", _("Undefined wherever the loss is."), _("Mend the loss first."))
    share = float(flat.mean())
    if share > 0.99:
        return Finding(name, "bad", _("Zero at {share} of the grid.").format(share=percent(share)), _("Nothing can be learnt: a comparison or sign alone has no slope."))  # fmt: skip
    if share > 0.02:
        evidence = _("Zero at {share} of the grid: points there pull no more.").format(share=percent(share))
        return Finding(name, "note", evidence, _("Meant for outliers, fatal for a start far from the data: begin with a wider scale."))  # fmt: skip
    steepest = float(np.abs(grid.slopes).max())
    return Finding(name, "good", _("Non-zero nearly everywhere, at most {slope}.").format(slope=number(steepest)))


def _agrees(kind: Kind, formula: Formula, parameters: Mapping[str, float], grid: Profile) -> Finding:
    name = _("Gradient agrees with finite differences")
    # On a grid that holds no round number, so that no kink is met exactly.
    x = np.linspace(-SPAN, SPAN, 1_000) * 0.99713 + 0.000271
    h = 1e-5
    middle, low, high = (profile(kind, formula, parameters, x + step) for step in (0.0, -h, h))
    differences = (high.values - low.values) / (2 * h)
    error = np.abs(differences - middle.slopes) / np.maximum(1.0, np.abs(middle.slopes))
    jump = _jump(kind, formula, parameters, grid)
    if jump is not None:
        evidence = _("The loss itself jumps by {height} at {axis} {x}.").format(
            height=number(jump[1]), axis=axis(kind), x=number(jump[0])
        )
        return Finding(name, "bad", evidence, _("Choose the branches of where(…) so that they meet: subtract a constant from one."))  # fmt: skip
    worst = float(np.nanmax(np.where(np.isfinite(error), error, np.inf)))
    if worst > 1e-3:
        row, column = np.unravel_index(np.argmax(error), error.shape)
        evidence = _("They differ by {error} at {place}.").format(
            error=number(worst), place=_place(kind, int(row), float(x[column]))
        )
        return Finding(
            name, "note", evidence, _("There is a kink or a very steep place nearby; training steps across it.")
        )
    return Finding(name, "good", _("Largest relative difference {error}, at {count} points.").format(error=number(worst), count=number(error.size)))  # fmt: skip


def _jump(kind: Kind, formula: Formula, parameters: Mapping[str, float], grid: Profile) -> tuple[float, float] | None:
    """Find where the loss jumps: its change over a step is not that of its slope, however small the step."""
    step = float(grid.x[1] - grid.x[0])
    change = np.diff(grid.values, axis=1) - step * (grid.slopes[:, 1:] + grid.slopes[:, :-1]) / 2
    if not np.isfinite(change).all():
        return None
    row, column = np.unravel_index(np.argmax(np.abs(change)), change.shape)
    low, high = float(grid.x[column]), float(grid.x[column + 1])
    for _round in range(40):
        ends = np.array([low, (low + high) / 2, high])
        values = profile(kind, formula, parameters, ends).values[row]
        low, high = (low, ends[1]) if abs(values[1] - values[0]) > abs(values[2] - values[1]) else (ends[1], high)
    values = profile(kind, formula, parameters, np.array([low, high])).values[row]
    height = abs(float(values[1] - values[0]))
    return (low, height) if height > 1e-6 * max(1.0, abs(float(values[0]))) else None


def _non_negative(kind: Kind, grid: Profile) -> Finding:
    lowest = float(grid.values.min())
    if lowest >= -TOLERANCE:
        return Finding(_("Never negative"), "good", _("Its lowest value on the grid is {value}.").format(value=number(max(lowest, 0.0))))  # fmt: skip
    row, column = np.unravel_index(np.argmin(grid.values), grid.values.shape)
    evidence = _("{value} at {place}.").format(
        value=number(lowest), place=_place(kind, int(row), float(grid.x[column]))
    )
    return Finding(_("Never negative"), "note", evidence, _("Allowed, if it has a lowest value at all; percentages of such a loss mean nothing."))  # fmt: skip


def _at_the_truth(kind: Kind, formula: Formula, parameters: Mapping[str, float], grid: Profile) -> Finding:
    name = _("Least at the truth")
    if kind == "classification":
        rises = float(np.max(grid.slopes))
        sure = profile(kind, formula, parameters, np.array([0.0, 40.0])).values
        evidence = _("{sure} for a sure right answer, {even} for an even chance.").format(
            sure=number(float(sure[:, 1].max())), even=number(float(sure[:, 0].max()))
        )
        if rises <= TOLERANCE:
            return Finding(name, "good", evidence)
        return Finding(name, "note", evidence, _("Somewhere it rises while the answer gets better: a limit to confidence, if that is meant."))  # fmt: skip
    lowest = grid.x[np.argmin(grid.values, axis=1)]
    centre = grid.values[:, STEPS // 2]
    off = float(np.abs(lowest).max())
    evidence = _("{value} where prediction equals truth.").format(value=number(float(np.abs(centre).max())))
    if off > grid.x[1] - grid.x[0] + TOLERANCE and float((centre - grid.values.min(axis=1)).max()) > TOLERANCE:
        evidence = _("Lowest at a residual of {x}.").format(x=number(float(lowest[np.argmax(np.abs(lowest))])))
        return Finding(name, "bad", evidence, _("A net that minimizes this does not aim at the target; is the sign right?"))  # fmt: skip
    if float(np.abs(centre).max()) > TOLERANCE:
        return Finding(name, "note", evidence, _("Subtract that constant, if zero should mean perfect; training does not care."))  # fmt: skip
    return Finding(name, "good", evidence)


def _convex(kind: Kind, grid: Profile) -> Finding:
    bends = np.diff(grid.values, 2, axis=1)
    scale = max(1e-9, float(np.abs(grid.values).max()) * 1e-9)
    name = _("Convex in the residual") if kind == "regression" else _("Convex in the margin")
    if float(bends.min()) >= -scale:
        return Finding(name, "good", _("It bends upwards at every step of the grid."))
    share = float((bends < -scale).mean())
    evidence = _("It bends downwards at {share} of the grid.").format(share=percent(share))
    return Finding(name, "note", evidence, _("Even a linear model may then have several best fits; start from a fit by a convex loss."))  # fmt: skip


def shape(
    kind: Kind, losses: Mapping[str, tuple[Formula, Mapping[str, float]]], span: float = 4.0, points: int = 201
) -> pd.DataFrame:
    """Tabulate losses and their slopes for a chart.

    Args:
        kind: Regression follows the residual at a target of 0; classification the probability of the true
            class, of the frequent class, with two classes.
        losses: Formula and parameters by name.
        span: Largest residual.
        points: How many points a line has.

    Returns:
        One row a loss and point: `name`, `x`, `loss`, `slope` (by residual, or by logit margin).
    """
    if kind == "regression":
        x = drawn = np.linspace(-span, span, points)
        row = TARGETS.index(0.0)
    else:
        drawn = np.linspace(0.005, 0.995, points)
        x, row = np.log(drawn / (1 - drawn)), 0
    parts = []
    for name, (formula, parameters) in losses.items():
        own = profile(kind, formula, parameters, x)
        parts.append(pd.DataFrame({"name": name, "x": drawn, "loss": own.values[row], "slope": own.slopes[row]}))
    return pd.concat(parts, ignore_index=True)
