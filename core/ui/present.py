"""Tell a page as a few screens for a projector: question, problem, remedies, effect, what to remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from core.charts import curves
from core.charts.effects import forest, interval_text
from core.charts.figure import Figure, enlarged
from core.comparison import VALIDATION_LOSS, inline
from core.i18n import _
from core.study import BASELINE
from core.ui import figures, links
from core.ui.services import services
from core.ui.takeaway import local_note, qr_code
from core.ui.view import View, escape, quiet_line

HEIGHT = 430


def show(
    view: View,
    own_figures: Callable[[View], dict[str, Figure]] | None = None,
    own_screens: Sequence[Callable[[View], None]] = (),
) -> None:
    """Draw the screen that the link names, and the buttons to its neighbours (arrow keys work).

    `own_figures` draws what only this page has, and `own_screens` what is no chart; each gets a screen after the
    effects.
    """
    if not len(view.shown.outcomes):
        st.info(_("Nothing to present yet: train this comparison first."))
        st.button(_("Leave the presentation"), on_click=leave)
        return
    screens = list_screens(view, own_figures(view) if own_figures else {}, own_screens)
    position = _position(len(screens))
    with st.container(key="screen"):
        screens[position]()
    with st.container(horizontal=True, vertical_alignment="center", key="turner"):
        st.button(_("Back"), disabled=position == 0, shortcut="Left", on_click=_turn, args=(position - 1,))
        st.button(
            _("Next"), type="primary", disabled=position == len(screens) - 1, shortcut="Right",
            on_click=_turn, args=(position + 1,),
        )  # fmt: skip
        st.caption(f"{position + 1} / {len(screens)}")
        st.button(_("Leave the presentation"), type="tertiary", shortcut="Escape", on_click=leave)


def leave() -> None:
    """Go back to the page."""
    st.query_params.pop("present", None)
    st.query_params.pop("screen", None)


def _turn(position: int) -> None:
    st.query_params["screen"] = str(position + 1)


def _position(count: int) -> int:
    text = st.query_params.get("screen", "1")
    return min(max(int(text) if text.isdecimal() and len(text) < 4 else 1, 1), count) - 1


def list_screens(
    view: View, own: Mapping[str, Figure], own_screens: Sequence[Callable[[View], None]] = ()
) -> list[Callable[[], None]]:
    """List the screens: the arms join the chart one after the other."""
    arms = [arm.name for arm in view.shown.study.arms]
    remedies = [partial(_remedies, view, tuple(arms[: count + 1])) for count in range(1, len(arms))]
    return [
        partial(_question, view),
        partial(_problem, view),
        *remedies,
        partial(_effect, view),
        *[partial(draw, view) for draw in own_screens],
        *[partial(_draw, view, figure) for figure in own.values()],
        partial(_memory, view),
    ]


def _question(view: View) -> None:
    st.title(_(view.experiment.question), anchor=False)
    st.markdown(_(view.experiment.summary))
    st.markdown(quiet_line(view))


def _problem(view: View) -> None:
    _draw(view, curves.hero(view.shown, view.arm_names, axes=curves.axes_of(view.shown), arms=(BASELINE,)))


def _remedies(view: View, arms: tuple[str, ...]) -> None:
    newest = next(arm for arm in view.shown.study.arms if arm.name == arms[-1])
    effect = view.shown.effect(newest, VALIDATION_LOSS, view.shown_settings.moment)  # type: ignore[attr-defined]
    title = _("With {arm}: {effect}").format(arm=inline(newest), effect=interval_text(effect))
    figure = curves.hero(view.shown, view.arm_names, axes=curves.axes_of(view.shown), arms=arms)
    _draw(view, replace(figure, title=title))


def _effect(view: View) -> None:
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    _draw(view, forest(view.shown, view.arm_names, at=at))


def _draw(view: View, figure: Figure) -> None:
    figures.draw(enlarged(figure, HEIGHT), "present", names=view.arm_names, twin=False)


def _memory(view: View) -> None:
    st.title(_("What to remember"), anchor=False)
    with st.container(key="verdict"):
        st.markdown(escape(view.experiment.verdict(view.shown, view.shown_settings)))
    address = links.link(view.experiment, view.shown_settings, services().config.public_url)
    picture, words = st.columns([1, 3], vertical_alignment="center")
    picture.image(qr_code(address), width="stretch")
    words.markdown(_("The very same experiment, on your own screen:"))
    words.code(address, language=None, wrap_lines=True)
    if links.is_local(address):
        words.caption(local_note())
