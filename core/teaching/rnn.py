"""What is often said about nets that write, executed beside what holds; and what to predict."""

from __future__ import annotations

from core.comparison import VALIDATION_LOSS, Comparison
from core.experiments import Task
from core.i18n import N_
from core.lessons import Lesson, Outcome
from core.teaching.answers import what_validation_does
from core.text.generation import loop_length


def outputs_as_answers() -> Outcome:
    import keras
    import numpy as np

    letters = np.tile(np.eye(26, dtype="float32"), (40, 1))  # a to z, again and again: every next letter is certain
    x, y = letters[:-16].reshape(-1, 16, 26), letters[1:-15].reshape(-1, 16, 26)
    try:
        keras.layers.LSTM(26).compile(optimizer="adam", loss="categorical_crossentropy")
        answer = "compiled"
    except AttributeError as error:
        answer = str(error)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((16, 26)), keras.layers.LSTM(26, return_sequences=True)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, y, epochs=100, verbose=0)
    return [
        (N_("Keras answers to `LSTM(26).compile(…)`"), answer),
        (N_("Loss after training, bits a letter"), float(loss(y, model(x))) / np.log(2)),
        (N_("Lowest loss that outputs between −1 and 1 allow"), np.log2(1 + 25 * np.exp(-2.0))),
    ]


def outputs_below_a_dense_layer() -> Outcome:
    import keras
    import numpy as np

    letters = np.tile(np.eye(26, dtype="float32"), (40, 1))
    x, y = letters[:-16].reshape(-1, 16, 26), letters[1:-15].reshape(-1, 16, 26)
    keras.utils.set_random_seed(0)
    layers = [keras.Input((16, 26)), keras.layers.LSTM(26, return_sequences=True), keras.layers.Dense(26)]
    model = keras.Sequential(layers)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, y, epochs=100, verbose=0)
    return [
        (N_("Loss after training, bits a letter"), float(loss(y, model(x))) / np.log(2)),
        (N_("Lowest loss that any number as a score allows"), 0.0),
    ]


LESSONS = (
    Lesson(
        "output_layer",
        N_("“An LSTM with a unit for each letter can be compiled and answers by itself.”"),
        N_(
            "Models are compiled, layers are not. And the outputs of an LSTM lie between −1 and 1: as scores of 26"
            " letters they give none a probability above 23%, even in an alphabet that only repeats itself. A dense"
            " layer on top makes scores of any size."
        ),
        outputs_as_answers,
        outputs_below_a_dense_layer,
    ),
)


def _what_dropout_does(comparison: Comparison) -> frozenset[int]:
    effect = comparison.effect(comparison.study.treatments[0], VALIDATION_LOSS, "last")
    return frozenset({0 if effect.is_better else 2 if effect.is_worse else 1})


def _how_long_the_loop_is(comparison: Comparison) -> frozenset[int]:
    samples = comparison.results[comparison.study.base.digest].frames["samples"]
    greedy = samples[samples["kind"] == "greedy"].iloc[-1]["text"]
    period = loop_length([ord(symbol) for symbol in greedy])
    return frozenset({3 if not period else 0 if period <= 26 else 1 if period <= 100 else 2})


TASKS = (
    Task(
        "too_long",
        "little_text",
        N_("A net reads 30,000 characters forty times, unregularized. What does its loss on unseen text do?"),
        (
            N_("It falls to the end."),
            N_("It falls, then stays about level."),
            N_("It falls, then rises by more than 5%."),
        ),
        what_validation_does,
        N_("The first passes teach what holds for all of Shakespeare, the later ones what stands in this piece only."),
    ),
    Task(
        "enough_text",
        "whole_text",
        N_("The same net reads a million characters five times. What does dropout 0.2 do to its loss on unseen text?"),
        (N_("It lowers it."), N_("No difference is seen."), N_("It raises it.")),
        _what_dropout_does,
        N_("A net that has not yet learnt its text has little to forget: regularize where there is a gap."),
    ),
    Task(
        "loop",
        "tutorial",
        N_(
            "The tutorial's net takes the likeliest letter a thousand times, each chosen by the one before. What comes out?"
        ),
        (
            N_("A loop of at most 26 letters"),
            N_("A loop of 27 to 100 letters"),
            N_("A longer loop"),
            N_("Letters that do not repeat themselves"),
        ),
        _how_long_the_loop_is,
        N_("With one letter of context the next is a function of the last: after 26 steps at most, one comes back."),
    ),
)
