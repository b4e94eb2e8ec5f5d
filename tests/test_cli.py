"""The command line: the page's numbers as JSON, and one sentence with status 2 for bad input."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import main
from core.comparison import MEASURES, Comparison, label
from core.config import GALLERY
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.i18n import use_language
from core.store import Store
from core.verdict import verdict
from tests.conftest import ROOT
from tests.test_settings import HOSTILE, MEGABYTE

SAMPLE = [link for number, link in enumerate(HOSTILE) if number % 5 == 0 or number > 330]


def _default() -> Comparison:
    study = EXPERIMENT.study(OverfittingSettings())
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    return comparison


def _refused(capsys, arguments: list[str]) -> str:
    """Run a command that must be refused; return its one line on standard error."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert len(captured.err.strip().splitlines()) == 1
    assert "Traceback" not in captured.err
    return captured.err.strip()


@pytest.mark.parametrize("link", [*SAMPLE, MEGABYTE], ids=range(len(SAMPLE) + 1))
def test_hostile_link_is_one_line_and_status_2(capsys, link):
    line = _refused(capsys, ["compare", f"overfitting?{link}", "--json", "--lang", "en"])
    assert "Expected" in line
    assert "received" in line


@pytest.mark.parametrize(
    "link",
    ["", "?", "unknown?n_train=200", "Overfitting", "../../etc/passwd", "http://[::1", "overfitting.py?x", "n_train=200",
     "'; DROP TABLE runs", "\x00", "a" * 100_000, "http://host/other?n_train=200", "💥"],
    ids=range(13),
)  # fmt: skip
def test_unknown_experiment_is_one_line_that_names_the_known(capsys, link):
    line = _refused(capsys, ["compare", link])
    assert "Expected" in line
    assert "overfitting" in line or "?" in line
    assert len(line) < 500


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["compare"], ["compare", "overfitting", "--lang", "xx"]])
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_out_that_is_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    line = _refused(capsys, ["compare", "overfitting", "--out", str(tmp_path / "file")])
    assert "Expected" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORKERS", "many"), ("WORKERS", "0"), ("IDLE_SECONDS", "-1"), ("SCHEDULER", "host:8786"), ("PUBLIC_URL", "x")],
)
def test_wrong_environment_is_one_line_and_status_2(capsys, monkeypatch, name, value):
    monkeypatch.setenv(f"CONTRASTE_{name}", value)
    line = _refused(capsys, ["compare", "overfitting"])
    assert f"CONTRASTE_{name}" in line
    assert "Expected" in line


def test_json_holds_the_numbers_of_the_page(capsys):
    assert main(["compare", "overfitting", "--json", "--lang", "en"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.strip().splitlines()) == 1
    printed = json.loads(captured.out)
    comparison = _default()
    assert printed["digest"] == comparison.study.digest
    assert printed["settings"] == json.loads(json.dumps(dict(OverfittingSettings())))
    assert printed["verdict"] == verdict(comparison)

    rows = comparison.outcomes.set_index(["arm", "seed", "at"])
    assert list(printed["arms"]) == [label(arm) for arm in comparison.study.arms]
    for arm in comparison.study.arms:
        entry = printed["arms"][label(arm)]
        assert entry["parameters"] > 0
        assert entry["seconds"] > 0
        assert list(entry["seeds"]) == [str(seed) for seed in comparison.study.seeds]
        for seed in comparison.study.seeds:
            for at in ("best", "last"):
                for measure in ("validation_loss", "validation_score", "train_loss", "gap"):
                    assert entry["seeds"][str(seed)][at][measure] == rows.loc[(arm.name, seed, at), measure]

    assert len(printed["comparisons"]) == len(MEASURES) * len(comparison.study.treatments)
    for entry in printed["comparisons"]:
        assert {"arm", "measure", "difference", "low", "high", "seeds", "significant"} <= set(entry)
        assert entry["low"] < entry["difference"] < entry["high"]
        assert entry["seeds"] == 5
        if entry["significant"]:
            assert entry["low"] > 0 or entry["high"] < 0


def test_copied_address_of_a_page_is_read_like_a_link(capsys):
    assert (
        main(["compare", f"http://localhost:8501/overfitting?{OverfittingSettings().query()}&lang=es", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["digest"] == _default().study.digest


def test_without_json_the_verdict_is_printed(capsys):
    assert main(["compare", "overfitting", "--lang", "en"]) == 0
    assert capsys.readouterr().out.strip() == verdict(_default())


def test_language_changes_the_verdict_and_no_number(capsys):
    assert main(["compare", "overfitting", "--json", "--lang", "es"]) == 0
    spanish = json.loads(capsys.readouterr().out)
    use_language("es")
    assert spanish["verdict"] == verdict(_default())
    use_language("en")
    assert main(["compare", "overfitting", "--json", "--lang", "en"]) == 0
    english = json.loads(capsys.readouterr().out)
    assert spanish["digest"] == english["digest"]
    assert [c["difference"] for c in spanish["comparisons"]] == [c["difference"] for c in english["comparisons"]]
    assert [a["seeds"] for a in spanish["arms"].values()] == [a["seeds"] for a in english["arms"].values()]


def test_out_writes_tidy_tables(capsys, tmp_path):
    folder = tmp_path / "new" / "folder"
    assert main(["compare", "overfitting", "--out", str(folder)]) == 0
    capsys.readouterr()
    tables = {}
    for file in folder.iterdir():
        with file.open(newline="") as opened:
            tables[file.stem] = list(csv.DictReader(opened))
    assert set(tables) == {"curves", "outcomes", "effects"}
    arms = {arm.name for arm in _default().study.arms}
    assert {row["arm"] for row in tables["curves"]} == arms
    assert len(tables["outcomes"]) == len(arms) * 5 * 2
    assert len(tables["curves"]) == len(arms) * 5 * 101


def _run(arguments: list[str], store: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "core", *arguments],
        cwd=ROOT,
        env={**os.environ, "CONTRASTE_STORE": f"sqlite:///{store}", "CONTRASTE_WORKERS": "2"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.slow
def test_command_trains_what_is_missing_once(tmp_path):
    link = "overfitting?n_train=40&epochs=3&seeds=2&arms=l2,early_stopping&width=16&depth=1"
    first = _run(["compare", link, "--json"], tmp_path / "r.sqlite")
    assert first.returncode == 0, first.stderr
    second = _run(["compare", link, "--json"], tmp_path / "r.sqlite")
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert one == two  # seconds of training included: nothing was trained again
    assert {entry["seeds"] for entry in one["comparisons"]} == {2}


@pytest.mark.slow
def test_command_refuses_in_a_process_of_its_own(tmp_path):
    done = _run(["compare", "overfitting?epochs=0"], tmp_path / "r.sqlite")
    assert done.returncode == 2
    assert not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1
