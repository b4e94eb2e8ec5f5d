"""Set the page's training against the machine's matrix products: `python -m tests.benchmarks.rnn_vs_limit`."""

from __future__ import annotations

import json
import sys
import time

from tests.benchmarks._common import print_figure, say
from tests.benchmarks._recurrent import ARMS, BATCH, EMBEDDING, STEPS, UNITS, at_once, batches, median, our_span

MODULE = "tests.benchmarks.rnn_vs_limit"
ROUNDS = 3
REPEATS = 40


def main() -> None:
    """Measure both sides and print their ratio."""
    size = batches(1)[2]
    gates = 4 * UNITS * (EMBEDDING + UNITS)
    # A weight costs two operations forward and four backward for each character.
    operations = 6.0 * (gates + UNITS * size)
    ours, limits = [], []
    for _ in range(ROUNDS):
        ours.append(at_once(MODULE, "ours") * operations / 1e9)
        limits.append(_products_at_once())
    say(
        f"work: LSTM {UNITS}, {STEPS} steps, batches of {BATCH}, {ARMS} arms at once, {operations / 1e6:.2f} M operations a character"
    )
    say(f"ours: {median(ours):.1f} GFLOP/s ({', '.join(f'{r:.1f}' for r in ours)})")
    say(f"matrix products of the layer's own shapes, as many at once: {median(limits):.1f} GFLOP/s")
    print_figure("ratio", "rnn_vs_limit", median(ours) / median(limits))


def _products_at_once() -> float:
    from concurrent.futures import ThreadPoolExecutor

    from tests.benchmarks._common import in_fresh_process

    with ThreadPoolExecutor(ARMS) as pool:
        return sum(job.result() for job in [pool.submit(in_fresh_process, MODULE, "products") for _ in range(ARMS)])


def products() -> float:
    """Return GFLOP/s of one thread over the products of a step: forward, and the two of the gradient."""
    import tensorflow as tf

    from core.training import use_one_thread

    use_one_thread()
    size = batches(1)[2]
    shapes = [(BATCH, EMBEDDING, 4 * UNITS), (BATCH, UNITS, 4 * UNITS), (BATCH, UNITS, size)]
    triples = [(tf.random.normal((m, k)), tf.random.normal((k, n)), tf.random.normal((m, n))) for m, k, n in shapes]
    operations = sum(6.0 * m * k * n for m, k, n in shapes) * STEPS

    @tf.function
    def step():
        total = tf.constant(0.0)
        for _ in tf.range(STEPS):
            for x, w, g in triples:
                total += (
                    tf.matmul(x, w)[0, 0]
                    + tf.matmul(g, w, transpose_b=True)[0, 0]
                    + tf.matmul(x, g, transpose_a=True)[0, 0]
                )
        return total

    step()
    started = time.perf_counter()
    for _ in range(REPEATS):
        step()
    return operations * REPEATS / (time.perf_counter() - started) / 1e9


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(our_span() if sys.argv[1] == "ours" else products()))
    else:
        main()
