"""Draw agents that explore: return and entropy while they learn, and the states that they visit; frames in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import colour, dash
from core.comparison import Comparison, Measure, inline, label
from core.entropy.worlds import FAR, NEAR, SIDE, START, UPDATES, world
from core.i18n import N_, _, number, percent
from core.study import BASELINE

RETURN = Measure("validation_score", N_("expected return"), +1)
HEIGHT = 250
GRID_HEIGHT = 220


@remembered
def learning(comparison: Comparison, names: Sequence[str], column: str) -> Figure | None:
    """Draw the expected return or the policy's entropy over updates: a line an arm, its band over seeds."""
    parts = []
    for arm, seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        if result is not None and "agent" in result.frames:
            parts.append(result.frames["agent"].assign(arm=arm.name, seed=seed))
    if not parts:
        return None
    labels = {arm.name: label(arm) for arm in comparison.study.arms}
    whole = pd.concat(parts, ignore_index=True)
    rows = whole.groupby(["arm", "chunk"], sort=False)[column].agg(mean="mean", low="min", high="max").reset_index()
    rows["updates"] = rows["chunk"] * UPDATES
    rows["label"] = rows["arm"].map(labels)
    y_title = _("Expected return") if column == "expected_return" else _("Entropy of the policy (nats)")
    x = alt.X(field="updates", type="quantitative", title=_("Updates"), axis=alt.Axis(grid=False, tickCount=6))

    def y(field: str) -> alt.Y:
        return alt.Y(
            field=field, type="quantitative", title=y_title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)
        )

    base = alt.Chart(alt.NamedData("rows"))
    band = base.mark_area(opacity=0.12).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2.2).encode(
        x=x, y=y("mean"), color=colour(names), strokeDash=dash(names),
        tooltip=[
            alt.Tooltip(field="label", type="nominal", title=_("Arm")),
            alt.Tooltip(field="updates", type="quantitative", title=_("Updates")),
            alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
            alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
            alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
        ],
    )  # fmt: skip
    ends = rows.groupby("arm", sort=False).tail(1).set_index("arm")["mean"]
    title = _ends_title(comparison, ends, column)
    subtitle = _(
        "Exact for the policy of that moment, without sampling; mean over seeds, band: lowest to highest seed."
    )
    words = {
        "label": _("Arm"), "updates": _("Updates"), "mean": _("Mean"), "low": _("Lowest seed"), "high": _("Highest seed"),
    }  # fmt: skip
    return Figure(
        to_spec(band, line, height=HEIGHT),
        {"rows": rows},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[list(words)].rename(columns=words),
        legend=tuple(labels.items()),
    )


def _ends_title(comparison: Comparison, ends: pd.Series, column: str) -> str:
    if BASELINE not in ends or len(ends) < 2:
        return _("Expected return") if column == "expected_return" else _("Entropy of the policy (nats)")
    if column != "expected_return":
        return _("At the end the policy's entropy is {own} nats without a bonus, up to {most} with one.").format(
            own=number(float(ends[BASELINE]), 2), most=number(float(ends.max()), 2)
        )
    treated = ends.drop(BASELINE)
    arms = {arm.name: arm for arm in comparison.study.arms}
    return _(
        "At the end the agent without a bonus earns {own} an episode; {best} earns {most}, {worst} {least}."
    ).format(
        own=number(float(ends[BASELINE]), 2),
        best=inline(arms[treated.idxmax()]),
        most=number(float(treated.max()), 2),
        worst=inline(arms[treated.idxmin()]),
        least=number(float(treated.min()), 2),
    )


SURE = 0.95


def locked_words(comparison: Comparison) -> str:
    """Count, for each arm, the agents that end nearly sure of an action that is not the best."""
    parts = []
    for arm in comparison.study.arms:
        ends = [
            result.frames["agent"].iloc[-1]
            for seed in comparison.study.seeds
            if (result := comparison.results.get(comparison.study.runs[arm.name, seed].digest)) is not None
            and "agent" in result.frames
        ]
        best = world("bandit").best
        wrong = sum(end["surest_action"] > SURE and end["expected_return"] < SURE * best for end in ends)
        if ends:
            parts.append(_("{arm}: {wrong} of {agents}").format(arm=inline(arm), wrong=int(wrong), agents=len(ends)))
    return _("Agents that end more than {share} sure of an arm that is not the best: {parts}.").format(
        share=percent(SURE), parts="; ".join(parts)
    )


@remembered
def visited(comparison: Comparison, arm_name: str) -> Figure | None:
    """Draw how often one arm's final policies visit each field of the grid in an episode, mean over seeds."""
    arm = next(a for a in comparison.study.arms if a.name == arm_name)
    parts = []
    for seed in comparison.study.seeds:
        result = comparison.results.get(comparison.study.runs[arm_name, seed].digest)
        if result is not None and "visits" in result.frames:
            parts.append(result.frames["visits"].assign(seed=seed))
    if not parts:
        return None
    rows = pd.concat(parts).groupby("state")["visits"].mean().reset_index()
    rows["row"], rows["column"] = rows["state"] // SIDE, rows["state"] % SIDE
    rows["chance"] = rows["visits"].clip(upper=1.0)
    marks = pd.DataFrame(
        [
            {"row": row, "column": column, "text": text}
            for (row, column), text in ((START, _("start")), (NEAR, _("small")), (FAR, _("large")))
        ]
    )
    domain = list(range(SIDE))
    axis = {"axis": None, "scale": alt.Scale(domain=domain, padding=0.06)}
    x = alt.X(field="column", type="ordinal", **axis)
    y = alt.Y(field="row", type="ordinal", **axis)
    fields = (
        alt.Chart(alt.NamedData("rows"))
        .mark_rect(stroke="#8A919C", strokeWidth=0.4, color="#0072B2")
        .encode(
            x=x,
            y=y,
            fillOpacity=alt.FillOpacity(
                field="chance", type="quantitative", scale=alt.Scale(domain=[0, 1], range=[0.02, 0.55]), legend=None
            ),
            tooltip=[alt.Tooltip(field="visits", type="quantitative", title=_("Visits an episode"), format=".2f")],
        )
    )
    text = (
        alt.Chart(alt.NamedData("marks"))
        .mark_text(fontSize=11, fontWeight=700, color="#C44E00")
        .encode(x=x, y=y, text=alt.Text(field="text", type="nominal"))
    )
    near, far = (
        float(rows.loc[rows["state"] == place[0] * SIDE + place[1], "visits"].iloc[0]) for place in (NEAR, FAR)
    )
    seen = int((rows["visits"] > 0.01).sum())
    words = _("Ends at the small reward in {near}, at the large one in {far}; {seen} of {all} fields visited.").format(
        near=percent(near), far=percent(far), seen=seen, all=SIDE * SIDE
    )
    return Figure(
        to_spec(fields, text, height=GRID_HEIGHT),
        {"rows": rows, "marks": marks},
        label(arm),
        words,
        f"{label(arm)}: {words}",
        rows[["row", "column", "visits"]].rename(
            columns={"row": _("Row"), "column": _("Column"), "visits": _("Visits an episode")}
        ),
    )
