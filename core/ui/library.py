"""List the stored comparisons: find, open, set side by side, delete."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pandas as pd
import streamlit as st

from core.charts.effects import interval_text
from core.comparison import VALIDATION_LOSS, At, Comparison, label, lowered
from core.experiments import Experiment, experiments
from core.i18n import N_, _, language, listing, moment, ngettext, number, plain, use_language
from core.library import Deletion, Entry
from core.settings import Settings
from core.study import Study
from core.ui import page, tables
from core.ui.services import services
from core.ui.view import escape

PER_PAGE = 10
MAX_PARTS = 5  # settings that a title names
MAX_CHOSEN = 12  # comparisons side by side
ORIGINS = {"here": N_("trained here"), "shipped": N_("shipped")}
STATUSES = {"complete": N_("complete"), "partial": N_("partial"), "diverged": N_("diverged")}
ORDERS = {"newest": N_("Newest first"), "oldest": N_("Oldest first"), "page": N_("By page")}
OF_RUNS = {"complete": N_("complete"), "stopped": N_("partial"), "diverged": N_("diverged")}


@dataclass(frozen=True)
class Row:
    """An entry as a viewer reads it; without `settings` its link is not understood any more."""

    entry: Entry
    experiment: Experiment | None
    settings: Settings | None
    title: str
    details: str

    @property
    def page_title(self) -> str:
        """Name the page it belongs to."""
        return _(self.experiment.title) if self.experiment else self.entry.experiment

    @property
    def study(self) -> Study | None:
        """Return what its link compares; None where that is not understood."""
        return _study(self.entry.experiment, self.settings) if self.settings is not None else None

    @property
    def words(self) -> str:
        """Return what a search looks through: what is named, and the facts that every page states."""
        facts = self.experiment.facts(self.settings) if self.experiment and self.settings is not None else []
        return " ".join([self.title, self.details, self.page_title, self.entry.digest, *facts]).casefold()


def show() -> None:
    """Draw the page."""
    st.session_state["page"] = "library"
    st.title(_("Every comparison that is stored here"), anchor=False)
    st.markdown(_("What ships with the code, and what was trained here. One click opens it with all its settings."))
    entries, too_old = services().library.entries()
    page.installation_notices()
    if deletion := st.session_state.pop("library.deleted", None):
        st.toast(done(deletion))
    if not entries:
        empty()
        return
    rows = [read(entry) for entry in entries]
    found = filtered(rows)
    if not any(entry.is_noted for entry in entries):
        st.caption(
            _("Nothing has been trained here yet. Open a comparison, change a setting and train: it will stand here.")
        )
    shown = paged(found)
    chosen = [row for row in found if row.entry.digest in st.session_state.get("library.chosen", set())]
    actions(chosen, len(found), len(rows), too_old)
    for row in shown:
        draw(row)
    if not found:
        st.info(_("No comparison fits the search."), icon=":material/search_off:")
    turn(found)


def empty() -> None:
    """Say what will stand here, and lead to the first page that makes it so."""
    first = next(iter(experiments().values()))
    st.info(_("Nothing is stored yet. What you train on a page will stand here."), icon=":material/inventory_2:")
    st.page_link(
        f"pages/{first.name}.py", label=_("Open {page}").format(page=_(first.title)), icon=first.icon, width="content"
    )


# -- reading ---------------------------------------------------------------------------------------------


def read(entry: Entry) -> Row:
    """Read the link of an entry in the viewer's language."""
    try:
        experiment, settings, details = _described(entry.experiment, entry.query, language())
    except (KeyError, ValueError):  # written by another version, or its data are not here any more
        return Row(entry, experiments().get(entry.experiment), None, entry.digest[:10], "")
    if entry.preset is not None:
        return Row(entry, experiment, settings, _(entry.preset.title), details)
    return Row(entry, experiment, settings, details or _("Default settings"), "")


@functools.lru_cache(maxsize=4_096)  # raises, and keeps nothing, where a link is not understood
def _described(name: str, query: str, _language: str) -> tuple[Experiment, Settings, str]:
    experiment = experiments()[name]
    settings = experiment.settings.parse(query)
    return experiment, settings, described(settings)


@functools.lru_cache(maxsize=256)  # a study holds dozens of specs, and a list is drawn again at every click
def _study(name: str, settings: Settings) -> Study:
    return experiments()[name].study(settings)


def described(settings: Settings) -> str:
    """Name the settings that are not at their default, with their values."""
    idle = settings.idle()
    parts = [
        f"{_(control.label)} {control.words(getattr(settings, field))}"
        for field, control in settings.controls().items()
        if field not in idle and getattr(settings, field) != type(settings).model_fields[field].default
    ]
    more = len(parts) - MAX_PARTS
    text = " · ".join(parts[:MAX_PARTS])
    return text + (" " + _("and {count} more").format(count=more) if more > 0 else "")


def finding(row: Row, study: Study, comparison: Comparison) -> str:
    """Say the verdict, as the page does."""
    assert row.experiment is not None
    assert row.settings is not None
    experiment, settings = row.experiment, row.settings
    if study.digest != row.entry.digest:
        return _("Recorded by another version of Contraste; the page trains it anew.")
    if not len(comparison.outcomes):
        return _("Nothing of it has been measured yet.")
    try:
        text = comparison.remember("verdict", lambda: experiment.verdict(comparison, settings))
    except KeyError:  # it reads a frame that is too large for a list
        text = experiment.verdict(services().comparison(study), settings)
    if comparison.is_partial:
        text = _("Partial, stopped before the end:") + " " + lowered(text)
    return text


def state(row: Row, study: Study | None) -> str:
    """Say in words how the runs of a comparison stand."""
    entry = row.entry
    if study is not None and services().is_active(study):
        return _("training now")
    parts = []
    if entry.missing:
        parts.append(_("{count} of {runs} runs missing").format(count=entry.missing, runs=plain(entry.runs)))
    if entry.stopped:
        parts.append(_("{count} of {runs} runs stopped early").format(count=entry.stopped, runs=plain(entry.runs)))
    if entry.diverged:
        parts.append(_("{count} of {runs} runs diverged").format(count=entry.diverged, runs=plain(entry.runs)))
    if parts:
        return listing(parts)
    return ngettext("{runs} run, complete", "{runs} runs, complete", entry.runs).format(runs=plain(entry.runs))


# -- finding ---------------------------------------------------------------------------------------------


def filtered(rows: Sequence[Row]) -> list[Row]:
    """Draw the filters and return the rows that pass, in the chosen order."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="library-filters"):
        text = st.text_input(_("Search"), key="library.search", icon=":material/search:", max_chars=200, width=260)
        name = _choice(_("Page"), "experiment", {one.name: one.title for one in experiments().values()})
        status = _choice(_("Status"), "status", STATUSES)
        origin = _choice(_("Origin"), "origin", ORIGINS)
        order = st.selectbox(
            _("Order"), list(ORDERS), format_func=lambda one: _(ORDERS[one]), key="library.order", width=190
        )
    wanted = (text or "").casefold().split()
    found = [
        row
        for row in rows
        if name in ("", row.entry.experiment)
        and status in ("", row.entry.status)
        and origin in ("", "shipped" if row.entry.is_shipped else "here")
        and all(word in row.words for word in wanted)
    ]
    if order == "page":
        places = list(experiments())
        found.sort(key=lambda row: places.index(row.entry.experiment) if row.experiment else len(places))
    # A filter that changes leads back to the first page of the list.
    st.session_state["library.page"] = f"library.page.{hash((*wanted, name, status, origin, order))}"
    return found[::-1] if order == "oldest" else found


def _choice(title: str, key: str, options: dict[str, str]) -> str:
    return st.selectbox(
        title,
        ["", *options],
        format_func=lambda one: _(options[one]) if one else _("All"),
        key=f"library.{key}",
        width=150,
    )


def paged(found: Sequence[Row]) -> Sequence[Row]:
    """Return the rows of the chosen page of the list."""
    at = st.session_state.get(st.session_state["library.page"], 1) - 1
    at = at if at * PER_PAGE < len(found) else 0
    return found[at * PER_PAGE : (at + 1) * PER_PAGE]


def turn(found: Sequence[Row]) -> None:
    """Draw the pages of the list where there are several."""
    pages = -(-len(found) // PER_PAGE)
    key = st.session_state["library.page"]
    if pages > 1:
        if st.session_state.get(key, 1) > pages:
            del st.session_state[key]
        st.pagination(pages, key=key)


# -- the list --------------------------------------------------------------------------------------------


def actions(chosen: Sequence[Row], found: int, total: int, too_old: int) -> None:
    """Say how many comparisons there are, and offer what can be done with the chosen ones."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        text = ngettext("{found} of {total} comparison", "{found} of {total} comparisons", total)
        text = text.format(found=plain(found), total=plain(total))
        if too_old:
            text += "; " + _("{count} older ones are not listed").format(count=plain(too_old))
        st.markdown(f"**{text}**", width="content")
        with st.container(horizontal=True, width="content", gap="small"):
            readable = [row for row in chosen if row.settings is not None]
            if st.button(
                _("Compare {count}").format(count=len(chosen)) if len(chosen) > 1 else _("Show runs"),
                key="library.compare",
                icon=":material/compare_arrows:" if len(chosen) > 1 else ":material/list:",
                disabled=not 0 < len(readable) <= MAX_CHOSEN,
                help=_("Choose one comparison to see its runs, or up to {count} to set them side by side.").format(
                    count=MAX_CHOSEN
                ),
            ):
                title = _("Side by side") if len(readable) > 1 else _("Its runs")
                st.dialog(title, width="large")(side_by_side)(readable)
            own = [row for row in chosen if row.entry.is_noted]
            if services().may_delete() and st.button(
                _("Delete"),
                key="library.delete",
                icon=":material/delete:",
                disabled=not own,
                help=_("Choose comparisons that were trained here; you will be asked once more."),
            ):
                st.dialog(_("Delete for good?"))(confirm)(chosen)


def draw(row: Row) -> None:
    """Draw one comparison: what it asks, what came out, and how it stands."""
    digest = row.entry.digest
    study = row.study
    with st.container(horizontal=True, vertical_alignment="top", gap="small", wrap=False, key=f"library-row-{digest}"):
        st.checkbox(
            _("Choose {title}").format(title=escape(row.title)),
            value=digest in st.session_state.get("library.chosen", set()),
            key=f"library.choose.{digest}",
            on_change=choose,
            args=(digest,),
            label_visibility="collapsed",
        )
        with st.container(gap=None):
            if row.experiment is None or row.settings is None or study is None:
                st.markdown(f"`{row.title}`")
                st.markdown(_("Its link is not understood any more: another version wrote it, or its data are gone."))
            else:
                open_link(row)
                with st.container(key=f"finding-{digest}"):
                    st.markdown(escape(finding(row, study, services().library.comparison(study))))
            st.caption(quiet(row, study))


def open_link(row: Row) -> None:
    """Lead to the page of a comparison, with all its settings."""
    assert row.experiment is not None
    assert row.settings is not None
    query = dict(parse_qsl(row.settings.query(), keep_blank_values=True))
    if chosen := st.query_params.get("lang"):
        query["lang"] = chosen
    st.page_link(
        f"pages/{row.experiment.name}.py",
        label=escape(row.title),
        icon=row.experiment.icon,
        query_params=query,
        width="stretch",
    )


def quiet(row: Row, study: Study | None) -> str:
    """Say in one line where a comparison belongs, how it stands, when and where it was recorded."""
    parts = [row.page_title, state(row, study), moment(row.entry.recorded)]
    parts.append(_("shipped") if row.entry.is_shipped else _("trained here"))
    if row.details:
        parts.append(row.details)
    return " · ".join(escape(part) for part in parts) + f" · `{row.entry.digest[:10]}`"


def choose(digest: str) -> None:
    """Take a comparison among the chosen ones, or out of them."""
    chosen = st.session_state.get("library.chosen", set()) - {digest}
    st.session_state["library.chosen"] = chosen | ({digest} if st.session_state[f"library.choose.{digest}"] else set())


# -- side by side ----------------------------------------------------------------------------------------


def side_by_side(rows: Sequence[Row]) -> None:
    """Set comparisons beside each other: verdicts, effects, and the runs of each."""
    use_language(st.session_state["language"])  # a dialog runs without the frame
    compared = []
    for row in rows:
        assert row.study is not None
        compared.append((row, row.study, services().library.comparison(row.study)))
    if len(compared) > 1:
        for place, (row, study, comparison) in enumerate(compared, start=1):
            st.markdown(f"**{place}. {escape(row.title)}**: " + escape(finding(row, study, comparison)))
        first, second = rows[0], rows[1]
        if len(rows) == 2 and first.experiment is second.experiment and first.settings and second.settings:
            differing = page.differences(first.settings, second.settings)
            st.caption(_("What differs: {differences}.").format(differences=escape(differing or "–")))
        frame = effects_table([(row, comparison) for row, _study, comparison in compared])
        if len(frame):
            st.dataframe(frame, hide_index=True, alt=_("Table of effects: one row a comparison and treatment."))
    for row, study, comparison in compared:
        st.markdown(f"**{escape(row.title)}**, `{study.digest[:10]}`")
        runs_table(comparison)


def effects_table(compared: Sequence[tuple[Row, Comparison]]) -> pd.DataFrame:
    """One row a treatment: the number of its comparison, its effect, and where all are of one page, the losses.

    Losses are means over seeds at the moment that the comparison's settings choose.
    """
    units = {(comparison.study.base.experiment, comparison.study.base.loss_unit) for _row, comparison in compared}
    rows = []
    for place, (row, comparison) in enumerate(compared, start=1):
        outcomes = comparison.outcomes
        at: At = getattr(row.settings, "moment", "last")
        if not len(outcomes):
            continue
        losses = outcomes[outcomes["at"] == at].groupby("arm")["validation_loss"].mean()
        for effect in comparison.effects(VALIDATION_LOSS, at):
            cells = {
                _("Number"): str(place),
                _("Arm"): label(effect.arm),
                _("Δ loss [95%]"): interval_text(effect),
                _("Seeds"): str(effect.absolute.n),
            }
            if len(units) == 1:
                cells[_("Its validation loss") + in_unit(comparison)] = number(
                    losses.get(effect.arm.name, float("nan"))
                )
                cells[_("The baseline's")] = number(losses.get(comparison.baseline.name, float("nan")))
            rows.append(cells | {_("Comparison"): row.title})
    return pd.DataFrame(rows)


def in_unit(comparison: Comparison) -> str:
    """Write the unit of the losses behind a column's name, where there is one."""
    unit = comparison.study.base.loss_unit
    return f" ({_(unit)})" if unit else ""


def runs_table(comparison: Comparison) -> None:
    """Draw one row a run: how it ended, what it reached and what it cost."""
    best = _("Best validation loss") + in_unit(comparison)
    shipped = services().library.statuses
    rows = []
    for arm, seed, spec in comparison.study:
        result = comparison.results.get(spec.digest)
        info = result.info if result is not None else None
        origin = "shipped" if spec.digest in shipped else "here"
        lowest = float(result.curves["validation_loss"].iloc[info.best_epoch]) if result and info else float("nan")
        rows.append(
            {
                _("Arm"): label(arm),
                _("Seed"): seed,
                _("Status"): _(OF_RUNS[info.status]) if info else _("missing"),
                _("Epochs"): info.epochs if info else float("nan"),
                best: lowest,
                _("Parameters"): info.parameters if info else float("nan"),
                _("Seconds"): info.seconds if info else float("nan"),
                _("Recorded"): moment(info.recorded) if info else "–",
                _("Origin"): _(ORIGINS[origin]) if info else "–",
                _("Digest"): spec.digest[:10],
            }
        )
    whole = dict.fromkeys((_("Seed"), _("Epochs"), _("Parameters")), _whole)
    tables.draw_numbers(
        pd.DataFrame(rows),
        whole | {best: number, _("Seconds"): number},
        alt=_("Table of runs: status, epochs, best validation loss and cost."),
    )


def _whole(value: float) -> str:
    return plain(int(value)) if value == value else "–"


# -- deleting --------------------------------------------------------------------------------------------


def confirm(rows: Sequence[Row]) -> None:
    """Ask before anything is deleted, saying what goes and what stays."""
    if "library.deleted" in st.session_state:
        st.rerun()  # which closes the dialog; the page says what was deleted
    use_language(st.session_state["language"])  # a dialog runs without the frame
    own = [row for row in rows if row.entry.is_noted]
    plan = services().library.plan([row.entry.digest for row in own], services().engine.is_active)
    for row in own[:6]:
        st.markdown(f"- {escape(row.title)} ({row.page_title})")
    if len(own) > 6:
        st.markdown("- " + _("and {count} more").format(count=len(own) - 6))
    st.markdown(" ".join(consequences(plan)))
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button(_("Keep"), key="library.keep"):
            st.rerun()
        st.button(
            _("Delete"),
            type="primary",
            key="library.confirm",
            icon=":material/delete:",
            disabled=not plan.studies,
            on_click=delete,
            args=(plan.studies,),
        )


def delete(digests: Sequence[str]) -> None:
    """Delete the comparisons that the viewer confirmed."""
    deletion = services().delete(digests)
    st.session_state["library.deleted"] = deletion
    st.session_state["library.chosen"] = st.session_state.get("library.chosen", set()) - set(deletion.studies)


def consequences(plan: Deletion) -> list[str]:
    """Say in sentences what deleting does."""
    sentences = []
    if plan.studies:
        sentences.append(
            ngettext("{count} stored run goes.", "{count} stored runs go.", plan.gone).format(count=plain(plan.gone))
        )
    if plan.shared:
        sentences.append(
            ngettext(
                "{count} run stays, which another comparison needs.",
                "{count} runs stay, which other comparisons need.",
                plan.shared,
            ).format(count=plain(plan.shared))
        )
    if plan.on_way:
        sentences.append(
            ngettext(
                "{count} comparison is being trained and stays; stop it first.",
                "{count} comparisons are being trained and stay; stop them first.",
                len(plan.on_way),
            ).format(count=plain(len(plan.on_way)))
        )
    return [*sentences, _("What ships with the code stays, and so do the data that were uploaded.")]


def done(deletion: Deletion) -> str:
    """Say what has been deleted."""
    if not deletion.studies:
        return _("Nothing was deleted.")
    text = ngettext("Deleted: {count} comparison,", "Deleted: {count} comparisons,", len(deletion.studies))
    runs = ngettext("{count} run.", "{count} runs.", deletion.gone)
    return text.format(count=plain(len(deletion.studies))) + " " + runs.format(count=plain(deletion.gone))
