"""The library's page: what is found, opened, set side by side and deleted, and what is said about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from core.config import read_config
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.i18n import LANGUAGES, use_language
from core.library import Library
from core.store import Store
from core.study import Study
from core.ui import services as shared_services
from tests.conftest import ROOT, result_of
from tests.test_library import ONE, OTHER, keep, noted, study_of

APP = str(ROOT / "app.py")
PAGE = str(ROOT / "pages" / "library.py")


@pytest.mark.parametrize(
    ("environment", "may_delete", "problems"),
    [
        ({}, None, 0),
        ({"CONTRASTE_STORE": "postgresql+psycopg://host/results"}, None, 0),
        ({"CONTRASTE_STORE": "sqlite:////srv/results.sqlite", "CONTRASTE_DELETE": "yes"}, True, 0),
        ({"CONTRASTE_DELETE": "no"}, False, 0),
        ({"CONTRASTE_DELETE": " NO "}, False, 0),
        ({"CONTRASTE_DELETE": ""}, None, 0),
        ({"CONTRASTE_DELETE": "maybe"}, False, 1),
        ({"CONTRASTE_DELETE": "1", "CONTRASTE_STORE": "sqlite://"}, False, 1),
    ],
)
def test_operator_decides_who_may_delete(environment, may_delete, problems):
    config = read_config(environment)
    assert config.may_delete is may_delete
    assert len(config.problems) == problems
    for problem in config.problems:
        assert "Expected yes or no; received" in problem.sentence()


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Iterator[shared_services.Services]:
    """Give the services of a server of this test's own, where deleting is allowed and nothing trains."""
    monkeypatch.setenv("CONTRASTE_STORE", f"sqlite:///{tmp_path / 'results.sqlite'}")
    monkeypatch.setenv("CONTRASTE_DELETE", "yes")
    shared_services.services.clear()
    services = shared_services.services()
    services.engine.close()
    yield services
    shared_services.services.clear()


def visit(language: str = "en") -> AppTest:
    use_language(language)  # in which this runner reads back what a widget offers
    test = AppTest.from_file(APP, default_timeout=60)
    test.query_params["lang"] = language
    test.run()
    test.switch_page(PAGE).run()
    assert not test.exception
    return test


def links(test: AppTest) -> dict[str, dict[str, list[str]]]:
    """Map the label of each comparison's link to the settings it opens."""
    found = {}
    for element in test.get("page_link"):
        found[element.proto.label.replace("\\", "")] = parse_qs(element.proto.query_string)
    return found


def said(test: AppTest) -> str:
    written = [*test.markdown, *test.caption, *test.info, *test.warning]
    return " ".join(element.value for element in written).replace("\\", "")


def tick(test: AppTest, *studied: Study) -> AppTest:
    for study in studied:
        test.checkbox(key=f"library.choose.{study.digest}").check().run()
    return test


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_says_what_ships_and_that_nothing_was_trained(shared, language):
    test = visit(language)
    text = said(test)
    assert {"en": "Nothing has been trained here yet", "es": "Aquí no se ha entrenado nada"}[language] in text
    assert len(test.get("page_link")) == 10
    assert test.button(key="library.delete").disabled
    assert test.button(key="library.compare").disabled


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_any_result_the_page_leads_to_the_first_experiment(shared, language):
    shared.library = Library(Store(""))
    test = visit(language)
    assert {"en": "Nothing is stored yet", "es": "Todavía no hay nada guardado"}[language] in test.info[0].value
    assert len(links(test)) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_trained_comparison_stands_first_with_a_link_of_all_its_settings(shared, language):
    study = keep(shared.library, ONE)
    test = visit(language)
    label, query = next(iter(links(test).items()))
    assert {"en": "Training points 40", "es": "Puntos de entrenamiento 40"}[language] in label
    held = {key: texts[0] for key, texts in query.items() if key not in ("v", "lang")}
    settings = OverfittingSettings(**{key: OverfittingSettings.controls()[key].parse(t) for key, t in held.items()})
    assert settings == OverfittingSettings.parse(ONE)
    assert f"`{study.digest[:10]}`" in said(test)


@pytest.mark.parametrize(
    ("status", "count", "words"),
    [
        ("complete", None, "4 runs, complete"),
        ("complete", 3, "1 of 4 runs missing"),
        ("stopped", None, "4 of 4 runs stopped early"),
        ("diverged", None, "4 of 4 runs diverged"),
        ("complete", 0, "Nothing of it has been measured yet."),
    ],
)
def test_status_is_said_in_words(shared, status, count, words):
    keep(shared.library, ONE, status=status, count=count)
    assert words in said(visit())


@pytest.mark.parametrize(
    ("widget", "value", "expected"),
    [
        ("search", "points 41", [OTHER]),
        ("search", "TRAINING points", [ONE, OTHER]),
        ("search", "<script> $x$ [link](a)", []),
        ("origin", "here", [ONE, OTHER]),
        ("status", "partial", [OTHER]),
        ("experiment", "rnn", []),
    ],
)
def test_filter_leaves_what_fits_and_says_how_many(shared, widget, value, expected):
    keep(shared.library, ONE)
    keep(shared.library, OTHER, count=1)
    test = visit()
    total = len(shared.library.entries()[0])
    if widget == "search":
        test.text_input(key="library.search").set_value(value).run()
    else:
        test.selectbox(key=f"library.{widget}").set_value(value).run()
    assert not test.exception
    own = {f"library.choose.{study_of(link).digest}" for link in (ONE, OTHER)}
    assert {box.key for box in test.checkbox} & own == {f"library.choose.{study_of(link).digest}" for link in expected}
    assert f"of {total} comparisons" in said(test)
    if len(test.checkbox) < 10:
        assert f"{len(test.checkbox)} of {total}" in said(test)
    assert ("No comparison fits the search." in said(test)) == (not test.checkbox)


def test_order_and_pages_of_the_list(shared):
    keep(shared.library, ONE)
    test = visit()
    first = next(iter(links(test)))
    test.selectbox(key="library.order").set_value("oldest").run()
    assert first not in links(test)
    test.selectbox(key="library.order").set_value("page").run()
    assert "Training points 40" in first
    assert not test.exception


def test_link_of_another_version_is_said_and_can_be_deleted(shared):
    study = study_of(ONE)
    shared.library.note(EXPERIMENT, "n_train=40&gone=1", study)
    test = visit()
    assert "Its link is not understood any more" in said(test)
    tick(test, study).button(key="library.delete").click().run()
    test.button(key="library.confirm").click().run()
    assert not noted(shared.library)


def test_results_of_another_recipe_are_not_passed_off_as_these(shared):
    shared.library.note(EXPERIMENT, OverfittingSettings.parse(ONE).query(), study_of(OTHER))
    assert "Recorded by another version of Contraste" in said(visit())


@pytest.mark.parametrize("language", LANGUAGES)
def test_chosen_comparisons_stand_side_by_side(shared, language):
    one, other = keep(shared.library, ONE), keep(shared.library, OTHER, status="stopped")
    test = tick(visit(language), one, other)
    test.button(key="library.compare").click().run()
    assert not test.exception
    effects, *each = [frame.value for frame in test.dataframe]
    assert len(effects) == 2
    assert effects.shape[1] == 7  # of one experiment, so the losses themselves stand there too
    assert [len(frame) for frame in each] == [4, 4]
    assert all(frame.proto.alt for frame in test.dataframe)
    assert "40 → 41" in said(test) or "41 → 40" in said(test)


def test_comparisons_of_several_pages_share_effects_and_no_losses(shared):
    one = keep(shared.library, ONE)
    test = visit()
    other = next(entry for entry in shared.library.entries()[0] if entry.experiment == "rnn")
    test.text_input(key="library.search").set_value(other.digest).run()
    test.checkbox(key=f"library.choose.{other.digest}").check().run()
    test.text_input(key="library.search").set_value("").run()
    tick(test, one).button(key="library.compare").click().run()
    assert not test.exception
    assert test.dataframe[0].value.shape[1] == 5


@pytest.mark.parametrize("values", [[2.3, math.nan, 1.0, 1.0], [2.3, math.inf, 0.5, 0.5], [2.3]])
def test_runs_of_one_comparison_are_shown_whatever_they_measured(shared, values):
    study = study_of(ONE)
    shared.library.note(EXPERIMENT, OverfittingSettings.parse(ONE).query(), study)
    shared.store.put(result_of(study.base, values, status="diverged"))
    test = tick(visit(), study).button(key="library.compare").click().run()
    assert not test.exception
    (table,) = [frame.value for frame in test.dataframe]
    assert list(table["Status"]).count("missing") == 3
    assert list(table["Status"]).count("diverged") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_deleting_asks_first_and_then_does_it(shared, language):
    one, other = keep(shared.library, ONE), keep(shared.library, OTHER)
    test = tick(visit(language), one)
    test.button(key="library.delete").click().run()
    assert {
        "en": "4 stored runs go. What ships with the code stays, and so do the data that were uploaded.",
        "es": "Se borran 4 ejecuciones",
    }[language] in said(test)
    assert len(noted(shared.library)) == 2, "asking deletes nothing"
    test.button(key="library.confirm").click().run()
    assert not test.exception
    assert [entry.digest for entry in noted(shared.library)] == [other.digest]
    assert f"library.choose.{one.digest}" not in {box.key for box in test.checkbox}
    assert test.toast[0].value.startswith({"en": "Deleted: 1 comparison, 4 runs", "es": "Borrado: 1"}[language])
    assert shared.comparison(one).missing


def test_keeping_keeps(shared):
    study = keep(shared.library, ONE)
    test = tick(visit(), study)
    test.button(key="library.delete").click().run()
    test.button(key="library.keep").click().run()
    assert len(noted(shared.library)) == 1
    assert not test.exception


def test_chosen_comparison_that_the_search_hides_is_not_deleted(shared):
    one, other = keep(shared.library, ONE), keep(shared.library, OTHER)
    test = tick(visit(), one, other)
    test.text_input(key="library.search").set_value(other.digest).run()
    test.button(key="library.delete").click().run()
    test.button(key="library.confirm").click().run()
    assert [entry.digest for entry in noted(shared.library)] == [one.digest]


def test_shipped_comparison_chosen_beside_stays_chosen_when_the_other_is_deleted(shared):
    one = keep(shared.library, ONE)
    test = tick(visit(), one)
    box = test.checkbox[1].check()
    box.run()
    test.button(key="library.delete").click().run()
    test.button(key="library.confirm").click().run()
    assert [one.key for one in test.checkbox if one.value] == [box.key]
    assert test.session_state["library.chosen"] == {box.key.removeprefix("library.choose.")}


def test_comparison_on_its_way_is_said_and_stays(shared, monkeypatch):
    one = keep(shared.library, ONE, count=1)
    monkeypatch.setattr(shared.engine, "is_active", lambda digests: True)
    test = tick(visit(), one)
    assert "training now" in said(test)
    test.button(key="library.delete").click().run()
    assert "is being trained and stays" in said(test)
    assert test.button(key="library.confirm").disabled


def test_shipped_comparison_offers_no_deletion(shared):
    test = visit()
    test.checkbox[0].check().run()
    assert test.button(key="library.delete").disabled
    assert not test.button(key="library.compare").disabled


def test_where_the_operator_says_no_nothing_can_be_deleted(shared, monkeypatch, tmp_path):
    monkeypatch.setenv("CONTRASTE_DELETE", "no")
    shared_services.services.clear()
    services = shared_services.services()
    services.engine.close()
    study = keep(services.library, ONE)
    test = tick(visit(), study)
    assert "library.delete" not in {button.key for button in test.button}
    assert services.delete([study.digest]).studies == ()
    assert len(noted(services.library)) == 1


@pytest.mark.parametrize(
    ("url", "may_delete"),
    [
        ("http://localhost:8501/library", True),
        ("http://127.0.0.1:8501/library", True),
        ("http://[::1]:8501/library", True),
        ("https://lab.example.org/library", False),
        ("https://localhost.example.org/library", False),
        ("http://192.168.0.7:8501/library", False),
        ("", False),
    ],
)
def test_where_the_operator_says_nothing_only_who_sits_at_the_machine_can_delete(shared, monkeypatch, url, may_delete):
    monkeypatch.delenv("CONTRASTE_DELETE")
    shared_services.services.clear()
    services = shared_services.services()
    services.engine.close()
    keep(services.library, ONE)
    test = AppTest.from_file(APP, default_timeout=60)
    test.context = {"url": url}
    test.run()
    test.switch_page(PAGE).run()
    assert ("library.delete" in {button.key for button in test.button}) is may_delete


def test_store_that_cannot_be_read_is_one_sentence(shared, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONTRASTE_STORE", f"sqlite:///{tmp_path / 'file' / 'r.sqlite'}")
    shared_services.services.clear()
    shared_services.services().engine.close()
    test = visit()
    assert len(test.warning) == 1
    assert links(test)


def test_store_that_is_no_database_is_one_sentence(shared, tmp_path, monkeypatch):
    (tmp_path / "text.sqlite").write_text("no database, but text that is long enough to be taken for one " * 40)
    monkeypatch.setenv("CONTRASTE_STORE", f"sqlite:///{tmp_path / 'text.sqlite'}")
    shared_services.services.clear()
    shared_services.services().engine.close()
    assert len(visit().warning) == 1


def test_training_notes_the_link_of_the_page(shared, monkeypatch):
    monkeypatch.setattr(shared.engine, "submit", lambda specs: None)
    test = AppTest.from_file(str(ROOT / "pages" / "overfitting.py"), default_timeout=60)
    for key, texts in parse_qs(ONE).items():
        test.query_params[key] = texts
    test.run()
    test.button(key="overfitting.main.train").click().run()
    assert not test.exception
    (entry,) = noted(shared.library)
    assert entry.digest == study_of(ONE).digest
    assert OverfittingSettings.parse(entry.query) == OverfittingSettings.parse(ONE)
