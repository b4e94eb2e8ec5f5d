"""Set a baseline against treatments, paired over seeds; refuses arms that differ in anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.spec import RunSpec

BASELINE = "none"


@dataclass(frozen=True, eq=False)
class Arm:
    """One configuration: its machine `name`, the fields it changes, and its label."""

    name: str
    changes: Mapping[str, Any]
    label: str
    arguments: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Study:
    """A baseline and its treatments, each run once per seed.

    Args:
        base: The spec of the baseline's first run; arms replace only fields named in `varies`.
        arms: The baseline first, then the treatments; names are unique.
        varies: Names of the spec's fields in which arms may differ (besides `seed`).
        seeds: Seeds, each once; every arm runs with each of them.

    Raises:
        ValueError: When an arm would change a field that is held fixed, the baseline changes
            anything, or a name or a seed stands twice.
    """

    base: RunSpec
    arms: tuple[Arm, ...]
    varies: frozenset[str]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names or names[0] != BASELINE or self.arms[0].changes:
            raise ValueError(f"Invalid arms. Expected the unchanged baseline `{BASELINE}` first; received {names}.")
        if len(set(names)) < len(names) or len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise ValueError(f"Invalid study. Expected each arm and each seed once; received {names}, {self.seeds}.")
        for arm in self.arms:
            if extra := sorted(set(arm.changes) - self.varies):
                raise ValueError(
                    f"Invalid arm `{arm.name}`. Expected changes only in {sorted(self.varies)}; received {extra}."
                )

    @property
    def treatments(self) -> tuple[Arm, ...]:
        """List the arms other than the baseline."""
        return self.arms[1:]

    def spec(self, arm: Arm, seed: int) -> RunSpec:
        """Build the spec of one run."""
        return type(self.base)(**{**self.base.model_dump(), **arm.changes, "seed": seed})

    @cached_property
    def runs(self) -> dict[tuple[str, int], RunSpec]:
        """Map (arm name, seed) to the spec, seed by seed so that every arm appears early."""
        return {(arm.name, seed): self.spec(arm, seed) for seed in self.seeds for arm in self.arms}

    @cached_property
    def digest(self) -> str:
        """Hash the runs with their places: 64 hexadecimal digits."""
        lines = [f"{arm}/{seed}/{spec.digest}" for (arm, seed), spec in sorted(self.runs.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def __iter__(self) -> Iterator[tuple[Arm, int, RunSpec]]:
        for (name, seed), spec in self.runs.items():
            yield next(arm for arm in self.arms if arm.name == name), seed, spec
