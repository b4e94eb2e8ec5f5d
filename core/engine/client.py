"""Train runs once each, on Dask workers, and tell how far they are; never imports TensorFlow.

One `Engine` serves every viewer of a server. It starts the embedded cluster at the first run, or
connects to a scheduler by its address; the code path is the same. Results go to the store.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.config import ROOT, Config
from core.result import CURVE_COLUMNS, RunFailure, RunInfo, RunResult
from core.spec import RunSpec
from core.store import Store, decode_frame, encode_frame

State = Literal["queued", "running", "finished", "failed"]
MAX_WAITING = 2_000  # runs; a public dashboard answers the next viewer with a sentence, not with a stall
MAX_ATTEMPTS = 3

log = logging.getLogger(__name__)


@dataclass
class LiveRun:
    """A run on its way: its epochs so far, what its net wrote after them, and what became of it."""

    spec: RunSpec
    submitted_at: float
    state: State = "queued"
    rows: list[Sequence[float]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    downloaded: int = 0
    started_at: float = 0.0
    measured_at: float = 0.0
    attempts: int = 0
    future: Any = None
    failure: RunFailure | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.state in ("finished", "failed")


@dataclass(frozen=True)
class Progress:
    """How far a study is: runs and epochs done, seconds left (None while unknown), runs ahead of it."""

    runs: int
    runs_done: int
    epochs: int
    epochs_done: int
    seconds_left: float | None
    ahead: int
    is_starting: bool
    downloaded: int

    @property
    def share(self) -> float:
        """Return the share of epochs done, in [0, 1]."""
        return min(1.0, self.epochs_done / self.epochs) if self.epochs else 0.0


class EngineBusyError(Exception):
    """More runs wait than the server takes."""


class Engine:
    """Runs by digest, single flight: two viewers who ask for the same run share one training."""

    def __init__(self, store: Store, config: Config):
        self.store = store
        self.config = config
        self.problem = ""
        self._runs: dict[str, LiveRun] = {}
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._warm = False
        self._process: subprocess.Popen | None = None
        self._client: Any = None
        self._dispatcher: threading.Thread | None = None

    # -- what pages and commands call ---------------------------------------------------------------

    def warm_up(self) -> None:
        """Start the cluster and its workers in the background, ahead of a likely run."""
        self._warm = True
        self._start()

    def submit(self, specs: Iterable[RunSpec]) -> None:
        """Queue the runs that are neither stored whole nor on their way.

        Raises:
            EngineBusyError: When too many runs wait already; nothing is queued then.
        """
        specs = list(specs)
        stored = self.store.get(spec.digest for spec in specs)
        with self._lock:
            new = [
                spec
                for spec in specs
                if not (spec.digest in stored and stored[spec.digest].is_complete)
                and (spec.digest not in self._runs or self._runs[spec.digest].is_over)
            ]
            waiting = sum(not run.is_over for run in self._runs.values())
            if waiting + len(new) > MAX_WAITING:
                raise EngineBusyError(waiting)
            self._forget_old()
            for spec in new:
                self._runs[spec.digest] = LiveRun(spec, submitted_at=time.time())
        self._start()

    def run(self, digest: str) -> LiveRun | None:
        """Return a run that was submitted here, over or not."""
        return self._runs.get(digest)

    def is_active(self, digests: Iterable[str]) -> bool:
        """Tell whether any of the runs is queued or running."""
        return any((run := self._runs.get(digest)) is not None and not run.is_over for digest in digests)

    def stop(self, digests: Iterable[str]) -> None:
        """End runs: those at work after their epoch, keeping what they measured; the others at once."""
        with self._lock:
            sent = []
            for run in (self._runs[digest] for digest in digests if digest in self._runs):
                if run.future is not None and not run.is_over:
                    sent.append(run)
                if run.state == "queued":
                    self._over(run, "finished")
            client = self._client
        if not sent or client is None:
            return
        # Without the lock: these calls wait for the client's thread, which may wait for the lock in `_event`.
        from core.engine import task

        client.run(task.stop, [run.spec.digest for run in sent], time.time(), on_error="ignore")
        client.cancel([run.future for run in sent if run.is_over])

    def wait(self, digests: Sequence[str], poll: float = 0.05, on_poll=None) -> None:
        """Block until none of the runs is on its way."""
        while self.is_active(digests):
            if on_poll:
                on_poll()
            time.sleep(poll)

    def progress(self, digests: Sequence[str]) -> Progress:
        """Measure how far the runs among `digests` are that were submitted here."""
        with self._lock:
            runs = [self._runs[digest] for digest in digests if digest in self._runs]
            own = set(digests)
            first = min((run.submitted_at for run in runs if not run.is_over), default=0.0)
            ahead = sum(
                not run.is_over and run.submitted_at < first for digest, run in self._runs.items() if digest not in own
            )
            epochs = sum(_epochs(run.spec) for run in runs)
            done = sum(_epochs(run.spec) if run.is_over else _epochs_done(run) for run in runs)
            starting = not any(run.started_at for run in runs)
            return Progress(
                runs=len(runs),
                runs_done=sum(run.is_over for run in runs),
                epochs=epochs,
                epochs_done=done,
                seconds_left=_seconds_left(runs, epochs, done),
                ahead=ahead,
                is_starting=starting and ahead == 0,
                downloaded=max((run.downloaded for run in runs if not run.is_over), default=0),
            )

    def partial(self, digests: Iterable[str]) -> dict[str, RunResult | RunFailure]:
        """Return what the runs on their way have measured so far, marked stopped, and why runs failed."""
        found: dict[str, RunResult | RunFailure] = {}
        for digest in digests:
            run = self._runs.get(digest)
            if run is None:
                continue
            if run.failure is not None:
                found[digest] = run.failure
            elif run.state == "running" and (rows := list(run.rows)):  # emptied by another thread when it is over
                found[digest] = partial_result(run.spec, rows, list(run.samples))
        return found

    def save_model(
        self, spec: RunSpec, frames: Mapping[str, pd.DataFrame], seconds: float = 300.0
    ) -> bytes | RunFailure:
        """Have a worker write the net that a run ended with as a `.keras` file.

        Args:
            spec: The run.
            frames: Of its result, what `Experiment.kept_weights` names.
            seconds: To wait at most.
        """
        from core.engine import task

        self.warm_up()
        deadline = time.monotonic() + seconds
        while (client := self._client) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            if client is None:
                raise TimeoutError(self.problem or "no worker answers")
            packed = {name: encode_frame(frame) for name, frame in frames.items()}
            files = self._attachments(spec)
            future = client.submit(
                task.save_model, spec.experiment, spec.canonical(), files, packed, pure=False, priority=1
            )
            answer = future.result(timeout=deadline - time.monotonic())
        except Exception as error:  # whatever the cluster raises: a worker that was killed, a connection that went
            return RunFailure(digest=spec.digest, reason="error", detail=str(error)[:300] or type(error).__name__)
        return answer["file"] if "file" in answer else RunFailure(digest=spec.digest, **answer)

    def close(self) -> None:
        """Let the client and the embedded cluster go."""
        self._closed.set()
        self._wake.set()
        self._disconnect()

    # -- the dispatcher: the only thread that talks to the cluster ----------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._dispatcher is None or not self._dispatcher.is_alive():
                self._dispatcher = threading.Thread(target=self._dispatch, name="engine", daemon=True)
                self._dispatcher.start()
        self._wake.set()

    def _dispatch(self) -> None:
        while not self._closed.is_set():
            self._wake.wait(0.5)
            self._wake.clear()
            if self._closed.is_set():
                return
            try:
                self._check_alive()
                self._send_waiting()
            except Exception as error:
                if self._closed.is_set():
                    return
                log.warning("The engine could not reach its workers: %s", error)
                self.problem = str(error).splitlines()[0] if str(error) else type(error).__name__
                self._disconnect()
                self._requeue()
                self._closed.wait(1.0)

    def _check_alive(self) -> None:
        if self._client is None:
            return
        ended = self._process is not None and self._process.poll() is not None
        if ended or self._client.status not in ("running", "connecting"):
            log.warning("The cluster ended; starting it again.")
            self._disconnect()
            self._requeue()

    def _send_waiting(self) -> None:
        with self._lock:
            waiting = [run for run in self._runs.values() if run.state == "queued" and run.future is None]
        if not waiting and not self._warm:
            return
        from core.engine import task

        client = self._connect()
        if self._warm:
            self._warm = False
            client.submit(task.warm_up, pure=False)
        for run in waiting:
            digest = run.spec.digest
            with self._lock:
                if run.state != "queued":
                    continue
                run.attempts += 1
                run.future = client.submit(
                    task.run, run.spec.experiment, run.spec.canonical(), digest, run.submitted_at,
                    self._attachments(run.spec),
                    # One group by its first part: Dask then keeps what waits in one queue, not in one a worker.
                    key=("run", digest if self.config.scheduler else f"{digest}-{run.submitted_at:.6f}"),
                    pure=False,
                    priority=-run.submitted_at,  # in the order given, which begins with the first seed of every arm
                )  # fmt: skip
            run.future.add_done_callback(lambda future, run=run: self._done(run, future))

    def _attachments(self, spec: RunSpec) -> dict[str, bytes]:
        found = {digest: self.store.attachment(digest) for digest in spec.attachments}
        return {digest: data for digest, data in found.items() if data is not None}

    def _connect(self):
        if self._client is not None:
            return self._client
        from distributed import Client

        from core.engine import task

        address = self.config.scheduler or self._spawn()
        client = Client(address, timeout=20, set_as_default=False)
        client.subscribe_topic(task.TOPIC, self._event)
        for event in client.get_events(task.TOPIC) or ():
            self._event(event)
        self._client, self.problem = client, ""
        return client

    def _spawn(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.engine.local", str(self.config.workers), str(self.config.idle_seconds)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().strip()
        if not address:
            raise RuntimeError("The embedded cluster did not start.")
        return address

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        process, self._process = self._process, None
        if client is not None:
            try:
                client.close(timeout=2)
            except Exception:
                log.debug("The client was gone already.", exc_info=True)
        if process is not None:
            assert process.stdin is not None
            try:
                process.stdin.close()
                process.wait(timeout=8)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _requeue(self) -> None:
        with self._lock:
            for run in self._runs.values():
                if run.is_over:
                    continue
                run.future, run.rows, run.samples = None, [], []
                if run.attempts >= MAX_ATTEMPTS:
                    run.failure = RunFailure(digest=run.spec.digest, reason="worker-lost")
                    self._over(run, "failed")
                else:
                    run.state = "queued"
        self._wake.set()

    # -- callbacks ----------------------------------------------------------------------------------

    def _event(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        with self._lock:
            run = self._runs.get(message["digest"])
            if run is None or run.is_over:
                return
            if "started" in message:  # also when a killed worker's run begins anew
                run.state, run.rows, run.samples, run.started_at = "running", [], [], time.time()
            if not run.measured_at and message.get("rows"):
                run.measured_at = time.time()
            run.rows.extend(message.get("rows", ()))
            run.samples.extend(message.get("samples", ()))
            run.downloaded = message.get("downloaded", run.downloaded)

    def _done(self, run: LiveRun, future: Any) -> None:
        if run.is_over or future is not run.future:
            return
        if future.status == "cancelled" or future.status == "lost":
            return  # stopped before it began, or the connection went: the dispatcher takes it up
        failure, result = None, None
        if future.status == "error":
            reason = "worker-lost" if "KilledWorker" in type(future.exception()).__name__ else "error"
            failure = RunFailure(digest=run.spec.digest, reason=reason, detail=str(future.exception())[:300])
        else:
            answer = future.result()
            if "reason" in answer:
                failure = RunFailure(digest=run.spec.digest, **answer)
            else:
                frames = {name: decode_frame(data) for name, data in answer["frames"].items()}
                result = RunResult(RunInfo.model_validate_json(answer["info"]), frames)
        if result is not None:
            self.store.put(result)
        with self._lock:
            run.failure = failure
            self._over(run, "failed" if failure else "finished")

    def _over(self, run: LiveRun, state: State) -> None:
        run.state = state
        run.rows, run.samples = [], []

    def _forget_old(self) -> None:
        over = [digest for digest, run in self._runs.items() if run.is_over]
        for digest in over[:-MAX_WAITING]:
            del self._runs[digest]


def _epochs(spec: RunSpec) -> int:
    return getattr(spec, "epochs", 1)


def _epochs_done(run: LiveRun) -> int:
    return max(0, len(run.rows) - 1)


def _seconds_left(runs: Sequence[LiveRun], epochs: int, done: int) -> float | None:
    # From the first measures on: what comes before, tracing, is not the pace of what is left.
    started = min((run.measured_at for run in runs if run.measured_at), default=0.0)
    elapsed = time.time() - started
    if not started or done < 0.02 * epochs or elapsed < 0.5:
        return None
    return elapsed * (epochs - done) / done


def partial_result(
    spec: RunSpec, rows: Sequence[Sequence[float]], samples: Sequence[Mapping[str, Any]] = ()
) -> RunResult:
    """Make a result of the epochs so far, marked stopped; its prior loss is not known yet."""
    curves = pd.DataFrame(rows, columns=["epoch", *CURVE_COLUMNS]).astype({"epoch": "int32"})
    last = int(curves["epoch"].iloc[-1])
    losses = np.where(np.isfinite(curves["validation_loss"]), curves["validation_loss"], np.inf)
    info = RunInfo(
        digest=spec.digest,
        spec=spec.canonical(),
        status="stopped",
        epochs=last,
        final_epoch=last,
        best_epoch=int(curves["epoch"].iloc[int(np.argmin(losses))]),
        parameters=0,
        prior_loss=float("inf"),
        seconds=0.0,
        versions={},
        host="",
        recorded=pd.Timestamp.now("UTC").to_pydatetime(),
    )
    frames = {"curves": curves}
    if samples:
        frames["samples"] = pd.DataFrame(samples)
    return RunResult(info, frames)
