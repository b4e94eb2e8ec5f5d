"""Let a viewer bring a CSV file: read it, show what its columns were taken for, choose the target, use it."""

from __future__ import annotations

import streamlit as st

from core.datasets import Kind
from core.datasets.tables import MAX_BYTES, Prepared, Table, TableError, likely_kind, prepare, read_table
from core.experiments import Experiment
from core.i18n import N_, _, plain
from core.settings import Settings
from core.ui import links
from core.ui.services import services

KINDS: dict[Kind, str] = {
    "classification": N_("Classification: tell classes apart"),
    "regression": N_("Regression: predict a number"),
}
COLUMN_KINDS = {
    "number": N_("number"),
    "category": N_("category"),
    "text": N_("free text, left out"),
    "constant": N_("one value only, left out"),
    "empty": N_("empty, left out"),
}


def offer(experiment: Experiment, settings: Settings, field: str, kind: Kind | None) -> None:
    """Draw the button that opens the dialog; its choice is put into the setting `field`."""
    if st.button(
        _("Your own data (CSV)"), icon=":material/upload_file:", key=f"{experiment.name}..own", width="stretch"
    ):
        dialog(experiment, settings, field, kind)


def dialog(experiment: Experiment, settings: Settings, field: str, kind: Kind | None) -> None:
    """Open the dialog, titled in the viewer's language."""
    st.dialog(_("Your own data"), width="large")(_ask)(experiment, settings, field, kind)


def _ask(experiment: Experiment, settings: Settings, field: str, kind: Kind | None) -> None:
    st.caption(
        _(
            "A CSV file of at most {limit} MB with column names in its first line. It is kept in this installation's"
            " store under a hash of its content, so that your link works for whoever shares the store. Do not load what"
            " others must not see."
        ).format(limit=plain(MAX_BYTES / 1e6))
    )
    file = st.file_uploader(
        _("File"), type=["csv", "tsv", "txt"], max_upload_size=MAX_BYTES // 1_000_000, key="own.file",
        label_visibility="collapsed",
    )  # fmt: skip
    if file is None:
        return
    try:
        table = read_table(file.getvalue(), file.name)
    except TableError as error:
        st.error(error.sentence(), icon=":material/error:")
        return
    columns_read(table)
    names = [column.name for column in table.columns if column.kind not in ("empty", "text")]
    if not names:
        st.error(_("Expected a column that can be predicted; all are empty or free text."), icon=":material/error:")
        return
    target = st.selectbox(_("Column to predict"), names, index=len(names) - 1, key="own.target")
    likely = likely_kind(table, target)
    kinds = [kind] if kind else list(KINDS)
    chosen = st.radio(
        _("Task"), kinds, index=kinds.index(likely) if likely in kinds else 0, format_func=lambda k: _(KINDS[k]),
        key=f"own.kind.{target}",
    )  # fmt: skip
    try:
        prepared = prepare(table, target, chosen)
    except TableError as error:
        st.error(error.sentence(), icon=":material/error:")
        return
    summary(prepared)
    if st.button(_("Use this data"), type="primary", key="own.use"):
        services().keep_dataset(prepared.own)
        dataset = prepared.own.dataset
        values = dict(settings) | {field: dataset.name}
        query = type(settings).repair(type(settings).resolve(values, {field}))
        links.apply(experiment, type(settings)(**query))
        st.rerun()


def columns_read(table: Table) -> None:
    """Show what every column was taken for, and the first rows."""
    st.markdown(
        _("{rows} rows, {columns} columns. What they were taken for:").format(
            rows=plain(len(table.cells)), columns=plain(len(table.columns))
        )
    )
    if table.has_decimal_comma:
        st.caption(_("Numbers are written with a decimal comma."))
    st.dataframe(
        {
            _("Column"): [column.name for column in table.columns],
            _("Taken for"): [_(COLUMN_KINDS[column.kind]) for column in table.columns],
            _("Different values"): [column.levels for column in table.columns],
            _("Gaps"): [column.missing for column in table.columns],
            _("First values"): [", ".join(table.cells[column.name].head(3)) for column in table.columns],
        },
        hide_index=True,
        height=220,
    )


def summary(prepared: Prepared) -> None:
    """Say what the data set will be, and what was left out to make it."""
    own = prepared.own
    dataset = own.dataset
    parts = [
        _("{rows} rows, {inputs} inputs").format(rows=plain(dataset.n), inputs=plain(dataset.inputs)),
        _("{test} put away for tests, {stopping} for early stopping").format(
            test=plain(dataset.test), stopping=plain(dataset.stopping)
        ),
    ]
    if own.classes:
        parts.append(_("{count} classes").format(count=len(own.classes)))
    st.markdown(" · ".join(parts))
    for sentence in prepared.sentences():
        st.caption(sentence.replace("$", "\\$").replace("*", "\\*").replace("_", "\\_"))
