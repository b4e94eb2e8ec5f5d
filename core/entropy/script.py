"""Write a Keras script that reproduces the runs of an entropy study with plain `fit`; imports no TensorFlow.

It carries the source of the very functions that trained them, read from their files.
"""

from __future__ import annotations

import ast
import inspect
import pprint
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from core import entropy
from core.attachments import OWN_PREFIX
from core.datasets import find, loaders
from core.datasets.tables import READ_OWN
from core.study import Study

SCRIPT = '''"""Contraste, entropy: {query}

Digest of the comparison: {digest}
Needs: {needs}
Run: python train.py            writes curves.csv, one row an arm, seed and epoch.
"""

{imports}

{dataset}

ARMS = {arms}
SHARED = {shared}
SEEDS = {seeds}
MAX_BETA = {max_beta}


def load(dataset, progress=None):
    """Load all rows."""
    return {load}


{parts}


def nll_and_accuracy(model, part):
    """Measure one split in inference mode, in plain cross-entropy."""
    logits = np.asarray(model(part.x, training=False))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return float(loss(part.y, logits)), float((logits.argmax(-1) == part.y).mean())


def train(spec):
    """Train one arm and seed; yield a row of measures an epoch."""
    data, unlabelled = cut(spec, DATASET)
    model = build_model(spec, DATASET, unlabelled if spec.minimise else None)
    order = np.random.default_rng([spec.seed, 21])
    for epoch in range(spec.epochs + 1):
        if epoch:
            rows = order.permutation(len(data.train.x))
            model.fit(data.train.x[rows], data.train.y[rows], batch_size=spec.batch_size, shuffle=False, verbose=0)
        if hasattr(model, "after_epoch"):
            model.after_epoch(data.stopping.x, data.stopping.y)
        yield epoch, *nll_and_accuracy(model, data.train), *nll_and_accuracy(model, data.validation)


if __name__ == "__main__":
    columns = "arm", "seed", "epoch", "train_loss", "train_score", "validation_loss", "validation_score"
    with open("curves.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for seed in SEEDS:
            for arm, changes in ARMS.items():
                for row in train(SimpleNamespace(**SHARED | changes, seed=seed)):
                    writer.writerow([arm, seed, *row])
                print(arm, "seed", seed, "validation NLL at the end:", round(row[3], 4), flush=True)
'''

FORMULAS = (entropy.log_softmax, entropy.entropy_of_logits, entropy.checked_beta)
LOSSES = (
    "_labels", "_sparse_cross_entropy", "_penalized_cross_entropy", "ConfidencePenalty", "LabelSmoothing", "Focal",
    "WeightedCrossEntropy", "Net",
)  # fmt: skip


def script(study: Study, query: str, builders: Sequence[Callable]) -> str:
    """Write the script of a study of classifiers.

    Args:
        study: Arms and seeds.
        query: The link's settings, for the first line.
        builders: The functions that cut the data and build the model.
    """
    dataset = find(study.base.dataset)  # type: ignore[attr-defined]
    parts: list = [loaders.Split, loaders.Splits, loaders.split, loaders._scale, loaders._flip]
    needs = ["tensorflow", "numpy"]
    imports = ["from __future__ import annotations", "", "import csv", "import math"]
    imports += ["from dataclasses import dataclass", "from types import SimpleNamespace", ""]
    imports += ["import keras", "import numpy as np", "import tensorflow as tf"]
    own_source = []
    if dataset.name.startswith(OWN_PREFIX):
        needs.append(f"the file {dataset.name}.csv, which is in the archive")
        own_source = [READ_OWN]
        load = f"read_own({dataset.name + '.csv'!r})"
    elif dataset.is_toy:
        parts.append(loaders._draw)
        load = f"_draw({dataset.name!r}, {dataset.n})"
    elif dataset.is_download:
        parts.append(loaders.join_parts)
        load = f"join_parts(DATASET, *keras.datasets.{dataset.name}.load_data())"
    else:
        needs.append("scikit-learn")
        imports.append("from sklearn import datasets")
        load = f"datasets.load_{dataset.name}(return_X_y=True)"
    facts = asdict(dataset) | {"inputs": dataset.inputs, "outputs": dataset.outputs, "pool": dataset.pool}
    facts = {key: value for key, value in facts.items() if key not in ("label", "source", "is_toy")}
    source = own_source + [inspect.getsource(part) for part in (*parts, *FORMULAS)]
    source += [*_sources(Path(entropy.__file__).with_name("losses.py"), LOSSES), *map(inspect.getsource, builders)]
    return SCRIPT.format(
        query=query,
        digest=study.digest,
        needs=", ".join(needs),
        imports="\n".join(imports),
        dataset=f"DATASET = SimpleNamespace(**{pprint.pformat(facts, sort_dicts=False, width=100)})",
        arms=pprint.pformat({arm.name: dict(arm.changes) for arm in study.arms}, sort_dicts=False),
        shared=pprint.pformat(study.base.model_dump(exclude={"seed"}), sort_dicts=False),
        seeds=list(study.seeds),
        max_beta=entropy.MAX_BETA,
        load=load,
        parts=_without_imports("\n\n".join(part.strip() + "\n" for part in source)).strip(),
    )


def _sources(path: Path, names: Sequence[str]) -> list[str]:
    """Read definitions from a file that only workers may import."""
    text = path.read_text("utf-8")
    found = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return [ast.get_source_segment(text, found[name]) or "" for name in names]


def _without_imports(source: str) -> str:
    """Leave out what functions import: it stands at the top of the script, or in the script itself."""
    source = re.sub(r"^ +(import keras|from core\.\S+ import [^\n(]+)\n", "", source, flags=re.MULTILINE)
    return re.sub(r'("""\n)\n+(?= )', r"\1", source)
