"""Declare the settings that several experiments share, each once; words and ranges are the same on every page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from core.attachments import OWN_PREFIX
from core.datasets import DATASETS, Kind, find_own
from core.i18n import N_
from core.settings import Choice, Integer, Real

DATA, MODEL, ARMS, TRAINING, VIEW = N_("Data"), N_("Model"), N_("Regularizers"), N_("Training"), N_("View")
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD", "momentum": N_("SGD with momentum 0.9"), "rmsprop": "RMSprop"}
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)


@dataclass(frozen=True)
class DatasetChoice(Choice):
    """One of the data sets, or a viewer's own by its name, of `kind` where one is asked for."""

    kind: Kind | None = None

    def offered(self, value: str) -> dict[str, str]:
        own = find_own(value)
        return dict(self.options) | ({value: own.dataset.label} if own else {})

    def accepts(self, value: Any) -> bool:
        if super().accepts(value):
            return True
        own = find_own(value) if isinstance(value, str) else None
        return own is not None and self.kind in (None, own.dataset.kind)

    def fault(self, value: Any) -> tuple[str, tuple[tuple[str, object], ...], str]:
        text = str(value)
        if not text.startswith(OWN_PREFIX):
            return super().fault(value)
        if find_own(text) is not None:
            return N_("a data set for {kind}"), (("kind", self.kind or ""),), text
        missing = N_("a data set stored here; this one was made of a file elsewhere: load the same file to have it")
        return missing, (), text


def dataset_choice(kind: Kind | None = None) -> DatasetChoice:
    """Offer the data sets, or those of one kind."""
    return DatasetChoice(
        N_("Data set"),
        N_("Real data from scikit-learn or Keras, or a set of points in the plane."),
        DATA,
        options={name: dataset.label for name, dataset in DATASETS.items() if kind in (None, dataset.kind)},
        kind=kind,
    )


DatasetName = Annotated[str, dataset_choice()]
TrainingPoints = Annotated[
    int,
    Integer(
        N_("Training points"),
        N_("The fewer there are, the easier they are learnt by heart."),
        DATA, low=10, high=10_000, step=10,
    ),
]  # fmt: skip
FlippedLabels = Annotated[
    float,
    Real(
        N_("Flipped labels"),
        N_("Share of training labels replaced by a wrong one. Validation labels stay right."),
        DATA, low=0.0, high=0.9, marks=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9),
    ),
]  # fmt: skip
InputNoise = Annotated[
    float,
    Real(
        N_("Input noise"),
        N_("Standard deviation of Gaussian noise on every input, in units of that input's own."),
        DATA, low=0.0, high=3.0, marks=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0),
    ),
]  # fmt: skip
ValidationPoints = Annotated[
    int,
    Integer(
        N_("Validation points"),
        N_("At most this many, as far as the training points leave them."),
        DATA, folded=True, low=30, high=5_000, step=10,
    ),
]  # fmt: skip
Width = Annotated[int, Integer(N_("Units a layer"), N_("Width of each hidden layer (ReLU)."), MODEL, low=1, high=1_024)]
Depth = Annotated[
    int, Integer(N_("Hidden layers"), N_("Number of hidden layers between input and output."), MODEL, low=1, high=6)
]
Epochs = Annotated[
    int, Integer(N_("Epochs"), N_("Passes over the training points."), TRAINING, low=1, high=2_000, step=10)
]
BatchSize = Annotated[int, Integer(N_("Batch size"), N_("Points in one optimizer step."), TRAINING, low=1, high=1_024)]
Optimizer = Annotated[
    str, Choice(N_("Optimizer"), N_("The rule that turns gradients into steps."), TRAINING, options=OPTIMIZERS)
]
LearningRate = Annotated[
    float,
    Real(N_("Learning rate"), N_("Size of an optimizer step."), TRAINING, low=1e-6, high=10.0, marks=RATES),
]
Seeds = Annotated[
    int,
    Integer(
        N_("Seeds"),
        N_("Paired repetitions, each with another split, label noise, initial weights and batch order."),
        TRAINING, low=1, high=20,
    ),
]  # fmt: skip
Moment = Annotated[
    str,
    Choice(
        N_("Compare at"),
        N_("The weights that the verdict speaks of: those a run ends with, or those of its best validation epoch."),
        VIEW,
        options={"last": N_("the last epoch"), "best": N_("the best epoch")},
    ),
]
Smoothing = Annotated[
    float,
    Real(
        N_("Smoothing"),
        N_("Weight of the running mean drawn over the curves; the raw line stays visible."),
        VIEW, low=0.0, high=0.98, marks=(0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95),
    ),
]  # fmt: skip


def unused_strengths(changes: Mapping[str, tuple[tuple[str, ...], str]], arms: Iterable[str]) -> frozenset[str]:
    """Name the strengths that only arms which are not chosen would use.

    Args:
        changes: For each arm the settings that it takes over, and its label.
        arms: Those chosen.
    """
    used = {field for arm in arms for field in changes[arm][0]}
    return frozenset(field for fields, _label in changes.values() for field in fields if field not in used)
