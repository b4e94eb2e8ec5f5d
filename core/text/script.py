"""Write a Keras script that reproduces the runs of a comparison of texts, without Contraste.

It carries the source of the very functions that trained them, read from their files: importing
`core.text.recurrent` would bring TensorFlow into the web process.
"""

from __future__ import annotations

import ast
import pprint
from collections.abc import Sequence
from pathlib import Path

from core.study import Study

CORE = Path(__file__).resolve().parents[1]
PARTS = {
    "text/__init__.py": ("prepare", "_is_kept", "symbols_of", "_continues"),
    "text/recurrent.py": (
        "build_model", "_optimizer", "steps_of", "layers_of", "forward", "stretches", "window_starts",
    ),
}  # fmt: skip

TEMPLATE = '''"""Contraste, rnn: {query}

Digest of the comparison: {digest}
Needs: tensorflow, numpy
Run: python train.py            writes curves.csv, one row an arm, seed and epoch; losses in bits a character.
"""

from __future__ import annotations

import csv
import unicodedata
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

CELLS = {{"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}}
STREAMS = {streams}
_JOINERS = {{"\\u200d"}}

ARMS = {arms}
SHARED = {shared}
SEEDS = {seeds}

{parts}


def load():
    """Read the whole text."""
{load}


def cut(spec):
    """Number the symbols and cut training, validation and stopping part."""
    symbols = symbols_of(prepare(load(), case=spec.case, spaces=spec.spaces, punctuation=spec.punctuation))
    vocabulary = sorted(set(symbols))
    numbers = {{symbol: number for number, symbol in enumerate(vocabulary)}}
    codes = np.array([numbers[symbol] for symbol in symbols[:{most}]], "int32")
    start = int({share} * len(codes))
    rest = codes[start:]
    first, second = np.cumsum([round(part * len(rest)) for part in {held_out}])
    validation = rest[:first][: spec.n_validation]
    stopping = rest[first:second][: max(spec.n_validation // 4, 1)]
    return len(vocabulary), codes[: min(spec.n_train, start)], validation, stopping


def measurer(model, carries):
    """Return a function that measures one part in inference mode, the state carried along each stretch."""

    @tf.function(input_signature=[tf.TensorSpec([None, model.input_shape[1]], tf.int32)] * 2 + [[
        [tf.TensorSpec([None, layer.units], tf.float32)] * (2 if isinstance(layer, keras.layers.LSTM) else 1)
        for layer in layers_of(model)
    ]])
    def chunk(x, y, state):
        logits, after = forward(model, x, state)
        loss = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
        return tf.reduce_mean(loss) / np.log(2).astype("float32"), after

    def measure(x, y):
        def empty():
            return [
                [tf.zeros((x.shape[1], layer.units))] * (2 if isinstance(layer, keras.layers.LSTM) else 1)
                for layer in layers_of(model)
            ]

        losses, state = [], empty()
        for inputs, labels in zip(x, y):
            loss, state = chunk(tf.constant(inputs), tf.constant(labels), state if carries else empty())
            losses.append(float(loss))
        return float(np.mean(losses))

    return measure


def train(spec):
    """Train one arm and seed; yield a row of measures an epoch."""
    size, codes, validation, stopping = cut(spec)
    model = build_model(spec, size)
    model.optimizer.build(model.trainable_variables)
    measure = measurer(model, spec.window > 1)
    parts = [stretches(part, spec.n_validation, spec.window) for part in (codes, validation)]
    parts.append(stretches(stopping, len(stopping), spec.window))
    draw = window_starts(spec, len(codes))
    best, best_epoch = float("inf"), 0
    for epoch in range(spec.epochs + 1):
        starts = draw() if epoch else np.empty(0, "int32")
        for step in range(0, len(starts), spec.batch_size):
            places = starts[step : step + spec.batch_size, None] + np.arange(spec.window)
            model.train_on_batch(codes[places], codes[places + 1])
        train_loss, validation_loss, stopping_loss = (measure(*part) for part in parts)
        yield epoch, train_loss, validation_loss
        if stopping_loss < best:
            best, best_epoch = stopping_loss, epoch
        if spec.patience and epoch - best_epoch >= spec.patience:
            break


if __name__ == "__main__":
    with open("curves.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("arm", "seed", "epoch", "train_loss", "validation_loss"))
        for seed in SEEDS:
            for arm, changes in ARMS.items():
                for row in train(SimpleNamespace(**SHARED | changes, seed=seed)):
                    writer.writerow([arm, seed, *row])
                print(arm, "seed", seed, "validation loss at the end:", round(row[2], 4), "bits", flush=True)
'''

LOADS = {
    "shakespeare": """    path = keras.utils.get_file({file!r}, {origin!r}, file_hash={sha!r})
    return open(path, encoding="utf-8").read()""",
    "topics": """    from pydoc_data.topics import topics

    text = "\\n".join(topics.values())
    import hashlib

    found = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if found != SHARED["fingerprint"]:
        raise SystemExit("Expected the help topics of another Python: theirs had SHA-256 " + SHARED["fingerprint"])
    return text""",
    "own": """    # The text that was uploaded to the page, beside this script.
    return open("text.txt", encoding="utf-8").read()""",
}


def sources() -> str:
    """Read the functions that a script carries."""
    found = []
    for name, functions in PARTS.items():
        text = (CORE / name).read_text("utf-8")
        nodes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        found += [ast.get_source_segment(text, nodes[function]) or "" for function in functions]
    return "\n\n\n".join(found)


def write_script(study: Study, query: str, held_out: Sequence[float], share: float, most: int, streams: int) -> str:
    """Write the script of a study of texts."""
    from core.text import FILE, ORIGIN, SHA256

    base = study.base
    load = LOADS[base.corpus].format(file=FILE, origin=ORIGIN, sha=SHA256)  # type: ignore[attr-defined]
    return TEMPLATE.format(
        query=query,
        digest=study.digest,
        streams=streams,
        arms=pprint.pformat({arm.name: dict(arm.changes) for arm in study.arms}, sort_dicts=False),
        shared=pprint.pformat(base.model_dump(exclude={"seed"}), sort_dicts=False),
        seeds=list(study.seeds),
        parts=sources(),
        load=load,
        held_out=tuple(held_out),
        share=share,
        most=most,
    )
