"""The README is true: its commands run, and its tables name what the code reads."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.experiments import experiments

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """List the commands of the fenced `sh` blocks, one a line."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def section(title: str) -> str:
    """Return the text below a heading, up to the next one."""
    return re.split(r"^## ", README.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


COMMANDS = commands(README)
START = [c for c in COMMANDS if c.startswith("python3 -m core start")]
TEST = [c for c in COMMANDS if c.startswith("python3 -m core test")]
COMPARE = [c for c in COMMANDS if c.startswith("python3 -m core compare ")]
SETTINGS = [c for c in COMMANDS if c.startswith("python3 -m core settings ")]
GALLERY = [c for c in COMMANDS if c.startswith("python3 -m core gallery")]
DASK = [c for c in COMMANDS if c.startswith(".venv/bin/python -m dask ")]


def words(command: str) -> list[str]:
    """Split a command and run it with this interpreter instead of the one it names."""
    first, *rest = shlex.split(command)
    assert first in ("python3", ".venv/bin/python")
    return [sys.executable, *rest]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Keep results in `folder`, and find the project from any working directory."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("CONTRASTE_")}
    return kept | {"CONTRASTE_STORE": f"sqlite:///{folder / 'store.sqlite'}", "PYTHONPATH": str(ROOT), **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], folder: Path, cwd: Path = ROOT) -> Iterator[subprocess.Popen]:
    """Run a server, and end it."""
    log = folder / f"{command[-1].replace('/', '_')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(folder), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def wait_until(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read() == b"ok"
    except OSError:
        return False


def test_every_command_is_of_a_kind_that_is_run_below():
    assert START == ["python3 -m core start"]
    assert len(TEST) == 1
    assert COMPARE
    assert sorted(COMMANDS) == sorted(START + TEST + SETTINGS + COMPARE + GALLERY + DASK)


@pytest.mark.slow
@pytest.mark.parametrize("command", START)
def test_start_answers_the_health_check(command, tmp_path):
    port = free_port()
    options = ["--server.address", "127.0.0.1", "--server.port", str(port)]
    with running([*words(command), *options], tmp_path) as server:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/_stcore/health"), server)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMPARE)
def test_compare_does_what_the_readme_says(command, tmp_path):
    done = subprocess.run(
        words(command), cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    if "--json" in command:
        assert json.loads(done.stdout)["verdict"]
    else:
        assert done.stdout.strip()
    if "--out" in command:
        folder = tmp_path / shlex.split(command.split("--out ")[1])[0]
        assert {file.name for file in folder.iterdir()} == set(re.findall(r"`(\w+\.csv)`", section("The command line")))
        for file in folder.iterdir():
            with file.open(newline="") as table:
                assert len(list(csv.reader(table))) > 1
    else:
        assert {path.stem for path in tmp_path.iterdir()} <= {"store"}


@pytest.mark.parametrize("command", SETTINGS)
def test_settings_lists_every_setting(command, tmp_path):
    done = subprocess.run(words(command), cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for key in experiments()[shlex.split(command)[-1]].settings.model_fields:
        assert f"\n{key}=" in f"\n{done.stdout}"


@pytest.mark.parametrize("command", GALLERY)
def test_the_gallery_command_is_accepted(command, tmp_path):
    done = subprocess.run([*words(command), "--help"], cwd=ROOT, env=environment(tmp_path), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_a_scheduler_and_workers_train_for_a_client_elsewhere(tmp_path):
    port = str(free_port())
    scheduler, worker = ([word.replace("8786", port) for word in words(command)] for command in DASK)
    link = "overfitting?dataset=digits&n_train=50&epochs=2&seeds=1&arms=l2"
    with running([*scheduler, "--no-dashboard"], tmp_path), running(worker, tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "core", "compare", link, "--json"],
            cwd=tmp_path,
            env=environment(tmp_path, CONTRASTE_SCHEDULER=f"tcp://127.0.0.1:{port}"),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert all(arm["seeds"]["0"]["status"] == "complete" for arm in json.loads(done.stdout)["arms"].values())


def test_ci_runs_exactly_the_test_command_in_a_fresh_environment(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    (tmp_path / ".venv").mkdir()
    (tmp_path / "bin").mkdir()
    recorder = tmp_path / "bin" / "python3"
    recorder.write_text(
        f'#!/bin/sh\nprintf "%s\\n" python3 "$@" > "{tmp_path}/ran"\nls -a > "{tmp_path}/seen"\nexit 7\n'
    )
    recorder.chmod(0o755)
    done = subprocess.run(
        [str(tmp_path / ".ci" / "run")],
        cwd="/",
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    assert (tmp_path / "ran").read_text().split() == shlex.split(TEST[0])
    seen = (tmp_path / "seen").read_text().split()
    assert "README.md" in seen  # it runs in the project's folder
    assert ".venv" not in seen


def test_the_table_of_variables_is_the_one_the_code_reads():
    read = re.findall(r"CONTRASTE_[A-Z][A-Z_]*", (ROOT / "core" / "config.py").read_text(encoding="utf-8"))
    listed = re.findall(r"^\| `(CONTRASTE_[A-Z_]+)` \|", section("Hosting"), re.MULTILINE)
    assert sorted(listed) == sorted(set(read))


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "pages").glob("*.py")))
def test_every_page_is_named(page):
    named = [name.lower() for name in re.findall(r"^- \*\*(.+?)\*\*", section("The pages"), re.MULTILINE)]
    assert page.replace("_", " ") in named
