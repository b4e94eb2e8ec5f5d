"""Time PyTorch's `nn.LSTM` against the page's training: `python -m tests.benchmarks.rnn_vs_torch`.

`CONTRASTE_TORCH_PYTHON` names a Python that has PyTorch, where this one has none.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

UNITS, STEPS, BATCH, EMBEDDING, MEASURED, WARM = (
    256,
    64,
    32,
    64,
    30,
    4,
)  # as in `_recurrent`, which PyTorch's Python lacks
MODULE = "tests.benchmarks.rnn_vs_torch"
ROUNDS = 3


def main() -> None:
    """Measure both sides and print their ratio."""
    from tests.benchmarks import _recurrent
    from tests.benchmarks._common import print_figure, say

    assert (UNITS, STEPS, BATCH, EMBEDDING, MEASURED, WARM) == (
        _recurrent.UNITS, _recurrent.STEPS, _recurrent.BATCH, _recurrent.EMBEDDING, _recurrent.MEASURED, _recurrent.WARM,
    )  # fmt: skip
    python = os.environ.get("CONTRASTE_TORCH_PYTHON") or sys.executable
    if python == sys.executable and importlib.util.find_spec("torch") is None:
        say("PyTorch is not installed here. `pip install torch`, or name a Python by CONTRASTE_TORCH_PYTHON.")
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "batches.npz"
        x, y, size = _recurrent.batches(WARM + MEASURED)
        np.savez(data, x=x, y=y, size=size)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(_recurrent.at_once(MODULE, "ours"))
            done = subprocess.run([python, __file__, str(data)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            theirs.append(_recurrent.rate(json.loads(done.stdout.splitlines()[-1])))
    say(f"work: LSTM {UNITS}, {STEPS} steps, batches of {BATCH}, two arms; characters a second of all arms")
    say(
        f"ours, two arms at once, one thread each: {_recurrent.median(ours):,.0f} ({', '.join(f'{r:,.0f}' for r in ours)})"
    )
    say(
        f"PyTorch, one after the other, 2 threads: {_recurrent.median(theirs):,.0f} ({', '.join(f'{r:,.0f}' for r in theirs)})"
    )
    print_figure("ratio", "rnn_vs_torch", _recurrent.median(ours) / _recurrent.median(theirs))


def time_torch(path: str) -> float:
    """Return the seconds of the counted steps of an eager loop on two threads."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(2)
    data = np.load(path)
    x, y = (torch.from_numpy(data[name]).long() for name in ("x", "y"))
    embedding = torch.nn.Embedding(int(data["size"]), EMBEDDING)
    lstm, dense = torch.nn.LSTM(EMBEDDING, UNITS, batch_first=True), torch.nn.Linear(UNITS, int(data["size"]))
    weights = [*embedding.parameters(), *lstm.parameters(), *dense.parameters()]
    optimizer, loss = torch.optim.Adam(weights, lr=1e-3), torch.nn.CrossEntropyLoss()

    def step(number: int) -> None:
        rows = slice(number * BATCH, (number + 1) * BATCH)
        optimizer.zero_grad()
        logits = dense(lstm(embedding(x[rows]))[0])
        loss(logits.flatten(0, 1), y[rows].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    for number in range(WARM):
        step(number)
    started = time.perf_counter()
    for number in range(WARM, WARM + MEASURED):
        step(number)
    return time.perf_counter() - started


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "ours":
        from tests.benchmarks._recurrent import our_span

        print(json.dumps(our_span()))
    elif len(sys.argv) > 1:
        print(json.dumps(time_torch(sys.argv[1])))
    else:
        main()
