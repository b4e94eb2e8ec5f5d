"""Time epochs with every metric against epochs without: `python -m tests.benchmarks.metrics_cost`."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time

from tests.benchmarks._common import in_fresh_process, print_figure, say

MODULE = "tests.benchmarks.metrics_cost"
ROUNDS, EPOCHS = 15, 60


def main() -> None:
    """Measure in a fresh process, both ways in turn, and print the ratio of the added time."""
    times = in_fresh_process(MODULE, "measure")
    for name, seconds in times.items():
        say(
            f"{name}: {1e3 * statistics.median(seconds):.2f} ms an epoch, median of {len(seconds)} runs, the fastest quarter of each"
        )
    with_metrics, without = (statistics.median(times[name]) for name in ("with metrics", "without"))
    # Pairs that stand side by side in time meet the same moment of the machine.
    ratios = [one / other for one, other in zip(times["with metrics"], times["without"], strict=True)]
    say(f"ratio of the medians: {with_metrics / without:.3f}; pairs from {min(ratios):.3f} to {max(ratios):.3f}")
    print_figure("ratio", "metrics_cost", statistics.median(ratios))


def measure() -> dict[str, list[float]]:
    """Return processor seconds an epoch of the page's default baseline, with the metrics of every epoch and without."""
    from core.engine.task import prepare

    prepare()
    from core.experiments.metrics import EXPERIMENT
    from core.metrics.observed import EpochScores
    from core.training import train

    spec = EXPERIMENT.study(EXPERIMENT.settings()).base.model_copy(update={"epochs": EPOCHS})
    splits = EXPERIMENT.data(spec)
    times: dict[str, list[float]] = {"with metrics": [], "without": []}
    for number in range(ROUNDS + 1):
        ways = list(times) if number % 2 else list(times)[::-1]
        for way in ways:
            stamps: list[float] = []
            observe = EpochScores(splits.validation) if way == "with metrics" else None

            def stamp(_epoch: int, _row: object, stamps: list[float] = stamps) -> None:
                stamps.append(time.process_time())  # of one thread: what others take does not count

            train(EXPERIMENT, spec, report=stamp, data=splits, observe=observe)
            if number:  # the first round traces the graphs
                epochs = sorted(later - earlier for earlier, later in itertools.pairwise(stamps))
                seconds = statistics.mean(epochs[: EPOCHS // 4])  # those that nothing else interrupted
                if observe:
                    started = time.process_time()
                    observe.frames()
                    seconds += (time.process_time() - started) / EPOCHS
                times[way].append(seconds)
    return times


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure()))
    else:
        main()
