"""Hold the data that a viewer brought and that runs need: by SHA-256, in the process that trains.

A spec names what it needs by hash; the engine sends it along with the run. Imports nothing of the project.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping

MAX_HELD = 8
OWN_PREFIX = "own-"  # of the name of a data set that a viewer brought; its hash follows

_held: OrderedDict[str, bytes] = OrderedDict()


class MissingAttachmentError(Exception):
    """Data that a run needs and that did not come with it."""


def digest_of(data: bytes) -> str:
    """Hash data with SHA-256, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def provide(files: Mapping[str, bytes]) -> None:
    """Keep data at hand for the runs of this process, the latest few."""
    for digest, data in files.items():
        _held[digest] = data
        _held.move_to_end(digest)
    while len(_held) > MAX_HELD:
        _held.popitem(last=False)


def held(digest: str) -> bytes | None:
    """Return the data with a hash, or None where they were not provided."""
    return _held.get(digest)


def read(digest: str) -> bytes:
    """Return the data with a hash.

    Raises:
        MissingAttachmentError: When it was not provided.
    """
    if digest not in _held:
        raise MissingAttachmentError(
            f"Expected the uploaded data {digest[:10]}; received none. Upload them again, then train"
        )
    return _held[digest]
