"""Draw what the metrics say: deltas of every arm, curves over thresholds and epochs; scores in, figures out."""

from __future__ import annotations

import altair as alt
import pandas as pd

from core.charts.figure import Figure, to_spec
from core.charts.style import NARROW
from core.comparison import inlined, label
from core.i18n import _, number
from core.metrics import METRICS
from core.metrics.scores import Delta, Scores, names_of

ROW = 30
# White text stands out from every shade (contrast above 4.5), on a light page and on a dark one.
BETTER, WORSE = ("#3A77B0", "#255C92", "#0D3B66"), ("#B25A00", "#934600", "#6E3000")
QUIET = "#7A828E"


def heat_map(scores: Scores) -> Figure:
    """Draw a cell a metric and arm: the paired difference, coloured only where its interval excludes zero."""
    labels = {arm.name: label(arm) for arm in scores.arms}
    rows = []
    for (arm, name), delta in scores.deltas.items():
        rows.append(
            {
                "arm": labels[arm],
                "metric": row_label(name),
                "shade": _shade(delta),
                "text": _cell(delta),
                "range": _range(delta),
                "ink": "#FFFFFF" if delta.interval.excludes_zero else QUIET,
                "baseline": number(delta.baseline),
                "mean": number(delta.mean),
                "seeds": delta.interval.n,
                "undefined": delta.undefined,
            }
        )
    frame = pd.DataFrame(rows)
    order = [row_label(name) for name in METRICS]
    x = alt.X(
        field="arm", type="nominal", sort=list(labels.values()), title=None,
        axis=alt.Axis(orient="top", domain=False, ticks=False, labelLimit=220, labelPadding=6, labelFlush=False,
                      labelOverlap=False,
                      labelAngle=alt.ExprRef(f"width < {NARROW} ? -35 : 0"),
                      labelAlign=alt.ExprRef(f"width < {NARROW} ? 'left' : 'center'")),
    )  # fmt: skip
    y = alt.Y(
        field="metric", type="nominal", sort=order, title=None,
        axis=alt.Axis(domain=False, ticks=False, labelLimit=190, labelPadding=8, labelFlush=False),
    )  # fmt: skip
    base = alt.Chart(alt.NamedData("cells"))
    cell = base.mark_rect(cornerRadius=3, stroke=QUIET, strokeOpacity=0.25).encode(
        x=x, y=y, color=alt.Color(field="shade", type="nominal", scale=None, legend=None),
        tooltip=[
            alt.Tooltip(field="arm", type="nominal", title=_("Arm")),
            alt.Tooltip(field="metric", type="nominal", title=_("Metric")),
            alt.Tooltip(field="baseline", type="nominal", title=_("Baseline")),
            alt.Tooltip(field="mean", type="nominal", title=_("With it")),
            alt.Tooltip(field="text", type="nominal", title=_("Difference")),
            alt.Tooltip(field="range", type="nominal", title=_("95% interval")),
            alt.Tooltip(field="undefined", type="quantitative", title=_("Seeds where it is undefined")),
        ],
    )  # fmt: skip
    ink = alt.Color(field="ink", type="nominal", scale=None, legend=None)
    wide = f"width < {NARROW}"
    text = base.mark_text(
        align=alt.ExprRef(f"{wide} ? 'center' : 'right'"), dx=alt.ExprRef(f"{wide} ? 0 : -12"),
        fontSize=alt.ExprRef(f"{wide} ? 10.5 : type_size"), fontWeight=600,
    ).encode(x=x, y=y, text=alt.Text(field="text", type="nominal"), color=ink)  # fmt: skip
    span = base.mark_text(align="left", dx=-4, fontSize=alt.ExprRef(f"{wide} ? 0 : type_size - 1.5")).encode(
        x=x, y=y, text=alt.Text(field="range", type="nominal"), color=ink
    )
    title = heat_title(scores)
    subtitle = _(
        "Paired differences to the baseline with 95% intervals (Student t), threshold 0.5. Coloured: the interval"
        " excludes zero; ▲ better, ▼ worse. ↑ and ↓ at a metric: higher or lower is better."
    )
    seeds = scores.comparison.study.seeds
    words = {"metric": _("Metric"), "arm": _("Arm"), "baseline": _("Baseline"), "mean": _("With it"),
             "text": _("Difference"), "range": _("95% interval"), "seeds": _("Seeds"),
             "undefined": _("Seeds where it is undefined")}  # fmt: skip
    return Figure(
        to_spec(cell, text, span, height=ROW * len(order) + 10),
        {"cells": frame},
        title,
        subtitle,
        f"{title} {_in_words(scores)} " + _("{count} seeds.").format(count=len(seeds)),
        frame[list(words)].rename(columns=words),
    )


def row_label(name: str) -> str:
    """Name a metric with the direction in which it is better."""
    metric = METRICS[name]
    return f"{_(metric.label)} {'↑' if metric.sign > 0 else '↓'}"


def _shade(delta: Delta) -> str:
    if not delta.interval.excludes_zero:
        return "transparent"
    size = abs(delta.interval.mean)
    step = 0 if size < 0.03 else 1 if size < 0.1 else 2
    return (BETTER if delta.is_better else WORSE)[step]


def _cell(delta: Delta) -> str:
    if not delta.interval.n:
        return _("undefined")
    mark = "▲ " if delta.is_better else "▼ " if delta.is_worse else ""
    return mark + _signed(delta.interval.mean)


def _range(delta: Delta) -> str:
    if delta.interval.n < 2:
        return _("one run") if delta.interval.n else ""
    return f"[{_signed(delta.interval.low)}; {_signed(delta.interval.high)}]"


def _signed(value: float) -> str:
    """Write a difference in the few digits that a cell has room for, and none as 0 that is not."""
    text = number(value, 2) if abs(value) >= 0.01 else number(value, 1)
    return ("+" if value > 0 else "") + text


def heat_title(scores: Scores) -> str:
    """State about which arms the metrics contradict each other, or that they do not."""
    disputed = [arm for arm in scores.arms if scores.better(arm) and scores.worse(arm)]
    if disputed:
        return _("Better or worse? That depends on the metric: they disagree about {arms}.").format(
            arms=inlined(disputed)
        )
    if all(d.interval.n < 2 for d in scores.deltas.values()):
        return _("One run each: differences without an interval.")
    if any(d.interval.excludes_zero for d in scores.deltas.values()):
        return _("By no pair of metrics is an arm both better and worse.")
    return _("By no metric is a difference seen.")


def _in_words(scores: Scores) -> str:
    parts = []
    for arm in scores.arms:
        ups, downs = scores.better(arm), scores.worse(arm)
        better = names_of(ups) if ups else _("none")
        worse = names_of(downs) if downs else _("none")
        parts.append(
            _("{arm}: better by {better}; worse by {worse}.").format(arm=label(arm), better=better, worse=worse)
        )
    return " ".join(parts)
