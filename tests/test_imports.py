"""Who may import what: read from the sources, and watched in a fresh interpreter."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.experiments import experiments
from tests.conftest import ROOT

SOURCES = sorted([ROOT / "app.py", *(ROOT / "core").rglob("*.py"), *(ROOT / "pages").glob("*.py")])


def _imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """List the modules that a source file imports, those inside functions included unless asked otherwise."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if not top_level_only else list(_executed(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _executed(node: ast.AST):
    """Walk what runs when a module is imported: no function's body, no block for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _executed(child)


def _users_of(*packages: str, top_level_only: bool = False) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for name in _imports(path, top_level_only=top_level_only)
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    }


def test_sources_are_found():
    names = {path.relative_to(ROOT).as_posix() for path in SOURCES}
    assert {"app.py", "core/settings.py", "core/ui/page.py", "pages/overfitting.py"} <= names


def test_only_the_interface_imports_streamlit():
    assert all(name.startswith(("core/ui/", "pages/", "app.py")) for name in _users_of("streamlit"))


def test_only_charts_import_altair():
    assert all(name.startswith("core/charts/") for name in _users_of("altair"))


def test_only_workers_import_tensorflow_when_they_are_imported():
    workers = _users_of("tensorflow", "keras", top_level_only=True)
    assert "core/training.py" in workers
    modules = [name.removesuffix(".py").replace("/", ".") for name in workers]
    assert _users_of(*modules, top_level_only=True) <= workers


def test_experiments_and_what_they_stand_on_know_no_interface():
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("core/ui/", "pages/", "app.py")):
            continue
        assert not {module for module in _imports(path) if module.startswith(("core.ui", "pages"))}, name


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("core/i18n.py", set()),
        ("core/statistics.py", set()),
        ("core/settings.py", {"core.i18n"}),
        ("core/attachments.py", set()),
        ("core/spec.py", {"core.attachments"}),
        ("core/study.py", {"core.spec"}),
        ("core/result.py", {"core.i18n"}),
        ("core/store.py", {"core.attachments", "core.result"}),
        ("core/fields.py", {"core.attachments", "core.i18n", "core.datasets", "core.settings"}),
    ],
)
def test_lower_modules_import_nothing_above_them(name, allowed):
    own = {module for module in _imports(ROOT / name) if module.split(".")[0] == "core"}
    assert {".".join(module.split(".")[:2]) for module in own} <= allowed


@pytest.mark.parametrize("name", experiments())
def test_experiment_imports_no_chart_engine_or_store(name):
    own = _imports(ROOT / "core" / "experiments" / f"{name}.py")
    assert not {m for m in own if m.startswith(("core.charts", "core.engine", "core.store", "core.cli"))}


_FRESH = """
import json, sys
import core.cli, core.gallery, core.store, core.engine.client, core.ui.page
from pathlib import Path
from streamlit.testing.v1 import AppTest
from core.ui.services import services
services().engine.close()
app = AppTest.from_file(str(Path("app.py").resolve()), default_timeout=60).run()
assert not app.exception, app.exception
for page in sorted(Path("pages").glob("*.py")):
    app.switch_page(str(page.resolve()))
    app.run()
    assert not app.exception, (page, app.exception)
    assert app.title
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_no_page_brings_tensorflow_into_the_web_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FRESH],
        cwd=ROOT,
        env={**os.environ, "CONTRASTE_STORE": f"sqlite:///{tmp_path / 'r.sqlite'}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    loaded = set(json.loads(done.stdout.strip().splitlines()[-1]))
    assert "streamlit" in loaded
    assert not {"tensorflow", "keras", "sklearn", "torch", "jax"} & loaded
