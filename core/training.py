"""Train compiled tf.keras models, an epoch as one graph; imported by worker processes only.

The graph calls Keras' own `train_step` once a batch, so any compiled loss, optimizer and regularizer
works unchanged, and then evaluates every split in inference mode on the weights of the epoch's end.
"""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from core.datasets.loaders import Split, Splits
from core.experiments import Experiment, Observer, Report
from core.result import CURVE_COLUMNS, RunInfo, RunResult, Status
from core.spec import RunSpec

DIVERGED = 100.0  # a training data loss above this multiple of the loss before training is not coming back
MAX_PROGRAMS = 12


def never() -> bool:
    """Stop no run."""
    return False


class Program:
    """A traced epoch of one model, reusable for every seed of its arm.

    Args:
        model: Built and compiled, with a `keras.losses.Loss` that averages over the batch.
        batch_size: Rows a step; the last step of an epoch takes what is left.
        split: Data of the kind and shape to come.
        data_loss: The loss that is measured, averaged over a split.
    """

    def __init__(self, model: keras.Model, batch_size: int, split: Split, data_loss: keras.losses.Loss):
        self.model = model
        self.batch_size = batch_size
        self.data_loss = data_loss
        self.is_classifier = split.y.dtype == np.int32
        model.optimizer.build(model.trainable_variables)
        self.state = [*model.variables, *model.optimizer.variables]
        x, y = (tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in (split.x, split.y))
        rows = tf.TensorSpec([None], tf.int32)
        self.epoch = tf.function(self._epoch, input_signature=[rows, x, y, [x, y, x, y]], jit_compile=False)

    def reset(self, model: keras.Model) -> None:
        """Take over the initial weights, optimizer state and random state of a newly built `model`."""
        model.optimizer.build(model.trainable_variables)
        for variable, initial in zip(self.state, [*model.variables, *model.optimizer.variables], strict=True):
            variable.assign(initial)

    def _epoch(self, order: tf.Tensor, x: tf.Tensor, y: tf.Tensor, held_out: list[tf.Tensor]) -> tf.Tensor:
        """Train on the rows of `order`, shape (N,), then measure; an empty order only measures.

        A model with a method `after_epoch(x, y)` gets the stopping split between the two, to fit what is not
        trained by gradients.

        Args:
            order: Row numbers in the order of training, cut into batches; the last may be smaller.
            x, y: The training split, inputs (N, F) and labels.
            held_out: Inputs and labels of the validation split, then of the stopping split.

        Returns:
            Shape (7,), the values of `CURVE_COLUMNS`.
        """
        steps = (tf.size(order) + self.batch_size - 1) // self.batch_size
        for step in tf.range(steps):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            self.model.train_step((tf.gather(x, rows), tf.gather(y, rows)))
        if hasattr(self.model, "after_epoch"):
            self.model.after_epoch(*held_out[2:])
        measures = self._measure(x, y)
        for inputs, labels in zip(held_out[::2], held_out[1::2], strict=True):
            measures += self._measure(inputs, labels)
        penalty = tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0)
        return tf.stack([*measures, penalty])

    def _measure(self, x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        """Compute the data loss, and accuracy or R², of one split in inference mode."""
        outputs = self.model(x, training=False)
        loss = self.data_loss(y, outputs)
        if self.is_classifier:
            right = tf.equal(tf.argmax(outputs, axis=-1, output_type=tf.int32), y)
            return [loss, tf.reduce_mean(tf.cast(right, tf.float32))]
        residual = tf.reduce_sum(tf.square(y - outputs))
        total = tf.reduce_sum(tf.square(y - tf.reduce_mean(y)))
        return [loss, 1.0 - residual / total]


_programs: OrderedDict[str, Program] = OrderedDict()
_finished: dict[str, keras.Model] = {}


def remember_model(spec: RunSpec, model: keras.Model) -> None:
    """Note which model the run that is just over has ended with."""
    _finished.clear()
    _finished[spec.digest] = model


def finished_model(spec: RunSpec) -> keras.Model:
    """Return the model of the run that was last over in this process; raises KeyError where that was another one."""
    return _finished[spec.digest]


def program_for(experiment: Experiment, spec: RunSpec, split: Split) -> Program:
    """Return a program in the initial state of `spec`, traced before where an arm's other seed ran."""
    model = experiment.model(spec)
    key = f"{spec.experiment} {spec.model_key}"
    if key in _programs:
        _programs.move_to_end(key)
        _programs[key].reset(model)
    else:
        _programs[key] = Program(model, spec.batch_size, split, experiment.data_loss(spec, model))  # type: ignore[attr-defined]
        while len(_programs) > MAX_PROGRAMS:
            _programs.popitem(last=False)
    return _programs[key]


def batch_order(spec: RunSpec, n: int) -> Callable[[], np.ndarray]:
    """Return a function that draws the next epoch's order of `n` rows; equal for every arm of a seed."""
    rng = np.random.default_rng([spec.seed, 21])
    return lambda: rng.permutation(n).astype("int32")


@dataclass
class EarlyStopping:
    """Stop after `patience` epochs without a better loss, as `keras.callbacks.EarlyStopping` counts."""

    patience: int
    best: float = float("inf")
    best_epoch: int = 0
    weights: list[np.ndarray] = field(default_factory=list)

    def is_over(self, epoch: int, loss: float, model: keras.Model) -> bool:
        """Take note of an epoch's loss; keep the weights of the best."""
        if loss < self.best:
            self.best, self.best_epoch = loss, epoch
            self.weights = model.get_weights()
        return epoch - self.best_epoch >= self.patience


def train(
    experiment: Experiment,
    spec: RunSpec,
    report: Report | None = None,
    should_stop: Callable[[], bool] = never,
    data: Splits | None = None,
    observe: Observer | None = None,
) -> RunResult:
    """Train one run and measure it after every epoch.

    Args:
        experiment: Builds data and model from `spec`.
        spec: Its `epochs`, `batch_size` and `patience` (0 for none) steer the loop.
        report: Called after every epoch.
        should_stop: Asked after every epoch; a run that it ends is marked stopped.
        data: Splits to use instead of loading them.
        observe: Looks at the model after every epoch; its frames join the result.

    Returns:
        The result. A run whose training loss leaves the finite or grows a hundredfold ends there,
        marked diverged. With `patience`, the model ends with the weights of the best stopping loss.
    """
    splits = data or experiment.data(spec)
    program = program_for(experiment, spec, splits.train)
    model = program.model
    started = time.perf_counter()
    x, y = tf.constant(splits.train.x), tf.constant(splits.train.y)
    held_out = [tf.constant(part) for s in (splits.validation, splits.stopping) for part in (s.x, s.y)]
    draw = batch_order(spec, len(splits.train.x))
    epochs, patience = spec.epochs, getattr(spec, "patience", 0)  # type: ignore[attr-defined]
    stopping = EarlyStopping(patience) if patience else None
    rows: list[np.ndarray] = []
    status: Status = "complete"

    for epoch in range(epochs + 1):
        order = draw() if epoch else np.empty(0, "int32")
        row = program.epoch(tf.constant(order), x, y, held_out).numpy().astype("float64")
        rows.append(row)
        if report:
            report(epoch, row)
        if observe:
            observe(epoch, model)
        if not np.isfinite(row).all() or row[0] > DIVERGED * max(rows[0][0], 1e-3):
            status = "diverged"
            break
        if stopping and stopping.is_over(epoch, row[CURVE_COLUMNS.index("stopping_loss")], model):
            break
        if epoch < epochs and should_stop():
            status = "stopped"
            break
    if stopping and status == "complete":
        model.set_weights(stopping.weights)
        if observe:
            observe.restored(model)

    curves = pd.DataFrame(np.array(rows), columns=list(CURVE_COLUMNS)).astype("float32")
    curves.insert(0, "epoch", np.arange(len(curves), dtype="int32"))
    best = int(np.nanargmin(np.where(np.isfinite(curves["validation_loss"]), curves["validation_loss"], np.inf)))
    final = stopping.best_epoch if stopping and status == "complete" else len(curves) - 1
    info = RunInfo(
        digest=spec.digest,
        spec=spec.canonical(),
        status=status,
        epochs=len(curves) - 1,
        final_epoch=final,
        best_epoch=best,
        parameters=model.count_params(),
        prior_loss=splits.prior_loss,
        seconds=round(time.perf_counter() - started, 3),
        versions=versions(),
        host=host(),
        recorded=dt.datetime.now(dt.UTC).replace(microsecond=0),
    )
    remember_model(spec, model)
    seen = observe.frames() if observe else {}
    return RunResult(info, {"curves": curves, **seen, **experiment.frames(spec, model, splits)})


def versions() -> dict[str, str]:
    """Name the versions that decide the numbers."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def host() -> str:
    """Name the kind of machine, and nothing that identifies it."""
    return f"{platform.system()} {platform.machine()}"


def use_one_thread() -> None:
    """Give each run one thread: sums are then added in one order, and runs scale with processes."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
