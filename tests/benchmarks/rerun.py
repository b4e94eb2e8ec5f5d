"""Time the server's part of a rerun against an app of constants: `python -m tests.benchmarks.rerun`.

Speaks the browser's protocol to a real server, so that the figure holds all that a rerun costs there,
from the message that asks for it to the message that it is done, and nothing of a browser.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from tests.benchmarks._common import ROOT, print_figure, say, server
from tests.benchmarks._pages import PAGE, constant_app, shape

WARM_UPS = 3
RERUNS = 30


def main() -> None:
    """Measure the page and both ways to write the app of constants."""
    counted = shape()
    say(f"all draw {len(counted['charts'])} charts, {counted['subheaders']} headings, {counted['captions']} captions")
    ours = time_reruns(ROOT / "app.py", PAGE, len(counted["charts"]))
    say(f"ours: {1_000 * ours:.0f} ms, median of {RERUNS} reruns with stored results")
    seconds = {}
    for short, words in ((True, "channels as strings"), (False, "channels as typed objects")):
        with constant_app(counted, short=short) as script:
            seconds[short] = time_reruns(script, "", len(counted["charts"]))
        say(f"constants, {words}: {1_000 * seconds[short]:.0f} ms")
    print_figure("ratio", "rerun", ours / seconds[True])
    print_figure("ratio", "rerun_typed", ours / seconds[False])


def time_reruns(script: Path, page: str, charts: int) -> float:
    """Return the median seconds of a rerun that draws `charts` charts, after a few that are not counted."""
    with server(script) as (address, _), _session(address) as session:
        seconds = []
        for _ in range(WARM_UPS + RERUNS):
            started = time.perf_counter()
            drawn = rerun(session, page)
            seconds.append(time.perf_counter() - started)
        if drawn != charts:
            raise RuntimeError(f"Expected {charts} charts; received {drawn}.")
    return statistics.median(seconds[WARM_UPS:])


def _session(address: str) -> ClientConnection:
    return connect(
        address.replace("http", "ws") + "/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        compression=None,
    )


def rerun(session: ClientConnection, page: str) -> int:
    """Ask for a run of the script, wait for its end, and count the charts that it sent."""
    ask = BackMsg()
    ask.rerun_script.page_name = page
    session.send(ask.SerializeToString())
    charts = 0
    while True:
        raw = session.recv(timeout=60)
        message = ForwardMsg.FromString(raw if isinstance(raw, bytes) else raw.encode())
        if message.delta.new_element.WhichOneof("type") == "exception":
            raise RuntimeError(message.delta.new_element.exception.message)
        charts += message.delta.new_element.WhichOneof("type") == "vega_lite_chart"
        if message.WhichOneof("type") == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return charts
            charts = 0  # ended early to run again, as a page does at its first run on a fresh server


if __name__ == "__main__":
    main()
