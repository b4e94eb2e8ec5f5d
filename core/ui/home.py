"""Introduce the experiments, each with the verdict of its default settings."""

from __future__ import annotations

import streamlit as st

from core.charts import curves
from core.experiments import Experiment, experiments
from core.i18n import _
from core.ui import figures
from core.ui.services import services
from core.ui.view import escape


def show() -> None:
    """Draw the first page."""
    st.session_state["page"] = "home"
    st.title(_("Regularized beside unregularized, and an honest verdict"), anchor=False)
    st.markdown(
        _(
            "Contraste trains the same net with and without a remedy, several times over, on the same data, initial"
            " weights and batch order. Then it says what the remedy changed, with an interval, and says so too when"
            " no difference is seen."
        )
    )
    for experiment in experiments().values():
        with st.container(border=True, key=f"home-{experiment.name}"):
            introduce(experiment)


def introduce(experiment: Experiment) -> None:
    """Ask the question of a page, with its verdict, beside the curves of its default settings."""
    settings = experiment.settings()
    comparison = services().comparison(experiment.study(settings))
    words, picture = st.columns([1, 2], gap="large")
    with words:
        st.subheader(_(experiment.question), anchor=False)
        st.markdown(_(experiment.summary))
        if comparison.is_complete:
            with st.container(key=f"verdict-{experiment.name}"):
                st.markdown(f"**{escape(experiment.verdict(comparison, settings))}**")
        st.page_link(
            f"pages/{experiment.name}.py",
            label=_("Open {page}").format(page=_(experiment.title)),
            icon=experiment.icon,
        )
    if comparison.is_complete:
        with picture:
            figures.draw(
                curves.hero(comparison, experiment.arm_names),
                f"home.{experiment.name}",
                names=experiment.arm_names,
                heading=False,
            )
