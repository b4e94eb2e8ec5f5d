"""The section that chooses a strength by cross-validation and measures the choice once."""

from __future__ import annotations

import streamlit as st

from core.charts import folds as folds_chart
from core.crossvalidation import final_test
from core.datasets import find
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.i18n import _, number, percent, plain
from core.ui import figures, training
from core.ui.services import services
from core.ui.view import View
from core.work import MAX_MULTIPLICATIONS


def cross_validation(view: View) -> None:
    """Offer the folds of every strength, draw them, name the choice, and measure it on request."""
    settings: OverfittingSettings = view.settings  # type: ignore[assignment]
    validation = EXPERIMENT.cross_validation(settings)
    st.markdown(
        _(
            "Cross-validation **estimates** how well a strength generalizes; it regularizes nothing. The {n} training"
            " points of the first seed are cut into {folds} parts; each strength trains on all but one part and is"
            " measured on the one left out, in turn. Strengths are those of the first tab ({axis})."
        ).format(n=plain(settings.n_train), folds=validation.folds, axis=_(validation.axis))
    )
    if EXPERIMENT.work(validation.runs.values()) > MAX_MULTIPLICATIONS:
        st.info(_("These folds would take more than half an hour: choose fewer epochs, points or units."))
        return
    specs = list(validation.runs.values())
    results = services().results(specs)
    missing = {spec.digest for spec in specs if spec.digest not in results}
    training.controls(view, specs, missing, "overfitting.folds", is_beside=True)
    rows = validation.summarize(results)
    if not len(rows):
        st.caption(_("Here the loss on the fold left out will be drawn against the strength."))
        return
    figures.draw(folds_chart.choice(validation, rows, view.arm_names), "folds")
    if chosen := validation.choose(rows):
        measure_choice(view, settings, chosen[1])


def measure_choice(view: View, settings: OverfittingSettings, strength: float) -> None:
    """Measure the chosen strength on the test points, which nothing has touched; only when asked."""
    if not strength:
        return
    pairs = EXPERIMENT.final_pairs(settings, strength)
    specs = [spec for pair in pairs for spec in pair]
    results = services().results(specs)
    n = find(settings.dataset).test
    st.markdown(
        _(
            "**The last step.** The strength is chosen, so now the {n} test points may be looked at, once: the chosen net"
            " and the unregularized one, trained on all {n_train} training points."
        ).format(n=n, n_train=plain(settings.n_train))
    )
    missing = {spec.digest for spec in specs if spec.digest not in results}
    training.controls(view, specs, missing, "overfitting.final", is_beside=True)
    measured = final_test(pairs, results)
    if measured is None:
        return
    without, chosen = st.columns(2)
    mean = sum(measured.baseline) / len(pairs)
    without.metric(_("Test data loss without regularization"), number(mean))
    difference = measured.difference
    chosen.metric(
        _("Test data loss with {strength}").format(strength=plain(strength)),
        number(sum(measured.chosen) / len(pairs)),
        percent(difference.mean, signed=True),
        delta_color="inverse" if difference.excludes_zero else "off",
    )
    if difference.n < 2:
        st.caption(_("One seed: a difference without an interval."))
    elif difference.excludes_zero:
        st.caption(
            _("Paired over {n} seeds, 95% interval {low} to {high}. Change nothing after this: a second look would be a choice made on the test points.").format(
                n=difference.n, low=percent(difference.low, signed=True), high=percent(difference.high, signed=True)
            )
        )  # fmt: skip
    else:
        st.caption(
            _("No difference seen on the test points: the 95% interval, {low} to {high}, covers zero ({n} seeds).").format(
                n=difference.n, low=percent(difference.low, signed=True), high=percent(difference.high, signed=True)
            )
        )  # fmt: skip
