"""Draw what is particular to losses: fits to data of one input, and the shape of a loss; imports no Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd

from core.charts import curves
from core.charts.curves import Axes
from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import colour, dash
from core.comparison import Comparison, label
from core.datasets import Kind
from core.i18n import N_, _, listing, number
from core.study import BASELINE

FIT_HEIGHT = 320
REFERENCES = {
    "ols": N_("Least squares (OLS)"),
    "huber": N_("Huber regression"),
    "median": N_("Median regression"),
}
REFERENCE_NAMES = tuple(REFERENCES)


def hero(comparison: Comparison, names: Sequence[str], *, axes: Axes | None, smoothing: float) -> Figure:
    """Draw the yardstick's curves of all arms; the title compares where they end."""
    figure = curves.hero(comparison, names, axes=axes, smoothing=smoothing)
    title = hero_title(comparison)
    return replace(figure, title=title, alt=figure.alt.replace(figure.title, title, 1))


def hero_title(comparison: Comparison) -> str:
    """State what minimizing the baseline's loss leads to, and what the lowest other arm does."""
    rows = comparison.outcomes
    if not len(rows):
        return ""
    baseline = label(comparison.baseline)
    if lost := comparison.seeds_with(comparison.baseline, status="diverged"):
        return _("{arm} diverged in {count} of {seeds} runs.").format(
            arm=baseline, count=lost, seeds=len(comparison.study.seeds)
        )
    last = rows[(rows["at"] == "last") & (rows["status"] != "diverged")]
    ends = last.groupby("arm")["validation_loss"].mean()
    others = ends.drop(BASELINE, errors="ignore")
    if BASELINE not in ends or not len(others):
        return _("{arm} alone so far.").format(arm=baseline)
    lowest = next(arm for arm in comparison.study.arms if arm.name == others.idxmin())
    return _("{baseline} ends at {value}, the lowest of the others, {arm}, at {other}.").format(
        baseline=baseline, value=number(ends[BASELINE]), arm=label(lowest), other=number(others.min())
    )


def has_fits(comparison: Comparison) -> bool:
    """Tell whether some run has kept its fit to data of one input."""
    return any("fit" in result.frames for result in comparison.results.values())


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
        if result is not None and "scores" in result.frames and len(result.frames["scores"]):
            scores = result.frames["scores"].set_index("measure")["value"]
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
        frame: Rows of `core.health.shape`, whose `name` is an arm's.
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
            return _("A residual of {far} costs: {parts}.").format(far=number(far), parts=listing(said))
        return _("Giving the truth a probability of {far} costs: {parts}.").format(far=number(far), parts=listing(said))
    said = [
        _("{name} {times} times").format(name=text, times=number(abs(other / one)) if one else "–")
        for text, one, other in parts
    ]
    if is_regression:
        return _("A residual of {far} pulls as hard as one of {near}: {parts}.").format(
            far=number(far), near=number(near), parts=listing(said)
        )
    return _("A probability of {far} pulls as hard as one of {near}: {parts}.").format(
        far=number(far), near=number(near), parts=listing(said)
    )
