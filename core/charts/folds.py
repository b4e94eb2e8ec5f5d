"""Draw cross-validation: the loss on the fold left out against the strength; rows in, a figure out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.figure import Figure, to_spec
from core.charts.style import colour
from core.crossvalidation import CrossValidation
from core.i18n import _, number, plain
from core.study import BASELINE

HEIGHT = 280


def choice(validation: CrossValidation, rows: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Draw a point a strength, its standard error over folds, the range of folds, and the two choices."""
    chosen = validation.choose(rows)
    smallest = min(strength for strength, _fold in validation.runs if strength)
    none_at = smallest / 3 if validation.is_log else 0.0  # zero has no place on a logarithmic axis
    drawn = rows.assign(
        x=rows["strength"].where(rows["strength"] > 0, none_at),
        arm=rows["strength"].map(lambda strength: validation.field if strength else BASELINE),
        top=rows["mean"] + rows["error"].fillna(0.0),
        bottom=rows["mean"] - rows["error"].fillna(0.0),
        words=rows["strength"].map(lambda strength: plain(float(strength)) if strength else _("none")),
    )
    strengths = sorted({strength for strength, _fold in validation.runs if strength})
    scale = (
        alt.Scale(type="log", domain=[none_at * 0.8, strengths[-1] * 1.25], nice=False)
        if validation.is_log
        else alt.Scale(domain=[-0.05, strengths[-1] + 0.05], nice=False)
    )
    axis = alt.Axis(
        grid=False, values=[none_at, *strengths], labelOverlap="greedy", format="~g",
        labelExpr=f"datum.value == {none_at!r} ? '{_('none')}' : datum.label",
    )  # fmt: skip
    x = alt.X(field="x", type="quantitative", title=_(validation.axis), scale=scale, axis=axis)
    y_scale = alt.Scale(zero=False, nice=True)

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", scale=y_scale, title=_("Data loss on the fold left out"))

    base = alt.Chart(alt.NamedData("rows"))
    span = base.mark_rule(strokeWidth=1, opacity=0.45).encode(
        x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names)
    )
    error = base.mark_rule(strokeWidth=4).encode(x=x, y=y("bottom"), y2=alt.Y2(field="top"), color=colour(names))
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, y=y("mean"), color=colour(names),
        tooltip=[alt.Tooltip(field="words", type="nominal", title=_(validation.axis)),
                 alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
                 alt.Tooltip(field="error", type="quantitative", title=_("Standard error"), format=".3f"),
                 alt.Tooltip(field="folds", type="quantitative", title=_("Folds"))],
    )  # fmt: skip
    marked, limit = rows.head(0), rows.head(0)
    if chosen:
        lowest = drawn[drawn["strength"] == chosen[0]].assign(mark="lowest")
        marked = pd.concat([lowest, drawn[drawn["strength"] == chosen[1]].assign(mark="chosen")], ignore_index=True)
        limit = lowest[["top"]].reset_index(drop=True)
    line = alt.Chart(alt.NamedData("limit")).mark_rule(strokeDash=[5, 4], color="#8A919C").encode(y=y("top"))
    choice_mark = (
        alt.Chart(alt.NamedData("marked"))
        .mark_point(size=300, strokeWidth=2.2, filled=False)
        .encode(
            x=x, y=y("mean"), color=colour(names),
            shape=alt.Shape(field="mark", type="nominal", legend=None,
                            scale=alt.Scale(domain=["lowest", "chosen"], range=["diamond", "square"])),
        )
    )  # fmt: skip
    title = _title(validation, rows, chosen)
    subtitle = _("Dot: mean over folds; thick bar: its standard error; thin: lowest to highest fold.")
    if chosen:
        subtitle += " " + _(
            "Diamond: lowest mean. Dashed: one standard error above it. Square: the strongest regularization below that."
        )
    words = "; ".join(
        f"{row.words} {number(row.mean)} ± {number(row.error, 2)}" for row in drawn.itertuples(index=False)
    )
    return Figure(
        to_spec(span, error, point, line, choice_mark, height=HEIGHT),
        {"rows": drawn.reset_index(drop=True), "marked": marked, "limit": limit},
        title,
        subtitle,
        f"{title} {subtitle} {words}.",
        drawn[["words", "mean", "error", "low", "high", "folds"]].rename(
            columns={"words": _(validation.axis), "mean": _("Mean"), "error": _("Standard error"),
                     "low": _("Lowest fold"), "high": _("Highest fold"), "folds": _("Folds")}
        ),
    )  # fmt: skip


def _title(validation: CrossValidation, rows: pd.DataFrame, chosen: tuple[float, float] | None) -> str:
    if chosen is None:
        done, total = int(rows["folds"].sum()), len(validation.runs)
        return _("{done} of {total} folds are done; the choice waits for all.").format(done=done, total=total)
    if not chosen[1]:
        return _("Cross-validation chooses no regularization: no strength is within one standard error of none.")
    if chosen[0] == chosen[1]:
        return _(
            "Cross-validation chooses {strength}: the lowest mean, and nothing stronger comes within one error."
        ).format(strength=plain(chosen[1]))
    return _("Lowest at {lowest}; within one standard error of it, {chosen} regularizes most and is chosen.").format(
        lowest=plain(chosen[0]) if chosen[0] else _("none"), chosen=plain(chosen[1])
    )
