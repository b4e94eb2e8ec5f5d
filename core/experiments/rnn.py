"""What does regularization buy a net that writes? One recurrent character net, one text, one regularizer an arm.

Imports no TensorFlow at module level: pages read the declarations, workers call `data`, `model` and `train`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from core.experiments import Experiment, Preset, Report
from core.fields import ARMS, DATA, MODEL, TRAINING, BatchSize, LearningRate, Moment, Smoothing, unused_strengths
from core.i18n import N_, _, ngettext, plain
from core.settings import Choice, Choices, Hash, Integer, Problem, Real, Settings, Text
from core.spec import RunSpec
from core.study import BASELINE, Arm, Study
from core.teaching.rnn import LESSONS, TASKS
from core.text import (
    HELD_OUT_SHARES,
    MAX_SYMBOLS,
    SHAKESPEARE,
    STREAMS,
    TRAIN_SHARE,
    prepare,
    topics_fingerprint,
    topics_text,
)
from core.text.generation import MAX_PROMPT
from core.text.script import write_script

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from core.datasets.loaders import Progress, Splits
    from core.result import RunResult
    from core.text import Text as PreparedText

OWN_CEILING = 7.0  # bits; what a text of one alphabet stays below, its size being unknown here
OWN_VOCABULARY = 500  # symbols of an uploaded text, for estimates
MAX_MULTIPLICATIONS = 1e14  # about half an hour on two cores

WRITING = N_("Writing")
CORPORA = {
    "shakespeare": SHAKESPEARE.label,
    "topics": N_("Python's help topics (no network needed)"),
    "own": N_("your own text"),
}
KEPT = {
    "all": N_("everything as it stands"),
    "lower": N_("all but capitals"),
    "words": N_("letters and spaces"),
    "lower_words": N_("letters and spaces, lower case"),
    "no_spaces": N_("all but spaces and line ends"),
    "letters": N_("letters only, lower case (the tutorial)"),
}
KEEPS = {  # case, spaces, punctuation
    "all": (True, True, True),
    "lower": (False, True, True),
    "words": (True, True, False),
    "lower_words": (False, True, False),
    "no_spaces": (True, False, True),
    "letters": (False, False, False),
}
CELLS = {"gru": "GRU", "lstm": "LSTM", "rnn": N_("Simple RNN")}
PROMPTS = {"shakespeare": "ROMEO:\n", "topics": "The "}

ARM_LABELS = {
    "dropout": N_("Dropout"),
    "recurrent_dropout": N_("Recurrent dropout"),
    "embedding_dropout": N_("Embedding dropout"),
    "l2": N_("L2"),
    "weight_decay": N_("Weight decay"),
    "early_stopping": N_("Early stopping"),
    "dropout_both": N_("Dropout + recurrent dropout"),
}
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Prompt(Text):
    r"""A line of text in which \n stands for a line end, as one can type it."""

    def parse(self, text: str) -> str:
        return text.replace("\r\n", "\n").replace("\n", "\\n")


class RnnSettings(Settings):
    """Everything that a viewer of the page can turn."""

    corpus: Annotated[
        str,
        Choice(
            N_("Text"),
            N_("Tiny Shakespeare is downloaded once, 1.1 MB. Python's help topics come with Python and differ by its version."),
            DATA, options=CORPORA,
        ),
    ] = "shakespeare"  # fmt: skip
    text: Annotated[
        str,
        Hash(N_("Own text"), N_("SHA-256 of a text uploaded in the tab “The text”."), DATA),
    ] = ""
    n_train: Annotated[
        int,
        Integer(
            N_("Training characters"),
            N_("From the start of the text, at most its first nine tenths. The fewer, the easier they are learnt by heart."),
            DATA, low=2_000, high=1_003_854, step=1_000,
        ),
    ] = 30_000  # fmt: skip
    kept: Annotated[
        str,
        Choice(
            N_("What is kept of the text"),
            N_("Stripping changes the alphabet, and with it what a loss means: compare losses of the same stripping only."),
            DATA, options=KEPT,
        ),
    ] = "all"  # fmt: skip
    n_validation: Annotated[
        int,
        Integer(
            N_("Measured characters"),
            N_("Length of the fixed stretches of the training and the validation text on which losses are measured."),
            DATA, folded=True, low=1_000, high=40_000, step=1_000,
        ),
    ] = 8_000  # fmt: skip
    cell: Annotated[
        str,
        Choice(N_("Kind of layer"), N_("What carries the state from character to character."), MODEL, options=CELLS),
    ] = "gru"
    units: Annotated[
        int, Integer(N_("Units"), N_("Size of the state of each recurrent layer."), MODEL, low=8, high=512, step=8)
    ] = 128
    layers: Annotated[
        int, Integer(N_("Recurrent layers"), N_("One above the other."), MODEL, folded=True, low=1, high=2)
    ] = 1
    embedding: Annotated[
        int,
        Integer(
            N_("Embedding"),
            N_("Numbers that stand for one character, learnt with the net; 0 for one-hot rows."),
            MODEL, folded=True, low=0, high=256, step=8,
        ),
    ] = 32  # fmt: skip
    window: Annotated[
        int,
        Integer(
            N_("Window"),
            N_("Characters through which the error is passed back. 1 is the tutorial's way: no context at all."),
            MODEL, low=1, high=128,
        ),
    ] = 32  # fmt: skip
    arms: Annotated[
        tuple[str, ...],
        Choices(
            N_("Compare with the baseline"),
            N_("Each runs on the same text, initial weights and order of windows as the unregularized baseline."),
            ARMS, options=ARM_LABELS,
        ),
    ] = ("dropout", "recurrent_dropout", "l2", "early_stopping")  # fmt: skip
    dropout: Annotated[
        float,
        Real(
            N_("Dropout rate"),
            N_("Share of the recurrent layers' outputs set to zero anew each step, on the way up, in training only; the rest is scaled by 1/(1−rate)."),
            ARMS, low=0.0, high=0.95, marks=RATES,
        ),
    ] = 0.5  # fmt: skip
    recurrent_dropout: Annotated[
        float,
        Real(
            N_("Recurrent dropout rate"),
            N_("Share of the state set to zero on the way from character to character, the same units through a whole window (Gal and Ghahramani 2016)."),
            ARMS, low=0.0, high=0.95, marks=RATES,
        ),
    ] = 0.3  # fmt: skip
    embedding_dropout: Annotated[
        float,
        Real(
            N_("Embedding dropout rate"),
            N_("Share of the characters of a window that the net does not get to see: their whole embedding is zero."),
            ARMS, low=0.0, high=0.95, marks=RATES,
        ),
    ] = 0.1  # fmt: skip
    l2: Annotated[
        float,
        Real(
            N_("L2 strength λ"),
            N_("Adds λ·Σw² (Keras' form, without the factor ½) to what is minimized."),
            ARMS, low=0.0, high=10.0, marks=(0.0, 1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0),
        ),
    ] = 1e-4  # fmt: skip
    weight_decay: Annotated[
        float,
        Real(
            N_("Weight decay"),
            N_("Decoupled: each step shrinks the weights by learning rate × this, outside the loss."),
            ARMS, low=0.0, high=100.0, marks=(0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0),
        ),
    ] = 0.1  # fmt: skip
    patience: Annotated[
        int,
        Integer(
            N_("Patience"),
            N_("Early stopping ends after this many epochs without a better loss on a part of its own, and restores the best weights."),
            ARMS, low=1, high=100,
        ),
    ] = 4  # fmt: skip
    epochs: Annotated[int, Integer(N_("Epochs"), N_("Passes over the training text."), TRAINING, low=1, high=200)] = 40
    batch_size: BatchSize = 32
    learning_rate: LearningRate = 5e-3
    schedule: Annotated[
        str,
        Choice(
            N_("Learning-rate schedule"),
            N_("Cosine lowers the rate to zero over the planned steps."),
            TRAINING, folded=True, options={"constant": N_("constant"), "cosine": N_("cosine")},
        ),
    ] = "constant"  # fmt: skip
    clip: Annotated[
        float,
        Real(
            N_("Gradient clipping"),
            N_("A gradient whose norm over all weights exceeds this is scaled down to it; 0 for none."),
            TRAINING, folded=True, low=0.0, high=100.0, marks=(0.0, 0.1, 0.5, 1.0, 5.0, 10.0, 100.0),
        ),
    ] = 1.0  # fmt: skip
    seeds: Annotated[
        int,
        Integer(
            N_("Seeds"),
            N_("Paired repetitions, each with other initial weights and another order of windows; the text is the same."),
            TRAINING, low=1, high=20,
        ),
    ] = 5  # fmt: skip
    moment: Moment = "last"
    smoothing: Smoothing = 0.0
    prompt: Annotated[
        str,
        Prompt(
            N_("Prompt"),
            N_("What the nets read before they write; empty for the usual one. Write \\n for a line end."),
            WRITING, hidden=True, limit=MAX_PROMPT,
        ),
    ] = ""  # fmt: skip
    temperature: Annotated[
        float,
        Real(
            N_("Temperature"),
            N_("Divides the logits before sampling: below 1 the net keeps to what is likely, above it dares more; 0 always takes the likeliest character."),
            WRITING, low=0.0, high=5.0, marks=(0.0, 0.2, 0.5, 0.8, 1.0, 1.3, 2.0, 5.0),
        ),
    ] = 0.8  # fmt: skip
    top_k: Annotated[
        int,
        Integer(N_("Top k"), N_("Only the k likeliest characters are drawn from; 0 for all."), WRITING, low=0, high=100),
    ] = 0  # fmt: skip
    nucleus: Annotated[
        float,
        Real(
            N_("Nucleus"),
            N_("Only the fewest characters are drawn from whose probabilities add up to this; 1 for all (Holtzman et al. 2020)."),
            WRITING, low=0.01, high=1.0, marks=(0.5, 0.8, 0.9, 0.95, 1.0),
        ),
    ] = 1.0  # fmt: skip
    draw: Annotated[
        int,
        Integer(
            N_("Draw"),
            N_("Number of the random draw; every arm gets the same one."),
            WRITING, low=0, high=9_999,
        ),
    ] = 0  # fmt: skip
    length: Annotated[
        int, Integer(N_("Length"), N_("Characters to write."), WRITING, low=50, high=1_000, step=50)
    ] = 300  # fmt: skip

    def idle(self) -> frozenset[str]:
        return unused_strengths(ARMS_CHANGE, self.arms)

    def limits(self) -> dict[str, tuple[int, int]]:
        return {"n_train": (2_000, longest(self.corpus))}

    @classmethod
    def resolve(cls, values: dict[str, Any], given) -> dict[str, Any]:
        if "n_train" not in given:
            values = values | {"n_train": min(values["n_train"], longest(values["corpus"]))}
        return values

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> list[Problem]:
        if values["corpus"] == "own" and not values["text"]:
            return [Problem("corpus", N_("a text of your own first, uploaded in the tab “The text”"), "own")]
        if values["n_train"] > longest(values["corpus"]):
            phrase = N_("at most {limit} training characters, nine tenths of the text")
            return [Problem("n_train", phrase, str(values["n_train"]), (("limit", longest(values["corpus"])),))]
        if cost(values) > MAX_MULTIPLICATIONS:
            phrase = N_("a study of at most half an hour: fewer epochs, seeds, units, layers or characters")
            return [Problem("epochs", phrase, str(values["epochs"]))]
        return []

    @classmethod
    def repair(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["corpus"] == "own" and not values["text"]:
            values = values | {"corpus": "shakespeare"}
        repaired = values | {"n_train": min(values["n_train"], longest(values["corpus"]))}
        excess = cost(repaired) / MAX_MULTIPLICATIONS
        if excess > 1:
            repaired["epochs"] = max(1, int(repaired["epochs"] / excess))
        if cost(repaired) > MAX_MULTIPLICATIONS:
            keys = ("n_train", "units", "layers", "batch_size", "epochs", "window")
            repaired |= {key: cls.model_fields[key].default for key in keys}
        return repaired


def longest(corpus: str) -> int:
    """Count the characters of a text that may be trained on."""
    symbols = {"shakespeare": SHAKESPEARE.symbols, "own": MAX_SYMBOLS}.get(corpus) or len(topics_text())
    return int(TRAIN_SHARE * symbols)


class RnnRun(RunSpec):
    """One recurrent net trained with at most a few regularizers; 0 switches each off."""

    experiment = "rnn"
    recipe = 2
    loss_unit = N_("bits a character")
    outside_model = frozenset(
        {"seed", "corpus", "fingerprint", "case", "spaces", "punctuation", "n_train", "n_validation", "patience"}
    )

    corpus: str
    fingerprint: str = ""
    case: bool = True
    spaces: bool = True
    punctuation: bool = True
    n_train: int
    n_validation: int
    cell: str
    units: int
    layers: int = 1
    embedding: int
    window: int
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str = "constant"
    clip: float = 0.0
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    embedding_dropout: float = 0.0
    l2: float = 0.0
    weight_decay: float = 0.0
    patience: int = 0

    @property
    def attachments(self) -> tuple[str, ...]:
        return (self.fingerprint,) if self.corpus == "own" else ()

    @property
    def is_plain(self) -> bool:
        """Tell whether nothing regularizes."""
        return not any(getattr(self, name) for name in REGULARIZERS)


REGULARIZERS = frozenset({"dropout", "recurrent_dropout", "embedding_dropout", "l2", "weight_decay", "patience"})

# Which fields an arm sets from the setting of the same name, and how its label names the strengths.
ARMS_CHANGE: dict[str, tuple[tuple[str, ...], str]] = {
    "dropout": (("dropout",), N_("Dropout {dropout}")),
    "recurrent_dropout": (("recurrent_dropout",), N_("Recurrent dropout {recurrent_dropout}")),
    "embedding_dropout": (("embedding_dropout",), N_("Embedding dropout {embedding_dropout}")),
    "l2": (("l2",), N_("L2 {l2}")),
    "weight_decay": (("weight_decay",), N_("Weight decay {weight_decay}")),
    "early_stopping": (("patience",), N_("Early stopping")),
    "dropout_both": (("dropout", "recurrent_dropout"), N_("Dropout {dropout} + recurrent {recurrent_dropout}")),
}


def parameters_of(values: Mapping[str, Any]) -> int:
    """Estimate the weights that are multiplied for one character."""
    vocabulary = OWN_VOCABULARY if values["corpus"] == "own" else SHAKESPEARE.vocabulary
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[values["cell"]]
    width, units = values["embedding"] or vocabulary, values["units"]
    first = gates * units * (width + units)
    return first + (values["layers"] - 1) * gates * 2 * units * units + units * vocabulary


def cost(values: Mapping[str, Any]) -> float:
    """Estimate the multiply-adds of the whole study; a step costs at least as much as its overhead."""
    parameters = parameters_of(values)
    windows = max(1, values["n_train"] // values["window"])
    steps = -(-windows // values["batch_size"])
    # Dispatch and the optimizer's own arithmetic, in multiply-adds, measured.
    overhead = 1.5e7 + 6.5e6 * values["window"] * values["layers"] + 120 * parameters
    measured = 2.25 * values["n_validation"]
    epoch = parameters * (4 * values["n_train"] + measured) + steps * overhead
    return epoch * values["epochs"] * values["seeds"] * (len(values["arms"]) + 1)


class Rnn(Experiment):
    """The page that asks whether a character net generates or copies."""

    name = "rnn"
    title = N_("RNN")
    question = N_("What keeps a net from reciting?")
    corrections = LESSONS
    tasks = TASKS
    summary = N_(
        "A recurrent net learns a text character by character and goes on writing it; each arm tries one remedy"
        " against learning it by heart, on the same text and initial weights."
    )
    icon = ":material/edit_note:"
    order = 50
    settings = RnnSettings
    spec = RnnRun
    presets = (
        Preset(
            "little_text",
            N_("Too little text"),
            N_("30,000 characters of Shakespeare: the net soon knows them by heart, and its validation loss turns up."),
        ),
        Preset(
            "more_text",
            N_("Ten times the text"),
            N_("With 300,000 characters there is hardly a gap to close: dropout costs more than it brings."),
            "n_train=300000&epochs=3&units=64&arms=dropout&seeds=3",
        ),
        Preset(
            "whole_text",
            N_("All of Shakespeare"),
            N_("A million characters, which the net sees five times: it writes words by now, and has little to forget."),
            "n_train=1003854&n_validation=32000&window=64&epochs=5&arms=dropout&dropout=0.2&schedule=cosine&seeds=3",
        ),
        Preset(
            "topics",
            N_("Without any download"),
            N_("Python's own help topics, which come with Python: trains on any machine, with no network."),
            "corpus=topics&units=64&epochs=20&arms=dropout,l2&seeds=3",
            is_recorded=False,
        ),
        Preset(
            "tutorial",
            N_("The tutorial's way"),
            N_(
                "One-hot pairs of letters, LSTM 512, no context: an expensive table of pairs that writes in a loop of"
                " a few letters."
            ),
            "kept=letters&window=1&cell=lstm&units=512&embedding=0&n_train=6000&n_validation=4000&epochs=10&learning_rate=0.001&clip=0"
            "&arms=dropout&seeds=3",
        ),
        Preset(
            "too_much",
            N_("Too much of it"),
            N_("λ = 1 on every weight: the penalty outweighs the text, and the net only knows how frequent letters are."),
            "units=64&epochs=8&arms=dropout,l2&l2=1&dropout=0.9&seeds=3",
            goes_wrong=True,
        ),
        Preset(
            "diverges",
            N_("Learning rate far too high"),
            N_("A learning rate of 10: the first steps saturate every gate, and no regularizer brings the net back."),
            "epochs=6&learning_rate=10&arms=dropout,l2&seeds=3",
            goes_wrong=True,
        ),
    )  # fmt: skip

    arm_names = (BASELINE, *ARM_LABELS)
    held_fixed = N_(
        "text, net, initial weights, order of windows, optimizer, learning rate and number of epochs; both losses are"
        " data losses in inference mode on the same weights."
    )

    def facts(self, settings: RnnSettings) -> list[str]:
        facts = [
            _(CORPORA[settings.corpus]),
            ngettext("{n} training character", "{n} training characters", settings.n_train).format(
                n=plain(settings.n_train)
            ),
        ]
        if settings.kept != "all":
            facts.append(_(KEPT[settings.kept]))
        facts.append(f"{_(CELLS[settings.cell])} {settings.layers}×{settings.units}")
        facts.append(_("window {n}").format(n=settings.window))
        facts.append(ngettext("{n} seed", "{n} seeds", settings.seeds).format(n=settings.seeds))
        return facts

    def loss_ceiling(self, spec: RnnRun) -> float:
        if spec.corpus == "own":
            return OWN_CEILING
        return math.log2(SHAKESPEARE.vocabulary if spec.corpus == "shakespeare" else len(set(topics_text())))

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one experiment lives as long as its process
    def study(self, settings: RnnSettings) -> Study:
        values = dict(settings)
        shared = {key: values[key] for key in RnnRun.model_fields if key in values and key not in REGULARIZERS}
        case, spaces, punctuation = KEEPS[settings.kept]
        shared |= {"case": case, "spaces": spaces, "punctuation": punctuation}
        if settings.corpus == "topics":
            shared["fingerprint"] = topics_fingerprint()
        elif settings.corpus == "own":
            shared["fingerprint"] = settings.text
        arms = [Arm(BASELINE, {}, N_("No regularization"))]
        for name in settings.arms:
            fields, label = ARMS_CHANGE[name]
            changes = {field: values[field] for field in fields}
            arms.append(Arm(name, changes, label, tuple(changes.items())))
        return Study(RnnRun(seed=0, **shared), tuple(arms), REGULARIZERS, tuple(range(settings.seeds)))

    @functools.cached_property
    def lessons(self) -> Study:
        """Take the tutorial's faults apart on one text: pairs of letters, windows of letters, windows of everything."""
        base = RnnRun(
            seed=0, corpus="shakespeare", case=False, spaces=False, punctuation=False, n_train=30_000,
            n_validation=8_000, cell="lstm", units=64, embedding=0, window=1, epochs=15, batch_size=32,
            learning_rate=3e-3,
        )  # fmt: skip
        windows = {"window": 32, "batch_size": 8}  # fewer windows in a step, since each holds 32 errors
        everything = windows | {"case": True, "spaces": True, "punctuation": True}
        arms = (
            Arm(BASELINE, {}, N_("Pairs of letters")),
            Arm("windows", windows, N_("Windows of letters")),
            Arm("everything", everything, N_("Windows of everything")),
        )
        return Study(base, arms, frozenset(everything), (0,))

    @functools.cached_property
    def tutorial(self) -> Study:
        """Reproduce the tutorial's set-up, LSTM 512 on pairs of letters."""
        return self.study(self.settings.parse(next(p.query for p in self.presets if p.name == "tutorial")))

    def studies(self, settings: RnnSettings) -> list[Study]:
        return [self.study(settings), self.lessons, self.tutorial]

    def multiplications(self, spec: RnnRun) -> float:
        return cost(spec.model_dump() | {"seeds": 1, "arms": ()})

    def tracing(self, spec: RnnRun) -> float:
        return 1.0 + 0.1 * spec.window * spec.layers

    def text(self, spec: RnnRun, progress: Progress | None = None) -> PreparedText:
        """Load, prepare and cut the text of a run (worker only)."""
        from core.text import loaders

        loaders.load(spec.corpus, spec.fingerprint, progress)
        return loaders.text_of(
            spec.corpus, spec.fingerprint, spec.case, spec.spaces, spec.punctuation, spec.n_train, spec.n_validation
        )

    def data(self, spec: RnnRun, progress: Progress | None = None) -> Splits:
        """Cut the parts into windows: inputs and labels, shape (N, T) each, the labels one character on."""
        from core.datasets.loaders import Split, Splits
        from core.text import entropy_bits
        from core.text.recurrent import stretches

        text = self.text(spec, progress)
        train, validation, stopping, test = (
            Split(*(array.reshape(-1, spec.window) for array in stretches(part, len(part), spec.window)))
            for part in (text.train, text.validation, text.stopping, text.test)
        )
        return Splits(train, validation, stopping, test, prior_loss=entropy_bits(text.train))

    def model(self, spec: RnnRun) -> keras.Model:
        from core.text.recurrent import build_model

        return build_model(spec, len(self.text(spec).vocabulary))

    kept_weights = ("weights",)

    def trained_model(self, spec: RnnRun, frames: Mapping[str, pd.DataFrame]) -> keras.Model:
        import keras

        from core.text.generation import unpack
        from core.text.recurrent import build_model, load_weights, weights_of
        from core.training import finished_model, never

        if "weights" in frames:
            weights = unpack(frames["weights"])
        else:
            self.train(spec, lambda *_: None, never)
            weights = weights_of(finished_model(spec))
        plain = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
        model = build_model(spec, len(weights["dense/bias"]), cells=plain)
        load_weights(model, weights)
        return keras.Model(model.input, model.output)

    def data_loss(self, spec: RnnRun, model: keras.Model) -> keras.losses.Loss:
        from core.text.recurrent import BitsPerCharacter

        return BitsPerCharacter()

    def script(self, settings: RnnSettings) -> str:
        study = self.study(settings)
        return write_script(study, settings.query(), HELD_OUT_SHARES[:2], TRAIN_SHARE, MAX_SYMBOLS, STREAMS)

    def train(
        self, spec: RnnRun, report: Report, should_stop: Callable[[], bool], progress: Progress | None = None
    ) -> RunResult:
        from core.text.recurrent import train

        text = self.text(spec, progress)
        return train(spec, text, prompt_of(spec, text.vocabulary.numbers), report, should_stop)


def prompt_of(spec: RnnRun, known: Mapping[str, int]) -> str:
    """Choose what samples go on from: the text's usual beginning, as far as its symbols are known."""
    if spec.window == 1:
        wanted = "a"
    else:
        wanted = prepare(PROMPTS.get(spec.corpus, ""), case=spec.case, spaces=spec.spaces, punctuation=spec.punctuation)
    prompt = "".join(symbol for symbol in wanted if symbol in known)
    return prompt or next(iter(known))


EXPERIMENT = Rnn()
