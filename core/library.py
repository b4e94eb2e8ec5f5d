"""List the comparisons that ship with the code or were asked for here, and delete those that nobody needs.

A comparison is noted by its link when it is submitted for training: a run alone does not tell which
question it answers. Never imports Streamlit or TensorFlow.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sqlalchemy import Connection, and_, case, delete, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from core.comparison import Comparison
from core.experiments import Experiment, Preset, experiments
from core.store import SCHEMA, Layer, Store, batches, frames, members, runs, studies
from core.study import Study

MAX_LISTED = 2_000  # comparisons of this installation, the newest; some tens of thousands of runs
LIGHT = 250_000  # bytes of a frame that a list reads; the weights of a recurrent net are larger, no verdict needs them
MAX_COMPARISONS = 200


@dataclass(frozen=True)
class Entry:
    """One comparison of the list.

    `runs` counts those of its main study: `complete`, `diverged` and `stopped` ones are stored, the others
    missing. `kept` counts what the writable database holds for it, runs beside the main study too.
    `is_noted` tells whether it was asked for here, `is_shipped` whether the main study comes with the code.
    """

    digest: str
    experiment: str
    query: str
    recorded: dt.datetime
    runs: int
    complete: int = 0
    diverged: int = 0
    stopped: int = 0
    kept: int = 0
    is_noted: bool = False
    is_shipped: bool = False
    preset: Preset | None = None

    @property
    def missing(self) -> int:
        """Count the runs of which nothing is stored."""
        return self.runs - self.complete - self.diverged - self.stopped

    @property
    def status(self) -> str:
        """Name how it stands: `partial`, `diverged` or `complete`."""
        if self.missing or self.stopped:
            return "partial"
        return "diverged" if self.diverged else "complete"


@dataclass(frozen=True)
class Deletion:
    """What deleting comparisons does: `studies` leave the list, `gone` runs go, `shared` stay for others.

    `on_way` names the comparisons that are left alone, because runs of theirs are on their way.
    """

    studies: tuple[str, ...] = ()
    gone: int = 0
    shared: int = 0
    on_way: tuple[str, ...] = ()


class Library:
    """The comparisons of a store.

    Never raises on reading or writing: `Store.problem` holds the last reason why that did not work.
    """

    def __init__(self, store: Store):
        self.store = store
        self._lock = threading.Lock()
        self._light: dict[str, Comparison] = {}

    def note(self, experiment: Experiment, query: str, study: Study, beside: Iterable[str] = ()) -> None:
        """Note that `study`, which the link `query` asks for, is trained here.

        Args:
            experiment: Whose page it stands on.
            query: The link of the page, as `Settings.query` writes it.
            study: The page's main study.
            beside: Digests of further runs of that page, such as a sweep's; those of `study` may be among them.
        """
        if (database := self.store.database) is None:
            return
        own = {spec.digest for spec in study.runs.values()}
        wanted = dict.fromkeys(beside, False) | dict.fromkeys(own, True)
        row = {"digest": study.digest, "experiment": experiment.name, "query": query, "noted": time.time()}
        try:
            try:
                _note(database, row, wanted)
            except IntegrityError:  # another viewer was quicker with the same
                _note(database, row, wanted)
        except SQLAlchemyError as error:
            self.store.fail(error)

    def entries(self) -> tuple[list[Entry], int]:
        """List the comparisons, the newest first, and count those that are too old to be listed."""
        listed = {entry.digest: entry for entry in self._shipped}
        noted: list[Entry] = []
        total = 0
        if (database := self.store.database) is not None:
            try:
                noted, total = self._noted(database)
            except SQLAlchemyError as error:
                self.store.fail(error)
        for entry in noted:
            shipped = listed.get(entry.digest)
            listed[entry.digest] = replace(shipped, kept=entry.kept, is_noted=True) if shipped else entry
        return sorted(listed.values(), key=lambda entry: entry.recorded, reverse=True), total - len(noted)

    @cached_property
    def statuses(self) -> dict[str, str]:
        """Map the shipped runs to their status; they never change."""
        found: dict[str, str] = {}
        for layer in self.store.gallery:
            try:
                with layer.engine.connect() as connection:
                    wanted = select(runs.c.digest, runs.c.status).where(runs.c.schema == SCHEMA)
                    found |= {row.digest: row.status for row in connection.execute(wanted)}
            except SQLAlchemyError:
                continue  # the store says so in the log wherever it reads results
        return found

    @cached_property
    def _shipped(self) -> list[Entry]:
        """List the presets whose results are all shipped, each comparison once, by the day they were recorded.

        The time of that day is left out: of one recording, the order of the pages tells more.
        """
        found: dict[str, Entry] = {}
        for experiment in experiments().values():
            for preset in experiment.presets:
                study = experiment.study(experiment.settings.read(preset.query)[0])
                digests = {spec.digest for spec in study.runs.values()}
                if study.digest in found or not digests <= self.statuses.keys():
                    continue
                recorded = self._recorded(list(digests))
                if recorded is None:
                    continue
                diverged = sum(self.statuses[digest] == "diverged" for digest in digests)
                found[study.digest] = Entry(
                    study.digest,
                    experiment.name,
                    preset.query,
                    dt.datetime.combine(recorded, dt.time(), dt.UTC),
                    runs=len(digests),
                    complete=len(digests) - diverged,
                    diverged=diverged,
                    is_shipped=True,
                    preset=preset,
                )
        return list(found.values())

    def _recorded(self, digests: Sequence[str]) -> dt.datetime | None:
        """Return when the latest of some shipped runs was recorded; None where that cannot be read."""
        found: list[dt.datetime] = []
        for layer in self.store.gallery:
            with contextlib.suppress(SQLAlchemyError):
                found += [info.recorded for info in layer.infos(digests).values()]
        return max(found, default=None)

    def _noted(self, database: Layer) -> tuple[list[Entry], int]:
        stored = members.outerjoin(runs, and_(runs.c.digest == members.c.run, runs.c.schema == SCHEMA))
        newest = select(studies).order_by(studies.c.noted.desc()).limit(MAX_LISTED)
        shown = select(newest.subquery().c.digest)

        def own(*conditions):
            return func.sum(case((and_(members.c.is_own, *conditions), 1), else_=0))

        counted = (
            select(
                members.c.study,
                own().label("runs"),
                own(runs.c.status == "complete").label("complete"),
                own(runs.c.status == "diverged").label("diverged"),
                own(runs.c.status == "stopped").label("stopped"),
                func.count(runs.c.digest).label("kept"),
            )
            .select_from(stored)
            .where(members.c.study.in_(shown))
            .group_by(members.c.study)
        )
        # The baseline of many a comparison ships with the code, and is not stored a second time.
        open_runs = (
            select(members.c.study, members.c.run, runs.c.status)
            .select_from(stored)
            .where(members.c.study.in_(shown), members.c.is_own, func.coalesce(runs.c.status, "stopped") == "stopped")
        )
        with database.engine.connect() as connection:
            rows = connection.execute(newest).all()
            counts = {row.study: dict(row._mapping) for row in connection.execute(counted)}
            for study, run, status in connection.execute(open_runs):
                if shipped := self.statuses.get(run):
                    counts[study][shipped] += 1
                    counts[study]["stopped"] -= status == "stopped"
                    counts[study]["lent"] = counts[study].get("lent", 0) + 1
            total = connection.execute(select(func.count()).select_from(studies)).scalar() or 0
        found = []
        for row in rows:
            count = counts.get(row.digest, {"study": row.digest, "runs": 0})
            lent = count.pop("lent", 0)
            del count["study"]
            entry = Entry(
                row.digest,
                row.experiment,
                row.query,
                dt.datetime.fromtimestamp(row.noted, dt.UTC),
                is_noted=True,
                is_shipped=0 < count["runs"] == lent,
                **count,
            )
            found.append(entry)
        return found, total

    def comparison(self, study: Study) -> Comparison:
        """Compare what is stored of `study`, without frames that are too large for a list."""
        if (known := self._light.get(study.digest)) is not None:
            return known
        results = self.store.get((spec.digest for spec in study.runs.values()), LIGHT)
        comparison = Comparison(study, results)
        if comparison.is_complete:  # then it never changes
            with self._lock:
                self._light[study.digest] = comparison
                while len(self._light) > MAX_COMPARISONS:
                    del self._light[next(iter(self._light))]
        return comparison

    def plan(self, digests: Collection[str], is_active: Callable[[Iterable[str]], bool]) -> Deletion:
        """Say what `delete` would do, without doing it."""
        return self._delete(digests, is_active, is_rehearsal=True)[0]

    def delete(
        self, digests: Collection[str], is_active: Callable[[Iterable[str]], bool]
    ) -> tuple[Deletion, frozenset[str]]:
        """Delete comparisons and those of their runs that no other noted one needs, all or nothing.

        Args:
            digests: Of the comparisons; what is not noted here, such as a shipped one, is passed over.
            is_active: Tells of run digests whether any is on its way; such comparisons are left alone.

        Returns:
            What was done, and the digests of the runs that went. Nothing, where the database refused.
        """
        return self._delete(digests, is_active, is_rehearsal=False)

    def _delete(self, digests, is_active, *, is_rehearsal: bool) -> tuple[Deletion, frozenset[str]]:
        if (database := self.store.database) is None:
            return Deletion(), frozenset()
        try:
            with database.engine.begin() as connection:
                done, gone = _delete(connection, sorted(digests), is_active, is_rehearsal=is_rehearsal)
        except SQLAlchemyError as error:
            self.store.fail(error)
            return Deletion(), frozenset()
        if not is_rehearsal:
            with self._lock:
                for digest, comparison in list(self._light.items()):
                    if gone & comparison.results.keys():
                        del self._light[digest]
        return done, gone


def _note(database: Layer, row: dict, wanted: dict[str, bool]) -> None:
    with database.engine.begin() as connection:
        connection.execute(delete(studies).where(studies.c.digest == row["digest"]))
        connection.execute(insert(studies).values(**row))
        known = set(connection.execute(select(members.c.run).where(members.c.study == row["digest"])).scalars())
        new = [{"study": row["digest"], "run": run, "is_own": own} for run, own in wanted.items() if run not in known]
        if new:
            connection.execute(insert(members), new)


def _delete(
    connection: Connection, digests: Sequence[str], is_active: Callable[[Iterable[str]], bool], *, is_rehearsal: bool
) -> tuple[Deletion, frozenset[str]]:
    leaving: set[str] = set()
    on_way: list[str] = []
    candidates: set[str] = set()
    for part in batches(digests):
        noted = connection.execute(select(studies.c.digest).where(studies.c.digest.in_(part))).scalars()
        own: dict[str, set[str]] = {digest: set() for digest in noted}
        for study, run in connection.execute(select(members.c.study, members.c.run).where(members.c.study.in_(part))):
            own.setdefault(study, set()).add(run)
        for study, its_runs in own.items():
            if is_active(its_runs):
                on_way.append(study)
            else:
                leaving.add(study)
                candidates |= its_runs
    if not is_rehearsal:  # first, so that what is read from here on is read under the lock of the writer
        for part in batches(sorted(leaving)):
            connection.execute(delete(studies).where(studies.c.digest.in_(part)))
            connection.execute(delete(members).where(members.c.study.in_(part)))
    gone: set[str] = set()
    shared = 0
    for part in batches(sorted(candidates)):
        stored = set(connection.execute(select(runs.c.digest).where(runs.c.digest.in_(part))).scalars())
        wanted = connection.execute(select(members.c.study, members.c.run).where(members.c.run.in_(part)))
        needed = {run for study, run in wanted if study not in leaving}
        spare = sorted(stored - needed)
        if not is_rehearsal:
            connection.execute(delete(frames).where(frames.c.digest.in_(spare)))
            connection.execute(delete(runs).where(runs.c.digest.in_(spare)))
        gone |= set(spare)
        shared += len(stored & needed)
    return Deletion(tuple(sorted(leaving)), len(gone), shared, tuple(on_way)), frozenset(gone)
