"""The engine on its real cluster: one training a run, live epochs, stop, and nobody left behind whoever is killed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.config import Config
from core.datasets.tables import pack, prepare, read_table
from core.engine.client import MAX_WAITING, Engine, EngineBusyError, partial_result
from core.experiments.overfitting import EXPERIMENT, OverfittingRun
from core.result import CURVE_COLUMNS
from core.store import Store
from tests.conftest import ROOT, small_study

pytestmark = pytest.mark.slow


def run_spec(**values) -> OverfittingRun:
    """Describe a run; by default one that takes a second or two."""
    shared = {
        "seed": 0, "dataset": "digits", "n_train": 100, "n_validation": 100, "flipped": 0.1, "noise": 0.0, "width": 16,
        "depth": 1, "epochs": 5, "batch_size": 32, "optimizer": "adam", "learning_rate": 1e-3,
    }  # fmt: skip
    return OverfittingRun(**(shared | values))


def long_spec(**values) -> OverfittingRun:
    """Describe a run that lasts until it is stopped or killed, and is over soon when it runs alone."""
    return run_spec(**({"epochs": 1_500, "n_train": 300, "width": 64, "depth": 2} | values))


def until(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still waiting for {what or condition} after {seconds} s"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    """List the processes below `pid`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = int(fields[1])
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return found - {pid}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Iterator[None]:
    """Keep the workers off the network and give their Keras an empty home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="module")
def engine(environment, tmp_path_factory) -> Iterator[Engine]:
    """Start one embedded cluster for the module."""
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('engine') / 'results.sqlite'}")
    made = Engine(store, Config(store_url="", workers=2, idle_seconds=120))
    made.warm_up()
    yield made
    process = made._process
    pids = descendants(process.pid) | {process.pid} if process else set()
    made.close()
    store.close()
    until(lambda: not any(is_alive(pid) for pid in pids), 20, "the cluster to end with its engine")


def finish(engine: Engine, *specs, seconds: float = 180.0) -> dict:
    """Submit runs, wait for their end and return what the store holds of them."""
    engine.submit(specs)
    digests = [spec.digest for spec in specs]
    until(lambda: not engine.is_active(digests), seconds, "runs to end")
    return engine.store.get(digests)


def started(engine: Engine, digest: str) -> int:
    """Count how often workers have begun a run, as the scheduler has recorded it."""
    events = engine._client.get_events("contraste")
    return sum(event["digest"] == digest and "started" in event for _time, event in events)


# -- results -------------------------------------------------------------------------------------------------


def test_results_are_those_of_training_in_this_process(engine):
    from core.engine.task import prepare

    specs = [run_spec(seed=11), run_spec(seed=11, dropout=0.4, l2=1e-3), run_spec(seed=12, dataset="diabetes")]
    found = finish(engine, *specs)
    prepare()
    from core.training import train

    for spec in specs:
        local = train(EXPERIMENT, spec)
        remote = found[spec.digest]
        assert remote.info.status == "complete"
        assert remote.curves.dtypes.to_dict() == local.curves.dtypes.to_dict()
        assert remote.curves.to_numpy().tobytes() == local.curves.to_numpy().tobytes()
        assert remote.info.parameters == local.info.parameters


def test_epochs_arrive_while_the_run_is_under_way(engine):
    spec = long_spec(seed=21)
    engine.submit([spec])
    seen: list[int] = []

    def rows() -> bool:
        partial = engine.partial([spec.digest]).get(spec.digest)
        if partial is not None:
            assert partial.info.status == "stopped"
            seen.append(len(partial.curves))
        return len(set(seen)) >= 3

    until(rows, 60, "epochs to arrive")
    assert seen == sorted(seen)
    progress = engine.progress([spec.digest])
    assert 0 < progress.share < 1
    assert progress.runs == 1
    assert not progress.is_starting
    engine.stop([spec.digest])
    until(lambda: not engine.is_active([spec.digest]), 10, "the stop")


# -- single flight ----------------------------------------------------------------------------------------------


def test_what_a_net_writes_arrives_while_it_trains(engine):
    from core.experiments.rnn import EXPERIMENT as RNN

    settings = RNN.settings.parse("corpus=topics&n_train=8000&n_validation=1000&epochs=150&units=16&seeds=2")
    specs = {spec.seed: spec for arm, _seed, spec in RNN.study(settings) if arm.name == "none"}
    engine.submit(specs.values())
    written: dict[int, list[int]] = {0: [], 1: []}

    def samples() -> bool:
        for seed, spec in specs.items():
            partial = engine.partial([spec.digest]).get(spec.digest)
            if partial is not None and "samples" in partial.frames:
                frame = partial.frames["samples"]
                assert frame["epoch"].tolist() == partial.curves["epoch"].tolist()[: len(frame)]
                assert set(frame["kind"]) == {"sampled"}
                assert (frame["text"].str.len() == 300).all()
                written[seed].append(len(frame))
        return len(set(written[0])) >= 3

    until(samples, 120, "samples to arrive")
    assert not written[1]  # the texts of the first seed are enough
    engine.stop([spec.digest for spec in specs.values()])
    until(lambda: not engine.is_active(spec.digest for spec in specs.values()), 60, "the runs to stop")
    kept = engine.store.get([specs[0].digest])[specs[0].digest]
    assert len(kept.frames["samples"]) == kept.info.epochs + 2  # and the greedy one
    assert kept.frames["clock"]["seconds"].is_monotonic_increasing


def test_runs_begin_in_the_order_given(engine):
    specs = [run_spec(seed=300 + place, epochs=150) for place in range(8)]  # longer than their submission
    finish(engine, *specs)
    place = {spec.digest: number for number, spec in enumerate(specs)}
    events = [event for _time, event in engine._client.get_events("contraste") if "started" in event]
    begun = [place[event["digest"]] for event in events if event["digest"] in place]
    # The two workers take what arrives first; everything after that waits in order, and two begin at a time.
    assert all(one < later + 2 for one, later in itertools.pairwise(begun[2:])), str(begun)


def test_viewers_who_ask_at_once_share_one_training(engine):
    spec = run_spec(seed=31, epochs=100)
    barrier = threading.Barrier(6)

    def ask() -> None:
        barrier.wait()
        engine.submit([spec, spec])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.submit([spec])
    until(lambda: not engine.is_active([spec.digest]), 60, "the run")
    assert engine.run(spec.digest).attempts == 1
    assert started(engine, spec.digest) == 1


def test_stored_run_is_not_trained_again(engine):
    spec = run_spec(seed=32)
    first = finish(engine, spec)[spec.digest]
    again = finish(engine, spec)[spec.digest]
    assert started(engine, spec.digest) == 1
    assert again.info == first.info


def test_studies_that_share_arms_share_their_runs(engine):
    one = small_study(seeds=1, arms=("l1", "l2"), epochs=3, n_train=50, width=8)
    two = small_study(seeds=1, arms=("l2", "dropout"), epochs=3, n_train=50, width=8)
    finish(engine, *one.runs.values(), *two.runs.values())
    digests = {spec.digest for study in (one, two) for spec in study.runs.values()}
    assert len(digests) == 4
    assert [started(engine, digest) for digest in digests] == [1] * 4


def test_queue_beyond_its_limit_is_refused_and_queues_nothing():
    store = Store("")
    full = Engine(store, Config(store_url=""))
    full.close()  # queues, and never starts anything
    specs = [run_spec(seed=seed) for seed in range(MAX_WAITING + 1)]
    with pytest.raises(EngineBusyError):
        full.submit(specs)
    assert not full.is_active(spec.digest for spec in specs)
    full.submit(specs[:-1])
    assert full.is_active([specs[0].digest])


def test_place_in_the_queue_counts_the_runs_of_others(engine):
    others = [long_spec(seed=41 + number) for number in range(4)]
    own = [run_spec(seed=51), run_spec(seed=52)]
    engine.submit(others)
    engine.submit(own)
    digests = [spec.digest for spec in own]
    assert engine.progress(digests).ahead == 4
    engine.stop(spec.digest for spec in others)
    until(lambda: engine.progress(digests).ahead == 0, 30, "the others to end")
    until(lambda: not engine.is_active(digests), 60, "the own runs")
    assert set(engine.store.get(digests)) == set(digests)


def test_own_data_travel_with_the_run(engine):
    text = "a,b,y\n" + "\n".join(f"{i % 7},{i * i % 11},{'xy'[i % 3 > 0]}" for i in range(200))
    own = prepare(read_table(text.encode(), "f.csv"), "y", "classification").own
    engine.store.attach(pack(own))
    spec = run_spec(dataset=own.dataset.name, n_train=60)
    found = finish(engine, spec)
    assert found[spec.digest].info.status == "complete"
    assert found[spec.digest].info.prior_loss == pytest.approx(0.64, abs=0.06)


@pytest.mark.parametrize("losses", [[1.0, 0.5, 0.7], [float("nan")], [2.0, float("inf"), float("nan")]])
def test_partial_result_stands_whatever_was_measured(losses):
    rows = [[epoch, *[loss] * len(CURVE_COLUMNS)] for epoch, loss in enumerate(losses)]
    result = partial_result(run_spec(), rows)
    assert not result.is_complete
    assert result.info.best_epoch == (1 if losses[0] == 1.0 else 0)


# -- stop ------------------------------------------------------------------------------------------------------


def test_stop_keeps_what_was_measured_and_marks_it(engine):
    spec, queued = long_spec(seed=61), [long_spec(seed=62 + number) for number in range(4)]
    engine.submit([spec])
    until(lambda: len(engine.run(spec.digest).rows) > 20, 60, "epochs")
    engine.submit(queued)
    seen = len(engine.run(spec.digest).rows)
    asked = time.monotonic()
    engine.stop([spec.digest, *(one.digest for one in queued)])
    until(lambda: not engine.is_active([spec.digest, *(one.digest for one in queued)]), 10, "the stop")
    assert time.monotonic() - asked < 5
    result = engine.store.get([spec.digest])[spec.digest]
    assert result.info.status == "stopped"
    assert seen - 1 <= result.info.epochs < spec.epochs
    assert len(result.curves) == result.info.epochs + 1
    assert result.info.prior_loss < 3


def test_stop_leaves_the_clients_thread_free_to_report_epochs(engine, monkeypatch):
    specs = [long_spec(seed=66 + number) for number in range(4)]
    digests = [spec.digest for spec in specs]
    engine.submit(specs)
    until(lambda: any(engine.run(digest).rows for digest in digests), 60, "epochs")
    reported = []

    def while_an_epoch_arrives(method):
        def call(*args, **kwargs):
            event = threading.Thread(target=engine._event, args=((0.0, {"digest": digests[0]}),))
            event.start()
            event.join(5)
            reported.append(not event.is_alive())
            return method(*args, **kwargs)

        return call

    for name in ("run", "cancel"):
        monkeypatch.setattr(engine._client, name, while_an_epoch_arrives(getattr(engine._client, name)))
    engine.stop(digests)
    assert reported == [True, True]
    until(lambda: not engine.is_active(digests), 10, "the stop")


def test_stopped_run_can_be_run_to_its_end(engine):
    spec = run_spec(seed=71, epochs=400, n_train=300)
    engine.submit([spec])
    until(lambda: len(engine.run(spec.digest).rows) > 3, 60, "epochs")
    engine.stop([spec.digest])
    until(lambda: not engine.is_active([spec.digest]), 10, "the stop")
    found = finish(engine, spec)
    assert found[spec.digest].info.status == "complete"
    assert found[spec.digest].info.epochs == 400


# -- failures ---------------------------------------------------------------------------------------------------


def test_data_set_that_cannot_be_fetched_is_a_failure_with_its_folder(engine):
    spec = run_spec(dataset="mnist")
    assert not finish(engine, spec)
    failure = engine.partial([spec.digest])[spec.digest]
    assert failure.reason == "download"
    assert failure.detail == str(Path(os.environ["KERAS_HOME"]) / "datasets")
    assert engine.run(spec.digest).state == "failed"


def test_run_of_another_version_of_the_code_is_a_failure(engine):
    class OtherRecipe(OverfittingRun):
        recipe = 99

    spec = OtherRecipe(**run_spec(seed=81).model_dump())
    assert not finish(engine, spec)
    assert engine.partial([spec.digest])[spec.digest].reason == "error"


def test_failure_in_one_run_leaves_the_others(engine):
    good, bad = run_spec(seed=82), run_spec(dataset="fashion_mnist")
    assert set(finish(engine, good, bad)) == {good.digest}
    assert engine.partial([bad.digest])[bad.digest].reason == "download"


def test_killed_worker_is_replaced_and_its_run_begins_anew(engine):
    spec = long_spec(seed=91, epochs=600)
    engine.submit([spec])
    until(lambda: len(engine.run(spec.digest).rows) > 5, 60, "epochs")
    key = engine.run(spec.digest).future.key
    pids = engine._client.run(os.getpid)
    busy = [pids[worker] for worker, keys in engine._client.processing().items() if key in keys]
    assert busy
    os.kill(busy[0], signal.SIGKILL)
    until(lambda: started(engine, spec.digest) == 2, 60, "the second beginning")
    until(lambda: not engine.is_active([spec.digest]), 90, "the run")
    result = engine.store.get([spec.digest])[spec.digest]
    assert result.info.status == "complete"
    assert result.info.epochs == 600


def test_killed_cluster_is_started_again_and_its_runs_finish(engine):
    spec = long_spec(seed=92, epochs=600)
    engine.submit([spec])
    until(lambda: len(engine.run(spec.digest).rows) > 5, 60, "epochs")
    old = engine._process.pid
    left = descendants(old)
    os.kill(old, signal.SIGKILL)
    until(lambda: not engine.is_active([spec.digest]), 120, "the run")
    assert engine.store.get([spec.digest])[spec.digest].info.status == "complete"
    assert engine._process.pid != old
    assert engine.run(spec.digest).attempts == 2
    until(lambda: not any(is_alive(pid) for pid in left), 20, "the old workers to end")


# -- processes -----------------------------------------------------------------------------------------------------

_OWNER = """
import json, sys, time
from core.config import Config
from core.engine.client import Engine
from core.experiments.overfitting import OverfittingRun
from core.store import Store

spec, after = (OverfittingRun(**fields) for fields in json.loads(sys.argv[1]))
engine = Engine(Store(""), Config(store_url="", workers=1, idle_seconds=5))
engine.submit([spec])
while engine.is_active([spec.digest]):
    time.sleep(0.02)
loaded = sorted({"tensorflow", "keras", "streamlit", "sklearn"} & set(sys.modules))
print(json.dumps({"status": engine.store.get([spec.digest])[spec.digest].info.status, "loaded": loaded}), flush=True)
if sys.stdin.readline():  # the workers have been let go meanwhile
    engine.submit([after])
    while not (engine.run(after.digest).rows):
        time.sleep(0.02)
    print("running", flush=True)
    time.sleep(600)
"""


def test_owner_holds_no_tensorflow_lets_idle_workers_go_and_leaves_nobody_behind(environment):
    specs = json.dumps([run_spec().model_dump(), long_spec(epochs=2_000).model_dump()])
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, specs], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        told = json.loads(owner.stdout.readline())
        assert told == {"status": "complete", "loaded": []}

        def workers() -> set[int]:
            return {pid for pid in descendants(owner.pid) if "spawn_main" in _command(pid)}

        until(lambda: not workers(), 25, "the idle workers to be let go")
        (cluster,) = [pid for pid in descendants(owner.pid) if "core.engine.local" in _command(pid)]
        owner.stdin.write("go on\n")
        owner.stdin.flush()
        assert owner.stdout.readline().strip() == "running"
        family = descendants(owner.pid)
        assert cluster in family
        assert workers()
        owner.kill()
        owner.wait()
        until(lambda: not any(is_alive(pid) for pid in family), 10, "everyone to end")
    finally:
        owner.kill()
        owner.wait()
        owner.stdin.close()
        owner.stdout.close()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture
def remote(environment) -> Iterator[str]:
    """Start a cluster that belongs to no engine; yield its address."""
    cluster = subprocess.Popen(
        [sys.executable, "-m", "core.engine.local", "1", "120"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    yield cluster.stdout.readline().strip()
    cluster.stdin.close()
    assert cluster.wait(timeout=20) == 0
    cluster.stdout.close()


def test_remote_scheduler_serves_several_engines_with_one_training(remote):
    config = Config(store_url="", scheduler=remote, workers=1)
    engines = [Engine(Store(""), config) for _ in range(2)]
    spec = long_spec(seed=95, epochs=300)
    for engine in engines:
        engine.submit([spec])
    until(lambda: not any(engine.is_active([spec.digest]) for engine in engines), 90, "the run")
    results = [engine.store.get([spec.digest])[spec.digest] for engine in engines]
    assert results[0].info == results[1].info  # the seconds included: it was one training
    assert results[0].info.status == "complete"
    assert started(engines[0], spec.digest) == 1
    assert all(engine._process is None for engine in engines)
    for engine in engines:
        engine.close()


def test_scheduler_that_does_not_answer_is_reported_and_asked_again():
    engine = Engine(Store(""), Config(store_url="", scheduler="nonsense://127.0.0.1:9"))
    spec = run_spec()
    engine.submit([spec])
    until(lambda: engine.problem, 30, "the report")
    assert len(engine.problem.splitlines()) == 1
    assert engine.is_active([spec.digest])
    engine.stop([spec.digest])
    assert not engine.is_active([spec.digest])
    engine.close()
