"""Hold what a run measured, or why it did not; never imports Streamlit or TensorFlow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from core.i18n import N_, _

Status = Literal["complete", "stopped", "diverged"]

CURVE_COLUMNS = (
    "train_loss",
    "train_score",
    "validation_loss",
    "validation_score",
    "stopping_loss",
    "stopping_score",
    "penalty",
)


FAILURES = {
    "download": N_(
        "The data set could not be downloaded: no network answers. Connect, or put its files into {detail},"
        " or choose data that need no download; then train again."
    ),
    "damaged-download": N_(
        "A downloaded file is not the published one and was removed ({detail}). Train again to fetch it anew."
    ),
    "worker-lost": N_(
        "A run ended its worker {attempts} times, perhaps for lack of memory. Finished runs are kept;"
        " make the net or the data smaller and train again."
    ),
    "error": N_("A run failed: {detail}. Finished runs are kept; train again to repeat the others."),
}


class RunInfo(BaseModel):
    """The facts of a run beside its frames.

    `final_epoch` is the epoch whose weights the run ends with: the last one, or the one that early
    stopping restored. `prior_loss` is the data loss of the best constant answer on the training
    labels (class shares, or the mean), in the unit of the loss. `collapsed` says whether the net ended no
    better than that, where its experiment knows it better than the training loss does. `seconds` is wall time of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    digest: str
    spec: str
    status: Status
    epochs: int
    final_epoch: int
    best_epoch: int
    parameters: int
    prior_loss: float
    collapsed: bool | None = None
    seconds: float
    versions: dict[str, str]
    host: str
    recorded: dt.datetime


class RunResult:
    """What one run measured.

    `frames` are tidy: `curves` has one row an epoch, from 0 (before training), with the columns
    `epoch`, `train_loss`, `validation_loss`, `stopping_loss` (data losses, the same weights, inference
    mode), `train_score`, `validation_score` (accuracy or R²) and `penalty` (added by regularizers).
    An experiment may add others, which a store reads when they are asked for.
    """

    def __init__(self, info: RunInfo, frames: Mapping[str, pd.DataFrame]):
        self.info = info
        self.frames = frames

    @property
    def is_complete(self) -> bool:
        """Tell whether the run came to its own end; a stopped run did not."""
        return self.info.status != "stopped"

    def epoch_at(self, moment: str) -> int:
        """Name the epoch of a moment: `best` on validation, or `last`, whose weights the run ends with."""
        return self.info.best_epoch if moment == "best" else self.info.final_epoch

    @property
    def curves(self) -> pd.DataFrame:
        """Return the measures by epoch."""
        return self.frames["curves"]


class RunFailure(BaseModel):
    """Why a run has no result: a machine-readable `reason` and its arguments for the sentence."""

    model_config = ConfigDict(frozen=True)
    digest: str
    reason: Literal["download", "damaged-download", "worker-lost", "error"]
    detail: str = ""

    def sentence(self) -> str:
        """Say what happened and what to do, in the language of the context."""
        return _(FAILURES[self.reason]).format(detail=self.detail, attempts=3)
