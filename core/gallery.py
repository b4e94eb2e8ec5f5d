"""Record the results that ship with the code: the default and every preset of every experiment."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from core.config import Config
from core.engine.client import Engine
from core.experiments import experiments
from core.result import RunFailure, RunResult
from core.spec import RunSpec
from core.store import Store


class RecordingError(Exception):
    """Runs that have no result, so that nothing was recorded; its text is the sentence to print."""


def gallery_specs(names: Sequence[str] = ()) -> dict[str, RunSpec]:
    """List the runs of all presets that are recorded, by digest; of the first one also those of its series."""
    specs: dict[str, RunSpec] = {}
    for experiment in experiments().values():
        if names and experiment.name not in names:
            continue
        for preset in experiment.presets:
            if not preset.is_recorded:
                continue
            settings = experiment.settings.parse(preset.query)
            # The first preset is what a newcomer sees: everything its page can show is recorded.
            if preset is experiment.presets[0]:
                specs |= experiment.recorded(settings)
            specs |= {spec.digest: spec for spec in experiment.study(settings).runs.values()}
    return specs


def record(
    folder: Path,
    config: Config,
    names: Sequence[str] = (),
    *,
    anew: bool = False,
    on_progress: Callable | None = None,
) -> int:
    """Train what the gallery lacks and write it anew, with exactly the runs that presets ask for.

    Args:
        folder: Where each experiment has its file; replaced when its runs are recorded, not before.
        config: Where to train.
        names: Experiments to record; all where empty.
        anew: Train everything again.
        on_progress: Called with the engine's progress twice a second.

    Returns:
        How many runs were trained.

    Raises:
        RecordingError: When a run failed; the old file stays.
    """
    return sum(
        _record_one(folder / f"{name}.sqlite", name, config, anew=anew, on_progress=on_progress)
        for name in names or experiments()
    )


def _record_one(path: Path, name: str, config: Config, *, anew: bool, on_progress: Callable | None) -> int:
    specs = gallery_specs([name])
    kept: dict[str, RunResult] = {}
    if path.exists() and not anew:
        old = Store("", path)
        kept = old.get(specs)
        old.close()
    missing = [spec for digest, spec in specs.items() if digest not in kept]
    trained = train_all(missing, config, on_progress) if missing else {}
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "gallery.sqlite"
        store = Store(f"sqlite:///{fresh}")
        for digest in specs:
            store.put(kept.get(digest) or trained[digest])
        store.close()
        with sqlite3.connect(fresh) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # one file, readable where nothing can be written
            connection.execute("VACUUM")
        connection.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fresh.read_bytes())
    return len(missing)


def train_all(specs: list[RunSpec], config: Config, on_progress: Callable | None = None) -> dict[str, RunResult]:
    """Train `specs` on a cluster of their own and return their results.

    Raises:
        RecordingError: Says why the first run without a result has none.
    """
    store = Store("")
    engine = Engine(store, config)
    try:
        engine.submit(specs)
        digests = [spec.digest for spec in specs]
        engine.wait(digests, 0.5, (lambda: on_progress(engine.progress(digests))) if on_progress else None)
        results = store.get(digests)
        for digest in digests:
            if digest not in results:
                failure = engine.partial([digest]).get(digest)
                reason = failure.sentence() if isinstance(failure, RunFailure) else "it has no result."
                raise RecordingError(f"Nothing was recorded. Run {digest[:10]}: {reason}")
        return results
    finally:
        engine.close()
