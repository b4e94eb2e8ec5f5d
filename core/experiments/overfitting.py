"""What does regularization buy? One net, one data set, one regularizer an arm.

Imports no TensorFlow at module level: pages read the declarations, workers call `data` and `model`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from core.crossvalidation import CrossValidation
from core.datasets import find
from core.experiments import Experiment, Observer, Preset, Series
from core.fields import (
    ARMS,
    VIEW,
    BatchSize,
    DatasetName,
    Depth,
    Epochs,
    FlippedLabels,
    InputNoise,
    LearningRate,
    Moment,
    Optimizer,
    Seeds,
    Smoothing,
    TrainingPoints,
    ValidationPoints,
    Width,
    unused_strengths,
)
from core.i18n import N_, _, ngettext, percent, plain
from core.nets import build_loss, build_model, build_optimizer
from core.settings import Choice, Choices, Integer, Problem, Real, Settings
from core.spec import RunSpec
from core.study import BASELINE, Arm, Study
from core.teaching.overfitting import LESSONS, TASKS
from core.work import MAX_MULTIPLICATIONS, cost

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from core.datasets.loaders import Progress, Splits


ARM_LABELS = {
    "l1": N_("L1"),
    "l2": N_("L2"),
    "l1_l2": N_("L1 + L2"),
    "dropout": N_("Dropout"),
    "early_stopping": N_("Early stopping"),
    "l2_dropout": N_("L2 + dropout"),
    "weight_decay": N_("Weight decay"),
    "max_norm": N_("Max-norm"),
    "batch_norm": N_("Batch normalization"),
    "gaussian_noise": N_("Gaussian noise"),
    "label_smoothing": N_("Label smoothing"),
    "augmentation": N_("Augmentation"),
    "cosine_decay": N_("Cosine decay"),
}
SWEPT_STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
SWEPT_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SIZES = (50, 100, 200, 400, 800, 1_600)
NETS = ((16, 1), (64, 2), (256, 2), (512, 4))  # width and depth: tiny, small, medium, large
STRENGTHS = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)


class OverfittingSettings(Settings):
    """Everything that a viewer of the page can turn."""

    dataset: DatasetName = "digits"
    n_train: TrainingPoints = 300
    flipped: FlippedLabels = 0.2
    noise: InputNoise = 0.0
    n_validation: ValidationPoints = 1_000
    width: Width = 256
    depth: Depth = 2
    arms: Annotated[
        tuple[str, ...],
        Choices(
            N_("Compare with the baseline"),
            N_("Each runs on the same data, initial weights and batch order as the unregularized baseline."),
            ARMS,
            options=ARM_LABELS,
        ),
    ] = ("l1", "l2", "dropout", "early_stopping")
    l1: Annotated[
        float,
        Real(
            N_("L1 strength λ"),
            N_("Adds λ·Σ|w| over the weights of each layer to what is minimized."),
            ARMS, low=0.0, high=10.0, marks=STRENGTHS,
        ),
    ] = 1e-3  # fmt: skip
    l2: Annotated[
        float,
        Real(
            N_("L2 strength λ"),
            N_("Adds λ·Σw² (Keras' form, without the factor ½) to what is minimized."),
            ARMS, low=0.0, high=10.0, marks=STRENGTHS,
        ),
    ] = 1e-2  # fmt: skip
    dropout: Annotated[
        float,
        Real(
            N_("Dropout rate"),
            N_("Share of hidden outputs set to zero anew each step, in training only; the rest is scaled by 1/(1−rate)."),
            ARMS, low=0.0, high=0.95, marks=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
    ] = 0.5  # fmt: skip
    patience: Annotated[
        int,
        Integer(
            N_("Patience"),
            N_("Early stopping ends after this many epochs without a better loss on a split of its own, and restores the best weights."),
            ARMS, low=1, high=500,
        ),
    ] = 10  # fmt: skip
    weight_decay: Annotated[
        float,
        Real(
            N_("Weight decay"),
            N_("Decoupled: each step shrinks the weights by learning rate × this, outside the loss."),
            ARMS, low=0.0, high=100.0, marks=(0.0, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
        ),
    ] = 1.0  # fmt: skip
    max_norm: Annotated[
        float,
        Real(
            N_("Max-norm"),
            N_("Largest allowed norm of the weights into one unit; a hard limit, not a penalty."),
            ARMS, low=0.01, high=100.0, marks=(0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
        ),
    ] = 1.0  # fmt: skip
    gaussian_noise: Annotated[
        float,
        Real(
            N_("Gaussian noise σ"),
            N_("Standard deviation of noise added to the inputs anew each step, in training only."),
            ARMS, low=0.0, high=3.0, marks=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0),
        ),
    ] = 0.3  # fmt: skip
    label_smoothing: Annotated[
        float,
        Real(
            N_("Label smoothing ε"),
            N_("Trains toward (1−ε)·label + ε/K instead of the label; for classification."),
            ARMS, low=0.0, high=0.9, marks=(0.05, 0.1, 0.2, 0.3, 0.5),
        ),
    ] = 0.1  # fmt: skip
    augmentation: Annotated[
        float,
        Real(
            N_("Augmentation"),
            N_("Shifts each training image by up to this share of its side and turns it by up to a third of it of a full turn; for images."),
            ARMS, low=0.0, high=0.5, marks=(0.05, 0.1, 0.15, 0.2, 0.3),
        ),
    ] = 0.1  # fmt: skip
    epochs: Epochs = 100
    batch_size: BatchSize = 32
    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 1e-3
    seeds: Seeds = 5
    moment: Moment = "last"
    along: Annotated[
        str,
        Choice(
            N_("Repeat along"),
            N_("The setting along which the comparison is repeated, in the first tab of the depth section."),
            VIEW,
            options={
                "l2": N_("L2 strength λ"),
                "l1": N_("L1 strength λ"),
                "dropout": N_("Dropout rate"),
                "n_train": N_("Training points"),
                "capacity": N_("Size of the net"),
            },
        ),
    ] = "l2"
    cv_folds: Annotated[
        int,
        Integer(
            N_("Folds"),
            N_("Parts into which cross-validation cuts the training points to choose a strength."),
            VIEW, low=2, high=10,
        ),
    ] = 5  # fmt: skip
    smoothing: Smoothing = 0.0

    def idle(self) -> frozenset[str]:
        return unused_strengths(ARMS_CHANGE, self.arms)

    def limits(self) -> dict[str, tuple[int, int]]:
        return {"n_train": (10, min(10_000, find(self.dataset).max_train))}

    @classmethod
    def resolve(cls, values: dict[str, Any], given) -> dict[str, Any]:
        if "n_train" not in given:
            values = values | {"n_train": min(values["n_train"], find(values["dataset"]).max_train)}
        return values

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> list[Problem]:
        dataset = find(values["dataset"])
        if values["n_train"] > dataset.max_train:
            phrase = N_("at most {limit} training points, which is what {dataset} has")
            arguments = (("limit", dataset.max_train), ("dataset", dataset.name))
            return [Problem("n_train", phrase, str(values["n_train"]), arguments)]
        if unfit := _unfit(values):
            phrase = N_("regularizers that fit the data: label smoothing needs classes, augmentation images")
            return [Problem("arms", phrase, ",".join(unfit))]
        if cost(values) > MAX_MULTIPLICATIONS:
            phrase = N_("a study of at most half an hour: fewer epochs, seeds, units, layers or points")
            return [Problem("epochs", phrase, str(values["epochs"]))]
        return []

    @classmethod
    def repair(cls, values: dict[str, Any]) -> dict[str, Any]:
        dataset = find(values["dataset"])
        repaired = values | {"n_train": min(values["n_train"], dataset.max_train)}
        repaired["arms"] = tuple(arm for arm in values["arms"] if arm not in _unfit(values)) or ("l2",)
        excess = cost(repaired) / MAX_MULTIPLICATIONS
        if excess > 1:
            repaired["epochs"] = max(1, int(repaired["epochs"] / excess))
        if cost(repaired) > MAX_MULTIPLICATIONS:
            defaults = {
                key: cls.model_fields[key].default for key in ("n_train", "width", "depth", "batch_size", "epochs")
            }
            repaired |= defaults | {"n_train": min(defaults["n_train"], dataset.max_train)}
        return repaired


class OverfittingRun(RunSpec):
    """One net trained with at most a few regularizers; 0 switches each off."""

    experiment = "overfitting"
    recipe = 2
    outside_model = frozenset(
        {"seed", "n_train", "n_validation", "flipped", "noise", "epochs", "patience", "folds", "fold", "is_final"}
    )

    dataset: str
    n_train: int
    n_validation: int
    flipped: float
    noise: float
    width: int
    depth: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    weight_decay: float = 0.0
    max_norm: float = 0.0
    patience: int = 0
    batch_norm: bool = False
    gaussian_noise: float = 0.0
    label_smoothing: float = 0.0
    augmentation: float = 0.0
    cosine_decay: bool = False
    folds: int = 0
    fold: int = 0
    is_final: bool = False

    @property
    def model_key(self) -> str:
        # The schedule counts the steps of the whole training; they are constants of the graph.
        return super().model_key + (f" {self.epochs} {self.n_train}" if self.cosine_decay else "")


REGULARIZERS = frozenset(
    {
        "l1", "l2", "dropout", "weight_decay", "max_norm", "patience",
        "batch_norm", "gaussian_noise", "label_smoothing", "augmentation", "cosine_decay",
    }
)  # fmt: skip
SWITCHES = frozenset({"batch_norm", "cosine_decay"})  # on or off, without a strength

# Which fields an arm sets from the setting of the same name, and how its label names the strengths.
ARMS_CHANGE: dict[str, tuple[tuple[str, ...], str]] = {
    "l1": (("l1",), N_("L1 {l1}")),
    "l2": (("l2",), N_("L2 {l2}")),
    "l1_l2": (("l1", "l2"), N_("L1 {l1} + L2 {l2}")),
    "dropout": (("dropout",), N_("Dropout {dropout}")),
    "early_stopping": (("patience",), N_("Early stopping")),
    "l2_dropout": (("l2", "dropout"), N_("L2 {l2} + dropout {dropout}")),
    "weight_decay": (("weight_decay",), N_("Weight decay {weight_decay}")),
    "max_norm": (("max_norm",), N_("Max-norm {max_norm}")),
    "batch_norm": (("batch_norm",), N_("Batch normalization")),
    "gaussian_noise": (("gaussian_noise",), N_("Gaussian noise {gaussian_noise}")),
    "label_smoothing": (("label_smoothing",), N_("Label smoothing {label_smoothing}")),
    "augmentation": (("augmentation",), N_("Augmentation {augmentation}")),
    "cosine_decay": (("cosine_decay",), N_("Cosine decay")),
}


# What each remedy does, in a sentence and a formula (LaTeX).
EXPLAINED: dict[str, tuple[str, str]] = {
    "l1": (
        N_("A penalty on the sum of sizes pulls every weight toward zero by the same amount."),
        r"\min_w \; L(w) + \lambda \sum |w|",
    ),
    "l2": (
        N_("A penalty on the sum of squares pulls each weight toward zero in proportion to its size."),
        r"\min_w \; L(w) + \lambda \sum w^2",
    ),
    "l1_l2": (N_("Both penalties together."), r"\min_w \; L(w) + \lambda_1 \sum |w| + \lambda_2 \sum w^2"),
    "dropout": (
        N_("Outputs are switched off at random in training, the others scaled up; inference uses them all."),
        r"\tilde h = \frac{m \odot h}{1 - p}, \quad m_i \sim \mathrm{Bernoulli}(1 - p)",
    ),
    "early_stopping": (
        N_("Training ends when the loss on a split of its own no longer falls, and the best weights are restored."),
        r"t^* = \arg\min_t L_{\mathrm{stop}}(w_t)",
    ),
    "l2_dropout": (
        N_("The penalty on squares and dropout together."),
        r"\min_w \; L(w; m) + \lambda \sum w^2",
    ),
    "weight_decay": (
        N_("Each step shrinks the weights, outside the loss; under Adam this is not the same as L2."),
        r"w \leftarrow w - \eta\,\Delta - \eta \lambda w",
    ),
    "max_norm": (
        N_("A hard limit instead of a penalty: weights into a unit that grow beyond it are scaled back."),
        r"\lVert w_j \rVert_2 \le c",
    ),
    "batch_norm": (
        N_(
            "Inputs of each unit are standardized within the batch; the batch's chance is a noise that regularizes a little."
        ),
        r"\hat z = \gamma \frac{z - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}} + \beta",
    ),
    "gaussian_noise": (
        N_("Inputs are disturbed anew in each step, so that no training point can be learnt exactly."),
        r"\tilde x = x + \sigma \varepsilon, \quad \varepsilon \sim \mathcal N(0, 1)",
    ),
    "label_smoothing": (
        N_("Targets are less than certain, so that no logit pays for growing without end."),
        r"\tilde y = (1 - \varepsilon)\, y + \varepsilon / K",
    ),
    "augmentation": (
        N_("Training images are shifted and turned at random: more data of the same kind, for free."),
        r"\tilde x = T(x), \quad T \sim p(T)",
    ),
    "cosine_decay": (
        N_("The learning rate falls to zero along half a cosine: large steps first, small ones to settle."),
        r"\eta_t = \tfrac{\eta_0}{2} \left(1 + \cos \frac{\pi t}{T}\right)",
    ),
}


def _unfit(values: Mapping[str, Any]) -> list[str]:
    """List the chosen arms that the data set has no use for."""
    dataset = find(values["dataset"])
    unfit = [] if dataset.classes else ["label_smoothing"]
    unfit += [] if len(dataset.shape) > 1 else ["augmentation"]
    return [arm for arm in values["arms"] if arm in unfit]


class Overfitting(Experiment):
    """The page that asks what regularization buys."""

    name = "overfitting"
    title = N_("Overfitting")
    question = N_("What does regularization buy?")
    summary = N_(
        "One net learns its training points by heart; each arm tries one remedy, on the same data and weights."
    )
    icon = ":material/stacked_line_chart:"
    order = 10
    settings = OverfittingSettings
    spec = OverfittingRun
    presets = (
        Preset(
            "noisy_digits",
            N_("Noisy digits"),
            N_(
                "300 digits, every fifth label wrong: the net learns the mistakes by heart, and its validation loss turns up."
            ),
        ),
        Preset(
            "clean_digits",
            N_("Clean digits"),
            N_("Without wrong labels a net twice too large still does well: hardly anything to cure."),
            "n_train=200&flipped=0",
        ),
        Preset(
            "too_much",
            N_("Too much of it"),
            N_(
                "λ = 1 and a dropout rate of 0.95: the penalty outweighs the data, and the net answers the same for every input."
            ),
            "arms=l1,l2,dropout&l1=1&l2=1&dropout=0.95",
            goes_wrong=True,
        ),
        Preset(
            "moons",
            N_("Moons"),
            N_("Two noisy half-moons and 100 points: a boundary that wriggles around single points."),
            "dataset=moons&n_train=100&noise=0.3&flipped=0.1&epochs=400",
        ),
        Preset(
            "breast_cancer",
            N_("Breast cancer"),
            N_("Thirty measurements of a tumour, 100 patients, one label in ten wrong."),
            "dataset=breast_cancer&n_train=100&flipped=0.1&arms=l2,dropout,early_stopping,l2_dropout",
        ),
        Preset(
            "further",
            N_("Five further remedies"),
            N_("Noise, shifted and turned images, smoothed labels, normalized batches, a falling learning rate."),
            "arms=batch_norm,gaussian_noise,label_smoothing,augmentation,cosine_decay",
        ),
        Preset(
            "diabetes",
            N_("Diabetes (regression)"),
            N_("A regression with little signal: stopping early matters more than anything else."),
            "dataset=diabetes&n_train=200&flipped=0&arms=l1,l2,dropout,early_stopping,max_norm",
        ),
        Preset(
            "diverges",
            N_("Learning rate far too high"),
            N_("A learning rate of 10 with plain SGD: the loss explodes and no regularizer can save it."),
            "optimizer=sgd&learning_rate=10&epochs=20&arms=l2,dropout",
            goes_wrong=True,
        ),
    )

    arm_names = (BASELINE, *ARM_LABELS)
    held_fixed = N_(
        "net, data, wrong labels, initial weights, batch order, optimizer, learning rate and number of epochs;"
        " both losses are data losses in inference mode on the same weights."
    )

    corrections = LESSONS
    tasks = TASKS

    def facts(self, settings: OverfittingSettings) -> list[str]:
        dataset = find(settings.dataset)
        facts = [
            _(dataset.label),
            ngettext("{n} training point", "{n} training points", settings.n_train).format(n=plain(settings.n_train)),
        ]
        if settings.flipped:
            facts.append(_("{share} of labels wrong").format(share=percent(settings.flipped)))
        if settings.noise:
            facts.append(_("input noise {noise}").format(noise=plain(settings.noise)))
        facts.append(f"MLP {settings.depth}×{settings.width}")
        facts.append(ngettext("{n} seed", "{n} seeds", settings.seeds).format(n=settings.seeds))
        return facts

    def loss_ceiling(self, spec: OverfittingRun) -> float:
        return math.log(find(spec.dataset).classes or math.e)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one experiment lives as long as its process
    def study(self, settings: OverfittingSettings) -> Study:
        values = dict(settings)
        shared = {key: values[key] for key in OverfittingRun.model_fields if key in values and key not in REGULARIZERS}
        arms = [Arm(BASELINE, {}, N_("No regularization"))]
        for name in settings.arms:
            fields, label = ARMS_CHANGE[name]
            changes = {field: True if field in SWITCHES else values[field] for field in fields}
            strengths = tuple((field, value) for field, value in changes.items() if field not in SWITCHES)
            arms.append(Arm(name, changes, label, strengths))
        return Study(OverfittingRun(seed=0, **shared), tuple(arms), REGULARIZERS, tuple(range(settings.seeds)))

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def series(self, settings: OverfittingSettings) -> Series:
        """Repeat the study along the setting that `along` names; strengths one regularizer at a time."""
        field = settings.along
        if field == "n_train":
            sizes = [n for n in SIZES if n <= find(settings.dataset).max_train]
            return Series(
                field, N_("Training points"), True, self._along(settings, [(n, {"n_train": n}) for n in sizes])
            )
        if field == "capacity":
            nets = [(width * depth, {"width": width, "depth": depth}) for width, depth in NETS]
            marks = tuple(f"{depth}×{width}" for width, depth in NETS)
            return Series(field, N_("Hidden units (layers × width)"), True, self._along(settings, nets), marks)
        values = SWEPT_RATES if field == "dropout" else SWEPT_STRENGTHS
        points = self._along(settings, [(value, {field: value, "arms": (field,)}) for value in values])
        axis = N_("Dropout rate") if field == "dropout" else N_("Strength λ")
        return Series(field, axis, field != "dropout", points)

    def _along(self, settings: OverfittingSettings, changes) -> tuple[tuple[float, Study], ...]:
        return tuple((value, self.study(settings.model_copy(update=change))) for value, change in changes)

    def studies(self, settings: OverfittingSettings) -> list[Study]:
        return [self.study(settings), *(study for _value, study in self.series(settings).points)]

    def multiplications(self, spec: OverfittingRun) -> float:
        return cost(spec.model_dump() | {"seeds": 1, "arms": ()})

    def data(self, spec: OverfittingRun, progress: Progress | None = None) -> Splits:
        from core.datasets.loaders import load, split

        dataset = find(spec.dataset)
        x, y = load(dataset, progress)
        return split(
            dataset, x, y,
            n_train=spec.n_train, n_validation=spec.n_validation, seed=spec.seed,
            flipped=spec.flipped, noise=spec.noise, folds=spec.folds, fold=spec.fold,
        )  # fmt: skip

    def model(self, spec: OverfittingRun) -> keras.Model:
        return build_model(spec, find(spec.dataset))

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def cross_validation(self, settings: OverfittingSettings) -> CrossValidation:
        """Cut the training points of the first seed into folds, for every strength of the swept regularizer."""
        field = settings.along if settings.along in ("l1", "l2", "dropout") else "l2"
        base = self.study(settings).base
        strengths = (0.0, *(SWEPT_RATES if field == "dropout" else SWEPT_STRENGTHS))
        runs = {
            (strength, fold): base.model_copy(update={field: strength, "folds": settings.cv_folds, "fold": fold})
            for fold in range(settings.cv_folds)
            for strength in strengths
        }
        axis = N_("Dropout rate") if field == "dropout" else N_("Strength λ")
        return CrossValidation(field, axis, field != "dropout", settings.cv_folds, runs)

    def final_pairs(self, settings: OverfittingSettings, strength: float) -> list[tuple[RunSpec, RunSpec]]:
        """Pair the unregularized net with the chosen one, on all training points, seed by seed."""
        base, field = self.study(settings).base, self.cross_validation(settings).field
        finals = [base.model_copy(update={"seed": seed, "is_final": True}) for seed in range(settings.seeds)]
        return [(spec, spec.model_copy(update={field: strength})) for spec in finals]

    def recorded(self, settings: OverfittingSettings) -> dict[str, RunSpec]:
        folds = {spec.digest: spec for spec in self.cross_validation(settings).runs.values()}
        return super().shown(settings) | folds | self.lesson_runs()

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def shown(self, settings: OverfittingSettings) -> dict[str, RunSpec]:
        strengths = {strength for strength, _fold in self.cross_validation(settings).runs} - {0.0}
        finals = {
            spec.digest: spec
            for strength in strengths
            for pair in self.final_pairs(settings, strength)
            for spec in pair
        }
        return self.recorded(settings) | finals

    def observer(self, spec: OverfittingRun, splits: Splits) -> Observer | None:
        from core.inspection import BoundaryWatcher

        is_plane = find(spec.dataset).classes == 2 and find(spec.dataset).inputs == 2
        return BoundaryWatcher(spec.epochs, splits) if is_plane and spec.seed == 0 else None

    def frames(self, spec: OverfittingRun, model: keras.Model, splits: Splits) -> dict[str, pd.DataFrame]:
        from core.inspection import dropout_activations, measure_test_loss, weight_histogram

        frames = {"weights": weight_histogram(model)}
        if spec.is_final:
            frames["test"] = measure_test_loss(model, self.data_loss(spec, model), splits)
        if spec.dropout and spec.seed == 0:
            frames["activations"] = dropout_activations(model, splits.validation.x)
        return frames

    def script_parts(self) -> list[Any]:
        return [build_model, build_optimizer, build_loss]

    def data_loss(self, spec: OverfittingRun, model: keras.Model) -> keras.losses.Loss:
        return build_loss(find(spec.dataset).kind)


EXPERIMENT = Overfitting()
