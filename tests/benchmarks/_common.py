"""Start servers, browsers and fresh processes for the benchmarks, and print what they measured."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
PORTS = range(8621, 8630)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 60


def print_figure(kind: str, name: str, value: float) -> None:
    """Print one machine-readable line, such as `ratio NAME VALUE`, with three significant digits."""
    text = f"{value:#.3g}".rstrip(".") if abs(value) < 999.5 else f"{value:.0f}"
    print(f"{kind} {name} {text}", flush=True)


def say(text: str) -> None:
    """Print a line for a reader."""
    print(text, flush=True)


def in_fresh_process(module: str, *arguments: str) -> Any:
    """Run `python -m module arguments` and read the JSON of the last line that it prints."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def server(script: Path) -> Iterator[tuple[str, int]]:
    """Serve a Streamlit script from its folder with an empty store; yields its address and process id."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", script.name, f"--server.port={port}", "--server.headless=true"],
            cwd=script.parent,
            env=os.environ | {"CONTRASTE_STORE": f"sqlite:///{folder}/results.sqlite"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_healthy(address, process)
            yield address, process.pid
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError(f"Expected a free port in {PORTS.start}-{PORTS.stop - 1}; all are taken.")


def _wait_healthy(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode} before it answered.")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.02)
    raise RuntimeError(f"The server did not answer within {START_SECONDS} s.")


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start the machine's own headless Chromium."""
    from playwright.sync_api import sync_playwright

    executable = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if executable is None:
        raise SystemExit(f"No browser found. Expected one of {', '.join(BROWSERS)} on the PATH.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        try:
            yield started
        finally:
            started.close()
