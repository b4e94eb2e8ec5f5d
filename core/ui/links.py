"""Keep settings, widgets and the address bar equal: the link is the experiment."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus, urlencode, urlsplit

import streamlit as st

from core.experiments import Experiment
from core.settings import RESERVED_KEYS, Choices, Problem, Settings

OWN_HOSTS = ("localhost", "127.0.0.1", "::1")


def widget_key(experiment: Experiment, field: str) -> str:
    """Name the widget of a setting; unique over pages."""
    return f"{experiment.name}.{field}"


def open_settings(experiment: Experiment) -> tuple[Settings, list[Problem]]:
    """Read the settings from where they changed last: a link, the widgets, or the last visit.

    A query string other than the one written last was opened by the viewer (a link, the back
    button) and decides. Otherwise the widgets do. What is wrong is reported until the next change.
    """
    state, name = st.session_state, experiment.name
    query = _address_bar()
    written = state.get(f"{name}.written")
    arrived = state.get("page") != name
    state["page"] = name
    if query and query != written:
        settings, problems = experiment.settings.read(query)
    elif arrived or written is None:
        settings, problems = experiment.settings.read(state.get(f"{name}.query", ""))[0], []
    elif written and not query:
        settings, problems = experiment.settings(), []
    else:
        settings, problems = _from_widgets(experiment)
        if settings.query() == state.get(f"{name}.query") and not problems:
            problems = state.get(f"{name}.problems", [])
    apply(experiment, settings)
    state[f"{name}.problems"] = problems
    _write(experiment, settings)
    return settings, problems


def apply(experiment: Experiment, settings: Settings) -> None:
    """Set the widgets; before they are drawn, or in a callback."""
    for field, value in settings:
        st.session_state[widget_key(experiment, field)] = list(value) if isinstance(value, tuple) else value
    st.session_state[f"{experiment.name}.query"] = settings.query()


def link(experiment: Experiment, settings: Settings, public_url: str = "") -> str:
    """Write the link that restores this view: every value, the schema version, the language if chosen."""
    if public_url:
        base = f"{public_url.rstrip('/')}/{experiment.name}"
    else:
        base = (st.context.url or f"/{experiment.name}").split("?")[0]
    language = st.query_params.get("lang")
    return f"{base}?{settings.query()}" + (f"&lang={language}" if language else "")


def is_local(address: str) -> bool:
    """Tell whether an address leads to the machine that it is opened on, and no other."""
    return urlsplit(address).hostname in OWN_HOSTS


def _address_bar() -> str:
    pairs = [(key, text) for key in st.query_params for text in st.query_params.get_all(key)]
    return urlencode([(key, text) for key, text in pairs if key not in RESERVED_KEYS - {"v"}], safe=",")


def _from_widgets(experiment: Experiment) -> tuple[Settings, list[Problem]]:
    controls, pairs = experiment.settings.controls(), []
    last = dict(experiment.settings.read(st.session_state.get(f"{experiment.name}.query", ""))[0])
    for field, control in controls.items():
        value: Any = st.session_state.get(widget_key(experiment, field), last[field])
        if isinstance(control, Choices):
            value = [name for name in control.options if name in (value or ())]
        pairs.append((field, "" if value is None else control.format(value)))
    return experiment.settings.read(urlencode(pairs, safe=","))


def _write(experiment: Experiment, settings: Settings) -> None:
    query = "" if settings == experiment.settings() else settings.query()
    st.session_state[f"{experiment.name}.written"] = query
    if query == _address_bar():
        return
    kept = {key: st.query_params[key] for key in RESERVED_KEYS - {"v"} if key in st.query_params}
    values = dict(pair.split("=", 1) for pair in query.split("&")) if query else {}
    st.query_params.from_dict({key: unquote_plus(text) for key, text in values.items()} | kept)
