"""Draw what a mean over batches does, and what calibration errors mean; simulations in, figures out."""

from __future__ import annotations

import altair as alt
import pandas as pd

from core.charts.figure import Figure, to_spec
from core.charts.style import colour, dash
from core.i18n import _, number, percent
from core.metrics.batching import DRAWS, ROWS, RULES, batch_errors, calibrated_ece, exact_f1

HEIGHT = 270
NAMES = ("exact", *RULES)  # of the lines, in the order of colours and dashes; the first is the grey of a baseline
SHOWN = 32


def rule_words() -> dict[str, str]:
    """Name the rules for batches in which F1 is 0/0."""
    return {"zero": _("0/0 counts 0"), "one": _("0/0 counts 1"), "skip": _("such batches are skipped")}


def batch_figure(prevalence: float) -> Figure:
    """Draw the relative error of a batch-averaged F1 over the batch size, a line a rule."""
    words = rule_words()
    rows = pd.DataFrame([vars(found) for found in batch_errors(prevalence)])
    rows["label"] = rows["rule"].map(words)
    x = alt.X(
        field="size", type="quantitative", title=_("Rows in a batch"),
        scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(grid=False, values=sorted(rows["size"].unique().tolist()), format="d", labelOverlap="greedy"),
    )  # fmt: skip
    y = alt.Y(field="error", type="quantitative", title=_("Error, in % of the exact F1"), axis=alt.Axis(format="+.0%"))
    base = alt.Chart(alt.NamedData("rows"))
    tooltip = [
        alt.Tooltip(field="label", type="nominal", title=_("Rule")),
        alt.Tooltip(field="size", type="quantitative", title=_("Rows in a batch")),
        alt.Tooltip(field="error", type="quantitative", title=_("Error"), format="+.1%"),
    ]
    zero = alt.Chart(alt.NamedData("zero")).mark_rule(strokeWidth=1.5, color="#8A919C").encode(y=y)
    line = base.mark_line(strokeWidth=2.4).encode(
        x=x, y=y, color=colour(NAMES, "rule"), strokeDash=dash(NAMES, "rule"), tooltip=tooltip
    )
    dot = base.mark_point(filled=True, size=40, opacity=1).encode(
        x=x, y=y, color=colour(NAMES, "rule"), tooltip=tooltip
    )
    at = rows[rows["size"] == SHOWN].set_index("rule")["error"]
    parts = "; ".join(f"{words[rule]}: {percent(float(at[rule]), signed=True)}" for rule in RULES if rule in at)
    title = _("With {share} positives, the mean F1 of batches of {size} is off by: {parts}.").format(
        share=percent(prevalence), size=SHOWN, parts=parts
    )
    subtitle = _(
        "Simulated: {draws} draws of {rows} rows, probabilities that are exactly right; exact F1 {exact}. Not rows of"
        " this page's nets: with these many rows the error is free of luck."
    ).format(draws=DRAWS, rows=number(ROWS, 4), exact=number(exact_f1(prevalence)))
    names = {"label": _("Rule"), "size": _("Rows in a batch"), "error": _("Error"), "low": _("Lowest draw"),
             "high": _("Highest draw")}  # fmt: skip
    return Figure(
        to_spec(zero, line, dot, height=HEIGHT),
        {"rows": rows, "zero": pd.DataFrame({"error": [0.0]})},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows[list(names)].rename(columns=names),
        legend=tuple(words.items()),
    )


def ece_figure(prevalence: float, n: int, measured: float, null: float) -> Figure:
    """Draw the ECE of exactly right probabilities over the number of rows, and the page's own beside its own zero.

    Args:
        prevalence: Share of positives.
        n: Validation rows of the page.
        measured: ECE of the explored arm, mean over seeds.
        null: What it would be if that arm's probabilities were right.
    """
    rows = pd.DataFrame(calibrated_ece(prevalence), columns=["n", "ece"])
    points = pd.DataFrame({"n": [n, n], "ece": [measured, null], "what": [_("measured"), _("if right")]})
    x = alt.X(
        field="n", type="quantitative", title=_("Rows"), scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, values=rows["n"].tolist(), format="~s"),
    )  # fmt: skip
    y = alt.Y(field="ece", type="quantitative", title=_("ECE (15 bins)"), scale=alt.Scale(zero=True))
    line = alt.Chart(alt.NamedData("rows")).mark_line(strokeWidth=2.2, point=True, color="#8A919C").encode(x=x, y=y)
    dot = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(filled=True, size=120, opacity=1)
        .encode(
            x=x, y=y, color=alt.value("#C44E00"),
            shape=alt.Shape(field="what", type="nominal", legend=alt.Legend(title=None, orient="top"),
                            scale=alt.Scale(domain=points["what"].tolist(), range=["diamond", "circle"])),
        )
    )  # fmt: skip
    title = _(
        "Measured ECE: {measured}. The same probabilities, if they were exactly right, would still score {null}."
    ).format(measured=number(measured), null=number(null))
    subtitle = _(
        "Grey: exactly right probabilities, simulated, by the number of rows. ECE is biased upward, the more so the"
        " fewer rows there are; a mean over batches of 32 would be as bad as 32 rows."
    )
    return Figure(
        to_spec(line, dot, height=HEIGHT),
        {"rows": rows, "points": points},
        title,
        subtitle,
        f"{title} {subtitle}",
        rows.rename(columns={"n": _("Rows"), "ece": _("ECE (15 bins)")}),
    )
