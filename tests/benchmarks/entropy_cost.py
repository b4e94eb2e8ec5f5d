"""Time a training step with the confidence penalty against plain cross-entropy: `python -m tests.benchmarks.entropy_cost`.

Both sides train the default net of the entropy page by the graph that the workers run, in one process, in turns,
so that whatever else the machine does meets both alike.
"""

from __future__ import annotations

import statistics
import time

from core.engine.task import prepare
from core.experiments.entropy import EXPERIMENT
from tests.benchmarks._common import print_figure, say

ROUNDS = 60
WARM_UPS = 5
EPOCHS = 4  # in one timing


def main() -> None:
    """Time both sides in turns, and print the ratio of a step with the penalty to one without."""
    prepare()
    seconds = time_epochs({"none": {}, "penalty": {"beta": 0.2}, "hinge": {"beta": 0.2, "floor": 0.2}})
    plain = statistics.median(seconds["none"])
    steps = -(-EPOCHS * EXPERIMENT.settings().n_train // EXPERIMENT.settings().batch_size)
    for name, own in seconds.items():
        ratios = [mine / other for mine, other in zip(own, seconds["none"], strict=True)]
        say(
            f"{name}: {1e3 * statistics.median(own) / steps:.3f} ms a step, median of {ROUNDS} rounds of {steps} steps;"
            f" ratio to the plain round beside it {statistics.median(ratios):.3f}"
        )
    say(f"plain cross-entropy: {1e3 * plain / steps:.3f} ms a step")
    pairs = zip(seconds["penalty"], seconds["none"], strict=True)
    print_figure("ratio", "entropy_cost", statistics.median(mine / other for mine, other in pairs))


def time_epochs(variants: dict[str, dict]) -> dict[str, list[float]]:
    """Return the seconds of every round for each variant, which is the fields that it changes in a run."""
    import numpy as np
    import tensorflow as tf

    from core.training import Program

    base = EXPERIMENT.base(EXPERIMENT.settings())
    splits = EXPERIMENT.data(base)
    x, y = tf.constant(splits.train.x), tf.constant(splits.train.y)
    few = [tf.constant(part) for s in (splits.validation, splits.stopping) for part in (s.x[:1], s.y[:1])]
    order = tf.constant(np.tile(np.arange(len(splits.train.x), dtype="int32"), EPOCHS))
    programs = {}
    for name, changes in variants.items():
        spec = base.model_copy(update=changes)
        model = EXPERIMENT.model(spec)
        programs[name] = Program(model, spec.batch_size, splits.train, EXPERIMENT.data_loss(spec, model))
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(WARM_UPS + ROUNDS):
        names = list(programs) if number % 2 else list(reversed(programs))
        for name in names:
            started = time.perf_counter()
            programs[name].epoch(order, x, y, few).numpy()
            if number >= WARM_UPS:
                seconds[name].append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
