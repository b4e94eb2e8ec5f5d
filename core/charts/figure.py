"""Hold a drawn chart with its words and its table twin; imports no Streamlit."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import altair as alt
import pandas as pd
import pyarrow as pa

from core.comparison import Comparison
from core.i18n import language

# How Vega writes numbers; the minus is set by Vega itself.
NUMBERS = {
    "en": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["$", ""]},
    "es": {"decimal": ",", "thousands": ".", "grouping": [3], "currency": ["", " €"]},
}


@dataclass(frozen=True)
class Figure:
    """A chart as a value.

    `spec` is Vega-Lite without data; `datasets` are the frames it names. `title` states the takeaway,
    `subtitle` what is plotted, `alt` both for those who do not see it, `table` the same numbers.
    `legend` names the lines (machine name, words); on wide screens only needed where the chart does not
    label them itself (`labels_lines`).
    """

    spec: dict[str, Any]
    datasets: dict[str, pd.DataFrame]
    title: str
    subtitle: str
    alt: str
    table: pd.DataFrame
    legend: tuple[tuple[str, str], ...] = field(default=())
    labels_lines: bool = False

    @functools.cached_property
    def arrow(self) -> dict[str, pa.Table]:
        """Return the datasets as they travel to the browser, converted once for all viewers."""
        return {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in self.datasets.items()}

    def standalone(self) -> dict[str, Any]:
        """Return a spec that carries its data, for exports, and the legend that a page draws under it."""
        data = {name: frame.to_dict("records") for name, frame in self.datasets.items()}
        title = {"text": self.title, "subtitle": self.subtitle, "anchor": "start"}
        spec = {**self.spec, "datasets": data, "title": title}
        return spec if self.labels_lines or not self.legend else _with_legend(spec, dict(self.legend))


def _with_legend(spec: dict[str, Any], words: dict[str, str]) -> dict[str, Any]:
    """Let the first layer that encodes arms by colour say which is which."""
    legend = {
        "orient": "bottom",
        "title": None,
        "values": list(words),
        "labelExpr": f"({json.dumps(words, ensure_ascii=False)})[datum.label]",
        "labelLimit": 300,
        "symbolType": "stroke",
    }
    layers = [{**layer} for layer in spec.get("layer", [spec])]
    for layer in layers:
        encoding = layer.get("encoding", {})
        if set(words) <= set(encoding.get("color", {}).get("scale", {}).get("domain", ())):
            named = {"color": {**encoding["color"], "legend": legend}}
            if "strokeDash" in encoding:
                named["strokeDash"] = {**encoding["strokeDash"], "legend": legend}
            layer["encoding"] = encoding | named
            break
    return {**spec, "layer": layers} if "layer" in spec else layers[0]


Drawn = TypeVar("Drawn", bound="Figure | None")


def remembered(draw: Callable[..., Drawn]) -> Callable[..., Drawn]:
    """Draw once for each comparison, language and set of arguments; the first argument is the comparison."""

    @functools.wraps(draw)
    def drawn(comparison: Comparison, *args: Any, **keywords: Any) -> Drawn:
        key = (draw.__qualname__, args, tuple(sorted(keywords.items())))
        return comparison.remember(key, lambda: draw(comparison, *args, **keywords))

    return drawn


def enlarged(figure: Figure, height: int) -> Figure:
    """Set a figure's type for a projector."""
    text = {"labelFontSize": 16, "titleFontSize": 16}
    spec = {
        **figure.spec,
        "height": height,
        "config": {**figure.spec["config"], "axis": text},
        "params": [{"name": "type_size", "value": 17}],
    }
    return replace(figure, spec=spec)


def to_spec(*layers: alt.Chart, height: int) -> dict[str, Any]:
    """Finish a chart of one or more layers: full width, `height` pixels, SVG marks."""
    parts = [layer.to_dict(validate=False) for layer in layers]
    schema = parts[0]["$schema"]
    for part in parts:
        del part["$schema"]
        part.pop("config", None)
    # By hand: `alt.layer` and `properties` copy every chart several times, half the cost of a page's first draw.
    spec = {"$schema": schema, **(parts[0] if len(parts) == 1 else {"layer": parts})}
    spec |= {"width": "container", "height": height}
    # Above 5,000 rows Streamlit would take the marks' descriptions away and draw a live chart anew.
    spec["config"] = {"locale": {"number": NUMBERS[language()]}, "mark": {"aria": True}}
    spec["params"] = [{"name": "type_size", "value": 12.5}]
    spec["padding"] = {"left": 4, "top": 8, "right": 4, "bottom": 4}
    spec["usermeta"] = {"embedOptions": {"renderer": "svg"}}
    return spec
