"""Know every text by name, cut it into symbols and parts, and say what is wrong with one; pure Python and NumPy.

Loading is `core.text.loaders` (workers only).
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from dataclasses import dataclass

import numpy as np

from core.i18n import N_, _, plain

TRAIN_SHARE = 0.9  # of a text, from its start, may be trained on
HELD_OUT_SHARES = (0.4, 0.2, 0.4)  # of the rest: validation, stopping, test, in this order
MIN_SYMBOLS = 2_000  # shortest text that leaves something to validate on
MAX_SYMBOLS = 1_200_000
MAX_VOCABULARY = 5_000
MAX_BYTES = 4_000_000  # of an uploaded file
KEPT_PARAMETERS = 1_000_000  # of a net whose weights are stored with its result, for writing
STREAMS = 16  # stretches that a part is measured on, side by side

ORIGIN = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
FILE = "tinyshakespeare.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@dataclass(frozen=True)
class Corpus:
    """The facts of a text: `symbols` long, `vocabulary` different ones, as they stand, before any stripping."""

    name: str
    label: str
    symbols: int
    vocabulary: int


SHAKESPEARE = Corpus("shakespeare", N_("Tiny Shakespeare"), 1_115_394, 65)


@functools.cache
def topics_text() -> str:
    """Join the help topics that come with Python; they differ by its version."""
    from pydoc_data.topics import topics

    return "\n".join(topics.values())


def fingerprint(text: str) -> str:
    """Hash a text with SHA-256, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@functools.cache
def topics_fingerprint() -> str:
    """Hash Python's help topics of this version."""
    return fingerprint(topics_text())


def prepare(text: str, *, case: bool, spaces: bool, punctuation: bool) -> str:
    """Strip what is not kept.

    Args:
        text: As read.
        case: Whether capitals stay; otherwise everything is lower-cased.
        spaces: Whether spaces and line ends stay.
        punctuation: Whether everything stays that is neither a letter, a mark on one, nor a space; digits
            count as punctuation, as in the tutorial that keeps a to z.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", text)
    if not case:
        text = text.lower()
    if spaces and punctuation:
        return text
    kept = {symbol: _is_kept(symbol, spaces, punctuation) for symbol in set(text)}
    return "".join(symbol for symbol in text if kept[symbol])


def _is_kept(symbol: str, spaces: bool, punctuation: bool) -> bool:
    if symbol.isspace():
        return spaces
    return punctuation or unicodedata.category(symbol)[0] in "LM"


_JOINERS = {"\u200d"}


def symbols_of(text: str) -> list[str]:
    """Cut a text into what a reader takes for one character: an accent or a skin tone stays with its base.

    Follows the extended grapheme clusters of Unicode Standard Annex 29 for combining marks, variation
    selectors, emoji joined by ZWJ, skin tones, flags and conjoining Hangul; other rules are left out.
    """
    if text.isascii():
        return list(text)
    longest = 32  # code points; longer clusters are cut, which stand in no text of any script
    found: list[str] = []
    for symbol in text:
        if found and len(found[-1]) < longest and _continues(found[-1], symbol):
            found[-1] += symbol
        else:
            found.append(symbol)
    return found


def _continues(cluster: str, symbol: str) -> bool:
    code, last = ord(symbol), cluster[-1]
    if code < 0x300 or last in "\n\r\t":
        return False
    if unicodedata.category(symbol) in ("Mn", "Me", "Mc") or symbol in _JOINERS or 0x1F3FB <= code <= 0x1F3FF:
        return True
    if 0xE0020 <= code <= 0xE007F:  # tags of regional flags
        return True
    if last in _JOINERS and unicodedata.category(symbol) == "So":
        return True
    if 0x1F1E6 <= code <= 0x1F1FF:
        flags = sum(0x1F1E6 <= ord(part) <= 0x1F1FF for part in cluster)
        return flags == len(cluster) == 1
    before = ord(last)
    leads = 0x1100 <= before <= 0x115F
    vowels = 0x1160 <= before <= 0x11A7
    if 0x1160 <= code <= 0x11A7:
        return leads or vowels
    if 0x11A8 <= code <= 0x11FF:
        return vowels or 0x11A8 <= before <= 0x11FF
    return 0x1100 <= code <= 0x115F and leads


@dataclass(frozen=True)
class Vocabulary:
    """All symbols of a text, in the order of their code points; a symbol's number is its place."""

    symbols: tuple[str, ...]

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """Map symbols to numbers."""
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def unknown(self, text: str) -> list[str]:
        """List the symbols of `text` that are not in the vocabulary, each once, in their order."""
        return [symbol for symbol in dict.fromkeys(symbols_of(text)) if symbol not in self.numbers]

    def encode(self, text: str) -> np.ndarray:
        """Number the symbols of `text`, shape (N,), int32; raises KeyError for an unknown one."""
        return np.array([self.numbers[symbol] for symbol in symbols_of(text)], "int32")

    def decode(self, codes: np.ndarray) -> str:
        """Write numbers as text."""
        return "".join(self.symbols[code] for code in codes)


@dataclass(frozen=True)
class Text:
    """A prepared text as numbers, cut into contiguous parts of which no two share a character.

    Every part has shape (n,), int32, numbers below the size of the vocabulary, which is that of the whole text.
    `control` begins with `validation` and is as long as `train`, as far as the text has it.
    """

    vocabulary: Vocabulary
    train: np.ndarray
    validation: np.ndarray
    control: np.ndarray
    stopping: np.ndarray
    test: np.ndarray


TEXT_FAULTS = {
    "empty": N_("Invalid text. Expected a text; received an empty file."),
    "large": N_("Invalid text. Expected at most {limit} MB; received {received} MB. Cut a part out of it."),
    "binary": N_("Invalid text. Expected plain text; received a binary file. Save it as .txt."),
    "encoding": N_("Invalid text. Expected a known encoding; received bytes that fit none. Save it as UTF-8."),
    "short": N_("Invalid text. Expected at least {limit} characters, after stripping; received {received}."),
    "one-symbol": N_("Invalid text. Expected at least two different characters; received one, over and over."),
    "vocabulary": N_(
        "Invalid text. Expected at most {limit} different characters; received {received}. Choose a text in one script."
    ),
}


class TextError(ValueError):
    """A text that cannot be used: a `reason`, a key of `TEXT_FAULTS`, with its arguments."""

    def __init__(self, reason: str, **arguments: float):
        self.reason, self.arguments = reason, arguments
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Say what is wrong, in the language of the context."""
        return _(TEXT_FAULTS[self.reason]).format(**{key: plain(value) for key, value in self.arguments.items()})


def cut(prepared: str, n_train: int, n_validation: int) -> Text:
    """Number a prepared text and cut it: training from its start, the rest from nine tenths on.

    Args:
        prepared: From `prepare`.
        n_train: Symbols to train on, at most; never more than the first nine tenths.
        n_validation: Symbols to validate on, at most; a quarter as many to steer early stopping.

    Raises:
        TextError: When the text is too short, has one symbol only, or too many different ones.
    """
    symbols = symbols_of(prepared)
    if len(symbols) < MIN_SYMBOLS:
        raise TextError("short", limit=MIN_SYMBOLS, received=len(symbols))
    vocabulary = Vocabulary(tuple(sorted(set(symbols))))
    if len(vocabulary) < 2:
        raise TextError("one-symbol")
    if len(vocabulary) > MAX_VOCABULARY:
        raise TextError("vocabulary", limit=MAX_VOCABULARY, received=len(vocabulary))
    numbers = vocabulary.numbers
    codes = np.array([numbers[symbol] for symbol in symbols[:MAX_SYMBOLS]], "int32")
    start = int(TRAIN_SHARE * len(codes))
    rest = codes[start:]
    ends = np.cumsum([round(share * len(rest)) for share in HELD_OUT_SHARES[:2]])
    validation, stopping, test = np.split(rest, ends)
    return Text(
        vocabulary,
        codes[: min(n_train, start)],
        validation[:n_validation],
        validation[: max(n_train, n_validation)],
        stopping[: max(n_validation // 4, 1)],
        test,
    )


def entropy_bits(codes: np.ndarray) -> float:
    """Compute the entropy of the shares of symbols, in bits: the loss of the best constant answer."""
    counts = np.bincount(codes)
    shares = counts[counts > 0] / len(codes)
    return float(-(shares * np.log2(shares)).sum())
