"""Draw the table of arms."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.charts.effects import interval_text
from core.comparison import GAP, VALIDATION_LOSS, VALIDATION_SCORE, At, Comparison, label
from core.i18n import _


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


def draw_arm_table(comparison: Comparison, score_label: str, at: At) -> None:
    """Draw the table of arms with a sparkline of each validation curve."""
    frame = arm_table(comparison, score_label, at)
    if not len(frame):
        return
    ceiling = max((max(curve[len(curve) // 20 :], default=1.0) for curve in frame[_("Curve")]), default=1.0)
    three = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        alt=_("Table of arms: validation loss, score, gap, best epoch and cost."),
        column_config={
            _("Validation loss"): three,
            _("± seeds"): three,
            score_label: three,
            _(GAP.label).capitalize(): three,
            _("Best epoch"): st.column_config.NumberColumn(format="%.0f"),
            _("Curve"): st.column_config.LineChartColumn(y_min=0.0, y_max=float(ceiling)),
            _("Parameters"): st.column_config.NumberColumn(format="localized"),
            _("Seconds a run"): st.column_config.NumberColumn(format="%.2f"),
        },
    )
