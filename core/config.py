"""Read the installation's settings from the environment; each bad one is one clear sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

from core.i18n import N_
from core.settings import Problem

ROOT = Path(__file__).resolve().parents[1]
GALLERY = Path(__file__).with_name("recorded")


@dataclass(frozen=True)
class Config:
    """Where results are kept and where training runs.

    `store_url` is an SQLAlchemy URL. `scheduler` is the address of a Dask scheduler, empty for the
    embedded one. `workers` counts its processes; they are let go after `idle_seconds` without work.
    `public_url` replaces the address in copied links behind a proxy. `may_delete` lets every
    visitor delete what was trained here, or nobody; where it is None, who sits at this machine may.
    """

    store_url: str
    scheduler: str = ""
    workers: int = 2
    idle_seconds: int = 600
    public_url: str = ""
    may_delete: bool | None = None
    problems: tuple[Problem, ...] = field(default=())


def default_store_url() -> str:
    """Name the SQLite file in the user's data folder."""
    return f"sqlite:///{user_data_path('contraste', appauthor=False) / 'results.sqlite'}"


def read_config(environment: Mapping[str, str] = os.environ) -> Config:
    """Read `CONTRASTE_…` variables; a bad value falls back to the default and is reported."""
    problems: list[Problem] = []

    def whole(name: str, default: int, low: int, high: int) -> int:
        text = environment.get(name, "").strip()
        if not text:
            return default
        if text.isdecimal() and low <= int(text) <= high:
            return int(text)
        phrase = N_("a whole number from {low} to {high}")
        problems.append(Problem(name, phrase, text, (("low", low), ("high", high)), str(default)))
        return default

    def address(name: str, schemes: tuple[str, ...]) -> str:
        text = environment.get(name, "").strip()
        if not text or text.startswith(schemes):
            return text
        phrase = N_("an address that begins with {schemes}")
        problems.append(Problem(name, phrase, text, (("schemes", schemes),), N_("the default")))
        return ""

    def decision(name: str) -> bool | None:
        text = environment.get(name, "").strip()
        if text.lower() in ("yes", "no", ""):
            return text.lower() == "yes" if text else None
        problems.append(Problem(name, N_("yes or no"), text, (), "no"))
        return False

    return Config(
        store_url=environment.get("CONTRASTE_STORE", "").strip() or default_store_url(),
        scheduler=address("CONTRASTE_SCHEDULER", ("tcp://", "tls://", "ws://", "wss://")),
        workers=whole("CONTRASTE_WORKERS", max(1, min(os.cpu_count() or 1, 8)), 1, 64),
        idle_seconds=whole("CONTRASTE_IDLE_SECONDS", 600, 5, 86_400),
        public_url=address("CONTRASTE_PUBLIC_URL", ("http://", "https://")),
        may_delete=decision("CONTRASTE_DELETE"),
        problems=tuple(problems),
    )
