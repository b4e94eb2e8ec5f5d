"""Measure the web process after twenty visits: `python -m tests.benchmarks.memory` (Linux)."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks._common import ROOT, browser, print_figure, say, server
from tests.benchmarks._pages import PAGE, shape

SESSIONS = 20
DRAWN = "expected => document.querySelectorAll('[data-testid=stVegaLiteChart] svg.marks').length === expected"


def main() -> None:
    """Open and close the page in twenty sessions and read what is resident at the end."""
    charts = len(shape()["charts"])
    with server(ROOT / "app.py") as (address, pid), browser() as chromium:
        say(f"web process before the first visit: {resident(pid):.0f} MB")
        for session in range(1, SESSIONS + 1):
            context = chromium.new_context()
            page = context.new_page()
            page.goto(f"{address}/{PAGE}", wait_until="commit")
            page.wait_for_function(DRAWN, arg=charts, timeout=60_000)
            context.close()
            if session in (1, 5, 10, SESSIONS):
                say(f"after {session} sessions: {resident(pid):.0f} MB")
        below = children(pid)
        web, others = resident(pid), sum(resident(child) for child in below)
    say(f"{len(below)} child processes")
    print_figure("megabytes", "web_process", web)
    print_figure("megabytes", "child_processes", others)


def resident(pid: int) -> float:
    """Read the resident memory of a process in megabytes (10⁶ bytes); 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) * 1_024 / 1e6 for line in lines if line.startswith("VmRSS:")), 0.0)


def children(pid: int) -> list[int]:
    """List the processes below `pid`, at any depth."""
    below = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            below += [int(child), *children(int(child))]
    return below


if __name__ == "__main__":
    main()
