"""Share what several test modules need: constructed results, a store of one's own, the page under test."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from core.config import Config
from core.experiments.overfitting import EXPERIMENT
from core.i18n import use_language
from core.result import CURVE_COLUMNS, RunInfo, RunResult
from core.study import Study

if TYPE_CHECKING:
    from core.ui.services import Services

ROOT = Path(__file__).resolve().parents[1]
SHAKESPEARE_FILE = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"

# Before any test reads the environment: no test may touch the results of the person who runs it.
_home = tempfile.TemporaryDirectory(prefix="contraste-tests-")
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
os.environ["CONTRASTE_STORE"] = f"sqlite:///{_home.name}/results.sqlite"
if SHAKESPEARE_FILE.exists():  # where Keras' loader looks before it downloads
    _cache = Path(_home.name) / "keras" / "datasets"
    _cache.mkdir(parents=True)
    shutil.copy(SHAKESPEARE_FILE, _cache)
    os.environ["KERAS_HOME"] = str(_cache.parent)
for _name in ("SCHEDULER", "WORKERS", "IDLE_SECONDS", "PUBLIC_URL", "DELETE"):
    os.environ.pop(f"CONTRASTE_{_name}", None)

settings.register_profile(
    "contraste", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("contraste")


@contextlib.contextmanager
def downloads() -> Iterator[None]:
    """Skip the test where its data are neither here nor to be had."""
    from core.datasets.loaders import DownloadError

    try:
        yield
    except DownloadError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """Start and leave every test in English, whatever language it tries."""
    use_language("en")
    yield
    use_language("en")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Configure an installation that keeps its results in this test's folder."""
    return Config(store_url=f"sqlite:///{tmp_path / 'results.sqlite'}", workers=2, idle_seconds=60)


@pytest.fixture
def page() -> Iterator[Services]:
    """Give the services of a server whose engine is closed: pages are real, but nothing trains."""
    from core.ui.services import services

    services.clear()
    shared = services()
    shared.engine.close()
    yield shared
    services.clear()


def small_study(seeds: int = 3, arms: Sequence[str] = ("l1", "l2"), epochs: int = 4, **values: object) -> Study:
    """Set a study of the overfitting page that needs no more than constructed results."""
    return EXPERIMENT.study(EXPERIMENT.settings(seeds=seeds, arms=tuple(arms), epochs=epochs, **values))


def result_of(
    spec,
    validation: Sequence[float] | np.ndarray,
    *,
    train: Sequence[float] | np.ndarray | None = None,
    score: Sequence[float] | None = None,
    penalty: float = 0.0,
    status: str = "complete",
    final_epoch: int | None = None,
    prior_loss: float = 2.3,
    seconds: float = 1.0,
) -> RunResult:
    """Construct the result of `spec` from its validation losses by epoch, the first before training."""
    n = len(validation)
    curves = pd.DataFrame({name: np.zeros(n, "float32") for name in CURVE_COLUMNS})
    curves["validation_loss"] = curves["stopping_loss"] = np.asarray(validation, "float32")
    curves["train_loss"] = np.asarray(train if train is not None else np.linspace(1.0, 0.1, n), "float32")
    curves["validation_score"] = np.asarray(score if score is not None else np.linspace(0.1, 0.8, n), "float32")
    curves["penalty"] = np.float32(penalty)
    curves.insert(0, "epoch", np.arange(n, dtype="int32"))
    finite = np.where(np.isfinite(curves["validation_loss"]), curves["validation_loss"], np.inf)
    info = RunInfo(
        digest=spec.digest,
        spec=spec.canonical(),
        status=status,
        epochs=n - 1,
        final_epoch=n - 1 if final_epoch is None else final_epoch,
        best_epoch=int(np.argmin(finite)),
        parameters=1_000,
        prior_loss=prior_loss,
        seconds=seconds,
        versions={"keras": "0"},
        host="test",
        recorded=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )
    return RunResult(info, {"curves": curves})


def results_of(study: Study, losses: Mapping[str, Sequence[float]], **keywords: Any) -> dict[str, RunResult]:
    """Construct results from each arm's final validation loss by seed; arms left out have none."""
    return {
        study.spec(arm, seed).digest: result_of(
            study.spec(arm, seed), [2.3, loss * 1.1, loss * 1.05, loss * 1.02, loss], **keywords
        )
        for arm in study.arms
        if arm.name in losses
        for seed, loss in zip(study.seeds, losses[arm.name], strict=True)
    }
