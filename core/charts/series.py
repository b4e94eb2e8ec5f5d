"""Draw a comparison repeated along one setting: strength sweep, learning curve, capacity; frames in, figures out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.figure import Figure, to_spec
from core.charts.style import colour, dash
from core.comparison import GAP, VALIDATION_LOSS, At, Comparison, Measure, inline, label, sentence
from core.experiments import Series
from core.i18n import _, percent, plain

HEIGHT = 280


def rows_along(series: Series, comparisons: Sequence[Comparison], measure: Measure, at: At) -> pd.DataFrame:
    """Summarize a measure at every point that has results.

    Returns:
        One row a point and arm: `x`, `mark` (the point in words), `arm`, `label`, `mean`, `low`, `high`
        (the range over seeds), `seeds`, `collapsed` (seeds no better than the constant answer).
    """
    rows = []
    for index, ((value, _study), comparison) in enumerate(zip(series.points, comparisons, strict=True)):
        outcomes = comparison.outcomes
        if not len(outcomes):
            continue
        outcomes = outcomes[(outcomes["at"] == at) & outcomes["status"].isin(["complete"])]
        for arm in comparison.study.arms:
            own = outcomes[outcomes["arm"] == arm.name]
            if len(own):
                values = own[measure.name]
                rows.append(
                    {
                        "x": float(value),
                        "mark": series.marks[index] if series.marks else plain(value),
                        "arm": arm.name,
                        "label": label(arm),
                        "mean": float(values.mean()),
                        "low": float(values.min()),
                        "high": float(values.max()),
                        "seeds": len(own),
                        "collapsed": int(own["collapsed"].sum()),
                    }
                )
    columns = ["x", "mark", "arm", "label", "mean", "low", "high", "seeds", "collapsed"]
    return pd.DataFrame(rows, columns=columns)


def along(
    series: Series, comparisons: Sequence[Comparison], names: Sequence[str], measure: Measure = VALIDATION_LOSS,
    at: At = "last",
) -> Figure:  # fmt: skip
    """Draw a measure along the series; once where every point is complete, as that no longer changes."""
    if any(not comparison.is_complete for comparison in comparisons):
        return _draw(series, comparisons, names, measure, at)
    key = (series.name, tuple(comparison.study.digest for comparison in comparisons), measure.name, at)
    return comparisons[0].remember(key, lambda: _draw(series, comparisons, names, measure, at))


def _draw(series: Series, comparisons: Sequence[Comparison], names: Sequence[str], measure: Measure, at: At) -> Figure:
    rows = rows_along(series, comparisons, measure, at)
    axis = alt.Axis(grid=False, values=sorted(rows["x"].unique().tolist()), labelOverlap="greedy", format="~g")
    values = [value for value, _study in series.points]
    domain = [min(values) * 0.85, max(values) / 0.85] if series.is_log else [min(values), max(values)]
    x_scale = alt.Scale(type="log" if series.is_log else "linear", domain=domain, nice=False)
    x = alt.X(field="x", type="quantitative", title=_(series.axis), scale=x_scale, axis=axis)
    y_scale = alt.Scale(zero=False, nice=True)
    y_title = sentence(_(measure.label))
    base = alt.Chart(alt.NamedData("rows"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Arm")),
        alt.Tooltip(field="mark", type="nominal", title=_(series.axis)),
        alt.Tooltip(field="mean", type="quantitative", title=_("Mean"), format=".3f"),
        alt.Tooltip(field="low", type="quantitative", title=_("Lowest seed"), format=".3f"),
        alt.Tooltip(field="high", type="quantitative", title=_("Highest seed"), format=".3f"),
        alt.Tooltip(field="seeds", type="quantitative", title=_("Seeds")),
    ]

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", title=y_title, scale=y_scale)

    zone = (
        alt.Chart(alt.NamedData("zone"))
        .mark_rect(opacity=0.12, color="#8A919C")
        .encode(x=alt.X(field="from", type="quantitative", scale=x_scale), x2=alt.X2(field="to"))
    )
    band = base.mark_area(opacity=0.14).encode(x=x, y=y("low"), y2=alt.Y2(field="high"), color=colour(names))
    line = base.mark_line(strokeWidth=2.2).encode(x=x, y=y("mean"), color=colour(names), strokeDash=dash(names))
    point = base.mark_point(filled=True, size=55, opacity=1).encode(
        x=x, y=y("mean"), color=colour(names), tooltip=tooltip
    )
    best = (
        alt.Chart(alt.NamedData("best"))
        .mark_point(shape="diamond", size=260, strokeWidth=2.2, filled=False)
        .encode(x=x, y=y("mean"), color=colour(names))
    )
    lowest = _lowest(rows, comparisons) if measure is VALIDATION_LOSS else rows.head(0)
    title = along_title(series, comparisons, rows, lowest, measure, at)
    subtitle = _("Mean over seeds at each point; band: lowest to highest seed.")
    if len(lowest):
        subtitle += " " + _("Diamond: lowest mean of a treatment.")
    zones = _collapse_zone(rows, domain)
    if len(zones):
        subtitle += " " + _("Shaded: the treatment collapses, its answers no better than a constant.")
    words = {"mark": _(series.axis), "label": _("Arm"), "mean": _("Mean"), "low": _("Lowest seed"),
             "high": _("Highest seed"), "seeds": _("Seeds"), "collapsed": _("Collapsed")}  # fmt: skip
    arms = rows.drop_duplicates("arm")[["arm", "label"]].itertuples(index=False)
    kinds = {comparison.baseline.name for comparison in comparisons}
    return Figure(
        to_spec(zone, band, line, point, best, height=HEIGHT),
        {"rows": rows, "best": lowest.reset_index(drop=True), "zone": zones},
        title,
        subtitle,
        f"{title} {_('Line chart of {measure} against {axis}.').format(measure=_(measure.label), axis=_(series.axis))}",
        rows[list(words)].rename(columns=words),
        legend=tuple((name, text if name in kinds else _kind(series, name, text)) for name, text in arms),
    )


def _kind(series: Series, name: str, text: str) -> str:
    """Name a swept arm without the strength of its first point."""
    return text.rsplit(" ", 1)[0] if name == series.name else text


def _lowest(rows: pd.DataFrame, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Find the treatment's point with the lowest mean, among the points where every seed has ended."""
    baseline = comparisons[0].baseline.name
    seeds = len(comparisons[0].study.seeds)
    treated = rows[(rows["arm"] != baseline) & (rows["seeds"] == seeds)]
    return treated.loc[[treated["mean"].idxmin()]] if len(treated) else treated


def _collapse_zone(rows: pd.DataFrame, domain: Sequence[float]) -> pd.DataFrame:
    """Reach from the first point where most seeds of a treatment collapse to the end of the axis."""
    collapsed = rows[rows["collapsed"] * 2 > rows["seeds"]]
    frame = pd.DataFrame({"from": [], "to": []}, dtype=float)
    if len(collapsed):
        frame = pd.DataFrame({"from": [float(collapsed["x"].min())], "to": [float(domain[1])]})
    return frame


def along_title(
    series: Series,
    comparisons: Sequence[Comparison],
    rows: pd.DataFrame,
    lowest: pd.DataFrame,
    measure: Measure,
    at: At,
) -> str:
    """State where the measure is lowest, and by how much the paired difference there beats the baseline."""
    if measure is GAP:
        return _("The generalization gap")
    if not len(lowest):
        return _("The validation loss")
    best = lowest.iloc[0]
    index = [value for value, _study in series.points].index(best["x"])
    arm = next(arm for arm in comparisons[index].study.arms if arm.name == best["arm"])
    if series.name not in arm.changes:
        return _ends_title(series, comparisons, rows, measure, at)
    effect = comparisons[index].effect(arm, measure, at)
    if effect.shown.n < 2:
        text = _("Validation loss is lowest with {arm}: {difference} to the baseline, one run.")
    elif effect.is_better:
        text = _("Validation loss is lowest with {arm}: {difference} to the baseline there [{low}; {high}].")
    else:
        text = _(
            "No difference seen even at the lowest point, {arm}: {difference} to the baseline there [{low}; {high}]."
        )
    return text.format(
        arm=inline(arm),
        difference=percent(effect.shown.mean, signed=True),
        low=percent(effect.shown.low, signed=True),
        high=percent(effect.shown.high, signed=True),
    )


def _ends_title(series: Series, comparisons: Sequence[Comparison], rows: pd.DataFrame, measure: Measure, at: At) -> str:
    """Name the best treatment at the first and the last point where a pair of runs has ended."""
    parts = []
    for (value, _study), comparison in zip(series.points, comparisons, strict=True):
        effects = [effect for effect in comparison.effects(measure, at) if effect.absolute.n]
        if effects and not comparison.missing:
            mark = rows.loc[rows["x"] == float(value), "mark"].iloc[0]
            parts.append(f"{inline(effects[0].arm)} {percent(effects[0].shown.mean, signed=True)} ({mark})")
    if not parts:
        return _("The validation loss")
    shown = parts[:1] if len(parts) == 1 else [parts[0], parts[-1]]
    return _("Best treatment against the baseline, by {axis}: {parts}.").format(
        axis=_(series.axis).lower(), parts="; ".join(shown)
    )
