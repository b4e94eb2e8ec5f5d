"""Draw paired differences to the baseline as a forest plot; effects in, a figure out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.charts.figure import Figure, remembered, to_spec
from core.charts.style import NARROW, TYPE_SIZE, colour
from core.comparison import VALIDATION_LOSS, At, Comparison, Effect, Measure, inlined, label
from core.i18n import _, number, percent
from core.verdict import cannot_tell


@remembered
def forest(comparison: Comparison, names: Sequence[str], measure: Measure = VALIDATION_LOSS, at: At = "last") -> Figure:
    """Draw a row a treatment: a ring a seed, the mean, its 95 % interval, and the zero line."""
    effects = [effect for effect in comparison.effects(measure, at) if effect.absolute.n]
    if cannot_tell(comparison):
        effects = []  # the baseline learnt nothing: a difference to it says nothing
    seeds, means = [], []
    column = "relative" if measure.is_relative else "absolute"
    for effect in effects:
        name, text = effect.arm.name, label(effect.arm)
        seeds += [{"arm": name, "label": text, "seed": int(s), "value": v}
                  for s, v in zip(effect.by_seed["seed"], effect.by_seed[column], strict=True)]  # fmt: skip
        shown = effect.shown
        means.append(
            {
                "arm": name,
                "label": text,
                "mean": shown.mean,
                "low": shown.low,
                "high": shown.high,
                "text": interval_text(effect),
            }
        )
    points = pd.DataFrame(seeds, columns=["arm", "label", "seed", "value"])
    rows = pd.DataFrame(means, columns=["arm", "label", "mean", "low", "high", "text"])
    extent = [*points["value"], *rows["low"].dropna(), *rows["high"].dropna(), 0.0]
    low, high = min(extent), max(extent)
    pad = 0.06 * max(high - low, 1e-9)
    order = rows["label"].tolist()
    style = ".0%" if measure.is_relative else ".3~f"
    x_title = _("Difference to the baseline, in %") if measure.is_relative else _("Difference to the baseline")
    scale = alt.Scale(
        domainMin=low - pad,
        domainMax=alt.ExprRef(f"width < {NARROW} ? {high + pad} : {high + pad + 0.42 * (high - low + 2 * pad)}"),
        nice=False,
        zero=False,
    )

    def x(field: str) -> alt.X:
        return alt.X(
            field=field, type="quantitative", title=x_title, scale=scale,
            axis=alt.Axis(format=style, tickCount=6, grid=True),
        )  # fmt: skip

    y = alt.Y(
        field="label", type="nominal", sort=order, title=None,
        axis=alt.Axis(labelLimit=220, domain=False, ticks=False, labelPadding=8),
    )  # fmt: skip
    base = alt.Chart(alt.NamedData("means"))
    zero = alt.Chart(alt.NamedData("zero")).mark_rule(strokeWidth=1.5, color="#8A919C").encode(x=x("value"))
    rule = base.mark_rule(strokeWidth=3).encode(x=x("low"), x2=alt.X2(field="high"), y=y, color=colour(names))
    ring = (
        alt.Chart(alt.NamedData("seeds"))
        .mark_point(size=45, strokeWidth=1.4, opacity=0.75, filled=False)
        .encode(
            x=x("value"),
            y=y,
            color=colour(names),
            tooltip=[
                alt.Tooltip(field="label", type="nominal", title=_("Arm")),
                alt.Tooltip(field="seed", type="quantitative", title=_("Seed")),
                alt.Tooltip(field="value", type="quantitative", title=_("Difference"), format=".1%" if measure.is_relative else ".4f"),
            ],
        )
    )  # fmt: skip
    mean = base.mark_point(shape="diamond", filled=True, size=150, opacity=1).encode(
        x=x("mean"), y=y, color=colour(names)
    )
    text = base.mark_text(align="right", dx=-2, fontSize=TYPE_SIZE).encode(
        x=alt.value(alt.ExprRef("width")), y=y, text=alt.Text(field="text", type="nominal"), color=colour(names)
    )
    title = forest_title(effects)
    subtitle = (
        _("Paired differences in {measure}.").format(measure=_(measure.label))
        + " "
        + _("Each ring is one seed paired with its baseline; diamond and bar: mean and 95% interval (Student t).")
        + " "
        + (_("Left of zero is better.") if measure.sign < 0 else _("Right of zero is better."))
    )
    return Figure(
        to_spec(zero, rule, ring, mean, text, height=max(90, 44 * len(rows) + 20)),
        {"means": rows, "seeds": points, "zero": pd.DataFrame({"value": [0.0]})},
        title,
        subtitle,
        f"{title} {subtitle} " + "; ".join(f"{row['label']} {row['text']}" for row in means) + ".",
        pd.DataFrame(
            {
                _("Arm"): order,
                _("Difference"): [_amount(e, e.shown.mean) for e in effects],
                _("95% from"): [_amount(e, e.shown.low) for e in effects],
                _("95% to"): [_amount(e, e.shown.high) for e in effects],
                _("Seeds"): [e.shown.n for e in effects],
            }
        ),
    )


def interval_text(effect: Effect) -> str:
    """Write an effect as its mean with the interval in brackets."""
    shown = effect.shown
    if not shown.n:
        return _("no pair of runs")
    if shown.n < 2:
        return f"{_amount(effect, shown.mean)} ({_('one run')})"
    return f"{_amount(effect, shown.mean)} [{_amount(effect, shown.low)}; {_amount(effect, shown.high)}]"


def _amount(effect: Effect, value: float) -> str:
    if effect.measure.is_relative:
        return percent(value, signed=True)
    return ("+" if value > 0 else "") + number(value)


def forest_title(effects: Sequence[Effect]) -> str:
    """State which intervals lie clear of zero, and on which side."""
    if not effects:
        return _("No pair of runs to compare yet.")
    if all(effect.shown.n < 2 for effect in effects):
        return _("One run each: differences without an interval.")
    better = [e.arm for e in effects if e.is_better]
    worse = [e.arm for e in effects if e.is_worse]
    parts = []
    if better:
        parts.append(_("Better than the baseline beyond the interval: {arms}.").format(arms=inlined(better)))
    if worse:
        parts.append(_("Worse: {arms}.").format(arms=inlined(worse)))
    if len(better) + len(worse) < len(effects):
        same = [e.arm for e in effects if not e.is_significant]
        parts.append(_("No difference seen: {arms}.").format(arms=inlined(same)))
    return " ".join(parts)
