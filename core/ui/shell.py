"""Frame every page: navigation, language, style. Never imports TensorFlow."""

from __future__ import annotations

import functools
import gc
import importlib
import math
from pathlib import Path

import streamlit as st

from core.experiments import experiments
from core.i18n import LANGUAGES, N_, _, choose_language, use_language

PAGES = Path(__file__).resolve().parents[2] / "pages"
HOME = "home"
# Pages that are no experiment: title, icon, and their place; experiments stand between the first and the last.
OTHERS = {
    HOME: (N_("Contraste"), ":material/contrast:", -math.inf),
    "library": (N_("Library"), ":material/inventory_2:", math.inf),
}


def boot() -> None:
    """Make a deep link on a fresh server go through `app.py`; the first statement of every page.

    Until the first `st.navigation` of a server, Streamlit runs a deep-linked file of `pages/` without
    `app.py`. One empty run per session turns that off and starts again.
    """
    if st.session_state.get("_booted"):
        use_language(st.session_state.get("language", "en"))
        return
    st.session_state["_booted"] = True
    st.session_state["language"] = choose_language(st.query_params.get("lang") or st.context.locale)
    st.navigation(pages(), position="hidden")
    load()
    st.rerun()


@functools.cache
def load() -> None:
    """Import what every page needs, once a server, with Python's cycle collector at rest.

    It would walk the half-loaded libraries again and again, and then all of them after every script run,
    because Streamlit asks for a full collection there; what is frozen is left out of it.
    """
    gc.disable()
    try:
        importlib.import_module("core.ui.page")
    finally:
        gc.freeze()
        gc.enable()


def pages() -> list:
    """List the pages: home, then those of the experiments in their order, then the library."""
    framed = {e.name: (e.title, e.icon, e.order) for e in experiments().values()} | OTHERS
    files = sorted(PAGES.glob("*.py"), key=lambda file: framed[file.stem][2])
    return [
        st.Page(file, title=_(framed[file.stem][0]), icon=framed[file.stem][1], default=file.stem == HOME)
        for file in files
    ]


def run() -> None:
    """Draw the frame and run the chosen page."""
    linked = st.query_params.get("lang")
    if linked in LANGUAGES and linked != st.session_state.get("_linked_language"):
        st.session_state["language"] = st.session_state["_linked_language"] = linked
    use_language(st.session_state.get("language", "en"))
    presenting = is_presenting()
    st.set_page_config(
        page_icon=":material/contrast:",
        layout="wide",
        initial_sidebar_state="collapsed" if presenting else "auto",
    )
    page = st.navigation(pages(), position="hidden" if presenting else "top")
    style(presenting)
    if not presenting:
        with (
            st.sidebar
            if page.url_path in experiments()
            else st.container(horizontal=True, horizontal_alignment="right")
        ):
            language_switch()
    page.run()


def is_presenting() -> bool:
    """Tell whether the link asks for presentation mode."""
    return st.query_params.get("present") == "true"


def language_switch() -> None:
    """Let the viewer choose the language; the choice goes into the link."""

    def choose() -> None:
        chosen = st.session_state["_language_choice"] or st.session_state["language"]
        st.session_state["language"] = st.session_state["_linked_language"] = chosen
        st.query_params["lang"] = chosen

    st.session_state["_language_choice"] = st.session_state["language"]
    st.segmented_control(
        "Language / Idioma",
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        key="_language_choice",
        on_change=choose,
        label_visibility="collapsed",
        required=True,
    )


def style(presenting: bool) -> None:
    """Set the type: a page reads like a figure in a paper, larger when presented."""
    scale = 1.25 if presenting else 1.0
    st.html(
        f"""<style>
        [data-testid="stMainBlockContainer"] {{max-width: 1180px; padding-top: 4.1rem; padding-bottom: 4rem;}}
        [data-testid="stMainBlockContainer"] h1 {{font-size: {1.9 * scale}rem; font-weight: 650; letter-spacing: -0.01em; padding: 0 0 .1rem;}}
        [data-testid="stMainBlockContainer"] h3 {{font-size: {1.12 * scale}rem; font-weight: 620; padding: .2rem 0 0;}}
        .st-key-verdict p {{font-size: {1.22 * scale}rem; line-height: 1.45; max-width: 62em;}}
        .st-key-quiet p {{font-size: .86rem; opacity: .75;}}
        .st-key-quiet code {{font-size: .8rem;}}
        [data-testid="stMainBlockContainer"] [data-testid="stVerticalBlock"] {{gap: .6rem;}}
        [data-testid="stMainBlockContainer"] [data-testid="stMarkdownContainer"] {{margin-bottom: 0;}}
        [data-testid="stMainBlockContainer"] [data-testid="stMarkdownContainer"] p:last-child {{margin-bottom: 0;}}
        [data-testid="stMainBlockContainer"] [data-testid="stHeading"], [data-testid="stMainBlockContainer"] [data-testid="stCaptionContainer"] {{margin-bottom: 0;}}
        [data-testid="stSidebar"] [data-testid="stVerticalBlock"] {{gap: .45rem;}}
        [data-testid="stCaptionContainer"] p {{line-height: 1.4;}}
        [class*="st-key-head-"] {{flex-wrap: nowrap;}}
        [data-testid="stStatusWidget"] {{display: none;}}
        [class*="st-key-library-row-"] {{border-top: 1px solid color-mix(in srgb, currentColor 15%, transparent); padding-top: .55rem;}}
        [class*="st-key-library-row-"] [data-testid="stVerticalBlock"] {{gap: .15rem;}}
        [class*="st-key-library-row-"] [data-testid="stPageLink-NavLink"] {{padding: 0; min-height: 0;}}
        [class*="st-key-library-row-"] [data-testid="stPageLink-NavLink"] p {{
          font-weight: 620; white-space: normal; text-decoration: underline 1px; text-underline-offset: .2em;
        }}
        [class*="st-key-finding-"] p {{max-width: 62em; line-height: 1.45;}}
        .st-key-screen .written {{font-size: 1.05rem;}}
        .contraste-legend {{display: none; flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem;}}
        .contraste-legend.always {{display: flex;}}
        .contraste-legend i {{display: inline-block; width: 28px; height: 3px; vertical-align: middle; margin-right: .4rem;}}
        [data-testid="stHtml"]:has(.contraste-legend) {{container-type: inline-size;}}
        @container (max-width: 590px) {{ .contraste-legend {{display: flex;}} }} /* where charts leave out their labels */
        @media (max-width: 760px) {{
          [data-testid="stMainBlockContainer"] h1 {{font-size: 1.5rem;}}
          .st-key-verdict p {{font-size: 1.05rem;}}
        }}
        @media print {{ [data-testid="stSidebar"], [data-testid="stHeader"] {{display: none;}} }}
        </style>"""
    )
