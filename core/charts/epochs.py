"""Draw the metrics over epochs, and the epoch that each would choose; frames in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from core.charts.curves import summarize, thin, ticks
from core.charts.figure import Figure, to_spec
from core.charts.metrics import row_label
from core.charts.style import colour, dash
from core.comparison import Comparison, label
from core.i18n import _, number
from core.metrics import METRICS, Metric
from core.statistics import Interval, paired_interval
from core.study import Arm

HEIGHT = 280


def epoch_scores(comparison: Comparison) -> pd.DataFrame:
    """Return one row an arm, seed and epoch with a column a metric, of the complete runs; `kept` as in the curves."""
    return comparison.remember(("epoch_scores",), lambda: _epoch_scores(comparison))


def _epoch_scores(comparison: Comparison) -> pd.DataFrame:
    frames = []
    for arm, seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is None or result.info.status != "complete" or "scores" not in result.frames:
            continue
        frame = result.frames["scores"].assign(arm=arm.name, seed=seed, kept=False)
        planned, last = getattr(spec, "epochs", result.info.epochs), result.info.epochs
        if last < planned:  # as `Comparison.curves`: a run that ended early keeps the weights it ended with
            tail = frame.iloc[[result.info.final_epoch] * (planned - last)].assign(kept=True)
            frame = pd.concat([frame, tail.assign(epoch=range(last + 1, planned + 1))], ignore_index=True)
        frames.append(frame)
    if not frames:
        return pd.DataFrame(columns=["arm", "seed", "kept", "epoch", *METRICS])
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Choice:
    """The epochs that a metric would choose for an arm, a number a seed, and what choosing by the loss instead costs.

    `cost` is the paired difference of the metric at the epoch of the lowest log loss to that at its own
    best epoch, worse counted negative; never above 0, as the metric is judged where it chose.
    """

    metric: Metric
    epochs: tuple[int, ...]
    cost: Interval


def choices(comparison: Comparison, arm: Arm) -> list[Choice]:
    """Find the best epoch of each seed by each metric; seeds in which it is never defined are left out."""
    scores = epoch_scores(comparison)
    own = scores[(scores["arm"] == arm.name) & ~scores["kept"].astype(bool)]
    chosen: dict[str, list[int]] = {name: [] for name in METRICS}
    costs: dict[str, list[float]] = {name: [] for name in METRICS}
    for _seed, rows in own.groupby("seed"):
        at_loss = int(np.nanargmin(rows["log_loss"])) if rows["log_loss"].notna().any() else None
        for name, metric in METRICS.items():
            values = metric.sign * rows[name].to_numpy(float)
            if np.isnan(values).all():
                continue
            best = int(np.nanargmax(values))
            chosen[name].append(int(rows["epoch"].iloc[best]))
            if at_loss is not None and not np.isnan(values[at_loss]):
                costs[name].append(values[at_loss] - values[best])
    return [Choice(m, tuple(chosen[name]), paired_interval(costs[name])) for name, m in METRICS.items()]


def chosen_epochs(comparison: Comparison, arm: Arm, names: Sequence[str]) -> Figure:
    """Draw the epoch that each metric would choose: a ring a seed, and their median."""
    found = [choice for choice in choices(comparison, arm) if choice.epochs]
    points = pd.DataFrame(
        [{"metric": row_label(c.metric.name), "epoch": e, "arm": arm.name} for c in found for e in c.epochs],
        columns=["metric", "epoch", "arm"],
    )
    medians = pd.DataFrame(
        [
            {
                "metric": row_label(c.metric.name),
                "inline": c.metric.inline,
                "epoch": float(np.median(c.epochs)),
                "low": min(c.epochs),
                "high": max(c.epochs),
                "cost": c.cost.mean,
                "arm": arm.name,
            }
            for c in found
        ],
        columns=["metric", "inline", "epoch", "low", "high", "cost", "arm"],
    )
    order = medians.sort_values("epoch")["metric"].tolist()
    last = max((int(getattr(spec, "epochs", 1)) for spec in comparison.study.runs.values()), default=1)
    x = alt.X(
        field="epoch", type="quantitative", title=_("Best epoch"), scale=alt.Scale(domain=[0, last], nice=False),
        axis=alt.Axis(values=ticks(last)),
    )  # fmt: skip
    y = alt.Y(field="metric", type="nominal", sort=order, title=None,
              axis=alt.Axis(domain=False, ticks=False, labelLimit=190, labelPadding=8, labelFlush=False))  # fmt: skip
    ring = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(size=40, strokeWidth=1.3, opacity=0.7, filled=False)
        .encode(x=x, y=y, color=colour(names))
    )
    middle = (
        alt.Chart(alt.NamedData("medians"))
        .mark_point(shape="diamond", filled=True, size=130, opacity=1)
        .encode(
            x=x, y=y, color=colour(names),
            tooltip=[
                alt.Tooltip(field="metric", type="nominal", title=_("Metric")),
                alt.Tooltip(field="epoch", type="quantitative", title=_("Median epoch")),
                alt.Tooltip(field="cost", type="quantitative", title=_("Lost by stopping on log loss"), format=".3f"),
            ],
        )
    )  # fmt: skip
    title = _("No epoch to choose by yet.")
    if len(medians):
        first, final = medians.loc[medians["epoch"].idxmin()], medians.loc[medians["epoch"].idxmax()]
        title = _("{arm}: by {first} epoch {early} would be best, by {last} epoch {late}.").format(
            arm=label(arm), first=first["inline"], early=round(first["epoch"]), last=final["inline"],
            late=round(final["epoch"]),
        )  # fmt: skip
    subtitle = _("Best epoch by each metric on validation: a ring a seed, diamond: the median of the seeds.")
    words = {"metric": _("Metric"), "epoch": _("Median epoch"), "low": _("Earliest"), "high": _("Latest"),
             "cost": _("Lost by stopping on log loss")}  # fmt: skip
    return Figure(
        to_spec(ring, middle, height=26 * max(1, len(order)) + 30),
        {"points": points, "medians": medians},
        title,
        subtitle,
        f"{title} {subtitle}",
        medians[list(words)].rename(columns=words),
    )


def over_epochs(comparison: Comparison, name: str, names: Sequence[str], smoothing: float = 0.0) -> Figure:
    """Draw one metric over epochs: a line an arm, its band over seeds."""
    scores = epoch_scores(comparison)
    metric = METRICS[name]
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    defined = scores[scores[name].notna()]
    lines = summarize(defined, name, smoothing)
    lines = lines.assign(label=lines["arm"].map(labels))
    last = max((int(getattr(spec, "epochs", 1)) for spec in comparison.study.runs.values()), default=1)
    x = alt.X(
        field="epoch", type="quantitative", title=_("Epoch"), scale=alt.Scale(domain=[0, last], nice=False),
        axis=alt.Axis(grid=False, values=ticks(last)),
    )  # fmt: skip

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", title=row_label(name), scale=alt.Scale(zero=False, nice=True))

    base = alt.Chart(alt.NamedData("lines"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="epoch", type="quantitative", title=_("Epoch")),
        alt.Tooltip(field="raw", type="quantitative", title=_("Mean"), format=".3f"),
        alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
        alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
    ]
    band = base.mark_area(opacity=0.12).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2.2).encode(
        x=x, y=y("mean"), color=colour(names), strokeDash=dash(names), tooltip=tooltip
    )
    ends = lines.groupby("arm", sort=False).tail(1)
    parts = [f"{row.label}: {number(float(row.raw))}" for row in ends.itertuples()]
    title = _("{metric} at the end: {parts}.").format(metric=_(metric.label), parts="; ".join(parts))
    subtitle = _("On validation, threshold 0.5; mean over seeds, band: lowest to highest seed. Gaps: undefined.")
    words = {"label": _("Arm"), "epoch": _("Epoch"), "raw": _("Mean"), "low": _("Lowest seed"),
             "high": _("Highest seed"), "seeds": _("Seeds")}  # fmt: skip
    return Figure(
        to_spec(band, line, height=HEIGHT),
        {"lines": thin(lines, last)},
        title,
        subtitle,
        f"{title} {subtitle}",
        lines[list(words)].rename(columns=words),
        legend=tuple(labels.items()),
    )
