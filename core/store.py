"""Keep results in a database by URL, behind the read-only gallery that ships with the code.

Frames are Arrow bytes with a schema version and a checksum. A row that fails either is a miss that
is reported and recomputed, never an exception. Never imports Streamlit or TensorFlow.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    select,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from core.attachments import digest_of
from core.result import RunInfo, RunResult

SCHEMA = 1
MAX_ATTACHMENTS = 300  # what viewers brought; the oldest go first
MAX_ATTACHED_BYTES = 500_000_000  # of them together
MAX_IN_MEMORY = 10  # of them, where no database can be written
BATCH = 500  # digests in one query; SQLite's oldest limit is 999 parameters

log = logging.getLogger(__name__)
metadata = MetaData()
runs = Table(
    "runs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("schema", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("info", Text, nullable=False),
    Column("checksum", String(64), nullable=False),
)
attachments = Table(
    "attachments",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("added", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
frames = Table(
    "frames",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
# What viewers asked for, so that the library can list and open it again; `core.library` reads and writes both.
studies = Table(
    "studies",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("experiment", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("noted", Float, nullable=False),
)
members = Table(
    "members",
    metadata,
    Column("study", String(64), primary_key=True),
    Column("run", String(64), primary_key=True, index=True),
    Column("is_own", Boolean, nullable=False),
)


def encode_frame(frame: pd.DataFrame) -> bytes:
    """Write a frame as an Arrow stream, compressed with zstandard."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode_frame(data: bytes) -> pd.DataFrame:
    """Read the frame that `encode_frame` wrote."""
    return pa.ipc.open_stream(data).read_pandas()


def batches(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut `digests` into parts that one query takes."""
    return (digests[start : start + BATCH] for start in range(0, len(digests), BATCH))


def checksum(info: str, parts: dict[str, bytes]) -> str:
    """Hash the facts and the frames of a run with SHA-256."""
    digest = hashlib.sha256(info.encode())
    for name in sorted(parts):
        digest.update(name.encode() + b"\0" + parts[name])
    return digest.hexdigest()


class Layer:
    """One database of results.

    Raises:
        SQLAlchemyError: When it cannot be opened, or written while `read_only` is False.
    """

    def __init__(self, url: str, *, read_only: bool = False):
        self.engine = _open(url, read_only=read_only)
        if not read_only:
            metadata.create_all(self.engine)

    def get(self, digests: Sequence[str], largest: int | None = None) -> tuple[dict[str, RunResult], set[str]]:
        """Read the results there are, and the digests of the rows that are damaged.

        Frames of more than `largest` bytes are left out, and the checksum, which is over all, is not checked then.
        """
        found: dict[str, RunResult] = {}
        damaged: set[str] = set()
        with self.engine.connect() as connection:
            for part in batches(digests):
                rows = connection.execute(select(runs).where(runs.c.digest.in_(part), runs.c.schema == SCHEMA)).all()
                blobs: dict[str, dict[str, bytes]] = {row.digest: {} for row in rows}
                wanted = select(frames).where(frames.c.digest.in_(list(blobs)))
                if largest is not None:
                    wanted = wanted.where(func.length(frames.c.data) <= largest)
                for digest, name, data in connection.execute(wanted):
                    blobs[digest][name] = data
                for row in rows:
                    try:
                        found[row.digest] = _decode(row, blobs[row.digest], is_whole=largest is None)
                    except Exception:  # whatever a damaged row raises, it is a miss
                        log.warning("The stored result %s is damaged and will be computed again.", row.digest)
                        damaged.add(row.digest)
        return found, damaged

    def infos(self, digests: Sequence[str]) -> dict[str, RunInfo]:
        """Read the facts of the results there are, and no frame; an unreadable row is left out."""
        found = {}
        with self.engine.connect() as connection:
            for part in batches(digests):
                wanted = select(runs.c.digest, runs.c.info).where(runs.c.digest.in_(part), runs.c.schema == SCHEMA)
                for digest, info in connection.execute(wanted):
                    with contextlib.suppress(ValueError):  # pydantic's own is one
                        found[digest] = RunInfo.model_validate_json(info)
        return found

    def put(self, result: RunResult) -> None:
        """Write a result whole or not at all; a stopped one never replaces a complete one."""
        info = result.info.model_dump_json()
        parts = {name: encode_frame(frame) for name, frame in result.frames.items()}
        kept = None if result.is_complete else self.get([result.info.digest])[0].get(result.info.digest)
        if kept is not None and kept.is_complete:
            return
        try:
            self._replace(result, info, parts)
        except IntegrityError:  # another writer was quicker; both hold the same run
            self._replace(result, info, parts)

    def _replace(self, result: RunResult, info: str, parts: dict[str, bytes]) -> None:
        digest = result.info.digest
        with self.engine.begin() as connection:
            connection.execute(delete(frames).where(frames.c.digest == digest))
            connection.execute(delete(runs).where(runs.c.digest == digest))
            connection.execute(
                insert(runs).values(
                    digest=digest,
                    schema=SCHEMA,
                    status=result.info.status,
                    info=info,
                    checksum=checksum(info, parts),
                )
            )
            for name, data in parts.items():
                connection.execute(insert(frames).values(digest=digest, name=name, data=data))

    def attach(self, data: bytes) -> None:
        """Keep what a viewer brought, and let the oldest go."""
        digest = digest_of(data)
        with self.engine.begin() as connection:
            connection.execute(delete(attachments).where(attachments.c.digest == digest))
            connection.execute(insert(attachments).values(digest=digest, added=time.time(), data=data))
            sized = select(attachments.c.digest, func.length(attachments.c.data))
            newest = connection.execute(sized.order_by(attachments.c.added.desc()).limit(MAX_ATTACHMENTS)).all()
            totals = itertools.accumulate(size for _one, size in newest)
            kept = [one for (one, _size), total in zip(newest, totals, strict=True) if total <= MAX_ATTACHED_BYTES]
            kept.append(digest)
            connection.execute(delete(attachments).where(attachments.c.digest.not_in(kept)))

    def attachment(self, digest: str) -> bytes | None:
        """Read what a viewer brought; None where it is not here or damaged."""
        with self.engine.connect() as connection:
            data = connection.execute(select(attachments.c.data).where(attachments.c.digest == digest)).scalar()
        return data if data is not None and digest_of(data) == digest else None

    def close(self) -> None:
        """Release the connections."""
        self.engine.dispose()


def _open(url: str, *, read_only: bool) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and not read_only:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    if not read_only:

        @event.listens_for(engine, "connect")
        def _use_wal(connection, _record) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def gallery_files(path: Path | None) -> list[Path]:
    """List the shipped databases: the file itself, or those of the folder."""
    if path is None or not path.exists():
        return []
    return sorted(path.glob("*.sqlite")) if path.is_dir() else [path]


def gallery_url(path: Path) -> str:
    """Name a shipped database so that SQLite opens it read-only and leaves no side files."""
    return f"sqlite:///file:{path}?mode=ro&immutable=1&uri=true"


def _decode(row, parts: dict[str, bytes], *, is_whole: bool = True) -> RunResult:
    if is_whole and checksum(row.info, parts) != row.checksum:
        raise ValueError(f"checksum of {row.digest}")
    result = RunResult(RunInfo.model_validate_json(row.info), StoredFrames(parts))
    assert len(result.curves.columns)  # what every page reads is decoded now, so that damage shows here
    return result


class StoredFrames(Mapping[str, pd.DataFrame]):
    """The frames of a stored run, each decoded when it is asked for and kept."""

    def __init__(self, parts: Mapping[str, bytes]):
        self._parts = parts
        self._decoded: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._decoded:
            self._decoded[name] = decode_frame(self._parts[name])
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class Store:
    """Results by digest: the gallery first, then the database, then what could not be written.

    Args:
        url: SQLAlchemy URL of the database that is written; empty to keep results in memory only.
        gallery: File of shipped results, or a folder of such files, or None.

    Never raises on reading or writing: `problem` holds the last reason why results are not kept,
    and `damaged` the digests of rows that were unreadable.
    """

    def __init__(self, url: str, gallery: Path | None = None):
        self.damaged: set[str] = set()
        self.problem = ""
        self._memory: dict[str, RunResult] = {}
        self._attachments: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._gallery = [Layer(gallery_url(path), read_only=True) for path in gallery_files(gallery)]
        self._database: Layer | None = None
        if not url:
            return
        try:
            self._database = Layer(url)
        except (SQLAlchemyError, OSError, ImportError) as error:
            self.fail(error)

    @property
    def gallery(self) -> list[Layer]:
        """List the databases that ship with the code, which are never written."""
        return self._gallery

    @property
    def database(self) -> Layer | None:
        """Return the database that is written; None where there is none or it could not be opened."""
        return self._database

    @property
    def layers(self) -> list[Layer]:
        """List the databases in the order they are asked."""
        return [*self._gallery, *([self._database] if self._database is not None else [])]

    def get(self, digests: Iterable[str], largest: int | None = None) -> dict[str, RunResult]:
        """Read the results there are for `digests`; a complete one comes before a stopped one.

        Frames of more than `largest` bytes are left out, for who lists many results.
        """
        wanted = list(dict.fromkeys(digests))
        found = {digest: self._memory[digest] for digest in wanted if digest in self._memory}
        for layer in self.layers:
            rest = [digest for digest in wanted if digest not in found or not found[digest].is_complete]
            if not rest:
                break
            try:
                results, damaged = layer.get(rest, largest)
            except SQLAlchemyError as error:
                if layer is not self._database:
                    log.warning("The shipped results cannot be read: %s", error)
                else:
                    self.fail(error)
                continue
            found |= results
            self.damaged |= damaged
        return found

    def put(self, result: RunResult) -> None:
        """Keep a result; in memory where the database refuses it, and `problem` says so."""
        try:
            if self._database is not None:
                self._database.put(result)
                self.damaged.discard(result.info.digest)
                self.problem = ""
                return
        except (SQLAlchemyError, OSError) as error:
            self.fail(error)
        with self._lock:
            kept = self._memory.get(result.info.digest)
            if kept is None or result.is_complete or not kept.is_complete:
                self._memory[result.info.digest] = result
            while len(self._memory) > 5_000:
                self._memory.pop(next(iter(self._memory)))
            self.damaged.discard(result.info.digest)

    def attach(self, data: bytes) -> str:
        """Keep data that a viewer brought; returns their SHA-256, by which runs name them."""
        digest = digest_of(data)
        try:
            if self._database is not None:
                self._database.attach(data)
                return digest
        except (SQLAlchemyError, OSError) as error:
            self.fail(error)
        with self._lock:
            self._attachments[digest] = data
            while len(self._attachments) > MAX_IN_MEMORY:
                self._attachments.pop(next(iter(self._attachments)))
        return digest

    def attachment(self, digest: str) -> bytes | None:
        """Return what a viewer brought; None where it is not here."""
        if digest in self._attachments or self._database is None:
            return self._attachments.get(digest)
        try:
            return self._database.attachment(digest)
        except SQLAlchemyError as error:
            self.fail(error)
            return None

    def close(self) -> None:
        """Release the databases."""
        for layer in self.layers:
            layer.close()

    def fail(self, error: Exception) -> None:
        """Note why the database could not be read or written."""
        self.problem = str(getattr(error, "orig", None) or error).splitlines()[0]
        log.warning("Results are not kept: %s", self.problem)
