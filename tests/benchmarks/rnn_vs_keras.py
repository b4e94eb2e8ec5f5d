"""Time Keras' default layer under `fit` against the page's training: `python -m tests.benchmarks.rnn_vs_keras`."""

from __future__ import annotations

import json
import sys
import time

from tests.benchmarks._common import in_fresh_process, print_figure, say
from tests.benchmarks._recurrent import (
    ARMS,
    BATCH,
    EMBEDDING,
    MEASURED,
    STEPS,
    UNITS,
    WARM,
    at_once,
    batches,
    median,
    our_span,
    rate,
)  # fmt: skip

MODULE = "tests.benchmarks.rnn_vs_keras"
ROUNDS = 3  # both sides in turn, so that a busy moment of the machine meets both


def main() -> None:
    """Measure both sides and print their ratio."""
    say(f"work: LSTM {UNITS}, {STEPS} steps, batches of {BATCH}, {ARMS} arms; characters a second of all arms")
    ours, fits = [], []
    for _ in range(ROUNDS):
        ours.append(at_once(MODULE, "ours"))
        fits.append(rate(in_fresh_process(MODULE, "fit")))
    say(f"ours, {ARMS} arms at once, one thread each: {median(ours):,.0f} ({', '.join(f'{r:,.0f}' for r in ours)})")
    say(f"fit, one arm after the other: {median(fits):,.0f} ({', '.join(f'{r:,.0f}' for r in fits)})")
    print_figure("ratio", "rnn_vs_keras", median(ours) / median(fits))


def time_fit() -> float:
    """Return the seconds of the counted steps of `fit` with Keras' default layer and its own threads."""
    import keras

    x, y, size = batches(MEASURED)
    inputs = keras.Input((STEPS,), dtype="int32")
    outputs = keras.layers.Embedding(size, EMBEDDING)(inputs)
    outputs = keras.layers.Dense(size)(keras.layers.LSTM(UNITS, return_sequences=True)(outputs))
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x[: WARM * BATCH], y[: WARM * BATCH], batch_size=BATCH, verbose=0)
    started = time.perf_counter()
    model.fit(x, y, batch_size=BATCH, verbose=0)
    return time.perf_counter() - started


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(our_span() if sys.argv[1] == "ours" else time_fit()))
    else:
        main()
