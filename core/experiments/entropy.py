"""What does it buy to punish certainty? One net, one data set, and ways to keep its answers from being too sure.

Imports no TensorFlow at module level: pages read the declarations, workers call `data`, `model` and `train`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from core.datasets import Dataset, find
from core.entropy.report import verdict as verdict_on_measures
from core.experiments import Experiment, Preset, Report, Series
from core.fields import (
    ARMS,
    DATA,
    VIEW,
    BatchSize,
    Depth,
    Epochs,
    FlippedLabels,
    InputNoise,
    LearningRate,
    Optimizer,
    Seeds,
    Smoothing,
    TrainingPoints,
    ValidationPoints,
    Width,
    dataset_choice,
    unused_strengths,
)
from core.i18n import N_, _, ngettext, percent, plain
from core.settings import Choice, Choices, Integer, Problem, Real, Settings
from core.spec import RunSpec
from core.study import BASELINE, Arm, Study
from core.work import MAX_MULTIPLICATIONS, cost

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from core.comparison import Comparison
    from core.datasets.loaders import Progress, Splits
    from core.result import RunResult

MIN_UNLABELLED = 10
AGENTS = N_("Agents")

ARM_LABELS = {
    "penalty": N_("Confidence penalty"),
    "hinge": N_("Confidence penalty with a floor"),
    "label_smoothing": N_("Label smoothing"),
    "focal": N_("Focal loss"),
    "dropout": N_("Dropout"),
    "penalty_dropout": N_("Confidence penalty + dropout"),
    "mixup": N_("Mixup"),
    "temperature": N_("Temperature scaling"),
    "minimise": N_("Entropy minimised on unlabelled points"),
}
BETAS = (0.0, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 100.0)
SWEPT_BETAS = (0.03, 0.1, 0.2, 0.3, 1.0, 3.0, 10.0)
SWEPT_EPSILONS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
SWEPT_GAMMAS = (0.5, 1.0, 2.0, 3.0, 5.0)
SWEPT_LAMBDAS = (0.03, 0.1, 0.3, 1.0, 3.0)
SIZES = (50, 100, 200, 400)
RATIOS = (1.0, 3.0, 10.0, 30.0)
FLIPS = (0.0, 0.1, 0.2, 0.4)
BONUSES = {"bonus_low": 0.3, "bonus_middle": 1.0, "bonus_high": 3.0}  # times the chosen bonus
TASKS = {"bandit": (1.0, 1, 50), "grid": (4.0, 8, 25)}  # learning rate, episodes an update, chunks of updates
AGENT_NAMES = (BASELINE, *BONUSES)
AGENT_SEEDS = 10
LESSONS = {
    "sign": "arms=penalty",
    "imbalance": "arms=penalty&noise=0&n_train=200&n_validation=600&imbalance=20",
}
LESSON_NAMES = {"sign": (BASELINE, "penalty", "wrong_sign"), "imbalance": (BASELINE, "penalty", "class_weights")}


class EntropySettings(Settings):
    """Everything that a viewer of the page can turn."""

    dataset: Annotated[str, dataset_choice("classification")] = "digits"
    n_train: TrainingPoints = 300
    flipped: FlippedLabels = 0.0
    noise: InputNoise = 1.0
    imbalance: Annotated[
        float,
        Real(
            N_("Imbalance"),
            N_(
                "How many training points the most frequent class has for one of the rarest; the classes between fall off evenly. Validation is not changed."
            ),
            DATA, low=1.0, high=100.0, marks=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        ),
    ] = 1.0  # fmt: skip
    unlabelled: Annotated[
        int,
        Integer(
            N_("Unlabelled points"),
            N_("Further points whose labels are hidden. Only the arm that minimises entropy learns from them."),
            DATA, folded=True, low=MIN_UNLABELLED, high=2_000, step=10,
        ),
    ] = 200  # fmt: skip
    n_validation: ValidationPoints = 1_000
    width: Width = 256
    depth: Depth = 2
    arms: Annotated[
        tuple[str, ...],
        Choices(
            N_("Compare with the baseline"),
            N_("Each runs on the same data, initial weights and batch order as the baseline, plain cross-entropy."),
            ARMS,
            options=ARM_LABELS,
        ),
    ] = ("penalty", "label_smoothing", "focal", "dropout", "temperature")
    beta: Annotated[
        float,
        Real(
            N_("Entropy weight β"),
            N_("Subtracts β·H(p) from the cross-entropy: the more uncertain the answer, the lower the loss."),
            ARMS, low=0.0, high=1_000.0, marks=BETAS,
        ),
    ] = 0.2  # fmt: skip
    floor: Annotated[
        float,
        Real(
            N_("Entropy floor"),
            N_("The arm with a floor punishes only entropy below this share of ln K, that of the uniform answer."),
            ARMS, low=0.0, high=1.0, marks=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
        ),
    ] = 0.2  # fmt: skip
    anneal: Annotated[
        int,
        Integer(
            N_("Annealing"),
            N_("Epochs over which β rises from 0 to its value; 0 starts with all of it."),
            ARMS, low=0, high=2_000, step=10,
        ),
    ] = 0  # fmt: skip
    epsilon: Annotated[
        float,
        Real(
            N_("Label smoothing ε"),
            N_("Share of each label spread evenly over all classes."),
            ARMS, low=0.0, high=1.0, marks=(0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
        ),
    ] = 0.05  # fmt: skip
    gamma: Annotated[
        float,
        Real(
            N_("Focal γ"),
            N_("Multiplies the cross-entropy by (1−p)^γ, so that points answered well count less."),
            ARMS, low=0.0, high=10.0, marks=(0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
        ),
    ] = 2.0  # fmt: skip
    dropout: Annotated[
        float,
        Real(
            N_("Dropout rate"),
            N_("Share of hidden outputs set to zero anew each step, in training only; the rest is scaled by 1/(1−rate)."),
            ARMS, low=0.0, high=0.95, marks=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        ),
    ] = 0.5  # fmt: skip
    mixup: Annotated[
        float,
        Real(
            N_("Mixup α"),
            N_("Each step mixes pairs of points and their labels, with a share drawn from Beta(α, α)."),
            ARMS, low=0.01, high=10.0, marks=(0.1, 0.2, 0.4, 1.0, 2.0),
        ),
    ] = 0.4  # fmt: skip
    minimise: Annotated[
        float,
        Real(
            N_("Entropy minimisation λ"),
            N_("Adds λ·H(p) of unlabelled points to the cross-entropy: the other sign, which asks for certainty."),
            ARMS, low=0.0, high=100.0, marks=(0.0, 0.03, 0.1, 0.3, 1.0, 3.0),
        ),
    ] = 0.3  # fmt: skip
    bonus: Annotated[
        float,
        Real(
            N_("Agents' bonus"),
            N_("Reward for each nat of the policy's entropy, in the tab on exploration; a third and three times as much run too."),
            AGENTS, folded=True, low=0.0001, high=10.0, marks=(0.01, 0.03, 0.1, 0.3, 1.0),
        ),
    ] = 0.1  # fmt: skip
    step: Annotated[
        float,
        Real(
            N_("Agents' step size"),
            N_("Times the learning rate that each world has by itself."),
            AGENTS, folded=True, low=0.01, high=10.0, marks=(0.1, 0.3, 1.0, 3.0),
        ),
    ] = 1.0  # fmt: skip
    epochs: Epochs = 60
    batch_size: BatchSize = 32
    optimizer: Optimizer = "adam"
    learning_rate: LearningRate = 1e-3
    seeds: Seeds = 5
    along: Annotated[
        str,
        Choice(
            N_("Repeat along"),
            N_("The setting along which the comparison is repeated, in the first tab of the depth section."),
            VIEW,
            options={
                "beta": N_("Entropy weight β"),
                "epsilon": N_("Label smoothing ε"),
                "gamma": N_("Focal γ"),
                "minimise": N_("Entropy minimisation λ"),
                "flipped": N_("Flipped labels"),
                "imbalance": N_("Imbalance"),
                "n_train": N_("Training points"),
            },
        ),
    ] = "beta"
    smoothing: Smoothing = 0.0

    @property
    def moment(self) -> str:
        """Name the weights that are compared: always those that a run ends with, on which predictions are kept."""
        return "last"

    def idle(self) -> frozenset[str]:
        return unused_strengths(ARMS_CHANGE, self.arms)

    def limits(self) -> dict[str, tuple[int, int]]:
        most = find(self.dataset).max_train
        return {
            "n_train": (10, min(10_000, most - MIN_UNLABELLED)),
            "unlabelled": (MIN_UNLABELLED, min(2_000, most - self.n_train)),
        }

    @classmethod
    def resolve(cls, values: dict[str, Any], given) -> dict[str, Any]:
        most = find(values["dataset"]).max_train
        values = dict(values)
        if "n_train" not in given:
            room = values["unlabelled"] if "unlabelled" in given else MIN_UNLABELLED
            values["n_train"] = max(10, min(values["n_train"], most - room))
        if "unlabelled" not in given:
            values["unlabelled"] = max(MIN_UNLABELLED, min(values["unlabelled"], most - values["n_train"]))
        return values

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> list[Problem]:
        dataset = find(values["dataset"])
        if values["n_train"] + values["unlabelled"] > dataset.max_train:
            phrase = N_("at most {limit} training and unlabelled points together, which is what {dataset} has")
            received = f"{values['n_train']} + {values['unlabelled']}"
            return [Problem("n_train", phrase, received, (("limit", dataset.max_train), ("dataset", dataset.name)))]
        if cost(values) > MAX_MULTIPLICATIONS:
            phrase = N_("a study of at most half an hour: fewer epochs, seeds, units, layers or points")
            return [Problem("epochs", phrase, str(values["epochs"]))]
        return []

    @classmethod
    def repair(cls, values: dict[str, Any]) -> dict[str, Any]:
        most = find(values["dataset"]).max_train
        repaired = dict(values)
        repaired["n_train"] = min(repaired["n_train"], most - MIN_UNLABELLED)
        repaired["unlabelled"] = min(repaired["unlabelled"], most - repaired["n_train"])
        excess = cost(repaired) / MAX_MULTIPLICATIONS
        if excess > 1:
            repaired["epochs"] = max(1, int(repaired["epochs"] / excess))
        if cost(repaired) > MAX_MULTIPLICATIONS:
            kept = ("n_train", "unlabelled", "width", "depth", "batch_size", "epochs")
            defaults = {key: cls.model_fields[key].default for key in kept}
            repaired |= cls.resolve(repaired | defaults, set())
        return repaired


class EntropyRun(RunSpec):
    """One net trained one way, or one agent; 0 switches each treatment off.

    `task` is empty for a classifier; the agents of the last tab name theirs and leave the classifier's fields out.
    """

    experiment = "entropy"
    recipe = 1
    outside_model = frozenset({"seed", "n_train", "n_validation", "flipped", "noise", "epochs"})

    dataset: str = ""
    n_train: int = 0
    n_validation: int = 0
    unlabelled: int = 0
    flipped: float = 0.0
    noise: float = 0.0
    imbalance: float = 1.0
    width: int = 0
    depth: int = 0
    epochs: int = 0
    batch_size: int = 0
    optimizer: str = ""
    learning_rate: float = 0.0
    beta: float = 0.0
    floor: float = 0.0
    anneal: int = 0
    epsilon: float = 0.0
    gamma: float = 0.0
    dropout: float = 0.0
    mixup: float = 0.0
    minimise: float = 0.0
    is_calibrated: bool = False
    is_class_weighted: bool = False
    is_sign_wrong: bool = False
    task: str = ""


TREATMENTS = frozenset(
    {
        "beta", "floor", "anneal", "epsilon", "gamma", "dropout", "mixup", "minimise", "is_calibrated",
        "is_class_weighted", "is_sign_wrong",
    }
)  # fmt: skip

# Which fields an arm sets from the setting of the same name, and how its label names the strengths.
ARMS_CHANGE: dict[str, tuple[tuple[str, ...], str]] = {
    "penalty": (("beta", "anneal"), N_("Confidence penalty {beta}")),
    "hinge": (("beta", "floor", "anneal"), N_("Confidence penalty {beta} below {floor} ln K")),
    "label_smoothing": (("epsilon",), N_("Label smoothing {epsilon}")),
    "focal": (("gamma",), N_("Focal loss {gamma}")),
    "dropout": (("dropout",), N_("Dropout {dropout}")),
    "penalty_dropout": (("beta", "anneal", "dropout"), N_("Confidence penalty {beta} + dropout {dropout}")),
    "mixup": (("mixup",), N_("Mixup {mixup}")),
    "temperature": ((), N_("Temperature scaling")),
    "minimise": (("minimise",), N_("Entropy minimised, λ {minimise}")),
}


class Entropy(Experiment):
    """The page that asks what it buys to punish certainty."""

    name = "entropy"
    title = N_("Entropy")
    question = N_("What does it buy to punish certainty?")
    summary = N_(
        "A net that is right is allowed to be sure; one that is sure and wrong misleads. Each arm keeps the answers"
        " from being too sure, on the same data and weights, and pays for it elsewhere."
    )
    icon = ":material/blur_on:"
    order = 40
    settings = EntropySettings
    spec = EntropyRun
    presets = (
        Preset(
            "hazy_digits",
            N_("Sure of what it cannot see"),
            N_(
                "Digits under heavy noise: more than every fifth answer is wrong, and plain cross-entropy is sure of many of those."
            ),
        ),
        Preset(
            "clean_digits",
            N_("Nothing to cure"),
            N_("Clean digits: the net is hardly too sure, and a loss that softens its answers makes them less honest."),
            "noise=0&seeds=3",
        ),
        Preset(
            "wrong_labels",
            N_("Wrong labels teach doubt"),
            N_("Every fifth label wrong, clean images: the net is unsure by itself, and a softer loss buys nothing."),
            "noise=0&flipped=0.2",
        ),
        Preset(
            "far_too_much",
            N_("Far too much entropy"),
            N_("β = 100: the entropy outweighs the labels, and every class gets nearly the same probability."),
            "arms=penalty&beta=100&seeds=3",
            goes_wrong=True,
        ),
        Preset(
            "together",
            N_("Together with dropout"),
            N_("The penalty, dropout, both, and mixup: does one remedy add to the other?"),
            "arms=penalty,dropout,penalty_dropout,mixup&seeds=3",
        ),
        Preset(
            "other_sign",
            N_("The other sign"),
            N_(
                "Fifty labelled digits, and 400 without a label whose entropy is made small: is a surer net right more often?"
            ),
            "noise=0&n_train=50&unlabelled=400&arms=penalty,minimise&minimise=0.1",
        ),
    )
    arm_names = (BASELINE, *ARM_LABELS)
    held_fixed = N_(
        "net, data, wrong labels, initial weights, batch order, optimizer, learning rate and number of epochs;"
        " every arm is measured in plain cross-entropy (NLL), in inference mode, whatever it minimized."
    )

    def facts(self, settings: EntropySettings) -> list[str]:
        dataset = find(settings.dataset)
        facts = [
            _(dataset.label),
            ngettext("{n} training point", "{n} training points", settings.n_train).format(n=plain(settings.n_train)),
        ]
        if settings.flipped:
            facts.append(_("{share} of labels wrong").format(share=percent(settings.flipped)))
        if settings.noise:
            facts.append(_("input noise {noise}").format(noise=plain(settings.noise)))
        if settings.imbalance > 1:
            facts.append(_("imbalance {ratio}:1").format(ratio=plain(settings.imbalance)))
        if "minimise" in settings.arms:
            facts.append(
                ngettext("{n} unlabelled point", "{n} unlabelled points", settings.unlabelled).format(
                    n=plain(settings.unlabelled)
                )
            )
        facts.append(f"MLP {settings.depth}×{settings.width}")
        facts.append(ngettext("{n} seed", "{n} seeds", settings.seeds).format(n=settings.seeds))
        return facts

    def loss_ceiling(self, spec: EntropyRun) -> float:
        return math.log(find(spec.dataset).classes)

    def verdict(self, comparison: Comparison, settings: EntropySettings) -> str:
        return verdict_on_measures(comparison)

    def base(self, settings: EntropySettings) -> EntropyRun:
        """Describe the baseline's first run."""
        values = dict(settings)
        shared = {key: values[key] for key in EntropyRun.model_fields if key in values and key not in TREATMENTS}
        return EntropyRun(seed=0, **shared)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one experiment lives as long as its process
    def study(self, settings: EntropySettings) -> Study:
        values = dict(settings) | {"anneal": settings.anneal * -(-settings.n_train // settings.batch_size)}
        arms = [Arm(BASELINE, {}, N_("Cross-entropy"))]
        for name in settings.arms:
            fields, label = ARMS_CHANGE[name]
            changes = {field: values[field] for field in fields}
            arguments = tuple(changes.items())
            if name == "temperature":
                changes = {"is_calibrated": True}
            arms.append(Arm(name, changes, label, arguments))
        return Study(self.base(settings), tuple(arms), TREATMENTS, tuple(range(settings.seeds)))

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def series(self, settings: EntropySettings) -> Series:
        """Repeat the study along the setting that `along` names; strengths one arm at a time."""
        field = settings.along
        strengths = {
            "beta": (SWEPT_BETAS, "penalty"),
            "epsilon": (SWEPT_EPSILONS, "label_smoothing"),
            "gamma": (SWEPT_GAMMAS, "focal"),
            "minimise": (SWEPT_LAMBDAS, "minimise"),
        }
        if field in strengths:
            values, arm = strengths[field]
            changes = [(value, {field: value, "arms": (arm,)}) for value in values]
        elif field == "n_train":
            room = find(settings.dataset).max_train - settings.unlabelled
            changes = [(n, {field: n}) for n in SIZES if n <= room]
        else:
            changes = [(value, {field: value}) for value in (FLIPS if field == "flipped" else RATIOS)]
        points = tuple((value, self.study(settings.model_copy(update=change))) for value, change in changes)
        return Series(field, self.settings.controls()["along"].options[field], field != "flipped", points)  # type: ignore[attr-defined]

    def studies(self, settings: EntropySettings) -> list[Study]:
        return [
            self.study(settings),
            *(study for _value, study in self.series(settings).points),
            self.signs(),
            *(self.agents(task, settings.bonus, settings.step) for task in TASKS),
            *(self.lesson(name) for name in LESSONS),
        ]

    @functools.cache  # noqa: B019
    def signs(self) -> Study:
        """Set both signs of the entropy term against the baseline, on few labelled points."""
        return self.study(self.sign_settings())

    def sign_settings(self) -> EntropySettings:
        """Return the settings on which both signs are compared."""
        return self.settings.parse(next(preset.query for preset in self.presets if preset.name == "other_sign"))

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def agents(self, task: str, bonus: float = 0.1, step: float = 1.0) -> Study:
        """Set agents with a third of a bonus, with it, and with three times as much against the agent without."""
        rate, episodes, chunks = TASKS[task]
        rate = float(f"{rate * step:.3g}")
        base = EntropyRun(seed=0, task=task, learning_rate=rate, batch_size=episodes, epochs=chunks)
        arms = [Arm(BASELINE, {}, N_("No bonus"))]
        for name, factor in BONUSES.items():
            beta = float(f"{factor * bonus:.3g}")
            arms.append(Arm(name, {"beta": beta}, N_("Bonus {beta}"), (("beta", beta),)))
        return Study(base, tuple(arms), frozenset({"beta"}), tuple(range(AGENT_SEEDS)))

    @functools.cache  # noqa: B019
    def lesson(self, name: str) -> Study:
        """Set what is wrong beside what is right."""
        settings = self.settings.parse(LESSONS[name])
        study = self.study(settings)
        if name == "sign":
            changes = {"beta": settings.beta, "is_sign_wrong": True}
            wrong = Arm("wrong_sign", changes, N_("Sign turned, {beta}"), (("beta", settings.beta),))
        else:
            wrong = Arm("class_weights", {"is_class_weighted": True}, N_("Class weights"))
        return Study(study.base, (*study.arms, wrong), TREATMENTS, study.seeds)

    def multiplications(self, spec: EntropyRun) -> float:
        if spec.task:
            return 5e8 * spec.epochs * (1 + spec.batch_size / 4)
        return cost(spec.model_dump() | {"seeds": 1, "arms": ()}) * (2 if spec.minimise else 1)

    def data(self, spec: EntropyRun, progress: Progress | None = None) -> Splits:
        return cut(spec, find(spec.dataset), progress)[0]

    def model(self, spec: EntropyRun) -> keras.Model:
        pool = cut(spec, find(spec.dataset))[1] if spec.minimise else None
        return build_model(spec, find(spec.dataset), pool)

    def data_loss(self, spec: EntropyRun, model: keras.Model) -> keras.losses.Loss:
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def script(self, settings: EntropySettings) -> str:
        from core.entropy.script import script

        return script(self.study(settings), settings.query(), [class_shares, cut, build_model, _optimizer, _loss])

    def frames(self, spec: EntropyRun, model: keras.Model, splits: Splits) -> Mapping[str, pd.DataFrame]:
        from core.entropy.measured import measure

        is_first = spec.seed == 0 and not any(getattr(spec, field) for field in TREATMENTS)
        return measure(spec, find(spec.dataset), model, splits, keep_images=is_first)

    def train(
        self, spec: EntropyRun, report: Report, should_stop: Callable[[], bool], progress: Progress | None = None
    ) -> RunResult:
        if spec.task:
            from core.entropy.policy import train

            return train(spec, report, should_stop)
        return super().train(spec, report, should_stop, progress)


def class_shares(classes: int, ratio: float) -> np.ndarray:
    """Return the share of each class, falling evenly in powers to 1/`ratio` of the first one's; shape (classes,)."""
    weights = ratio ** (-np.arange(classes) / max(classes - 1, 1))
    return weights / weights.sum()


def cut(spec: EntropyRun, dataset: Dataset, progress: Progress | None = None) -> tuple[Splits, np.ndarray]:
    """Cut the data of one seed: the splits, and the inputs of the unlabelled points, shape (M, F); the same for all arms.

    With an imbalance, each class is drawn up to its share of `n_train`, or as far as its points go.
    """
    from core.datasets.loaders import Split, Splits, _flip, load, split

    x, y = load(dataset, progress)
    n_validation = min(spec.n_validation, dataset.pool - spec.n_train - spec.unlabelled)
    whole = split(
        dataset, x, y,
        n_train=dataset.pool - n_validation, n_validation=n_validation, seed=spec.seed, noise=spec.noise,
    )  # fmt: skip
    labels = whole.train.y
    if spec.imbalance > 1:
        quota = np.maximum(1, np.round(spec.n_train * class_shares(dataset.classes, spec.imbalance)))
        while quota.sum() > spec.n_train:  # rounded up too often: the unlabelled points need theirs
            quota[quota.argmax()] -= 1
        rank = np.empty(len(labels))
        for own in range(dataset.classes):
            places = np.flatnonzero(labels == own)
            rank[places] = np.arange(len(places))
        is_labelled = rank < quota[labels]
    else:
        is_labelled = np.arange(len(labels)) < spec.n_train
    rest = np.flatnonzero(~is_labelled)[: spec.unlabelled]
    chosen = _flip(labels[is_labelled], spec.flipped, dataset.classes, np.random.default_rng([spec.seed, 12]))
    shares = np.bincount(chosen, minlength=dataset.classes) / len(chosen)
    prior_loss = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    train = Split(whole.train.x[is_labelled], chosen)
    return Splits(train, whole.validation, whole.stopping, whole.test, prior_loss), whole.train.x[rest]


def build_model(spec: EntropyRun, dataset: Dataset, pool: np.ndarray | None = None) -> keras.Model:
    """Build and compile the net of a run; arms of one seed start from equal weights."""
    import keras

    from core.entropy.losses import Net

    def dense(units: int, layer: int, activation: str | None) -> keras.layers.Dense:
        seed = 1_000 * spec.seed + layer  # of its own for every layer, so that dropout does not shift the next one's
        initializer = keras.initializers.GlorotUniform(seed=seed)
        return keras.layers.Dense(units, activation=activation, kernel_initializer=initializer)

    inputs = outputs = keras.Input((dataset.inputs,))
    for layer in range(spec.depth):
        outputs = dense(spec.width, layer, "relu")(outputs)
        if spec.dropout:
            outputs = keras.layers.Dropout(spec.dropout, seed=1_000 * spec.seed + 500 + layer)(outputs)
    outputs = dense(dataset.outputs, spec.depth, None)(outputs)
    scale = None
    if spec.anneal or spec.mixup or spec.minimise or spec.is_calibrated:
        model = Net(
            inputs, outputs, anneal=spec.anneal, mixup=spec.mixup, minimise=spec.minimise, pool=pool,
            calibrated=spec.is_calibrated, seed=1_000 * spec.seed + 700,
        )  # fmt: skip
        scale = model.scale
    else:
        model = keras.Model(inputs, outputs)
    model.compile(optimizer=_optimizer(spec), loss=_loss(spec, dataset, scale), jit_compile=False)
    return model


def _optimizer(spec: EntropyRun) -> keras.optimizers.Optimizer:
    import keras

    build: dict[str, Callable[[], Any]] = {
        "adam": lambda: keras.optimizers.Adam(spec.learning_rate),
        "sgd": lambda: keras.optimizers.SGD(spec.learning_rate),
        "momentum": lambda: keras.optimizers.SGD(spec.learning_rate, momentum=0.9),
        "rmsprop": lambda: keras.optimizers.RMSprop(spec.learning_rate),
    }
    return build[spec.optimizer]()


def _loss(spec: EntropyRun, dataset: Dataset, scale: Any = None) -> keras.losses.Loss:
    import keras

    from core.entropy.losses import ConfidencePenalty, Focal, LabelSmoothing, WeightedCrossEntropy

    if spec.beta:
        floor = spec.floor * math.log(dataset.classes)
        return ConfidencePenalty(spec.beta, floor, rewards=not spec.is_sign_wrong, scale=scale)
    if spec.epsilon:
        return LabelSmoothing(spec.epsilon)
    if spec.gamma:
        return Focal(spec.gamma)
    if spec.is_class_weighted:
        shares = class_shares(dataset.classes, spec.imbalance)
        return WeightedCrossEntropy(1.0 / (dataset.classes * shares))
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


EXPERIMENT = Entropy()
