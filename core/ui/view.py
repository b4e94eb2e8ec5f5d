"""Gather what a run of a page shows: settings, study, comparison, and how they read in words."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.comparison import Comparison
from core.experiments import Experiment
from core.i18n import _, moment
from core.settings import Settings
from core.study import Study
from core.ui.services import services


@dataclass(frozen=True)
class View:
    """What one run of a page shows.

    `comparison` is of `settings`; `shown` is what verdict and curves show, which is an earlier complete
    one while nothing of `settings` has been measured; `settled` is what the rest shows, an earlier one
    also while the study runs, so that nothing there changes under the reader.
    """

    experiment: Experiment
    settings: Settings
    study: Study
    comparison: Comparison
    shown: Comparison
    shown_settings: Settings
    settled: Comparison
    settled_settings: Settings
    is_live: bool

    @property
    def is_own(self) -> bool:
        """Tell whether what stands on the page belongs to the settings."""
        return self.shown is self.comparison

    @property
    def arm_names(self) -> tuple[str, ...]:
        """List the arms that settings like these can have, the baseline first, for colours and dashes."""
        return self.experiment.names(self.shown_settings)


def look(experiment: Experiment, settings: Settings, study: Study) -> View:
    """Gather what is there to show for `settings`."""
    shared, state = services(), st.session_state
    is_live = shared.is_active(study)
    comparison = shared.comparison(study)
    shown, shown_settings = comparison, settings
    if comparison.is_complete:
        state[f"{experiment.name}.shown"] = settings.query()
    settled, settled_settings = shown, shown_settings
    if is_live or not len(comparison.outcomes):
        earlier_settings = experiment.settings.read(state.get(f"{experiment.name}.shown", ""))[0]
        earlier = shared.comparison(experiment.study(earlier_settings))
        if earlier.is_complete:
            settled, settled_settings = earlier, earlier_settings
            if not len(comparison.outcomes):
                shown, shown_settings = earlier, earlier_settings
    return View(experiment, settings, study, comparison, shown, shown_settings, settled, settled_settings, is_live)


def escape(text: str) -> str:
    """Keep computed words from being read as Markdown."""
    return text.replace("$", "\\$").replace("_", "\\_").replace("*", "\\*")


def quiet_line(view: View) -> str:
    """Say in one line what was measured, when, and under which digest."""
    parts = view.experiment.facts(view.shown_settings)
    infos = [result.info for result in view.shown.results.values()]
    if infos and view.shown.is_complete:
        recorded = max(info.recorded for info in infos)
        parts.append(_("recorded {date}").format(date=moment(recorded)))
    parts.append(f"`{view.shown.study.digest[:10]}`")
    return " · ".join(parts)
