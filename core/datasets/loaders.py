"""Load and split data sets inside a worker; the one place that may download."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.datasets import Dataset, find, find_own

Progress = Callable[[str, int], None]

# MD5 of the archives, published by the authors of Fashion-MNIST; Keras checks none.
FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


class DownloadError(Exception):
    """A data set that could not be fetched; `folder` is where its files are looked for."""

    def __init__(self, dataset: str, folder: str):
        self.dataset, self.folder = dataset, folder
        super().__init__(f"{dataset} could not be downloaded to {folder}.")


class DamagedDownloadError(Exception):
    """A file whose checksum is not the published one."""


@dataclass(frozen=True)
class Split:
    """Inputs of shape (N, F), float32, and labels: int32 classes (N,) or float32 values (N, 1)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Splits:
    """The parts of one seed's data; `test` is the same for every seed and touched by no run."""

    train: Split
    validation: Split
    stopping: Split
    test: Split
    prior_loss: float


def load(dataset: Dataset, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Load all rows: inputs (N, F) as the source has them, and labels (N,).

    Rows of a data set with an official test part come training part first.

    Raises:
        DownloadError: When the files are neither here nor to be had.
        DamagedDownloadError: When a file is not the published one.
    """
    if dataset.is_download:
        return _load_keras(dataset, progress)
    if (own := find_own(dataset.name)) is not None:
        return own.x, own.y
    return _load_local(dataset.name)


@lru_cache(maxsize=4)
def _load_local(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    loaders = {
        "digits": datasets.load_digits,
        "breast_cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
        "diabetes": datasets.load_diabetes,
    }
    x, y = loaders[name](return_X_y=True) if name in loaders else _draw(name, find(name).n)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def _draw(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a noise-free 2-D set of two equally large classes from a fixed generator."""
    rng = np.random.default_rng(20_240_229)
    y = np.arange(n) % 2
    if name == "moons":
        angle = rng.uniform(0, np.pi, n)
        x = np.where(
            (y == 0)[:, None],
            np.stack([np.cos(angle), np.sin(angle)], 1),
            np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1),
        )
    elif name == "circles":
        angle = rng.uniform(0, 2 * np.pi, n)
        radius = np.where(y == 0, 1.0, 0.5)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    elif name == "spiral":
        turn = np.sqrt(rng.uniform(0.01, 1, n))
        angle = 3.5 * np.pi * turn + np.pi * y
        x = np.stack([turn * np.cos(angle), turn * np.sin(angle)], 1)
    else:  # xor: the class is the sign of the product, with a gap along the axes
        x = rng.uniform(0.08, 1, (n, 2)) * np.where(rng.uniform(size=(n, 2)) < 0.5, -1, 1)
        x[:, 1] = np.abs(x[:, 1]) * np.where((x[:, 0] > 0) == (y == 0), 1, -1)
    return x, y


def _load_keras(dataset: Dataset, progress: Progress | None) -> tuple[np.ndarray, np.ndarray]:
    import keras

    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    loader = {"mnist": keras.datasets.mnist, "fashion_mnist": keras.datasets.fashion_mnist}[dataset.name]
    with _Watch(folder, progress):
        try:
            (x, y), (x_test, y_test) = loader.load_data()
        except ValueError as error:  # Keras' own words for a file that fails its checksum
            raise DamagedDownloadError(str(error)) from error
        except Exception as error:
            raise DownloadError(dataset.name, str(folder)) from error
    if dataset.name == "fashion_mnist":
        verify(folder / "fashion-mnist", FASHION_MD5)
    return join_parts(dataset, (x, y), (x_test, y_test))


def join_parts(dataset: Dataset, train: tuple, test: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Put the first rows of an official training part before those of the test part."""
    kept = dataset.n - dataset.test
    x = np.concatenate([train[0][:kept], test[0][: dataset.test]])
    return x.reshape(len(x), -1), np.concatenate([train[1][:kept], test[1][: dataset.test]])


def verify(folder: Path, checksums: dict[str, str]) -> None:
    """Compare files with their published MD5.

    Raises:
        DamagedDownloadError: Names the first file that differs; it is removed, to be fetched anew.
    """
    for name, expected in checksums.items():
        found = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        if found != expected:
            (folder / name).unlink()
            raise DamagedDownloadError(f"{name}: Expected MD5 {expected}; received {found}.")


class _Watch:
    """Report how many bytes have arrived below `folder`, twice a second, while the block runs."""

    def __init__(self, folder: Path, progress: Progress | None):
        self.folder, self.progress, self.done = folder, progress, threading.Event()

    def __enter__(self) -> None:
        if self.progress:
            self.before = self._size()
            self.thread = threading.Thread(target=self._report, daemon=True)
            self.thread.start()

    def __exit__(self, *_exception) -> None:
        self.done.set()
        if self.progress:
            self.thread.join()

    def _size(self) -> int:
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def _report(self) -> None:
        while not self.done.wait(0.5):
            if self.progress and (arrived := self._size() - self.before) > 0:
                self.progress("download", arrived)


def split(
    dataset: Dataset,
    x: np.ndarray,
    y: np.ndarray,
    *,
    n_train: int,
    n_validation: int,
    seed: int,
    flipped: float = 0.0,
    noise: float = 0.0,
    folds: int = 0,
    fold: int = 0,
) -> Splits:
    """Cut the data of one seed; the same for every arm.

    Args:
        x, y: All rows, from `load`.
        n_train: Training rows, at most `dataset.max_train`.
        n_validation: Validation rows at most; what training leaves where that is fewer.
        seed: Decides which rows train and validate, which labels change, and the noise.
        flipped: Share of training labels in [0, 0.9] replaced by another class, drawn uniformly; in
            regression by another training row's value.
        noise: Standard deviation of Gaussian noise on every input of every split, in standard
            deviations of that input over the training rows.
        folds: Where not 0, the training rows are cut into so many parts; part `fold` validates, and the
            others train.

    Returns:
        Scaled splits. Images are divided by their largest value, everything else is standardized
        with the training rows' mean and standard deviation; regression targets likewise.
    """
    fixed = np.arange(len(x)) if dataset.is_download else np.random.default_rng(0).permutation(len(x))
    put_away, rest = fixed[len(x) - dataset.test :], fixed[: len(x) - dataset.test]
    order = np.random.default_rng([seed, 11]).permutation(rest)
    stopping, pool = order[: dataset.stopping], order[dataset.stopping :]
    n_validation = min(n_validation, len(pool) - n_train)
    validation, train = pool[:n_validation], pool[::-1][:n_train]

    if folds:
        parts_of_train = np.array_split(train, folds)
        validation = parts_of_train.pop(fold)
        train = np.concatenate(parts_of_train)

    y_train, outputs = y[train], y
    prior_loss = 1.0
    if dataset.kind == "regression":
        mean, scale = y_train.mean(), y_train.std()
        outputs = ((y - mean) / scale).astype("float32")[:, None]
    else:
        outputs = y.astype("int32")
    labels = _flip(outputs[train], flipped, dataset.classes, np.random.default_rng([seed, 12]))
    if dataset.kind == "classification":
        shares = np.bincount(labels, minlength=dataset.classes) / len(labels)
        prior_loss = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())

    inputs = _scale(dataset, x, train)
    if noise:
        inputs = inputs + noise * np.maximum(inputs[train].std(0), 1e-6) * np.random.default_rng(
            [seed, 13]
        ).standard_normal(inputs.shape)
    inputs = inputs.astype("float32")
    parts = [Split(inputs[rows], outputs[rows]) for rows in (validation, stopping, put_away)]
    return Splits(Split(inputs[train], labels), parts[0], parts[1], parts[2], prior_loss)


def _scale(dataset: Dataset, x: np.ndarray, train: np.ndarray) -> np.ndarray:
    if len(dataset.shape) > 1:
        return x / x[train].max()
    scale = x[train].std(0)
    return (x - x[train].mean(0)) / np.where(scale > 0, scale, 1.0)


def _flip(labels: np.ndarray, share: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    labels = labels.copy()
    changed = rng.permutation(len(labels))[: round(share * len(labels))]
    if not len(changed):
        return labels
    if classes:
        labels[changed] = (labels[changed] + rng.integers(1, classes, len(changed))) % classes
    else:
        labels[changed] = labels[np.roll(changed, 1)]
    return labels
