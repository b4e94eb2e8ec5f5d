"""Write a Keras script that reproduces a comparison of losses without Contraste; imports no TensorFlow."""

from __future__ import annotations

import inspect
import pprint
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.attachments import OWN_PREFIX
from core.datasets import DATASETS, Dataset, Kind, loaders
from core.datasets.tables import READ_OWN
from core.formula import Formula
from core.losses import code as losscode
from core.study import Study

SCRIPT = '''"""Contraste, custom_loss: {query}

Digest of the comparison: {digest}
Needs: {needs}
Run: python train.py            writes curves.csv, one row an arm, seed and epoch.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from types import SimpleNamespace

import keras
import numpy as np
from keras import ops
{imports}

DATASET = SimpleNamespace(**{dataset})
SHARED = {shared}
SEEDS = {seeds}
RARE = {rare}

{parts}


{functions}


LOSSES = {{{losses}}}


def data_of(spec):
    """Load and split the data of one seed, and spoil the training part as the comparison does."""
    x, y = {load}
    sizes = dict(n_train=spec.n_train, n_validation=spec.n_validation, seed=spec.seed)
    splits = split(DATASET, x, y, **sizes, flipped=spec.flipped)
    if DATASET.kind == "regression":
        both = spec.side == "both"
        return contaminate(splits, spec.outliers, spec.outlier_size, spec.target_noise, spec.seed, both=both)
    return thin_out(splits, split(DATASET, x, y, **sizes).train.y, RARE, spec.kept, spec.seed)


def measure(model, part):
    """Measure one split by the yardstick, in inference mode: data loss, and R² or accuracy."""
    outputs = model.predict_on_batch(part.x)
    if DATASET.classes:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(part.y, outputs)
        return float(loss), float((outputs.argmax(-1) == part.y).mean())
    loss = float(((part.y - outputs) ** 2).mean())
    return loss, 1 - loss / float(((part.y - part.y.mean()) ** 2).mean())


def train(spec, loss):
    """Train one arm and seed; yield a row of measures an epoch."""
    data = data_of(spec)
    model = build_net(spec, DATASET, loss)
    order = np.random.default_rng([spec.seed, 21])
    for epoch in range(spec.epochs + 1):
        if epoch:
            rows = order.permutation(len(data.train.x))
            model.fit(data.train.x[rows], data.train.y[rows], batch_size=spec.batch_size, shuffle=False, verbose=0)
        yield epoch, *measure(model, data.train), *measure(model, data.validation)


if __name__ == "__main__":
    columns = "arm", "seed", "epoch", "train_loss", "train_score", "validation_loss", "validation_score"
    with open("curves.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for seed in SEEDS:
            for arm, loss in LOSSES.items():
                for row in train(SimpleNamespace(**SHARED, seed=seed), loss):
                    writer.writerow([arm, seed, *row])
                print(arm, "seed", seed, "validation loss at the end:", round(row[3], 4), flush=True)
'''


def write(
    query: str,
    study: Study,
    dataset: Dataset,
    losses: Mapping[str, tuple[Kind, Formula, dict[str, float]]],
    own_parts: Sequence[Any],
    rare: int,
) -> str:
    """Write the script.

    Args:
        query: The settings as a link has them.
        study: Its arms are trained.
        dataset: Drawn by `draw_rows` of `own_parts`, by the loaders, or taken from scikit-learn.
        losses: By arm, what `core.losses.code.function_form` takes after the name.
        own_parts: Functions whose very source the script carries.
        rare: The class that formulas call rare.
    """
    parts: list[Any] = [loaders.Split, loaders.Splits, loaders.split, loaders._scale, loaders._flip, *own_parts]
    needs, imports, reader = "tensorflow, numpy", "", ""
    if dataset.name.startswith(OWN_PREFIX):
        needs += f"; the file {dataset.name}.csv, which is in the archive"
        load, reader = f"read_own({dataset.name + '.csv'!r})", READ_OWN
    elif dataset.name not in DATASETS:
        load = f"draw_rows({dataset.name!r}, {dataset.n})"
    elif dataset.is_toy:
        parts.append(loaders._draw)
        load = f"_draw({dataset.name!r}, {dataset.n})"
    else:
        needs, imports = needs + ", scikit-learn", "from sklearn import datasets\n"
        load = f"datasets.load_{dataset.name}(return_X_y=True)"
    facts = asdict(dataset) | {"inputs": dataset.inputs, "outputs": dataset.outputs}
    facts = {key: value for key, value in facts.items() if key not in ("label", "source", "is_toy")}
    names = {arm: losscode.identifier("baseline" if arm == "none" else arm) for arm in losses}
    functions = [losscode.function_form(names[arm], *loss, rare) for arm, loss in losses.items()]
    return SCRIPT.format(
        query=query,
        digest=study.digest,
        needs=needs,
        imports=imports,
        dataset=pprint.pformat(facts, sort_dicts=False, width=100),
        shared=pprint.pformat(
            study.base.model_dump(exclude={"seed", "loss", "formula", "values", "lesson"}), sort_dicts=False
        ),
        seeds=list(study.seeds),
        rare=rare,
        parts=(reader + "\n\n".join(_source(part) for part in parts)).strip(),
        functions="\n\n\n".join(functions),
        losses=", ".join(f"{arm!r}: {name}" for arm, name in names.items()),
        load=load,
    )


def _source(part: Any) -> str:
    return inspect.getsource(part).replace("    import keras\n\n", "")
