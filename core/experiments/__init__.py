"""Find every experiment: each module of this package that defines `EXPERIMENT` is one.

Imports no TensorFlow; an experiment imports it inside the functions that workers call.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from core.lessons import Lesson, lesson_run
from core.settings import Settings
from core.spec import RunSpec
from core.study import Study
from core.verdict import verdict

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from core.comparison import Comparison
    from core.datasets.loaders import Progress, Splits
    from core.result import RunResult


class Report(Protocol):
    """Take the measures of an epoch, numbered from 0: the values of `core.result.CURVE_COLUMNS`.

    `sample` is a row of the frame `samples`, where the net has written something after the epoch.
    """

    def __call__(self, epoch: int, row: Sequence[float], sample: Mapping[str, Any] | None = None) -> None:
        """Take them."""


class Observer(Protocol):
    """Look at a model after each epoch, and give what was seen as further frames of the result."""

    def __call__(self, epoch: int, model: keras.Model) -> None:
        """Take note of an epoch, 0 before training, and of the model at its end, which must not be changed."""

    def restored(self, model: keras.Model) -> None:
        """Take note of the weights that early stopping brought back."""

    def frames(self) -> Mapping[str, pd.DataFrame]:
        """Return what was seen."""


@dataclass(frozen=True)
class Preset:
    """Settings worth a click: a `name` for the machine, words for the viewer, and the link's query.

    `goes_wrong` marks those that fail on purpose, to show why. `is_recorded` tells whether results ship with the
    code; they cannot where they depend on the machine, such as on its version of Python.
    """

    name: str
    title: str
    reason: str
    query: str = ""
    goes_wrong: bool = False
    is_recorded: bool = True


@dataclass(frozen=True)
class Task:
    """A prediction to make before the answer is shown.

    `options` are the possible answers; `right` reads from the results of `preset` which of them hold
    (several, where no difference is seen between them), so that the reveal is measured and not asserted.
    """

    name: str
    preset: str
    prompt: str
    options: tuple[str, ...]
    right: Callable[[Comparison], frozenset[int]]
    reveal: str


@dataclass(frozen=True)
class Series:
    """A study repeated along one setting.

    `points` pair the value of the setting with its study; arms of one name belong to one line. `axis`
    names the quantity, `is_log` says whether it is spaced by factors.
    """

    name: str
    axis: str
    is_log: bool
    points: tuple[tuple[float, Study], ...]
    marks: tuple[str, ...] = ()

    @property
    def runs(self) -> dict[str, RunSpec]:
        """Map digests to the runs of all points, each once."""
        return {spec.digest: spec for _value, study in self.points for spec in study.runs.values()}


class Experiment(ABC):
    """What a page, a worker, the command line and the contract tests need of an experiment."""

    name: str
    title: str
    question: str
    summary: str
    icon: str
    order: int
    settings: type[Settings]
    spec: type[RunSpec]
    presets: tuple[Preset, ...]
    arm_names: tuple[str, ...]
    held_fixed: str
    corrections: tuple[Lesson, ...] = ()
    tasks: tuple[Task, ...] = ()

    @abstractmethod
    def facts(self, settings: Any) -> list[str]:
        """Say in a few short parts what data and how many seeds a view rests on."""

    def names(self, settings: Any) -> tuple[str, ...]:
        """List the arms that settings of this kind can have; their places decide colours and dashes."""
        return self.arm_names

    @abstractmethod
    def loss_ceiling(self, spec: Any) -> float:
        """Name the data loss of the best constant answer to balanced labels, for a live chart's axis."""

    @abstractmethod
    def study(self, settings: Any) -> Study:
        """Set the baseline against the chosen treatments."""

    def studies(self, settings: Any) -> list[Study]:
        """List every study that the page of `settings` shows, the main one first."""
        return [self.study(settings)]

    def shown(self, settings: Any) -> dict[str, RunSpec]:
        """Map digests to every run that the page of `settings` may show, so that it follows them; lessons apart."""
        return {spec.digest: spec for study in self.studies(settings) for spec in study.runs.values()}

    def recorded(self, settings: Any) -> dict[str, RunSpec]:
        """Map digests to the runs that ship with the code for the first preset."""
        return self.shown(settings) | self.lesson_runs()

    def lesson_runs(self) -> dict[str, RunSpec]:
        """Map digests to the executions of the page's lessons."""
        runs = (lesson_run(self.name, lesson) for lesson in self.corrections)
        return {run.digest: run for run in runs}

    def verdict(self, comparison: Comparison, settings: Any) -> str:
        """Say what the comparison of `settings` shows, in the viewer's language; on the main measure by default."""
        return verdict(comparison, at=settings.moment)

    def hero_title(self, comparison: Comparison, *, is_alone: bool = False) -> str:
        """State what the curves show, or the baseline's alone; empty for whether its loss turns up."""
        return ""

    @abstractmethod
    def data(self, spec: Any, progress: Progress | None = None) -> Splits:
        """Load the data of a run (worker only)."""

    @abstractmethod
    def model(self, spec: Any) -> keras.Model:
        """Build and compile the model of a run, its initial weights decided by the seed (worker only)."""

    def data_loss(self, spec: Any, model: keras.Model) -> keras.losses.Loss:
        """Return the loss in which every arm is measured; by default the one that is minimized (worker only)."""
        return model.loss

    def observer(self, spec: Any, splits: Splits) -> Observer | None:
        """Return what looks at the model after every epoch of a run, if anything does (worker only)."""
        return None

    def frames(self, spec: Any, model: keras.Model, splits: Splits) -> Mapping[str, pd.DataFrame]:
        """Measure more than the curves on the weights that a run ends with (worker only)."""
        return {}

    def train(
        self, spec: Any, report: Report, should_stop: Callable[[], bool], progress: Progress | None = None
    ) -> RunResult:
        """Train and measure one run (worker only).

        Args:
            spec: What to train.
            report: Called after every epoch.
            should_stop: Asked after every epoch; a run that it ends is marked stopped.
            progress: Called with a stage and a number of bytes while a data set is downloaded.
        """
        from core.training import train

        splits = self.data(spec, progress)
        return train(self, spec, report, should_stop, splits, self.observer(spec, splits))

    def trained_model(self, spec: Any, frames: Mapping[str, pd.DataFrame]) -> keras.Model:
        """Return the net that a run ended with, of Keras' own classes and not compiled: it loads without this project.

        Worker only. By default the run is trained again, which gives the same weights.

        Args:
            spec: The run.
            frames: Those of its result in which an experiment keeps weights, named by `kept_weights`; may be empty.
        """
        import keras

        from core.training import finished_model, never

        self.train(spec, lambda *_: None, never)
        model = finished_model(spec)
        return keras.Model(model.input, model.output)

    kept_weights: tuple[str, ...] = ()

    def script(self, settings: Any) -> str | None:
        """Write a Keras script that reproduces the runs; None for the one made of `script_parts`."""
        return None

    def work(self, specs: Iterable[RunSpec]) -> float:
        """Estimate the multiply-adds of several runs."""
        return sum(self.multiplications(spec) for spec in specs)

    def tracing(self, spec: Any) -> float:
        """Estimate the seconds in which a worker traces the graph of a run that it has not traced before."""
        return 0.5

    def script_parts(self) -> list[Any]:
        """List the functions that `model` is made of, `build_model(spec, dataset)` first, for the exported script."""
        return []

    @abstractmethod
    def multiplications(self, spec: Any) -> float:
        """Estimate the multiply-adds of a run, to bound and to announce its duration."""


@functools.cache
def experiments() -> dict[str, Experiment]:
    """List all experiments by name, in the order of their pages."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        experiment = getattr(importlib.import_module(f"{__name__}.{module.name}"), "EXPERIMENT", None)
        if experiment is not None:
            found.append(experiment)
    return {e.name: e for e in sorted(found, key=lambda e: e.order)}
