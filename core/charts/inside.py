"""Draw what is inside the nets of a comparison: boundaries, weights, activations; frames in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import colour, dash
from core.comparison import Comparison, inline, label
from core.i18n import _, number, percent, plain
from core.inspection import CELLS
from core.result import RunResult
from core.study import Arm

BOUNDARY_HEIGHT = 250
CLASSES = ("#2166AC", "#B2182B")  # of points; their shapes tell the class too
PALE = ("#82ABD3", "#F4F2EE", "#DC8A8C")  # of the plane: class 0, undecided, class 1


def run_of(comparison: Comparison, arm: Arm, frame: str) -> RunResult | None:
    """Return the first seed's run of `arm` where it holds `frame`."""
    result = comparison.results.get(comparison.study.runs[arm.name, comparison.study.seeds[0]].digest)
    return result if result is not None and frame in result.frames else None


def epochs_of(comparison: Comparison) -> list[int]:
    """List the epochs at which boundaries were kept, of all arms together."""
    epochs: set[int] = set()
    for arm in comparison.study.arms:
        if (result := run_of(comparison, arm, "boundary")) is not None:
            epochs |= set(result.frames["boundary"]["epoch"].unique().tolist())
    return sorted(epochs)


def plane(result: RunResult, epoch: int) -> np.ndarray:
    """Return the shares of class 1 at the last kept epoch up to `epoch`, shape (CELLS, CELLS), in [0, 1]."""
    frame = result.frames["boundary"]
    at = int(frame.loc[frame["epoch"] <= epoch, "epoch"].max())
    return frame.loc[frame["epoch"] == at, "share"].to_numpy(dtype=float).reshape(CELLS, CELLS) / 255


def boundary_length(shares: np.ndarray, width: float, height: float) -> float:
    """Measure the boundary along the edges of the grid's cells, in the unit of the inputs."""
    side = shares > 0.5
    across, along = side[:, 1:] != side[:, :-1], side[1:] != side[:-1]
    return float(across.sum() * height / CELLS + along.sum() * width / CELLS)


def lengths(comparison: Comparison, epoch: int) -> dict[str, float]:
    """Measure the boundary of every arm's first seed at an epoch."""
    found = {}
    for arm in comparison.study.arms:
        if (result := run_of(comparison, arm, "boundary")) is not None:
            low, high = _extent(result)
            found[arm.name] = boundary_length(plane(result, epoch), *(high - low))
    return found


def _extent(result: RunResult) -> tuple[np.ndarray, np.ndarray]:
    points = result.frames["points"]
    low, high = points.loc[points["part"] == "extent", ["x", "y"]].to_numpy(dtype=float)
    return low, high


def boundaries_title(comparison: Comparison, epoch: int) -> str:
    """State how long the baseline's boundary is beside the shortest and the longest of the others."""
    measured = lengths(comparison, epoch)
    own = measured.pop(comparison.baseline.name, None)
    if own is None or not measured:
        return _("The boundary between the classes")
    shortest = min(measured, key=measured.__getitem__)
    arm = next(arm for arm in comparison.study.arms if arm.name == shortest)
    if not own and not measured[shortest]:
        return _("At epoch {epoch} the nets see one class everywhere.").format(epoch=plain(epoch))
    return _("At epoch {epoch} the boundary is {own} long without regularization, {other} with {arm}.").format(
        epoch=plain(epoch), own=number(own), other=number(measured[shortest]), arm=inline(arm)
    )


@remembered
def boundary(comparison: Comparison, arm_name: str, epoch: int) -> Figure:
    """Draw one arm's answer all over the plane at an epoch, under the points of its first seed."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    result = run_of(comparison, arm, "boundary")
    assert result is not None
    low, high = _extent(result)
    shares = plane(result, epoch)
    step = (high - low) / CELLS
    rows, columns = np.mgrid[0:CELLS, 0:CELLS]
    cells = pd.DataFrame(
        {
            "left": low[0] + columns.ravel() * step[0],
            "right": low[0] + (columns.ravel() + 1.05) * step[0],  # a little over the next: no seams
            "bottom": low[1] + rows.ravel() * step[1],
            "top": low[1] + (rows.ravel() + 1.05) * step[1],
            "share": shares.ravel().round(3),
        }
    )
    points = result.frames["points"]
    points = points[points["part"] != "extent"].reset_index(drop=True)
    points = points.assign(kind=points["label"].map({0: "0", 1: "1"}))
    scales = [alt.Scale(domain=[float(a), float(b)], nice=False, zero=False) for a, b in zip(low, high, strict=True)]
    axis = alt.Axis(grid=False, tickCount=4, title=None)

    def x(field: str) -> alt.X:
        return alt.X(field=field, type="quantitative", scale=scales[0], axis=axis)

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", scale=scales[1], axis=axis)

    field = (
        alt.Chart(alt.NamedData("cells"))
        .mark_rect(strokeWidth=0, clip=True)
        .encode(
            x=x("left"), x2=alt.X2(field="right"), y=y("bottom"), y2=alt.Y2(field="top"),
            color=alt.Color(field="share", type="quantitative", legend=None,
                            scale=alt.Scale(domain=[0, 0.5, 1], range=list(PALE), interpolate="lab")),
        )
    )  # fmt: skip
    shape = alt.Shape(
        field="kind", type="nominal", legend=None, scale=alt.Scale(domain=["0", "1"], range=["circle", "triangle-up"])
    )
    shown = alt.Chart(alt.NamedData("points"))
    fill = alt.Scale(domain=["0", "1"], range=list(CLASSES))
    validation = (
        shown.transform_filter("datum.part == 'validation'")
        .mark_point(size=14, opacity=0.45, filled=False, strokeWidth=1)
        .encode(
            x=x("x"), y=y("y"), shape=shape, stroke=alt.Stroke(field="kind", type="nominal", scale=fill, legend=None)
        )
    )
    training = (
        shown.transform_filter("datum.part == 'training'")
        .mark_point(size=42, opacity=1, filled=True, stroke="#FFFFFF", strokeWidth=0.8)
        .encode(x=x("x"), y=y("y"), shape=shape, fill=alt.Fill(field="kind", type="nominal", scale=fill, legend=None))
    )
    spec = to_spec(field, validation, training, height=BOUNDARY_HEIGHT)
    spec["usermeta"] = {"embedOptions": {"renderer": "canvas"}}  # 1,600 cells are one picture and not 1,600 nodes
    length = boundary_length(shares, *(high - low))
    row = result.curves.iloc[min(epoch, result.info.final_epoch)]
    words = _("boundary {length} long; right: {train} of training, {validation} of validation points").format(
        length=number(length), train=percent(row["train_score"]), validation=percent(row["validation_score"])
    )
    table = cells.rename(
        columns={"left": _("From x₁"), "right": _("to x₁"), "bottom": _("From x₂"), "top": _("to x₂"),
                 "share": _("Probability of class 1")}
    )  # fmt: skip
    return Figure(spec, {"cells": cells, "points": points}, label(arm), words, f"{label(arm)}: {words}.", table)


# -- weights -------------------------------------------------------------------------------------------


def weights_of(comparison: Comparison) -> pd.DataFrame:
    """Gather the histograms: one row an arm, seed, layer and bin, `layer`, `low`, `count`."""
    parts = []
    for arm, seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is not None and "weights" in result.frames:
            parts.append(result.frames["weights"].assign(arm=arm.name, label=label(arm), seed=seed))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def shares_below(histogram: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Sum the share of weights below `threshold`, a bin's edge: one row an arm, seed: `share` in [0, 1]."""
    below = histogram[histogram["low"] < threshold * (1 - 1e-9)]
    keys = ["arm", "label", "seed"]
    whole = histogram.groupby(keys, sort=False)["count"].sum()
    share = below.groupby(keys, sort=False)["count"].sum().reindex(whole.index, fill_value=0) / whole
    return share.rename("share").reset_index()


@remembered
def weight_shares(comparison: Comparison, names: Sequence[str], threshold: float) -> Figure:
    """Draw the share of weights that are nearly zero, a row an arm and a ring a seed."""
    rows = shares_below(weights_of(comparison), threshold)
    means = rows.groupby(["arm", "label"], sort=False)["share"].agg(["mean", "min", "max"]).reset_index()
    order = means["label"].tolist()
    x_scale = alt.Scale(domain=[0, 1])

    def x(field: str) -> alt.X:
        return alt.X(field=field, type="quantitative", scale=x_scale, title=_("Share of weights"),
                     axis=alt.Axis(format=".0%", tickCount=5))  # fmt: skip

    y = alt.Y(
        field="label", type="nominal", sort=order, title=None, axis=alt.Axis(labelLimit=180, domain=False, ticks=False)
    )
    bar = (
        alt.Chart(alt.NamedData("means")).mark_bar(height=9, opacity=0.55).encode(x=x("mean"), y=y, color=colour(names))
    )
    ring = (
        alt.Chart(alt.NamedData("rows"))
        .mark_point(size=42, filled=False, strokeWidth=1.4)
        .encode(x=x("share"), y=y, color=colour(names),
                tooltip=[alt.Tooltip(field="label", type="nominal", title=_("Arm")),
                         alt.Tooltip(field="seed", type="quantitative", title=_("Seed")),
                         alt.Tooltip(field="share", type="quantitative", title=_("Share of weights"), format=".1%")])
    )  # fmt: skip
    own = means.loc[means["arm"] == comparison.baseline.name, "mean"]
    top = means.loc[means["mean"].idxmax()]
    title = _("Below |w| = {threshold}: {own} of the weights without regularization, {most} with {arm}.").format(
        threshold=plain(threshold), own=percent(float(own.iloc[0]) if len(own) else float("nan")),
        most=percent(float(top["mean"])), arm=inline(next(a for a in comparison.study.arms if a.name == top["arm"])),
    ) if len(own) and top["arm"] != comparison.baseline.name else _(
        "Below |w| = {threshold}: {own} of the weights without regularization, no more with it."
    ).format(threshold=plain(threshold), own=percent(float(own.iloc[0]) if len(own) else float("nan")))  # fmt: skip
    subtitle = _("All layers together, at the end of training. Bar: mean over seeds; ring: one seed.")
    words = "; ".join(f"{row.label} {percent(row.mean)}" for row in means.itertuples(index=False))
    return Figure(
        to_spec(bar, ring, height=max(110, 34 * len(means) + 40)),
        {"rows": rows, "means": means},
        title,
        subtitle,
        f"{title} {subtitle} {words}.",
        rows[["label", "seed", "share"]].rename(
            columns={"label": _("Arm"), "seed": _("Seed"), "share": _("Share of weights")}
        ),
    )


@remembered
def weight_sizes(comparison: Comparison, names: Sequence[str], layer: int, threshold: float) -> Figure:
    """Draw how large the weights of one layer are: the share in each bin of |w|, a line an arm."""
    histogram = weights_of(comparison)
    histogram = histogram[histogram["layer"] == layer]
    totals = histogram.groupby("arm")["count"].sum()
    edges = np.array(sorted({low for low in histogram["low"] if low > 0}))
    grid = pd.MultiIndex.from_product([totals.index, edges], names=["arm", "low"])
    rows = histogram.groupby(["arm", "low"])["count"].sum().reindex(grid, fill_value=0).reset_index()
    rows["share"] = rows["count"] / rows["arm"].map(totals)
    rows["label"] = rows["arm"].map({arm.name: label(arm) for arm in comparison.study.arms})
    rows = rows.drop(columns="count")
    scale = alt.Scale(type="log", domain=[1e-6, 10], nice=False)
    x = alt.X(field="low", type="quantitative", scale=scale, title=_("Size of a weight, |w|"),
              axis=alt.Axis(grid=False, values=[10.0**k for k in range(-6, 2)], format="~e"))  # fmt: skip
    line = (
        alt.Chart(alt.NamedData("rows"))
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=x,
            y=alt.Y(field="share", type="quantitative", title=_("Share of weights"), axis=alt.Axis(format=".0%", tickCount=4)),
            color=colour(names), strokeDash=dash(names),
            tooltip=[alt.Tooltip(field="label", type="nominal", title=_("Arm")),
                     alt.Tooltip(field="low", type="quantitative", title=_("From |w|"), format=".1e"),
                     alt.Tooltip(field="share", type="quantitative", title=_("Share of weights"), format=".1%")],
        )
    )  # fmt: skip
    rule = alt.Chart(alt.NamedData("threshold")).mark_rule(strokeDash=[4, 4], color="#8A919C").encode(
        x=alt.X(field="low", type="quantitative", scale=scale)
    )  # fmt: skip
    title = _("Layer {number}").format(number=layer + 1)
    medians = {name: _median(histogram[histogram["arm"] == name]) for name in totals.index}
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    subtitle = _("Median |w|: {medians}.").format(
        medians=", ".join(f"{text}: {number(medians[name], 2)}" for name, text in labels.items() if name in medians)
    )
    return Figure(
        to_spec(line, rule, height=190),
        {"rows": rows, "threshold": pd.DataFrame({"low": [threshold]})},
        title,
        subtitle,
        f"{title}: {_('distribution of the size of weights, a line an arm.')} {subtitle}",
        rows[["label", "low", "share"]].rename(
            columns={"label": _("Arm"), "low": _("From |w|"), "share": _("Share of weights")}
        ),
        legend=tuple((name, text) for name, text in labels.items() if name in medians),
    )


def _median(histogram: pd.DataFrame) -> float:
    counts = histogram.groupby("low")["count"].sum().sort_index()
    return float(counts.index[int(np.searchsorted(counts.cumsum(), counts.sum() / 2))])


# -- dropout on the net's own activations ---------------------------------------------------------------


@remembered
def dropout_passes(comparison: Comparison, arm_name: str, column: str) -> Figure:
    """Draw one view of the first hidden layer's outputs: `inference`, a pass in training mode, or their `mean`."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    result = run_of(comparison, arm, "activations")
    assert result is not None
    frame = result.frames["activations"]
    top = float(frame[["inference", "first", "second"]].to_numpy().max())
    rows = frame[["sample", "unit"]].assign(value=frame[column], is_off=(frame[column] == 0) & (frame["inference"] > 0))
    rows = rows.astype({"sample": "int32", "unit": "int32", "value": "float64"})
    x = alt.X(field="unit", type="ordinal", title=_("Hidden unit"), axis=alt.Axis(labels=False, ticks=False))
    y = alt.Y(field="sample", type="ordinal", title=_("Example"), axis=alt.Axis(labels=False, ticks=False))
    base = alt.Chart(alt.NamedData("rows"))
    cell = base.mark_rect(stroke="#8A919C", strokeWidth=0.3).encode(
        x=x, y=y,
        color=alt.Color(field="value", type="quantitative", legend=None, scale=alt.Scale(domain=[0, top], scheme="blues")),
        tooltip=[alt.Tooltip(field="unit", type="ordinal", title=_("Hidden unit")),
                 alt.Tooltip(field="sample", type="ordinal", title=_("Example")),
                 alt.Tooltip(field="value", type="quantitative", title=_("Output"), format=".3f")],
    )  # fmt: skip
    cross = base.transform_filter("datum.is_off").mark_text(text="×", fontSize=11, color="#B2182B").encode(x=x, y=y)
    active = frame["inference"] > 0
    ratio = frame.loc[active & (frame[column] > 0), column] / frame.loc[active & (frame[column] > 0), "inference"]
    off = float((active & (frame[column] == 0)).sum() / max(int(active.sum()), 1))
    titles = {
        "inference": _("Inference: every output, as it is"),
        "first": _("Training, one step"),
        "second": _("Training, the next step"),
        "mean": _("Mean of 400 training passes"),
    }
    words = {
        "inference": _("dropout is the identity here"),
        "mean": _("on average {ratio} times the output of inference").format(ratio=number(float(ratio.mean()))),
    }.get(column) or _("{off} of the active outputs set to zero (×), the others times {ratio}").format(
        off=percent(off), ratio=number(float(ratio.mean()))
    )
    return Figure(
        to_spec(cell, cross, height=150),
        {"rows": rows},
        titles[column],
        words,
        f"{titles[column]}: {words}.",
        rows[["sample", "unit", "value"]].rename(
            columns={"sample": _("Example"), "unit": _("Hidden unit"), "value": _("Output")}
        ),
    )
