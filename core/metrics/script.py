"""Write the Keras script of the metrics page: the runs and their metrics again, without Contraste."""

from __future__ import annotations

import inspect
import pprint
from collections.abc import Sequence
from typing import Any

from core.datasets import OWN_PREFIX, imbalanced, loaders
from core.study import Study

SCRIPT = '''"""{title}

Digest of the comparison: {digest}
Needs: tensorflow, numpy, scikit-learn
Run: python train.py     writes curves.csv, one row an arm, seed and epoch, and metrics.csv, one row a run.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from types import SimpleNamespace

import keras
import numpy as np
from sklearn import datasets, metrics

ARMS = {arms}
SHARED = {shared}
SEEDS = {seeds}
INPUTS, IS_IMAGE = {inputs}, {is_image}
TEST_SHARE, VALIDATION_SHARE, STOPPING_SHARE = {shares}

{parts}


def load():
    """Load all rows, and labels 0 or 1."""
{load}


def data_loss_and_score(model, part):
    """Measure one split in inference mode, without penalty and class weights."""
    outputs = model.predict_on_batch(part.x)
    return float(_loss(1.0)(part.y, outputs)), float((outputs.argmax(-1) == part.y).mean())


def train(spec, finished):
    """Train one arm and seed; yield a row of measures an epoch, and leave the net and its data in `finished`."""
    x, y = load()
    data = split_task(x, y, share=spec.share, n_train=spec.n_train, seed=spec.seed, flipped=spec.flipped,
                      noise=spec.noise, is_image=IS_IMAGE)
    model = build_model(spec, INPUTS)
    order = np.random.default_rng([spec.seed, 21])
    best, best_epoch, weights = float("inf"), 0, None
    for epoch in range(spec.epochs + 1):
        if epoch:
            rows = order.permutation(len(data.train.x))
            model.fit(data.train.x[rows], data.train.y[rows], batch_size=spec.batch_size, shuffle=False, verbose=0)
        yield epoch, *data_loss_and_score(model, data.train), *data_loss_and_score(model, data.validation)
        stopping_loss, _ = data_loss_and_score(model, data.stopping)
        if stopping_loss < best:
            best, best_epoch, weights = stopping_loss, epoch, model.get_weights()
        if spec.patience and epoch - best_epoch >= spec.patience:
            break
    if spec.patience:
        model.set_weights(weights)
    finished += [model, data]


def scores(model, part):
    """Compute metrics of one split by scikit-learn."""
    logits = model.predict_on_batch(part.x).astype("float64")
    p = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    called = (p >= 0.5).astype(int)
    return [metrics.accuracy_score(part.y, called), metrics.precision_score(part.y, called, zero_division=np.nan),
            metrics.recall_score(part.y, called), metrics.f1_score(part.y, called),
            metrics.average_precision_score(part.y, p), metrics.brier_score_loss(part.y, p)]


if __name__ == "__main__":
    columns = "arm", "seed", "epoch", "train_loss", "train_score", "validation_loss", "validation_score"
    names = "arm", "seed", "split", "accuracy", "precision", "recall", "f1", "pr_auc", "brier"
    with open("curves.csv", "w", newline="") as one, open("metrics.csv", "w", newline="") as other:
        curves, table = csv.writer(one), csv.writer(other)
        curves.writerow(columns)
        table.writerow(names)
        for seed in SEEDS:
            for arm, changes in ARMS.items():
                finished = []
                for row in train(SimpleNamespace(**SHARED | changes, seed=seed), finished):
                    curves.writerow([arm, seed, *row])
                model, data = finished
                for name in ("validation", "test"):
                    table.writerow([arm, seed, name, *scores(model, getattr(data, name))])
                print(arm, "seed", seed, "validation data loss at the end:", round(row[3], 4), flush=True)
'''


def write(study: Study, query: str, model_parts: Sequence[Any]) -> str:
    """Write a script that trains the runs of `study` by plain `fit`, from the source of what trained them here."""
    base = study.base
    task = imbalanced.find_task(base.dataset)  # type: ignore[attr-defined]
    parts = [loaders.Split, loaders.Splits, imbalanced.thinned, imbalanced.cut, imbalanced.thin, imbalanced.split_task]
    load = [f"    x, y = datasets.load_{task.name}(return_X_y=True)"]
    if task.name.startswith(OWN_PREFIX):  # the file is in the archive; its last column numbers the classes
        load = [
            f'    table = np.loadtxt({task.name + ".csv"!r}, delimiter=",", skiprows=1)',
            f'    return table[:, :-1].astype("float32"), (table[:, -1] == {base.positive}).astype(int)',  # type: ignore[attr-defined]
        ]
    elif task.name == "breast_cancer":
        load.append("    return x, (y == 0).astype(int)  # scikit-learn writes malignant as 0")
    elif task.name == "digits":
        load.append(f"    return x, (y == {base.positive}).astype(int)")  # type: ignore[attr-defined]
    else:
        parts.insert(0, loaders._draw)
        load = [f"    return _draw({task.name!r}, {imbalanced.DRAWN})"]
    source = "\n\n".join(inspect.getsource(part) for part in (*parts, *model_parts))
    for line in ("    import keras\n\n", "    from core.datasets.loaders import Split, Splits\n\n"):
        source = source.replace(line, "")
    return SCRIPT.format(
        title=f"Contraste, metrics: {query}",
        digest=study.digest,
        arms=pprint.pformat({arm.name: dict(arm.changes) for arm in study.arms}, sort_dicts=False),
        shared=pprint.pformat(base.model_dump(exclude={"seed", "lesson"}), sort_dicts=False),
        seeds=list(study.seeds),
        inputs=task.inputs,
        is_image=task.is_image,
        shares=(imbalanced.TEST_SHARE, imbalanced.VALIDATION_SHARE, imbalanced.STOPPING_SHARE),
        parts=source.strip(),
        load="\n".join(load),
    )
