"""Which loss should a net minimize? One net, one data set, one loss an arm.

Imports no TensorFlow at module level: pages read the declarations, workers call `data` and `model`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from core.attachments import OWN_PREFIX
from core.comparison import label, lowered
from core.datasets import DATASETS, Dataset, Kind, find, find_own
from core.experiments import Experiment, Preset, Report
from core.fields import (
    ARMS,
    BatchSize,
    DatasetChoice,
    Depth,
    Epochs,
    FlippedLabels,
    LearningRate,
    Moment,
    Optimizer,
    Seeds,
    Smoothing,
    TrainingPoints,
    ValidationPoints,
    Width,
)
from core.formula import Formula, parse
from core.i18n import N_, _, ngettext, number, percent, plain
from core.losses import (
    BASELINES,
    LOSSES,
    VARIABLES,
    keras_loss,
    of_kind,
    own_fault,
    read_values,
    write_values,
)
from core.settings import Choice, Choices, Problem, Real, Settings, Text
from core.spec import RunSpec
from core.study import BASELINE, Arm, Study
from core.verdict import verdict
from core.work import MAX_MULTIPLICATIONS

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from core.comparison import Comparison
    from core.datasets.loaders import Progress, Splits
    from core.result import RunResult

DATA, LOSS = N_("Data"), N_("Losses")

OWN, REGULARIZED = "own", "regularized"
HUBER = LOSSES["huber"].text.replace("delta", "k")
OWN_CLASS = "-log_p + b*(1 - p)"


def _drawn(name: str, label: str, inputs: int, n: int, kind: Kind = "regression") -> Dataset:
    test = n // 10
    classes = 2 if kind == "classification" else 0
    return Dataset(name, label, N_("drawn from a formula"), kind, n, (inputs,), classes, test, test, is_toy=True)


SETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        _drawn("wave", N_("Wave (one input)"), 1, 2_000),
        _drawn("line", N_("Line (one input)"), 1, 2_000),
        _drawn("fan", N_("Fan: noise grows to the right (one input)"), 1, 2_000),
        _drawn("friedman", N_("Friedman 1 (ten inputs)"), 10, 2_000),
        DATASETS["diabetes"],
        DATASETS["digits"],
        DATASETS["breast_cancer"],
        DATASETS["moons"],
        _drawn("rare", N_("Rare class, 5 in 100"), 20, 6_000, "classification"),
    )
}
RARE = {"digits": 8, "breast_cancer": 0, "moons": 1, "rare": 1}
RARE_NAMES = {
    "digits": N_("the digit 8"),
    "breast_cancer": N_("malignant"),
    "moons": N_("class 1"),
    "rare": N_("class 1"),
}


def find_set(name: str) -> Dataset:
    """Return one of this page's data sets, or a viewer's own."""
    return SETS[name] if name in SETS else find(name)


def rare_class(name: str) -> int:
    """Number the class that losses may weigh and that is thinned: of a viewer's own data, the rarest."""
    own = find_own(name)
    if own is None or not own.classes:
        return RARE.get(name, 0)
    return int(np.bincount(own.y.astype(int)).argmin())


def rare_name(name: str) -> str:
    """Name that class, a message to translate."""
    own = find_own(name)
    return own.classes[rare_class(name)] if own else RARE_NAMES[name]


LESSON_NAMES = ("enumeration", "renamed", "equal", "weights")
FORMS = "forms"
REGRESSION_NAMES = (
    BASELINE, *(loss.name for loss in of_kind("regression") if loss.name != "mse"), OWN, REGULARIZED,
)  # fmt: skip
CLASS_NAMES = (
    BASELINE, *(loss.name for loss in of_kind("classification") if loss.name != "cross_entropy"), OWN, REGULARIZED,
)  # fmt: skip


def _options(kind: Kind) -> dict[str, str]:
    named = {loss.name: loss.title for loss in of_kind(kind) if loss.name != BASELINES[kind]}
    return {**named, OWN: N_("Your own formula")}


def _checked(kind: Kind) -> Callable[[str], Any]:
    def check(text: str):
        error = own_fault(text, kind)
        return (error.expected, tuple(error.arguments.items()), error.received) if error else None

    return check


def _check_values(text: str):
    try:
        read_values(text)
    except ValueError as error:
        return N_("pairs such as k=1,b=0.5 with numbers up to a million"), (), str(error)
    return None


def _parameter(label: str, help_text: str, low: float, high: float, *marks: float) -> Real:
    return Real(label, help_text, LOSS, folded=True, low=low, high=high, marks=marks)


class CustomLossSettings(Settings):
    """Everything that a viewer of the page can turn."""

    dataset: Annotated[
        str,
        DatasetChoice(
            N_("Data set"),
            N_("Values to predict (regression) or classes; the losses on offer follow from it."),
            DATA,
            options={name: dataset.label for name, dataset in SETS.items()},
        ),
    ] = "wave"
    n_train: TrainingPoints = 200
    outliers: Annotated[
        float,
        Real(
            N_("Outliers"),
            N_("Share of training targets that are moved away. Validation targets stay clean."),
            DATA, low=0.0, high=0.45, marks=(0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
        ),
    ] = 0.15  # fmt: skip
    outlier_size: Annotated[
        float,
        Real(
            N_("Size of outliers"),
            N_("Mean distance by which they are moved, in standard deviations of the targets; it varies by a quarter."),
            DATA, low=0.5, high=50.0, marks=(1.0, 2.0, 4.0, 8.0, 16.0),
        ),
    ] = 8.0  # fmt: skip
    side: Annotated[
        str,
        Choice(
            N_("Side of outliers"),
            N_("Outliers on one side shift every fit; those on both sides cancel in the mean, not in the spread."),
            DATA,
            options={"up": N_("all upwards"), "both": N_("up and down")},
        ),
    ] = "up"
    target_noise: Annotated[
        float,
        Real(
            N_("Noise on targets"),
            N_("Standard deviation of Gaussian noise on training targets, in standard deviations of the targets."),
            DATA, low=0.0, high=3.0, marks=(0.0, 0.1, 0.2, 0.5, 1.0, 2.0),
        ),
    ] = 0.0  # fmt: skip
    flipped: FlippedLabels = 0.0
    kept: Annotated[
        float,
        Real(
            N_("Rare class kept"),
            N_("Share of the rare class's points that stay, in training and validation alike: class imbalance."),
            DATA, low=0.05, high=1.0, marks=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
        ),
    ] = 1.0  # fmt: skip
    cost: Annotated[
        float,
        Real(
            N_("Cost of a missed rare case"),
            N_("What answering a rare case wrongly costs, where every other error costs 1; used by the column Cost."),
            DATA, low=0.1, high=100.0, marks=(0.5, 1.0, 2.0, 5.0, 10.0, 20.0),
        ),
    ] = 5.0  # fmt: skip
    n_validation: ValidationPoints = 1_000
    width: Width = 64
    depth: Depth = 2
    losses: Annotated[
        tuple[str, ...],
        Choices(
            N_("Compare with MSE"),
            N_("Each is minimized by the same net on the same data, from the same weights."),
            LOSS,
            options=_options("regression"),
        ),
    ] = ("mae", "huber", "log_cosh", "cauchy")
    class_losses: Annotated[
        tuple[str, ...],
        Choices(
            N_("Compare with cross-entropy"),
            N_("Each is minimized by the same net on the same data, from the same weights; all work from logits."),
            LOSS,
            options=_options("classification"),
        ),
    ] = ("focal", "gce", "sce", "smoothing")
    formula: Annotated[
        str,
        Text(
            N_("Your own formula"),
            N_("A loss over y_true and y_pred; other names become parameters. It is read, never executed as code."),
            LOSS,
            check=_checked("regression"),
        ),
    ] = HUBER
    class_formula: Annotated[
        str,
        Text(
            N_("Your own formula (classes)"),
            N_("A loss over log_p, p, margin, mean_log_p and rare; other names become parameters."),
            LOSS,
            check=_checked("classification"),
        ),
    ] = OWN_CLASS
    values: Annotated[
        str,
        Text(
            N_("Its parameters"),
            N_("Values of your formula's parameters, such as k=1,b=0.5; 1 where none is given."),
            LOSS,
            limit=240,
            check=_check_values,
        ),
    ] = "k=1.0"
    delta: Annotated[
        float, _parameter("Huber δ", N_("Residuals beyond it count linearly."), 0.001, 100.0, 0.1, 0.3, 1.0, 2.0, 4.0, 10.0)
    ] = 1.0  # fmt: skip
    level: Annotated[
        float, _parameter(N_("Quantile level"), N_("Share of targets that should lie below."), 0.01, 0.99, 0.1, 0.25, 0.5, 0.75, 0.9)
    ] = 0.9  # fmt: skip
    slope: Annotated[
        float, _parameter(N_("Linex slope"), N_("Positive: too high is expensive. Negative: too low is."), -5.0, 5.0, -2.0, -1.0, 1.0, 2.0)
    ] = 1.0  # fmt: skip
    c: Annotated[
        float, _parameter("Tukey c", N_("Residuals beyond it have no pull at all."), 0.001, 100.0, 0.1, 1.0, 2.0, 4.685, 10.0)
    ] = 4.685  # fmt: skip
    scale: Annotated[
        float, _parameter(N_("Cauchy scale"), N_("Beyond it the pull of a residual fades."), 0.001, 100.0, 0.1, 0.3, 1.0, 2.385, 5.0)
    ] = 1.0  # fmt: skip
    gamma: Annotated[
        float, _parameter(N_("Focal γ"), N_("0 is cross-entropy; larger weighs down what is answered well."), 0.0, 10.0, 0.0, 1.0, 2.0, 3.0, 5.0)
    ] = 2.0  # fmt: skip
    alpha: Annotated[
        float, _parameter(N_("Focal α"), N_("Weight of the rare class against the others; 0.5 is none."), 0.01, 0.99, 0.25, 0.5, 0.75, 0.9)
    ] = 0.5  # fmt: skip
    q: Annotated[
        float, _parameter(N_("Generalised CE q"), N_("Towards 0 it is cross-entropy, at 1 it is 1 − p."), 0.01, 1.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    ] = 0.7  # fmt: skip
    sce_a: Annotated[
        float, _parameter(N_("Symmetric CE, first weight"), N_("Weight of cross-entropy."), 0.0, 10.0, 0.0, 0.1, 0.5, 1.0, 6.0)
    ] = 0.1  # fmt: skip
    sce_b: Annotated[
        float, _parameter(N_("Symmetric CE, second weight"), N_("Weight of the bounded mirror image."), 0.01, 10.0, 0.1, 0.5, 1.0, 2.0)
    ] = 1.0  # fmt: skip
    eps: Annotated[
        float, _parameter(N_("Label smoothing ε"), N_("Share of the target spread over all classes."), 0.0, 0.9, 0.0, 0.05, 0.1, 0.2, 0.3)
    ] = 0.1  # fmt: skip
    weight: Annotated[
        float, _parameter(N_("Weight of the rare class"), N_("In class-weighted cross-entropy; the others count 1."), 0.1, 100.0, 1.0, 2.0, 5.0, 10.0, 19.0)
    ] = 5.0  # fmt: skip
    regularizer: Annotated[
        str,
        Choice(
            N_("Second comparison"),
            N_("Every loss again, the baseline's too, with this regularizer added."),
            ARMS,
            options={"l2": N_("with L2"), "dropout": N_("with dropout")},
        ),
    ] = "dropout"
    strength: Annotated[
        float,
        Real(
            N_("Strength"),
            N_("λ of L2, which adds λ·Σw², or the rate of dropout."),
            ARMS, low=1e-6, high=0.95, marks=(1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.2, 0.3, 0.5, 0.7),
        ),
    ] = 0.2  # fmt: skip
    epochs: Epochs = 150
    batch_size: BatchSize = 32
    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 3e-3
    seeds: Seeds = 5
    moment: Moment = "last"
    smoothing: Smoothing = 0.0

    @property
    def kind(self) -> Kind:
        """Tell regression from classification."""
        return find_set(self.dataset).kind

    @property
    def chosen(self) -> tuple[str, ...]:
        """List the losses that are compared with the baseline's."""
        return self.losses if self.kind == "regression" else self.class_losses

    @property
    def own_text(self) -> str:
        """Return the viewer's formula for this kind of data."""
        return self.formula if self.kind == "regression" else self.class_formula

    def limits(self) -> dict[str, tuple[int, int]]:
        return {"n_train": (10, min(10_000, find_set(self.dataset).max_train))}

    def idle(self) -> frozenset[str]:
        other: Kind = "classification" if self.kind == "regression" else "regression"
        unused = [loss for loss in LOSSES.values() if loss.kind == other or loss.name not in self.chosen]
        idle = {name for loss in unused for name in loss.parameters}
        if OWN not in self.chosen:
            idle |= {"formula", "class_formula", "values"}
        if self.kind == "regression":
            return frozenset(idle | {"class_losses", "class_formula", "kept", "cost"})
        return frozenset(idle | {"losses", "formula", "outliers", "outlier_size", "side", "target_noise"})

    @classmethod
    def resolve(cls, values: dict[str, Any], given) -> dict[str, Any]:
        if "n_train" not in given:
            values = values | {"n_train": min(values["n_train"], find_set(values["dataset"]).max_train)}
        return values

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> list[Problem]:
        dataset = find_set(values["dataset"])
        if values["n_train"] > dataset.max_train:
            phrase = N_("at most {limit} training points, which is what {dataset} has")
            arguments = (("limit", dataset.max_train), ("dataset", dataset.name))
            return [Problem("n_train", phrase, str(values["n_train"]), arguments)]
        if cost(values) > MAX_MULTIPLICATIONS:
            phrase = N_("a study of at most half an hour: fewer epochs, seeds, units, layers or points")
            return [Problem("epochs", phrase, str(values["epochs"]))]
        return []

    @classmethod
    def repair(cls, values: dict[str, Any]) -> dict[str, Any]:
        dataset = find_set(values["dataset"])
        repaired = values | {"n_train": min(values["n_train"], dataset.max_train)}
        excess = cost(repaired) / MAX_MULTIPLICATIONS
        if excess > 1:
            repaired["epochs"] = max(1, int(repaired["epochs"] / excess))
        if cost(repaired) > MAX_MULTIPLICATIONS:
            sizes = {
                key: cls.model_fields[key].default for key in ("n_train", "width", "depth", "batch_size", "epochs")
            }
            repaired |= sizes | {"n_train": min(sizes["n_train"], dataset.max_train)}
        return repaired


class LossRun(RunSpec):
    """One net trained on one loss: a name of the gallery (empty: the baseline's) or `own` with its formula."""

    experiment = "custom_loss"
    recipe = 1
    outside_model = frozenset(
        {
            "seed",
            "n_train",
            "n_validation",
            "flipped",
            "outliers",
            "outlier_size",
            "side",
            "target_noise",
            "kept",
            "cost",
            "epochs",
        }
    )

    dataset: str
    n_train: int
    n_validation: int
    width: int
    depth: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    outliers: float = 0.0
    outlier_size: float = 0.0
    side: str = "up"
    target_noise: float = 0.0
    flipped: float = 0.0
    kept: float = 1.0
    cost: float = 1.0
    loss: str = ""
    formula: str = ""
    values: str = ""
    l2: float = 0.0
    dropout: float = 0.0
    lesson: str = ""


VARIES = frozenset({"loss", "formula", "values"})


def cost(values: Mapping[str, Any]) -> float:
    """Estimate the multiply-adds of the study; a step costs at least as much as its overhead."""
    dataset = find_set(values["dataset"])
    width, depth = values["width"], values["depth"]
    parameters = dataset.inputs * width + (depth - 1) * width * width + width * dataset.outputs
    validation = min(values["n_validation"], dataset.pool - values["n_train"])
    step_overhead = 7e6  # about 0.35 ms of dispatch, in multiply-adds
    steps = -(-values["n_train"] // values["batch_size"])
    epoch = parameters * (4 * values["n_train"] + validation) + steps * step_overhead
    arms = len(values["losses"] if dataset.kind == "regression" else values["class_losses"]) + 1
    return epoch * values["epochs"] * values["seeds"] * arms


def _lesson_run(lesson: str, dataset: str) -> LossRun:
    return LossRun(
        seed=0, lesson=lesson, dataset=dataset, n_train=10, n_validation=30, width=1, depth=1, epochs=1, batch_size=10,
        optimizer="sgd", learning_rate=0.01,
    )  # fmt: skip


def own_values(settings: CustomLossSettings) -> dict[str, float]:
    """Name the value of every parameter of the viewer's formula; 1 where none is given."""
    given = read_values(settings.values)
    return {name: given.get(name, 1.0) for name in parse(settings.own_text, VARIABLES[settings.kind]).parameters}


def loss_of(spec: LossRun) -> tuple[Kind, Formula, dict[str, float]]:
    """Return kind, formula and parameters of what a run minimizes."""
    kind = find_set(spec.dataset).kind
    if spec.loss == OWN:
        return kind, parse(spec.formula, VARIABLES[kind]), dict(read_values(spec.values))
    loss = LOSSES[spec.loss or BASELINES[kind]]
    return kind, loss.formula, dict(loss.parameters) | read_values(spec.values)


class CustomLoss(Experiment):
    """The page that asks which loss a net should minimize."""

    name = "custom_loss"
    title = N_("Custom loss")
    question = N_("Which loss should a net minimize?")
    summary = N_(
        "One net, one data set, one loss an arm, your own formula among them; all are judged by every measure."
    )
    icon = ":material/function:"
    order = 20
    settings = CustomLossSettings
    spec = LossRun
    presets = (
        Preset(
            "outliers",
            N_("Outliers"),
            N_("Fifteen targets in a hundred are far too high: MSE follows them, robust losses hardly do."),
        ),
        Preset(
            "clean",
            N_("No outliers"),
            N_("The price of robustness: on clean data there is nothing to gain, and little to lose."),
            "outliers=0&seeds=3",
        ),
        Preset(
            "friedman",
            N_("Outliers, ten inputs"),
            N_("Friedman's function, of which nothing can be drawn: the cross table tells."),
            "dataset=friedman&n_train=400&epochs=60&learning_rate=0.001&losses=mae,huber,log_cosh,tukey,cauchy&seeds=3",
        ),
        Preset(
            "fan",
            N_("Quantiles of a fan"),
            N_(
                "The noise grows to the right: a quantile loss draws the upper edge and is wrong about the middle, on purpose."
            ),
            "dataset=fan&n_train=400&outliers=0&epochs=100&losses=mae,quantile,linex&seeds=3",
        ),
        Preset(
            "diabetes",
            N_("Diabetes (real data)"),
            N_("442 patients, and one target in ten far too high."),
            "dataset=diabetes&n_train=200&outliers=0.1&epochs=40&learning_rate=0.001&width=32&losses=mae,huber,tukey,cauchy&seeds=3",
        ),
        Preset(
            "noisy_labels",
            N_("Wrong labels"),
            N_(
                "A third of the training labels is wrong: cross-entropy learns them by heart, bounded losses give up on them."
            ),
            "dataset=digits&n_train=500&flipped=0.36&width=128&epochs=60&learning_rate=0.001&seeds=3",
        ),
        Preset(
            "rare",
            N_("A rare class"),
            N_("Five in a hundred: weights and focal loss move the decision, not the ranking."),
            "dataset=rare&n_train=1500&n_validation=2000&epochs=15&learning_rate=0.001&class_losses=focal,weighted,hinge&weight=19&seeds=3",
        ),
        Preset(
            "hole",
            N_("A formula with a hole"),
            N_("The squared logarithmic error, on targets that go below −1: not a number in the first epoch."),
            "outliers=0&losses=huber,own&formula=(log(1%2By_true)-log(1%2By_pred))**2&epochs=40&seeds=3",
            goes_wrong=True,
        ),
        Preset(
            "no_pull",
            N_("A loss without pull"),
            N_("Tukey's c of 0.001: nearly every residual is beyond it, the gradient is zero, and nothing is learnt."),
            "dataset=diabetes&n_train=200&outliers=0&losses=huber,tukey&c=0.001&epochs=30&learning_rate=0.001&width=32&seeds=3",
            goes_wrong=True,
        ),
    )

    arm_names = (*REGRESSION_NAMES, *(name for name in CLASS_NAMES if name not in REGRESSION_NAMES))
    held_fixed = N_(
        "net, data, outliers and wrong labels, initial weights, batch order, optimizer, learning rate and number of"
        " epochs; every arm is measured by the same yardstick, in inference mode on the same weights."
    )

    def names(self, settings: CustomLossSettings) -> tuple[str, ...]:
        return REGRESSION_NAMES if settings.kind == "regression" else CLASS_NAMES

    def facts(self, settings: CustomLossSettings) -> list[str]:
        dataset = find_set(settings.dataset)
        facts = [
            _(dataset.label),
            ngettext("{n} training point", "{n} training points", settings.n_train).format(n=plain(settings.n_train)),
        ]
        if settings.kind == "regression" and settings.outliers:
            facts.append(
                _("{share} outliers of {size} sd").format(
                    share=percent(settings.outliers), size=plain(settings.outlier_size)
                )
            )
        if settings.kind == "regression" and settings.target_noise:
            facts.append(_("noise {noise} on targets").format(noise=plain(settings.target_noise)))
        if settings.flipped:
            facts.append(_("{share} of labels wrong").format(share=percent(settings.flipped)))
        if settings.kind == "classification" and settings.kept < 1:
            facts.append(_("{share} of the rare class kept").format(share=percent(settings.kept)))
        facts.append(f"MLP {settings.depth}×{settings.width}")
        facts.append(ngettext("{n} seed", "{n} seeds", settings.seeds).format(n=settings.seeds))
        return facts

    def loss_ceiling(self, spec: LossRun) -> float:
        return math.log(find_set(spec.dataset).classes or math.e)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one experiment lives as long as its process
    def study(self, settings: CustomLossSettings) -> Study:
        arms = [Arm(BASELINE, {}, LOSSES[BASELINES[settings.kind]].title), *self._arms(settings)]
        return Study(self._base(settings), tuple(arms), VARIES, tuple(range(settings.seeds)))

    @functools.lru_cache(maxsize=256)  # noqa: B019
    def regularized(self, settings: CustomLossSettings) -> Study:
        """Set every loss with a regularizer, the baseline's too, against the baseline without."""
        added = {settings.regularizer: min(settings.strength, 0.95)}
        plain_base = LOSSES[BASELINES[settings.kind]].title
        arms = [Arm(arm.name, {**arm.changes, **added}, arm.label, arm.arguments) for arm in self._arms(settings)]
        arms = [Arm(BASELINE, {}, plain_base), *arms, Arm(REGULARIZED, added, plain_base)]
        return Study(self._base(settings), tuple(arms), VARIES | set(added), tuple(range(settings.seeds)))

    def studies(self, settings: CustomLossSettings) -> list[Study]:
        return [self.study(settings), self.regularized(settings), self.forms(settings), self.lessons()]

    @functools.lru_cache(maxsize=256)  # noqa: B019
    def forms(self, settings: CustomLossSettings) -> Study:
        """Set the function form of every loss of this kind, the viewer's own too, beside its class form."""
        kind = settings.kind
        base = _lesson_run(FORMS, "line" if kind == "regression" else "breast_cancer")
        changes = [
            (loss.name, loss.title, {"loss": loss.name}) for loss in of_kind(kind) if loss.name != BASELINES[kind]
        ]
        own = {"loss": OWN, "formula": settings.own_text, "values": write_values(own_values(settings))}
        changes.append((OWN, N_("Your own formula"), own))
        arms = (
            Arm(BASELINE, {}, LOSSES[BASELINES[kind]].title),
            *(Arm(name, change, text) for name, text, change in changes),
        )
        return Study(base, arms, VARIES, (0,))

    @functools.cache  # noqa: B019
    def lessons(self) -> Study:
        """List the lessons, each a run of a second."""
        first, *others = LESSON_NAMES
        arms = (Arm(BASELINE, {}, first), *(Arm(name, {"lesson": name}, name) for name in others))
        return Study(_lesson_run(first, "line"), arms, frozenset({"lesson"}), (0,))

    def _base(self, settings: CustomLossSettings) -> LossRun:
        values = dict(settings)
        idle = settings.idle() | VARIES
        shared = {key: values[key] for key in LossRun.model_fields if key in values and key not in idle}
        if not shared.get("outliers"):
            shared |= {"outliers": 0.0, "outlier_size": 0.0, "side": "up"}
        return LossRun(seed=0, **shared)

    def _arms(self, settings: CustomLossSettings) -> list[Arm]:
        values, arms = dict(settings), []
        for name in settings.chosen:
            if name == OWN:
                changes = {"loss": OWN, "formula": settings.own_text, "values": write_values(own_values(settings))}
                arms.append(Arm(OWN, changes, N_("Your own formula")))
                continue
            loss = LOSSES[name]
            parameters = {key: values[key] for key in loss.parameters}
            changes = {"loss": name, "values": write_values(parameters)}
            arms.append(Arm(name, changes, loss.label, tuple(parameters.items())))
        return arms

    def multiplications(self, spec: LossRun) -> float:
        if spec.lesson:
            return 1e7
        return cost(spec.model_dump() | {"seeds": 1, "losses": (), "class_losses": ()})

    def verdict(self, comparison: Comparison, settings: CustomLossSettings) -> str:
        text = verdict(comparison, at=settings.moment)  # type: ignore[arg-type]
        if not len(comparison.outcomes):
            return text
        if settings.kind == "regression":
            return _("Measured by squared error on clean validation targets: {text}").format(text=lowered(text))
        return _("Measured by cross-entropy on rightly labelled validation points: {text}").format(text=lowered(text))

    def hero_title(self, comparison: Comparison, *, is_alone: bool = False) -> str:
        rows = comparison.outcomes
        if not len(rows):
            return ""
        baseline = label(comparison.baseline)
        if lost := comparison.seeds_with(comparison.baseline, status="diverged"):
            return _("{arm} diverged in {count} of {seeds} runs.").format(
                arm=baseline, count=lost, seeds=len(comparison.study.seeds)
            )
        last = rows[(rows["at"] == "last") & (rows["status"] != "diverged")]
        ends = last.groupby("arm")["validation_loss"].mean()
        others = ends.drop(BASELINE, errors="ignore")
        if is_alone or BASELINE not in ends or not len(others):
            name = BASELINE if BASELINE in ends else ends.idxmin()
            alone = next(arm for arm in comparison.study.arms if arm.name == name)
            return _("{arm} ends at a validation loss of {value}.").format(arm=label(alone), value=number(ends[name]))
        lowest = next(arm for arm in comparison.study.arms if arm.name == others.idxmin())
        return _("{baseline} ends at {value}, the lowest of the others, {arm}, at {other}.").format(
            baseline=baseline, value=number(ends[BASELINE]), arm=label(lowest), other=number(others.min())
        )

    def data(self, spec: LossRun, progress: Progress | None = None) -> Splits:
        dataset, splits = find_set(spec.dataset), _clean_splits(spec, spec.flipped)
        if dataset.kind == "regression":
            return contaminate(
                splits, spec.outliers, spec.outlier_size, spec.target_noise, spec.seed, both=spec.side == "both"
            )
        truth = _clean_splits(spec, 0.0).train.y if spec.flipped else splits.train.y
        return thin_out(splits, truth, rare_class(spec.dataset), spec.kept, spec.seed)

    def train(
        self, spec: LossRun, report: Report, should_stop: Callable[[], bool], progress: Progress | None = None
    ) -> RunResult:
        from core.losses.fits import has_collapsed, taught

        if spec.lesson:
            return taught(spec, *loss_of(spec))
        result = super().train(spec, report, should_stop, progress)
        return type(result)(
            result.info.model_copy(update={"collapsed": has_collapsed(result.frames["scores"])}), result.frames
        )

    def model(self, spec: LossRun) -> keras.Model:
        kind, formula, parameters = loss_of(spec)
        loss = keras_loss(kind, formula, parameters, rare_class(spec.dataset), spec.loss or BASELINES[kind])
        return build_net(spec, find_set(spec.dataset), loss)

    def script(self, settings: CustomLossSettings) -> str:
        from core.losses import script as lossscript

        study = self.study(settings)
        losses = {arm.name: loss_of(study.spec(arm, 0)) for arm in study.arms}  # type: ignore[arg-type]
        parts = [draw_rows, _draw_rare, contaminate, thin_out, build_net]
        return lossscript.write(
            settings.query(), study, find_set(settings.dataset), losses, parts, rare_class(settings.dataset)
        )

    def data_loss(self, spec: LossRun, model: keras.Model) -> keras.losses.Loss:
        import keras

        if find_set(spec.dataset).kind == "regression":
            return keras.losses.MeanSquaredError()
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def frames(self, spec: LossRun, model: keras.Model, splits: Splits) -> Mapping[str, pd.DataFrame]:
        from core.losses.fits import measure

        clean = self.data(spec.model_copy(update={"flipped": 0.0, "outliers": 0.0, "target_noise": 0.0})).train
        return measure(spec, find_set(spec.dataset), model, splits, clean, rare_class(spec.dataset))


def _clean_splits(spec: LossRun, flipped: float) -> Splits:
    from core.datasets.loaders import split

    dataset = find_set(spec.dataset)
    x, y = load_rows(dataset)
    return split(
        dataset, x, y, n_train=spec.n_train, n_validation=spec.n_validation, seed=spec.seed, flipped=flipped
    )  # fmt: skip


def build_net(spec: LossRun, dataset: Dataset, loss: keras.losses.Loss) -> keras.Model:
    """Build and compile the net of a run; arms of one seed start from equal weights."""
    import keras

    penalty = keras.regularizers.L2(spec.l2) if spec.l2 else None

    def dense(units: int, layer: int, activation: str | None) -> keras.layers.Dense:
        # A seed of its own for every layer, so that a dropout layer between does not shift the next one's.
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=1_000 * spec.seed + layer),
            kernel_regularizer=penalty,
        )

    inputs = outputs = keras.Input((dataset.inputs,))
    for layer in range(spec.depth):
        outputs = dense(spec.width, layer, "relu")(outputs)
        if spec.dropout:
            outputs = keras.layers.Dropout(spec.dropout, seed=1_000 * spec.seed + 500 + layer)(outputs)
    outputs = dense(dataset.outputs, spec.depth, None)(outputs)
    model = keras.Model(inputs, outputs)
    optimizers = {
        "adam": lambda: keras.optimizers.Adam(spec.learning_rate),
        "sgd": lambda: keras.optimizers.SGD(spec.learning_rate),
        "momentum": lambda: keras.optimizers.SGD(spec.learning_rate, momentum=0.9),
        "rmsprop": lambda: keras.optimizers.RMSprop(spec.learning_rate),
    }
    model.compile(optimizer=optimizers[spec.optimizer](), loss=loss, jit_compile=False)
    return model


def load_rows(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Load a data set of scikit-learn, or draw one of this page's own."""
    if dataset.name in DATASETS or dataset.name.startswith(OWN_PREFIX):
        from core.datasets.loaders import load

        return load(dataset)
    return draw_rows(dataset.name, dataset.n)


def draw_rows(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `n` rows of a set from a fixed generator: inputs (N, F), and values or classes (N,).

    `wave` is sin 3x with noise of 0.15, `line` 2x + 1 with noise of 0.3; `fan` is sin 3x with noise of
    0.1 + 0.25 (x + 1); `friedman` is Friedman (1991), eq. 61, with unit noise; `rare` has one row in 20
    of class 1, around two of four centres on a cube's corners, with eight inputs that say nothing.
    """
    rng = np.random.default_rng(20_240_301)
    noise = rng.standard_normal(n)
    if name == "rare":
        return _draw_rare(n, rng)
    if name == "friedman":
        x = rng.uniform(size=(n, 10))
        y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4] + noise
        return x, y
    x = rng.uniform(-1, 1, n)
    if name == "line":
        return x[:, None], 2 * x + 1 + 0.3 * noise
    spread = 0.15 if name == "wave" else 0.1 + 0.25 * (x + 1)
    return x[:, None], np.sin(3 * x) + spread * noise


def _draw_rare(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = (np.arange(n) % 20 == 0).astype("int64")
    centres = rng.choice([-0.9, 0.9], size=(2, 2, 12))
    which = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 20))
    x[:, :12] += 0.75 * centres[labels, which]
    return x, labels


def contaminate(splits: Splits, share: float, size: float, noise: float, seed: int, *, both: bool = False) -> Splits:
    """Move a share of the training targets away, and add noise to all of them.

    Args:
        splits: Of one seed; targets are standardized by the training rows.
        share, size: Share of the targets, and their mean shift; it varies with a standard deviation of a quarter.
        noise: Standard deviation of Gaussian noise on every training target.
        both: Whether half of the outliers go down.

    Returns:
        The splits with other training targets, and the `prior_loss` of the best constant among them.
    """
    y = splits.train.y.astype(float)
    rng = np.random.default_rng([seed, 14])
    moved = rng.permutation(len(y))[: round(share * len(y))]
    shift = size + size / 4 * rng.standard_normal(len(moved))
    if both:
        shift *= np.where(np.arange(len(moved)) % 2, -1.0, 1.0)
    dirty = y + noise * np.random.default_rng([seed, 15]).standard_normal(y.shape)
    dirty[moved, 0] += shift
    return replace(splits, train=replace(splits.train, y=dirty.astype("float32")), prior_loss=float(dirty.var()))


def thin_out(splits: Splits, truth: np.ndarray, rare: int, kept: float, seed: int) -> Splits:
    """Keep a share of the rare class in every part but the test part; at least two points of it.

    Args:
        splits: Of one seed.
        truth: The right labels of the training part, which decide what is rare there.
        rare, kept: The class, and the share of its points that stay.
        seed: Decides which.
    """
    if kept >= 1:
        return splits
    rng = np.random.default_rng([seed, 16])

    def thinned(part, labels):
        places = np.flatnonzero(labels == rare)
        dropped = rng.permutation(places)[max(2, round(kept * len(places))) :]
        rows = np.setdiff1d(np.arange(len(labels)), dropped)
        return replace(part, x=part.x[rows], y=part.y[rows])

    train = thinned(splits.train, truth)
    validation, stopping = (thinned(part, part.y) for part in (splits.validation, splits.stopping))
    shares = np.bincount(train.y) / len(train.y)
    prior = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return replace(splits, train=train, validation=validation, stopping=stopping, prior_loss=prior)


EXPERIMENT = CustomLoss()
