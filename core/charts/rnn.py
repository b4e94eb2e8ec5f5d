"""Draw what only the RNN page shows: loss by seconds and by distance, copying by length, units over a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from core.charts.curves import axes_of, in_unit
from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import colour, dash
from core.comparison import Comparison, inline, label
from core.i18n import _, number, percent
from core.result import RunResult
from core.statistics import paired_interval
from core.study import Arm

HEIGHT = 280


Timed = dict[tuple[Arm, int], RunResult]


def timed_runs(comparison: Comparison) -> Timed:
    """Gather, by arm and seed, the runs that have measured their seconds and have not diverged."""
    found = {(arm, seed): comparison.results.get(spec.digest) for arm, seed, spec in comparison.study}
    return {
        key: result
        for key, result in found.items()
        if result is not None and "clock" in result.frames and result.info.status != "diverged"
    }


def _loss_after(result: RunResult, seconds: float) -> float:
    """Return the validation loss that a run had reached after so many seconds; at its end, that of its last weights."""
    clock, losses = result.frames["clock"]["seconds"], result.curves["validation_loss"]
    if seconds >= clock.iloc[-1]:
        return float(losses.iloc[result.info.final_epoch])
    return float(np.interp(seconds, clock, losses))


@remembered
def seconds(comparison: Comparison, names: Sequence[str]) -> Figure:
    """Draw the validation loss against the seconds spent, a line an arm with `timed_runs`, mean over seeds."""
    timed = timed_runs(comparison)
    frames = []
    for (arm, seed), result in timed.items():
        rows = result.curves[["epoch", "validation_loss"]].assign(arm=arm.name, seed=seed)
        frames.append(rows.assign(seconds=result.frames["clock"]["seconds"].to_numpy(dtype=float)))
    means = pd.concat(frames, ignore_index=True).groupby(["arm", "epoch"], sort=False)
    rows = means.agg(
        loss=("validation_loss", "mean"), seconds=("seconds", "mean"), seeds=("seed", "count")
    ).reset_index()
    rows = rows[rows["seeds"] == rows.groupby("arm")["seeds"].transform("max")].drop(columns="seeds")
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    rows["label"] = rows["arm"].map(labels)
    x = alt.X(
        field="seconds", type="quantitative", title=_("Seconds of training on one worker"), axis=alt.Axis(grid=False)
    )
    axes = axes_of(comparison)
    y = alt.Y(
        field="loss", type="quantitative", title=in_unit(_("Validation data loss"), comparison),
        scale=alt.Scale(domain=[axes.low, axes.high], nice=False),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="epoch", type="quantitative", title=_("Epoch")),
        alt.Tooltip(field="seconds", type="quantitative", title=_("Seconds"), format=".1f"),
        alt.Tooltip(field="loss", type="quantitative", title=_("Mean"), format=".3f"),
    ]
    line = (
        alt.Chart(alt.NamedData("rows"))
        .mark_line(strokeWidth=2.2, clip=True)
        .encode(
            x=x, y=y, color=colour(names), strokeDash=dash(names), order=alt.Order(field="epoch", type="quantitative"),
            tooltip=tooltip,
        )
    )  # fmt: skip
    title = _seconds_title(comparison, timed)
    subtitle = _(
        "Validation data loss against the seconds of training and measuring, mean over seeds; a line ends where its"
        " arm did. Seconds are those of the machine that trained, and other work on it counts too."
    )
    return Figure(
        to_spec(line, height=HEIGHT),
        {"rows": rows},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[["label", "epoch", "seconds", "loss"]].rename(
            columns={"label": _("Arm"), "epoch": _("Epoch"), "seconds": _("Seconds"), "loss": _("Mean")}
        ),
        legend=tuple((arm.name, labels[arm.name]) for arm in comparison.study.arms if arm.name in set(rows["arm"])),
    )


def _seconds_title(comparison: Comparison, timed: Timed) -> str:
    """State which arm is lowest when each has had its baseline's seconds, if an interval bears it out."""
    base = {seed: result for (arm, seed), result in timed.items() if arm is comparison.baseline}
    budgets = {seed: float(result.frames["clock"]["seconds"].iloc[-1]) for seed, result in base.items()}
    found = []
    for arm in comparison.study.treatments:
        shares = [
            _loss_after(timed[arm, seed], budgets[seed]) / _loss_after(own, budgets[seed]) - 1
            for seed, own in base.items()
            if (arm, seed) in timed
        ]
        found.append((paired_interval(shares), arm))
    spent = number(float(np.mean(list(budgets.values()))), 2) if budgets else ""
    lower = [one for one in found if one[0].excludes_zero and one[0].mean < 0]
    if lower:
        interval, arm = min(lower, key=lambda one: one[0].mean)
        return _(
            "In the {seconds} s that the baseline takes, {arm} gets {share} below it (95% interval {low} to {high})."
        ).format(
            seconds=spent, arm=inline(arm), share=percent(-interval.mean), low=percent(-interval.high),
            high=percent(-interval.low),
        )  # fmt: skip
    if any(interval.n > 1 for interval, _arm in found):
        return _("In the {seconds} s that the baseline takes, no arm is seen to get below it.").format(seconds=spent)
    return _("What a second of training buys")


def has_places(comparison: Comparison) -> bool:
    """Tell whether any run has measured the loss by distance."""
    return any("places" in result.frames for result in comparison.results.values())


@remembered
def places(comparison: Comparison, names: Sequence[str]) -> Figure:
    """Draw the validation loss against the distance from a start without context, a line an arm that has `places`."""
    frames = []
    for arm, seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is not None and "places" in result.frames:
            frames.append(result.frames["places"].assign(arm=arm.name, seed=seed))
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    rows = pd.concat(frames, ignore_index=True).groupby(["arm", "place"], sort=False)["loss"].mean().reset_index()
    # Single places differ by chance, as each averages few stretches: each point takes in twice as many as the last.
    rows["bucket"] = 2.0 ** np.ceil(np.log2(rows["place"]))
    rows = rows.groupby(["arm", "bucket"], sort=False)["loss"].mean().reset_index()
    rows["label"] = rows["arm"].map(labels)
    last, window = float(rows["bucket"].max()), comparison.study.base.window  # type: ignore[attr-defined]
    x_scale = alt.Scale(type="log", base=2, domain=[1, max(last, 2.0)], nice=False)
    x = alt.X(
        field="bucket", type="quantitative", title=_("Characters since the start"), scale=x_scale,
        axis=alt.Axis(grid=False, format="d", values=[1, 2, 4, 8, 16, 32, 64, 128]),
    )  # fmt: skip
    y = alt.Y(
        field="loss", type="quantitative", title=in_unit(_("Validation data loss"), comparison),
        scale=alt.Scale(zero=False),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="bucket", type="quantitative", title=_("Characters since the start"), format=".0f"),
        alt.Tooltip(field="loss", type="quantitative", title=_("Mean"), format=".3f"),
    ]
    line = (
        alt.Chart(alt.NamedData("rows"))
        .mark_line(strokeWidth=2.2, point=True)
        .encode(x=x, y=y, color=colour(names), strokeDash=dash(names), tooltip=tooltip)
    )
    rule = (
        alt.Chart(alt.NamedData("window"))
        .mark_rule(strokeDash=[1, 4], color="#8A919C")
        .encode(x=alt.X(field="window", type="quantitative", scale=x_scale))
    )
    title = _places_title(comparison, rows, window)
    subtitle = _(
        "Validation loss by place after an empty state, mean over stretches and seeds, each point over the places since"
        " the one before; the vertical line is the window through which errors were passed back in training."
    )
    return Figure(
        to_spec(rule, line, height=HEIGHT),
        {"rows": rows, "window": pd.DataFrame({"window": [float(window)]})},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[["label", "bucket", "loss"]].rename(
            columns={"label": _("Arm"), "bucket": _("Characters since the start"), "loss": _("Mean")}
        ),
        legend=tuple((arm.name, labels[arm.name]) for arm in comparison.study.arms if arm.name in set(rows["arm"])),
    )


def _places_title(comparison: Comparison, rows: pd.DataFrame, window: int) -> str:
    """State what context brings the baseline, and the arm that it brings most."""
    first = rows.groupby("arm", sort=False)["loss"].first()
    if window == 1:
        return _("Without context there is one loss for all places: {begin} bits.").format(begin=number(first.iloc[0]))
    far = rows[rows["bucket"] >= min(window, rows["bucket"].max())].groupby("arm", sort=False)["loss"].mean()
    gains = (first - far).to_dict()
    own = gains.pop(comparison.baseline.name, None)
    if own is None or not gains:
        return _("What context brings: the loss by distance from the start")
    most = max(gains, key=lambda name: gains[name])
    arm = next(arm for arm in comparison.study.arms if arm.name == most)
    return _(
        "What is read before lowers the loss by {own} bits without regularization, and by {most} with {arm}."
    ).format(own=number(own, 1), most=number(gains[most], 1), arm=inline(arm))


def copying(
    shares: Mapping[Arm, Mapping[str, Sequence[float]]], lengths: Sequence[int], names: Sequence[str]
) -> Figure:
    """Draw which share of the pieces of n characters stands verbatim in a text.

    Args:
        shares: For each arm, by `train` and `control`, one share a length.
        lengths: The lengths n.
        names: All arms of the experiment, for colours and dashes.
    """
    words = {"train": _("training text"), "control": _("control text")}
    rows = pd.DataFrame(
        [
            {"arm": arm.name, "label": label(arm), "source": source, "words": words[source], "n": n, "share": share}
            for arm, own in shares.items()
            for source, values in own.items()
            for n, share in zip(lengths, values, strict=True)
        ]
    )
    x = alt.X(field="n", type="quantitative", title=_("Characters in a piece"), axis=alt.Axis(grid=False, format="d"))
    y = alt.Y(
        field="share", type="quantitative", title=_("Share of pieces that stand there verbatim"),
        scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%"),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="words", type="nominal", title=_("Compared with")),
        alt.Tooltip(field="n", type="quantitative", title=_("Characters in a piece")),
        alt.Tooltip(field="share", type="quantitative", title=_("Share"), format=".1%"),
    ]
    train = (
        alt.Chart(alt.NamedData("train"))
        .mark_line(strokeWidth=2.2)
        .encode(x=x, y=y, color=colour(names), strokeDash=dash(names), tooltip=tooltip)
    )
    control = (
        alt.Chart(alt.NamedData("control"))
        .mark_line(strokeWidth=1, opacity=0.6, point=alt.OverlayMarkDef(size=12))
        .encode(x=x, y=y, color=colour(names), tooltip=tooltip)
    )
    arms = list(shares)
    at = list(lengths).index(8)
    most = max(arms, key=lambda arm: shares[arm]["train"][at])
    own, other = shares[most]["train"][at], shares[most]["control"][at]
    # One text of one net: no arm is called the one that copies most.
    title = _(
        "In these texts up to {share} of the pieces of 8 characters stand in the training text, and {control} of the"
        " same arm's in the control text."
    ).format(share=percent(own), control=percent(other))
    subtitle = _(
        "Heavy lines: against the training text. Thin lines with dots: against text of the same source and, as far as"
        " there is any, the same length, that no net has seen; what is above them was learnt by heart."
    )
    parts = {source: rows[rows["source"] == source].reset_index(drop=True) for source in ("train", "control")}
    return Figure(
        to_spec(control, train, height=HEIGHT),
        parts,
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[["label", "words", "n", "share"]].rename(
            columns={
                "label": _("Arm"), "words": _("Compared with"), "n": _("Characters in a piece"), "share": _("Share"),
            }
        ),
        legend=tuple((arm.name, label(arm)) for arm in arms),
    )  # fmt: skip


def units(
    activations: np.ndarray, text: Sequence[str], chosen: Sequence[int], arm: Arm, follows: str, correlation: float
) -> Figure:
    """Draw the outputs of some units over a text, a row a unit.

    Args:
        activations: Outputs of the last layer, shape (N, H), in [−1, 1].
        text: The N characters read, each as it is shown.
        chosen: The units to draw, in their order from top to bottom.
        arm: Whose net read the text.
        follows: What the first unit follows most, in words.
        correlation: How closely; below zero, it is low where that is high.
    """
    rows = pd.DataFrame(
        {
            "place": np.tile(np.arange(len(text), dtype="int32"), len(chosen)),
            "unit": np.repeat([str(unit) for unit in chosen], len(text)),
            "symbol": np.tile(np.array(text, dtype=object), len(chosen)),
            "value": np.concatenate([activations[:, unit] for unit in chosen]).astype("float32"),
        }
    )
    order = [str(unit) for unit in chosen]
    x = alt.X(
        field="place", type="ordinal", title=_("Character read"),
        axis=alt.Axis(
            labelExpr="substring(datum.label, 0, 0)", ticks=False, domain=False, labels=False
        ),
    )  # fmt: skip
    cell = (
        alt.Chart(alt.NamedData("rows"))
        .mark_rect()
        .encode(
            x=x,
            y=alt.Y(field="unit", type="nominal", sort=order, title=_("Unit")),
            color=alt.Color(
                field="value", type="quantitative", title=_("Output"),
                scale=alt.Scale(scheme="blueorange", domain=[-1, 1]), legend=alt.Legend(orient="bottom"),
            ),
            tooltip=[
                alt.Tooltip(field="symbol", type="nominal", title=_("Character read")),
                alt.Tooltip(field="unit", type="nominal", title=_("Unit")),
                alt.Tooltip(field="value", type="quantitative", title=_("Output"), format=".2f"),
            ],
        )
    )  # fmt: skip
    letters = (
        alt.Chart(alt.NamedData("letters"))
        .mark_text(fontSize=9, dy=-6, font="monospace", color="#8A919C", baseline="bottom")
        .encode(x=x, y=alt.value(0), text=alt.Text(field="symbol", type="nominal"))
    )
    title = _("{arm}: unit {unit} goes most closely with {what} (correlation {value}).").format(
        unit=order[0], arm=label(arm), what=follows, value=number(correlation, 2)
    )
    subtitle = _("Output of single units of the last layer while the net reads; orange is high, blue low.")
    table = rows.pivot(index="place", columns="unit", values="value")[order].reset_index(drop=True)
    table.insert(0, _("Character read"), list(text))
    letters_rows = pd.DataFrame({"place": np.arange(len(text), dtype="int32"), "symbol": list(text)})
    figure = to_spec(cell, letters, height=26 * len(chosen) + 150)
    figure["padding"] = {"left": 4, "top": 22, "right": 4, "bottom": 4}
    return Figure(figure, {"rows": rows, "letters": letters_rows}, title, subtitle, f"{title} {subtitle}", table)
