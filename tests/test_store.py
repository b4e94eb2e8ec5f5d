"""The store: what goes in comes out; whatever is damaged, absent or refused is a miss that is reported."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert, text, update

from core.config import GALLERY
from core.experiments.overfitting import EXPERIMENT
from core.library import Library
from core.result import RunResult
from core.store import SCHEMA, Layer, Store, decode_frame, encode_frame, frames, runs
from core.study import BASELINE
from tests.conftest import result_of, small_study
from tests.test_library import ONE, OTHER, keep

STUDY = small_study(seeds=4)
SPEC = STUDY.runs[BASELINE, 0]
DIGEST = SPEC.digest


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


def _change(path: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Change a database behind the store's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        change(connection)


def _same(one: RunResult, two: RunResult) -> bool:
    assert one.info == two.info
    assert set(one.frames) == set(two.frames)
    for name, frame in one.frames.items():
        pd.testing.assert_frame_equal(frame, two.frames[name], check_exact=True)
    return True


@pytest.fixture
def store(tmp_path: Path):
    opened = Store(_url(tmp_path / "results.sqlite"))
    yield opened
    opened.close()


# -- round trip -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        np.array([1.5, np.nan, np.inf, -np.inf, -0.0], "float32"),
        np.array([1.5, np.nan, np.inf, 1e-300, -0.0], "float64"),
        np.array([0, 1, 2, 3, 2**31 - 1], "int32"),
        np.array([0, -1, 2, 3, 2**62], "int64"),
        np.array([True, False, True, True, False]),
        np.array([0, 255, 1, 2, 3], "uint8"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_frame_comes_back_with_its_exact_type_and_bits(column):
    read = decode_frame(encode_frame(pd.DataFrame({"value": column})))
    assert read["value"].dtype == column.dtype
    assert read["value"].to_numpy().tobytes() == column.tobytes()


def test_text_and_an_empty_frame_come_back():
    frame = pd.DataFrame({"arm": ["l1", "ñ", ""], "value": [1.0, 2.0, 3.0]})
    pd.testing.assert_frame_equal(decode_frame(encode_frame(frame)), frame)
    empty = decode_frame(encode_frame(frame.iloc[:0]))
    assert list(empty.columns) == ["arm", "value"]
    assert not len(empty)


def test_result_comes_back_equal_also_to_another_process_of_the_same_file(store, tmp_path):
    result = result_of(SPEC, [2.0, 1.0, 1.5], penalty=0.25)
    store.put(result)
    assert _same(result, store.get([DIGEST])[DIGEST])
    other = Store(_url(tmp_path / "results.sqlite"))
    assert _same(result, other.get([DIGEST])[DIGEST])
    other.close()
    assert not store.problem
    assert not store.damaged


def test_more_digests_than_one_query_takes(store):
    results = [result_of(spec, [2.0, 1.0]) for spec in STUDY.runs.values()]
    for result in results:
        store.put(result)
    asked = [f"{number:064x}" for number in range(1_200)] + [result.info.digest for result in results]
    assert set(store.get(asked)) == {result.info.digest for result in results}


def test_result_without_a_database_lasts_in_memory():
    store = Store("")
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert DIGEST in store.get([DIGEST])
    assert not store.problem
    store.close()


# -- partial and complete ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["database", "memory"])
def test_stopped_run_never_replaces_a_complete_one(tmp_path, where):
    store = Store(_url(tmp_path / "r.sqlite") if where == "database" else "")
    store.put(result_of(SPEC, [2.0, 1.0, 0.5]))
    store.put(result_of(SPEC, [2.0, 1.0], status="stopped"))
    assert store.get([DIGEST])[DIGEST].info.status == "complete"
    store.close()


@pytest.mark.parametrize("status", ["complete", "diverged"])
def test_finished_run_replaces_a_stopped_one(store, status):
    store.put(result_of(SPEC, [2.0, 1.0], status="stopped"))
    store.put(result_of(SPEC, [2.0, 1.0, 0.5], status=status))
    assert store.get([DIGEST])[DIGEST].info.status == status
    assert len(store.get([DIGEST])[DIGEST].curves) == 3


# -- damage ----------------------------------------------------------------------------------------------


def _damage_blob(connection: sqlite3.Connection) -> None:
    (data,) = connection.execute("SELECT data FROM frames").fetchone()
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 0xFF
    connection.execute("UPDATE frames SET data = ?", (bytes(changed),))


DAMAGES = {
    "one bit of a frame": _damage_blob,
    "half a frame": lambda c: c.execute("UPDATE frames SET data = substr(data, 1, length(data) / 2)"),
    "no bytes in a frame": lambda c: c.execute("UPDATE frames SET data = x''"),
    "a frame is gone": lambda c: c.execute("DELETE FROM frames"),
    "a frame too many": lambda c: c.execute("INSERT INTO frames SELECT digest, 'other', data FROM frames"),
    "a frame under another name": lambda c: c.execute("UPDATE frames SET name = 'other'"),
    "facts are no JSON": lambda c: c.execute("UPDATE runs SET info = 'x'"),
    "facts were edited": lambda c: c.execute("UPDATE runs SET info = replace(info, '\"epochs\":2', '\"epochs\":9')"),
    "facts are empty": lambda c: c.execute("UPDATE runs SET info = ''"),
    "the checksum is another": lambda c: c.execute("UPDATE runs SET checksum = 'abc'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_row_is_a_miss_reported_and_written_anew(tmp_path, damage):
    path = tmp_path / "r.sqlite"
    store = Store(_url(path))
    result = result_of(SPEC, [2.0, 1.0, 0.5])
    intact = result_of(STUDY.runs[BASELINE, 1], [2.0, 1.0])
    store.put(result)
    store.close()
    _change(path, DAMAGES[damage])

    store = Store(_url(path))
    store.put(intact)
    assert set(store.get([DIGEST, intact.info.digest])) == {intact.info.digest}
    assert store.damaged == {DIGEST}
    store.put(result)
    assert _same(result, store.get([DIGEST])[DIGEST])
    assert not store.damaged
    store.close()


def test_facts_that_fit_their_checksum_but_not_the_schema_are_a_miss(tmp_path):
    path = tmp_path / "r.sqlite"
    layer = Layer(_url(path))
    with layer.engine.begin() as connection:
        checksum = hashlib.sha256(b"{}").hexdigest()
        connection.execute(
            insert(runs).values(digest=DIGEST, schema=SCHEMA, status="complete", info="{}", checksum=checksum)
        )
    assert layer.get([DIGEST]) == ({}, {DIGEST})
    layer.close()


def test_row_of_another_schema_is_a_plain_miss(store, tmp_path):
    store.put(result_of(SPEC, [2.0, 1.0]))
    layer = Layer(_url(tmp_path / "results.sqlite"))
    with layer.engine.begin() as connection:
        connection.execute(update(runs).values(schema=SCHEMA + 1))
    layer.close()
    assert not store.get([DIGEST])
    assert not store.damaged
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert DIGEST in store.get([DIGEST])


def _truncated(path: Path) -> None:
    store = Store(_url(path))
    for spec in STUDY.runs.values():
        store.put(result_of(spec, list(np.random.default_rng(0).uniform(size=400))))
    store.close()
    data = path.read_bytes()
    for side in path.parent.glob(path.name + "-*"):
        side.unlink()
    path.write_bytes(data[: len(data) // 3])


BROKEN = {
    "text": lambda path: path.write_text("not a database, only words\n" * 50),
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(20_000)),
    "truncated": _truncated,
    "header only": lambda path: path.write_bytes(b"SQLite format 3\x00" + bytes(2_000)),
    "a folder": lambda path: path.mkdir(),
    "tables of someone else": lambda path: _change(path, lambda c: c.execute("CREATE TABLE runs (x)")),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_database_is_reported_and_results_stay_in_memory(tmp_path, kind):
    path = tmp_path / "r.sqlite"
    BROKEN[kind](path)
    store = Store(_url(path))
    assert DIGEST not in store.get([DIGEST]) or kind == "truncated"
    other = result_of(SPEC.model_copy(update={"seed": 99}), [2.0, 1.0])
    store.put(other)
    assert store.problem
    assert len(store.problem.splitlines()) == 1
    assert _same(other, store.get([other.info.digest])[other.info.digest])
    store.close()


@pytest.mark.parametrize(
    "url",
    ["nonsense", "unknown://x/y", "sqlite:////proc/none/results.sqlite", "postgresql+psycopg://nobody@127.0.0.1:9/x"],
)
def test_url_that_leads_nowhere_is_reported_and_results_stay_in_memory(url):
    store = Store(url)
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert store.problem
    assert DIGEST in store.get([DIGEST])
    store.close()


def test_folder_below_a_file_is_reported_and_results_stay_in_memory(tmp_path):
    (tmp_path / "file").write_text("")
    store = Store(_url(tmp_path / "file" / "results.sqlite"))
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert store.problem
    assert DIGEST in store.get([DIGEST])
    store.close()


def test_full_disk_is_reported_and_results_stay_in_memory(tmp_path):
    path = tmp_path / "r.sqlite"
    store = Store(_url(path))
    assert store._database is not None
    with store._database.engine.connect() as connection:  # the pool hands this very connection out again
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 1}"))
    large = result_of(SPEC, list(np.random.default_rng(0).uniform(size=20_000)))
    store.put(large)
    assert "full" in store.problem
    assert _same(large, store.get([DIGEST])[DIGEST])
    store.close()
    again = Store(_url(path))
    assert not again.get([DIGEST])
    assert not again.damaged
    again.close()


def test_write_that_works_again_takes_the_report_back(tmp_path):
    store = Store(_url(tmp_path / "r.sqlite"))
    store.problem = "earlier"
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert not store.problem
    store.close()


def test_database_of_a_read_only_folder_is_reported(tmp_path):
    folder = tmp_path / "fixed"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere; the folder below a file covers the case")
    store = Store(_url(folder / "r.sqlite"))
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert store.problem
    assert DIGEST in store.get([DIGEST])
    store.close()


# -- several at once -----------------------------------------------------------------------------------


def test_threads_and_a_second_store_write_side_by_side(tmp_path):
    url = _url(tmp_path / "r.sqlite")
    stores = [Store(url), Store(url)]
    specs = list(STUDY.runs.values())
    problems: list[str] = []

    def write(store: Store) -> None:
        for spec in [*specs, *specs]:
            store.put(result_of(spec, list(np.linspace(2, 1, 50))))
            if store.problem:
                problems.append(store.problem)

    threads = [threading.Thread(target=write, args=(stores[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    for store in stores:
        assert len(store.get(spec.digest for spec in specs)) == len(specs)
        assert not store.damaged
        store.close()


# -- the gallery layer ---------------------------------------------------------------------------------


def _gallery(tmp_path: Path) -> Path:
    path = tmp_path / "gallery.sqlite"
    store = Store(_url(path))
    store.put(result_of(SPEC, [2.0, 1.0]))
    store.close()
    _change(path, lambda c: c.execute("PRAGMA journal_mode=DELETE"))
    return path


def test_gallery_is_read_and_never_written(tmp_path):
    path = _gallery(tmp_path)
    before = path.read_bytes()
    store = Store(_url(tmp_path / "r.sqlite"), path)
    other = STUDY.runs[BASELINE, 1]
    store.put(result_of(SPEC, [2.0, 0.5]))
    store.put(result_of(other, [2.0, 1.0]))
    assert set(store.get([DIGEST, other.digest])) == {DIGEST, other.digest}
    assert store.get([DIGEST])[DIGEST].curves["validation_loss"].tolist() == [2.0, 1.0]
    store.close()
    assert path.read_bytes() == before
    assert [side.name for side in tmp_path.glob("gallery.sqlite*")] == ["gallery.sqlite"]


def test_shipped_gallery_is_read_without_leaving_a_file(tmp_path):
    copy = tmp_path / "gallery.sqlite"
    shutil.copy(GALLERY / "overfitting.sqlite", copy)
    store = Store("", copy)
    spec = EXPERIMENT.study(EXPERIMENT.settings()).runs[BASELINE, 0]
    assert store.get([spec.digest])[spec.digest].is_complete
    store.close()
    assert copy.read_bytes() == (GALLERY / "overfitting.sqlite").read_bytes()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["text", "random bytes", "header only"])
def test_broken_gallery_is_reported_and_the_database_still_serves(tmp_path, kind):
    path = tmp_path / "gallery.sqlite"
    BROKEN[kind](path)
    store = Store(_url(tmp_path / "r.sqlite"), path)
    store.put(result_of(SPEC, [2.0, 1.0]))
    assert DIGEST in store.get([DIGEST])
    store.close()


def test_stopped_run_in_the_gallery_gives_way_to_a_complete_one(tmp_path):
    path = tmp_path / "gallery.sqlite"
    old = Store(_url(path))
    old.put(result_of(SPEC, [2.0, 1.0], status="stopped"))
    old.close()
    _change(path, lambda c: c.execute("PRAGMA journal_mode=DELETE"))
    store = Store(_url(tmp_path / "r.sqlite"), path)
    store.put(result_of(SPEC, [2.0, 1.0, 0.5]))
    assert store.get([DIGEST])[DIGEST].info.status == "complete"
    store.close()


# -- PostgreSQL ----------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """Start a PostgreSQL server of our own on a free port; yield its URL."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("initdb and postgres are not on the PATH")
    folder = tmp_path_factory.mktemp("postgres")
    keywords: dict = {}
    user = getpass.getuser()
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # PostgreSQL refuses to run as root
        import pwd

        user = next((name for name in ("postgres", "nobody") if _exists(name)), "")
        if not user:
            pytest.skip("PostgreSQL does not run as root, and there is no other user to run it as")
        account = pwd.getpwnam(user)
        keywords = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        os.chown(folder, account.pw_uid, account.pw_gid)
        for parent in (folder, *folder.parents):  # the server's user must be able to reach its folder
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
    data, port = folder / "data", _free_port()
    made = subprocess.run(
        ["initdb", "-D", data, "-U", "contraste", "-A", "trust", "--no-sync"],
        capture_output=True, text=True, cwd=folder, **keywords,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"initdb does not work here: {made.stderr.strip().splitlines()[-1]}")
    server = subprocess.Popen(
        ["postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder, **keywords,
    )  # fmt: skip
    assert server.stderr is not None
    for line in server.stderr:
        if "ready to accept connections" in line:
            break
    else:
        pytest.fail("postgres ended before it was ready")
    # what it writes from now on must not fill the pipe
    reader = threading.Thread(target=server.stderr.read, daemon=True)
    reader.start()
    yield f"postgresql+psycopg://contraste@127.0.0.1:{port}/postgres"
    server.send_signal(signal.SIGINT)  # ends it though connections are open
    server.wait(timeout=20)
    reader.join()
    server.stderr.close()


def _exists(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def test_postgresql_keeps_results_as_sqlite_does(postgres):
    store = Store(postgres)
    assert not store.problem
    result = result_of(SPEC, [2.0, 1.0, np.nan])
    store.put(result_of(SPEC, [2.0, 1.0], status="stopped"))
    store.put(result)
    store.put(result_of(SPEC, [2.0, 1.0], status="stopped"))
    other = Store(postgres)
    assert _same(result, other.get([DIGEST])[DIGEST])
    layer = Layer(postgres)
    with layer.engine.begin() as connection:
        connection.execute(update(frames).values(data=b"damaged"))
    layer.close()
    assert not other.get([DIGEST])
    assert other.damaged == {DIGEST}
    store.put(result)
    assert _same(result, store.get([DIGEST])[DIGEST])
    store.close()
    other.close()


def test_postgresql_takes_writers_side_by_side(postgres):
    store, other = Store(postgres), Store(postgres)
    specs = list(STUDY.runs.values())
    problems: list[str] = []

    def write(store: Store) -> None:
        for spec in specs:
            store.put(result_of(spec, [2.0, 1.0]))
            if store.problem:
                problems.append(store.problem)

    threads = [threading.Thread(target=write, args=(one,)) for one in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.get(spec.digest for spec in specs)
    store.close()
    other.close()
    assert not problems
    assert len(found) == len(specs)


def test_postgresql_lists_and_deletes_comparisons_as_sqlite_does(postgres):
    library = Library(Store(postgres, GALLERY))
    one, other = keep(library, ONE), keep(library, OTHER, count=3)
    assert {entry.digest: entry.complete for entry in library.entries()[0] if entry.is_noted} == {
        one.digest: 4,
        other.digest: 3,
    }
    assert library.plan([one.digest], lambda _digests: False).gone == 4
    done, gone = library.delete([one.digest], lambda _digests: False)
    assert (done.studies, gone) == ((one.digest,), {spec.digest for spec in one.runs.values()})
    assert len(library.comparison(other).results) == 3
    assert not library.store.problem
    library.store.close()
