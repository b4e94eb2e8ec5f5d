"""Draw what a threshold does: the confusion matrix, ROC, PR and cost curves over seeds; scores in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from core.charts.figure import Figure, to_spec
from core.charts.style import colour, dash
from core.comparison import inline, label
from core.i18n import _, number, percent, plain
from core.metrics.scores import Scores
from core.metrics.thresholds import PER, Band, CostMatrix, cost_band, counts_at, pr_band, roc_band
from core.study import Arm

HEIGHT = 260
INK = "#7A828E"
RIGHT, WRONG = "#255C92", "#934600"  # the cells of a confusion matrix; white text stands out from both


@dataclass(frozen=True)
class Cut:
    """An arm at a threshold: `counts` average the confusion matrices over the seeds."""

    arm: Arm
    threshold: float
    tp: float
    fp: float
    fn: float
    tn: float


def cut(scores: Scores, arm: Arm, threshold: float) -> Cut:
    """Average the confusion matrices of an arm at a threshold over its seeds."""
    own = [counts_at(y, p, np.array([threshold])) for y, p in rows_of(scores, arm)]
    means = (float(np.mean([getattr(c, cell)[0] for c in own])) for cell in ("tp", "fp", "fn", "tn"))
    return Cut(arm, threshold, *means)


def rows_of(scores: Scores, arm: Arm) -> list[tuple[np.ndarray, np.ndarray]]:
    """List labels and probabilities of an arm's runs, a pair a seed."""
    return [rows for (name, _seed), rows in scores.rows.items() if name == arm.name]


def confusion(at: Cut) -> Figure:
    """Draw the confusion matrix in counts, with the share of each true class."""
    positives, negatives = at.tp + at.fn, at.fp + at.tn
    truth = {1: _("truly positive"), 0: _("truly negative")}
    answer = {1: _("called positive"), 0: _("called negative")}
    cells = [
        (1, 1, at.tp, positives, _("found"), RIGHT),
        (1, 0, at.fn, positives, _("missed"), WRONG),
        (0, 1, at.fp, negatives, _("false alarm"), WRONG),
        (0, 0, at.tn, negatives, _("spared"), RIGHT),
    ]
    rows = pd.DataFrame(
        [
            {
                "truth": truth[own],
                "answer": answer[called],
                "count": number(value),
                "words": f"{name} · {percent(value / total) if total else _('undefined')}",
                "shade": shade,
                "ink": "#FFFFFF",
            }
            for own, called, value, total, name, shade in cells
        ]
    )
    x = alt.X(field="answer", type="nominal", sort=list(answer.values()), title=None,
              axis=alt.Axis(orient="top", labelAngle=0, labelFlush=False, domain=False, ticks=False))  # fmt: skip
    y = alt.Y(field="truth", type="nominal", sort=list(truth.values()), title=None,
              axis=alt.Axis(labelFlush=False, domain=False, ticks=False, labelLimit=110))  # fmt: skip
    base = alt.Chart(alt.NamedData("cells"))
    ink = alt.Color(field="ink", type="nominal", scale=None, legend=None)
    cell = base.mark_rect(cornerRadius=4).encode(
        x=x, y=y, color=alt.Color(field="shade", type="nominal", scale=None, legend=None)
    )
    big = base.mark_text(fontSize=22, fontWeight=600, dy=-8).encode(
        x=x, y=y, text=alt.Text(field="count", type="nominal"), color=ink
    )
    small = base.mark_text(fontSize=12, dy=15).encode(x=x, y=y, text=alt.Text(field="words", type="nominal"), color=ink)
    title = _("{arm} at threshold {threshold}: {found} of {positives} positives found, {alarms} false alarms.").format(
        arm=label(at.arm), threshold=plain(at.threshold), found=number(at.tp), positives=number(positives),
        alarms=number(at.fp),
    )  # fmt: skip
    subtitle = _("Validation rows, mean over seeds; per cent of the true class.")
    words = {"truth": _("Truth"), "answer": _("Answer"), "count": _("Count"), "words": _("Share")}
    return Figure(
        to_spec(cell, big, small, height=200),
        {"cells": rows},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[list(words)].rename(columns=words),
    )


def roc(scores: Scores, arms: Sequence[Arm], names: Sequence[str], at: Cut) -> Figure | None:
    """Draw ROC curves with their bands over seeds, and where the threshold stands; None with one class."""
    usable = {arm: [r for r in rows_of(scores, arm) if 0 < r[0].sum() < len(r[0])] for arm in arms}
    if not all(usable.values()):
        return None
    bands = {arm: roc_band(rows) for arm, rows in usable.items()}
    point = at.fp / (at.fp + at.tn), at.tp / (at.tp + at.fn)
    title = _("At {threshold}: {recall} of the positives found, for {alarms} of the negatives called positive.").format(
        threshold=plain(at.threshold), recall=percent(point[1]), alarms=percent(point[0])
    )
    return _curves(bands, names, point, _("False positive rate"), _("Recall"), title, _("ROC curves."), diagonal=True)


def precision_recall(scores: Scores, arms: Sequence[Arm], names: Sequence[str], at: Cut) -> Figure | None:
    """Draw precision over recall with bands over seeds, and where the threshold stands; None without positives."""
    usable = {arm: [r for r in rows_of(scores, arm) if r[0].sum()] for arm in arms}
    if not all(usable.values()):
        return None
    bands = {arm: pr_band(rows) for arm, rows in usable.items()}
    called = at.tp + at.fp
    point = (at.tp / (at.tp + at.fn), at.tp / called) if called else None
    if point:
        title = _("At {threshold}: of {called} called positive, {precision} are.").format(
            threshold=plain(at.threshold), called=number(called), precision=percent(point[1])
        )
    else:
        title = _("At {threshold} nothing is called positive: precision is undefined.").format(
            threshold=plain(at.threshold)
        )
    return _curves(bands, names, point, _("Recall"), _("Precision"), title, _("Precision–recall curves."))


def cost_curves(scores: Scores, arms: Sequence[Arm], names: Sequence[str], at: Cut, costs: CostMatrix) -> Figure:
    """Draw the expected cost over the threshold, with bands over seeds."""
    bands = {arm: cost_band(rows_of(scores, arm), costs) for arm in arms}
    own = bands[at.arm]
    lowest = int(np.argmin(own.mean))
    here = float(np.interp(at.threshold, own.x, own.mean))
    title = _(
        "{arm}: {here} a thousand rows at {threshold}; lowest on average at {best}: {least}."
    ).format(
        arm=label(at.arm), here=number(here), threshold=plain(at.threshold), best=plain(round(float(own.x[lowest]), 2)),
        least=number(float(own.mean[lowest])),
    )  # fmt: skip
    return _curves(
        bands, names, (at.threshold, here), _("Threshold"), _("Expected cost of {rows} rows").format(rows=number(PER, 4)),
        title, _("Expected cost on validation."), free=True,
    )  # fmt: skip


def _curves(
    bands: dict[Arm, Band],
    names: Sequence[str],
    point: tuple[float, float] | None,
    x_title: str,
    y_title: str,
    title: str,
    what: str,
    *,
    diagonal: bool = False,
    free: bool = False,
) -> Figure:
    rows = pd.concat(
        [
            pd.DataFrame({"arm": arm.name, "label": label(arm), "x": b.x, "mean": b.mean, "low": b.low, "high": b.high})
            for arm, b in bands.items()
        ],
        ignore_index=True,
    )
    scale = alt.Scale(domain=[0, 1], nice=False)
    y_scale = alt.Scale(zero=True, nice=True) if free else alt.Scale(domain=[0, 1.02], nice=False)
    x = alt.X(field="x", type="quantitative", title=x_title, scale=scale, axis=alt.Axis(grid=False, tickCount=5))

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", title=y_title, scale=y_scale, axis=alt.Axis(tickCount=5))

    base = alt.Chart(alt.NamedData("rows"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="x", type="quantitative", title=x_title, format=".2f"),
        alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
        alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
        alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
    ]
    band = base.mark_area(opacity=0.14).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2.2).encode(
        x=x, y=y("mean"), color=colour(names), strokeDash=dash(names), tooltip=tooltip
    )
    dot = (
        alt.Chart(alt.NamedData("point"))
        .mark_point(shape="diamond", filled=True, size=170, opacity=1, color="#D1495B")
        .encode(x=x, y=y("mean"))
    )
    layers = [band, line, dot]
    datasets = {"rows": rows, "point": pd.DataFrame([point] if point else [], columns=["x", "mean"], dtype=float)}
    if diagonal:
        datasets["chance"] = pd.DataFrame({"x": [0.0, 1.0], "mean": [0.0, 1.0]})
        layers.insert(
            0,
            alt.Chart(alt.NamedData("chance"))
            .mark_line(strokeDash=[2, 3], strokeWidth=1, color=INK)
            .encode(x=x, y=y("mean")),
        )
    subtitle = what + " " + _("Mean over seeds; band: lowest to highest seed. Diamond: the threshold of the slider.")
    words = {"label": _("Arm"), "x": x_title, "mean": _("Mean"), "low": _("Lowest seed"), "high": _("Highest seed")}
    ends = "; ".join(f"{inline(arm)}: {number(float(b.mean[len(b.x) // 2]))}" for arm, b in bands.items())
    middle = _("In the middle of the axis: {values}.").format(values=ends)
    return Figure(
        to_spec(*layers, height=HEIGHT),
        datasets,
        title,
        subtitle,
        f"{title} {subtitle} {middle}",
        rows[list(words)].rename(columns=words),
        legend=tuple((arm.name, label(arm)) for arm in bands),
    )
