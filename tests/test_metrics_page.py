"""The metrics page and what it stands on: data, scores, thresholds, typed metrics, brought predictions."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import export
from core.charts import batching as batch_charts
from core.charts import epochs, metrics, thresholds
from core.comparison import Comparison
from core.config import GALLERY
from core.datasets.imbalanced import TASKS, load_task, split_task, thin
from core.experiments.metrics import EXPERIMENT, MetricsSettings
from core.formula import FormulaError
from core.i18n import LANGUAGES, use_language
from core.metrics import METRICS, Counts, MetricInputError, count, sweep
from core.metrics import brought as own_predictions
from core.metrics import own as own_metric
from core.metrics.scores import TEST, VALIDATION, Scores, metrics_verdict, scores_of
from core.metrics.thresholds import CostMatrix, best_threshold, cost_band, counts_at, pr_band, roc_band
from core.store import Store
from core.study import BASELINE
from core.ui import services as shared_services
from core.ui.services import services
from tests.conftest import ROOT, result_of
from tests.test_pages import charts, visit

PAGE = str(ROOT / "pages" / "metrics.py")
NAMES = EXPERIMENT.arm_names


def shipped(query: str = "") -> Comparison:
    study = EXPERIMENT.study(MetricsSettings.parse(query))
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get(spec.digest for spec in study.runs.values()))
    store.close()
    assert comparison.is_complete
    return comparison


@pytest.fixture(scope="module")
def default() -> Comparison:
    return shipped()


@pytest.fixture(scope="module")
def always_negative() -> Comparison:
    return shipped(next(p.query for p in EXPERIMENT.presets if p.name == "always_negative"))


def arm_of(comparison: Comparison, name: str):
    return next(arm for arm in comparison.study.arms if arm.name == name)


# -- data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("share", [0.02, 0.05, 0.3, 0.5])
def test_every_split_has_the_stated_share_and_the_promised_rows(name, share):
    task, positive = TASKS[name], 3 if name == "digits" else 0
    x, y = load_task(name, positive)
    assert x.shape == (task.n, task.inputs)
    assert set(np.unique(y)) == {0, 1}
    assert y.sum() == task.positives[positive if name == "digits" else 0]
    assert y[thin(y, share)].mean() == pytest.approx(share, abs=0.01)
    parts = task.parts(share, positive)
    options = {"share": share, "flipped": 0.0, "noise": 0.0, "is_image": task.is_image}
    splits = split_task(x, y, n_train=10_000, seed=1, **options)
    for split, (negatives, positives) in parts.items():
        labels = getattr(splits, split).y
        assert ((labels == 0).sum(), (labels == 1).sum()) == (negatives, positives), split
    other = split_task(x, y, n_train=10_000, seed=2, **options)
    assert np.array_equal(np.sort(splits.test.y), np.sort(other.test.y))
    assert len(other.train.x) == len(splits.train.x)


def test_no_row_stands_in_two_splits_and_the_test_rows_are_the_same_for_all_seeds():
    # A second column holds the largest value of all, so that scaling does not depend on the training rows.
    x = np.stack([np.arange(1797.0), np.full(1797, 1797.0)], 1)
    _rows, y = load_task("digits", 8)
    options = {"share": 0.05, "n_train": 10_000, "flipped": 0.0, "noise": 0.0, "is_image": True}
    seeds = [split_task(x, y, seed=seed, **options) for seed in (0, 1)]
    for splits in seeds:
        parts = [getattr(splits, name).x[:, 0] for name in ("train", "validation", "stopping", "test")]
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    assert np.array_equal(seeds[0].test.x, seeds[1].test.x)
    assert not np.array_equal(np.sort(seeds[0].validation.x[:, 0]), np.sort(seeds[1].validation.x[:, 0]))


def test_wrong_labels_are_a_stated_share_of_each_class_in_training_only():
    x, y = load_task("digits", 8)
    options = {"share": 0.1, "n_train": 10_000, "seed": 0, "noise": 0.0, "is_image": True}
    clean, wrong = split_task(x, y, flipped=0.0, **options), split_task(x, y, flipped=0.2, **options)
    for label in (0, 1):
        own = clean.train.y == label
        assert (wrong.train.y[own] != label).mean() == pytest.approx(0.2, abs=0.02)
    assert np.array_equal(clean.validation.y, wrong.validation.y)
    assert np.array_equal(clean.train.x, wrong.train.x)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("n_train=9000", "at most 512 training points"),
        ("dataset=breast_cancer&n_train=400", "training points"),
        ("share=0.9", "from 0.02 to 0.5"),
        ("share=nan", "from 0.02 to 0.5"),
        ("positive=10", "from 0 to 9"),
        ("positive=20", "from 0 to 19"),
        ("positive=a", "from 0 to 19"),
        ("dataset=own-file-0123", "load the same file"),
        ("threshold=2", "from 0.0 to 1.0|from 0 to 1"),
        ("threshold=nan", "from 0"),
        ("cost_fn=abc", "a number from 0"),
        ("cost_fn=inf", "a number from 0"),
        ("cost_fp=-1", "a number from 0"),
        ("cost_tp=", "a number from 0"),
        ("cost_tn=1e999", "a number from 0"),
        ("goal=profit", "one of"),
        ("explored=evil", "one of"),
        ("metric=<script>", "one of"),
        ("own=__import__('os')", "received"),
        ("own=tp/(tp%2Bx)", "one of the names"),
        ("own=tp;fp", "received"),
        ("own=1", "at least one of the names"),
        ("own=", "received"),
        ("own=" + "t" * 500, "received"),
        ("arms=", "any of"),
        ("epochs=2000&seeds=20&width=1024&depth=6&n_train=500", "half an hour"),
    ],
)
def test_bad_link_is_one_sentence_and_the_settings_are_usable(query, words):
    settings, problems = MetricsSettings.read(query)
    assert len(problems) == 1
    sentence = problems[0].sentence()
    assert len(sentence.splitlines()) == 1
    assert "Expected" in sentence
    assert any(word in sentence for word in words.split("|")), sentence
    assert MetricsSettings.parse(settings.query()) == settings
    use_language("es")
    assert problems[0].sentence() != sentence


# -- a file of the viewer's own ------------------------------------------------------------------------------------


@pytest.fixture
def brought():
    """Register a file of three classes, the rarest of them `bad`, with 12 % of the rows."""
    from core import datasets
    from core.datasets.tables import prepare, read_table

    rng = np.random.default_rng(0)
    classes = np.array(["good", "fine", "bad"])[np.searchsorted([0.5, 0.88], rng.uniform(size=400))]
    shift = np.where(classes == "bad", 2.0, 0.0)
    lines = [f"{a + s:.3f},{b:.3f},{c}" for a, b, s, c in zip(*rng.normal(size=(2, 400)), shift, classes, strict=True)]
    own = prepare(read_table("\n".join(["a,b,kind", *lines]).encode(), "f.csv"), "kind", "classification").own
    datasets.register(own)
    yield own
    datasets._own.clear()


def test_own_file_sets_its_rarest_class_against_the_rest_at_its_natural_share(brought):
    settings = MetricsSettings.parse(f"dataset={brought.dataset.name}")
    assert brought.classes[settings.positive] == "bad"
    assert settings.share == pytest.approx((brought.y == settings.positive).mean(), abs=1e-3)
    assert "bad" in EXPERIMENT.facts(settings)[0]
    spec = EXPERIMENT.study(settings).base
    splits = EXPERIMENT.data(spec)
    assert splits.validation.y.mean() == pytest.approx(settings.share, abs=0.01)
    assert len(splits.train.x) == spec.n_train == settings.limits()["n_train"][1]
    other = MetricsSettings.parse(f"dataset={brought.dataset.name}&positive=1&share=0.3&n_train=50")
    assert brought.classes[1] in EXPERIMENT.facts(other)[0]
    assert EXPERIMENT.study(other).base.digest != spec.digest
    assert "loadtxt" in EXPERIMENT.script(settings)
    ast.parse(EXPERIMENT.script(settings))


def test_own_file_has_only_its_own_classes(brought):
    settings, problems = MetricsSettings.read(f"dataset={brought.dataset.name}&positive=3")
    assert "from 0 to 2" in problems[0].sentence()
    assert settings.positive == 2


def test_page_offers_training_on_an_own_file(page, brought):
    services().keep_dataset(brought)
    test = visit(AppTest.from_file(PAGE, default_timeout=60), f"dataset={brought.dataset.name}")
    assert not test.exception
    assert not test.warning
    assert any((button.key or "").endswith("main.train") for button in test.button)


# -- scores ----------------------------------------------------------------------------------------------------


def test_deltas_are_paired_by_seed(default):
    scores = scores_of(default)
    assert set(scores.deltas) == {(arm.name, name) for arm in default.study.treatments for name in METRICS}
    dropout = arm_of(default, "dropout")
    delta = scores.delta(dropout, METRICS["f1"])
    differences = [scores.values["dropout", s]["f1"] - scores.values[BASELINE, s]["f1"] for s in default.study.seeds]
    assert delta.interval.mean == pytest.approx(np.mean(differences))
    assert delta.interval.n == len(default.study.seeds)
    assert delta.mean - delta.baseline == pytest.approx(delta.interval.mean)


def test_log_loss_of_the_kept_predictions_is_the_loss_of_the_curves(default):
    scores = scores_of(default)
    last = default.outcomes[default.outcomes["at"] == "last"]
    for row in last.itertuples():
        assert scores.values[row.arm, row.seed]["log_loss"] == pytest.approx(row.validation_loss, rel=2e-3)
        assert scores.values[row.arm, row.seed]["accuracy"] == pytest.approx(row.validation_score, abs=1e-6)


def test_metrics_of_the_last_epoch_are_those_of_the_kept_predictions(default):
    per_epoch = epochs.epoch_scores(default)
    scores = scores_of(default)
    for arm, seed, spec in default.study:
        final = default.results[spec.digest].info.final_epoch
        own = per_epoch[(per_epoch["arm"] == arm.name) & (per_epoch["seed"] == seed) & ~per_epoch["kept"].astype(bool)]
        row = own[own["epoch"] == final].iloc[0]
        for name in METRICS:
            value = scores.values[arm.name, seed][name]
            assert row[name] == pytest.approx(value, abs=2e-3, nan_ok=True), (arm.name, seed, name)


def test_undefined_pairs_are_left_out_and_counted(always_negative):
    delta = scores_of(always_negative).delta(arm_of(always_negative, "dropout"), METRICS["precision"])
    assert delta.undefined == len(always_negative.study.seeds)
    assert delta.interval.n == 0
    assert not delta.is_better
    assert not delta.is_worse
    figure = metrics.heat_map(scores_of(always_negative))
    cells = figure.datasets["cells"]
    own = cells[(cells["metric"] == metrics.row_label("precision")) & cells["arm"].str.startswith("Dropout")]
    assert own["text"].tolist() == ["undefined"]
    f1 = cells[(cells["metric"] == metrics.row_label("f1")) & cells["arm"].str.startswith("Dropout")]
    assert f1["text"].tolist() != ["undefined"]


def test_cells_are_coloured_exactly_where_the_interval_excludes_zero(default):
    scores = scores_of(default)
    cells = metrics.heat_map(scores).datasets["cells"]
    coloured = (cells["shade"] != "transparent").tolist()
    assert coloured == [delta.interval.excludes_zero for delta in scores.deltas.values()]
    for text, delta in zip(cells["text"], scores.deltas.values(), strict=True):
        assert text.startswith("▲") == delta.is_better
        assert text.startswith("▼") == delta.is_worse


def test_lower_is_better_where_the_sign_says_so(default):
    delta = scores_of(default).deltas["early_stopping", "log_loss"]
    assert delta.interval.mean < 0
    assert delta.is_better


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("preset", EXPERIMENT.presets, ids=lambda preset: preset.name)
def test_verdict_names_only_what_lies_beyond_its_interval(preset, language):
    use_language(language)
    comparison = shipped(preset.query)
    text = metrics_verdict(comparison)
    assert text
    assert not set("{}") & set(text)
    scores = scores_of(comparison)
    disputed = [arm for arm in scores.arms if scores.better(arm) and scores.worse(arm)]
    assert bool(disputed) == (scores.most_disputed is not None)


def test_verdict_without_predictions_is_that_on_the_loss():
    study = EXPERIMENT.study(MetricsSettings.parse("seeds=2&arms=l2"))
    results = {spec.digest: result_of(spec, [0.7, 0.2 + 0.01 * seed]) for (_arm, seed), spec in study.runs.items()}
    assert "validation loss" in metrics_verdict(Comparison(study, results)).casefold()
    assert metrics_verdict(Comparison(study, {}))


def test_diverged_run_has_no_metrics():
    study = EXPERIMENT.study(MetricsSettings.parse("seeds=2&arms=l2"))
    results = {spec.digest: result_of(spec, [0.7, math.nan], status="diverged") for spec in study.runs.values()}
    scores = Scores(Comparison(study, results))
    assert scores.rows == {}
    assert scores.deltas == {}


# -- thresholds ------------------------------------------------------------------------------------------------

Y, P = np.array([0, 0, 1, 0, 1.0]), np.array([0.1, 0.2, 0.3, 0.6, 0.9])


def test_counts_at_many_thresholds_are_those_at_each():
    cuts = np.array([0, 0.1, 0.15, 0.3, 0.5, 0.9, 1.0])
    many = counts_at(Y, P, cuts)
    for index, cut in enumerate(cuts):
        one = count(Y, P, np.ones(5), cut)
        assert (many.tp[index], many.fp[index], many.fn[index], many.tn[index]) == (one.tp, one.fp, one.fn, one.tn)


@pytest.mark.parametrize(
    ("goal", "costs", "low", "high"),
    [
        ("f1", CostMatrix(), 0.2, 0.3),  # two found, one alarm: F1 0.8; one found, none: 0.67
        ("cost", CostMatrix(fn=10, fp=1), 0.2, 0.3),
        ("cost", CostMatrix(fn=1, fp=10), 0.6, 0.9),
        ("cost", CostMatrix(fn=0, fp=1), 0.6, 1.0),  # calling nothing is free
        ("cost", CostMatrix(fn=1, fp=0), 0.0, 0.3),
        ("cost", CostMatrix(fn=0, fp=0), 0.3, 0.6),  # all equally good: the one nearest to 0.5
        ("mcc", CostMatrix(), 0.2, 0.3),
    ],
)
def test_chosen_threshold_is_the_best_on_its_rows(goal, costs, low, high):
    chosen = best_threshold(Y, P, goal, costs)
    assert low <= chosen <= high
    if goal == "cost":
        every = [float(costs.expected(count(Y, P, np.ones(5), t))) for t in np.linspace(0, 1, 201)]
        assert float(costs.expected(count(Y, P, np.ones(5), chosen))) == pytest.approx(min(every))


def test_threshold_of_rows_that_define_nothing_is_a_half():
    assert best_threshold(np.empty(0), np.empty(0), "f1", CostMatrix()) == 0.5
    assert 0 <= best_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3]), "mcc", CostMatrix()) <= 1


@pytest.mark.parametrize("cost", [math.nan, math.inf, -math.inf, "1", None, True, [1]])
def test_cost_that_is_no_number_is_refused_with_a_sentence(cost):
    with pytest.raises(MetricInputError, match="Expected four finite numbers"):
        CostMatrix(fn=cost)


def test_calibrated_threshold_is_elkans():
    assert CostMatrix(fn=10, fp=1).calibrated_threshold == pytest.approx(1 / 11)
    assert CostMatrix(tp=2, fn=12, fp=1).calibrated_threshold == pytest.approx(1 / 11)
    assert math.isnan(CostMatrix(fn=0, fp=0).calibrated_threshold)


def test_expected_cost_by_hand():
    assert float(CostMatrix(tp=1, fp=2, fn=10, tn=0.5).expected(Counts(1, 2, 3, 4))) == 1000 * (1 + 4 + 30 + 2) / 10
    assert math.isnan(float(CostMatrix().expected(Counts(0, 0, 0, 0))))


def test_bands_hold_the_curves_of_the_seeds(default):
    rows = thresholds.rows_of(scores_of(default), default.baseline)
    for band in (roc_band(rows), pr_band(rows), cost_band(rows, CostMatrix())):
        assert (band.low <= band.mean + 1e-12).all()
        assert (band.mean <= band.high + 1e-12).all()
    one = roc_band(rows[:1])
    y, p = rows[0]
    c = sweep(y, p, np.ones(len(y))).counts
    area = np.trapezoid(one.mean, one.x)
    assert area == pytest.approx(METRICS["roc_auc"].value(y, p, np.ones(len(y))), abs=0.01)
    assert c.tp[-1] == y.sum()
    pr = pr_band(rows[:1])
    assert pr.mean[-1] >= y.mean() - 1e-9


def test_threshold_is_chosen_on_validation_and_judged_on_other_rows(default):
    from core.ui.thresholds import choose, paired_change

    dropout, costs = arm_of(default, "dropout"), CostMatrix()
    validation, test = scores_of(default, VALIDATION), scores_of(default, TEST)
    chosen = choose(validation, dropout, "cost", costs)
    assert set(chosen) == set(default.study.seeds)
    for seed, threshold in chosen.items():
        y, p = validation.rows["dropout", seed]
        at = [float(costs.expected(count(y, p, np.ones(len(y)), t))) for t in (threshold, 0.5)]
        assert at[0] <= at[1] + 1e-9
        assert not np.array_equal(test.rows["dropout", seed][1], p)
    assert paired_change(test, dropout, chosen, costs).n == len(chosen)


# -- typed metrics -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2*tp/(2*tp+fp+fn)", "f1"),
        ("tp/(tp+fn)", "recall"),
        ("(tp+tn)/(tp+fp+fn+tn)", "accuracy"),
        ("(tp*tn-fp*fn)/sqrt((tp+fp)*(tp+fn)*(tn+fp)*(tn+fn))", "mcc"),
        ("square(y_pred-y_true)", "brier"),
        ("(y_pred-y_true)**2", "brier"),
        ("-log(where(y_true==1,y_pred,1-y_pred))", "log_loss"),
        ("(y_pred>=0.5)*y_true+(y_pred<0.5)*(1-y_true)", "accuracy"),
    ],
)
def test_typed_metric_is_the_known_one(default, text, name):
    scores = scores_of(default)
    found = {delta.arm.name: delta for delta in own_metric.deltas(own_metric.read(text), scores)}
    for arm in default.study.treatments:
        expected = scores.deltas[arm.name, name]
        assert found[arm.name].interval.mean == pytest.approx(expected.interval.mean, abs=1e-9)
        assert found[arm.name].interval.high == pytest.approx(expected.interval.high, abs=1e-9)


@pytest.mark.parametrize("text", [*own_metric.EXAMPLES.values(), "tp", "y_true", "tp/0", "log(fn-fn)", "tp/(fp-fp)"])
def test_typed_metric_is_a_number_or_undefined(default, text):
    for delta in own_metric.deltas(own_metric.read(text), scores_of(default)):
        assert math.isfinite(delta.mean) or math.isnan(delta.mean)
    y = np.empty(0)
    assert math.isnan(own_metric.value(own_metric.read("y_true"), y, y, Counts(0, 0, 0, 0)))


@pytest.mark.parametrize(
    "text",
    ["", "x", "tp+k", "1", "tp.real", "open('x')", "tp[0]", "lambda: tp", "tp if tp else fp", "np.sum(tp)", "(" * 99],
)
def test_what_is_no_metric_is_refused(text):
    with pytest.raises(FormulaError):
        own_metric.read(text)
    assert own_metric.check(text) is not None


@pytest.mark.parametrize("text", [*own_metric.EXAMPLES.values(), "tp", "square(y_true-y_pred)"])
def test_written_keras_code_is_valid_python(text):
    source = own_metric.keras_source(own_metric.read(text), 0.5)
    assert source is not None
    ast.parse(source)


def test_rows_and_counts_in_one_formula_have_no_keras_form():
    assert own_metric.keras_source(own_metric.read("tp*y_pred"), 0.5) is None


# -- brought predictions -----------------------------------------------------------------------------------------


def test_example_file_is_read():
    models = own_predictions.read(own_predictions.EXAMPLE.encode())
    assert list(models) == ["plain", "dropout"]
    found = own_predictions.table(models, 0.5)
    assert found["plain"]["precision"][0] == pytest.approx(1 / 3)  # the alarm counts twice
    assert found["dropout"]["precision"][0] == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "one column y_true"),
        (b"\n\n", "one column y_true"),
        (b"y_true,y_pred", "at least one row"),
        (b"y_true,score\n1,0.5", "one column y_pred"),
        (b"y_true,y_true,y_pred\n1,1,0.5", "received 2"),
        (b"y_true,y_pred\n1,0.5,3", "2 columns in row 1"),
        (b"y_true,y_pred\n1,abc", "a number in column y_pred"),
        (b"y_true,y_pred\n1,0.5\n2,0.5", "received 2.0 in row 2"),
        (b"y_true,y_pred\n1,nan", "received NaN in row 1"),
        (b"y_true,y_pred\n1,1.5", "received 1.5 in row 1"),
        (b"y_true,y_pred\n1,inf", "received inf in row 1"),
        (b"y_true,y_pred,weight\n1,0.5,-1", "received -1.0 in row 1"),
        (b"y_true,y_pred\n1,<b>x</b>", "a number in column y_pred"),
        (b"y_true,y_pred\n1,1_0", "a number in column y_pred"),
        (b"\xff\xfe\x00", "text in UTF-8"),
        (b"y_true,y_pred,model\n" + b"\n".join(b"1,0.5,m%d" % i for i in range(9)), "at most 6 models"),
        (b"y_true,y_pred\n" + b"1,0.5\n" * 100_001, "100,000 rows"),
        (b"y_true,y_pred\n" + b" " * 5_000_000, "5,000,000 bytes"),
        (b'y_true,y_pred\n"1,0.5', "Invalid file"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_used_is_one_sentence(data, words):
    with pytest.raises(MetricInputError) as caught:
        own_predictions.read(data)
    sentence = caught.value.sentence()
    assert words in sentence
    assert "Expected" in sentence
    assert len(sentence.splitlines()) == 1
    assert "<" not in sentence
    use_language("es")
    assert caught.value.sentence() != sentence


@pytest.mark.parametrize(
    "data", [b"y_true;y_pred\n1;0.5\n0;0.2", b"\xef\xbb\xbfY_True, Y_Pred\r\n1, 0.5\r\n0, 0.2\r\n\r\n"]
)
def test_other_ways_to_write_csv_are_read(data):
    y, p, w = own_predictions.read(data)[""]
    assert (y.tolist(), p.tolist(), w.tolist()) == ([1, 0], [0.5, 0.2], [1, 1])


def test_brought_predictions_of_one_class_give_reasons_and_no_zero():
    found = own_predictions.table(own_predictions.read(b"y_true,y_pred\n0,0.1\n0,0.2"), 0.5)[""]
    assert found["roc_auc"][1] == "there are no positives"
    assert math.isnan(found["roc_auc"][0])
    assert found["brier"][1] == ""


# -- charts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["default", "always_negative"])
def test_every_chart_has_words_and_a_table_and_plain_json(request, name, language):
    use_language(language)
    comparison = request.getfixturevalue(name)
    scores = scores_of(comparison)
    arm = arm_of(comparison, "dropout")
    arms = [comparison.baseline, arm]
    at = thresholds.cut(scores, arm, 0.5)
    figures = [
        metrics.heat_map(scores),
        thresholds.confusion(at),
        thresholds.roc(scores, arms, NAMES, at),
        thresholds.precision_recall(scores, arms, NAMES, at),
        thresholds.cost_curves(scores, arms, NAMES, at, CostMatrix()),
        epochs.chosen_epochs(comparison, arm, NAMES),
        *[epochs.over_epochs(comparison, metric, NAMES) for metric in METRICS],
        batch_charts.batch_figure(0.05),
        batch_charts.ece_figure(0.05, 500, 0.1, 0.03),
    ]
    for figure in figures:
        assert figure is not None
        assert figure.title
        assert figure.subtitle
        assert figure.alt.startswith(figure.title)
        assert len(figure.table)
        assert not set("{}") & set(figure.title + figure.subtitle + figure.alt)
        json.dumps(figure.spec, allow_nan=False)
        assert export.chart_spec(figure)


def test_curves_of_one_class_are_undefined_and_not_drawn(default):
    scores = Scores(default)
    scores.__dict__["rows"] = {key: (np.zeros(5), np.linspace(0, 1, 5)) for key in scores_of(default).rows}
    at = thresholds.cut(scores, default.baseline, 0.5)
    assert thresholds.roc(scores, [default.baseline], NAMES, at) is None
    assert thresholds.precision_recall(scores, [default.baseline], NAMES, at) is None
    assert thresholds.confusion(at).title


# -- the page ----------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(page):
    return AppTest.from_file(PAGE, default_timeout=60)


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_visit_is_complete_from_the_gallery(opened, default, language):
    opened.query_params["lang"] = language
    test = opened.run()
    assert not test.exception
    assert not test.warning
    assert not test.error
    use_language(language)
    assert metrics_verdict(default) in [markdown.value for markdown in test.markdown]
    drawn = charts(test)
    assert len(drawn) >= 6  # curves, heat map, confusion matrix, ROC, PR, cost
    for spec, frames, alt in drawn:
        assert alt
        assert frames
        json.dumps(spec, allow_nan=False)
    assert not any((button.key or "").endswith(".train") for button in test.button)


@pytest.mark.parametrize("preset", EXPERIMENT.presets, ids=lambda preset: preset.name)
def test_every_preset_is_shown_whole_without_training(opened, preset):
    test = visit(opened, preset.query)
    assert not test.exception
    assert not test.warning
    assert not test.error
    assert not any((button.key or "").endswith("main.train") for button in test.button)


@pytest.mark.parametrize(
    "link",
    ["threshold=0", "threshold=1", "cost_fn=0&cost_fp=0", "explored=none", "explored=weights_dropout", "metric=precision",
     "goal=mcc", "own=tp/0", "own=y_pred", "seeds=1", "seeds=1&arms=l2"],
)  # fmt: skip
def test_views_that_need_no_new_run_are_complete_at_once(opened, link):
    test = visit(opened, link)
    assert not test.exception
    assert not test.warning
    assert not any((button.key or "").endswith("main.train") for button in test.button)


@pytest.mark.parametrize("tab", ["over_epochs", "ways", "own", "own_rows", "lessons", "every_metric", "explorer"])
@pytest.mark.parametrize(
    "query", ["", "seeds=1&arms=l2", "flipped=0&arms=l2,dropout,l2_dropout&l2=1&dropout=0.95&seeds=5"]
)
def test_every_tab_draws(page, tab, query):
    def draw(tab: str, query: str) -> None:
        from core.experiments.metrics import EXPERIMENT
        from core.ui import metric_lessons, thresholds
        from core.ui.view import look

        settings = EXPERIMENT.settings.parse(query)
        view = look(EXPERIMENT, settings, EXPERIMENT.study(settings))
        section = getattr(metric_lessons, tab, None) or getattr(thresholds, tab)
        section(view)

    test = AppTest.from_function(draw, default_timeout=60, args=(tab, query)).run()
    assert not test.exception
    assert not test.error
    assert len(test.main.children)


def test_moving_the_threshold_in_the_tab_moves_the_setting(opened):
    test = opened.run()
    slider = test.slider(key="metrics.threshold.tab")
    slider.set_value(0.2).run()
    assert not test.exception
    assert test.slider(key="metrics.threshold").value == 0.2
    assert any("0.2" in heading.value for heading in test.subheader)


def test_settings_without_a_result_offer_training_beside_the_last_result(opened):
    test = visit(opened, "n_train=60&seeds=2")
    assert not test.exception
    assert any((button.key or "").endswith("main.train") for button in test.button)
    assert len(charts(test)) >= 6


@pytest.mark.parametrize("status", ["diverged", "stopped", "complete"])
def test_runs_without_predictions_are_shown(opened, page, status):
    values = [0.7, math.nan] if status == "diverged" else [0.7, 0.4, 0.3]
    link = "n_train=50&seeds=2&epochs=2&arms=l2"
    for spec in EXPERIMENT.study(MetricsSettings.parse(link)).runs.values():
        page.store.put(result_of(spec, values, train=values, status=status))
    test = visit(opened, link)
    assert not test.exception
    for spec, _frames, _alt in charts(test):
        json.dumps(spec, allow_nan=False)


@pytest.mark.parametrize("screen", range(1, 9))
def test_every_screen_of_the_presentation_opens(opened, screen):
    opened.query_params["present"] = "true"
    opened.query_params["screen"] = str(screen)
    assert not opened.run().exception


# -- with Keras --------------------------------------------------------------------------------------------------


def recorded_lessons():
    store = Store("", GALLERY)
    (spec,) = EXPERIMENT.lessons().runs.values()
    result = store.get([spec.digest])[spec.digest]
    frames = {name: result.frames[name] for name in result.frames}
    store.close()
    return frames


def test_shown_code_of_the_lessons_is_that_of_the_sources():
    """The page shows the source that ran; it is still the source of today."""
    module = (ROOT / "core" / "metrics" / "lessons.py").read_text("utf-8")
    for code in recorded_lessons()["code"].itertuples():
        for part in code.shown.strip().split("\n\n\n"):
            assert part in module, code.name
        tree = ast.parse(code.script)
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert imported == {"keras", "numpy"}


def test_recorded_lessons_show_what_they_say():
    frames = recorded_lessons()
    ways = frames["ways"].pivot(index="epoch", columns="way", values="f1")
    exact = ways[["callback", "metric", "loop"]].to_numpy()
    assert (exact.max(1) - exact.min(1)).max() < 1e-6
    assert (ways["function"] - ways["metric"]).abs().max() > 0.05
    lessons = frames["lessons"].set_index(["lesson", "side", "what"])["value"]
    assert "val_f1" not in lessons["returned", "wrong", "list(history.history)"]
    assert "val_f1" in lessons["returned", "right", "list(history.history)"]
    assert float(lessons["ten_fits", "wrong", "max |difference|"]) == 0
    assert float(lessons["training_only", "wrong", "f1"]) - float(lessons["training_only", "right", "f1"]) > 0.1
    assert float(lessons["two_batches", "wrong", "recall"]) == 0.25
    assert float(lessons["two_batches", "right", "recall"]) == 0.5
    rows = frames["agreement"]
    assert len(rows) == len(METRICS) + 9
    assert (rows["formula"] - rows["streamed"]).abs().max() < 1e-6
    assert (rows["formula"] - rows["sklearn"]).abs().max() < 1e-6


@pytest.mark.slow
def test_shown_program_runs_alone_and_gives_what_was_recorded(tmp_path):
    frames = recorded_lessons()
    code = frames["code"].set_index("name")["script"]
    (tmp_path / "way.py").write_text(code["function"])
    done = subprocess.run([sys.executable, "-I", "way.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2_000:]
    printed = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    ways = frames["ways"]
    assert printed == pytest.approx(ways.loc[ways["way"] == "function", "f1"].tolist(), abs=0.02)


@pytest.mark.slow
def test_exported_script_reproduces_the_numbers_without_contraste(tmp_path):
    from core.engine.task import prepare

    prepare()
    query = "seeds=1&epochs=4&arms=early_stopping,weights_dropout&patience=2&width=32&n_train=200&flipped=0.1&noise=0.2"
    settings = MetricsSettings.parse(query)
    (tmp_path / "train.py").write_text(export.script(EXPERIMENT, settings))
    done = subprocess.run([sys.executable, "-I", "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2_000:]
    curves, table = pd.read_csv(tmp_path / "curves.csv"), pd.read_csv(tmp_path / "metrics.csv")
    study = EXPERIMENT.study(settings)
    results = {s.digest: EXPERIMENT.train(s, lambda _e, _r: None, lambda: False) for s in study.runs.values()}
    scores = Scores(Comparison(study, results))
    for arm, seed, spec in study:
        own = curves[(curves["arm"] == arm.name) & (curves["seed"] == seed)]
        ours = results[spec.digest].curves
        np.testing.assert_allclose(own["validation_loss"], ours["validation_loss"], rtol=2e-3)
        row = table[(table["arm"] == arm.name) & (table["split"] == "validation")].iloc[0]
        for name in ("accuracy", "recall", "f1", "pr_auc", "brier"):
            assert row[name] == pytest.approx(scores.values[arm.name, seed][name], abs=5e-3), (arm.name, name)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["2*tp/(2*tp+fp+fn)", "square(y_true-y_pred)"])
def test_written_keras_code_gives_the_value_of_the_page(text, tmp_path):
    from core.engine.task import prepare

    prepare()
    import keras

    formula = own_metric.read(text)
    space: dict = {}
    exec(
        own_metric.keras_source(formula, 0.5), space
    )  # our own words: what stands in them is the tree's, not the viewer's
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=(200, 1)) < 0.2).astype("float32")
    p = np.clip(0.4 * y + 0.6 * rng.uniform(size=(200, 1)), 0, 1).astype("float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    model.compile(loss="mse", metrics=[space["OwnMetric"]() if "OwnMetric" in space else space["own_metric"]])
    got = model.evaluate(p, y, batch_size=32, verbose=0, return_dict=True)
    value = next(own for name, own in got.items() if name != "loss")
    rows = y[:, 0].astype(float), p[:, 0].astype(float)
    assert value == pytest.approx(own_metric.value(formula, *rows, count(*rows, np.ones(200))), abs=1e-6)


def test_services_of_these_tests_are_not_those_of_the_viewer():
    assert "contraste-tests-" in shared_services.read_config().store_url
