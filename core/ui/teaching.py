"""Sections that teach: predict before the results are shown, and wrong beside right, both executed."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from core.comparison import Comparison
from core.experiments import Task
from core.i18n import N_, _, number
from core.lessons import lesson_run
from core.ui import links, training
from core.ui.services import services
from core.ui.view import View, escape

SIDES: dict[str, tuple[str, str, Literal["orange", "blue"]]] = {
    "wrong": (N_("Wrong"), ":material/close:", "orange"),
    "right": (N_("Right"), ":material/check:", "blue"),
}


def tasks(view: View) -> None:
    """Ask for a prediction, then show what was measured."""
    st.markdown(_("Predict first, then look: the answers are read from the results of a preset, not written here."))
    for number_, task in enumerate(view.experiment.tasks, 1):
        with st.container(border=True):
            _task(view, number_, task)


def _task(view: View, position: int, task: Task) -> None:
    experiment = view.experiment
    preset = next(preset for preset in experiment.presets if preset.name == task.preset)
    settings = experiment.settings.parse(preset.query)
    comparison: Comparison = services().comparison(experiment.study(settings))
    st.markdown(f"**{position}. {_(task.prompt)}**")
    key = f"task.{experiment.name}.{task.name}"
    chosen = st.radio(
        _("Your prediction"),
        range(len(task.options)),
        format_func=lambda index: _(task.options[index]),
        index=None,
        key=key,
        label_visibility="collapsed",
    )
    if not comparison.is_complete:
        st.caption(
            _("The results of the preset “{preset}” are not here: train it first.").format(preset=_(preset.title))
        )
        return
    if not st.toggle(_("Show what was measured"), key=f"{key}.shown", disabled=chosen is None) or chosen is None:
        return
    right = comparison.remember(("task", task.name), lambda: task.right(comparison))
    answers = "; ".join(_(task.options[index]) for index in sorted(right))
    if chosen in right:
        st.success(_("As you said: {answers}.").format(answers=answers.rstrip(".")), icon=":material/check:")
    else:
        st.info(_("Measured: {answers}.").format(answers=answers.rstrip(".")), icon=":material/lightbulb:")
    st.markdown(_(task.reveal))
    st.markdown(escape(experiment.verdict(comparison, settings)))
    if settings != view.settings:
        st.button(
            _("Open the preset “{preset}”").format(preset=_(preset.title)),
            key=f"{key}.open",
            on_click=links.apply,
            args=(experiment, settings),
        )


def lessons(view: View) -> None:
    """Set the code of a common mistake beside the right one, with what each did when it ran."""
    experiment = view.experiment
    runs = {lesson.name: lesson_run(experiment.name, lesson) for lesson in experiment.corrections}
    results = services().results(runs.values())
    missing = {run.digest for run in runs.values() if run.digest not in results}
    st.markdown(_("Each side is code that was run, with what it really did. Both can be copied and run as they stand."))
    training.controls(view, list(runs.values()), missing, f"{experiment.name}.lessons", is_beside=True)
    for lesson in experiment.corrections:
        st.subheader(_(lesson.claim), anchor=False)
        outcomes = None
        if runs[lesson.name].digest in results:
            outcomes = results[runs[lesson.name].digest].frames["outcomes"]
        for column, side, source in zip(st.columns(2), ("wrong", "right"), lesson.sources, strict=True):
            with column:
                st.badge(_(SIDES[side][0]), icon=SIDES[side][1], color=SIDES[side][2])
                if outcomes is not None:
                    for row in outcomes[outcomes["side"] == side].itertuples(index=False):
                        value = f"`{row.text}`" if row.text else f"**{number(float(row.value))}**"
                        st.markdown(f"{_(row.label)}: {value}")
                with st.expander(_("The code that ran")):
                    st.code(source, language="python")
        st.markdown(_(lesson.teaches))
