"""The shipped results: all that the presets ask for, nothing else, small, and still what training gives."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from core.config import GALLERY
from core.experiments import experiments
from core.gallery import gallery_specs
from core.lessons import LessonRun
from core.store import Store
from tests.conftest import downloads


@pytest.fixture(scope="module")
def shipped():
    store = Store("", GALLERY)
    yield store
    store.close()


def test_gallery_holds_every_run_of_every_preset_whole(shipped):
    specs = gallery_specs()
    results = shipped.get(specs)
    assert set(results) == set(specs)
    assert not shipped.damaged
    for digest, result in results.items():
        assert result.is_complete
        assert result.info.digest == digest
        assert result.info.spec == specs[digest].canonical()
        assert result.info.parameters > 0 or specs[digest].experiment == LessonRun.experiment
        assert result.info.versions["keras"]
        assert len(result.curves) == result.info.epochs + 1


def test_gallery_holds_nothing_else():
    for name in experiments():
        with closing(sqlite3.connect(f"file:{GALLERY / name}.sqlite?mode=ro&immutable=1", uri=True)) as connection:
            stored = {digest for (digest,) in connection.execute("SELECT digest FROM runs")}
            frames = {digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM frames")}
        assert stored == frames == set(gallery_specs([name]))


def test_gallery_is_small_and_one_file_an_experiment():
    assert sum(file.stat().st_size for file in GALLERY.iterdir()) < 20e6
    assert {file.name for file in GALLERY.iterdir()} == {f"{name}.sqlite" for name in experiments()}


def test_every_preset_that_goes_wrong_shows_why(shipped):
    from core.comparison import Comparison

    for experiment in experiments().values():
        for preset in experiment.presets:
            study = experiment.study(experiment.settings.parse(preset.query))
            comparison = Comparison(study, shipped.get(spec.digest for spec in study.runs.values()))
            odd = sum(
                comparison.seeds_with(arm, collapsed=True) + comparison.seeds_with(arm, status="diverged")
                for arm in study.arms
            )
            if preset.goes_wrong:
                assert odd, preset.name
            else:
                assert not odd, preset.name


@pytest.mark.slow
@pytest.mark.parametrize("name", experiments())
def test_recording_an_entry_again_gives_its_numbers(shipped, name):
    """Compare with tolerances: another processor or thread count adds sums in another order.

    One epoch amplifies such rounding little; a hundred epochs of an unstable minimization amplify it
    a lot, so the end is only held to 5 %.
    """
    experiment = experiments()[name]
    study = experiment.study(experiment.settings())
    spec = study.spec(study.arms[1], study.seeds[0])
    recorded = shipped.get([spec.digest])[spec.digest]
    with downloads():
        again = experiment.train(spec, lambda *_epoch: None, lambda: False)
    assert again.info.digest == recorded.info.digest
    assert again.info.status == recorded.info.status
    assert again.info.parameters == recorded.info.parameters
    columns = ["train_loss", "validation_loss", "stopping_loss", "penalty"]
    old, new = (result.curves[columns].to_numpy() for result in (recorded, again))
    assert old.shape == new.shape
    np.testing.assert_allclose(new[:2], old[:2], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(new[-1], old[-1], rtol=5e-2, atol=1e-6)


def test_recording_that_fails_says_why_and_leaves_the_old_file(tmp_path, monkeypatch, capsys):
    from core import cli
    from core.result import RunFailure

    class Lost:
        """An engine whose runs all fail, as without a network."""

        def __init__(self, *_arguments):
            self.submit = self.wait = lambda *_: None
            self.close = lambda: None

        def partial(self, digests):
            return {digest: RunFailure(digest=digest, reason="download", detail="/some/folder") for digest in digests}

    old = tmp_path / "rnn.sqlite"
    old.write_bytes(b"")
    monkeypatch.setattr("core.gallery.Engine", Lost)
    monkeypatch.setattr(cli, "GALLERY", tmp_path)
    assert cli.main(["gallery", "rnn", "--anew"]) == 1
    said = capsys.readouterr().err
    assert "could not be downloaded" in said
    assert "/some/folder" in said
    assert old.read_bytes() == b""
