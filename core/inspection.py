"""Look into a trained net: its boundary in the plane, its weights, its activations; called by workers only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import keras

    from core.datasets.loaders import Splits

CELLS = 40  # of the boundary's grid, along each side
SNAPSHOTS = 14
DRAWN_POINTS = 250  # of each split, at most
SAMPLES, UNITS, PASSES = 6, 24, 400  # of the activations: rows, columns, and passes with dropout on
EDGES = tuple(float(edge) for edge in 10.0 ** np.arange(-6, 1.001, 0.125))  # of |w|, eight bins a decade


def snapshot_epochs(epochs: int) -> list[int]:
    """Choose the epochs at which a boundary is kept: 0, the last, and about evenly spaced by factors between."""
    spaced = np.geomspace(1, max(epochs, 1), SNAPSHOTS - 1).round().astype(int)
    return sorted({0, epochs, *spaced.tolist()})


class BoundaryWatcher:
    """Keep what a net of two inputs and two classes answers all over the plane, as it is trained.

    `frames()` gives `boundary` (`epoch`, `cell`, `share`: the probability of class 1 in 1/255 at the
    cell's centre, rows of `CELLS` from the lower left) and `points` (`x`, `y`, `label`, `part`), with the
    extent of the grid in its rows of part `extent`: the lower left and the upper right corner.
    """

    def __init__(self, epochs: int, splits: Splits):
        self.epochs = frozenset(snapshot_epochs(epochs))
        self.last = epochs
        self.splits = splits
        both = np.concatenate([splits.train.x, splits.validation.x])
        low, high = both.min(0), both.max(0)
        self.low, self.high = low - 0.08 * (high - low), high + 0.08 * (high - low)
        sides = [np.linspace(a, b, CELLS, endpoint=False) + (b - a) / CELLS / 2
                 for a, b in zip(self.low, self.high, strict=True)]  # fmt: skip
        columns, rows = np.meshgrid(*sides)
        self.grid = np.stack([columns.ravel(), rows.ravel()], 1).astype("float32")
        self.kept: dict[int, np.ndarray] = {}

    def __call__(self, epoch: int, model: keras.Model) -> None:
        """Take note of an epoch's boundary where it is one of those kept."""
        if epoch in self.epochs:
            self.look(epoch, model)

    def restored(self, model: keras.Model) -> None:
        """Let the weights that early stopping brought back stand for every epoch that it saved."""
        self.look(self.last, model)

    def look(self, epoch: int, model: keras.Model) -> None:
        """Keep the boundary of a model under the number of an epoch."""
        logits = np.asarray(model(self.grid, training=False), dtype="float64")
        share = 1 / (1 + np.exp(np.clip(logits[:, 0] - logits[:, 1], -50, 50)))
        self.kept[epoch] = np.nan_to_num(share * 255).round().astype("uint8")

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return what was seen as tidy tables."""
        cells = np.arange(CELLS * CELLS, dtype="int16")
        boundary = pd.concat(
            [pd.DataFrame({"epoch": np.int32(epoch), "cell": cells, "share": share})
             for epoch, share in sorted(self.kept.items())], ignore_index=True,
        )  # fmt: skip
        parts = [("extent", np.stack([self.low, self.high]), np.zeros(2, "int32"))]
        for name, split in (("training", self.splits.train), ("validation", self.splits.validation)):
            parts.append((name, split.x[:DRAWN_POINTS], split.y[:DRAWN_POINTS]))
        points = pd.concat(
            [pd.DataFrame({"x": x[:, 0].astype("float32"), "y": x[:, 1].astype("float32"),
                           "label": y.astype("int8"), "part": name}) for name, x, y in parts], ignore_index=True,
        )  # fmt: skip
        return {"boundary": boundary, "points": points}


def weight_histogram(model: keras.Model) -> pd.DataFrame:
    """Count the weights of each dense kernel by their size.

    Returns:
        One row a layer and bin that is not empty: `layer` (from 0), `low` (the bin's lower edge of |w|, 0 for
        all below the first of `EDGES`), `count`; the last bin holds everything above.
    """
    rows = []
    for layer, kernel in enumerate(_kernels(model)):
        edges = np.array([0.0, *EDGES, np.inf])
        counts, _edges = np.histogram(np.abs(kernel.ravel()).astype("float64"), edges)
        rows += [(layer, low, int(n)) for low, n in zip(edges[:-1], counts, strict=True) if n]
    return pd.DataFrame(rows, columns=["layer", "low", "count"]).astype({"layer": "int8", "count": "int32"})


def _kernels(model: keras.Model) -> list[np.ndarray]:
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return [np.asarray(layer.kernel) for layer in layers]


def dropout_activations(model: keras.Model, x: np.ndarray) -> pd.DataFrame:
    """Measure what the first dropout layer does to the trained net's own activations.

    Args:
        model: Has a `keras.layers.Dropout`.
        x: Inputs (N, F); the first `SAMPLES` are used, and the `UNITS` units that are most active on them.

    Returns:
        One row a sample and unit: `sample`, `unit`, `inference` (the output that inference sees), `first`
        and `second` (two passes in training mode, each with a mask of its own), `mean` (over `PASSES` of them).
    """
    import keras

    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    before = keras.Model(model.input, layer.input)
    plain = np.asarray(before(x[:SAMPLES], training=False))
    again = np.repeat(plain, PASSES, axis=0).reshape(len(plain), PASSES, -1)
    passes = np.asarray(layer(again, training=True))  # one draw for every element
    units = np.sort(np.argsort(-plain.mean(0), kind="stable")[:UNITS])
    sample, unit = np.meshgrid(np.arange(len(plain)), np.arange(len(units)), indexing="ij")
    columns: dict[str, Any] = {"sample": sample.ravel().astype("int16"), "unit": unit.ravel().astype("int16")}
    for name, values in (("inference", plain), ("first", passes[:, 0]), ("second", passes[:, 1]),
                         ("mean", passes.mean(1))):  # fmt: skip
        columns[name] = values[:, units].ravel().astype("float32")
    return pd.DataFrame(columns)


def measure_test_loss(model: keras.Model, loss: keras.losses.Loss, splits: Splits) -> pd.DataFrame:
    """Measure a trained model once on the test split: one row, `loss` and `n`, the number of points."""
    value = float(loss(splits.test.y, model(splits.test.x, training=False)))
    return pd.DataFrame({"loss": [value], "n": [len(splits.test.x)]})
