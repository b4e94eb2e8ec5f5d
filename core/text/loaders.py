"""Load a text inside a worker; the one place that may download one."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

from core import attachments
from core.datasets.loaders import DamagedDownloadError, DownloadError, Progress, _Watch
from core.text import FILE, ORIGIN, SHA256, Text, TextError, cut, fingerprint, prepare, topics_text


class OtherTextError(Exception):
    """A text that is not the one a run was asked for, such as another Python's help topics."""


def load(corpus: str, wanted: str = "", progress: Progress | None = None) -> str:
    """Load a whole text as it stands.

    Args:
        corpus: Its name.
        wanted: Its fingerprint, where the text differs from one machine to another.
        progress: Called with a stage and a number of bytes while the text is downloaded.

    Raises:
        DownloadError: When the file is neither here nor to be had.
        DamagedDownloadError: When the file is not the published one; it is removed.
        OtherTextError: When this machine's text is not the wanted one.
        MissingAttachmentError: When an uploaded text did not come with the run.
    """
    if corpus == "shakespeare":
        return _shakespeare(progress)
    if corpus == "own":
        try:
            return attachments.read(wanted).decode("utf-8")
        except UnicodeDecodeError:
            raise TextError("encoding") from None
    text = topics_text()
    if fingerprint(text) != wanted:
        raise OtherTextError(
            f"Expected the help topics with SHA-256 {wanted[:10]}…; received {fingerprint(text)[:10]}…, those of this"
            " worker's Python. Choose the text anew, or start the worker with the Python of the web process"
        )
    return text


def _shakespeare(progress: Progress | None) -> str:
    import keras

    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    kept = folder / FILE
    if kept.exists() and (found := hashlib.sha256(kept.read_bytes()).hexdigest()) != SHA256:
        kept.unlink()
        raise DamagedDownloadError(f"{FILE}: Expected SHA-256 {SHA256}; received {found}.")
    with _Watch(folder, progress):
        try:
            path = keras.utils.get_file(FILE, ORIGIN, file_hash=SHA256, cache_dir=str(folder.parent))
        except ValueError as error:  # Keras' own words for a file that fails its checksum
            kept.unlink(missing_ok=True)
            raise DamagedDownloadError(str(error)) from error
        except Exception as error:
            raise DownloadError("shakespeare", str(folder)) from error
    return Path(path).read_text("utf-8")


@functools.lru_cache(maxsize=4)
def _prepared(corpus: str, wanted: str, case: bool, spaces: bool, punctuation: bool) -> str:
    return prepare(load(corpus, wanted), case=case, spaces=spaces, punctuation=punctuation)


@functools.lru_cache(maxsize=4)
def text_of(
    corpus: str, wanted: str, case: bool, spaces: bool, punctuation: bool, n_train: int, n_validation: int
) -> Text:
    """Load, prepare and cut a text; remembered, and not to be changed.

    Raises:
        TextError: When it cannot be used.
    """
    return cut(_prepared(corpus, wanted, case, spaces, punctuation), n_train, n_validation)
