"""Run one training inside a worker process; TensorFlow is imported here and only when a run starts.

What goes in and out is plain data, so that neither side needs the other's classes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.lessons import LessonRun
    from core.result import RunResult

TOPIC = "contraste"
REPORT_EVERY = 0.1  # seconds between two messages of one run

_stopped: dict[str, float] = {}


def stop(digests: list[str], asked_at: float) -> None:
    """Ask this worker to end runs at their next epoch; runs submitted after `asked_at` go on."""
    for digest in digests:
        _stopped[digest] = asked_at


def prepare() -> None:
    """Import TensorFlow, without its start-up chatter, and set its threads, once a process."""
    with _quiet():
        from core.training import use_one_thread
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # each run traces its own graphs; TensorFlow would warn of that in the terminal
    with contextlib.suppress(RuntimeError):  # TensorFlow has started already, with its threads set
        use_one_thread()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send what C++ writes to standard error nowhere; no log level reaches TensorFlow's first lines."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def warm_up() -> str:
    """Get a worker to its feet; the preload has done the work by the time this runs."""
    return "warm"


def run(experiment: str, spec_json: str, digest: str, submitted_at: float, files: dict[str, bytes]) -> dict[str, Any]:
    """Train the run that `spec_json` describes and report its epochs as events.

    `files` are the data that a viewer brought, by their SHA-256.

    Returns:
        ``{"info": JSON, "frames": {name: Arrow bytes}}``, or ``{"reason": …, "detail": …}`` for a run
        that could not be trained.
    """
    import json

    from distributed import get_worker

    from core import attachments
    from core.datasets.loaders import DamagedDownloadError, DownloadError
    from core.experiments import experiments
    from core.lessons import LessonRun

    worker = get_worker()
    reporter = _Reporter(worker.log_event, digest)
    attachments.provide(files)
    fields = json.loads(spec_json)
    if fields["experiment"] == LessonRun.experiment:
        return _lesson(LessonRun(**{name: fields[name] for name in LessonRun.model_fields}), reporter)
    described = experiments()[fields.pop("experiment")]
    if fields.pop("recipe") != described.spec.recipe:
        return {"reason": "error", "detail": "The worker runs another version of the code."}
    spec = described.spec(**fields)
    try:
        result = described.train(
            spec, reporter.epoch, lambda: _stopped.get(digest, 0.0) >= submitted_at, reporter.download
        )
    except DownloadError as error:
        return {"reason": "download", "detail": error.folder}
    except DamagedDownloadError as error:
        return {"reason": "damaged-download", "detail": str(error)}
    except Exception as error:
        return {"reason": "error", "detail": f"{type(error).__name__}: {error}"[:300]}
    return _packed(result)


def save_model(experiment: str, spec_json: str, files: dict[str, bytes], frames: dict[str, bytes]) -> dict[str, Any]:
    """Write the net that a run ended with as a `.keras` file.

    Returns:
        ``{"file": bytes}``, or why there is none, as `run` does.
    """
    import json
    import tempfile
    from pathlib import Path

    from core import attachments
    from core.datasets.loaders import DownloadError
    from core.experiments import experiments
    from core.store import decode_frame

    attachments.provide(files)
    fields = json.loads(spec_json)
    described = experiments()[fields.pop("experiment")]
    del fields["recipe"]
    try:
        kept = {name: decode_frame(data) for name, data in frames.items()}
        model = described.trained_model(described.spec(**fields), kept)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return {"file": path.read_bytes()}
    except DownloadError as error:
        return {"reason": "download", "detail": error.folder}
    except Exception as error:
        return {"reason": "error", "detail": f"{type(error).__name__}: {error}"[:300]}


def _packed(result: RunResult) -> dict[str, Any]:
    from core.store import encode_frame

    frames = {name: encode_frame(frame) for name, frame in result.frames.items()}
    return {"info": result.info.model_dump_json(), "frames": frames}


def _lesson(run: LessonRun, reporter: _Reporter) -> dict[str, Any]:
    """Execute both sides of a lesson."""
    from core.experiments import experiments
    from core.lessons import execute, lesson_run
    from core.training import host, versions

    lessons = experiments()[run.page].corrections
    if run.digest not in {lesson_run(run.page, lesson).digest for lesson in lessons}:
        return {"reason": "error", "detail": "The worker runs another version of the code."}
    try:
        result = execute(run, lessons, versions(), host())
    except Exception as error:
        return {"reason": "error", "detail": f"{type(error).__name__}: {error}"[:300]}
    reporter.epoch(0, result.curves.iloc[0, 1:])
    return _packed(result)


class _Reporter:
    """Bundle epochs into messages, the first one at once."""

    def __init__(self, send, digest: str):
        self.send, self.digest = send, digest
        self.rows: list[list[float]] = []
        self.samples: list[dict[str, Any]] = []
        self.sent_at = 0.0
        self.send(TOPIC, {"digest": digest, "started": True})

    def epoch(self, epoch: int, row: Sequence[float], sample: Mapping[str, Any] | None = None) -> None:
        """Take what an epoch brought, and pass it on when it is time."""
        self.rows.append([float(epoch), *(float(value) for value in row)])
        if sample is not None:
            self.samples.append(dict(sample))
        now = time.monotonic()
        if now - self.sent_at >= REPORT_EVERY:
            self.send(TOPIC, {"digest": self.digest, "rows": self.rows, "samples": self.samples})
            self.rows, self.samples, self.sent_at = [], [], now

    def download(self, _stage: str, arrived: int) -> None:
        """Pass on how many bytes have arrived."""
        self.send(TOPIC, {"digest": self.digest, "downloaded": arrived})
