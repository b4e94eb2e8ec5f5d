"""Assemble an experiment page: its frame, its verdict, and what depends on results, again as they arrive."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.charts.figure import Figure
from core.comparison import inlined, lowered
from core.experiments import Experiment
from core.i18n import _, use_language
from core.settings import Settings
from core.ui import controls, links, shell, takeaway, training
from core.ui.services import services
from core.ui.view import View, escape, look, quiet_line

POLL_SECONDS = 1.0
MAX_NAMED = 6  # settings in which two views differ


def show(
    experiment: Experiment,
    body: Callable[[View], None],
    own_figures: Callable[[View], dict[str, Figure]] | None = None,
) -> None:
    """Draw the page of `experiment`; `body` draws what depends on results, again as they arrive.

    `own_figures` draws what only this page has, by file name, to leave it with curves and effects.
    """
    services()  # first: its store knows the data that a link may name
    settings, problems = links.open_settings(experiment)
    study = experiment.study(settings)
    polled = [*experiment.shown(settings), *experiment.lesson_runs()]
    is_polling = services().engine.is_active(polled)
    if not shell.is_presenting():
        top(look(experiment, settings, study), own_figures)
    for problem in problems[:4]:
        st.warning(problem.sentence(), icon=":material/link_off:")
    if len(problems) > 4:
        st.caption(_("And {count} more faults in the link.").format(count=len(problems) - 4))

    def draw() -> None:
        use_language(st.session_state["language"])  # a rerun of the fragment alone comes without the frame
        view = look(experiment, settings, study)
        if is_polling and not services().engine.is_active(polled):
            st.rerun()
        body(view)

    st.fragment(draw, run_every=POLL_SECONDS if is_polling else None)()
    if not shell.is_presenting():
        controls.sidebar(experiment, settings)  # after the answer, which is what a newcomer waits for


def top(view: View, own_figures: Callable[[View], dict[str, Figure]] | None = None) -> None:
    """Ask the question, and offer what can be done with the answer."""
    with st.container(
        key="top", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"
    ):
        st.title(_(view.experiment.question), anchor=False, width="content")
        with st.container(key="actions", horizontal=True, width="content", gap="small"):
            takeaway.share(view)
            takeaway.take_away(view, own_figures)
            st.button(_("Present"), icon=":material/slideshow:", type="tertiary", on_click=takeaway.present_start)


def header(view: View) -> None:
    """Say the verdict, and what it rests on; offer training where the settings have no result."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    with st.container(key="verdict"):
        text = view.shown.remember(("verdict", at), lambda: view.experiment.verdict(view.shown, view.shown_settings))
        if view.is_live and view.is_own and len(view.comparison.outcomes):
            text = _("So far:") + " " + lowered(text)
        elif view.is_own and view.comparison.is_partial:
            text = _("Partial, stopped before the end:") + " " + lowered(text)
        st.markdown(escape(text))
    with st.container(key="quiet"):
        st.markdown(quiet_line(view))
    if not view.is_own:
        st.info(
            _("These are the results of other settings: {differences}.").format(
                differences=differences(view.shown_settings, view.settings)
            ),
            icon=":material/history:",
        )
    notices(view)
    runs = list(view.study.runs.values())
    training.controls(view, runs, view.comparison.missing, f"{view.experiment.name}.main")


def differences(shown: Settings, wanted: Settings) -> str:
    """Name the settings in which two views differ, with both values."""
    named = []
    for field, control in wanted.controls().items():
        old, new = getattr(shown, field), getattr(wanted, field)
        if old != new:
            named.append(f"{_(control.label)} {control.words(old)} → {control.words(new)}")
    more = len(named) - MAX_NAMED
    return "; ".join([*named[:MAX_NAMED], *([_("and {count} more").format(count=more)] if more > 0 else [])])


def installation_notices() -> None:
    """Report what is wrong with the configuration and the store, whatever the page."""
    shared = services()
    for problem in shared.config.problems:
        st.warning(problem.sentence(), icon=":material/settings_alert:")
    if shared.store.problem:
        st.warning(
            _("Results are not kept: the store cannot be written ({reason}). They last until the server ends.").format(
                reason=shared.store.problem
            ),
            icon=":material/save_as:",
        )


def notices(view: View) -> None:
    """Report what the viewer should know of the installation, the engine and failed runs."""
    shared = services()
    installation_notices()
    if shared.store.damaged & {spec.digest for spec in view.study.runs.values()}:
        st.warning(
            _("A stored result was damaged and has been left out; training computes it again."),
            icon=":material/healing:",
        )
    if view.is_live and shared.engine.problem:
        st.warning(
            _("The workers cannot be reached; trying again ({reason}).").format(reason=shared.engine.problem),
            icon=":material/cloud_off:",
        )
    if not view.is_live:
        for sentence in dict.fromkeys(failure.sentence() for failure in view.comparison.failures):
            st.error(sentence, icon=":material/error:")


def mark_settled(view: View) -> None:
    """Say so where what follows belongs to earlier settings while the verdict above is of these."""
    if view.is_own and view.settled is not view.shown:
        st.info(
            _("From here on: the last complete result, until this study ends ({differences}).").format(
                differences=differences(view.settled_settings, view.settings)
            ),
            icon=":material/history:",
        )


def what_differs(view: View) -> None:
    """List what the arms differ in and what is held fixed."""
    arms = inlined(view.shown.study.treatments)
    left, right = st.columns(2)
    left.caption(f"**{_('What differs')}**: " + escape(arms) + ".")
    right.caption(f"**{_('What is held fixed')}**: " + _(view.experiment.held_fixed))
