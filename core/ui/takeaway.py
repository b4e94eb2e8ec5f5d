"""Offer what leaves the page: its link, the offline page, the archive, the script, the presentation."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import streamlit as st

from core import export
from core.charts import curves
from core.charts.effects import forest
from core.charts.figure import Figure
from core.comparison import label, tidy_tables
from core.i18n import _, language, use_language
from core.ui import links
from core.ui.services import services
from core.ui.tables import arm_table, written_table
from core.ui.view import View, quiet_line

Made = TypeVar("Made")


def share(view: View) -> None:
    """Offer the link of the view, for copying and as a QR code."""
    popover = st.popover(_("Link"), icon=":material/link:", type="tertiary", key="share", on_change="rerun")
    if popover.open:
        address = links.link(view.experiment, view.settings, services().config.public_url)
        with popover:
            st.caption(_("This link restores every setting; stored results appear at once."))
            st.code(address, language=None, wrap_lines=True)
            st.image(qr_code(address), width=180)
            if links.is_local(address):
                st.caption(local_note())


def local_note() -> str:
    """Say that others cannot open the link of a page that was opened by this machine's own name."""
    return _(
        "It opens on this computer only. For others, open this page by the computer's address in the network first, or"
        " set `CONTRASTE_PUBLIC_URL`."
    )


def qr_code(address: str) -> bytes:
    """Draw an address as a QR code, PNG."""
    import segno

    picture = io.BytesIO()
    segno.make(address, micro=False, error="l").save(picture, kind="png", scale=6, border=2)
    return picture.getvalue()


def present_start() -> None:
    """Begin the presentation of the page."""
    st.query_params.update({"present": "true", "screen": "1"})


def take_away(view: View, own_figures: Callable[[View], dict[str, Figure]] | None = None) -> None:
    """Offer the comparison as one offline page, an archive, and a script; made on the click.

    Args:
        view: What the page shows.
        own_figures: Draws what only this page has, by file name; it leaves with curves and effects.
    """
    popover = st.popover(_("Download"), icon=":material/download:", type="tertiary", key="download", on_change="rerun")
    if not (popover.open and len(view.shown.outcomes)):
        return
    name = f"contraste-{view.experiment.name}-{view.shown.study.digest[:10]}"
    # Now: the click is answered in another thread, which knows neither the address nor the chosen language.
    address = links.link(view.experiment, view.shown_settings, services().config.public_url)
    shared: dict = {"on_click": "ignore", "width": "stretch"}
    with popover:
        st.download_button(
            _("One page (HTML, offline)"),
            in_language(partial(offline_page, address=address, own_figures=own_figures), view),
            f"{name}.html",
            "text/html",
            **shared,
        )
        st.download_button(
            _("Everything (zip: CSV, SVG, PNG, settings, script)"),
            in_language(partial(everything, own_figures=own_figures), view), f"{name}.zip", "application/zip", **shared,
        )  # fmt: skip
        st.download_button(
            _("Keras script that reproduces the numbers"),
            in_language(keras_script, view), f"{name}.py", "text/x-python", **shared,
        )  # fmt: skip
        net(view, name)


def net(view: View, name: str) -> None:
    """Offer the net that an arm's first seed ended with; a worker writes it, so it is made before it is offered."""
    study = view.shown.study
    runs = {arm.name: study.spec(arm, study.seeds[0]) for arm in study.arms}
    arms = {arm.name: arm for arm in study.arms if runs[arm.name].digest in view.shown.results}
    st.caption(_("The trained net of an arm, first seed, for `keras.saving.load_model`:"))
    chosen = st.selectbox(
        _("Arm"), list(arms), format_func=lambda one: label(arms[one]), label_visibility="collapsed", key="net.arm"
    )
    if chosen is None:
        return
    spec = runs[chosen]
    made: dict[str, bytes] = st.session_state.setdefault("net.made", {})
    place = st.empty()
    if spec.digest not in made and place.button(_("Make the .keras file"), width="stretch", key="net.make"):
        with place, st.spinner(_("A worker writes the net; the first time it has to start.")):
            frames = view.shown.results[spec.digest].frames
            kept = {part: frames[part] for part in view.experiment.kept_weights if part in frames}
            answer = services().engine.save_model(spec, kept)
        place.empty()
        if isinstance(answer, bytes):
            made.clear()  # one at a time: a session should not hold them all
            made[spec.digest] = answer
        else:
            st.error(answer.sentence(), icon=":material/error:")
    if spec.digest in made:
        st.download_button(
            _("Save the .keras file"), made[spec.digest], f"{name}-{chosen}.keras",
            "application/octet-stream", on_click="ignore", width="stretch", key="net.save",
        )  # fmt: skip


def in_language(make: Callable[[View], Made], view: View) -> Callable[[], Made]:
    """Put off `make`, keeping the viewer's language: the click is answered in another thread."""
    chosen = language()

    def made() -> Made:
        use_language(chosen)
        return make(view)

    return made


def keras_script(view: View) -> str:
    """Write the script of the comparison."""
    return export.script(view.experiment, view.shown_settings)


def export_figures(view: View, own_figures: Callable[[View], dict[str, Figure]] | None) -> dict[str, Figure]:
    """Draw the charts that leave the page: curves, effects, and the page's own."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    return {
        "curves": curves.hero(view.shown, view.arm_names),
        "effects": forest(view.shown, view.arm_names, at=at),
        **(own_figures(view) if own_figures else {}),
    }


def offline_page(view: View, address: str, own_figures: Callable[[View], dict[str, Figure]] | None = None) -> str:
    """Write the comparison as one HTML file that leads back to `address`."""
    at = view.shown_settings.moment  # type: ignore[attr-defined]
    return export.page_html(
        _(view.experiment.question),
        view.experiment.verdict(view.shown, view.shown_settings),
        quiet_line(view).replace("`", ""),
        address,
        list(export_figures(view, own_figures).values()),
        written_table(arm_table(view.shown, _("Validation score"), at)).drop(columns=_("Curve")),
    )


def everything(view: View, own_figures: Callable[[View], dict[str, Figure]] | None = None) -> bytes:
    """Pack the comparison into a zip file."""
    return export.archive(
        view.experiment,
        view.shown_settings,
        view.shown,
        view.experiment.verdict(view.shown, view.shown_settings),
        tidy_tables(view.shown),
        export_figures(view, own_figures),
    )
