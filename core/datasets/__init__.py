"""Know every data set by name: what a page may say and a setting may ask before anything is loaded.

Loading is `core.datasets.loaders` (workers only); this module imports no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.i18n import N_

Kind = Literal["classification", "regression"]
MIN_VALIDATION = 30


@dataclass(frozen=True)
class Dataset:
    """The facts of a data set.

    `n` rows of `shape`, `classes` of them to tell apart (0 for regression). `test` rows are put away
    for good, the same for every seed; `stopping` rows steer early stopping and nothing else.
    """

    name: str
    label: str
    source: str
    kind: Kind
    n: int
    shape: tuple[int, ...]
    classes: int
    test: int
    stopping: int
    is_toy: bool = False
    is_download: bool = False

    @property
    def pool(self) -> int:
        """Count the rows that training and validation share."""
        return self.n - self.test - self.stopping

    @property
    def max_train(self) -> int:
        """Count the rows that training can take at most."""
        return self.pool - MIN_VALIDATION

    @property
    def inputs(self) -> int:
        """Count the numbers in one row."""
        size = 1
        for side in self.shape:
            size *= side
        return size

    @property
    def outputs(self) -> int:
        """Count the outputs of a net: one logit a class, or one value."""
        return self.classes or 1


def _toy(name: str, label: str, source: str) -> Dataset:
    return Dataset(name, label, source, "classification", 2_000, (2,), 2, 400, 200, is_toy=True)


_SKLEARN = N_("scikit-learn, on every machine")
_KERAS = N_("Keras' own loader, downloaded once")
_DRAWN = N_("drawn from a formula")

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("digits", N_("Digits, 8×8 images"), _SKLEARN, "classification", 1797, (8, 8), 10, 147, 150),
        Dataset("breast_cancer", N_("Breast cancer"), _SKLEARN, "classification", 569, (30,), 2, 60, 60),
        Dataset("wine", N_("Wine"), _SKLEARN, "classification", 178, (13,), 3, 24, 24),
        Dataset("diabetes", N_("Diabetes progression (regression)"), _SKLEARN, "regression", 442, (10,), 0, 46, 46),
        Dataset(
            "mnist", N_("MNIST, 28×28 images"), _KERAS, "classification", 22_000, (28, 28), 10, 10_000, 1_000,
            is_download=True,
        ),
        Dataset(
            "fashion_mnist", N_("Fashion-MNIST, 28×28 images"), _KERAS, "classification", 22_000, (28, 28), 10, 10_000,
            1_000, is_download=True,
        ),
        _toy("moons", N_("Moons"), _DRAWN),
        _toy("circles", N_("Circles"), _DRAWN),
        _toy("spiral", N_("Spiral"), _DRAWN),
        _toy("xor", N_("XOR"), _DRAWN),
    )
}  # fmt: skip


def find(name: str) -> Dataset:
    """Return the data set called `name`."""
    return DATASETS[name]
