"""The work that every way of training is timed on, and our own way through it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from core.config import Config
from core.engine.client import Engine
from core.experiments import Experiment, experiments
from core.experiments.overfitting import EXPERIMENT, OverfittingRun
from core.spec import RunSpec
from core.store import Store
from core.study import Study

EPOCHS = 100
WORKERS = 2
# Early stopping gets a patience longer than the run, so that every arm of both sides trains all epochs.
WORK = f"n_train=200&flipped=0&seeds=3&epochs={EPOCHS}&arms=l1,l2,dropout,early_stopping&patience=500"
WARM_UP = "dataset=wine&n_train=50&flipped=0&seeds=8&epochs=30&arms=l2&width=16&depth=1"


SWEEP = f"n_train=300&seeds=5&epochs={EPOCHS}&arms=l2&along=l2"


@dataclass(frozen=True)
class Timing:
    """Seconds of all runs, and from their submission to the first point that a page could draw.

    `busy` is the share of the workers' time that went into runs, graphs included, in [0, 1].
    """

    seconds: float
    first_point: float
    busy: float


def read(query: str = WORK) -> tuple[Experiment, Study]:
    """Read the settings as a link gives them."""
    experiment = experiments()["overfitting"]
    return experiment, experiment.study(experiment.settings.parse(query))


def one_run_an_arm() -> tuple[Experiment, list[RunSpec], int]:
    """List the first seed's run of every arm, and how many runs they stand for."""
    experiment, study = read()
    return experiment, [study.spec(arm, study.seeds[0]) for arm in study.arms], len(study.runs)


def swept() -> list[OverfittingRun]:
    """List the runs of the strength sweep: 8 strengths and the baseline they share, 5 seeds each."""
    settings = experiments()["overfitting"].settings.parse(SWEEP)
    return [spec for spec in EXPERIMENT.series(settings).runs.values() if isinstance(spec, OverfittingRun)]


def time_ours(specs: Sequence[RunSpec] | None = None, workers: int = WORKERS) -> Timing:
    """Train the work on a warm engine that has not seen it: another study has run, no result is stored."""
    specs = specs or list(read()[1].runs.values())
    store = Store("")
    engine = Engine(store, Config(store_url="", workers=workers))
    try:
        _train(engine, list(read(WARM_UP)[1].runs.values()))
        engine._client.wait_for_workers(workers, timeout=60)  # the second may still be importing TensorFlow
        started = time.perf_counter()
        first = _train(engine, specs)
        seconds = time.perf_counter() - started
        digests = [spec.digest for spec in specs]
        results = store.get(digests)
        short = [digest for digest in digests if digest not in results or results[digest].info.epochs != EPOCHS]
        if short:
            raise RuntimeError(f"{len(short)} runs did not train {EPOCHS} epochs: {engine.partial(short)}")
        busy = sum(result.info.seconds for result in results.values()) / (workers * seconds)
        return Timing(seconds, first - started, busy)
    finally:
        engine.close()
        store.close()


def _train(engine: Engine, specs: Sequence[RunSpec]) -> float:
    digests = [spec.digest for spec in specs]
    first = 0.0

    def look() -> None:
        nonlocal first
        if not first and engine.partial(digests):
            first = time.perf_counter()

    engine.submit(specs)
    engine.wait(digests, 0.01, look)
    return first or time.perf_counter()
