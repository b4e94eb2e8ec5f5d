"""Put a figure on the page: its takeaway, the chart, the legend of narrow screens, the table twin."""

from __future__ import annotations

import streamlit as st

from core.charts.figure import Figure
from core.charts.style import DARK, DASHES, LIGHT
from core.i18n import _


def draw(
    figure: Figure,
    key: str,
    *,
    names: tuple[str, ...] = (),
    heading: bool = True,
    twin: bool = True,
    is_live: bool = False,
) -> None:
    """Draw a figure.

    Args:
        figure: What to draw.
        key: Unique on the page; names the table twin.
        names: All arms of the experiment, for the legend of narrow screens.
        heading: Whether the title is a heading; one panel of several has a plain one.
        twin: Whether the table is offered.
        is_live: Whether its data grow; the text alternative then stays the same, because Streamlit
            puts it into the spec, and a changed spec draws the whole chart anew.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"head-{key}"):
        if heading:
            st.subheader(figure.title, anchor=False, width="stretch")
        else:
            st.markdown(f"**{figure.title}**", width="stretch")
        if twin:
            table_twin(figure, key)
    st.vega_lite_chart(
        {**figure.spec, "datasets": figure.arrow},
        width="stretch",
        theme="streamlit",
        alt=figure.subtitle if is_live else figure.alt,
    )
    if figure.legend:
        legend(figure.legend, names, always=not figure.labels_lines)
    st.caption(figure.subtitle)


def table_twin(figure: Figure, key: str) -> None:
    """Offer the chart's numbers as a table, made only when it is opened."""
    popover = st.popover(_("Data"), icon=":material/table:", type="tertiary", key=f"twin.{key}", on_change="rerun")
    if popover.open:
        with popover:
            st.dataframe(figure.table, hide_index=True, width="stretch", alt=figure.alt)


def legend(entries: tuple[tuple[str, str], ...], names: tuple[str, ...], *, always: bool) -> None:
    """Name the lines under the chart, with their dash; on narrow screens only, or `always`."""
    palette = DARK if st.context.theme.type == "dark" else LIGHT
    items = []
    for name, text in entries:
        index = names.index(name)
        stripes, at = [], 0
        for length, gap in zip(DASHES[index][::2], DASHES[index][1::2], strict=True):
            stripes += [
                f"{palette[index]} {at}px {at + length}px",
                f"transparent {at + length}px {at + length + gap}px",
            ]
            at += length + gap
        items.append(
            f'<span><i style="background: repeating-linear-gradient(90deg, {", ".join(stripes)})"></i>{text}</span>'
        )
    st.html(f'<div class="contraste-legend{" always" if always else ""}">{"".join(items)}</div>')
