"""The custom loss page: its data, its studies, its sections, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote, urlencode

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from core import export
from core.charts import curves
from core.charts import custom_loss as charts
from core.comparison import Comparison
from core.config import GALLERY
from core.datasets.loaders import Split, Splits
from core.experiments.custom_loss import (
    CLASS_NAMES,
    EXPERIMENT,
    OWN,
    RARE,
    REGRESSION_NAMES,
    REGULARIZED,
    SETS,
    CustomLossSettings,
    contaminate,
    draw_rows,
    loss_of,
    own_values,
    thin_out,
)
from core.losses.fits import has_collapsed, unlearnt
from core.store import Store
from core.study import BASELINE
from core.ui import services as shared_services
from tests.conftest import ROOT
from tests.test_formula import HOSTILE
from tests.test_pages import charts as drawn
from tests.test_pages import visit

PAGE = str(ROOT / "pages" / "custom_loss.py")


def shipped(query: str = "", which: str = "study") -> Comparison:
    study = getattr(EXPERIMENT, which)(CustomLossSettings.parse(query))
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    return comparison


@pytest.fixture(scope="module")
def default() -> Comparison:
    return shipped()


# -- settings and studies ---------------------------------------------------------------------------------


def test_losses_follow_from_the_kind_of_data():
    regression, classes = CustomLossSettings(), CustomLossSettings(dataset="digits")
    assert [arm.name for arm in EXPERIMENT.study(regression).arms] == ["none", "mae", "huber", "log_cosh", "cauchy"]
    assert [arm.name for arm in EXPERIMENT.study(classes).arms] == ["none", "focal", "gce", "sce", "smoothing"]
    assert {"class_losses", "class_formula", "gamma", "kept", "cost"} <= regression.idle()
    assert {"losses", "formula", "delta", "outliers", "side"} <= classes.idle()
    assert EXPERIMENT.names(regression) == REGRESSION_NAMES
    assert EXPERIMENT.names(classes) == CLASS_NAMES
    assert len(REGRESSION_NAMES) <= 10
    assert len(CLASS_NAMES) <= 10


def test_idle_settings_change_no_run():
    default = EXPERIMENT.study(CustomLossSettings()).digest
    for key, value in {
        "gamma": 5.0,
        "kept": 0.5,
        "cost": 2.0,
        "class_losses": ("hinge",),
        "class_formula": "-p",
    }.items():
        assert EXPERIMENT.study(CustomLossSettings(**{key: value})).digest == default, key
    assert EXPERIMENT.study(CustomLossSettings(delta=2.0)).digest != default
    clean = EXPERIMENT.study(CustomLossSettings(outliers=0.0))
    assert EXPERIMENT.study(CustomLossSettings(outliers=0.0, outlier_size=3.0, side="both")).digest == clean.digest


def test_own_formula_travels_with_its_parameters():
    settings = CustomLossSettings(losses=("own",), formula="b*abs(y_true - y_pred) + a*0", values="b=2,unused=3")
    assert CustomLossSettings.parse(settings.query()) == settings
    assert own_values(settings) == {"b": 2.0, "a": 1.0}
    study = EXPERIMENT.study(settings)
    kind, formula, parameters = loss_of(study.spec(study.arms[1], 0))
    assert (kind, formula.text, parameters) == ("regression", settings.formula, {"b": 2.0, "a": 1.0})
    assert (
        study.runs["own", 0].digest
        != EXPERIMENT.study(settings.model_copy(update={"values": "b=3"})).runs["own", 0].digest
    )


@pytest.mark.parametrize("field", ["formula", "class_formula"])
def test_hostile_formula_in_a_link_is_one_sentence_and_the_default(field):
    for text in HOSTILE:
        if len(text) > 1_000:
            continue
        settings, problems = CustomLossSettings.read(f"{field}={quote(text, safe='')}")
        assert settings == CustomLossSettings()
        assert len(problems) == 1, text
        sentence = problems[0].sentence()
        assert "Expected" in sentence
        assert "received" in sentence
        assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize("values", ["k", "k=nan", "k=1,k=2", "k=1e9", "=", "k=1;b=2"])
def test_bad_parameters_in_a_link_are_one_sentence_and_the_default(values):
    settings, problems = CustomLossSettings.read(f"values={quote(values)}")
    assert settings == CustomLossSettings()
    assert "k=1,b=0.5" in problems[0].sentence()


KEYS = [*CustomLossSettings.model_fields, "v", "x", ""]
TEXTS = [
    "",
    "0",
    "1",
    "-1",
    "nan",
    "1e999",
    "wave",
    "digits",
    "own",
    "own,own",
    "mae,huber",
    "y_pred",
    "k=1",
    "k=",
    "999999",
]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.sampled_from(TEXTS), st.text(max_size=30))), max_size=8))
def test_any_link_gives_settings_whose_studies_can_be_named(pairs):
    settings, problems = CustomLossSettings.read(urlencode(pairs))
    assert CustomLossSettings.parse(settings.query()) == settings
    assert all(problem.sentence() for problem in problems)
    for study in EXPERIMENT.studies(settings):
        assert study.digest
    assert EXPERIMENT.facts(settings)
    assert EXPERIMENT.work(EXPERIMENT.study(settings).runs.values()) < 1e15


def test_second_comparison_adds_the_regularizer_to_every_arm_but_the_baseline():
    for regularizer, strength in (("l2", 0.01), ("dropout", 0.3)):
        settings = CustomLossSettings(regularizer=regularizer, strength=strength)
        study = EXPERIMENT.regularized(settings)
        assert [arm.name for arm in study.arms] == ["none", "mae", "huber", "log_cosh", "cauchy", REGULARIZED]
        assert all(getattr(study.runs[arm.name, 0], regularizer) == strength for arm in study.treatments)
        assert study.runs[BASELINE, 1] == EXPERIMENT.study(settings).runs[BASELINE, 1]


# -- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SETS if name in ("wave", "line", "fan", "friedman", "rare")])
def test_drawn_sets_are_fixed_and_what_they_say(name):
    dataset = SETS[name]
    x, y = draw_rows(name, dataset.n)
    again = draw_rows(name, dataset.n)
    assert np.array_equal(x, again[0])
    assert np.array_equal(y, again[1])
    assert x.shape == (dataset.n, dataset.inputs)
    if name == "rare":
        assert set(y) == {0, 1}
        assert y.mean() == pytest.approx(0.05)
    if name == "fan":
        residual = y - np.sin(3 * x[:, 0])
        left, right = residual[x[:, 0] < -0.8], residual[x[:, 0] > 0.8]
        assert 2 < right.std() / left.std() < 6  # 0.1 + 0.25 (x + 1): about 0.125 and 0.575


def _splits(y: np.ndarray) -> Splits:
    part = Split(np.zeros((len(y), 1), "float32"), y)
    return Splits(part, part, part, part, 1.0)


def test_outliers_are_as_many_as_large_and_on_the_side_they_should_be():
    y = np.random.default_rng(0).standard_normal((1_000, 1)).astype("float32")
    up = contaminate(_splits(y), 0.15, 8.0, 0.0, seed=1)
    shift = (up.train.y - y)[:, 0]
    assert (shift != 0).sum() == 150
    assert shift[shift != 0].mean() == pytest.approx(8, abs=0.6)
    assert shift[shift != 0].std() == pytest.approx(2, abs=0.4)
    assert np.array_equal(up.validation.y, y)
    assert up.prior_loss == pytest.approx(float(up.train.y.var()), rel=1e-4)
    both = contaminate(_splits(y), 0.15, 8.0, 0.0, seed=1, both=True)
    shift = (both.train.y - y)[:, 0]
    assert (shift > 0).sum() == (shift < 0).sum() == 75
    assert np.array_equal(contaminate(_splits(y), 0.15, 8.0, 0.0, seed=1).train.y, up.train.y)
    assert not np.array_equal(contaminate(_splits(y), 0.15, 8.0, 0.0, seed=2).train.y, up.train.y)
    noisy = contaminate(_splits(y), 0.0, 8.0, 0.5, seed=1)
    assert (noisy.train.y - y).std() == pytest.approx(0.5, abs=0.05)


def test_rare_class_is_thinned_by_its_true_labels_in_every_part_that_is_measured():
    truth = np.repeat([0, 1], [300, 100]).astype("int32")
    spoilt = truth.copy()
    spoilt[:30] = 1
    splits = _splits(truth)
    splits = Splits(Split(splits.train.x, spoilt), splits.validation, splits.stopping, splits.test, 0.6)
    thin = thin_out(splits, truth, 1, 0.1, seed=0)
    assert (len(thin.train.y), (thin.train.y == 1).sum()) == (310, 40)
    assert (thin.validation.y == 1).sum() == (thin.stopping.y == 1).sum() == 10
    assert len(thin.test.y) == 400
    assert thin_out(splits, truth, 1, 1.0, seed=0) is splits


def test_collapse_is_a_net_that_explains_nothing_whatever_the_outliers():
    y = np.linspace(-1, 1, 50)[:, None]
    assert unlearnt(y, np.zeros_like(y)) == 1
    assert unlearnt(y, y + 5) == pytest.approx(0)  # a shifted fit has learnt
    assert np.isnan(unlearnt(y, np.full_like(y, np.nan)))
    labels = np.repeat([0, 1], 25)
    assert unlearnt(labels, np.zeros((50, 2))) == pytest.approx(1)
    assert unlearnt(labels, np.eye(2)[labels] * 9) == 0
    for value, collapsed in ((0.99, True), (0.9, False), (np.nan, False)):
        assert has_collapsed(pd.DataFrame({"measure": ["unlearnt"], "value": [value]})) is collapsed


# -- charts and sentences ---------------------------------------------------------------------------------


def test_verdict_names_the_yardstick_and_the_robust_losses(default):
    text = EXPERIMENT.verdict(default, CustomLossSettings())
    assert text.startswith("Measured by squared error on clean validation targets: ")
    assert "Cauchy 1 lowers validation loss by" in text
    assert "Huber δ 1" in text
    assert EXPERIMENT.hero_title(default).startswith("MSE ends at ")
    assert "Cauchy" in curves.hero(default, REGRESSION_NAMES).title
    # a presentation shows the baseline first, and does not tell the end
    assert "Cauchy" not in curves.hero(default, REGRESSION_NAMES, arms=(BASELINE,)).title


def test_fit_chart_shows_a_line_an_arm_and_marks_outliers_at_the_edge(default):
    figure = charts.fits(default, REGRESSION_NAMES)
    assert set(figure.datasets["lines"]["arm"]) == {arm.name for arm in default.study.arms}
    points, edge = figure.datasets["points"], figure.datasets["edge"]
    assert len(points) + len(edge) == 200
    assert 20 <= len(edge) <= 40  # the 30 outliers, but for those that land among the others
    assert figure.title.startswith("MSE is off by ")
    reference = charts.reference_fits(default)
    assert set(reference.datasets["lines"]["arm"]) == {"ols", "huber", "median"}
    assert "OLS" in reference.title


def test_fits_are_drawn_only_for_one_input():
    assert len(charts.fit_rows(shipped()))
    assert not len(
        charts.fit_rows(
            shipped(
                "dataset=friedman&n_train=400&epochs=60&learning_rate=0.001&losses=mae,huber,log_cosh,tukey,cauchy&seeds=3"
            )
        )
    )


def test_pairs_name_only_what_the_interval_supports(default):
    second = shipped(which="regularized")
    figure = charts.pairs(default, second, REGRESSION_NAMES, "Dropout 0.2")
    assert len(figure.table) == len(default.study.arms)
    rows = figure.datasets["rows"]
    told = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    assert ("no difference is seen with any" in figure.title) == (not len(told))


def test_lessons_were_executed_and_came_out_as_told():
    lessons = EXPERIMENT.lessons()
    store = Store("", GALLERY)
    found = store.get(spec.digest for spec in lessons.runs.values())
    tables = {spec.lesson: found[spec.digest].frames["lesson"] for spec in lessons.runs.values()}  # type: ignore[attr-defined]
    store.close()
    assert tables["enumeration"]["outcome"].tolist() == ["ValueError", "value"]
    renamed = tables["renamed"].set_index("side")["difference"]
    assert renamed["wrong"] == 0 < renamed["right"]
    equal = tables["equal"]
    assert (equal["at_truth"] == 0).all()
    assert np.isclose(equal["unequal"], equal["expected"]).tolist() == [True, False, False, False]
    # L7: the scalar loss gives the mean weight times the mean loss, the vector loss Σ w·l / N
    weights = tables["weights"].set_index("side")
    assert weights.loc["wrong", "value"] == pytest.approx(weights.loc["wrong", "mixed"], rel=1e-5)
    assert weights.loc["right", "value"] == pytest.approx(weights.loc["right", "exact"], rel=1e-5)
    assert weights.loc["wrong", "value"] > 2 * weights.loc["right", "value"]


def test_both_forms_of_every_regression_loss_agree_as_executed():
    forms = shipped(which="forms")
    for arm in forms.study.arms:
        table = forms.results[forms.study.runs[arm.name, 0].digest].frames["lesson"].set_index("item")
        np.testing.assert_allclose(table["function"], table["class"], rtol=1e-6, err_msg=arm.name)
        np.testing.assert_allclose(table["function"], table["numpy"], rtol=1e-4, atol=1e-6, err_msg=arm.name)
        assert abs(table.loc["mean", "scalar"] - table.loc["mean", "numpy"]) < 1e-5
        assert abs(table.loc["mean_weighted", "scalar"] - table.loc["mean_weighted", "numpy"]) > 0.01, arm.name


# -- the page ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened():
    """Open the page once, on a server whose engine is closed."""
    shared_services.services.clear()
    shared_services.services().engine.close()
    yield AppTest.from_file(PAGE, default_timeout=60).run()
    shared_services.services.clear()


def words(test: AppTest) -> str:
    found = [*test.markdown, *test.subheader, *test.caption, *test.warning, *test.error, *test.info]
    return "\n".join(element.value for element in found)


def test_page_is_complete_at_first_paint(opened):
    test = visit(opened, "")
    assert not test.exception
    assert not test.warning
    assert len(drawn(test)) >= 6
    assert "Clearly best" in words(test)
    assert not any((button.key or "").endswith("main.train") for button in test.button)


@pytest.mark.parametrize("preset", EXPERIMENT.presets, ids=lambda preset: preset.name)
def test_every_preset_opens(opened, preset):
    test = visit(opened, preset.query)
    assert not test.exception
    assert not test.error
    assert len(test.get("vega_lite_chart")) >= 4


def test_page_opens_in_spanish(opened):
    test = AppTest.from_file(PAGE, default_timeout=60)
    test.query_params["lang"] = "es"
    test.run()
    assert not test.exception
    assert not test.error
    assert test.title[0].value == "¿Qué pérdida debería minimizar una red?"
    assert "Revisión de salud" in words(test)


def test_formula_with_a_hole_names_epoch_and_term(opened):
    preset = next(preset for preset in EXPERIMENT.presets if preset.name == "hole")
    test = visit(opened, preset.query)
    (warning,) = [warning.value for warning in test.warning]
    assert "left the finite in 3 of 3 runs, first in epoch 1" in warning
    assert "`log(1 + y_pred)`" in warning


def test_typed_fault_is_answered_with_a_sentence_and_its_place(opened):
    test = visit(opened, "")
    box = next(box for box in test.text_input if box.key == "custom_loss.bench.text.regression")
    test = box.set_value("abs(y_true - y_pred)^2").run()
    assert not test.exception
    (error,) = [error.value for error in test.error]
    assert error == "Expected two stars for a power; received `^` at character 21 of the formula."
    assert any(code.value.endswith("\n" + " " * 20 + "^") for code in test.code)
    # the comparison keeps the last formula that could be read
    assert test.session_state["custom_loss.formula"] == CustomLossSettings().formula


def test_typed_formula_is_examined_at_once_and_can_join_the_comparison(opened):
    test = visit(opened, "")
    box = next(box for box in test.text_input if box.key == "custom_loss.bench.text.regression")
    test = box.set_value("a*(y_true - y_pred)**2 + b*abs(y_true - y_pred)").run()
    assert not test.exception
    assert {slider.key for slider in test.slider} >= {"custom_loss.bench.own.a", "custom_loss.bench.own.b"}
    assert "Health check: sound" in words(test)
    test = next(slider for slider in test.slider if slider.key == "custom_loss.bench.own.a").set_value(0.5).run()
    read = CustomLossSettings.read("values=" + quote(test.session_state["custom_loss.values"]))[0]
    assert read.values == "a=0.5", "names of an earlier formula are not dragged along"
    test = next(button for button in test.button if button.key == "custom_loss.bench.add").click().run()
    assert not test.exception
    assert OWN in test.session_state["custom_loss.losses"]


@pytest.mark.parametrize("text", ["__import__('os').system('x')", "9**9**9", "(" * 60, "lambda: 0", "y_true.shape"])
def test_hostile_formula_on_the_page_is_one_sentence(opened, text):
    test = visit(opened, "")
    box = next(box for box in test.text_input if box.key == "custom_loss.bench.text.regression")
    test = box.set_value(text).run()
    assert not test.exception
    assert len(test.error) == 1
    assert test.error[0].value.startswith("Expected ")


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_every_loss_can_be_put_under_the_lens(opened, kind):
    test = visit(opened, "" if kind == "regression" else "dataset=rare")
    typed = next(box for box in test.text_input if box.key == f"custom_loss.bench.text.{kind}")
    test = typed.set_value("abs(y_true - y_pred)" if kind == "regression" else "-log_p").run()
    box = next(box for box in test.selectbox if box.key == f"custom_loss.bench.loss.{kind}")
    for name in box.options:
        test = (
            next(b for b in test.selectbox if b.key == f"custom_loss.bench.loss.{kind}")
            .set_value({"Your own formula": OWN}.get(name) or _name_of(name))
            .run()
        )
        assert not test.exception, name
        assert "Health check" in words(test)


def _name_of(title: str) -> str:
    from core.losses import LOSSES

    return next(loss.name for loss in LOSSES.values() if loss.title == title)


# -- what leaves the page ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", SETS)
def test_every_script_is_python(dataset):
    text = export.script(
        EXPERIMENT, CustomLossSettings.parse(f"dataset={dataset}&losses=own,tukey&class_losses=own,hinge")
    )
    compile(text, "train.py", "exec")
    assert "import core" not in text
    assert "from core" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "n_train=40&epochs=3&seeds=1&losses=own,tukey&side=both&target_noise=0.2&formula=abs(y_true-y_pred)**1.5",
        "dataset=breast_cancer&n_train=60&epochs=2&seeds=1&class_losses=focal,weighted,hinge&kept=0.3&flipped=0.1&optimizer=momentum",
        "dataset=moons&n_train=40&epochs=2&seeds=1&class_losses=smoothing",
    ],
)
def test_exported_script_reproduces_the_numbers(query, tmp_path):
    from core.training import train

    settings = CustomLossSettings.parse(query)
    (tmp_path / "train.py").write_text(export.script(EXPERIMENT, settings))
    done = subprocess.run([sys.executable, "-I", "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2_000:]
    written = pd.read_csv(tmp_path / "curves.csv")
    for arm, seed, spec in EXPERIMENT.study(settings):
        own = written[(written["arm"] == arm.name) & (written["seed"] == seed)].set_index("epoch")
        ours = train(EXPERIMENT, spec).curves.set_index("epoch")
        for column in ("train_loss", "validation_loss", "validation_score"):
            np.testing.assert_allclose(own[column], ours[column], rtol=2e-3, atol=2e-4, err_msg=f"{arm.name} {column}")


@pytest.mark.slow
def test_rare_class_of_every_set_is_one_of_its_classes():
    for name, rare in RARE.items():
        spec = EXPERIMENT.study(CustomLossSettings(dataset=name, n_train=100, kept=0.2)).base
        splits = EXPERIMENT.data(spec)
        assert 2 <= (splits.train.y == rare).sum() < 50
        assert (splits.validation.y == rare).sum() >= 2


def test_title_of_the_curves_is_there_whatever_has_been_trained(default):
    """While a study runs any arm may be the first to report."""
    for names in (["huber"], ["none"], ["huber", "none"], []):
        results = {spec.digest: default.results[spec.digest] for arm, _seed, spec in default.study if arm.name in names}
        title = EXPERIMENT.hero_title(Comparison(default.study, results))
        assert title.endswith(".") == bool(names)
        assert "nan" not in title.lower()
