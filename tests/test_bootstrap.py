"""The commands that a newcomer runs with nothing but Python there."""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import bootstrap
from tests.browser_path import find_browser

ROOT = Path(__file__).resolve().parents[1]
BARE = getattr(sys, "_base_executable", sys.executable)  # outside every virtual environment


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that needs no package and whose command line tells where it runs."""
    (tmp_path / "core").mkdir()
    for name in ("__init__.py", "__main__.py", "bootstrap.py"):
        shutil.copy(ROOT / "core" / name, tmp_path / "core" / name)
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "core" / "cli.py").write_text(
        "import sys\ndef main(arguments):\n    print(sys.prefix, *arguments, flush=True)\n    return 3\n"
    )
    return tmp_path


def command(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BARE, "-m", "core", *arguments], cwd=project, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


# -- versions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py", "bootstrap.py"])
def test_old_pythons_can_read_the_first_files(name):
    tree = ast.parse((ROOT / "core" / name).read_text(encoding="utf-8"), feature_version=(3, 7))
    evaluated = [
        annotation
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for annotation in (node.returns, *(argument.annotation for argument in node.args.args))
        if annotation is not None
    ]
    assert all(isinstance(annotation, ast.Constant | ast.Name) for annotation in evaluated)


@pytest.mark.parametrize("name", ["__main__.py", "bootstrap.py"])
def test_the_first_files_import_the_standard_library_only(name):
    tree = ast.parse((ROOT / "core" / name).read_text(encoding="utf-8"))
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names | {"core"}


@pytest.mark.parametrize(
    ("version", "supported"),
    [((2, 7), False), ((3, 6), False), ((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)],
)
def test_supported_versions(version, supported):
    assert bootstrap.is_supported(version) is supported


@pytest.mark.parametrize(
    ("arguments", "other", "sentence"),
    [
        (
            [],
            None,
            "Contraste needs Python 3.11 to 3.13; this is 3.9.1 (/usr/bin/python3)."
            " Install one and run: python3.12 -m core start",
        ),
        (
            ["compare", "overfitting?l2=1&seeds=2"],
            "python3.13",
            "Contraste needs Python 3.11 to 3.13; this is 3.9.1 (/usr/bin/python3)."
            " Take python3.13, which is installed, and run: python3.13 -m core compare 'overfitting?l2=1&seeds=2'",
        ),
    ],
)
def test_an_unsupported_python_says_what_to_run(arguments, other, sentence):
    assert bootstrap.version_sentence((3, 9, 1), "/usr/bin/python3", arguments, other) == sentence


def test_an_unsupported_python_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "NEWEST", (3, 11))
    monkeypatch.setattr(bootstrap, "OLDEST", (3, 12))
    assert bootstrap.main(["start"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("Contraste needs Python")


def test_a_python_that_does_not_start_is_not_recommended(monkeypatch, tmp_path):
    for name, status in (("python3.13", 127), ("python3.12", 0)):
        stand_in(tmp_path / name, f"exit {status}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_supported() == "python3.12"


# -- requirements -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "fitting"),
    [
        ("pytest", True),
        ("pytest>=1", True),
        ("pytest<1", False),
        ("PyTest ~= 9.0", True),
        ("contraste-absent", False),
        ("contraste-absent; python_version < '3'", True),
        ("psycopg[binary]~=3.2", True),
        ("sqlalchemy[oracle]", False),
        ("--find-links elsewhere", False),
    ],
)
def test_a_requirement_is_checked_with_version_marker_and_extras(line, fitting):
    assert bootstrap.fits(line) is fitting


def test_requirements_files_are_read_with_what_they_include():
    files, lines = bootstrap.read_requirements(bootstrap.TEST_REQUIREMENTS)
    assert [Path(file).relative_to(ROOT).as_posix() for file in files] == ["tests/requirements.txt", "requirements.txt"]
    assert any(line.startswith("streamlit~=") for line in lines)
    assert any(line.startswith("pytest~=") for line in lines)
    assert not any("#" in line or line.startswith("-r") for line in lines)


def test_the_environment_of_the_tests_is_used_as_it_is():
    assert bootstrap.has_all(bootstrap.TEST_REQUIREMENTS)


def test_a_requirement_that_is_missing_calls_for_another_environment(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("pytest\ncontraste-absent\n")
    assert not bootstrap.has_all(str(requirements))


# -- the environment ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_bare_python_runs_a_command_in_an_environment_it_makes_repairs_and_keeps(project):
    venv, stamp = project / ".venv", project / ".venv" / bootstrap.STAMP

    first = command(project, "compare", "overfitting?l2=1&seeds=2")
    assert first.returncode == 3  # what the command line returned
    assert first.stdout == f"{venv} compare overfitting?l2=1&seeds=2\n"  # and nothing of the installation
    assert "Installing" in first.stderr

    second = command(project, "compare")
    assert (second.returncode, second.stdout, second.stderr) == (3, f"{venv} compare\n", "")

    (project / "requirements.txt").write_text("# nothing\n")
    changed = command(project, "compare")
    assert "Installing" in changed.stderr
    assert "Making" not in changed.stderr

    stamp.write_text(bootstrap.UNFINISHED)  # as a killed installation leaves it
    (leftover := venv / "half-copied").touch()
    repaired = command(project, "compare")
    assert (repaired.returncode, repaired.stdout) == (3, f"{venv} compare\n")
    assert "Making" in repaired.stderr
    assert not leftover.exists()

    Path(bootstrap.python_of(str(venv))).unlink()  # as a removed Python leaves it
    assert command(project, "compare").stdout == f"{venv} compare\n"


@pytest.mark.slow
def test_a_failed_installation_is_one_sentence_and_is_tried_again(project):
    (project / "requirements.txt").write_text("--no-index\ncontraste-absent==1\n")
    for _attempt in range(2):
        failed = command(project, "start")
        assert failed.returncode == 2
        assert failed.stdout == ""
        assert failed.stderr.splitlines()[-1].startswith("The packages could not be installed; the message of pip is")
        assert "Traceback" not in failed.stderr
        assert not (project / ".venv" / bootstrap.STAMP).exists()
    assert "Making" not in failed.stderr
    (project / "requirements.txt").write_text("")
    assert command(project, "compare").returncode == 3


def test_a_python_without_venv_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ensurepip", None)  # importing it now fails, as on Debian without python3-venv
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", str(tmp_path / "requirements.txt"))
    (tmp_path / "requirements.txt").write_text("contraste-absent\n")
    assert bootstrap.main(["start"]) == 2
    assert capsys.readouterr().err.startswith("This Python cannot make virtual environments")
    assert not (tmp_path / ".venv").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(project):
    (project / ".venv").write_text("a file is in the way")
    failed = command(project, "compare")
    assert failed.returncode == 2
    assert "could not be made" in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_interrupting_a_command_exits_with_130_and_no_traceback(project):
    (project / "core" / "cli.py").write_text(
        "import signal\ndef main(arguments):\n    print('ready', flush=True)\n    signal.pause()\n"
    )
    running = subprocess.Popen(
        [BARE, "-m", "core", "compare"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    os.killpg(running.pid, signal.SIGINT)
    _out, err = running.communicate(timeout=30)
    assert running.returncode == bootstrap.INTERRUPTED
    assert "Traceback" not in err


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(project):
    (project / "core" / "cli.py").write_text("def main(arguments):\n    print('line\\n' * 100_000)\n    return 0\n")
    running = subprocess.Popen(
        [BARE, "-m", "core.bootstrap", "compare"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(30) == bootstrap.UNREAD
    assert running.stderr.read() == b""
    running.stderr.close()


# -- the checks ---------------------------------------------------------------------------------------


def stand_in(path: Path, script: str) -> str:
    """Put a program of a few shell lines where another is looked for."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 2)])
def test_a_missing_browser_is_an_error_in_ci_only(monkeypatch, tmp_path, capfd, ci, status):
    # Checks pass, Playwright has no browser and gets none, and PATH holds no other.
    script = 'case "$*" in -c*|*playwright*) exit 1;; esac'
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "python", script))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CONTRASTE_BROWSER", "")
    monkeypatch.setenv("CI", ci)
    monkeypatch.chdir(ROOT)
    assert bootstrap.run(["test"]) == status
    out, err = capfd.readouterr()
    assert re.search(r"^Chromium could not be installed.*CONTRASTE_BROWSER.*\.$", err, re.MULTILINE)
    assert ("$ pytest" in out) is (status == 0)


def test_a_browser_that_playwright_installs_is_found(monkeypatch, tmp_path):
    # A Playwright whose download puts a browser where it then says that it is.
    browser = tmp_path / "playwright-chromium"
    script = f'case "$*" in -c*) echo {browser};; *playwright*) : > {browser}; /bin/chmod 755 {browser};; esac'
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "python", script))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CONTRASTE_BROWSER", "")
    assert find_browser() is None
    bootstrap.ensure_browser()
    assert find_browser() == str(browser)


def test_a_named_browser_comes_first(monkeypatch, tmp_path):
    on_path, named = stand_in(tmp_path / "chromium", ""), stand_in(tmp_path / "mine", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CONTRASTE_BROWSER", named)
    assert find_browser() == named
    monkeypatch.setenv("CONTRASTE_BROWSER", str(tmp_path / "absent"))
    assert find_browser() == on_path


def test_every_check_runs_and_one_failure_is_enough(monkeypatch, tmp_path, capfd):
    script = f'echo "$*" >> {tmp_path / "ran"}; [ "$2" != mypy ]'
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path / "python", script))
    monkeypatch.setenv("CONTRASTE_BROWSER", stand_in(tmp_path / "browser", ""))
    monkeypatch.chdir(ROOT)
    assert bootstrap.run(["test", "-m", "not slow"]) == 1
    ran = (tmp_path / "ran").read_text().splitlines()
    assert ran == ["-m ruff check", "-m ruff format --check", "-m mypy", "-m pytest -m not slow"]
    assert capfd.readouterr().err == "Failed: mypy.\n"
