"""Draw the sidebar of an experiment from the declaration of its settings."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.experiments import Experiment, Preset
from core.fields import DatasetChoice
from core.i18n import _, plain
from core.settings import Choice, Choices, Control, Integer, Real, Settings, Text
from core.ui import links, own_data


def sidebar(experiment: Experiment, settings: Settings) -> None:
    """Draw the presets, then the settings in their groups, the first and the arms' group open.

    Those declared as folded wait behind a switch while they have their default.
    """
    with st.sidebar:
        st.subheader(_("Presets"))
        for preset in experiment.presets:
            _preset(experiment, settings, preset)
        st.subheader(_("Settings"))
        is_whole = st.toggle(_("Show all of them"), key="all_settings")
        groups: dict[str, list[str]] = {}
        idle, usual = settings.idle(), {field: info.default for field, info in type(settings).model_fields.items()}
        for field, control in settings.controls().items():
            is_shown = is_whole or not control.folded or getattr(settings, field) != usual[field]
            if is_shown and field not in idle and not control.hidden:
                groups.setdefault(control.group, []).append(field)
        for number, (group, fields) in enumerate(groups.items()):
            is_open = number == 0 or any(isinstance(settings.controls()[f], Choices) for f in fields)
            with st.expander(_(group), expanded=is_open):
                for field in fields:
                    _widget(experiment, settings, field)


def _preset(experiment: Experiment, settings: Settings, preset: Preset) -> None:
    target = experiment.settings.read(preset.query)[0]
    icon = ":material/warning:" if preset.goes_wrong else None
    if target == settings:
        icon = ":material/check:"
    st.button(
        _(preset.title),
        key=f"{experiment.name}.preset.{preset.name}",
        icon=icon,
        width="stretch",
        on_click=links.apply,
        args=(experiment, target),
    )
    st.caption((f"**{_('Goes wrong on purpose.')}** " if preset.goes_wrong else "") + _(preset.reason))


def _widget(experiment: Experiment, settings: Settings, field: str) -> None:
    control = settings.controls()[field]
    value = getattr(settings, field)
    shared: dict[str, Any] = {
        "label": _(control.label),
        "help": _(control.help),
        "key": links.widget_key(experiment, field),
    }
    match control:
        case Choice():
            offered = control.offered(value)
            st.selectbox(options=list(offered), format_func=lambda name: _(offered[name]), **shared)
            if isinstance(control, DatasetChoice):
                own_data.offer(experiment, settings, field, control.kind)
        case Choices():
            st.pills(
                options=list(control.options),
                format_func=lambda name: _(control.options[name]),
                selection_mode="multi",
                **shared,
            )
        case Integer():
            low, high = settings.limits().get(field, (control.low, control.high))
            st.number_input(min_value=low, max_value=high, step=control.step, **shared)
        case Real(marks=()):
            st.slider(min_value=control.low, max_value=control.high, **shared)
        case Real():
            st.select_slider(options=sorted({*control.marks, value}), format_func=plain, **shared)
        case Text():
            st.text_input(max_chars=control.limit, **shared)
        case Control():
            raise TypeError(f"Expected a control with a widget; received {type(control).__name__}.")
