"""Which mistakes does a metric forgive? Regularized against unregularized nets on rare positives, by every metric.

Imports no TensorFlow at module level: pages read the declarations, workers call `data`, `model` and `train`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from core.datasets import find_own
from core.datasets.imbalanced import TASKS, find_task
from core.experiments import Experiment, Observer, Preset, Report
from core.fields import (
    ARMS,
    DATA,
    VIEW,
    BatchSize,
    DatasetChoice,
    Depth,
    Epochs,
    FlippedLabels,
    InputNoise,
    LearningRate,
    Optimizer,
    Seeds,
    Smoothing,
    TrainingPoints,
    Width,
    unused_strengths,
)
from core.formula import MAX_LENGTH
from core.i18n import N_, _, ngettext, percent, plain
from core.metrics import METRICS
from core.metrics import own as own_metric
from core.metrics.tasks import TASKS as PREDICTIONS
from core.settings import Choice, Choices, Integer, Problem, Real, Settings, Text, shorten
from core.spec import RunSpec
from core.study import BASELINE, Arm, Study
from core.work import MAX_MULTIPLICATIONS

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from core.comparison import Comparison
    from core.datasets.loaders import Progress, Splits
    from core.result import RunResult


MIN_TRAIN = 10
STRENGTHS = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)
COSTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1_000.0)
LESSON_COST = 8e11  # as long as the lessons take, in multiply-adds
COST = N_("Threshold and cost")

ARM_LABELS = {
    "l2": N_("L2"),
    "dropout": N_("Dropout"),
    "early_stopping": N_("Early stopping"),
    "class_weights": N_("Class weights"),
    "l2_dropout": N_("L2 + dropout"),
    "weights_dropout": N_("Class weights + dropout"),
}

# Which fields an arm sets, and how its label names the strengths.
ARMS_CHANGE: dict[str, tuple[tuple[str, ...], str]] = {
    "l2": (("l2",), N_("L2 {l2}")),
    "dropout": (("dropout",), N_("Dropout {dropout}")),
    "early_stopping": (("patience",), N_("Early stopping")),
    "class_weights": (("class_weight",), N_("Class weights ×{class_weight}")),
    "l2_dropout": (("l2", "dropout"), N_("L2 {l2} + dropout {dropout}")),
    "weights_dropout": (("class_weight", "dropout"), N_("Class weights ×{class_weight} + dropout {dropout}")),
}
REGULARIZERS = frozenset({"l2", "dropout", "patience", "class_weight"})


class MetricsSettings(Settings):
    """Everything that a viewer of the page can turn."""

    dataset: Annotated[
        str,
        DatasetChoice(
            N_("Data set"),
            N_("Two classes, one of them rare; or your own file, one class against the rest."),
            DATA,
            options={name: task.label for name, task in TASKS.items()},
            kind="classification",
        ),
    ] = "digits"
    positive: Annotated[
        int,
        Integer(
            N_("Positive class"),
            N_(
                "The digit that is set against the others, or the class of your own file by its number from 0, in alphabetical order."
            ),
            DATA,
            low=0,
            high=19,
        ),
    ] = 8
    share: Annotated[
        float,
        Real(
            N_("Share of positives"),
            N_(
                "Rows of the commoner class stay, the other is thinned until positives make up this share, in every split."
            ),
            DATA,
            low=0.02,
            high=0.5,
            marks=(0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5),
        ),
    ] = 0.05
    n_train: TrainingPoints = 400
    flipped: FlippedLabels = 0.1
    noise: InputNoise = 0.0
    width: Width = 128
    depth: Depth = 2
    arms: Annotated[
        tuple[str, ...],
        Choices(
            N_("Compare with the baseline"),
            N_("Each runs on the same data, initial weights and batch order as the unregularized baseline."),
            ARMS,
            options=ARM_LABELS,
        ),
    ] = ("l2", "dropout", "early_stopping", "class_weights")
    l2: Annotated[
        float,
        Real(
            N_("L2 strength λ"),
            N_("Adds λ·Σw² (Keras' form, without the factor ½) to what is minimized."),
            ARMS,
            low=0.0,
            high=10.0,
            marks=STRENGTHS,
        ),
    ] = 1e-2
    dropout: Annotated[
        float,
        Real(
            N_("Dropout rate"),
            N_(
                "Share of hidden outputs set to zero anew each step, in training only; the rest is scaled by 1/(1−rate)."
            ),
            ARMS,
            low=0.0,
            high=0.95,
            marks=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
    ] = 0.5
    patience: Annotated[
        int,
        Integer(
            N_("Patience"),
            N_(
                "Early stopping ends after this many epochs without a better loss on a split of its own, and restores the best weights."
            ),
            ARMS,
            low=1,
            high=500,
        ),
    ] = 10
    balance: Annotated[
        float,
        Real(
            N_("Balance of class weights"),
            N_(
                "How far a positive's weight in the minimized loss goes: 0 leaves it at 1, 1 makes both classes weigh the same."
            ),
            ARMS,
            low=0.0,
            high=1.5,
            marks=(0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
        ),
    ] = 1.0
    epochs: Epochs = 60
    batch_size: BatchSize = 32
    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 1e-3
    seeds: Seeds = 8
    explored: Annotated[
        str,
        Choice(
            N_("Arm"),
            N_("The arm whose threshold and epochs the depth section explores; the baseline where it is not compared."),
            COST,
            options={BASELINE: N_("No regularization"), **ARM_LABELS},
        ),
    ] = "dropout"
    threshold: Annotated[
        float,
        Real(
            N_("Threshold"),
            N_("From this probability on a row is called positive."),
            COST,
            low=0.0,
            high=1.0,
        ),
    ] = 0.5
    goal: Annotated[
        str,
        Choice(
            N_("Choose it for"),
            N_("What the threshold that is chosen on validation, and reported on test, is best in."),
            COST,
            options={
                "cost": N_("lowest expected cost"),
                "f1": N_("highest F1"),
                "mcc": N_("highest MCC"),
                "balanced_accuracy": N_("highest balanced accuracy"),
            },
        ),
    ] = "cost"
    cost_fn: Annotated[
        float,
        Real(
            N_("Cost of a missed positive"),
            N_("In any unit; what counts is the ratio."),
            COST,
            low=0.0,
            high=1_000.0,
            marks=COSTS,
        ),
    ] = 10.0
    cost_fp: Annotated[
        float,
        Real(
            N_("Cost of a false alarm"),
            N_("In any unit; what counts is the ratio."),
            COST,
            low=0.0,
            high=1_000.0,
            marks=COSTS,
        ),
    ] = 1.0
    cost_tp: Annotated[
        float,
        Real(
            N_("Cost of a found positive"),
            N_("Such as a treatment that is right."),
            COST,
            folded=True,
            low=0.0,
            high=1_000.0,
            marks=COSTS,
        ),
    ] = 0.0
    cost_tn: Annotated[
        float,
        Real(
            N_("Cost of a spared negative"),
            N_("Usually nothing."),
            COST,
            folded=True,
            low=0.0,
            high=1_000.0,
            marks=COSTS,
        ),
    ] = 0.0
    own: Annotated[
        str,
        Text(
            N_("Your own metric"),
            N_("A formula over y_true, y_pred, tp, fp, fn and tn; it is read, never executed as code."),
            VIEW,
            limit=MAX_LENGTH,
            check=own_metric.check,
        ),
    ] = own_metric.EXAMPLES["jaccard"]
    metric: Annotated[
        str,
        Choice(
            N_("Metric over epochs"),
            N_("The metric that the tab on epochs draws for every arm."),
            VIEW,
            options={name: metric.label for name, metric in METRICS.items()},
        ),
    ] = "f1"
    smoothing: Smoothing = 0.0

    @property
    def moment(self) -> str:
        """Compare the weights that a run ends with, the only ones whose predictions are kept."""
        return "last"

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> list[Problem]:
        last = len(find_task(values["dataset"]).positives) - 1
        if values["positive"] > last > 0:
            phrase = N_("a class from 0 to {last}, of those that {dataset} has")
            arguments: tuple[tuple[str, object], ...] = (("last", last), ("dataset", values["dataset"]))
            return [Problem("positive", phrase, str(values["positive"]), arguments)]
        most = train_rows(values)
        if most < MIN_TRAIN:
            phrase = N_("a share and a class that leave at least {limit} training points")
            return [Problem("share", phrase, str(values["share"]), (("limit", MIN_TRAIN),))]
        if values["n_train"] > most:
            phrase = N_("at most {limit} training points, which is what {dataset} has at this share of positives")
            arguments = (("limit", most), ("dataset", values["dataset"]))
            return [Problem("n_train", phrase, str(values["n_train"]), arguments)]
        if cost(values) > MAX_MULTIPLICATIONS:
            phrase = N_("a study of at most half an hour: fewer epochs, seeds, units, layers or points")
            return [Problem("epochs", phrase, str(values["epochs"]))]
        return []

    @classmethod
    def resolve(cls, values: dict[str, Any], given) -> dict[str, Any]:
        if values["dataset"] not in TASKS:  # a viewer's own: the rarest class as it is, unless something else is asked
            task = find_task(values["dataset"])
            positive = values["positive"] if "positive" in given else task.rarest
            natural = task.positives[min(positive, len(task.positives) - 1)] / task.n
            share = values["share"] if "share" in given else min(0.5, max(0.02, round(natural, 3)))
            values = values | {"positive": positive, "share": share}
        return values if "n_train" in given else values | {"n_train": min(values["n_train"], train_rows(values))}

    @classmethod
    def repair(cls, values: dict[str, Any]) -> dict[str, Any]:
        last = len(find_task(values["dataset"]).positives) - 1
        repaired = values | ({"positive": min(values["positive"], last)} if last else {})
        if train_rows(repaired) < MIN_TRAIN:
            repaired |= natural_share(repaired["dataset"])
            repaired["n_train"] = max(MIN_TRAIN, repaired["n_train"])
        repaired |= {"n_train": min(repaired["n_train"], train_rows(repaired))}
        excess = cost(repaired) / MAX_MULTIPLICATIONS
        if excess > 1:
            repaired["epochs"] = max(1, int(repaired["epochs"] / excess))
        if cost(repaired) > MAX_MULTIPLICATIONS:
            repaired |= {key: cls.model_fields[key].default for key in ("width", "depth", "batch_size", "epochs")}
        return repaired

    def idle(self) -> frozenset[str]:
        return unused_strengths(ARMS_CHANGE, self.arms)

    def limits(self) -> dict[str, tuple[int, int]]:
        last = len(find_task(self.dataset).positives) - 1
        return {"n_train": (10, train_rows(dict(self)))} | ({"positive": (0, last)} if last else {})


def natural_share(dataset: str) -> dict[str, Any]:
    """Return the rarest class of a data set and its share of the rows, as far as the settings allow it."""
    task = find_task(dataset)
    share = task.positives[task.rarest] / task.n
    return {"positive": task.rarest, "share": min(0.5, max(0.02, round(share, 3)))}


def train_rows(values: Mapping[str, Any]) -> int:
    """Count the rows that training can take at most."""
    return sum(find_task(values["dataset"]).parts(values["share"], values["positive"])["train"])


class MetricsRun(RunSpec):
    """One net of two classes with at most a few regularizers; 0 switches each off."""

    experiment = "metrics"
    recipe = 1
    outside_model = frozenset(
        {"seed", "positive", "share", "n_train", "flipped", "noise", "epochs", "patience", "lesson"}
    )

    dataset: str
    positive: int
    share: float
    n_train: int
    flipped: float
    noise: float
    width: int
    depth: int
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    l2: float = 0.0
    dropout: float = 0.0
    patience: int = 0
    class_weight: float = 1.0
    lesson: str = ""


def cost(values: Mapping[str, Any]) -> float:
    """Estimate the multiply-adds of the whole study; a step costs at least as much as its overhead."""
    task, width, depth = find_task(values["dataset"]), values["width"], values["depth"]
    parameters = task.inputs * width + (depth - 1) * width * width + 2 * width
    held_out = 2 * sum(task.parts(values["share"], values["positive"])["validation"])  # once more for the metrics
    step_overhead, metrics = 7e6, 6e7  # of dispatch, and of all metrics once an epoch, in multiply-adds
    steps = -(-values["n_train"] // values["batch_size"])
    epoch = parameters * (4 * values["n_train"] + held_out) + steps * step_overhead + metrics
    return epoch * values["epochs"] * values["seeds"] * (len(values["arms"]) + 1)


def _class_in_words(settings: MetricsSettings) -> str:
    """Name the data set, and which class is the positive one where that is chosen."""
    if settings.dataset == "digits":
        return _("{positive} against the other digits").format(positive=settings.positive)
    if (own := find_own(settings.dataset)) is not None:
        return _("{dataset}: “{name}” against the rest").format(
            dataset=own.dataset.label, name=shorten(own.classes[settings.positive])[1:-1]
        )
    return _(find_task(settings.dataset).label)


class Metrics(Experiment):
    """The page that asks which mistakes a metric forgives."""

    name = "metrics"
    title = N_("Metrics")
    question = N_("Which mistakes does a metric forgive?")
    summary = N_(
        "Rare positives, one net, one remedy an arm: what is better by one metric is worse by another, and each is"
        " blind to something."
    )
    icon = ":material/grid_on:"
    order = 30
    settings = MetricsSettings
    spec = MetricsRun
    presets = (
        Preset(
            "rare_digits",
            N_("A rare digit"),
            N_(
                "Every twentieth image is an 8, every tenth training label is wrong: what helps one metric hurts another."
            ),
        ),
        Preset(
            "clean_digits",
            N_("The same, labels right"),
            N_("Without wrong labels L2 and dropout mostly make the net shy: it misses more of the rare digit."),
            "flipped=0&seeds=5",
        ),
        Preset(
            "breast_cancer",
            N_("Breast cancer"),
            N_("Malignant tumours thinned to one in ten: few positives, wide intervals."),
            "dataset=breast_cancer&share=0.1&n_train=110&flipped=0&seeds=5",
        ),
        Preset(
            "half_and_half",
            N_("Half and half"),
            N_("As many positives as negatives: here most metrics tell the same story, and accuracy is no trap."),
            "share=0.5&n_train=100&flipped=0.2&arms=l2,dropout,early_stopping&seeds=5",
        ),
        Preset(
            "always_negative",
            N_("Always “negative”"),
            N_(
                "Penalties so strong that the net calls nothing positive: accuracy stays near 95%, F1 is 0, and precision"
                " and MCC are undefined."
            ),
            "flipped=0&arms=l2,dropout,l2_dropout&l2=1&dropout=0.95&seeds=5",
            goes_wrong=True,
        ),
    )
    tasks = PREDICTIONS
    arm_names = (BASELINE, *ARM_LABELS)
    held_fixed = N_(
        "net, data, wrong labels, initial weights, batch order, optimizer, learning rate and number of epochs;"
        " every metric is computed on the same held-out rows, whole, never as a mean over batches."
    )

    def facts(self, settings: MetricsSettings) -> list[str]:
        task = find_task(settings.dataset)
        parts = task.parts(settings.share, settings.positive)
        facts = [
            _class_in_words(settings),
            _("{share} positives").format(share=percent(settings.share)),
            ngettext("{n} training point", "{n} training points", settings.n_train).format(n=plain(settings.n_train)),
            _("{n} validation points, {positives} of them positive").format(
                n=plain(sum(parts["validation"])), positives=plain(parts["validation"][1])
            ),
        ]
        if settings.flipped:
            facts.append(_("{share} of labels wrong").format(share=percent(settings.flipped)))
        if settings.noise:
            facts.append(_("input noise {noise}").format(noise=plain(settings.noise)))
        facts.append(f"MLP {settings.depth}×{settings.width}")
        facts.append(ngettext("{n} seed", "{n} seeds", settings.seeds).format(n=settings.seeds))
        return facts

    def loss_ceiling(self, spec: MetricsRun) -> float:
        return math.log(2)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one experiment lives as long as its process
    def study(self, settings: MetricsSettings) -> Study:
        values = dict(settings)
        shared = {key: values[key] for key in MetricsRun.model_fields if key in values and key not in REGULARIZERS}
        if not find_task(settings.dataset).asks_class:
            shared["positive"] = 0
        values["class_weight"] = round(((1 - settings.share) / settings.share) ** settings.balance, 2)
        arms = [Arm(BASELINE, {}, N_("No regularization"))]
        for name in settings.arms:
            fields, label = ARMS_CHANGE[name]
            changes = {field: values[field] for field in fields}
            arms.append(Arm(name, changes, label, tuple(changes.items())))
        return Study(MetricsRun(seed=0, **shared), tuple(arms), REGULARIZERS, tuple(range(settings.seeds)))

    def verdict(self, comparison: Comparison, settings: MetricsSettings) -> str:
        from core.metrics.scores import metrics_verdict

        return metrics_verdict(comparison)

    def lessons(self) -> Study:
        """Make the one run that executes the lessons; no setting of a viewer changes it."""
        spec = self.study(MetricsSettings()).base.model_copy(update={"lesson": "all"})
        return Study(spec, (Arm(BASELINE, {}, N_("Lessons")),), frozenset(), (0,))

    def studies(self, settings: MetricsSettings) -> list[Study]:
        return [self.study(settings), self.lessons()]

    def multiplications(self, spec: MetricsRun) -> float:
        if spec.lesson:
            return LESSON_COST
        return cost(spec.model_dump() | {"seeds": 1, "arms": ()})

    def data(self, spec: MetricsRun, progress: Progress | None = None) -> Splits:
        from core.datasets.imbalanced import load_task, split_task

        x, y = load_task(spec.dataset, spec.positive, progress)
        return split_task(
            x, y,
            share=spec.share, n_train=spec.n_train, seed=spec.seed, flipped=spec.flipped, noise=spec.noise,
            is_image=find_task(spec.dataset).is_image,
        )  # fmt: skip

    def model(self, spec: MetricsRun) -> keras.Model:
        return build_model(spec, find_task(spec.dataset).inputs)

    def data_loss(self, spec: MetricsRun, model: keras.Model) -> keras.losses.Loss:
        return _loss(1.0)

    def frames(self, spec: MetricsRun, model: keras.Model, splits: Splits) -> Mapping[str, pd.DataFrame]:
        from core.metrics.observed import predictions

        return {"predictions": predictions(model, splits)}

    def script(self, settings: MetricsSettings) -> str:
        from core.metrics.script import write

        return write(self.study(settings), settings.query(), [build_model, _optimizer, _loss])

    def train(
        self, spec: MetricsRun, report: Report, should_stop: Callable[[], bool], progress: Progress | None = None
    ) -> RunResult:
        if spec.lesson:
            from core.metrics import lessons as metric_lessons

            return metric_lessons.run(spec)
        return super().train(spec, report, should_stop, progress)

    def observer(self, spec: MetricsRun, splits: Splits) -> Observer:
        from core.metrics.observed import EpochScores

        return EpochScores(splits.validation)


def build_model(spec: MetricsRun, inputs: int) -> keras.Model:
    """Build and compile the net of a run, one logit a class; arms of one seed start from equal weights."""
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

    first = outputs = keras.Input((inputs,))
    for layer in range(spec.depth):
        outputs = dense(spec.width, layer, "relu")(outputs)
        if spec.dropout:
            outputs = keras.layers.Dropout(spec.dropout, seed=1_000 * spec.seed + 500 + layer)(outputs)
    outputs = dense(2, spec.depth, None)(outputs)
    model = keras.Model(first, outputs)
    model.compile(optimizer=_optimizer(spec), loss=_loss(spec.class_weight), jit_compile=False)
    return model


def _optimizer(spec: MetricsRun) -> keras.optimizers.Optimizer:
    import keras

    build = {
        "adam": lambda: keras.optimizers.Adam(spec.learning_rate),
        "sgd": lambda: keras.optimizers.SGD(spec.learning_rate),
        "momentum": lambda: keras.optimizers.SGD(spec.learning_rate, momentum=0.9),
        "rmsprop": lambda: keras.optimizers.RMSprop(spec.learning_rate),
    }
    return build[spec.optimizer]()


def _loss(class_weight: float) -> keras.losses.Loss:
    """Return the cross-entropy of two logits; a positive counts `class_weight` times, weights averaging about 1."""
    import keras

    if class_weight == 1.0:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    class WeightedCrossentropy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            loss = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
            positive = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), loss.dtype)
            return loss * (1.0 + (class_weight - 1.0) * positive)

    return WeightedCrossentropy()


EXPERIMENT = Metrics()
