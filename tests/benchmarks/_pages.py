"""The page that is measured, and the one-page app of constants that it is measured against."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks._common import ROOT, in_fresh_process

PAGE = "overfitting"

# What a one-page app would be without any of our machinery: as many charts, each of as many rows, as
# many headings, captions and tables, all constant. `SHORT` writes the channels as most apps do;
# without it they are typed objects, which Altair need not parse.
CONSTANT_APP = '''"""Constants, drawn."""

import altair as alt
import pandas as pd
import streamlit as st

SHAPE = {shape}
SHORT = {short}

st.set_page_config(layout="wide")


def chart(rows):
    series = 5 if rows > 300 else 1
    frame = pd.DataFrame(
        {{
            "epoch": [i // series for i in range(rows)],
            "loss": [1 / (1 + i // series) + i % series for i in range(rows)],
            "arm": [f"arm {{i % series}}" for i in range(rows)],
        }}
    )
    lines = alt.Chart(frame).mark_line()
    if SHORT:
        return lines.encode(x="epoch:Q", y="loss:Q", color="arm:N")
    return lines.encode(
        x=alt.X(field="epoch", type="quantitative"),
        y=alt.Y(field="loss", type="quantitative"),
        color=alt.Color(field="arm", type="nominal"),
    )


st.title("Constants")
for number in range(SHAPE["subheaders"]):
    st.subheader(f"Heading {{number}}")
for number in range(SHAPE["captions"]):
    st.caption(f"Caption {{number}}: a sentence of the length that captions have, or a little longer than that.")
for number in range(SHAPE["dataframes"]):
    st.dataframe(pd.DataFrame({{"arm": list("abcde"), "loss": [0.1, 0.2, 0.3, 0.4, 0.5]}}), width="stretch")
for rows in SHAPE["charts"]:
    st.altair_chart(chart(rows), width="stretch", theme="streamlit")
'''


def shape() -> dict[str, Any]:
    """Count what the page draws with its default settings: `charts` lists the rows of each."""
    return in_fresh_process(__name__)


@contextlib.contextmanager
def constant_app(shape: dict[str, Any], *, short: bool = True) -> Iterator[Path]:
    """Write the app of constants, with our theme, into a temporary folder."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
        script = folder / "constant_app.py"
        script.write_text(CONSTANT_APP.format(shape=json.dumps(shape), short=short), encoding="utf-8")
        yield script


def count() -> dict[str, Any]:
    """Run the page once, without a browser."""
    import pyarrow as pa
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    page.run()
    page.switch_page(f"pages/{PAGE}.py").run()
    if page.exception:
        raise RuntimeError(page.exception[0].message)
    charts = []
    for element in page.get("vega_lite_chart"):
        rows = [pa.ipc.open_stream(io.BytesIO(d.data.data)).read_all().num_rows for d in element.proto.datasets]
        charts.append(max(rows))
    counts = {f"{kind}s": len(page.get(kind)) for kind in ("subheader", "caption", "dataframe")}
    return {"charts": charts, **counts}


if __name__ == "__main__":
    print(json.dumps(count()))
    sys.stdout.flush()
