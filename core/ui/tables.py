"""Draw the table of arms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from core.charts.effects import interval_text
from core.comparison import GAP, VALIDATION_LOSS, VALIDATION_SCORE, At, Comparison, label
from core.i18n import _, number, plain

LARGEST = 1e6  # Streamlit writes larger numbers in its own way


def arm_table(comparison: Comparison, score_label: str, at: At) -> pd.DataFrame:
    """One row an arm, baseline first: measures averaged over seeds, deltas, cost and the curve."""
    outcomes = comparison.outcomes
    rows = []
    for arm in comparison.study.arms:
        own = outcomes[outcomes["arm"] == arm.name]
        if not len(own):
            continue
        now, best = own[own["at"] == at], own[own["at"] == "best"]
        curve = comparison.curves
        curve = curve[curve["arm"] == arm.name].groupby("epoch")["validation_loss"].mean()
        step = max(1, len(curve) // 60)
        is_treatment = arm is not comparison.baseline
        rows.append(
            {
                _("Arm"): label(arm),
                _("Validation loss"): now["validation_loss"].mean(),
                _("± seeds"): now["validation_loss"].std(),
                _("Δ loss [95%]"): interval_text(comparison.effect(arm, VALIDATION_LOSS, at)) if is_treatment else "",
                score_label: now["validation_score"].mean(),
                _("Δ score [95%]"): interval_text(comparison.effect(arm, VALIDATION_SCORE, at)) if is_treatment else "",
                _(GAP.label).capitalize(): now["gap"].mean(),
                _("Best epoch"): best["epoch"].mean(),
                _("Curve"): curve.iloc[::step].tolist(),
                _("Parameters"): int(now["parameters"].iloc[0]),
                _("Seconds a run"): now["seconds"].mean(),
            }
        )
    return pd.DataFrame(rows)


def _formats(frame: pd.DataFrame) -> dict[str, Callable[[float], str]]:
    """Say how each column of numbers is written, in the language of the context."""
    own = {
        _("Best epoch"): lambda epoch: plain(round(epoch)) if math.isfinite(epoch) else "–",
        _("Parameters"): plain,
    }
    numbers = frame.select_dtypes("number").columns
    return {name: own.get(name, number) for name in numbers}


def written_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Write every number of a table of arms as text, as the page does."""
    return frame.assign(**{name: frame[name].map(write) for name, write in _formats(frame).items()})


def draw_arm_table(comparison: Comparison, score_label: str, at: At) -> None:
    """Draw the table of arms with a sparkline of each validation curve."""
    frame = comparison.remember(("arms", at), lambda: arm_table(comparison, score_label, at))
    if not len(frame):
        return
    later = [value for curve in frame[_("Curve")] for value in curve[len(curve) // 20 :] if math.isfinite(value)]
    draw_numbers(
        frame,
        _formats(frame),
        alt=_("Table of arms: validation loss, score, gap, best epoch and cost."),
        column_config={
            _("Validation loss"): st.column_config.Column(
                help=_("Data loss on the validation split, without the penalty, mean over seeds.")
            ),
            _("± seeds"): st.column_config.Column(help=_("Standard deviation over seeds.")),
            _("Δ loss [95%]"): st.column_config.TextColumn(
                help=_("Mean paired difference to the baseline, in % of it, with its 95% interval.")
            ),
            _(GAP.label).capitalize(): st.column_config.Column(
                help=_("Validation minus training data loss, on the same weights.")
            ),
            _("Best epoch"): st.column_config.Column(
                help=_("Epoch of the lowest validation data loss, mean over seeds.")
            ),
            _("Curve"): st.column_config.LineChartColumn(y_min=0.0, y_max=max(later, default=1.0)),
        },
    )


def draw_numbers(
    frame: pd.DataFrame,
    formats: Mapping[str, Callable[[float], str]],
    *,
    alt: str,
    column_config: Mapping[str, Any] | None = None,
) -> None:
    """Draw a table whose columns of numbers are written by `formats` and still sort as numbers."""
    # Streamlit writes what is not there as “None”, whatever the style says: such a column becomes text.
    gappy = [name for name in formats if not frame[name].map(lambda value: abs(value) < LARGEST).all()]
    frame = frame.assign(**{name: frame[name].map(formats[name]) for name in gappy})
    shown = frame.style.format({name: write for name, write in formats.items() if name not in gappy})
    st.dataframe(shown, hide_index=True, width="stretch", alt=alt, column_config=column_config)
