"""Time `predict` a character at a time against the page's writing: `python -m tests.benchmarks.generate_vs_predict`."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from tests.benchmarks._common import in_fresh_process, print_figure, say
from tests.benchmarks._recurrent import median, spec

MODULE = "tests.benchmarks.generate_vs_predict"
ROUNDS = 3
LENGTH = 1_000
PREDICTED = 60  # characters by `predict`; the rest is extrapolated
SIZE = 65


def main() -> None:
    """Measure both sides, the same LSTM in turn, and print their ratio."""
    for units in (128, 256):
        times = [in_fresh_process(MODULE, str(units)) for _ in range(ROUNDS)]
        ours, theirs = (median([pair[side] for pair in times]) for side in (0, 1))
        say(f"LSTM {units}: {LENGTH} characters in {ours:.3f} s; by predict, a character at a time, {theirs:.1f} s")
        print_figure("seconds", f"write_{units}", ours)
        print_figure("ratio", "generate_vs_predict" if units == 128 else f"generate_vs_predict_{units}", theirs / ours)


def time_both(units: int) -> tuple[float, float]:
    """Return the seconds of 1,000 characters: in NumPy as the page writes, and by `predict` with a stateful layer."""
    import keras

    from core.text.generation import Net, Sampling, write
    from core.text.recurrent import build_model, weights_of

    source = build_model(spec(units=units, window=8), SIZE)
    net = Net("lstm", weights_of(source))
    prompt = np.array([1, 2, 3])
    write(net, prompt, 50, Sampling(0.8))
    started = time.perf_counter()
    write(net, prompt, LENGTH, Sampling(0.8))
    ours = time.perf_counter() - started

    model = keras.Sequential(
        [
            keras.Input(batch_shape=(1, 1), dtype="int32"),
            keras.layers.Embedding(SIZE, 64),
            keras.layers.LSTM(units, stateful=True, return_sequences=True),
            keras.layers.Dense(SIZE),
        ]
    )
    model.set_weights(source.get_weights()[: len(model.get_weights())])
    rng, code = np.random.default_rng(0), 1

    def one() -> None:
        nonlocal code
        logits = model.predict(np.array([[code]]), verbose=0)[0, 0] / 0.8
        p = np.exp(logits - logits.max())
        code = int(rng.choice(SIZE, p=p / p.sum()))

    for _ in range(5):
        one()
    started = time.perf_counter()
    for _ in range(PREDICTED):
        one()
    return ours, (time.perf_counter() - started) / PREDICTED * LENGTH


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(time_both(int(sys.argv[1]))))
    else:
        main()
