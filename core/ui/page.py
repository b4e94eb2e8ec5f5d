"""Assemble an experiment page: settings to study, study to comparison, comparison to sections."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from core import export
from core.charts import curves
from core.charts.effects import forest
from core.charts.figure import Figure
from core.comparison import Comparison, inlined, tidy_tables
from core.engine.client import EngineBusyError
from core.experiments import Experiment
from core.i18n import _, moment, ngettext, number, plain
from core.result import RunFailure
from core.settings import Settings
from core.study import Study
from core.ui import controls, links, shell
from core.ui.services import services
from core.ui.tables import arm_table
from core.verdict import verdict

POLL_SECONDS = 1.0


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
        """List all arms the experiment knows, the baseline first, for colours and dashes."""
        return self.experiment.arm_names


def show(experiment: Experiment, body: Callable[[View], None]) -> None:
    """Draw the page of `experiment`; `body` draws what depends on results, again as they arrive."""
    settings, problems = links.open_settings(experiment)
    study = experiment.study(settings)
    is_live = services().is_active(study)
    if not shell.is_presenting():
        controls.sidebar(experiment, settings)
        top(look(experiment, settings, study))
    for problem in problems[:4]:
        st.warning(problem.sentence(), icon=":material/link_off:")
    if len(problems) > 4:
        st.caption(_("And {count} more faults in the link.").format(count=len(problems) - 4))

    def draw() -> None:
        view = look(experiment, settings, study)
        if is_live and not view.is_live:
            st.rerun()
        body(view)

    st.fragment(draw, run_every=POLL_SECONDS if is_live else None)()


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


def top(view: View) -> None:
    """Ask the question, and offer what can be done with the answer."""
    with st.container(
        key="top", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"
    ):
        st.title(_(view.experiment.question), anchor=False, width="content")
        with st.container(key="actions", horizontal=True, width="content", gap="small"):
            share(view)
            take_away(view)
            st.button(_("Present"), icon=":material/slideshow:", type="tertiary", on_click=present_start)


def header(view: View) -> None:
    """Say the verdict, and what it rests on; offer training where the settings have no result."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    with st.container(key="verdict"):
        text = view.shown.remember(("verdict", at), lambda: verdict(view.shown, at=at))
        if view.is_live and view.is_own and len(view.comparison.outcomes):
            text = _("So far:") + " " + text
        elif view.is_own and view.comparison.is_partial:
            text = _("Partial, stopped before the end:") + " " + text
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
    training(view)


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


def differences(shown: Settings, wanted: Settings) -> str:
    """Name the settings in which two views differ, with both values."""
    named = []
    for field, control in wanted.controls().items():
        old, new = getattr(shown, field), getattr(wanted, field)
        if old != new:
            named.append(f"{_(control.label)} {control.words(old)} → {control.words(new)}")
    return "; ".join(named[:6])


def share(view: View) -> None:
    """Offer the link of the view, for copying and as a QR code."""
    popover = st.popover(_("Link"), icon=":material/link:", type="tertiary", key="share", on_change="rerun")
    if popover.open:
        address = links.link(view.experiment, view.settings, services().config.public_url)
        with popover:
            st.caption(_("This link restores every setting; stored results appear at once."))
            st.code(address, language=None, wrap_lines=True)
            st.image(qr_code(address), width=180)


def qr_code(address: str) -> bytes:
    """Draw an address as a QR code, PNG."""
    import segno

    picture = io.BytesIO()
    segno.make(address, micro=False, error="l").save(picture, kind="png", scale=6, border=2)
    return picture.getvalue()


def present_start() -> None:
    """Begin the presentation of the page."""
    st.query_params.update({"present": "true", "screen": "1"})


def take_away(view: View) -> None:
    """Offer the comparison as one offline page, an archive, and a script; made on the click."""
    popover = st.popover(_("Download"), icon=":material/download:", type="tertiary", key="download", on_change="rerun")
    if not (popover.open and len(view.shown.outcomes)):
        return
    name = f"contraste-{view.experiment.name}-{view.shown.study.digest[:10]}"
    shared: dict = {"on_click": "ignore", "width": "stretch"}
    with popover:
        st.download_button(
            _("One page (HTML, offline)"), lambda: offline_page(view), f"{name}.html", "text/html", **shared
        )
        st.download_button(
            _("Everything (zip: CSV, SVG, PNG, settings, script)"),
            lambda: everything(view), f"{name}.zip", "application/zip", **shared,
        )  # fmt: skip
        st.download_button(
            _("Keras script that reproduces the numbers"),
            lambda: export.script(view.experiment, view.shown_settings), f"{name}.py", "text/x-python", **shared,
        )  # fmt: skip


def export_figures(view: View) -> dict[str, Figure]:
    """Draw the charts that leave the page: curves and effects."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    return {
        "curves": curves.hero(view.shown, view.arm_names),
        "effects": forest(view.shown, view.arm_names, at=at),
    }


def offline_page(view: View) -> str:
    """Write the comparison as one HTML file."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    return export.page_html(
        _(view.experiment.question),
        verdict(view.shown, at=at),
        quiet_line(view).replace("`", ""),
        links.link(view.experiment, view.shown_settings, services().config.public_url),
        list(export_figures(view).values()),
        arm_table(view.shown, _("Validation score"), at).drop(columns=_("Curve")),
    )


def everything(view: View) -> bytes:
    """Pack the comparison into a zip file."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    return export.archive(
        view.experiment,
        view.shown_settings,
        view.shown,
        verdict(view.shown, at=at),
        tidy_tables(view.shown),
        export_figures(view),
    )


def notices(view: View) -> None:
    """Report what the viewer should know of the store, the engine and failed runs."""
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
        for sentence in dict.fromkeys(failure_sentence(failure) for failure in view.comparison.failures):
            st.error(sentence, icon=":material/error:")


def failure_sentence(failure: RunFailure) -> str:
    """Say what happened to a run and what to do."""
    sentences = {
        "download": _(
            "The data set could not be downloaded: no network answers. Connect, or put its files into {detail},"
            " or choose one of scikit-learn's data sets; then train again."
        ),
        "damaged-download": _(
            "A downloaded file is not the published one and was removed ({detail}). Train again to fetch it anew."
        ),
        "worker-lost": _(
            "A run ended its worker {attempts} times, perhaps for lack of memory. Finished runs are kept;"
            " make the net or the data smaller and train again."
        ),
        "error": _("A run failed: {detail}. Finished runs are kept; train again to repeat the others."),
    }
    return sentences.get(failure.reason, sentences["error"]).format(detail=failure.detail, attempts=3)


def training(view: View) -> None:
    """Offer the button, or show how far the runs are."""
    engine = services().engine
    specs = [spec for spec in view.study.runs.values() if spec.digest in set(view.comparison.missing)]
    digests = [spec.digest for spec in view.study.runs.values()]
    if view.is_live:
        progress = engine.progress(digests)
        with st.container(horizontal=True, vertical_alignment="center", key="live"):
            st.progress(progress.share, text=progress_text(progress))
            st.button(
                _("Stop"),
                key=f"{view.experiment.name}.stop",
                icon=":material/stop_circle:",
                on_click=engine.stop,
                args=(digests,),
                help=_("Ends within an epoch; what has been measured stays."),
            )
    elif specs:
        rest = len(specs) < len(digests)
        seconds = estimate(view.experiment, specs)
        text = ngettext("Train {runs} run, about {time}", "Train {runs} runs, about {time}", len(specs))
        if rest:
            text = ngettext(
                "Train the {runs} missing run, about {time}", "Train the {runs} missing runs, about {time}", len(specs)
            )
        pressed = st.button(
            text.format(runs=len(specs), time=duration(seconds)),
            type="primary",
            key=f"{view.experiment.name}.train",
            icon=":material/play_arrow:",
        )
        engine.warm_up()
        if pressed:
            try:
                engine.submit(specs)
            except EngineBusyError:
                st.warning(_("The server is busy: too many runs wait already. Try again in a few minutes."))
            else:
                st.rerun()


def progress_text(progress) -> str:
    """Say how far a study is, what it waits for, and how long it will take."""
    if progress.ahead:
        return ngettext(
            "Waiting: {ahead} run of another study comes first.",
            "Waiting: {ahead} runs of other studies come first.",
            progress.ahead,
        ).format(ahead=progress.ahead)
    if progress.downloaded and not progress.epochs_done:
        return _("Downloading the data: {amount} MB so far").format(amount=number(progress.downloaded / 1e6))
    if progress.is_starting:
        return _("Starting the workers")
    text = _("{done} of {runs} runs").format(done=progress.runs_done, runs=progress.runs)
    if progress.seconds_left is not None:
        text += ", " + _("about {time} left").format(time=duration(progress.seconds_left))
    return text


def estimate(experiment: Experiment, specs: Sequence) -> float:
    """Guess the seconds that runs take on this installation's workers, from their arithmetic."""
    rate = 5.5e10  # multiply-adds a second and worker, dispatch included, measured on two cores
    work = sum(experiment.multiplications(spec) for spec in specs) / rate
    graphs = 0.5 * len({spec.model_key for spec in specs})
    return max(1.0, work / services().config.workers + graphs)


def duration(seconds: float) -> str:
    """Write a duration in seconds or minutes."""
    if seconds < 90:
        return _("{seconds} s").format(seconds=plain(max(1, round(seconds))))
    return _("{minutes} min").format(minutes=plain(round(seconds / 60)))


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
