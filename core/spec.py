"""Describe one training as a hashable value; equal specs give equal numbers on one machine."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from core.attachments import OWN_PREFIX


class RunSpec(BaseModel):
    """Everything that decides the numbers of one training, and nothing else.

    An experiment subclasses it with its own fields. `recipe` is raised whenever the code would give
    other numbers for the same fields, so that old results are no longer found. `outside_model` names
    the fields that do not shape the model's graph, so that runs which differ only there share one.
    `loss_unit` names the unit of the losses, for axes; empty where it goes without saying.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    experiment: ClassVar[str]
    recipe: ClassVar[int]
    outside_model: ClassVar[frozenset[str]] = frozenset({"seed"})
    loss_unit: ClassVar[str] = ""

    seed: int

    def canonical(self) -> str:
        """Write the spec as canonical JSON: sorted keys, no spaces, shortest exact floats.

        A field at its default, which switches something off, is left out: a field that is added later
        leaves the digests of earlier results as they are.
        """
        fields = {"experiment": self.experiment, "recipe": self.recipe, **self.model_dump(exclude_defaults=True)}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def model_key(self) -> str:
        """Write the fields that shape the model's graph."""
        return json.dumps(self.model_dump(exclude=set(self.outside_model)), sort_keys=True)

    @property
    def attachments(self) -> tuple[str, ...]:
        """List the SHA-256 of the data that a viewer brought and that this run needs."""
        dataset = getattr(self, "dataset", "")
        return (dataset.removeprefix(OWN_PREFIX),) if dataset.startswith(OWN_PREFIX) else ()

    @property
    def digest(self) -> str:
        """Hash the canonical JSON with SHA-256, as 64 hexadecimal digits."""
        return _digest(self)


@functools.lru_cache(maxsize=16_384)
def _digest(spec: RunSpec) -> str:
    # Remembered here and not on the spec, whose copies would carry it along with other fields.
    return hashlib.sha256(spec.canonical().encode()).hexdigest()
