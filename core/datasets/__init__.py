"""Know every data set by name: what a page may say and a setting may ask before anything is loaded.

Loading is `core.datasets.loaders` (workers only); this module imports no library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core import attachments
from core.attachments import OWN_PREFIX
from core.i18n import N_

if TYPE_CHECKING:
    import numpy as np

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


MAX_OWN = 8  # data sets of viewers that are kept in memory


@dataclass(frozen=True, eq=False)
class OwnDataset:
    """A data set from a viewer's file: its facts, inputs (N, F) float32 with their names, labels (N,).

    `dataset.name` ends in a hash of the content, so that equal files have equal names. `classes` names
    the classes in the order of their numbers; empty for regression.
    """

    dataset: Dataset
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray


_own: dict[str, OwnDataset] = {}
_sources: list[Callable[[str], bytes | None]] = [attachments.held]


def look_up_with(source: Callable[[str], bytes | None]) -> None:
    """Ask `source`, a store for example, by hash for the data sets of viewers that are not in memory."""
    _sources[:] = [attachments.held, source]


def register(own: OwnDataset) -> None:
    """Make a viewer's data set known by its name in this process."""
    _own.pop(own.dataset.name, None)
    _own[own.dataset.name] = own
    while len(_own) > MAX_OWN:
        del _own[next(iter(_own))]


def find_own(name: str) -> OwnDataset | None:
    """Return a viewer's data set, or None where this installation does not have it."""
    if not name.startswith(OWN_PREFIX):
        return None
    if name not in _own:
        from core.datasets.tables import unpack  # which stands on this module

        for source in _sources:
            if (data := source(name.removeprefix(OWN_PREFIX))) is not None:
                try:
                    register(unpack(data, name))
                except Exception:  # a text, or damaged bytes: whatever it raises, it is no data set
                    return None
                break
    return _own.get(name)


def find(name: str) -> Dataset:
    """Return the data set called `name`, of the list or a viewer's.

    Raises:
        KeyError: When there is none.
    """
    if name in DATASETS:
        return DATASETS[name]
    own = find_own(name)
    if own is None:
        raise KeyError(name)
    return own.dataset
