"""Time a page's first paint against an app of constants: `python -m tests.benchmarks.first_paint`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks._common import ROOT, browser, print_figure, say, server
from tests.benchmarks._pages import PAGE, constant_app, shape

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAIRS = 5
STILL = 1_000  # milliseconds without a change in any chart, after which the last change was the last
PATIENCE = 60_000

# Notes in the page itself when a chart changed last, so that no polling blurs the time.
OBSERVER = """
window.drawn = {count: 0, last: 0};
new MutationObserver(records => {
  const isChart = node => node.closest && node.closest('[data-testid=stVegaLiteChart]');
  if (!records.some(r => isChart(r.target))) return;
  window.drawn.last = performance.now();
  window.drawn.count = document.querySelectorAll('[data-testid=stVegaLiteChart] svg.marks').length;
}).observe(document, {childList: true, subtree: true});
"""
IS_STILL = f"expected => drawn.count === expected && performance.now() - drawn.last > {STILL}"


def main() -> None:
    """Measure both, alternating, each time on a fresh server and with an empty browser cache."""
    counted = shape()
    charts = len(counted["charts"])
    say(f"both draw {charts} charts, {counted['subheaders']} headings, {counted['captions']} captions")
    ours, constant = [], []
    with constant_app(counted) as script, browser() as chromium:
        for _ in range(PAIRS):
            ours.append(time_paint(chromium, ROOT / "app.py", f"/{PAGE}", charts))
            constant.append(time_paint(chromium, script, "/", charts))
            say(f"ours {ours[-1]:.2f} s, constants {constant[-1]:.2f} s")
    print_figure("seconds", "first_paint", statistics.median(ours))
    print_figure("seconds", "first_paint_constants", statistics.median(constant))
    print_figure("ratio", "first_paint", statistics.median(ours) / statistics.median(constant))


def time_paint(chromium: Browser, script: Path, path: str, charts: int) -> float:
    """Return the seconds from navigation to the last change of the last of `charts` charts."""
    with server(script) as (address, _):
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        try:
            page = context.new_page()
            page.add_init_script(OBSERVER)
            page.goto(address + path, wait_until="commit")
            page.wait_for_function(IS_STILL, arg=charts, timeout=PATIENCE)
            return page.evaluate("drawn.last") / 1_000
        finally:
            context.close()


if __name__ == "__main__":
    main()
