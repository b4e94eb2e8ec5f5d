"""Time a strength sweep, by `fit` in sequence and on one worker, against two: `python -m tests.benchmarks.sweep`."""

from __future__ import annotations

import json
import statistics
import sys
import time

from core.experiments import experiments
from tests.benchmarks._common import in_fresh_process, print_figure, say
from tests.benchmarks._training import EPOCHS, SWEEP, WORKERS, Timing, swept, time_ours

MODULE = "tests.benchmarks.sweep"
ROUNDS = 3
MEASURED_EPOCHS = 10  # of `fit`, after the first, which is measured apart; the rest is extrapolated


def main() -> None:
    """Measure the sides in turn and print their ratios."""
    specs = swept()
    say(f"work: overfitting?{SWEEP}: {len(specs)} runs of {EPOCHS} epochs")
    two: list[Timing] = []
    one: list[Timing] = []
    fits: list[float] = []
    for _ in range(ROUNDS):
        two.append(time_ours(specs))
        one.append(time_ours(specs, workers=1))
        fits.append(in_fresh_process(MODULE, "fit"))
    ours, alone = (statistics.median(timing.seconds for timing in side) for side in (two, one))
    say(f"{WORKERS} workers: {ours:.1f} s, median of {', '.join(f'{t.seconds:.1f}' for t in two)}")
    say(f"1 worker: {alone:.1f} s, median of {', '.join(f'{t.seconds:.1f}' for t in one)}")
    say(f"fit(batch_size=32, validation_data=…): {statistics.median(fits):.0f} s, extrapolated from one run a net")
    print_figure("share", "sweep_busy", statistics.median(timing.busy for timing in two))
    print_figure("ratio", "sweep", statistics.median(fits) / ours)
    print_figure("ratio", "sweep_scaling", alone / ours)


def time_fit() -> float:
    """Return the seconds that `fit` needs for all runs, from the baseline's and one penalized run."""
    experiment = experiments()["overfitting"]
    specs = swept()
    plain, penalized = (next(spec for spec in specs if bool(spec.l2) is is_on) for is_on in (False, True))
    total = 0.0
    for spec, count in ((plain, 5), (penalized, len(specs) - 5)):
        data = experiment.data(spec)
        started = time.perf_counter()
        model = experiment.model(spec)
        arguments = {
            "batch_size": spec.batch_size,
            "validation_data": (data.validation.x, data.validation.y),
            "verbose": 0,
        }
        model.fit(data.train.x, data.train.y, epochs=1, **arguments)
        first = time.perf_counter()
        model.fit(data.train.x, data.train.y, epochs=MEASURED_EPOCHS, **arguments)
        rest = (time.perf_counter() - first) / MEASURED_EPOCHS * (EPOCHS - 1)
        total += (first - started + rest) * count
    return total


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(time_fit()))
    else:
        main()
