"""The training that the recurrent benchmarks time: LSTM 256 on 64 steps, batches of 32, two arms."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from core.experiments.rnn import RnnRun
from core.text import cut, topics_text
from tests.benchmarks._common import in_fresh_process

UNITS, STEPS, BATCH, ARMS = 256, 64, 32, 2
MEASURED = 30  # steps of each arm, after some that are not counted
WARM = 4
EMBEDDING = 64


def spec(**values: Any) -> RnnRun:
    """Describe one arm's run."""
    fields = {
        "seed": 0, "corpus": "topics", "n_train": 200_000, "n_validation": 2_000, "cell": "lstm", "units": UNITS,
        "embedding": EMBEDDING, "window": STEPS, "epochs": 1, "batch_size": BATCH, "learning_rate": 1e-3, "clip": 1.0,
    }  # fmt: skip
    return RnnRun(**(fields | values))


def batches(steps: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Cut windows of the embedded text: inputs and labels, shape (steps · batch, T), and the vocabulary's size."""
    text = cut(topics_text(), 200_000, 2_000)
    starts = np.random.default_rng(0).integers(0, len(text.train) - STEPS - 1, steps * BATCH)
    places = starts[:, None] + np.arange(STEPS)
    return text.train[places], text.train[places + 1], len(text.vocabulary)


def rate(seconds: float) -> float:
    """Turn the seconds of one arm's steps into characters a second of all arms, one after the other."""
    return MEASURED * BATCH * STEPS / seconds


def at_once(module: str, *arguments: str) -> float:
    """Run every arm in a process of its own, all at once; returns characters a second of them together."""
    with ThreadPoolExecutor(ARMS) as pool:
        jobs = [pool.submit(in_fresh_process, module, *arguments) for _ in range(ARMS)]
        spans = [job.result() for job in jobs]
    begin, end = max(span[0] for span in spans), min(span[1] for span in spans)
    if end <= begin:
        raise RuntimeError("Expected the arms to train at the same time; they did not overlap.")
    # Characters of each arm within the time that both were training.
    return sum(rate(span[1] - span[0]) for span in spans)


def timed(step: Callable[[], Any]) -> float:
    """Return the seconds of `MEASURED` steps after some that are not counted."""
    for _ in range(WARM):
        step()
    started = time.perf_counter()
    for _ in range(MEASURED):
        step()
    return time.perf_counter() - started


def our_span() -> tuple[float, float]:
    """Train one arm as the page does, on one thread; returns when the counted steps began and ended, in wall time."""
    import tensorflow as tf

    from core.text.recurrent import program_for, stretches
    from core.training import use_one_thread

    use_one_thread()
    text = cut(topics_text(), 200_000, 2_000)
    program = program_for(spec(), len(text.vocabulary))
    rng = np.random.default_rng(0)
    nothing = [tf.constant(part) for part in stretches(text.validation, 65, STEPS)] * 3
    codes = tf.constant(text.train)

    def steps(count: int) -> None:
        starts = rng.integers(0, len(text.train) - STEPS - 1, count * BATCH).astype("int32")
        program.epoch(tf.constant(starts), codes, nothing)

    steps(WARM)
    began = time.time()
    steps(MEASURED)
    return began, time.time()


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)
