"""Pages through Streamlit's own test runner: hostile links, presets, languages, what is said when something is wrong."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from core.comparison import Comparison
from core.config import GALLERY, Config
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.i18n import LANGUAGES
from core.result import RunFailure
from core.store import Store
from core.ui import services as shared_services
from core.verdict import verdict
from tests.conftest import ROOT, result_of
from tests.test_settings import HOSTILE, MEGABYTE, VALID

PAGE = str(ROOT / "pages" / "overfitting.py")
APP = str(ROOT / "app.py")
CONTROLS = OverfittingSettings.controls()

# Every link of the table that does not merely give one more wrong type to one more key, and a quarter of those.
LINKS = [link for number, link in enumerate(HOSTILE) if number % 4 == 0 or number > 220]


def visit(test: AppTest, link: str) -> AppTest:
    """Open a link in the session of `test`, as a browser's query string arrives."""
    test.query_params.clear()
    for key, texts in parse_qs(link, keep_blank_values=True).items():
        test.query_params[key] = texts
    return test.run()


def offers_training(test: AppTest) -> bool:
    """Tell whether the page offers to train the comparison itself; a series along a setting has its own button."""
    return any((button.key or "").endswith("main.train") for button in test.button)


def charts(test: AppTest) -> list[tuple[dict, dict, str]]:
    """Read the charts on the page: spec, frames by name, alternative text."""
    found = []
    for element in test.get("vega_lite_chart"):
        proto = element.proto
        frames = {part.name: pa.ipc.open_stream(io.BytesIO(part.data.data)).read_pandas() for part in proto.datasets}
        found.append((json.loads(proto.spec), frames, proto.alt))
    return found


def assert_widgets_are_in_range(test: AppTest) -> OverfittingSettings:
    """Check every widget of the settings against its own limits and read the settings they hold.

    A setting without a widget has no effect beside the others, or waits behind the switch with its default.
    """
    values: dict[str | None, Any] = {}
    bounded: list[Any] = [*test.number_input, *test.slider]
    for widget in bounded:
        assert widget.min <= widget.value <= widget.max, widget.key
    free: list[Any] = [*test.selectbox, *test.select_slider]
    for widget in [*bounded, *free]:
        values[widget.key] = widget.value
    groups: list[Any] = list(test.get("button_group"))
    for widget in groups:
        values[widget.key] = tuple(widget.value or ())
    held: dict[str, Any] = {}
    for field, control in CONTROLS.items():
        key = f"{EXPERIMENT.name}.{field}"
        value = values[key] if key in values else test.session_state[key]
        assert control.accepts(value), field
        held[field] = value
    settings = OverfittingSettings(**held)
    usual = OverfittingSettings()
    for field, control in CONTROLS.items():
        if f"{EXPERIMENT.name}.{field}" not in values:
            is_usual = getattr(settings, field) == getattr(usual, field)
            assert field in settings.idle() or (control.folded and is_usual), field
    return settings


def test_switch_brings_every_setting_that_has_an_effect(page):
    test = AppTest.from_file(PAGE, default_timeout=60).run()
    shown = {widget.key for widget in [*test.number_input, *test.slider, *test.selectbox, *test.select_slider]}
    test.toggle(key="all_settings").set_value(True).run()
    now = {widget.key for widget in [*test.number_input, *test.slider, *test.selectbox, *test.select_slider]}
    now |= {widget.key for widget in test.get("button_group")}
    assert now > shown
    idle = OverfittingSettings().idle()
    assert {f"overfitting.{field}" for field in CONTROLS if field not in idle} <= now


@pytest.fixture(scope="module")
def opened() -> Iterator[AppTest]:
    """Open the page once, on a server whose engine is closed, and keep the session for many links."""
    shared_services.services.clear()
    shared_services.services().engine.close()
    yield AppTest.from_file(PAGE, default_timeout=60).run()
    shared_services.services.clear()


# -- links -----------------------------------------------------------------------------------------------


def test_enough_hostile_links_go_through_the_page():
    assert len(LINKS) >= 220


@pytest.mark.parametrize("link", LINKS, ids=range(len(LINKS)))
def test_hostile_link_is_answered_with_a_sentence_and_widgets_in_range(opened, link):
    test = visit(opened, link)
    assert not test.exception
    assert not test.error
    settings, problems = OverfittingSettings.read(link)
    assert len(test.warning) == min(len(problems), 4) >= 1
    for warning in test.warning:
        assert "Expected" in warning.value
        assert "received" in warning.value
        assert len(warning.value.splitlines()) == 1
    assert assert_widgets_are_in_range(test) == settings
    assert test.title[0].value
    assert len(test.get("vega_lite_chart")) >= 2


@pytest.mark.parametrize("link", [link for link in VALID if link and "present" not in link])
def test_valid_link_is_followed_without_a_warning(opened, link):
    visit(opened, HOSTILE[0])  # so that the link differs from what stands in the address bar
    test = visit(opened, link)
    assert not test.exception
    assert not test.warning
    assert assert_widgets_are_in_range(test) == OverfittingSettings.parse(link)


def test_megabyte_of_a_link_opens_the_page_with_its_defaults(opened):
    # Streamlit drops a query above 512 Ki characters before any page sees it, so no page can say more.
    test = visit(opened, MEGABYTE)
    assert not test.exception
    assert assert_widgets_are_in_range(test) == OverfittingSettings()
    test = visit(opened, MEGABYTE[:400_000])
    assert not test.exception
    assert len(test.warning) == 1


@pytest.mark.parametrize("screen", ["", "0", "99", "-1", "1.5", "abc", "٣", "²", "9" * 5_000, "<b>", "\x00"])
def test_hostile_screen_of_the_presentation_is_another_screen(screen):
    shared_services.services.clear()
    shared_services.services().engine.close()
    test = AppTest.from_file(PAGE, default_timeout=60)
    test.query_params["present"] = "true"
    test.query_params["screen"] = screen
    test.run()
    assert not test.exception
    shared_services.services.clear()


@pytest.mark.parametrize("link", [HOSTILE[0], HOSTILE[-1], "n_train=5000", "<script>=<script>"])
def test_hostile_link_through_the_front_door(page, link):
    test = AppTest.from_file(APP, default_timeout=60).run()
    test.switch_page(PAGE)
    visit(test, link)
    assert not test.exception
    assert test.warning


def test_warning_goes_away_with_the_next_change(page):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), "n_train=abc")
    assert test.warning
    test.query_params.clear()
    test.number_input(key="overfitting.n_train").set_value(200).run()
    assert not test.warning
    assert assert_widgets_are_in_range(test).n_train == 200


# -- what the page shows -----------------------------------------------------------------------------------


def _shipped(settings: OverfittingSettings) -> Comparison:
    study = EXPERIMENT.study(settings)
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    return comparison


def test_first_visit_is_complete_from_the_gallery(page):
    test = AppTest.from_file(PAGE, default_timeout=60).run()
    comparison = _shipped(OverfittingSettings())
    assert not test.exception
    assert not test.warning
    assert verdict(comparison) in [markdown.value for markdown in test.markdown]
    drawn = charts(test)
    assert len(drawn) >= 2 + len(comparison.study.arms)
    for spec, frames, alt in drawn:
        assert alt
        assert frames
        assert "layer" in spec or "mark" in spec
    assert set(drawn[0][1]["lines"]["arm"]) == {arm.name for arm in comparison.study.arms}
    assert not offers_training(test)


@pytest.mark.parametrize("preset", EXPERIMENT.presets, ids=lambda preset: preset.name)
def test_every_preset_is_shown_whole_without_training(page, preset):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), preset.query)
    comparison = _shipped(OverfittingSettings.parse(preset.query))
    assert not test.exception
    assert not test.warning
    assert not test.error
    assert comparison.is_complete
    shown = " ".join(markdown.value for markdown in test.markdown)
    assert f"`{comparison.study.digest[:10]}`" in shown
    assert not offers_training(test)


def test_preset_button_sets_every_widget(page):
    test = AppTest.from_file(PAGE, default_timeout=60).run()
    preset = next(preset for preset in EXPERIMENT.presets if "dataset=moons" in preset.query)
    test.button(key=f"overfitting.preset.{preset.name}").click().run()
    assert not test.exception
    assert assert_widgets_are_in_range(test) == OverfittingSettings.parse(preset.query)


def test_settings_without_a_result_offer_training_beside_the_last_result(page):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), "n_train=40&seeds=2")
    assert not test.exception
    assert offers_training(test)
    assert len(charts(test)) >= 2
    assert any("n_train" in info.value or "Training points" in info.value for info in test.info)


@pytest.mark.parametrize("link", ["moment=best", "smoothing=0.9", "seeds=3", "arms=l2", "seeds=1&arms=dropout"])
def test_views_that_need_no_new_run_are_complete_at_once(page, link):
    test = visit(AppTest.from_file(PAGE, default_timeout=60), link)
    assert not test.exception
    assert not offers_training(test)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", [APP, PAGE], ids=["home", "overfitting"])
def test_every_page_opens_in_every_language(page, path, language):
    test = AppTest.from_file(path, default_timeout=60)
    test.query_params["lang"] = language
    test.run()
    assert not test.exception
    assert test.title


@pytest.mark.parametrize("screen", range(1, 9))
def test_every_screen_of_the_presentation_opens(page, screen):
    test = AppTest.from_file(PAGE, default_timeout=60)
    test.query_params["present"] = "true"
    test.query_params["screen"] = str(screen)
    test.run()
    assert not test.exception


# -- what goes wrong -----------------------------------------------------------------------------------------


def _serve(tmp_path: Path, monkeypatch, url: str) -> shared_services.Services:
    monkeypatch.setenv("CONTRASTE_STORE", url)
    shared_services.services.clear()
    shared = shared_services.services()
    shared.engine.close()
    return shared


def test_store_that_cannot_be_written_is_said_and_the_page_works(page, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    shared = _serve(tmp_path, monkeypatch, f"sqlite:///{tmp_path / 'file' / 'r.sqlite'}")
    assert shared.store.problem
    test = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not test.exception
    assert len(test.warning) == 1
    assert len(charts(test)) >= 2


def test_wrong_environment_is_said_and_the_page_works(page, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRASTE_WORKERS", "many")
    _serve(tmp_path, monkeypatch, f"sqlite:///{tmp_path / 'r.sqlite'}")
    test = AppTest.from_file(PAGE, default_timeout=60).run()
    assert not test.exception
    assert ["CONTRASTE_WORKERS" in warning.value for warning in test.warning] == [True]


def test_damaged_result_is_said_and_training_offered(page, tmp_path, monkeypatch):
    shared = _serve(tmp_path, monkeypatch, f"sqlite:///{tmp_path / 'r.sqlite'}")
    study = EXPERIMENT.study(OverfittingSettings.parse("n_train=40&seeds=2&arms=l2"))
    for spec in study.runs.values():
        shared.store.put(result_of(spec, [2.3, 1.0]))
    layer = shared.store.layers[-1]
    from sqlalchemy import update

    from core.store import runs

    with layer.engine.begin() as connection:
        connection.execute(update(runs).values(checksum="0"))
    test = visit(AppTest.from_file(PAGE, default_timeout=60), "n_train=40&seeds=2&arms=l2")
    assert not test.exception
    assert test.warning
    assert offers_training(test)


def _put(shared: shared_services.Services, link: str, status: str, values: list[float]) -> None:
    for spec in EXPERIMENT.study(OverfittingSettings.parse(link)).runs.values():
        shared.store.put(result_of(spec, values, train=values, status=status))


@pytest.mark.parametrize(
    "values", [[2.3, math.nan], [2.3, math.inf], [2.3, 1e30], [2.3, 3e38], [2.3, 500.0, 0.1, math.nan]]
)
def test_diverged_study_is_shown_as_diverged(page, values):
    link = "n_train=50&seeds=2&epochs=3"
    _put(page, link, "diverged", values)
    test = visit(AppTest.from_file(PAGE, default_timeout=60), link)
    assert not test.exception
    assert any("diverged" in markdown.value.casefold() for markdown in test.markdown)
    for spec, _, _ in charts(test):
        json.dumps(spec, allow_nan=False)


@pytest.mark.parametrize("values", [[2.3], [2.3, 1.0], [2.3, 1.0, 0.5]])
def test_stopped_study_is_shown_as_partial_and_can_be_finished(page, values):
    link = f"n_train=60&seeds=2&epochs=30&batch_size={len(values)}"
    _put(page, link, "stopped", values)
    test = visit(AppTest.from_file(PAGE, default_timeout=60), link)
    assert not test.exception
    assert offers_training(test)
    for spec, _, _ in charts(test):
        json.dumps(spec, allow_nan=False)


def test_collapsed_study_names_the_collapse(page):
    link = "n_train=70&seeds=2&epochs=3&arms=l2"
    _put(page, link, "complete", [2.3, 2.3, 2.3])
    test = visit(AppTest.from_file(PAGE, default_timeout=60), link)
    assert not test.exception
    assert any("collapsed" in markdown.value.casefold() for markdown in test.markdown)


@pytest.mark.parametrize("reason", ["download", "damaged-download", "worker-lost", "error"])
def test_failure_is_one_sentence_with_what_to_do(reason):
    sentence = RunFailure(digest="0" * 64, reason=reason, detail="/some/folder").sentence()
    assert len(sentence.splitlines()) == 1
    assert not set("{}") & set(sentence)


def test_configuration_of_these_tests_is_not_that_of_the_viewer():
    config = shared_services.read_config()
    assert isinstance(config, Config)
    assert "contraste-tests-" in config.store_url
