"""The library: what is noted is listed and opens again; what is deleted goes whole, and nothing else with it."""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from core.config import GALLERY
from core.experiments import experiments
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.library import LIGHT, MAX_LISTED, Library
from core.store import Store, frames, members, runs, studies
from core.study import Study
from tests.conftest import result_of

ONE = "n_train=40&seeds=2&epochs=3&arms=l2"
WIDER = "n_train=40&seeds=2&epochs=3&arms=l1,l2"  # shares the baseline and L2 with `ONE`
OTHER = "n_train=41&seeds=2&epochs=3&arms=l2"
SHIPPED = EXPERIMENT.study(OverfittingSettings())
CURVE = [2.3, 1.0, 0.9, 0.8]


def study_of(link: str) -> Study:
    return EXPERIMENT.study(OverfittingSettings.parse(link))


def keep(library: Library, link: str, *, status: str = "complete", count: int | None = None, beside=()) -> Study:
    """Note the study of a link, and store constructed results of its first `count` runs."""
    study = study_of(link)
    library.note(EXPERIMENT, OverfittingSettings.parse(link).query(), study, beside)
    for spec in list(study.runs.values())[:count]:
        library.store.put(result_of(spec, CURVE, status=status))
    return study


def idle(_digests) -> bool:
    return False


def stored(library: Library) -> dict[str, int]:
    """Count the rows of every table."""
    database = library.store.database
    assert database is not None
    with database.engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (studies, members, runs, frames)
        }


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    store = Store(f"sqlite:///{tmp_path / 'results.sqlite'}", GALLERY)
    yield Library(store)
    store.close()


def noted(library: Library) -> list:
    return [entry for entry in library.entries()[0] if entry.is_noted]


# -- the list ---------------------------------------------------------------------------------------------


def test_presets_are_listed_before_anything_is_trained(library):
    entries, too_old = library.entries()
    assert too_old == 0
    assert all(entry.is_shipped and entry.preset and entry.status != "partial" for entry in entries)
    assert {entry.experiment for entry in entries} == set(experiments())
    assert len({entry.digest for entry in entries}) == len(entries)
    assert next(entry for entry in entries if entry.digest == SHIPPED.digest).runs == len(SHIPPED.runs)


def test_without_shipped_results_and_without_a_database_the_list_is_empty(tmp_path):
    library = Library(Store(""))
    keep(library, ONE)
    assert library.entries() == ([], 0)
    assert library.delete([study_of(ONE).digest], idle) == (library.plan([], idle), frozenset())


def test_newest_comes_first_and_asking_again_brings_it_forward(library, monkeypatch):
    for when, link in enumerate((ONE, OTHER, ONE)):
        monkeypatch.setattr("core.library.time.time", lambda when=when: 4e9 + when)
        keep(library, link)
    monkeypatch.undo()
    assert [entry.digest for entry in library.entries()[0][:2]] == [study_of(ONE).digest, study_of(OTHER).digest]
    assert noted(library)[0].recorded == dt.datetime.fromtimestamp(4e9 + 2, dt.UTC)


@pytest.mark.parametrize(
    ("status", "count", "counts", "said"),
    [
        ("complete", None, (4, 0, 0, 0), "complete"),
        ("complete", 3, (3, 0, 0, 1), "partial"),
        ("stopped", None, (0, 0, 4, 0), "partial"),
        ("stopped", 1, (0, 0, 1, 3), "partial"),
        ("diverged", None, (0, 4, 0, 0), "diverged"),
        ("complete", 0, (0, 0, 0, 4), "partial"),
    ],
)
def test_entry_counts_its_runs_by_how_they_ended(library, status, count, counts, said):
    keep(library, ONE, status=status, count=count)
    (entry,) = noted(library)
    assert (entry.complete, entry.diverged, entry.stopped, entry.missing) == counts
    assert (entry.runs, entry.status, entry.is_shipped) == (4, said, False)


def test_runs_that_ship_are_not_missing(library):
    study = study_of("seeds=2&arms=l2")  # a part of the default comparison
    library.note(EXPERIMENT, OverfittingSettings.parse("seeds=2&arms=l2").query(), study)
    (entry,) = noted(library)
    assert (entry.complete, entry.missing, entry.kept, entry.is_shipped) == (4, 0, 0, True)


def test_run_beside_the_study_is_kept_for_it_and_not_counted_as_its_own(library):
    beside = study_of(OTHER).runs["none", 0]
    keep(library, ONE, beside=[beside.digest])
    library.store.put(result_of(beside, CURVE))
    (entry,) = noted(library)
    assert (entry.runs, entry.kept, entry.status) == (4, 5, "complete")


def test_run_trained_from_a_preset_leaves_it_shipped_and_can_be_deleted(library):
    beside = study_of(OTHER).runs["none", 0]
    library.note(EXPERIMENT, OverfittingSettings().query(), SHIPPED, [beside.digest])
    library.store.put(result_of(beside, CURVE))
    (entry,) = noted(library)
    assert entry.is_shipped
    assert entry.preset is not None
    assert library.delete([entry.digest], idle)[1] == {beside.digest}
    assert not noted(library)
    assert SHIPPED.digest in {entry.digest for entry in library.entries()[0]}


def test_list_is_bounded_and_says_how_much_it_leaves_out(library, monkeypatch):
    monkeypatch.setattr("core.library.MAX_LISTED", 2)
    for link in (ONE, WIDER, OTHER):
        keep(library, link)
    assert len(noted(library)) == 2
    assert library.entries()[1] == 1
    assert MAX_LISTED >= 1_000


def test_light_comparison_says_the_same_as_a_whole_one(library):
    for experiment in experiments().values():
        for preset in experiment.presets[:3]:
            settings = experiment.settings.read(preset.query)[0]
            study = experiment.study(settings)
            light = library.comparison(study)
            whole = library.store.get(spec.digest for spec in study.runs.values())
            if light.is_complete:
                assert experiment.verdict(light, settings) == experiment.verdict(type(light)(study, whole), settings)


def test_light_reading_leaves_out_large_frames(library):
    spec = study_of(ONE).base
    library.store.put(result_of(spec, CURVE))
    assert library.store.get([spec.digest], largest=10) == {}  # without curves there is nothing to show
    assert set(library.store.get([spec.digest], largest=LIGHT)[spec.digest].frames) == {"curves"}


def test_two_viewers_note_the_same_at_once(library):
    threads = [threading.Thread(target=keep, args=(library, ONE), kwargs={"count": 0}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not library.store.problem
    assert stored(library) == {"studies": 1, "members": 4, "runs": 0, "frames": 0}


def test_database_of_an_earlier_version_gets_the_tables(tmp_path):
    path = tmp_path / "old.sqlite"
    Store(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE studies")
        connection.execute("DROP TABLE members")
    library = Library(Store(f"sqlite:///{path}"))
    keep(library, ONE)
    assert len(noted(library)) == 1
    library.store.close()


def test_database_that_lost_the_tables_is_a_problem_and_no_exception(library):
    with library.store.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE studies"))
    library.note(EXPERIMENT, "", study_of(ONE))
    assert not noted(library)
    assert library.delete([study_of(ONE).digest], idle)[1] == frozenset()
    assert "studies" in library.store.problem


# -- deleting ---------------------------------------------------------------------------------------------


def test_deleted_comparison_leaves_no_row(library):
    study = keep(library, ONE)
    plan = library.plan([study.digest], idle)
    assert (plan.studies, plan.gone, plan.shared, plan.on_way) == ((study.digest,), 4, 0, ())
    assert stored(library)["runs"] == 4, "planning deletes nothing"
    done, gone = library.delete([study.digest], idle)
    assert done == plan
    assert gone == {spec.digest for spec in study.runs.values()}
    assert set(stored(library).values()) == {0}
    assert not library.comparison(study).results


def test_runs_that_another_comparison_needs_stay(library):
    one, wider = keep(library, ONE), keep(library, WIDER)
    assert (library.plan([one.digest], idle).gone, library.plan([one.digest], idle).shared) == (0, 4)
    library.delete([one.digest], idle)
    assert library.comparison(wider).is_complete
    assert library.plan([wider.digest], idle).gone == 6
    library.delete([wider.digest], idle)
    assert stored(library)["runs"] == 0


def test_comparisons_deleted_together_share_no_reason_to_stay(library):
    digests = [keep(library, link).digest for link in (ONE, WIDER, OTHER)]
    assert library.delete(digests[:2], idle)[0].gone == 6
    assert [entry.digest for entry in noted(library)] == digests[2:]
    assert stored(library)["runs"] == 4


@pytest.mark.parametrize("digests", [[], ["0" * 64], [SHIPPED.digest], [""], ["' OR 1=1 --"]])
def test_what_is_not_noted_here_is_passed_over(library, digests):
    keep(library, ONE)
    before = stored(library)
    done, gone = library.delete(digests, idle)
    assert (done.studies, gone) == ((), frozenset())
    assert stored(library) == before


def test_shipped_results_survive_whatever_is_deleted(library):
    before = {path.name: path.read_bytes() for path in GALLERY.glob("*.sqlite")}
    library.note(EXPERIMENT, OverfittingSettings().query(), SHIPPED)
    library.delete([entry.digest for entry in library.entries()[0]], idle)
    assert {path.name: path.read_bytes() for path in GALLERY.glob("*.sqlite")} == before
    assert library.comparison(SHIPPED).is_complete


def test_comparison_on_its_way_is_left_alone(library):
    one, other = keep(library, ONE), keep(library, OTHER)
    busy = one.runs["l2", 1].digest
    done, gone = library.delete([one.digest, other.digest], lambda digests: busy in digests)
    assert (done.studies, done.on_way) == ((other.digest,), (one.digest,))
    assert busy not in gone
    assert library.comparison(one).is_complete


def test_deletion_that_fails_midway_deletes_nothing(library):
    study = keep(library, ONE)
    with library.store.database.engine.begin() as connection:
        connection.execute(
            text("CREATE TRIGGER refuse BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'not today'); END")
        )
    before = stored(library)
    assert library.delete([study.digest], idle) == (library.plan([], idle), frozenset())
    assert stored(library) == before
    assert "not today" in library.store.problem


def test_more_comparisons_than_one_query_takes(library):
    digest = keep(library, ONE).digest
    done, _gone = library.delete([digest, *(f"{number:064x}" for number in range(1_500))], idle)
    assert done.studies == (digest,)
