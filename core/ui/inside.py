"""Sections on what is inside the nets: boundaries, weights, what dropout does to activations."""

from __future__ import annotations

import streamlit as st

from core.charts import inside
from core.i18n import _, plain
from core.inspection import EDGES
from core.ui import figures
from core.ui.view import View

COLUMNS = 3
THRESHOLDS = [edge for edge in EDGES[::4] if edge <= 0.1]  # edges of the histograms' bins: shares are exact
THRESHOLD = min(THRESHOLDS, key=lambda edge: abs(edge - 1e-3))


def boundaries(view: View) -> None:
    """Draw the boundary of every arm at an epoch that the viewer chooses."""
    comparison = view.settled
    epochs = inside.epochs_of(comparison)
    if not epochs:
        st.caption(
            _(
                "Boundaries are drawn for two classes in the plane: choose moons, circles, spiral or XOR. The points"
                " are those of the first seed."
            )
        )
        return
    key = f"boundary.{comparison.study.digest[:10]}"
    epoch = st.select_slider(_("Epoch"), epochs, value=epochs[-1], format_func=plain, key=key)
    st.subheader(inside.boundaries_title(comparison, epoch), anchor=False)
    arms = [arm for arm in comparison.study.arms if inside.run_of(comparison, arm, "boundary") is not None]
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                figures.draw(inside.boundary(comparison, arm.name, epoch), f"boundary.{arm.name}", heading=False)
    st.caption(
        _(
            "First seed. Blue and circles: class 0; red and triangles: class 1; paler where the net is less sure, the"
            " same scale in all. Filled: training points with the labels that training saw, wrong ones included;"
            " hollow: validation points. An arm that stopped early keeps the boundary of the weights it restored."
        )
    )


def weights(view: View) -> None:
    """Draw how large the weights are and how many are nearly zero."""
    comparison = view.settled
    histogram = inside.weights_of(comparison)
    if not len(histogram):
        st.caption(_("Here the sizes of the weights will be drawn, once runs have come to their end."))
        return
    threshold = st.select_slider(
        _("Count as zero below |w| ="),
        THRESHOLDS,
        value=THRESHOLD,
        format_func=lambda edge: plain(float(f"{edge:.2g}")),
        key="weights.threshold",
    )
    figures.draw(inside.weight_shares(comparison, view.arm_names, threshold), "weights.share")
    st.caption(
        _(
            "Stochastic gradient steps hover around zero and seldom land on it, L1 or not: sparsity needs a threshold,"
            " and its value should be stated."
        )
    )
    layers = sorted(histogram["layer"].unique().tolist())
    for start in range(0, len(layers), COLUMNS):
        for column, layer in zip(st.columns(COLUMNS), layers[start : start + COLUMNS], strict=False):
            with column:
                figure = inside.weight_sizes(comparison, view.arm_names, int(layer), threshold)
                figures.draw(figure, f"weights.{layer}", heading=False, names=view.arm_names)
    activations(view)


def activations(view: View) -> None:
    """Set two steps of training mode beside inference on the trained net's own activations."""
    comparison = view.settled
    arms = [arm for arm in comparison.study.arms if inside.run_of(comparison, arm, "activations") is not None]
    if not arms:
        return
    arm = arms[0]
    rate = comparison.study.runs[arm.name, comparison.study.seeds[0]].dropout  # type: ignore[attr-defined]
    st.subheader(
        _("Dropout {rate} switches outputs off and scales the others by 1/(1−{rate}) = {scale}").format(
            rate=plain(rate), scale=plain(round(1 / (1 - rate), 3))
        ),
        anchor=False,
    )
    left, right = st.columns(2)
    for column, views in ((left, ("inference", "mean")), (right, ("first", "second"))):
        with column:
            for name in views:
                figures.draw(inside.dropout_passes(comparison, arm.name, name), f"dropout.{name}", heading=False)
    st.caption(
        _(
            "The trained net's first hidden layer, first seed: the most active units on six validation points. What is"
            " zeroed are outputs, anew in each step, never weights."
        )
    )
