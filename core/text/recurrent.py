"""Build, train and measure recurrent character nets, an epoch as one graph; imported by worker processes only.

One thread a run, and the layers of `core.text.recurrence`. What is measured is measured in inference mode, on
fixed stretches of the training and the validation text, with the same weights, the state carried along each stretch.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from core.result import CURVE_COLUMNS, RunInfo, RunResult, Status
from core.text import KEPT_PARAMETERS, STREAMS, Text, entropy_bits
from core.text.generation import GREEDY, Net, Sampling, pack, write
from core.text.ngram import ORDERS, witten_bell, xz_bits
from core.text.recurrence import Gru, Lstm, SimpleRnn
from core.training import DIVERGED, EarlyStopping, host, never, remember_model, versions

if TYPE_CHECKING:
    from core.experiments import Report

LN2 = math.log(2)
MAX_PROGRAMS = 8
SAMPLE = Sampling(temperature=0.8, seed=0)
SAMPLE_LENGTH = 300
GREEDY_LENGTH = 1_000
CELLS: dict[str, Any] = {"lstm": Lstm, "gru": Gru, "rnn": SimpleRnn}


class BitsPerCharacter(keras.losses.Loss):
    """Cross-entropy of logits against numbers, in bits."""

    def call(self, y_true, y_pred):
        """Return one value a character."""
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True) / LN2


def build_model(spec: Any, size: int, steps: int | None = None, cells: Mapping[str, Any] | None = None) -> keras.Model:
    """Build and compile the net of a run; arms of one seed start from equal weights.

    Args:
        spec: Its fields shape the net.
        size: Size of the vocabulary.
        steps: Symbols a window; those of the spec where None.
        cells: Layers by kind; those that train fast where None.

    Returns:
        A model from numbers, shape (B, T), to logits, shape (B, T, V).
    """
    steps = steps or spec.window
    base = 1_000 * spec.seed
    penalty = keras.regularizers.L2(spec.l2) if spec.l2 else None
    inputs = keras.Input((steps,), dtype="int32")
    if spec.embedding:
        start = keras.initializers.RandomUniform(seed=base + 90)
        embedding = keras.layers.Embedding(size, spec.embedding, embeddings_initializer=start, name="embedding")
    else:  # one-hot: the rows of the unit matrix
        embedding = keras.layers.Embedding(
            size, size, embeddings_initializer="identity", trainable=False, name="embedding"
        )
    outputs = embedding(inputs)
    if spec.embedding_dropout:
        shape = (None, None, 1)
        outputs = keras.layers.Dropout(spec.embedding_dropout, noise_shape=shape, seed=base + 600)(outputs)
    for layer in range(spec.layers):
        outputs, *_state = (cells or CELLS)[spec.cell](
            spec.units,
            return_sequences=True,
            return_state=True,
            unroll=True,
            recurrent_dropout=spec.recurrent_dropout,
            kernel_initializer=keras.initializers.GlorotUniform(seed=base + 2 * layer),
            recurrent_initializer=keras.initializers.Orthogonal(seed=base + 2 * layer + 1),
            kernel_regularizer=penalty,
            recurrent_regularizer=penalty,
            seed=base + 700 + layer,
            name=f"recurrent_{layer}",
        )(outputs)
        if spec.dropout:
            outputs = keras.layers.Dropout(spec.dropout, seed=base + 500 + layer)(outputs)
    outputs = keras.layers.Dense(
        size,
        kernel_initializer=keras.initializers.GlorotUniform(seed=base + 50),
        kernel_regularizer=penalty,
        name="dense",
    )(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=_optimizer(spec), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    return model


def _optimizer(spec: Any) -> keras.optimizers.Optimizer:
    rate: Any = spec.learning_rate
    if spec.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(spec.learning_rate, steps_of(spec))
    optimizer = keras.optimizers.Adam(
        rate, weight_decay=spec.weight_decay or None, global_clipnorm=spec.clip or None
    )  # fmt: skip
    if spec.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def steps_of(spec: Any) -> int:
    """Count the optimizer steps of a run."""
    windows = max(1, (spec.n_train - 1) // spec.window)
    return -(-windows // spec.batch_size) * spec.epochs


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """List the recurrent layers of a model, the lowest first."""
    return [layer for layer in model.layers if layer.name.startswith("recurrent_")]


def forward(model: keras.Model, codes: tf.Tensor, state: list[list[tf.Tensor]]) -> tuple[tf.Tensor, list]:
    """Read symbols in inference mode from a given state.

    Args:
        model: From `build_model`.
        codes: Shape (B, T) with the model's own T.
        state: A list a layer, tensors of shape (B, H).

    Returns:
        Logits, shape (B, T, V), and the state after the last symbol.
    """
    x = model.get_layer("embedding")(codes)
    after = []
    for layer, before in zip(layers_of(model), state, strict=True):
        x, *new = layer(x, initial_state=before, training=False)
        after.append(new)
    return model.get_layer("dense")(x), after


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Name the weights as `core.text.generation.Net` does."""
    named = {"embedding": model.get_layer("embedding").get_weights()[0]}
    for number, layer in enumerate(layers_of(model)):
        for part, values in zip(("kernel", "recurrent", "bias"), layer.get_weights()[:3], strict=True):
            named[f"{number}/{part}"] = values
    kernel, bias = model.get_layer("dense").get_weights()
    return named | {"dense/kernel": kernel, "dense/bias": bias}


def load_weights(model: keras.Model, named: Mapping[str, np.ndarray]) -> None:
    """Give a model the weights that `weights_of` named."""
    model.get_layer("embedding").set_weights([named["embedding"]])
    for number, layer in enumerate(layers_of(model)):
        layer.cell.kernel.assign(named[f"{number}/kernel"])
        layer.cell.recurrent_kernel.assign(named[f"{number}/recurrent"])
        layer.cell.bias.assign(named[f"{number}/bias"])
    model.get_layer("dense").set_weights([named["dense/kernel"], named["dense/bias"]])


def stretches(codes: np.ndarray, wanted: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut fixed stretches to measure on: evenly spaced over a part, none overlapping.

    Args:
        codes: The part, shape (n,).
        wanted: Symbols to measure on, at most.
        window: Symbols a chunk.

    Returns:
        Inputs and labels, shape (chunks, streams, window) each, so that stream s goes on from chunk to chunk.
    """
    usable = min(wanted, len(codes) - 1)
    streams = max(1, min(STREAMS, usable // window))
    chunks = max(1, usable // (streams * window))
    length = chunks * window
    if length + 1 > len(codes):
        raise ValueError(f"Expected a part of more than {length} symbols; received {len(codes)}.")
    starts = np.linspace(0, len(codes) - 1 - length, streams).astype(int)
    both = [np.stack([codes[s + shift : s + shift + length] for s in starts]) for shift in (0, 1)]
    x, y = (part.reshape(streams, chunks, window).transpose(1, 0, 2).astype("int32") for part in both)
    return x, y


class Program:
    """A traced epoch of one model, reusable for every seed of its arm."""

    def __init__(self, model: keras.Model, spec: Any):
        self.model, self.batch_size, self.window = model, spec.batch_size, spec.window
        self.carries = spec.window > 1
        self.bits = BitsPerCharacter()
        model.optimizer.build(model.trainable_variables)
        self.state = [*model.variables, *model.optimizer.variables]
        part = tf.TensorSpec([None, None, spec.window], tf.int32)
        one = tf.TensorSpec([None], tf.int32)
        # Of its own, so that it is traced once for all parts: tracing takes as long as several epochs.
        self.measure = tf.function(self._measure, input_signature=[part, part], jit_compile=False)
        self.epoch = tf.function(self._epoch, input_signature=[one, one, [part] * 6], jit_compile=False)
        self.profile = tf.function(self._profile, input_signature=[part, part], jit_compile=False)

    def reset(self, model: keras.Model) -> None:
        """Take over the initial weights, optimizer state and random state of a newly built `model`."""
        model.optimizer.build(model.trainable_variables)
        for variable, initial in zip(self.state, [*model.variables, *model.optimizer.variables], strict=True):
            variable.assign(initial)

    def _epoch(self, starts: tf.Tensor, codes: tf.Tensor, parts: list[tf.Tensor]) -> tf.Tensor:
        """Train on the windows that begin at `starts`, then measure; none only measures.

        Args:
            starts: Places in the training text, in the order of training, shape (N,).
            codes: The training text, shape (n,).
            parts: Inputs and labels of three parts, from `stretches`: training, validation, stopping.

        Returns:
            Shape (7,), the values of `CURVE_COLUMNS`.
        """
        reach = tf.range(self.window)
        for step in tf.range((tf.size(starts) + self.batch_size - 1) // self.batch_size):
            rows = starts[step * self.batch_size : (step + 1) * self.batch_size]
            places = rows[:, None] + reach
            self.model.train_step((tf.gather(codes, places), tf.gather(codes, places + 1)))
        measures: list[tf.Tensor] = []
        for x, y in zip(parts[::2], parts[1::2], strict=True):
            loss, right = self.measure(x, y)
            measures += [tf.reduce_mean(loss), tf.reduce_mean(right)]
        penalty = tf.add_n(self.model.losses) / LN2 if self.model.losses else tf.constant(0.0)
        return tf.stack([*measures, penalty])

    def _start(self, streams: tf.Tensor) -> list[list[tf.Tensor]]:
        return [
            [tf.zeros([streams, layer.units]) for _ in range(2 if isinstance(layer, keras.layers.LSTM) else 1)]
            for layer in layers_of(self.model)
        ]

    def _measure(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the loss of every chunk, stream and place, and whether the likeliest symbol was right."""
        chunks, streams = tf.shape(x)[0], tf.shape(x)[1]
        losses = tf.TensorArray(tf.float32, chunks)
        right = tf.TensorArray(tf.float32, chunks)
        state = self._start(streams)
        for chunk in tf.range(chunks):
            logits, after = forward(self.model, x[chunk], state if self.carries else self._start(streams))
            state = after
            losses = losses.write(chunk, self.bits.call(y[chunk], logits))
            hits = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y[chunk])
            right = right.write(chunk, tf.cast(hits, tf.float32))
        return losses.stack(), right.stack()

    def _profile(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Compute the mean loss at each distance from a start without context; shape (chunks, window)."""
        return tf.reduce_mean(self.measure(x, y)[0], axis=1)


_programs: OrderedDict[str, Program] = OrderedDict()


def program_for(spec: Any, size: int) -> Program:
    """Return a program in the initial state of `spec`, traced before where an arm's other seed ran."""
    model = build_model(spec, size)
    key = f"{spec.experiment} {spec.model_key} {size}"
    if key in _programs:
        _programs.move_to_end(key)
        _programs[key].reset(model)
    else:
        _programs[key] = Program(model, spec)
        while len(_programs) > MAX_PROGRAMS:
            _programs.popitem(last=False)
    return _programs[key]


def window_starts(spec: Any, n: int) -> Callable[[], np.ndarray]:
    """Return a function that draws the next epoch's windows; equal for every arm of a seed.

    An epoch cuts the text into windows that follow each other from a random place, and shuffles them.
    """
    rng = np.random.default_rng([spec.seed, 21])
    usable = n - 1 - spec.window
    if usable < 0:
        raise ValueError(f"Expected a training text longer than a window of {spec.window}; received {n} symbols.")

    def draw() -> np.ndarray:
        first = int(rng.integers(min(spec.window, usable + 1)))
        return rng.permutation(np.arange(first, usable + 1, spec.window)).astype("int32")

    return draw


def train(
    spec: Any, text: Text, prompt: str, report: Report | None = None, should_stop: Callable[[], bool] = never
) -> RunResult:
    """Train one run and measure it after every epoch.

    Args:
        spec: What to train.
        text: Its text.
        prompt: What the samples go on from.
        report: Called after every epoch, with what the net of seed 0 wrote.
        should_stop: Asked after every epoch; a run that it ends is marked stopped.

    Returns:
        The result, losses in bits a character. Frames beside the curves: `clock` (seconds of training and
        measuring up to each epoch, without tracing and writing), `places` (loss against the distance from the
        start of a text), and of seed 0 `samples` and, for nets that are not too large, `weights`; of its
        baseline also `text` and `references`.
    """
    program = program_for(spec, len(text.vocabulary))
    model = program.model
    started = time.perf_counter()
    codes = tf.constant(text.train)
    cuts = [stretches(part, spec.n_validation, spec.window) for part in (text.train, text.validation)]
    cuts.append(stretches(text.stopping, len(text.stopping), spec.window))
    parts = [tf.constant(array) for pair in cuts for array in pair]
    draw = window_starts(spec, len(text.train))
    stopping = EarlyStopping(spec.patience) if spec.patience else None
    prompt_codes = text.vocabulary.encode(prompt)
    rows: list[np.ndarray] = []
    seconds: list[float] = []
    samples: list[dict[str, Any]] = []
    status: Status = "complete"

    def sample(epoch: int, kind: str, sampling: Sampling, length: int) -> None:
        net = Net(spec.cell, weights_of(model))
        codes = write(net, prompt_codes, length, sampling, carries=program.carries).codes
        samples.append({"epoch": epoch, "kind": kind, "prompt": prompt, "text": text.vocabulary.decode(codes)})

    for epoch in range(spec.epochs + 1):
        starts = draw() if epoch else np.empty(0, "int32")
        begun = time.perf_counter()
        row = program.epoch(tf.constant(starts), codes, parts).numpy().astype("float64")
        rows.append(row)
        # Before the first step nothing is trained: that call traces the graph, or only measures.
        seconds.append(seconds[-1] + time.perf_counter() - begun if seconds else 0.0)
        is_lost = not np.isfinite(row).all() or row[0] > DIVERGED * max(rows[0][0], 1e-3)
        writes = spec.seed == 0 and not is_lost
        if writes:
            sample(epoch, "sampled", SAMPLE, SAMPLE_LENGTH)
        if report:
            report(epoch, row, samples[-1] if writes else None)
        if is_lost:
            status = "diverged"
            break
        if stopping and stopping.is_over(epoch, row[CURVE_COLUMNS.index("stopping_loss")], model):
            break
        if epoch < spec.epochs and should_stop():
            status = "stopped"
            break
    if stopping and status == "complete":
        model.set_weights(stopping.weights)
    remember_model(spec, model)
    curves = pd.DataFrame(np.array(rows), columns=list(CURVE_COLUMNS)).astype("float32")
    curves.insert(0, "epoch", np.arange(len(curves), dtype="int32"))
    final = stopping.best_epoch if stopping and status == "complete" else len(curves) - 1
    clock = pd.DataFrame({"epoch": curves["epoch"], "seconds": np.array(seconds, "float32")})
    frames = {"curves": curves, "clock": clock}
    if status != "diverged":
        frames["places"] = places_of(program, text)
        if spec.seed == 0:
            sample(final, "greedy", GREEDY, GREEDY_LENGTH)
            frames["samples"] = pd.DataFrame(samples).astype({"epoch": "int32"})
            if model.count_params() <= KEPT_PARAMETERS:
                frames["weights"] = pack(weights_of(model))
    if spec.seed == 0 and spec.is_plain:
        frames |= reference_frames(text)
    finite = np.where(np.isfinite(curves["validation_loss"]), curves["validation_loss"], np.inf)
    info = RunInfo(
        digest=spec.digest,
        spec=spec.canonical(),
        status=status,
        epochs=len(curves) - 1,
        final_epoch=final,
        best_epoch=int(np.argmin(finite)),
        parameters=model.count_params(),
        prior_loss=entropy_bits(text.train),
        seconds=round(time.perf_counter() - started, 3),
        versions=versions(),
        host=host(),
        recorded=dt.datetime.now(dt.UTC).replace(microsecond=0),
    )
    return RunResult(info, frames)


MAX_PLACE = 128


def places_of(program: Program, text: Text) -> pd.DataFrame:
    """Measure the validation loss at each distance from a start without context, up to `MAX_PLACE` symbols."""
    window = program.window
    length = max(window, min(MAX_PLACE, 4 * window) // window * window) if program.carries else 1
    usable = len(text.validation) - 1
    starts = np.arange(0, usable - length + 1, max(1, length // 2))
    both = [np.stack([text.validation[s + shift : s + shift + length] for s in starts]) for shift in (0, 1)]
    x, y = (part.reshape(len(starts), -1, window).transpose(1, 0, 2).astype("int32") for part in both)
    losses = program.profile(tf.constant(x), tf.constant(y)).numpy().reshape(-1)
    return pd.DataFrame({"place": np.arange(1, len(losses) + 1, dtype="int32"), "loss": losses.astype("float32")})


def reference_frames(text: Text) -> Mapping[str, pd.DataFrame]:
    """Keep the text's parts and compute what a net is measured against, in bits a character."""
    vocabulary, parts = text.vocabulary, (text.train, text.validation)
    lines = {"uniform": math.log2(len(vocabulary))}
    losses = witten_bell(*parts, len(vocabulary))
    lines |= {f"{order}-gram": loss for order, loss in zip(ORDERS, losses, strict=True)}
    lines["xz"] = xz_bits(*(vocabulary.decode(part) for part in parts))
    kept = {"train": text.train, "control": text.control}
    return {
        "references": pd.DataFrame({"line": list(lines), "bits": np.array(list(lines.values()), "float32")}),
        "text": pd.DataFrame({"part": list(kept), "text": [vocabulary.decode(part) for part in kept.values()]}),
        "vocabulary": pd.DataFrame({"symbol": list(vocabulary.symbols)}),
    }
