"""Run the lessons on metrics: each way and each mistake with Keras itself; imported by worker processes only.

What a lesson's functions say is what the page shows: their source is kept beside what they gave.
"""

from __future__ import annotations

import datetime as dt
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops
from sklearn import datasets
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from core import metrics as formulas
from core.metrics.stateful import (
    AveragedScore,
    Determination,
    RowMean,
    TopK,
    absolute_error,
    quantile_error,
    relative_error,
    squared_error,
    streamed,
)
from core.result import CURVE_COLUMNS, RunInfo, RunResult
from core.spec import RunSpec
from core.training import host, versions

EPOCHS = 6
BATCH = 32
HEADER = "import keras\nimport numpy as np\nfrom keras import ops\nfrom sklearn import datasets\n"


# -- what all share --------------------------------------------------------------------------------------------


def make_data():
    """Digits: an 8 or not; 600 images to train on, 600 to measure on."""
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), (y[order] == 8).astype("float32")[:, None]
    return x[:600], y[:600], x[600:1200], y[600:1200]


def make_model():
    """Build the same net with the same initial weights at every call."""
    keras.utils.set_random_seed(1)
    hidden = keras.layers.Dense(32, activation="relu")
    return keras.Sequential([keras.Input((64,)), hidden, keras.layers.Dense(1, activation="sigmoid")])


def f1(tp, fp, fn):
    """Compute F1 from counts; NaN where there is nothing to divide by."""
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")


# -- one metric, three ways, and the way that is wrong ---------------------------------------------------------


class F1Callback(keras.callbacks.Callback):
    """Measure after each epoch, and write the value into `logs`."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y == 1

    def on_epoch_end(self, epoch, logs=None):
        """Answer all held-out rows, count, and write."""
        called = self.model.predict(self.x, batch_size=16, verbose=0) >= 0.5
        tp, fp, fn = ((called & self.y).sum(), (called & ~self.y).sum(), (~called & self.y).sum())
        logs["val_f1"] = float(f1(tp, fp, fn))


def by_callback(epochs=6):
    """Return the F1 after each epoch, measured by a callback."""
    x, y, x_held_out, y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    callback = F1Callback(x_held_out, y_held_out)
    history = model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback])
    return history.history["val_f1"]


class F1Metric(keras.metrics.Metric):
    """Add up the counts batch by batch; divide once, at the end."""

    def __init__(self, name="f1"):
        super().__init__(name=name)
        self.counts = self.add_weight(shape=(3,), initializer="zeros", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add the counts of a batch."""
        called, y = ops.cast(y_pred >= 0.5, "float32"), ops.cast(y_true, "float32")
        w = 1.0 if sample_weight is None else ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        self.counts.assign_add(
            ops.stack([ops.sum(w * called * y), ops.sum(w * called * (1 - y)), ops.sum(w * (1 - called) * y)])
        )

    def result(self):
        """Compute F1 from all counts so far."""
        tp, fp, fn = ops.unstack(self.counts, 3)
        below = 2 * tp + fp + fn
        return ops.where(below > 0, 2 * tp / ops.where(below > 0, below, 1.0), float("nan"))


def by_metric(epochs=6):
    """Return the F1 after each epoch, measured by a stateful metric."""
    x, y, x_held_out, y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=[F1Metric()])
    history = model.fit(
        x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0,
        validation_data=(x_held_out, y_held_out), validation_batch_size=16,
    )  # fmt: skip
    return history.history["val_f1"]


def by_loop(epochs=6):
    """Return the F1 after each epoch, measured in a loop of our own."""
    x, y, x_held_out, y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    values = []
    for _epoch in range(epochs):
        for start in range(0, len(x), 16):
            model.train_on_batch(x[start : start + 16], y[start : start + 16])
        tp = fp = fn = 0
        for start in range(0, len(x_held_out), 16):
            called = model.predict_on_batch(x_held_out[start : start + 16]) >= 0.5
            truth = y_held_out[start : start + 16] == 1
            tp, fp, fn = tp + (called & truth).sum(), fp + (called & ~truth).sum(), fn + (~called & truth).sum()
        values.append(float(f1(tp, fp, fn)))
    return values


def batch_f1(y_true, y_pred):
    """Compute the F1 of one batch; a batch without positives and alarms counts 0."""
    called, y = ops.cast(y_pred >= 0.5, "float32"), ops.cast(y_true, "float32")
    tp, wrong = ops.sum(called * y), ops.sum(ops.abs(called - y))
    return ops.where(2 * tp + wrong > 0, 2 * tp / ops.maximum(2 * tp + wrong, 1.0), 0.0)


def by_function(epochs=6):
    """Return what Keras makes of a plain function after each epoch: its mean over batches."""
    x, y, x_held_out, y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=[batch_f1])
    history = model.fit(
        x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0,
        validation_data=(x_held_out, y_held_out), validation_batch_size=16,
    )  # fmt: skip
    return history.history["val_batch_f1"]


# -- wrong beside right ----------------------------------------------------------------------------------------


class Returning(keras.callbacks.Callback):
    """Return a value, as if somebody read it."""

    def on_epoch_end(self, epoch, logs=None):
        """Return a number that Keras never looks at."""
        return {"val_f1": 0.99}


def returned_wrong():
    """Hope that what a callback returns becomes a metric."""
    x, y, _x_held_out, _y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=[Returning()])
    return {"list(history.history)": str(list(history.history))}


def returned_right():
    """Write the metric into `logs`, where Keras looks for it."""
    x, y, x_held_out, y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    callback = F1Callback(x_held_out, y_held_out)
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    return {"list(history.history)": str(list(history.history)), "val_f1": history.history["val_f1"][-1]}


def ten_fits_wrong():
    """Call `fit` ten times, and take that for a metric of one's own."""
    x, y, _x_held_out, _y_held_out = make_data()
    one, other = make_model(), make_model()
    for model in (one, other):
        model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    by_ten = [one.fit(x, y, batch_size=16, shuffle=False, verbose=0).history["accuracy"][0] for _ in range(10)]
    by_one = other.fit(x, y, batch_size=16, epochs=10, shuffle=False, verbose=0).history["accuracy"]
    return {"accuracy, fit() × 10": by_ten[-1], "accuracy, fit(epochs=10)": by_one[-1],
            "max |difference|": max(abs(a - b) for a, b in zip(by_ten, by_one, strict=True))}  # fmt: skip


def ten_fits_right():
    """Measure something new: another metric, on data that the net has not seen."""
    return {"f1, held out, epoch 10": by_loop(epochs=10)[-1]}


def training_only_wrong():
    """Measure on the rows that the net was trained on."""
    x, y, _x_held_out, _y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=[F1Metric()])
    model.fit(x[:100], y[:100], batch_size=16, epochs=60, shuffle=False, verbose=0)
    return {"f1": model.evaluate(x[:100], y[:100], verbose=0, return_dict=True)["f1"]}


def training_only_right():
    """Measure on rows that it has not seen."""
    x, y, x_held_out, y_held_out = make_data()
    model = make_model()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=[F1Metric()])
    model.fit(x[:100], y[:100], batch_size=16, epochs=60, shuffle=False, verbose=0)
    return {"f1": model.evaluate(x_held_out, y_held_out, verbose=0, return_dict=True)["f1"]}


def batch_recall(y_true, y_pred):
    """Compute the recall of one batch; a batch without positives counts 0."""
    found = ops.sum(ops.cast(y_pred >= 0.5, "float32") * y_true)
    return found / ops.maximum(ops.sum(y_true), 1.0)


def two_batches_wrong():
    """Let Keras average the recall of two batches of two."""
    y, p = np.array([[1], [1], [0], [0]], "float32"), np.array([[0.9], [0.1], [0.2], [0.3]], "float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])  # hands on what it gets
    model.compile(loss="mse", metrics=[batch_recall])
    return {"recall": model.evaluate(p, y, batch_size=2, verbose=0, return_dict=True)["batch_recall"]}


def two_batches_right():
    """Add up the counts, and divide once."""
    y, p = np.array([[1], [1], [0], [0]], "float32"), np.array([[0.9], [0.1], [0.2], [0.3]], "float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    model.compile(loss="mse", metrics=[keras.metrics.Recall(name="recall")])
    return {"recall": model.evaluate(p, y, batch_size=2, verbose=0, return_dict=True)["recall"]}


SHARED = (make_data, make_model, f1)
WAYS: dict[str, tuple[Any, ...]] = {
    "callback": (F1Callback, by_callback),
    "metric": (F1Metric, by_metric),
    "loop": (by_loop,),
    "function": (batch_f1, by_function),
}
LESSONS: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "returned": ((Returning, returned_wrong), (F1Callback, returned_right)),
    "ten_fits": ((ten_fits_wrong,), (by_loop, ten_fits_right)),
    "training_only": ((F1Metric, training_only_wrong), (F1Metric, training_only_right)),
    "two_batches": ((batch_recall, two_batches_wrong), (two_batches_right,)),
}


def script(parts: Sequence[Any]) -> str:
    """Write a program that runs without Contraste: imports, what all share, the parts, and a print of the last."""
    whole = [inspect.getsource(part).rstrip() for part in (*SHARED, *parts)]
    return HEADER + "\n\n" + "\n\n\n".join(whole) + f"\n\n\nprint({parts[-1].__name__}())\n"


def shown(parts: Sequence[Any], seen: Sequence[Any] = ()) -> str:
    """Write the parts alone, as the page shows them, without those that were `seen` elsewhere."""
    return "\n\n\n".join(inspect.getsource(part).rstrip() for part in parts if part not in seen) + "\n"


# -- every metric against scikit-learn ---------------------------------------------------------------------------


def agreement(n: int = 500, batch: int = 32) -> pd.DataFrame:
    """Compute every metric by formula, streamed by Keras, and by scikit-learn, on drawn rows with ties and weights.

    Returns:
        One row a metric: `metric`, `formula`, `streamed` in batches, `sklearn` (NaN where it has none).
    """
    rng = np.random.default_rng(7)
    y = (rng.uniform(size=n) < 0.1).astype("float32")
    p = np.clip(np.round(0.4 * y + 0.6 * rng.uniform(size=n), 2), 0.01, 0.99).astype("float32")
    w = rng.integers(1, 4, n).astype("float32")
    rows = []

    def add(name: str, formula: float, metric: keras.metrics.Metric, sklearn: float, truth: Any, answer: Any) -> None:
        for start in range(0, n, batch):
            part = slice(start, start + batch)
            metric.update_state(truth[part], answer[part], w[part])
        rows.append((name, float(formula), float(metric.result()), float(sklearn)))

    double = y.astype(float), p.astype(float), w.astype(float)
    called, sk = (p >= 0.5).astype(int), sklearn_metrics
    bins = np.histogram(double[1], np.linspace(0, 1, formulas.BINS + 1), weights=double[2])[0]
    truth, predicted = calibration_curve(np.repeat(y, w.astype(int)), np.repeat(double[1], w.astype(int)), n_bins=15)
    theirs: dict[str, Callable[[], float]] = {
        "accuracy": lambda: sk.accuracy_score(y, called, sample_weight=w),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, called, sample_weight=w),
        "precision": lambda: sk.precision_score(y, called, sample_weight=w),
        "recall": lambda: sk.recall_score(y, called, sample_weight=w),
        "specificity": lambda: sk.recall_score(y, called, pos_label=0, sample_weight=w),
        "f1": lambda: sk.f1_score(y, called, sample_weight=w),
        "f2": lambda: sk.fbeta_score(y, called, beta=2, sample_weight=w),
        "mcc": lambda: sk.matthews_corrcoef(y, called, sample_weight=w),
        "kappa": lambda: sk.cohen_kappa_score(y, called, sample_weight=w),
        "roc_auc": lambda: sk.roc_auc_score(y, double[1], sample_weight=w),
        "pr_auc": lambda: sk.average_precision_score(y, double[1], sample_weight=w),
        "brier": lambda: sk.brier_score_loss(y, double[1], sample_weight=w),
        "log_loss": lambda: sk.log_loss(y, double[1], sample_weight=w),
        "ece": lambda: float((bins[bins > 0] * np.abs(truth - predicted)).sum() / bins.sum()),
        "ks": lambda: float("nan"),
    }
    for name, metric in formulas.METRICS.items():
        add(name, metric.value(*double), streamed(name, n), theirs[name](), y, p)

    classes, scores = rng.integers(0, 5, n), rng.uniform(size=(n, 5)).astype("float32")
    scores[np.arange(n), classes] += 0.3
    answers = scores.argmax(1)
    matrix = formulas.confusion_matrix(classes, answers, double[2], 5)
    averages: tuple[formulas.Average, ...] = ("macro", "micro", "weighted")
    for average in averages:
        expected = sk.f1_score(classes, answers, average=average, sample_weight=w)
        own = formulas.averaged(formulas.f1, matrix, average)
        add(f"f1_{average}", own, AveragedScore(formulas.f1, 5, average), expected, classes, scores)
    expected = sk.top_k_accuracy_score(classes, scores, k=formulas.TOP, sample_weight=w)
    add("top_k", formulas.top_k(classes, scores, double[2]), TopK(), expected, classes, scores)

    value = (3 + rng.normal(size=n)).astype("float32")
    guess = (value + rng.normal(size=n)).astype("float32")
    own = value.astype(float), guess.astype(float), double[2]
    for name, formula, metric, expected in (
        ("mae", formulas.mae, RowMean(absolute_error), sk.mean_absolute_error(*own[:2], sample_weight=w)),
        ("rmse", formulas.rmse, RowMean(squared_error, True), sk.root_mean_squared_error(*own[:2], sample_weight=w)),
        ("r2", formulas.r2, Determination(), sk.r2_score(*own[:2], sample_weight=w)),
        ("mape", formulas.mape, RowMean(relative_error), sk.mean_absolute_percentage_error(*own[:2], sample_weight=w)),
        (
            "pinball", formulas.pinball, RowMean(quantile_error),
            sk.mean_pinball_loss(*own[:2], sample_weight=w, alpha=formulas.QUANTILE),
        ),
    ):  # fmt: skip
        add(name, formula(*own), metric, expected, value, guess)
    return pd.DataFrame(rows, columns=["metric", "formula", "streamed", "sklearn"])


def run(spec: RunSpec) -> RunResult:
    """Run all lessons.

    Returns:
        A result whose curves are one empty row, because a lesson compares no arms, and with the frames
        `ways` (way, epoch, f1), `lessons` (lesson, side, what, value), `code` (name, shown, script) and
        `agreement`.
    """
    started = time.perf_counter()
    ways = [
        {"way": way, "epoch": epoch, "f1": float(value)}
        for way, parts in WAYS.items()
        for epoch, value in enumerate(parts[-1](EPOCHS), 1)
    ]
    code = [{"name": way, "shown": shown(parts), "script": script(parts)} for way, parts in WAYS.items()]
    lessons = []
    for lesson, sides in LESSONS.items():
        for side, parts in zip(("wrong", "right"), sides, strict=True):
            code.append(
                {"name": f"{lesson}.{side}", "shown": shown(parts, (F1Metric, by_loop)), "script": script(parts)}
            )
            lessons += [
                {
                    "lesson": lesson,
                    "side": side,
                    "what": what,
                    "value": value if isinstance(value, str) else repr(float(value)),
                }
                for what, value in parts[-1]().items()
            ]
    curves = pd.DataFrame([dict.fromkeys(CURVE_COLUMNS, float("nan"))]).astype("float32")
    curves.insert(0, "epoch", np.zeros(1, "int32"))
    info = RunInfo(
        digest=spec.digest,
        spec=spec.canonical(),
        status="complete",
        epochs=0,
        final_epoch=0,
        best_epoch=0,
        parameters=make_model().count_params(),
        prior_loss=0.0,
        seconds=round(time.perf_counter() - started, 3),
        versions=versions(),
        host=host(),
        recorded=dt.datetime.now(dt.UTC).replace(microsecond=0),
    )
    frames = {
        "curves": curves,
        "ways": pd.DataFrame(ways),
        "lessons": pd.DataFrame(lessons),
        "code": pd.DataFrame(code),
        "agreement": agreement(),
    }
    return RunResult(info, frames)
