"""Time a plain PyTorch loop against the engine, where PyTorch is: `python -m tests.benchmarks.torch_vs_ours`."""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
import time
from typing import Any

from core.datasets import DATASETS
from tests.benchmarks._common import in_fresh_process, print_figure, say
from tests.benchmarks._training import EPOCHS, WORK, one_run_an_arm, time_ours

MODULE = "tests.benchmarks.torch_vs_ours"
ROUNDS = 3  # ours and every way of PyTorch in turn, so that a busy moment of the machine meets all alike
MEASURED_EPOCHS = 25  # of PyTorch, after one that is not counted; the rest is extrapolated
PLAIN, FUSED = "Adam", "Adam(fused=True)"
WAYS = [(optimizer, threads) for optimizer in (PLAIN, FUSED) for threads in (1, 2)]


def main() -> None:
    """Measure both sides and print their ratio."""
    if importlib.util.find_spec("torch") is None:
        say("PyTorch is not installed here, so there is nothing to compare with. `pip install torch`, then run again.")
        return
    say(f"work: overfitting?{WORK}")
    ours: list[float] = []
    loops: dict[tuple[str, int], list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        ours.append(time_ours().seconds)
        for optimizer, threads in WAYS:
            loops[optimizer, threads].append(in_fresh_process(MODULE, optimizer, str(threads)))
    own = statistics.median(ours)
    seconds = {way: statistics.median(times) for way, times in loops.items()}
    say(f"ours: {own:.2f} s for all runs, median of {', '.join(f'{s:.2f}' for s in ours)}")
    say(
        f"PyTorch: one run an arm, {MEASURED_EPOCHS} of {EPOCHS} epochs after a first that is not counted, extrapolated"
    )
    for (optimizer, threads), times in loops.items():
        median = seconds[optimizer, threads]
        say(
            f"{optimizer}, {threads} threads: {median:.1f} s for all runs, median of {', '.join(f'{t:.1f}' for t in times)}"
        )
    print_figure("ratio", "torch_vs_ours", min(seconds[PLAIN, threads] for threads in (1, 2)) / own)
    print_figure("ratio", "best_torch_vs_ours", min(seconds.values()) / own)


def time_torch(optimizer: str, threads: int) -> float:
    """Return the seconds that an eager loop needs for all runs, one after the other."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    experiment, specs, runs = one_run_an_arm()
    seconds = 0.0
    for spec in specs:
        run = Run(torch, spec, experiment.data(spec), fused=optimizer == FUSED)
        run.epoch()
        started = time.perf_counter()
        for _ in range(MEASURED_EPOCHS):
            run.epoch()
        seconds += time.perf_counter() - started
    return seconds / len(specs) / MEASURED_EPOCHS * EPOCHS * runs


class Run:
    """One training as PyTorch's tutorials write it; measures the validation split only, which favours it."""

    def __init__(self, torch: Any, spec: Any, data: Any, *, fused: bool):
        self.torch, self.spec = torch, spec
        nn, dataset = torch.nn, DATASETS[spec.dataset]
        torch.manual_seed(spec.seed)
        layers: list[Any] = []
        width = dataset.inputs
        for _ in range(spec.depth):
            layers += [nn.Linear(width, spec.width), nn.ReLU()]
            if spec.dropout:
                layers.append(nn.Dropout(spec.dropout))
            width = spec.width
        self.net = nn.Sequential(*layers, nn.Linear(width, dataset.outputs))
        self.weights = [layer.weight for layer in self.net if isinstance(layer, nn.Linear)]
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=spec.learning_rate, eps=1e-7, fused=fused or None)
        self.x, self.xv = torch.from_numpy(data.train.x), torch.from_numpy(data.validation.x)
        self.y, self.yv = torch.from_numpy(data.train.y).long(), torch.from_numpy(data.validation.y).long()

    def epoch(self) -> tuple[float, float]:
        """Train one epoch and return validation loss and accuracy."""
        torch, spec = self.torch, self.spec
        self.net.train()
        order = torch.randperm(len(self.x))
        for start in range(0, len(order), spec.batch_size):
            rows = order[start : start + spec.batch_size]
            self.optimizer.zero_grad()
            objective = self.loss(self.net(self.x[rows]), self.y[rows])
            if spec.l1:
                objective = objective + spec.l1 * sum(weight.abs().sum() for weight in self.weights)
            if spec.l2:
                objective = objective + spec.l2 * sum(weight.square().sum() for weight in self.weights)
            objective.backward()
            self.optimizer.step()
        self.net.eval()
        with torch.no_grad():
            outputs = self.net(self.xv)
            return self.loss(outputs, self.yv).item(), (outputs.argmax(1) == self.yv).float().mean().item()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(time_torch(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
