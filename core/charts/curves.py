"""Draw training curves: the arms over epochs, and each arm's two splits; frames in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import NARROW, TYPE_SIZE, colour, dash, spread
from core.comparison import VALIDATION_LOSS, Comparison, label
from core.experiments import experiments
from core.i18n import _, listing, number, percent

HERO_HEIGHT = 340
PANEL_HEIGHT = 190
MAX_POINTS = 250
EXPLODED = 3.0  # times the loss before training: curves above leave the picture, so that the others stay readable
LABEL_ROOM = 1.3  # the axis is this much longer than the data, to leave room for the labels at the ends


@dataclass(frozen=True)
class Axes:
    """Domains of a chart of epochs; fixed while a study runs, so that the chart never jumps."""

    epochs: int
    low: float
    high: float


def summarize(curves: pd.DataFrame, column: str, smoothing: float = 0.0) -> pd.DataFrame:
    """Average `column` over seeds.

    Args:
        curves: Rows of `Comparison.curves`.
        column: A measure's name.
        smoothing: Weight in [0, 1) of the running exponential mean of the `mean` line.

    Returns:
        One row an arm and epoch: `arm`, `epoch`, `raw`, `mean` (smoothed), `low`, `high` (the range
        over seeds), `seeds`. Epochs that not every started seed has reached are left out, and so are
        those where a run has left the finite.
    """
    groups = curves.astype({column: float}).groupby(["arm", "epoch"], sort=False)[column]
    rows = groups.agg(raw="mean", low="min", high="max", seeds="count").reset_index()
    rows = rows[rows["seeds"] == rows.groupby("arm")["seeds"].transform("max")]
    rows = rows[np.isfinite(rows[["raw", "low", "high"]]).all(axis=1)]
    rows = rows.sort_values(["arm", "epoch"], kind="stable")
    rows["mean"] = rows["raw"]
    if smoothing:
        rows["mean"] = rows.groupby("arm")["raw"].transform(lambda s: s.ewm(alpha=1 - smoothing).mean())
    return rows.reset_index(drop=True)


def thin(rows: pd.DataFrame, epochs: int) -> pd.DataFrame:
    """Keep about `MAX_POINTS` evenly spaced epochs of each line, and its last; for drawing only."""
    step = -(-epochs // MAX_POINTS)
    if step <= 1:
        return rows
    return rows[(rows["epoch"] % step == 0) | ~rows.duplicated("arm", keep="last")].reset_index(drop=True)


def axes_of(comparison: Comparison, column: str = "validation_loss") -> Axes:
    """Choose domains that show the end of the curves; a far start may leave the picture."""
    rows = means(comparison, column)
    epochs = max((getattr(spec, "epochs", 1) for spec in comparison.study.runs.values()), default=1)
    later = rows[rows["epoch"] >= 0.04 * epochs]
    later = later if len(later) else rows
    finite = later.replace([float("inf"), float("-inf")], float("nan")).dropna(subset=["low", "high"])
    if not len(finite):
        return Axes(epochs, 0.0, 1.0)
    ceiling = EXPLODED * float(rows.loc[rows["epoch"] == 0, "raw"].max())
    low, high = float(finite["low"].min()), float(finite["high"].quantile(0.995))
    if low < ceiling:  # where every curve has left, the picture follows them
        high = min(high, ceiling)
    margin = 0.06 * max(high - low, 1e-6)
    return Axes(epochs, max(0.0, low - margin) if low >= 0 else low - margin, high + margin)


def means(comparison: Comparison, column: str, smoothing: float = 0.0) -> pd.DataFrame:
    """Average `column` of all arms over seeds, as `summarize` does, once for each comparison; not to be changed."""
    return comparison.remember(("means", column, smoothing), lambda: summarize(comparison.curves, column, smoothing))


@remembered
def hero(
    comparison: Comparison,
    names: Sequence[str],
    *,
    axes: Axes | None = None,
    smoothing: float = 0.0,
    arms: tuple[str, ...] | None = None,
    references: tuple[tuple[str, float], ...] | None = None,
) -> Figure:
    """Draw the validation data loss over epochs: a line an arm, its band over seeds, its best epoch.

    Args:
        comparison: What is drawn.
        names: All arms of the experiment, for colours and dashes.
        axes: Domains; chosen from the data where None.
        smoothing: Weight in [0, 1) of the running mean; the raw line stays, thin.
        arms: Names of the arms to draw; all where None.
        references: Losses of simple answers, with their names, drawn as level lines; none are known yet
            where empty, and there are none on this page where None.
    """
    axes = axes or axes_of(comparison)
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    lines = means(comparison, VALIDATION_LOSS.name, smoothing)
    if arms is not None:
        lines = lines[lines["arm"].isin(arms)].reset_index(drop=True)
    lines = lines.assign(label=lines["arm"].map(labels))
    # Plain indices and one number type: another Arrow schema would draw a live chart anew.
    best = (lines.loc[lines.groupby("arm")["raw"].idxmin()] if len(lines) else lines).reset_index(drop=True)
    ends = lines.groupby("arm").tail(1).reset_index(drop=True)
    room = axes.high - axes.low
    ends["place"] = spread(ends["mean"].tolist(), 0.06 * room, axes.low, axes.high)
    ends["end"] = axes.epochs * 1.015

    x = alt.X(
        field="epoch",
        type="quantitative",
        title=_("Epoch"),
        scale=alt.Scale(
            domainMin=0,
            domainMax=alt.ExprRef(f"width < {NARROW} ? {axes.epochs} : {axes.epochs * LABEL_ROOM}"),
            nice=False,
        ),
        axis=alt.Axis(grid=False, values=ticks(axes.epochs), tickCount=6),
    )
    scale = alt.Scale(domain=[axes.low, axes.high], nice=False, zero=False)
    y_title = in_unit(_("Validation data loss"), comparison)
    y = alt.Y(field="mean", type="quantitative", title=y_title, scale=scale)
    base = alt.Chart(alt.NamedData("lines"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="epoch", type="quantitative", title=_("Epoch")),
        alt.Tooltip(field="raw", type="quantitative", title=_("Mean"), format=".3f"),
        alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
        alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
    ]
    band = base.mark_area(opacity=0.13, clip=True).encode(
        x=x,
        y=alt.Y(field="low", type="quantitative", scale=scale, title=y_title),
        y2=alt.Y2(field="high"),
        color=colour(names),
    )
    raw = base.mark_line(opacity=0.35, strokeWidth=1, clip=True).encode(
        x=x,
        y=alt.Y(field="raw", type="quantitative", scale=scale),
        color=colour(names),
        detail=alt.Detail(field="arm", type="nominal"),
    )
    line = base.mark_line(strokeWidth=2.2, clip=True).encode(
        x=x, y=y, color=colour(names), strokeDash=dash(names), tooltip=tooltip
    )
    dot = (
        alt.Chart(alt.NamedData("best"))
        .mark_point(filled=True, size=70, opacity=1, clip=True)
        .encode(x=x, y=alt.Y(field="raw", type="quantitative", scale=scale), color=colour(names), tooltip=tooltip)
    )
    end = (
        alt.Chart(alt.NamedData("ends"))
        .mark_text(align="left", fontWeight=600, fontSize=TYPE_SIZE)
        .encode(
            x=alt.X(field="end", type="quantitative"),
            y=alt.Y(field="place", type="quantitative", scale=scale),
            text=alt.Text(field="label", type="nominal"),
            color=colour(names),
        )
    )
    layers = [band, raw, line, dot, end] if smoothing else [band, line, dot, end]
    datasets = {"lines": thin(lines, axes.epochs), "best": best, "ends": ends}
    alternative = f"{_('Line chart of validation data loss over epochs, one line an arm.')} {_ends_in_words(ends)}"
    if references is not None:
        layers = [*_reference_lines(scale), *layers]
        values = [value for _name, value in references]
        datasets["references"] = pd.DataFrame(
            {
                "name": pd.Series([name for name, _value in references], dtype="str"),
                "value": pd.Series(values, dtype="float64"),
                "at": pd.Series([0.36 * axes.epochs] * len(values), dtype="float64"),
                "place": pd.Series(_label_places(values, axes), dtype="float64"),
            }
        )
        alternative += "".join(f" {name} {number(value)}." for name, value in references)
    title = hero_title(comparison, is_alone=arms == (comparison.baseline.name,))
    subtitle = _("Mean over seeds; band: lowest to highest seed; dot: lowest point of the mean.")
    return Figure(
        to_spec(*layers, height=HERO_HEIGHT),
        datasets,
        title,
        _("Validation data loss over epochs.") + " " + subtitle,
        f"{title} {alternative}",
        lines[["label", "epoch", "raw", "low", "high", "seeds"]].rename(
            columns={
                "label": _("Arm"), "epoch": _("Epoch"), "raw": _("Mean"), "low": _("Lowest seed"),
                "high": _("Highest seed"), "seeds": _("Seeds"),
            }
        ),
        legend=tuple((arm.name, labels[arm.name]) for arm in comparison.study.arms),
        labels_lines=True,
    )  # fmt: skip


def in_unit(quantity: str, comparison: Comparison) -> str:
    """Name a loss with its unit, where the experiment has one."""
    unit = comparison.study.base.loss_unit
    return f"{quantity} ({_(unit)})" if unit else quantity


def _reference_lines(scale: alt.Scale) -> list[alt.Chart]:
    """Draw level lines with their names; what lies outside the picture is left out."""
    base = alt.Chart(alt.NamedData("references"))
    y = alt.Y(field="value", type="quantitative", scale=scale)
    name = alt.Text(field="name", type="nominal")
    rule = base.mark_rule(strokeDash=[1, 4], strokeWidth=1.3, color="#8A919C", clip=True).encode(y=y)
    text = base.mark_text(align="left", dy=-6, fontSize=11, color="#8A919C", clip=True).encode(
        x=alt.X(field="at", type="quantitative"), y=alt.Y(field="place", type="quantitative", scale=scale), text=name
    )
    return [rule, text]


def _label_places(values: Sequence[float], axes: Axes) -> list[float]:
    """Move the names of the lines in the picture apart; those of others stay outside with them."""
    seen = [value for value in values if axes.low <= value <= axes.high]
    moved = iter(spread(seen, 0.05 * (axes.high - axes.low), axes.low, axes.high))
    return [next(moved) if axes.low <= value <= axes.high else value for value in values]


def ticks(epochs: int) -> list[int]:
    """Choose about six round ticks from 0 to `epochs`."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if epochs / s <= 6 or s == 500)
    return list(range(0, epochs + 1, step))


def hero_title(comparison: Comparison, *, is_alone: bool = False) -> str:
    """State what the curves show: in the experiment's own words, or whether the baseline's loss turns up.

    Args:
        comparison: What is drawn.
        is_alone: Whether the baseline's curve is, before the others join it.
    """
    rows = comparison.outcomes
    if not len(rows):
        return ""
    if own := experiments()[comparison.study.base.experiment].hero_title(comparison, is_alone=is_alone):
        return own
    own = rows[(rows["arm"] == comparison.baseline.name) & (rows["status"] != "diverged")]
    best, last = own[own["at"] == "best"], own[own["at"] == "last"]
    if lost := comparison.seeds_with(comparison.baseline, status="diverged"):
        return _("The baseline diverged in {count} of {seeds} runs.").format(
            count=lost, seeds=len(comparison.study.seeds)
        )
    if not len(own):
        return ""  # a treatment has reported before the baseline
    rise = float(last["validation_loss"].mean() / best["validation_loss"].mean() - 1)
    epoch = round(float(best["epoch"].mean()))
    if rise > 0.05:
        return _(
            "Without regularization, validation loss is best at epoch {epoch} on average and then rises by {rise}."
        ).format(epoch=epoch, rise=percent(rise))
    if not rise:
        return _("Without regularization, validation loss is still falling at the last epoch.")
    return _("Without regularization, validation loss hardly turns up: {rise} above its best at the end.").format(
        rise=percent(rise)
    )


def _ends_in_words(ends: pd.DataFrame) -> str:
    parts = [f"{row.label} {number(row.raw)}" for row in ends.sort_values("raw").itertuples()]
    return _("At the end, from lowest to highest: {parts}.").format(parts=listing(parts)) if parts else ""


@remembered
def panel(comparison: Comparison, arm_name: str, names: Sequence[str], axes: Axes) -> Figure:
    """Draw one arm's training and validation data loss, the gap between them shaded."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    train, validation = (
        rows[rows["arm"] == arm_name].reset_index(drop=True)
        for rows in (means(comparison, "train_loss"), means(comparison, "validation_loss"))
    )
    rows = train[["arm", "epoch"]].assign(train=train["raw"], validation=validation["raw"])
    x = alt.X(
        field="epoch", type="quantitative", title=_("Epoch"),
        scale=alt.Scale(domain=[0, axes.epochs], nice=False), axis=alt.Axis(grid=False, values=ticks(axes.epochs)),
    )  # fmt: skip
    scale = alt.Scale(domain=[axes.low, axes.high], nice=False, zero=False)

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", scale=scale, title=_("Data loss"))

    tooltip = [
        alt.Tooltip(field="epoch", type="quantitative", title=_("Epoch")),
        alt.Tooltip(field="train", type="quantitative", title=_("Training"), format=".3f"),
        alt.Tooltip(field="validation", type="quantitative", title=_("Validation"), format=".3f"),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    gap = base.mark_area(opacity=0.16, clip=True).encode(
        x=x, y=y("train"), y2=alt.Y2(field="validation"), color=colour(names)
    )
    one = base.mark_line(strokeWidth=1.6, strokeDash=[3, 3], clip=True).encode(
        x=x, y=y("train"), color=colour(names), tooltip=tooltip
    )
    two = base.mark_line(strokeWidth=2.2, clip=True).encode(
        x=x, y=y("validation"), color=colour(names), tooltip=tooltip
    )
    words = _gap_in_words(comparison.outcomes[comparison.outcomes["arm"] == arm_name])
    return Figure(
        to_spec(gap, one, two, height=PANEL_HEIGHT),
        {"rows": thin(rows, axes.epochs)},
        label(arm),
        words,
        f"{label(arm)}: {words}.",
        rows[["epoch", "train", "validation"]].rename(
            columns={"epoch": _("Epoch"), "train": _("Training"), "validation": _("Validation")}
        ),
    )


def _gap_in_words(rows: pd.DataFrame) -> str:
    """Quote the gap at the end and at the best epoch, each with its spread over seeds."""
    parts = []
    for at, text in (("last", _("Gap at the end {gap}")), ("best", _("at the best epoch ({epoch}) {gap}"))):
        own = rows[rows["at"] == at]
        gap = number(own["gap"].mean())
        if len(own) > 1:
            gap += f" ± {number(own['gap'].std(), 2)}"
        parts.append(text.format(gap=gap, epoch=round(own["epoch"].mean())))
    return ", ".join(parts)


def panel_axes(comparison: Comparison) -> Axes:
    """Choose one pair of domains for all panels: both splits of every arm fit."""
    validation = axes_of(comparison)
    train = axes_of(comparison, "train_loss")
    return Axes(validation.epochs, 0.0 if train.low >= 0 else train.low, max(validation.high, train.high))


def panels_title(comparison: Comparison) -> str:
    """State how wide the baseline's gap is at the end, and the others'."""
    last = comparison.outcomes
    last = last[(last["at"] == "last") & (last["status"] != "diverged")]
    gaps = last.groupby("arm", sort=False)["gap"].mean()
    if comparison.baseline.name not in gaps or len(gaps) < 2:
        return _("The gap between training and validation")
    own = gaps.pop(comparison.baseline.name)
    if len(gaps) == 1:
        return _("The gap between validation and training loss: {own} without regularization, {other} with it.").format(
            own=number(own), other=number(gaps.iloc[0])
        )
    return _(
        "The gap between validation and training loss: {own} without regularization, {least} to {most} with it."
    ).format(own=number(own), least=number(gaps.min()), most=number(gaps.max()))


def _last(rows: pd.DataFrame) -> str:
    return number(float(rows["raw"].iloc[-1])) if len(rows) else number(float("nan"))


@remembered
def loss_parts(comparison: Comparison, arm_name: str) -> Figure:
    """Draw what one arm minimizes, taken apart: data loss, penalty and their sum, on the training split."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    loss, penalty = (
        rows[rows["arm"] == arm_name].reset_index(drop=True)
        for rows in (means(comparison, "train_loss"), means(comparison, "penalty"))
    )
    objective = loss.assign(raw=loss["raw"] + penalty["raw"])  # the mean of sums is the sum of means
    names = {"train_loss": _("Data loss"), "penalty": _("Penalty"), "objective": _("Objective (sum)")}
    rows = pd.concat(
        [frame[["epoch", "raw"]].assign(part=text, order=i)
         for i, (frame, text) in enumerate(zip((loss, penalty, objective), names.values(), strict=True))],
        ignore_index=True,
    )  # fmt: skip
    epochs = axes_of(comparison).epochs
    later = rows[rows["epoch"] >= 0.02 * epochs]
    highest = float(later["raw"].max()) if len(later) else 0.0
    scale = alt.Scale(domain=[0, highest * 1.05 or 1.0], nice=False)
    parts = list(names.values())
    base = alt.Chart(alt.NamedData("rows"))
    line = base.mark_line(strokeWidth=2.2, clip=True).encode(
        x=alt.X(
            field="epoch", type="quantitative", title=_("Epoch"), scale=alt.Scale(domain=[0, epochs], nice=False),
            axis=alt.Axis(grid=False, values=ticks(epochs)),
        ),
        y=alt.Y(field="raw", type="quantitative", title=_("Loss on the training split"), scale=scale),
        color=alt.Color(field="part", type="nominal", scale=alt.Scale(domain=parts), legend=alt.Legend(orient="bottom", title=None, columns=2)),
        strokeDash=alt.StrokeDash(
            field="part", type="nominal", scale=alt.Scale(domain=parts, range=[[1, 0], [3, 3], [8, 3]]), legend=None
        ),
        tooltip=[
            alt.Tooltip(field="part", type="nominal", title=_("Part")),
            alt.Tooltip(field="epoch", type="quantitative", title=_("Epoch")),
            alt.Tooltip(field="raw", type="quantitative", title=_("Mean"), format=".3f"),
        ],
    )  # fmt: skip
    title = _("{arm}: at the end the data loss is {data} and the penalty {penalty}.").format(
        arm=label(arm), data=_last(loss), penalty=_last(penalty)
    )
    subtitle = _("Training split, inference mode, mean over seeds. Keras reports the sum, as loss and as val_loss.")
    return Figure(
        to_spec(line, height=260),
        {"rows": rows},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[["part", "epoch", "raw"]].rename(columns={"part": _("Part"), "epoch": _("Epoch"), "raw": _("Mean")}),
    )
