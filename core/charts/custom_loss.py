"""Draw what is particular to losses: fits to data of one input, and the shape of a loss; imports no Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import TYPE_SIZE, colour, dash
from core.comparison import Comparison, label
from core.datasets import Kind
from core.i18n import N_, _, listing, number, percent, plain
from core.statistics import paired_interval
from core.study import BASELINE

FIT_HEIGHT = 320
REGULARIZED = "regularized"
REFERENCES = {
    "ols": N_("Least squares (OLS)"),
    "huber": N_("Huber regression"),
    "median": N_("Median regression"),
}
REFERENCE_NAMES = tuple(REFERENCES)


def fit_rows(comparison: Comparison, frame: str = "fit") -> pd.DataFrame:
    """Average fits over seeds on one grid.

    Returns:
        One row a line and place: `arm`, `x`, `mean`, `low`, `high` (range over seeds). For the frame
        `reference_fits` lines are the methods.
    """
    lines: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for arm, _seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is None or frame not in result.frames or result.info.status == "diverged":
            continue
        own = result.frames[frame]
        for name, part in own.groupby("method") if "method" in own else [(arm.name, own)]:
            lines.setdefault(str(name), []).append((part["x"].to_numpy(float), part["prediction"].to_numpy(float)))
    if not lines:
        return pd.DataFrame(columns=["arm", "x", "mean", "low", "high"])
    ends = [(x[0], x[-1]) for fits in lines.values() for x, _y in fits]
    grid = np.linspace(max(low for low, _ in ends), min(high for _, high in ends), 121)
    parts = []
    for name, fits in lines.items():
        values = np.array([np.interp(grid, x, y) for x, y in fits])
        parts.append(
            pd.DataFrame({"arm": name, "x": grid, "mean": values.mean(0), "low": values.min(0), "high": values.max(0)})
        )
    return pd.concat(parts, ignore_index=True)


def _points(comparison: Comparison) -> pd.DataFrame:
    for seed in comparison.study.seeds:
        result = comparison.results.get(comparison.study.runs[BASELINE, seed].digest)
        if result is not None and "points" in result.frames:
            return result.frames["points"]
    return pd.DataFrame({"x": [], "y": []})


def fit_axes(comparison: Comparison) -> tuple[float, float]:
    """Choose a range of targets that shows every fit and most points; far outliers are marked at the edge."""
    drawn, points = fit_rows(comparison), _points(comparison)
    if not len(drawn):
        return -1.0, 1.0
    middle = points["y"].quantile([0.05, 0.8]).tolist() if len(points) else []
    low = min([drawn["mean"].quantile(0.001), *middle])
    high = max([drawn["mean"].quantile(0.999), *middle])
    margin = 0.2 * max(high - low, 1e-6)
    return float(low - margin), float(high + margin)


@remembered
def fits(comparison: Comparison, names: Sequence[str]) -> Figure:
    """Draw the net of every arm over the training points of the first seed; lines are means over seeds."""
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    rows = fit_rows(comparison)
    rows = rows.assign(label=rows["arm"].map(labels))
    off = _mean_offsets(comparison)
    parts = [f"{labels[name]} {number(value)}" for name, value in off.items()]
    if off and max(off.values()) > 2 * min(off.values()):
        worst, best = max(off, key=lambda k: off[k]), min(off, key=lambda k: off[k])
        title = _("{worst} is off by {high} on average, {best} by {low}.").format(
            worst=labels[worst], high=number(off[worst]), best=labels[best], low=number(off[best])
        )
    else:
        title = _("All losses draw nearly the same line.")
    return _fit_figure(
        comparison, rows, names, labels, title,
        _("Training points of the first seed, and the nets' predictions: mean over seeds, band from lowest to highest.")
        + " " + _("Triangles at the edge: training points beyond it. All in standard deviations."),
        _("Mean error on validation, without its sign: {parts}.").format(parts=listing(parts)) if parts else "",
    )  # fmt: skip


def _mean_offsets(comparison: Comparison) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for arm, _seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is not None and "scores" in result.frames:
            scores = result.frames["scores"].set_index("measure")["value"]
            if "abs_bias" in scores:  # a diverged run has none
                found.setdefault(arm.name, []).append(float(scores["abs_bias"]))
    return {name: float(np.mean(values)) for name, values in found.items()}


@remembered
def reference_fits(comparison: Comparison) -> Figure:
    """Draw scikit-learn's least squares, Huber and median regressions on the same points."""
    labels = {name: _(text) for name, text in REFERENCES.items()}
    rows = fit_rows(comparison, "reference_fits")
    rows = rows.assign(label=rows["arm"].map(labels))
    scores = reference_scores(comparison)
    mse = scores[scores["measure"] == "mse"].groupby("method")["value"].mean()
    if mse["ols"] > 2 * mse["huber"]:
        title = _("Linear regression knows the same remedy: squared error {ols} with OLS, {huber} with Huber.").format(
            ols=number(mse["ols"]), huber=number(mse["huber"])
        )
    else:
        title = _("Linear regressions agree here too: squared error {ols} with OLS, {huber} with Huber.").format(
            ols=number(mse["ols"]), huber=number(mse["huber"])
        )
    return _fit_figure(
        comparison, rows, REFERENCE_NAMES, labels, title,
        _("scikit-learn's regressions on a polynomial of the input, the same training points; mean over seeds."),
        "",
    )  # fmt: skip


def reference_scores(comparison: Comparison) -> pd.DataFrame:
    """Gather the references' scores: `method`, `measure`, `value`, `seed`."""
    parts = []
    for seed in comparison.study.seeds:
        result = comparison.results.get(comparison.study.runs[BASELINE, seed].digest)
        if result is not None and "reference_scores" in result.frames:
            parts.append(result.frames["reference_scores"].assign(seed=seed))
    return (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["method", "measure", "value", "seed"])
    )


def _fit_figure(
    comparison: Comparison,
    rows: pd.DataFrame,
    names: Sequence[str],
    labels: dict[str, str],
    title: str,
    subtitle: str,
    numbers: str,
) -> Figure:
    low, high = fit_axes(comparison)
    points = _points(comparison)
    inside = points[(points["y"] >= low) & (points["y"] <= high)].reset_index(drop=True)
    beyond = points[(points["y"] < low) | (points["y"] > high)]
    above = beyond["y"].to_numpy() > high
    edge = pd.DataFrame(
        {
            "x": beyond["x"].to_numpy(),
            "y": np.where(above, high, low),
            "angle": np.where(above, 0, 180),
            "value": beyond["y"].to_numpy(),
        }
    )
    x = alt.X(
        field="x", type="quantitative", title=_("Input (standardized)"), scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False),
    )  # fmt: skip
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", scale=scale, title=_("Target (standardized)"))

    dots = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(filled=True, size=14, opacity=0.45, color="#8A919C")
        .encode(x=x, y=y("y"))
    )
    far = (
        alt.Chart(alt.NamedData("edge"))
        .mark_point(filled=True, shape="triangle", size=40, opacity=0.8, color="#8A919C")
        .encode(
            x=x, y=y("y"),
            angle=alt.Angle(field="angle", type="quantitative", scale=None),
            tooltip=[alt.Tooltip(field="value", type="quantitative", title=_("Target"), format=".2f")],
        )
    )  # fmt: skip
    base = alt.Chart(alt.NamedData("lines"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="x", type="quantitative", title="x", format=".2f"),
        alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
    ]
    band = base.mark_area(opacity=0.12, clip=True).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2.2, clip=True).encode(
        x=x, y=y("mean"), color=colour(names), strokeDash=dash(names), tooltip=tooltip
    )
    return Figure(
        to_spec(dots, far, band, line, height=FIT_HEIGHT),
        {"points": inside, "edge": edge, "lines": rows},
        title,
        subtitle,
        f"{title} {subtitle} {numbers}".strip(),
        rows[["label", "x", "mean", "low", "high"]].rename(
            columns={
                "label": _("Arm"), "x": "x", "mean": _("Mean"), "low": _("Lowest seed"), "high": _("Highest seed"),
            }
        ),
        legend=tuple((name, text) for name, text in labels.items() if name in set(rows["arm"])),
    )  # fmt: skip


def shape(frame: pd.DataFrame, column: str, kind: Kind, labels: dict[str, str], names: Sequence[str]) -> Figure:
    """Draw losses, or their slopes, along the residual or the probability of the true class.

    Args:
        frame: Rows of `core.losses.health.shape`, whose `name` is an arm's.
        column: `loss` or `slope`.
        kind: Names the horizontal axis.
        labels: Each line in the viewer's words.
        names: All arms, for colours and dashes.
    """
    rows = frame.rename(columns={"name": "arm"})
    rows = rows[np.isfinite(rows[column])].assign(label=rows["arm"].map(labels)).reset_index(drop=True)
    is_regression = kind == "regression"
    x_title = _("Residual, prediction − truth") if is_regression else _("Probability of the true class")
    slope_title = _("Gradient by the prediction") if is_regression else _("Gradient by the logit")
    y_title = _("Loss") if column == "loss" else slope_title
    extent = rows[column].quantile([0.02, 0.98]).tolist() if len(rows) else [0.0, 1.0]
    tallest = max(abs(value) for value in extent) or 1.0
    domain = [min(0.0, extent[0]) - 0.05 * tallest, max(0.0, extent[1]) + 0.05 * tallest]
    x = alt.X(field="x", type="quantitative", title=x_title, scale=alt.Scale(nice=False, zero=False))
    y = alt.Y(field=column, type="quantitative", title=y_title, scale=alt.Scale(domain=domain, nice=False))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Loss")),
        alt.Tooltip(field="x", type="quantitative", title=x_title, format=".2f"),
        alt.Tooltip(field=column, type="quantitative", title=y_title, format=".3f"),
    ]
    line = (
        alt.Chart(alt.NamedData("lines"))
        .mark_line(strokeWidth=2.2, clip=True)
        .encode(x=x, y=y, color=colour(names), strokeDash=dash(names), tooltip=tooltip)
    )
    near, far = (1.0, float(rows["x"].max())) if is_regression else (0.9, 0.1)
    title = _shape_title(rows, column, labels, near, far, is_regression)
    return Figure(
        to_spec(line, height=260),
        {"lines": rows},
        title,
        _("Target 0, standardized.") if is_regression else _("Two classes, a point of the frequent one."),
        title,
        rows[["label", "x", column]].rename(columns={"label": _("Loss"), "x": x_title, column: y_title}),
        legend=tuple((name, labels[name]) for name in dict.fromkeys(rows["arm"])),
    )


def _shape_title(
    rows: pd.DataFrame, column: str, labels: dict[str, str], near: float, far: float, is_regression: bool
) -> str:
    parts = []
    for name, own in rows.groupby("arm", sort=False):
        one, other = (float(np.interp(place, own["x"], own[column])) for place in (near, far))
        parts.append((labels[str(name)], one, other))
    if column == "loss":
        said = [f"{text} {number(other)}" for text, _one, other in parts]
        if is_regression:
            return _("A residual of {far} costs: {parts}.").format(far=plain(far), parts=listing(said))
        return _("Giving the truth a probability of {far} costs: {parts}.").format(far=plain(far), parts=listing(said))
    said = [f"{text} ×{number(abs(other / one)) if one else '∞'}" for text, one, other in parts]
    if is_regression:
        return _("How much harder a residual of {far} pulls than one of {near}: {parts}.").format(
            far=plain(far), near=plain(near), parts=listing(said)
        )
    return _("How much harder a probability of {far} pulls than one of {near}: {parts}.").format(
        far=plain(far), near=plain(near), parts=listing(said)
    )


def pairs(plain: Comparison, regularized: Comparison, names: Sequence[str], remedy: str) -> Figure:
    """Draw every loss without and with a regularizer, paired over seeds.

    Args:
        plain: The main study; its arms are the losses.
        regularized: The second study, in which the baseline's loss with the regularizer is the last arm.
        names: All arms, for colours.
        remedy: The regularizer in the viewer's words.
    """
    rows: list[dict[str, Any]] = []
    for arm in plain.study.arms:
        partner = REGULARIZED if arm.name == BASELINE else arm.name
        differences, ends = [], []
        for seed in plain.study.seeds:
            one = plain.results.get(plain.study.runs[arm.name, seed].digest)
            other = regularized.results.get(regularized.study.runs[partner, seed].digest)
            if one is None or other is None or "diverged" in (one.info.status, other.info.status):
                continue
            values = [float(run.curves["validation_loss"].iloc[-1]) for run in (one, other)]
            ends.append(values)
            differences.append(values[1] / values[0] - 1)
        if not ends:
            continue
        interval = paired_interval(differences)
        before, after = np.mean(ends, axis=0)
        rows.append(
            {
                "arm": arm.name, "label": label(arm), "before": float(before), "after": float(after),
                "mean": interval.mean, "low": interval.low, "high": interval.high,
                "text": f"{percent(interval.mean, signed=True)} [{percent(interval.low, signed=True)}; {percent(interval.high, signed=True)}]",
                "excludes": interval.excludes_zero,
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    title = _pairs_title(rows, remedy)
    order = [row["label"] for row in rows]
    y = alt.Y(
        field="label", type="nominal", sort=order, title=None, axis=alt.Axis(labelLimit=220, domain=False, ticks=False)
    )
    extent = [*frame["before"], *frame["after"]]
    low, high = min(extent), max(extent)
    is_wide = high > 10 * low > 0
    room = (
        (low / 1.3, high * (high / low) ** 0.45) if is_wide else (low - 0.06 * (high - low), high + 0.5 * (high - low))
    )
    scale = alt.Scale(type="log" if is_wide else "linear", domain=list(room), nice=False, zero=False)

    def x(field: str) -> alt.X:
        return alt.X(field=field, type="quantitative", title=_("Validation data loss"), scale=scale)

    base = alt.Chart(alt.NamedData("rows"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Loss")),
        alt.Tooltip(field="before", type="quantitative", title=_("Without"), format=".4f"),
        alt.Tooltip(field="after", type="quantitative", title=_("With"), format=".4f"),
    ]
    rule = base.mark_rule(strokeWidth=2, opacity=0.6).encode(
        x=x("before"), x2=alt.X2(field="after"), y=y, color=colour(names)
    )
    ring = base.mark_point(size=90, strokeWidth=2, filled=False).encode(
        x=x("before"), y=y, color=colour(names), tooltip=tooltip
    )
    dot = base.mark_point(size=90, filled=True, opacity=1).encode(
        x=x("after"), y=y, color=colour(names), tooltip=tooltip
    )
    text = base.mark_text(align="right", dx=-2, fontSize=TYPE_SIZE).encode(
        x=alt.value(alt.ExprRef("width")), y=y, text=alt.Text(field="text", type="nominal"), color=colour(names)
    )
    subtitle = _("Ring: without; dot: with {remedy}. Right: mean paired change and its 95% interval.").format(
        remedy=remedy
    )
    said = "; ".join(f"{row['label']} {number(row['before'])} → {number(row['after'])}, {row['text']}" for row in rows)
    return Figure(
        to_spec(rule, ring, dot, text, height=max(90, 44 * len(rows) + 20)),
        {"rows": frame},
        title,
        subtitle,
        f"{title} {subtitle} {said}.",
        frame[["label", "before", "after", "mean", "low", "high"]].rename(
            columns={
                "label": _("Loss"), "before": _("Without"), "after": _("With"), "mean": _("Mean"), "low": _("Low"),
                "high": _("High"),
            }
        ),
    )  # fmt: skip


def _pairs_title(rows: list[dict], remedy: str) -> str:
    better = [row["label"] for row in rows if row["excludes"] and row["mean"] < 0]
    worse = [row["label"] for row in rows if row["excludes"] and row["mean"] > 0]
    same = [row["label"] for row in rows if not row["excludes"]]
    parts = []
    if not better and not worse:
        return _("{remedy}: no difference is seen with any of the {count} losses.").format(
            remedy=remedy, count=len(same)
        )
    if better:
        parts.append(_("helps {losses}").format(losses=listing(better)))
    if worse:
        parts.append(_("harms {losses}").format(losses=listing(worse)))
    if same:
        parts.append(_("no difference is seen with {losses}").format(losses=listing(same)))
    return f"{remedy}: {'; '.join(parts)}."
