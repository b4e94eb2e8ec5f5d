"""Data sets: what is declared is what is loaded; splits are disjoint, paired and scaled as promised."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets import DATASETS, MIN_VALIDATION, Dataset
from core.datasets.loaders import DamagedDownloadError, _flip, load, split, verify
from tests.conftest import ROOT

LOCAL = [name for name, dataset in DATASETS.items() if not dataset.is_download]
CLASSIFICATION = [name for name in LOCAL if DATASETS[name].classes]
IMAGES = ROOT.parent / "shared" / "data" / "fashion-mnist-900-images-idx3-ubyte.gz"
LABELS = IMAGES.with_name("fashion-mnist-900-labels-idx1-ubyte.gz")


def _rows(name: str) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Load a data set with each row replaced by its own number, so that a row is known after a split."""
    dataset = DATASETS[name]
    x, y = load(dataset)
    return dataset, np.repeat(np.arange(len(x), dtype=float)[:, None], x.shape[1], axis=1), y


def _numbers(dataset: Dataset, part: np.ndarray, x: np.ndarray, train: int) -> set[int]:
    """Turn scaled inputs back into row numbers."""
    own = part[:, 0].astype(float)
    if len(dataset.shape) > 1:
        return {round(value) for value in own * train}
    return {round(value) for value in own}


# -- what is declared -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCAL)
def test_declared_facts_are_those_of_the_rows(name):
    dataset = DATASETS[name]
    x, y = load(dataset)
    assert x.shape == (dataset.n, dataset.inputs)
    assert y.shape == (dataset.n,)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    if dataset.classes:
        assert set(np.unique(y)) == set(range(dataset.classes))
        assert dataset.outputs == dataset.classes
    else:
        assert len(np.unique(y)) > 20
        assert dataset.outputs == 1
    assert dataset.name == name
    assert dataset.label
    assert dataset.source
    assert dataset.max_train == dataset.n - dataset.test - dataset.stopping - MIN_VALIDATION >= 100


@pytest.mark.parametrize("name", LOCAL)
def test_loaded_rows_are_shared_and_cannot_be_written(name):
    x, y = load(DATASETS[name])
    for array in (x, y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if dataset.is_toy])
def test_toy_sets_are_balanced_and_told_apart_by_their_formula(name):
    x, y = load(DATASETS[name])
    assert np.bincount(y).tolist() == [1_000, 1_000]
    if name == "circles":
        assert (np.linalg.norm(x, axis=1) < 0.75).astype(int).tolist() == y.tolist()
    if name == "xor":
        assert len({bool(sign) ^ bool(label) for sign, label in zip(x[:, 0] * x[:, 1] > 0, y, strict=True)}) == 1
    nearest = np.argsort(((x[:300, None] - x[None, 300:]) ** 2).sum(-1), axis=1)[:, 0]
    assert (y[300:][nearest] == y[:300]).mean() > 0.97


# -- splits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("seed", [0, 7])
def test_splits_are_disjoint_and_of_the_promised_sizes(name, seed):
    dataset, x, y = _rows(name)
    n = dataset.max_train
    parts = split(dataset, x, y, n_train=n, n_validation=10_000, seed=seed)
    sizes = [len(part.x) for part in (parts.train, parts.validation, parts.stopping, parts.test)]
    assert sizes == [n, MIN_VALIDATION, dataset.stopping, dataset.test]
    rows = np.concatenate([part.x[:, 0] for part in (parts.train, parts.validation, parts.stopping, parts.test)])
    assert len(np.unique(rows)) == dataset.n
    assert all(len(part.x) == len(part.y) for part in (parts.train, parts.validation, parts.stopping, parts.test))


@pytest.mark.parametrize("name", LOCAL)
def test_test_rows_are_the_same_for_every_seed_and_the_others_are_not(name):
    dataset = DATASETS[name]
    x, y = load(dataset)
    raw = [split(dataset, x, y, n_train=50, n_validation=50, seed=seed) for seed in (0, 1, 2)]
    order = [parts.test.y.tolist() for parts in raw]
    if dataset.classes:
        assert order[0] == order[1] == order[2]
    assert raw[0].train.y.tolist() != raw[1].train.y.tolist()


def test_more_training_points_keep_those_of_fewer_and_their_validation_points():
    dataset, x, y = _rows("digits")
    few = split(dataset, x, y, n_train=100, n_validation=200, seed=3)
    many = split(dataset, x, y, n_train=400, n_validation=200, seed=3)
    assert len(np.unique(few.validation.y == many.validation.y)) == 1
    assert few.train.y.tolist() == many.train.y[:100].tolist()


@pytest.mark.parametrize("name", LOCAL)
def test_same_seed_gives_the_same_bytes(name):
    dataset = DATASETS[name]
    x, y = load(dataset)
    arguments: dict[str, Any] = {"n_train": 60, "n_validation": 60, "seed": 5, "flipped": 0.3, "noise": 0.5}
    one, two = (split(dataset, x, y, **arguments) for _ in range(2))
    for part in ("train", "validation", "stopping", "test"):
        assert getattr(one, part).x.tobytes() == getattr(two, part).x.tobytes()
        assert getattr(one, part).y.tobytes() == getattr(two, part).y.tobytes()


@pytest.mark.parametrize("name", LOCAL)
def test_types_and_shapes_are_what_the_graph_is_traced_for(name):
    dataset = DATASETS[name]
    parts = split(dataset, *load(dataset), n_train=40, n_validation=40, seed=0, noise=0.2, flipped=0.1)
    for part in (parts.train, parts.validation, parts.stopping, parts.test):
        assert part.x.dtype == np.float32
        assert part.x.shape[1] == dataset.inputs
        assert (part.y.dtype, part.y.ndim) == ((np.int32, 1) if dataset.classes else (np.float32, 2))


# -- wrong labels, noise, scale --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_exactly_the_share_of_training_labels_is_wrong_and_no_other(name, share):
    dataset = DATASETS[name]
    x, y = load(dataset)
    clean = split(dataset, x, y, n_train=90, n_validation=40, seed=2)
    noisy = split(dataset, x, y, n_train=90, n_validation=40, seed=2, flipped=share)
    assert (clean.train.y != noisy.train.y).sum() == round(share * 90)
    assert set(noisy.train.y) <= set(range(dataset.classes))
    for part in ("validation", "stopping", "test"):
        assert getattr(clean, part).y.tolist() == getattr(noisy, part).y.tolist()
        assert getattr(clean, part).x.tobytes() == getattr(noisy, part).x.tobytes()


@settings(max_examples=40)
@given(st.integers(2, 10), st.integers(1, 60), st.floats(0, 0.9), st.integers(0, 1_000))
def test_changed_label_is_never_its_own(classes, n, share, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    changed = _flip(labels, share, classes, rng)
    assert (changed != labels).sum() == round(share * n)
    assert changed.min() >= 0
    assert changed.max() < classes


def test_wrong_values_of_a_regression_are_other_rows_values():
    dataset = DATASETS["diabetes"]
    x, y = load(dataset)
    clean = split(dataset, x, y, n_train=100, n_validation=50, seed=1)
    noisy = split(dataset, x, y, n_train=100, n_validation=50, seed=1, flipped=0.4)
    assert sorted(clean.train.y[:, 0]) == pytest.approx(sorted(noisy.train.y[:, 0]))
    assert (clean.train.y != noisy.train.y).sum() in range(30, 41)  # some rows share a value


def test_noise_has_the_asked_size_on_every_split():
    dataset = DATASETS["breast_cancer"]
    x, y = load(dataset)
    clean = split(dataset, x, y, n_train=200, n_validation=200, seed=1)
    noisy = split(dataset, x, y, n_train=200, n_validation=200, seed=1, noise=0.5)
    for part in ("train", "validation", "stopping", "test"):
        added = getattr(noisy, part).x - getattr(clean, part).x
        assert added.std() == pytest.approx(0.5, rel=0.1)


def test_images_lie_in_the_unit_interval():
    dataset = DATASETS["digits"]
    parts = split(dataset, *load(dataset), n_train=300, n_validation=500, seed=0)
    assert parts.train.x.min() == 0
    assert parts.train.x.max() == 1
    assert parts.validation.x.max() <= 1


@pytest.mark.parametrize("name", [name for name in LOCAL if len(DATASETS[name].shape) == 1])
def test_measurements_are_standardized_over_the_training_rows(name):
    dataset = DATASETS[name]
    parts = split(dataset, *load(dataset), n_train=100, n_validation=40, seed=0)
    assert parts.train.x.mean(0) == pytest.approx(np.zeros(dataset.inputs), abs=1e-5)
    spread = parts.train.x.std(0)
    assert spread[spread > 0] == pytest.approx(np.ones((spread > 0).sum()), abs=1e-4)


def test_regression_target_is_standardized_over_the_training_rows():
    dataset = DATASETS["diabetes"]
    parts = split(dataset, *load(dataset), n_train=200, n_validation=40, seed=0)
    assert parts.train.y.mean() == pytest.approx(0, abs=1e-5)
    assert parts.train.y.std() == pytest.approx(1, abs=1e-5)
    assert parts.prior_loss == 1.0


@pytest.mark.parametrize("flipped", [0.0, 0.2])
def test_prior_loss_is_the_entropy_of_the_training_labels(flipped):
    dataset = DATASETS["wine"]
    parts = split(dataset, *load(dataset), n_train=90, n_validation=30, seed=0, flipped=flipped)
    shares = np.bincount(parts.train.y) / 90
    best_constant = -np.log(shares)[parts.train.y].mean()
    assert parts.prior_loss == pytest.approx(best_constant)


# -- downloads -------------------------------------------------------------------------------------------


def test_wrong_checksum_is_named_and_the_file_removed(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"not what was published")
    with pytest.raises(DamagedDownloadError, match=r"a\.gz.*Expected MD5 00.*received"):
        verify(tmp_path, {"a.gz": "00" * 16})
    assert not (tmp_path / "a.gz").exists()


_LOAD = """
import sys, json
from core.datasets import DATASETS
from core.datasets import loaders
if len(sys.argv) > 2:
    loaders.FASHION_MD5 = json.loads(sys.argv[2])
try:
    x, y = loaders.load(DATASETS[sys.argv[1]])
except loaders.DownloadError as error:
    print("download", error.dataset, error.folder)
except loaders.DamagedDownloadError as error:
    print("damaged", error)
else:
    print("loaded", *x.shape, x.dtype, x.min(), x.max(), *sorted(set(y.tolist())))
"""


def _load_elsewhere(home: Path, *arguments: str) -> list[str]:
    """Load a data set in a fresh interpreter whose Keras keeps its files in `home`, and without a network."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            **proxies,
            "KERAS_HOME": str(home),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.strip().splitlines()[-1].split()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_no_network_is_reported_with_the_folder_to_put_the_files_in(tmp_path, name):
    kind, dataset, folder = _load_elsewhere(tmp_path, name)
    assert (kind, dataset) == ("download", name)
    assert Path(folder) == tmp_path / "datasets"


@pytest.mark.slow
def test_real_fashion_images_pass_through_keras_own_loader_and_the_checksums(tmp_path):
    if not IMAGES.exists():
        pytest.skip("the 900 Fashion-MNIST images are not beside this project")
    import hashlib
    import json

    folder = tmp_path / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    sums = {}
    for part in ("train", "t10k"):
        for source, name in ((IMAGES, "images-idx3"), (LABELS, "labels-idx1")):
            data = source.read_bytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(data)
            sums[f"{part}-{name}-ubyte.gz"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    pixels = np.frombuffer(gzip.decompress(IMAGES.read_bytes())[16:], "uint8")
    # The subset stands in for both official parts; its own checksums replace the published ones.
    loaded = _load_elsewhere(tmp_path, "fashion_mnist", json.dumps(sums))
    assert loaded[:4] == ["loaded", "1800", "784", "uint8"]
    assert [int(value) for value in loaded[4:6]] == [pixels.min(), pixels.max()]
    assert [int(value) for value in loaded[6:]] == list(range(10))

    kind, first, *words = _load_elsewhere(tmp_path, "fashion_mnist")
    assert (kind, first) == ("damaged", "train-images-idx3-ubyte.gz:")
    assert "Expected" in words
    assert "received" in words
    assert not (folder / "train-images-idx3-ubyte.gz").exists()
