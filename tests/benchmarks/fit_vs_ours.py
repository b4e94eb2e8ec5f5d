"""Time `model.fit`, one run after the other, against the engine: `python -m tests.benchmarks.fit_vs_ours`."""

from __future__ import annotations

import json
import statistics
import sys
import time

from tests.benchmarks._common import in_fresh_process, print_figure, say
from tests.benchmarks._training import EPOCHS, WORK, Timing, one_run_an_arm, time_ours

MODULE = "tests.benchmarks.fit_vs_ours"
ROUNDS = 3  # ours and every way of `fit` in turn, so that a busy moment of the machine meets all alike
MEASURED_EPOCHS = 10  # of `fit`, after the first, which is measured apart; the rest is extrapolated
ORDINARY = "fit(batch_size=32, validation_data=…)"

# Every way to write a faster `fit` that changes no number a page shows; the fastest one counts. Keras'
# own jit_compile="auto" is False where there is no GPU.
WAYS: dict[str, dict[str, bool]] = {
    ORDINARY: {},
    "validation in one batch": {"one_validation_batch": True},
    "validation in one batch, an epoch one execution": {"one_validation_batch": True, "one_execution": True},
    "the same, from tf.data": {"one_validation_batch": True, "one_execution": True, "from_dataset": True},
    'the same, jit_compile="auto"': {
        "one_validation_batch": True, "one_execution": True, "from_dataset": True, "auto_jit": True,
    },
}  # fmt: skip


def main() -> None:
    """Measure both sides and print their ratio."""
    say(f"work: overfitting?{WORK}")
    ours: list[Timing] = []
    fits: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        ours.append(time_ours())
        for way in WAYS:
            fits[way].append(tuple(in_fresh_process(MODULE, way)))
    own = statistics.median(timing.seconds for timing in ours)
    seconds = {way: statistics.median(first + rest for first, rest in times) for way, times in fits.items()}
    say(f"ours: {own:.2f} s for all runs, median of {', '.join(f'{t.seconds:.2f}' for t in ours)}")
    say(
        f"fit: one run an arm, the first and {MEASURED_EPOCHS} of the other {EPOCHS - 1} epochs, extrapolated to all runs"
    )
    for way, times in fits.items():
        rounds = ", ".join(f"{first + rest:.1f}" for first, rest in times)
        traced = statistics.median(rest for _, rest in times)
        say(f"{way}: {seconds[way]:.1f} s, median of {rounds}; {traced:.1f} s without building and first epochs")
    best = min(seconds, key=lambda way: seconds[way])
    say(f"fastest fit: {best}")
    print_figure("seconds", "first_point", statistics.median(timing.first_point for timing in ours))
    print_figure("ratio", "fit_vs_ours", seconds[ORDINARY] / own)
    print_figure("ratio", "best_fit_vs_ours", seconds[best] / own)


def time_fit(
    *,
    one_validation_batch: bool = False,
    one_execution: bool = False,
    from_dataset: bool = False,
    auto_jit: bool = False,
) -> tuple[float, float]:
    """Return the seconds that `fit` needs for all runs: building, tracing and first epochs, then the rest.

    Both count, because ours builds and traces within its time too.
    """
    import tensorflow as tf

    experiment, specs, runs = one_run_an_arm()
    first = rest = 0.0
    for spec in specs:
        data = experiment.data(spec)
        started = time.perf_counter()
        model = experiment.model(spec)
        size = spec.batch_size  # type: ignore[attr-defined]
        steps = -(-len(data.train.x) // size)
        if one_execution:
            model.compile(
                optimizer=model.optimizer,
                loss=model.loss,
                jit_compile="auto" if auto_jit else False,
                steps_per_execution=steps,
            )
        arguments = {"x": data.train.x, "y": data.train.y, "batch_size": size}
        if from_dataset:
            rows = tf.data.Dataset.from_tensor_slices((data.train.x, data.train.y)).cache()
            arguments = {"x": rows.shuffle(len(data.train.x)).batch(size).prefetch(2)}
        validation = data.validation
        if one_validation_batch:
            arguments["validation_batch_size"] = len(validation.x)
        arguments |= {"validation_data": (validation.x, validation.y), "verbose": 0}
        model.fit(epochs=1, **arguments)
        built = time.perf_counter()
        model.fit(epochs=MEASURED_EPOCHS, **arguments)
        first += built - started
        rest += (time.perf_counter() - built) / MEASURED_EPOCHS * (EPOCHS - 1)
    return first / len(specs) * runs, rest / len(specs) * runs


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(time_fit(**WAYS[sys.argv[1]])))
    else:
        main()
