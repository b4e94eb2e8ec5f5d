"""A viewer's CSV file: what it is taken for, what is refused and with which sentence, and how it is kept."""

from __future__ import annotations

import contextlib
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import datasets, export
from core.attachments import OWN_PREFIX
from core.comparison import Comparison, tidy_tables
from core.datasets import find, look_up_with, register
from core.datasets.loaders import load, split
from core.datasets.tables import (
    MAX_BYTES,
    MAX_CLASSES,
    MAX_COLUMNS,
    MIN_ROWS,
    TableError,
    likely_kind,
    pack,
    prepare,
    read_table,
    unpack,
)
from core.experiments import experiments
from core.experiments.overfitting import EXPERIMENT, OverfittingSettings
from core.fields import DatasetChoice
from core.i18n import use_language
from core.store import Store

N = 150


def table(**columns) -> str:
    """Write columns as CSV; a list is repeated to `N` rows."""
    filled = {name: [cells[i % len(cells)] for i in range(N)] for name, cells in columns.items()}
    return pd.DataFrame(filled).to_csv(index=False)


NUMBERS = [f"{value:.2f}" for value in np.random.default_rng(0).normal(size=N)]
OTHERS = [f"{value:.2f}" for value in np.random.default_rng(1).normal(size=N)]
LABELS = ["yes", "no", "no"]
GOOD = table(a=NUMBERS, b=OTHERS, kind=LABELS)
LINES = GOOD.splitlines()


def rows(count: int) -> str:
    return "\n".join([LINES[0], *[LINES[1 + i % N] for i in range(count)]])


UNREADABLE = {
    "empty": (b"", "an empty file"),
    "only blanks": (b" \n\n\t \n", "an empty file"),
    "only a byte order mark": (b"\xef\xbb\xbf", "an empty file"),
    "200 MB": (b"a,b\n" + b"1,2\n" * 50_000_000, r"at most 5 MB; received 200 MB"),
    "a little too large": (b"a,b\n" + b"1" * MAX_BYTES, "at most 5 MB"),
    "a PNG renamed": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 40, "binary file"),
    "a zip or an xlsx renamed": (b"PK\x03\x04" + bytes(range(256)) * 40, "binary file"),
    "a PDF renamed": (b"%PDF-1.7\n" + bytes(range(1, 32)) * 200, "binary file|separated by"),
    "random bytes": (np.random.default_rng(0).integers(0, 256, 5_000, dtype="uint8").tobytes(), "binary file"),
    "zero bytes": (b"\0" * 1_000, "binary file"),
    "UTF-16 cut in the middle": ("a,b\n1,2\n".encode("utf-16")[:-1], "binary file"),
    "one word": (b"hello", "none of these"),
    "one column": ("\n".join(["a", *NUMBERS]).encode(), "none of these"),
    "prose": (b"It was a dark and stormy night.\n" * 200, "none of these"),
    "HTML": (b"<!doctype html>\n<html><body>table</body></html>\n" * 50, "none of these"),
    "JSON": (b'[{"a": 1}]', "none of these"),
    "only a header": (LINES[0].encode(), f"at least {MIN_ROWS} rows"),
    "one row": (rows(1).encode(), "received 1"),
    "a row too few": (rows(MIN_ROWS - 1).encode(), f"received {MIN_ROWS - 1}"),
    "too many rows": (b"a,b\n" + b"1,2\n" * 20_001, "at most 20,000 rows"),
    "too many columns": (",".join(f"c{i}" for i in range(MAX_COLUMNS + 1)).encode(), "at most 100 columns"),
    "no names": ("\n".join(LINES[1:]).replace("yes", "1").replace("no", "0").encode(), "received numbers"),
    "a column without a name": (GOOD.replace("a,b,kind", "a,,kind", 1).encode(), "column 2 has none"),
    "a name twice": (GOOD.replace("a,b,kind", "a,a,kind", 1).encode(), "“a” stands twice"),
    "a name twice but for blanks": (GOOD.replace("a,b,kind", "a, a ,kind", 1).encode(), "stands twice"),
    "a short line": ((rows(MIN_ROWS) + "\n1,2").encode(), rf"line {MIN_ROWS + 2} has 2"),
    "a long line": ((rows(MIN_ROWS) + "\n1,2,3,4").encode(), rf"line {MIN_ROWS + 2} has 4"),
    "an open quotation mark": ((rows(5) + '\n"1,2,3\n' + rows(200)).encode(), "quotation mark|cells in every line"),
    "a huge cell": (("a,b\n" + '"' + "x" * 200_000 + '",1\n' + "1,2\n" * 200).encode(), "cannot be read"),
}
UNUSABLE = {
    "a target of one class": (table(a=NUMBERS, y=["yes"]), "y", "classification", "there is one"),
    "a constant target": (table(a=NUMBERS, y=["3.0"]), "y", "regression", "one value only"),
    "a target of free text": (table(a=NUMBERS, y=[f"t{i}" for i in range(N)]), "y", "classification", "at most 20"),
    "too many classes": (table(a=NUMBERS, y=list(range(MAX_CLASSES + 1))), "y", "classification", "there are 21"),
    "a rare class": (table(a=NUMBERS, y=["x"] * 70 + ["y"] * 79 + ["z"]), "y", "classification", "“z” has 1"),
    "a class one row too rare": (table(a=NUMBERS, y=["x"] * 139 + ["y"] * 11), "y", "classification", "has 11"),
    "words in a regression": (table(a=NUMBERS, y=["1", "2", "three"]), "y", "regression", "received “three”"),
    "infinite values": (table(a=NUMBERS, y=["1", "2", "inf"]), "y", "regression", "received “inf”"),
    "numbers beyond reason": (table(a=NUMBERS, y=["1", "2", "1e300"]), "y", "regression", "received “1e300”"),
    "nothing to predict from": (table(a=["x"], y=LABELS), "y", "classification", "besides “y”"),
    "only identifiers": (table(a=[f"id{i}" for i in range(N)], y=LABELS), "y", "classification", "besides “y”"),
    "only empty columns": (table(a=[""], b=["NA"], y=LABELS), "y", "classification", "besides “y”"),
    "gaps in the target": (table(a=NUMBERS, y=["1", "2", ""]), "y", "classification", "100 are left"),
    "gaps here and there": (table(a=[*NUMBERS[:3], ""], b=["", "1", "2", "3", "4"], y=LABELS), "y", "classification",
                            "are left"),
    "too many categories": (table(**{f"c{i}": [f"v{j}" for j in range(20)] for i in range(16)}, y=LABELS), "y",
                            "classification", "categories make 320"),
    "nothing varies without gaps": (table(a=["1"] * 129 + [""] * 20 + ["2"], y=["", *LABELS][:3]), "y",
                                    "classification", "Expected"),
}  # fmt: skip


def test_there_are_at_least_forty_bad_files():
    assert len(UNREADABLE) + len(UNUSABLE) >= 40


@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_cannot_be_read_gets_one_sentence(name):
    data, pattern = UNREADABLE[name]
    with pytest.raises(TableError) as caught:
        read_table(data, "file.csv")
    for language in ("en", "es"):
        use_language(language)
        sentence = caught.value.sentence()
        assert len(sentence) < 200
        assert "{" not in sentence
    use_language("en")
    assert "Expected" in caught.value.sentence()
    assert pd.Series([caught.value.sentence()]).str.contains(pattern).all(), caught.value.sentence()


@pytest.mark.parametrize("name", UNUSABLE)
def test_columns_that_cannot_be_learnt_from_get_one_sentence(name):
    text, target, kind, pattern = UNUSABLE[name]
    read = read_table(text.encode(), "file.csv")
    with pytest.raises(TableError) as caught:
        prepare(read, target, kind)
    assert pd.Series([caught.value.sentence()]).str.contains(pattern).all(), caught.value.sentence()


@pytest.mark.parametrize(
    "data",
    [
        GOOD.encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.encode("utf-16"),
        GOOD.replace(",", ";").encode(),
        GOOD.replace(",", "\t").encode(),
        GOOD.replace(",", "|").encode(),
        GOOD.replace(",", ";").replace(".", ",").encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\n\n").encode(),
        GOOD.replace(",", " , ").encode(),
    ],
    ids=["plain", "mark", "utf-16", "semicolon", "tab", "bar", "decimal comma", "Windows", "blank lines", "blanks"],
)
def test_ways_to_write_a_table_give_one_data_set(data):
    expected = prepare(read_table(GOOD.encode(), "f.csv"), "kind", "classification").own
    own = prepare(read_table(data, "f.csv"), "kind", "classification").own
    assert own.dataset.name == expected.dataset.name
    assert own.columns == ("a", "b")
    assert own.classes == ("no", "yes")
    assert np.array_equal(own.x, expected.x)


def test_accents_and_emoji_survive_and_nothing_formats():
    text = table(a=NUMBERS, **{"año": OTHERS}, clase=["sí", "no", "quizás"])
    for encoding in ("utf-8", "cp1252"):
        own = prepare(read_table(text.encode(encoding), "datos *de* $prueba$_🙂.csv"), "clase", "classification").own
        assert own.columns == ("a", "año")
        assert own.classes == ("no", "quizás", "sí")
        assert not set("*$_🙂") & set(own.dataset.label)


def test_columns_are_taken_for_what_they_hold():
    text = table(
        number=NUMBERS, whole=["1", "2", "3"], gap=["1", "", "2", "n/a"], word=["red", "green"], one=["7"],
        nothing=[""], id=[f"row {i}" for i in range(N)], y=LABELS,
    )  # fmt: skip
    read = read_table(text.encode(), "f.csv")
    assert [(column.name, column.kind) for column in read.columns] == [
        ("number", "number"), ("whole", "number"), ("gap", "number"), ("word", "category"), ("one", "constant"),
        ("nothing", "empty"), ("id", "text"), ("y", "category"),
    ]  # fmt: skip
    prepared = prepare(read, "y", "classification")
    assert prepared.own.columns == ("number", "whole", "word=red")
    said = " ".join(prepared.sentences())
    for name in ("one", "nothing", "gap", "id", "word"):
        assert f"“{name}”" in said


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (LABELS, "classification"),
        (["0", "1"], "classification"),
        (["3", "1", "2"], "classification"),
        (NUMBERS, "regression"),
        ([str(i) for i in range(N)], "regression"),
        (["1.5", "2.5"], "regression"),
    ],
)
def test_task_is_guessed_from_the_target(cells, kind):
    read = read_table(table(a=NUMBERS, y=cells).encode(), "f.csv")
    assert likely_kind(read, "y") == kind


def test_classes_written_as_numbers_keep_their_order():
    own = prepare(read_table(table(a=NUMBERS, y=["10", "9", "2"]).encode(), "f.csv"), "y", "classification").own
    assert own.classes == ("2", "9", "10")


def test_name_says_the_content():
    read = read_table(GOOD.encode(), "f.csv")
    one = prepare(read, "kind", "classification").own.dataset.name
    assert (
        one
        == prepare(read_table(GOOD.replace("\n", "\r\n").encode(), "f.csv"), "kind", "classification").own.dataset.name
    )
    changed = GOOD.replace(NUMBERS[3], "9.99", 1)
    assert one != prepare(read_table(changed.encode(), "f.csv"), "kind", "classification").own.dataset.name
    assert one != prepare(read, "a", "regression").own.dataset.name


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")))
def test_no_file_does_more_than_be_read_or_refused(data):
    with contextlib.suppress(TableError):
        read_table(data, "f.csv")


@pytest.fixture
def own():
    """Know a data set of a viewer's in this process, and forget it again."""
    made = prepare(read_table(GOOD.encode(), "f.csv"), "kind", "classification").own
    register(made)
    yield made
    datasets._own.clear()
    look_up_with(lambda name: None)


def test_packed_data_set_is_the_same(own):
    again = unpack(pack(own), own.dataset.name)
    assert again.dataset == own.dataset
    assert (again.columns, again.classes) == (own.columns, own.classes)
    assert np.array_equal(again.x, own.x)
    assert np.array_equal(again.y, own.y)
    assert pack(again) == pack(own)


def test_store_keeps_it_for_whoever_shares_the_store(own, tmp_path):
    url = f"sqlite:///{tmp_path / 'r.sqlite'}"
    first = Store(url)
    assert OWN_PREFIX + first.attach(pack(own)) == own.dataset.name
    first.close()
    datasets._own.clear()
    link = f"dataset={own.dataset.name}&n_train=50&arms=l2"
    settings, problems = OverfittingSettings.read(link)
    assert settings.dataset == "digits"
    assert "made of a file elsewhere" in problems[0].sentence()
    second = Store(url)
    look_up_with(second.attachment)
    settings, problems = OverfittingSettings.read(link)
    assert not problems
    assert settings.dataset == own.dataset.name
    assert find(settings.dataset) == own.dataset
    second.close()


def test_text_of_a_viewers_is_no_data_set(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'r.sqlite'}")
    look_up_with(store.attachment)
    link = f"dataset={OWN_PREFIX}{store.attach(b'To be, or not to be')}"
    settings, problems = OverfittingSettings.read(link)
    assert settings.dataset == "digits"
    assert len(problems) == 1
    store.close()
    look_up_with(lambda name: None)


@pytest.mark.parametrize("link", ["share=0.5", "positive=1", "share=0.02&positive=0", "n_train=10000&share=0.5", ""])
def test_few_positives_of_a_viewers_own_never_break_the_metrics_page(link):
    rare = table(a=NUMBERS, b=OTHERS, y=["x"] * 138 + ["y"] * 12)
    own = prepare(read_table(rare.encode(), "f.csv"), "y", "classification").own
    register(own)
    experiment = experiments()["metrics"]
    settings, _problems = experiment.settings.read(f"dataset={own.dataset.name}&{link}")
    assert settings.dataset == own.dataset.name
    assert settings.n_train >= 10
    assert experiment.settings.parse(settings.query()) == settings
    datasets._own.clear()


def test_run_names_what_it_needs(own):
    study = EXPERIMENT.study(OverfittingSettings(dataset=own.dataset.name, n_train=50))
    assert study.base.attachments == (own.dataset.name.removeprefix(OWN_PREFIX),)
    assert EXPERIMENT.study(OverfittingSettings()).base.attachments == ()


def test_it_is_split_and_scaled_like_any_other(own):
    dataset = find(own.dataset.name)
    x, y = load(dataset)
    parts = split(dataset, x, y, n_train=60, n_validation=40, seed=0)
    assert [len(part.x) for part in (parts.train, parts.validation, parts.test)] == [60, 40, dataset.test]
    np.testing.assert_allclose(parts.train.x.mean(0), 0, atol=1e-5)
    assert dataset.max_train == N - dataset.test - dataset.stopping - 30


def test_script_reads_the_file_that_the_archive_holds(own):
    settings = OverfittingSettings(dataset=own.dataset.name, n_train=50, arms=("l2",), seeds=1, epochs=2)
    study = EXPERIMENT.study(settings)
    text = export.script(EXPERIMENT, settings)
    assert f"read_own('{own.dataset.name}.csv')" in text
    compile(text, "train.py", "exec")
    data = export.archive(EXPERIMENT, settings, Comparison(study, {}), "", tidy_tables(Comparison(study, {})), {})
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        written = pd.read_csv(file.open(f"{own.dataset.name}.csv"))
    np.testing.assert_allclose(written.to_numpy()[:, :-1], own.x, rtol=1e-5)
    assert written["target"].tolist() == own.y.tolist()


OFFERED = [e for e in experiments().values() if isinstance(e.settings.controls().get("dataset"), DatasetChoice)]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", OFFERED, ids=lambda experiment: experiment.name)
def test_every_page_that_offers_own_data_can_train_on_them(experiment, own):
    settings, problems = experiment.settings.read(f"dataset={own.dataset.name}&n_train=50&seeds=1&epochs=2")
    assert settings.dataset == own.dataset.name, [problem.sentence() for problem in problems]
    study = experiment.study(settings)
    for spec in study.runs.values():
        assert spec.attachments
        result = experiment.train(spec, lambda *_: None, lambda: False)
        assert result.info.status in ("complete", "diverged")
    assert experiment.facts(settings)[0].startswith("f.csv")


@pytest.mark.parametrize("experiment", OFFERED, ids=lambda experiment: experiment.name)
def test_every_script_on_own_data_reads_the_file_of_the_archive(experiment, own):
    settings = experiment.settings.read(f"dataset={own.dataset.name}&n_train=40&seeds=1&epochs=2")[0]
    text = export.script(experiment, settings)
    compile(text, "train.py", "exec")
    assert f"{own.dataset.name}.csv" in text
    assert "def read_own(" in text or "loadtxt" in text
    assert f"load_{own.dataset.name}" not in text
