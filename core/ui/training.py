"""Offer to train runs, or show how far they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import streamlit as st

from core.engine.client import EngineBusyError, Progress
from core.experiments import Experiment
from core.i18n import _, ngettext, number, plain
from core.result import RunFailure
from core.spec import RunSpec
from core.ui.services import services
from core.ui.view import View

RATE = 5.5e10  # multiply-adds a second and worker, dispatch included, measured on two cores


def controls(
    view: View,
    specs: Sequence[RunSpec],
    missing: Collection[str],
    key: str,
    *,
    is_beside: bool = False,
) -> None:
    """Draw the button that trains the `missing` of `specs`, or their progress and the button that stops them.

    What is trained is noted under the view's link, so that the library can list and open it. Of runs beside
    the page's own study, those that also belong to it are started and stopped there: alone they count as no
    progress here.
    """
    engine = services().engine
    shared = {spec.digest for spec in view.study.runs.values()} if is_beside else set()
    digests = [spec.digest for spec in specs]
    if engine.is_active(digest for digest in digests if digest not in shared):
        with st.container(horizontal=True, vertical_alignment="center", key=f"{key}.live"):
            progress = engine.progress(digests)
            st.progress(progress.share, text=progress_text(progress))
            st.button(
                _("Stop"),
                key=f"{key}.stop",
                icon=":material/stop_circle:",
                on_click=engine.stop,
                args=(digests,),
                help=_("Ends within an epoch; what has been measured stays."),
            )
        return
    if not missing:
        return
    if is_beside:  # of the page's own study the page itself says so
        found = engine.partial(digest for digest in digests if digest not in shared).values()
        for sentence in dict.fromkeys(one.sentence() for one in found if isinstance(one, RunFailure)):
            st.error(sentence, icon=":material/error:")
    wanted = [spec for spec in specs if spec.digest in missing]
    brought = {digest for spec in wanted for digest in spec.attachments}
    if any(services().store.attachment(digest) is None for digest in brought):
        st.info(
            _("The data of this link are not stored here, so it cannot be trained: load the same file to have it."),
            icon=":material/upload_file:",
        )
        return
    if not is_beside:
        engine.warm_up()  # this page's own study is likely to be trained; a part of it is not worth the memory
    if st.button(
        offer(view.experiment, wanted, len(specs)), type="primary", key=f"{key}.train", icon=":material/play_arrow:"
    ):
        try:
            engine.submit(wanted)
        except EngineBusyError:
            st.warning(_("The server is busy: too many runs wait already. Try again in a few minutes."))
        else:
            beside = [spec.digest for spec in specs]
            services().library.note(view.experiment, view.settings.query(), view.study, beside)
            st.rerun()


def offer(experiment: Experiment, missing: Sequence[RunSpec], total: int) -> str:
    """Say what the button will do, and how long it will take."""
    if len(missing) < total:
        text = ngettext(
            "Train the {runs} missing run, about {time}", "Train the {runs} missing runs, about {time}", len(missing)
        )
    else:
        text = ngettext("Train {runs} run, about {time}", "Train {runs} runs, about {time}", len(missing))
    return text.format(runs=len(missing), time=duration(estimate(experiment, missing)))


def progress_text(progress: Progress) -> str:
    """Say how far runs are, what they wait for, and how long they will take."""
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


def estimate(experiment: Experiment, specs: Sequence[RunSpec]) -> float:
    """Guess the seconds that runs take on this installation's workers, from their arithmetic."""
    work = experiment.work(specs) / RATE
    graphs = {spec.model_key: experiment.tracing(spec) for spec in specs}  # each is traced by every worker
    return max(1.0, work / services().config.workers + sum(graphs.values()))


def duration(seconds: float) -> str:
    """Write a duration in seconds or minutes."""
    if seconds < 90:
        return _("{seconds} s").format(seconds=plain(max(1, round(seconds))))
    return _("{minutes} min").format(minutes=plain(round(seconds / 60)))
