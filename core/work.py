"""Estimate the arithmetic of a study of dense nets, to bound it and to announce its duration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.datasets import find

MAX_MULTIPLICATIONS = 2e14  # about half an hour on two cores
STEP_OVERHEAD = 7e6  # about 0.35 ms of dispatch, in multiply-adds


def cost(values: Mapping[str, Any]) -> float:
    """Estimate the multiply-adds of the whole study; a step costs at least as much as its overhead."""
    dataset = find(values["dataset"])
    width, depth = values["width"], values["depth"]
    parameters = dataset.inputs * width + (depth - 1) * width * width + width * dataset.outputs
    validation = min(values["n_validation"], dataset.pool - values["n_train"])
    steps = -(-values["n_train"] // values["batch_size"])
    epoch = parameters * (4 * values["n_train"] + validation) + steps * STEP_OVERHEAD
    return epoch * values["epochs"] * values["seeds"] * (len(values["arms"]) + 1)
