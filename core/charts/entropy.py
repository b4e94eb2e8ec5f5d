"""Draw what a net's confidence is worth: reliability, sweeps, histograms; frames in, figures out."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.charts.figure import Figure, remembered, to_spec
from core.charts.series import rows_along
from core.charts.style import colour, dash
from core.comparison import Comparison, Measure, inline, inlined, label, sentence
from core.datasets import find
from core.entropy import entropy_gradient, entropy_of_logits, log_softmax, smoothing_gradient
from core.entropy.calibration import Reliability, bootstrap_band, reliability
from core.entropy.report import ACCURACY, BRIER, ECE, ENTROPY, NLL, NLL_SCALED, Measured
from core.experiments import Series
from core.i18n import _, listing, number, percent
from core.study import BASELINE, Arm

PANEL_HEIGHT = 230
SMALL_HEIGHT = 200
BINS = 10
GREY = "#8A919C"
SHARE = ".0%"


def answers(comparison: Comparison, arm_name: str) -> pd.DataFrame:
    """Return an arm's kept answers, all seeds: `seed`, `row`, `label`, `answer`, `confidence`, `entropy`, `right`."""
    return comparison.remember(("answers", arm_name), lambda: _answers(comparison, arm_name))


def _answers(comparison: Comparison, arm_name: str) -> pd.DataFrame:
    parts = []
    for seed in comparison.study.seeds:
        result = comparison.results.get(comparison.study.runs[arm_name, seed].digest)
        if result is None or "predictions" not in result.frames:
            continue
        frame = result.frames["predictions"].astype({"confidence": float, "entropy": float})
        right = frame["label"] == frame["answer"]
        parts.append(frame.assign(seed=seed, row=np.arange(len(frame)), right=right))
    columns = ["seed", "row", "label", "answer", "confidence", "entropy", "right"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def arms_with_answers(comparison: Comparison) -> list[Arm]:
    """List the arms of which at least one run kept its answers."""
    return [arm for arm in comparison.study.arms if len(answers(comparison, arm.name))]


def _share_axis(title: str, **keywords) -> dict:
    return {"title": title, "axis": alt.Axis(format=SHARE, tickCount=5, **keywords)}


@remembered
def reliability_panel(comparison: Comparison, arm_name: str, names: Sequence[str]) -> Figure:
    """Draw one arm's share of right answers against its confidence, with counts and a bootstrap band a bin."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    rows = answers(comparison, arm_name)
    confidence, right = rows["confidence"].to_numpy(float), rows["right"].to_numpy(bool)
    bins = reliability(confidence, right, BINS)
    low, high = bootstrap_band(confidence, right, BINS)
    frame = pd.DataFrame(
        {
            "arm": arm_name, "from": bins.edges[:-1], "to": bins.edges[1:], "count": bins.count,
            "share": bins.count / max(len(rows), 1), "confidence": bins.confidence, "accuracy": bins.accuracy,
            "low": low, "high": high,
        }
    )  # fmt: skip
    frame = frame[frame["count"] > 0].reset_index(drop=True)
    scale = alt.Scale(domain=[0, 1], nice=False)
    x_title, y_title = _("Confidence"), _("Right answers")
    tooltip = [
        alt.Tooltip(field="confidence", type="quantitative", title=_("Mean confidence"), format=SHARE),
        alt.Tooltip(field="accuracy", type="quantitative", title=y_title, format=SHARE),
        alt.Tooltip(field="low", type="quantitative", title=_("90% from"), format=SHARE),
        alt.Tooltip(field="high", type="quantitative", title=_("90% to"), format=SHARE),
        alt.Tooltip(field="count", type="quantitative", title=_("Answers")),
    ]
    x = alt.X(field="confidence", type="quantitative", scale=scale, **_share_axis(x_title, grid=False))
    y_axis = _share_axis(y_title)

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", scale=scale, **y_axis)

    base = alt.Chart(alt.NamedData("bins"))
    bars = base.mark_bar(opacity=0.22, color=GREY).encode(
        x=alt.X(field="from", type="quantitative", scale=scale, **_share_axis(x_title, grid=False)),
        x2=alt.X2(field="to"), y=y("share"), y2=alt.Y2(datum=0), tooltip=tooltip,
    )  # fmt: skip
    diagonal = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(color=GREY, strokeDash=[4, 4], strokeWidth=1.2)
        .encode(x=alt.X(field="x", type="quantitative", scale=scale), y=y("x"))
    )
    band = base.mark_rule(strokeWidth=3, opacity=0.4).encode(
        x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names)
    )
    line = base.mark_line(strokeWidth=1.8).encode(x=x, y=y("accuracy"), color=colour(names), strokeDash=dash(names))
    dot = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=x, y=y("accuracy"), color=colour(names), tooltip=tooltip
    )
    words = reliability_words(bins)
    columns = {
        "from": _("Confidence from"), "to": _("Confidence to"), "count": _("Answers"),
        "confidence": _("Mean confidence"), "accuracy": y_title, "low": _("90% from"), "high": _("90% to"),
    }  # fmt: skip
    return Figure(
        to_spec(bars, diagonal, band, line, dot, height=PANEL_HEIGHT),
        {"bins": frame, "diagonal": pd.DataFrame({"x": [0.0, 1.0]})},
        label(arm),
        words,
        f"{label(arm)}: {words}",
        frame[list(columns)].rename(columns=columns),
    )


def reliability_words(bins: Reliability) -> str:
    """Say how sure the answers are, how many are right, and which of the two is more."""
    total = max(int(bins.count.sum()), 1)
    filled = bins.count > 0
    sure = float((bins.confidence[filled] * bins.count[filled]).sum() / total)
    right = float((bins.accuracy[filled] * bins.count[filled]).sum() / total)
    values = {"sure": percent(sure), "right": percent(right), "difference": number(abs(100 * (sure - right)), 2)}
    if sure - right > 0.01:
        return _("{sure} sure on average, {right} right: too sure by {difference} points.").format(**values)
    if right - sure > 0.01:
        return _("{sure} sure on average, {right} right: too unsure by {difference} points.").format(**values)
    return _("{sure} sure on average, {right} right.").format(**values)


def reliability_title(seen: Measured) -> str:
    """State which arm's confidence is worth most and which least, by the calibration error."""
    arms = [arm for arm in seen.study.arms if not math.isnan(seen.mean(arm.name, "ece"))]
    if len(arms) < 2:
        return _("Is a net that is 90% sure right in 90%?")
    order = sorted(arms, key=lambda arm: seen.mean(arm.name, "ece"))
    return _(
        "Is a net that is 90% sure right in 90%? Calibration error from {low} ({best}) to {high} ({worst})."
    ).format(
        low=number(seen.mean(order[0].name, "ece"), 2),
        best=inline(order[0]),
        high=number(seen.mean(order[-1].name, "ece"), 2),
        worst=inline(order[-1]),
    )


def entropy_title(seen: Measured) -> str:
    """State which arms' answers are more or less uncertain than the baseline's, beyond the interval."""
    effects = [effect for effect in seen.effects(ENTROPY) if effect.absolute.n]
    more = [e.arm for e in effects if e.absolute.low > 0]
    less = [e.arm for e in effects if e.absolute.high < 0]
    parts = []
    if more:
        parts.append(_("More uncertain than the baseline: {arms}.").format(arms=inlined(more)))
    if less:
        parts.append(_("Less uncertain: {arms}.").format(arms=inlined(less)))
    return " ".join(parts) or _("No difference seen.")


# -- along one setting ---------------------------------------------------------------------------------------


def sweep(series: Series, comparisons: Sequence[Measured], names: Sequence[str], measure: Measure) -> Figure:
    """Draw one measure along a series: a line and a band over seeds an arm, the baseline as a rule.

    Drawn once where every point is complete.
    """
    if any(not comparison.is_complete for comparison in comparisons):
        return _sweep(series, comparisons, names, measure)
    key = (series.name, tuple(comparison.study.digest for comparison in comparisons), measure.name)
    return comparisons[0].remember(key, lambda: _sweep(series, comparisons, names, measure))


def _sweep(series: Series, comparisons: Sequence[Measured], names: Sequence[str], measure: Measure) -> Figure:
    rows = rows_along(series, comparisons, measure, "last")
    rows = rows.dropna(subset=["mean"]).reset_index(drop=True)
    values = [value for value, _study in series.points]
    positive = [value for value in values if value > 0]
    domain = [min(positive) * 0.8, max(positive) / 0.8] if series.is_log else [min(values), max(values)]
    x = alt.X(
        field="x", type="quantitative", title=_(series.axis),
        scale=alt.Scale(type="log" if series.is_log else "linear", domain=domain, nice=False),
        axis=alt.Axis(grid=False, values=sorted(rows["x"].unique().tolist()), labelOverlap="greedy", format="~g"),
    )  # fmt: skip
    scale = alt.Scale(zero=measure in (ECE, ENTROPY), nice=True)
    axis = alt.Axis(format=SHARE if measure is ACCURACY else "~g", tickCount=5)
    title = sentence(_(measure.label))

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", title=title, scale=scale, axis=axis)

    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="mark", type="nominal", title=_(series.axis)),
        alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
        alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
        alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
        alt.Tooltip(field="seeds", type="quantitative", title=_("Seeds")),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    band = base.mark_area(opacity=0.14).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2.2).encode(x=x, y=y("mean"), color=colour(names), strokeDash=dash(names))
    dot = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=x, y=y("mean"), color=colour(names), tooltip=tooltip
    )
    words = {"mark": _(series.axis), "label": _("Arm"), "mean": _("Mean"), "low": _("Lowest seed"),
             "high": _("Highest seed"), "seeds": _("Seeds")}  # fmt: skip
    text = sweep_title(rows, measure)
    arms = rows.drop_duplicates("arm")[["arm", "label"]].itertuples(index=False)
    shown = [(name, own if name == BASELINE else own.rsplit(" ", 1)[0]) for name, own in arms]
    return Figure(
        to_spec(band, line, dot, height=SMALL_HEIGHT),
        {"rows": rows},
        text,
        _("Mean over seeds; band: lowest to highest seed."),
        f"{title}. {text}",
        rows[list(words)].rename(columns=words),
        legend=tuple(shown),
    )


def sweep_title(rows: pd.DataFrame, measure: Measure) -> str:
    """State the best point of one swept arm beside the baseline, or where the baseline goes with several arms."""
    name = sentence(_(measure.label))
    treated = rows[rows["arm"] != BASELINE]
    if not len(treated) or BASELINE not in set(rows["arm"]):
        return name
    if treated["arm"].nunique() > 1:
        own = rows[rows["arm"] == BASELINE]
        return _("{measure}: baseline {first} to {last}").format(
            measure=name, first=number(own["mean"].iloc[0]), last=number(own["mean"].iloc[-1])
        )
    baseline = number(rows.loc[rows["arm"] == BASELINE, "mean"].mean())
    if measure is ENTROPY:
        return _("{measure}: {first} to {last} nats, {baseline} without").format(
            measure=name,
            first=number(treated["mean"].iloc[0]),
            last=number(treated["mean"].iloc[-1]),
            baseline=baseline,
        )
    best = treated.loc[treated["mean"].idxmax() if measure.sign > 0 else treated["mean"].idxmin()]
    return _("{measure}: best at {mark}, {value}; {baseline} without").format(
        measure=name, mark=best["mark"], value=number(best["mean"]), baseline=baseline
    )


SWEPT = (NLL, ECE, ACCURACY, BRIER, ENTROPY)


# -- distributions -------------------------------------------------------------------------------------------


@remembered
def histogram_panel(comparison: Comparison, arm_name: str, quantity: str, ceiling: float) -> Figure:
    """Draw how an arm's confidence or entropy is spread: right answers upward, wrong ones downward.

    Args:
        comparison: What is drawn.
        arm_name: Name of the arm.
        quantity: `confidence` or `entropy`.
        ceiling: Highest share of the answers in one bin, for axes that all panels share.
    """
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    rows = answers(comparison, arm_name)
    frame = _spread(comparison, rows, quantity)
    words = {True: _("Right"), False: _("Wrong")}
    frame["kind"] = frame["right"].map(words)
    kinds = list(words.values())
    x_title = _("Confidence") if quantity == "confidence" else _("Entropy (nats)")
    high = float(frame["to"].max())
    scale = alt.Scale(domain=[0, high], nice=False)
    bars = (
        alt.Chart(alt.NamedData("bins"))
        .mark_bar(stroke="#8A919C", strokeWidth=0.3)
        .encode(
            x=alt.X(
                field="from", type="quantitative", title=x_title, scale=scale,
                axis=alt.Axis(format=SHARE if quantity == "confidence" else "~g", tickCount=5, grid=False),
            ),
            x2=alt.X2(field="to"),
            y=alt.Y(
                field="signed", type="quantitative", title=_("Share of answers (root scale)"),
                scale=alt.Scale(type="sqrt", domain=[-ceiling, ceiling], nice=False),
                axis=alt.Axis(values=[-0.5, -0.2, -0.05, 0, 0.05, 0.2, 0.5], labelExpr="format(abs(datum.value), '.0%')"),
            ),
            y2=alt.Y2(datum=0),
            color=alt.Color(
                field="kind", type="nominal", scale=alt.Scale(domain=["", *kinds]),
                legend=alt.Legend(orient="bottom", title=None, values=kinds),
            ),
            tooltip=[
                alt.Tooltip(field="kind", type="nominal", title=_("Answers")),
                alt.Tooltip(field="from", type="quantitative", title=_("From"), format=".2f"),
                alt.Tooltip(field="to", type="quantitative", title=_("To"), format=".2f"),
                alt.Tooltip(field="share", type="quantitative", title=_("Share of answers"), format=".1%"),
            ],
        )
    )  # fmt: skip
    zero = alt.Chart(alt.NamedData("zero")).mark_rule(color=GREY).encode(y=alt.Y(field="value", type="quantitative"))
    text = _spread_words(rows, quantity)
    columns = {"kind": _("Answers"), "from": _("From"), "to": _("To"), "share": _("Share of answers")}
    return Figure(
        to_spec(bars, zero, height=SMALL_HEIGHT + 60),
        {"bins": frame, "zero": pd.DataFrame({"value": [0.0]})},
        label(arm),
        text,
        f"{label(arm)}: {text}",
        frame[list(columns)].rename(columns=columns),
    )  # fmt: skip


def _spread(comparison: Comparison, rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    classes = find(comparison.study.base.dataset).classes  # type: ignore[attr-defined]
    edges = np.linspace(0, 1 if quantity == "confidence" else math.log(classes), 21)
    parts = []
    for right, sign in ((True, 1), (False, -1)):
        counts, _edges = np.histogram(rows.loc[rows["right"].astype(bool) == right, quantity], edges)
        share = counts / max(len(rows), 1)
        parts.append(
            pd.DataFrame({"right": right, "from": edges[:-1], "to": edges[1:], "share": share, "signed": sign * share})
        )
    return pd.concat(parts, ignore_index=True)


def histogram_ceiling(comparison: Comparison, quantity: str) -> float:
    """Return the highest share of one bin over all arms."""
    arms = arms_with_answers(comparison)
    return (
        max(float(_spread(comparison, answers(comparison, arm.name), quantity)["share"].max()) for arm in arms) * 1.05
    )


def _spread_words(rows: pd.DataFrame, quantity: str) -> str:
    right = rows["right"].astype(bool)
    good, bad = rows.loc[right, quantity].mean(), rows.loc[~right, quantity].mean()
    if quantity == "confidence":
        return _("{right} sure on average where right, {wrong} where wrong.").format(
            right=percent(float(good)), wrong=percent(float(bad))
        )
    return _("Mean entropy {right} nats where right, {wrong} where wrong.").format(
        right=number(float(good)), wrong=number(float(bad))
    )


def histogram_title(comparison: Comparison) -> str:
    """State how sure the baseline's wrong answers are, and the arm whose wrong answers are least sure."""
    arms = arms_with_answers(comparison)

    def sure(arm) -> float:
        rows = answers(comparison, arm.name)
        return float(rows.loc[~rows["right"].astype(bool), "confidence"].mean())

    least = min(arms[1:], key=sure, default=None)
    if not arms or arms[0].name != BASELINE or least is None or math.isnan(sure(least)):
        return _("How sure is the net, and when is it wrong?")
    return _("Where it is wrong, the baseline is {own} sure on average, {arm} {other}.").format(
        own=percent(sure(arms[0])), arm=inline(least), other=percent(sure(least))
    )


# -- single examples -----------------------------------------------------------------------------------------

EXAMPLES = 10
IMAGE_SCALE = 6


def images(comparison: Comparison) -> np.ndarray | None:
    """Return the first validation images of the first seed, shape (N, height, width), 0 to 255; None without any."""
    shape = find(comparison.study.base.dataset).shape  # type: ignore[attr-defined]
    result = comparison.results.get(comparison.study.runs[BASELINE, comparison.study.seeds[0]].digest)
    if len(shape) < 2 or result is None or "images" not in result.frames:
        return None
    rows = [np.frombuffer(row, "uint8") for row in result.frames["images"]["pixels"]]
    return np.stack(rows).reshape(-1, *shape)


def data_uri(image: np.ndarray) -> str:
    """Write a grey image as a PNG that a chart can show, dark on light, each pixel a square."""
    from PIL import Image

    large = np.kron(255 - image, np.ones((IMAGE_SCALE, IMAGE_SCALE), "uint8")).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(large, "L").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@remembered
def examples(comparison: Comparison, arm_name: str, names: Sequence[str], order: str) -> Figure | None:
    """Draw validation points of the first seed whose answers differ most between the baseline and an arm.

    Args:
        comparison: What is drawn.
        arm_name: Name of the treatment.
        names: All arms of the experiment, for the colours.
        order: `fell`, where the confidence fell most; `rose`; or `repaired`, `broken`: where a wrong answer became
            right, or a right one wrong, the surest first.

    Returns:
        The figure; None where there is no such point.
    """
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    pixels = images(comparison)
    first = comparison.study.seeds[0]
    mine, own = (
        rows[rows["seed"] == first].reset_index(drop=True)
        for rows in (answers(comparison, arm_name), answers(comparison, BASELINE))
    )
    n = min(len(mine), len(own), len(pixels) if pixels is not None else len(mine))
    mine, own = mine.iloc[:n], own.iloc[:n]
    both = pd.DataFrame(
        {
            "row": own["row"], "label": own["label"], "before": own["confidence"], "after": mine["confidence"],
            "answer_before": own["answer"], "answer_after": mine["answer"],
            "change": mine["confidence"] - own["confidence"],
            "repaired": ~own["right"].astype(bool) & mine["right"].astype(bool),
            "broken": own["right"].astype(bool) & ~mine["right"].astype(bool),
        }
    )  # fmt: skip
    if order in ("repaired", "broken"):
        both = both[both[order]].sort_values("before", ascending=False)
    else:
        both = both.sort_values("change", ascending=order == "fell")
    both = both.head(EXAMPLES).reset_index(drop=True)
    if not len(both):
        return None
    both["place"] = both.index.astype(float)
    both["picture"] = [data_uri(pixels[row]) for row in both["row"]] if pixels is not None else ""
    both["baseline"], both["arm"] = BASELINE, arm_name
    both["text"] = [
        _("label {label}: {before} → {after}").format(label=row.label, before=row.answer_before, after=row.answer_after)
        for row in both.itertuples()
    ]
    both["verdict"] = [f"{row.label}: {row.answer_before}→{row.answer_after}" for row in both.itertuples()]
    x_scale = alt.Scale(domain=[-0.6, EXAMPLES - 0.4], nice=False)
    x = alt.X(field="place", type="quantitative", scale=x_scale, axis=None)
    y_scale = alt.Scale(domain=[-0.42 if pixels is not None else -0.12, 1.02], nice=False)

    def y(field: str) -> alt.Y:
        return alt.Y(
            field=field, type="quantitative", title=_("Confidence"), scale=y_scale,
            axis=alt.Axis(format=SHARE, values=[0, 0.25, 0.5, 0.75, 1]),
        )  # fmt: skip

    tooltip = [
        alt.Tooltip(field="text", type="nominal", title=_("Answer")),
        alt.Tooltip(field="before", type="quantitative", title=_("Baseline"), format=SHARE),
        alt.Tooltip(field="after", type="quantitative", title=label(arm), format=SHARE),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    rule = base.mark_rule(strokeWidth=1.5, color=GREY).encode(x=x, y=y("before"), y2=alt.Y2(field="after"))
    one = base.mark_point(filled=True, size=90, opacity=1, shape="square").encode(
        x=x, y=y("before"), color=colour(names, "baseline"), tooltip=tooltip
    )
    two = base.mark_point(filled=True, size=110, opacity=1, shape="circle").encode(
        x=x, y=y("after"), color=colour(names), tooltip=tooltip
    )
    layers = [rule, one, two]
    if pixels is not None:
        layers.append(
            base.mark_image(width=48, height=48, y=alt.ExprRef("height - 54")).encode(
                x=x, url=alt.Url(field="picture", type="nominal"), tooltip=tooltip
            )
        )
    layers.append(
        base.mark_text(y=alt.ExprRef("height + 6"), fontSize=11, color=GREY, angle=0).encode(
            x=x, text=alt.Text(field="verdict", type="nominal"), tooltip=tooltip
        )
    )
    title = examples_title(comparison, arm_name, order, len(both))
    subtitle = _(
        "Square: baseline; circle: {arm}. Below each: its label, then both answers. Points of the first seed."
    ).format(arm=inline(arm))
    if pixels is not None and n < int((answers(comparison, BASELINE)["seed"] == first).sum()):
        subtitle += " " + _("Drawn are examples among the first {n}, whose images are kept.").format(n=n)
    columns = {
        "row": _("Validation point"), "label": _("Label"), "answer_before": _("Baseline's answer"),
        "before": _("Baseline's confidence"), "answer_after": _("Arm's answer"), "after": _("Arm's confidence"),
    }  # fmt: skip
    shown = both[[*columns, "place", "picture", "baseline", "arm", "text", "verdict"]]
    return Figure(
        to_spec(*layers, height=330 if pixels is not None else 240),
        {"rows": shown},
        title,
        subtitle,
        f"{title} {subtitle} " + "; ".join(both["text"]) + ".",
        both[list(columns)].rename(columns=columns),
    )


def examples_title(comparison: Comparison, arm_name: str, order: str, count: int) -> str:
    """State how many answers an arm repairs and breaks on the first seed, or how its confidence changes."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    first = comparison.study.seeds[0]
    mine, own = (
        rows[rows["seed"] == first].reset_index(drop=True)
        for rows in (answers(comparison, arm_name), answers(comparison, BASELINE))
    )
    before, after = own["right"].astype(bool), mine["right"].astype(bool)
    if order in ("repaired", "broken"):
        return _("Of {n} points, {arm} repairs {repaired} answers and breaks {broken}.").format(
            n=len(own), arm=inline(arm), repaired=int((~before & after).sum()), broken=int((before & ~after).sum())
        )
    change = mine["confidence"] - own["confidence"]
    right, wrong = (number(float(100 * change[part].mean()), 2) for part in (before, ~before))
    return _(
        "With {arm} confidence changes by {right} points where the baseline is right, {wrong} where wrong."
    ).format(arm=inline(arm), right=right, wrong=wrong)


# -- after temperature scaling -------------------------------------------------------------------------------


@remembered
def scaled(seen: Measured, names: Sequence[str], column: str) -> Figure:
    """Draw a measure of every arm before and after temperature scaling: `ece` or `nll`."""
    rows = []
    for arm in seen.study.arms:
        own = seen.measures[seen.measures["arm"] == arm.name]
        if len(own):
            rows.append(
                {
                    "arm": arm.name, "label": label(arm), "before": float(own[column].mean()),
                    "after": float(own[f"{column}_scaled"].mean()), "temperature": float(own["temperature"].mean()),
                    "low": float(own["temperature"].min()), "high": float(own["temperature"].max()),
                }
            )  # fmt: skip
    frame = pd.DataFrame(rows)
    measure = ECE if column == "ece" else NLL
    y = alt.Y(
        field="label", type="nominal", sort=frame["label"].tolist(), title=None,
        axis=alt.Axis(labelLimit=220, domain=False, ticks=False, labelPadding=8),
    )  # fmt: skip
    scale = alt.Scale(zero=True, nice=True)

    def x(field: str) -> alt.X:
        return alt.X(
            field=field, type="quantitative", title=sentence(_(measure.label)), scale=scale, axis=alt.Axis(tickCount=6)
        )

    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="before", type="quantitative", title=_("Before"), format=".3f"),
        alt.Tooltip(field="after", type="quantitative", title=_("After"), format=".3f"),
        alt.Tooltip(field="temperature", type="quantitative", title=_("Temperature"), format=".2f"),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    rule = base.mark_rule(strokeWidth=2).encode(x=x("before"), x2=alt.X2(field="after"), y=y, color=colour(names))
    one = base.mark_point(size=70, strokeWidth=2, filled=False).encode(
        x=x("before"), y=y, color=colour(names), tooltip=tooltip
    )
    two = base.mark_point(size=90, filled=True, opacity=1, shape="diamond").encode(
        x=x("after"), y=y, color=colour(names), tooltip=tooltip
    )
    title = scaled_title(seen, column)
    subtitle = _(
        "Ring: as trained; diamond: after dividing the logits by the temperature that fits the stopping split."
    )
    words = {
        "label": _("Arm"), "before": _("Before"), "after": _("After"), "temperature": _("Temperature"),
        "low": _("Lowest seed"), "high": _("Highest seed"),
    }  # fmt: skip
    return Figure(
        to_spec(rule, one, two, height=max(110, 38 * len(frame) + 20)),
        {"rows": frame},
        title,
        subtitle,
        f"{title} {subtitle}",
        frame[list(words)].rename(columns=words),
    )


def scaled_title(seen: Measured, column: str) -> str:
    """State what the differences become after temperature scaling, with paired intervals for the NLL."""
    if column == "ece":
        arms = [arm.name for arm in seen.study.arms if not math.isnan(seen.mean(arm.name, "ece"))]
        before, after = ([seen.mean(name, c) for name in arms] for c in ("ece", "ece_scaled"))
        return _("Calibration errors from {a} to {b} become {c} to {d}.").format(
            a=number(min(before), 2), b=number(max(before), 2), c=number(min(after), 2), d=number(max(after), 2)
        )
    effects = [seen.effect(arm, NLL_SCALED) for arm in seen.study.treatments if arm.name != "temperature"]
    effects = [effect for effect in effects if effect.absolute.n]
    worse, better = [e.arm for e in effects if e.is_worse], [e.arm for e in effects if e.is_better]
    if effects and effects[0].absolute.n < 2:
        return _("NLL before and after temperature scaling, one run an arm.")
    parts = []
    if worse:
        parts.append(_("Worse than the scaled baseline afterwards: {arms}.").format(arms=inlined(worse)))
    if better:
        parts.append(_("Better even afterwards: {arms}.").format(arms=inlined(better)))
    if not parts:
        parts.append(_("Afterwards no arm differs from the scaled baseline in NLL."))
    return " ".join(parts)


def temperature_words(seen: Measured) -> str:
    """List the arms that were too sure and those that were too unsure, by the sign of T − 1 in every seed."""
    sure: list[tuple[Arm, float]] = []
    unsure: list[tuple[Arm, float]] = []
    neither: list[tuple[Arm, float]] = []
    for arm in seen.study.arms:
        own = seen.measures.loc[seen.measures["arm"] == arm.name, "temperature"].dropna()
        if len(own) and arm.name != "temperature":
            (sure if (own > 1).all() else unsure if (own < 1).all() else neither).append((arm, float(own.mean())))

    def named(arms) -> str:
        return listing(f"{inline(arm)} (T = {number(value)})" for arm, value in arms)

    parts = []
    if sure:
        parts.append(_("Too sure in every seed: {arms}.").format(arms=named(sure)))
    if unsure:
        parts.append(_("Too unsure in every seed: {arms}.").format(arms=named(unsure)))
    if neither:
        parts.append(_("On both sides of T = 1, by seed: {arms}.").format(arms=named(neither)))
    return " ".join(parts)


# -- unfamiliar inputs ---------------------------------------------------------------------------------------


def kinds() -> dict[str, str]:
    """Name the kinds of inputs in the viewer's language."""
    return {
        "familiar": _("Validation points"),
        "rotated": _("Turned by 90°"),
        "shuffled": _("Pixels shuffled"),
        "far": _("Five times as far out"),
        "noise": _("Noise"),
    }


@remembered
def unfamiliar(seen: Measured, names: Sequence[str], what: str) -> Figure:
    """Draw, for each kind of unfamiliar input and arm, the mean confidence or the AUROC of the confidence.

    Args:
        seen: What is drawn.
        names: All arms of the experiment, for the colours.
        what: `confidence` or `auroc`.
    """
    present = [kind for kind in kinds() if f"auroc_{kind}" in seen.measures]
    columns = {kind: f"{what}_{kind}" for kind in present}
    if what == "confidence":
        columns = {"familiar": "confidence", **columns}
    rows = []
    for place, (kind, column) in enumerate(columns.items()):
        for index, arm in enumerate(seen.study.arms):
            own = seen.measures.loc[seen.measures["arm"] == arm.name, column].dropna()
            if len(own):
                rows.append(
                    {
                        "kind": kinds()[kind], "place": place, "arm": arm.name, "label": label(arm), "index": index,
                        "mean": float(own.mean()), "low": float(own.min()), "high": float(own.max()),
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    order = [kinds()[kind] for kind in columns]
    scale = alt.Scale(domain=[0, 1], nice=False)
    title = _("Mean confidence") if what == "confidence" else _("AUROC of the confidence")

    def x(field: str) -> alt.X:
        return alt.X(
            field=field, type="quantitative", title=title, scale=scale,
            axis=alt.Axis(format=SHARE if what == "confidence" else ".1f", tickCount=5),
        )  # fmt: skip

    y = alt.Y(
        field="kind", type="nominal", sort=order, title=None, scale=alt.Scale(paddingInner=0.25),
        axis=alt.Axis(domain=False, ticks=False, labelLimit=170),
    )  # fmt: skip
    offset = alt.YOffset(field="index", type="ordinal")
    tooltip = [
        alt.Tooltip(field="kind", type="nominal", title=_("Inputs")),
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
        alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
        alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    labels = {arm.name: label(arm) for arm in seen.study.arms}
    key = alt.Legend(
        orient="bottom", title=None, columns=1, values=list(labels), labelExpr=f"{json.dumps(labels)}[datum.value]",
        labelLimit=260,
    )  # fmt: skip
    domain = alt.Scale(domain=list(names))
    own_colour = alt.Color(field="arm", type="nominal", scale=domain, legend=key)
    rule = base.mark_rule(strokeWidth=2.5, opacity=0.5).encode(
        x=x("low"), x2=alt.X2(field="high"), y=y, yOffset=offset, color=own_colour
    )
    dot = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=x("mean"), y=y, yOffset=offset, tooltip=tooltip,
        color=own_colour,
        shape=alt.Shape(field="arm", type="nominal", scale=domain, legend=key),
    )  # fmt: skip
    layers = [rule, dot]
    datasets = {"rows": frame}
    if what == "auroc":
        half = alt.Chart(alt.NamedData("half")).mark_rule(strokeDash=[4, 4], color=GREY)
        layers.insert(0, half.encode(x=x("value")))
        datasets["half"] = pd.DataFrame({"value": [0.5]})
    text = unfamiliar_title(seen, present, what)
    subtitle = (
        _("Mean over seeds, bar: lowest to highest seed.")
        if what == "confidence"
        else _("Chance that a validation point gets more confidence than an unfamiliar one; 0.5 tells nothing apart.")
    )
    words = {
        "kind": _("Inputs"),
        "label": _("Arm"),
        "mean": _("Mean"),
        "low": _("Lowest seed"),
        "high": _("Highest seed"),
    }
    return Figure(
        to_spec(*layers, height=max(160, 18 * len(frame) + 40) + 26 * len(labels)),
        datasets,
        text,
        subtitle,
        f"{text} {subtitle}",
        frame[list(words)].rename(columns=words),
    )


def unfamiliar_title(seen: Measured, present: Sequence[str], what: str) -> str:
    """State on which kinds the first treatment's confidence falls, and whether it tells them apart better."""
    arms = [arm for arm in seen.study.treatments if not math.isnan(seen.mean(arm.name, "ece"))]
    if not arms or not present:
        return _("What does the net say of inputs that it has never seen?")
    if what == "confidence":
        own = [seen.mean(BASELINE, f"confidence_{kind}") for kind in present]
        other = [seen.mean(arms[0].name, f"confidence_{kind}") for kind in present]
        return _("Of inputs unlike those of training the baseline is {own} sure, {arm} {other}.").format(
            own=_between(own), arm=inline(arms[0]), other=_between(other)
        )
    better, worse = [], []
    for arm in arms:
        effects = [seen.effect(arm, Measure(f"auroc_{kind}", "", +1)) for kind in present]
        better += [arm] if any(e.is_better for e in effects) and not any(e.is_worse for e in effects) else []
        worse += [arm] if any(e.is_worse for e in effects) and not any(e.is_better for e in effects) else []
    parts = []
    if better:
        parts.append(_("Tells at least one kind apart better than the baseline, and none worse: {arms}.").format(arms=inlined(better)))  # fmt: skip
    if worse:
        parts.append(_("Worse on at least one kind, better on none: {arms}.").format(arms=inlined(worse)))
    return " ".join(parts) or _("No arm tells unfamiliar inputs apart better than the baseline throughout.")


def _between(shares: Sequence[float]) -> str:
    low, high = percent(min(shares)), percent(max(shares))
    return low if low == high else _("{low} to {high}").format(low=low, high=high)


@remembered
def rotation(seen: Measured, names: Sequence[str], column: str) -> Figure | None:
    """Draw the accuracy or the confidence of every arm against the angle by which the images are turned."""
    parts = []
    for arm, seed, spec in seen.study:
        result = seen.results.get(spec.digest)
        if result is not None and "rotation" in result.frames:
            parts.append(result.frames["rotation"].assign(arm=arm.name, seed=seed))
    if not parts:
        return None
    labels = {arm.name: label(arm) for arm in seen.study.arms}
    groups = pd.concat(parts, ignore_index=True).groupby(["arm", "angle"], sort=False)[column]
    rows = groups.agg(mean="mean", low="min", high="max").reset_index()
    rows["label"] = rows["arm"].map(labels)
    title = _("Mean confidence") if column == "confidence" else _("Right answers")
    x = alt.X(
        field="angle", type="quantitative", title=_("Angle (degrees)"),
        scale=alt.Scale(domain=[0, 180], nice=False), axis=alt.Axis(grid=False, values=[0, 45, 90, 135, 180]),
    )  # fmt: skip
    scale = alt.Scale(domain=[0, 1], nice=False)

    def y(field: str) -> alt.Y:
        return alt.Y(
            field=field, type="quantitative", title=title, scale=scale, axis=alt.Axis(format=SHARE, tickCount=5)
        )

    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="angle", type="quantitative", title=_("Angle (degrees)")),
        alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".1%"),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    band = base.mark_area(opacity=0.1).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2).encode(
        x=x, y=y("mean"), color=colour(names), strokeDash=dash(names), tooltip=tooltip
    )
    own = rows[rows["arm"] == BASELINE].set_index("angle")["mean"]
    pattern = (
        _("Turned by 90° the baseline is still {value} sure.")
        if column == "confidence"
        else _("Turned by 90° the baseline is right in {value}.")
    )
    text = pattern.format(value=percent(float(own[90]))) if 90 in own.index else title
    words = {"label": _("Arm"), "angle": _("Angle (degrees)"), "mean": _("Mean"), "low": _("Lowest seed"), "high": _("Highest seed")}  # fmt: skip
    return Figure(
        to_spec(band, line, height=SMALL_HEIGHT + 40),
        {"rows": rows},
        text,
        _("Validation images turned; mean over seeds, band: lowest to highest seed."),
        f"{text} {title}.",
        rows[list(words)].rename(columns=words),
        legend=tuple(labels.items()),
    )


ALMOST_SURE = 0.999


# -- the shape of the penalty --------------------------------------------------------------------------------


def pull(classes: int, beta: float, epsilon: float, floor: float, names: Sequence[str]) -> Figure:
    """Draw how hard each term pushes the leading logit down, against that logit's lead over all others.

    Args:
        classes: K ≥ 2; all other logits are equal.
        beta, epsilon: Weights of the entropy and of label smoothing.
        floor: Share of ln K below which the hinge form acts.
        names: All arms of the experiment, for the colours.
    """
    lead = np.linspace(-4, 16, 201)
    logits = np.zeros((len(lead), classes))
    logits[:, 0] = lead
    p = np.exp(log_softmax(logits))[:, 0]
    penalized = -beta * entropy_gradient(logits)[:, 0]
    below = entropy_of_logits(logits) < floor * math.log(classes)
    lines = {
        "penalty": (_("Confidence penalty"), penalized),
        "hinge": (_("Confidence penalty with a floor"), np.where(below, penalized, 0.0)),
        "label_smoothing": (_("Label smoothing"), smoothing_gradient(logits, epsilon)[:, 0]),
    }
    rows = pd.concat(
        [
            pd.DataFrame({"arm": name, "label": text, "lead": lead, "p": p, "pull": values})
            for name, (text, values) in lines.items()
        ],
        ignore_index=True,
    )
    x = alt.X(
        field="lead", type="quantitative", title=_("Lead of the first logit over the others"),
        scale=alt.Scale(domain=[-4, 16], nice=False), axis=alt.Axis(grid=False, tickCount=8),
    )  # fmt: skip
    y = alt.Y(
        field="pull", type="quantitative", title=_("Gradient with respect to that logit"), axis=alt.Axis(tickCount=5)
    )
    line = (
        alt.Chart(alt.NamedData("rows"))
        .mark_line(strokeWidth=2.2)
        .encode(
            x=x, y=y, color=colour(names), strokeDash=dash(names),
            tooltip=[
                alt.Tooltip(field="label", type="nominal", title=_("Term")),
                alt.Tooltip(field="lead", type="quantitative", title=_("Lead"), format=".1f"),
                alt.Tooltip(field="p", type="quantitative", title=_("Probability"), format=".4f"),
                alt.Tooltip(field="pull", type="quantitative", title=_("Gradient"), format=".4f"),
            ],
        )
    )  # fmt: skip
    peak, sure = int(penalized.argmax()), int(np.argmax(p > ALMOST_SURE))
    share = float(penalized[sure] / penalized[peak]) if penalized[peak] > 0 else math.nan
    title = _(
        "The penalty pulls hardest at p = {peak} and fades toward certainty: {share} of that at p = {sure}."
    ).format(peak=number(float(p[peak]), 2), share=percent(share), sure=number(float(p[sure]), 4))
    subtitle = _(
        "{classes} classes, all other logits equal. Above zero: the term lowers the leading logit. Label smoothing keeps"
        " pulling, with ε·(1 − 1/K), however sure the answer is."
    ).format(classes=classes)
    words = {"label": _("Term"), "lead": _("Lead"), "p": _("Probability"), "pull": _("Gradient")}
    return Figure(
        to_spec(line, height=280),
        {"rows": rows},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[list(words)].rename(columns=words),
        legend=tuple((name, text) for name, (text, _values) in lines.items()),
    )
