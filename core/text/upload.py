"""Read a file that a viewer brought as text: find its encoding, refuse what is none; pure Python."""

from __future__ import annotations

import codecs
import unicodedata

from core.text import MAX_BYTES, TextError

MARKS = (  # the longer first: UTF-32's mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
PROBE = 60_000  # bytes on which an encoding without a mark is guessed
MAX_MARKS = 30  # on one character: the limit of Unicode's stream-safe text format, UAX 15
MAX_CONTROLS = 0.002  # share of control characters above which a file is no text


def read_upload(data: bytes) -> tuple[str, str]:
    """Decode a file.

    Args:
        data: Its bytes.

    Returns:
        The text, and the name of its encoding: that of its mark, UTF-8 where that fits, or the likeliest.

    Raises:
        TextError: When it is empty, larger than `MAX_BYTES`, binary, or in no known encoding.
    """
    if not data:
        raise TextError("empty")
    if len(data) > MAX_BYTES:
        raise TextError("large", limit=MAX_BYTES / 1e6, received=round(len(data) / 1e6, 1))
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "")
    if not encoding:
        encoding = "utf-8" if _fits(data, "utf-8") else _likeliest(data)
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise TextError("encoding") from None
    controls = sum(text.count(chr(code)) for code in (*range(9), *range(14, 32), 127))
    if controls > MAX_CONTROLS * len(text):
        raise TextError("binary")
    if not text.strip():
        raise TextError("empty")
    if _has_endless_marks(text):
        raise TextError("binary")
    return text, encoding


def _has_endless_marks(text: str) -> bool:
    """Tell whether more marks follow each other than any script puts on a letter; normalizing them never ends."""
    marks = 0
    for symbol in text if not text.isascii() else "":
        marks = marks + 1 if unicodedata.combining(symbol) else 0
        if marks > MAX_MARKS:
            return True
    return False


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _likeliest(data: bytes) -> str:
    """Guess an encoding from the file's beginning, cut at a line's end."""
    from charset_normalizer import from_bytes

    probe = data[:PROBE]
    if b"\n" in probe and len(data) > PROBE:
        probe = probe[: probe.rindex(b"\n")]
    best = from_bytes(probe).best()
    if best is None:
        raise TextError("binary" if b"\0" in data else "encoding")
    return best.encoding
