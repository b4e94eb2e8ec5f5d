"""Texts as symbols and parts, the n-gram lines, and the copy meter: small cases by hand, and the published figures."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.text import (
    MAX_VOCABULARY,
    SHA256,
    SHAKESPEARE,
    TextError,
    Vocabulary,
    cut,
    entropy_bits,
    prepare,
    symbols_of,
    topics_fingerprint,
    topics_text,
)
from core.text.copying import Span, copied_spans, distinct, matches, overlap
from core.text.ngram import ORDERS, witten_bell, xz_bits
from tests.conftest import ROOT, SHAKESPEARE_FILE

needs_shakespeare = pytest.mark.skipif(
    not SHAKESPEARE_FILE.exists(), reason="tiny Shakespeare is not beside this project"
)


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("", []),
        ("abc\n", ["a", "b", "c", "\n"]),
        ("ñandú", ["ñ", "a", "n", "d", "ú"]),
        ("e\u0301a", ["e\u0301", "a"]),
        ("Привет", list("Привет")),
        ("漢字", ["漢", "字"]),
        ("👍🏽!", ["👍🏽", "!"]),
        ("👨‍👩‍👧x", ["👨‍👩‍👧", "x"]),
        ("🇪🇸🇲🇽", ["🇪🇸", "🇲🇽"]),
        ("❤️ ", ["❤️", " "]),
        ("각가", ["각", "가"]),
        ("\u1100\u1161\u11a8\u1100", ["\u1100\u1161\u11a8", "\u1100"]),
        ("\u0301a", ["\u0301", "a"]),
        ("\n\u0301", ["\n", "\u0301"]),
    ],
)
def test_symbols_are_what_a_reader_takes_for_one_character(text, symbols):
    assert symbols_of(text) == symbols
    assert "".join(symbols_of(text)) == text


@pytest.mark.parametrize(
    ("keeps", "expected"),
    [
        ((True, True, True), "Él dijo:\n\t«Sí, 2 veces.»"),
        ((False, True, True), "él dijo:\n\t«sí, 2 veces.»"),
        ((True, True, False), "Él dijo\n\tSí  veces"),
        ((True, False, True), "Éldijo:«Sí,2veces.»"),
        ((False, False, False), "éldijosíveces"),
    ],
)
def test_prepare_strips_what_is_not_kept(keeps, expected):
    case, spaces, punctuation = keeps
    text = "E\u0301l dijo:\r\n\t«Sí, 2 veces.»"
    assert prepare(text, case=case, spaces=spaces, punctuation=punctuation) == expected


def test_letters_only_leaves_the_tutorials_alphabet():
    assert prepare("I'll go, 3 times!\nNo.", case=False, spaces=False, punctuation=False) == "illgotimesno"


def test_vocabulary_names_the_symbols_it_does_not_know():
    vocabulary = Vocabulary(("a", "b", "é"))
    assert vocabulary.decode(vocabulary.encode("abé")) == "abé"
    assert vocabulary.unknown("azb👍🏽z") == ["z", "👍🏽"]
    with pytest.raises(KeyError):
        vocabulary.encode("z")


def test_parts_are_contiguous_and_share_nothing():
    text = "".join(chr(0x4E00 + place) for place in range(4_000))
    parts = cut(text, 1_000, 100)
    assert parts.train.tolist() == list(range(1_000))
    assert parts.validation.tolist() == list(range(3_600, 3_700))
    assert parts.control.tolist() == list(range(3_600, 3_760))
    assert parts.stopping.tolist() == list(range(3_760, 3_785))
    assert parts.test.tolist() == list(range(3_840, 4_000))
    assert len(cut(text, 10**9, 10**9).train) == 3_600


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "short"),
        ("too short", "short"),
        ("a" * 5_000, "one-symbol"),
        ("".join(chr(0x4E00 + place) for place in range(MAX_VOCABULARY + 1)), "vocabulary"),
    ],
)
def test_text_that_cannot_be_used_says_why(text, reason):
    with pytest.raises(TextError) as caught:
        cut(text, 1_000, 100)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("codes", "bits"), [([0, 1], 1.0), ([0] * 5, 0.0), ([0, 1, 2, 3], 2.0), ([0, 0, 0, 1], 0.8113)]
)
def test_entropy_of_the_shares(codes, bits):
    assert entropy_bits(np.array(codes)) == pytest.approx(bits, abs=1e-4)


# -- n-grams -------------------------------------------------------------------------------------------------


def test_witten_bell_by_hand():
    # "aab" over {a, b, c}: c(a) = 2, c(b) = 1, two kinds; P(a) = (2 + 2/3) / 5, P(c) = (2/3) / 5.
    # After a: seen a once and b once; P(b | a) = (1 + 2·P(b)) / 4, P(b) = (1 + 2/3) / 5 = 1/3.
    train = np.array([0, 0, 1])
    unigram, bigram = witten_bell(train, np.array([0, 1]), 3, (1, 2))
    p_a, p_b = (2 + 2 / 3) / 5, (1 + 2 / 3) / 5
    assert unigram == pytest.approx(-(math.log2(p_a) + math.log2(p_b)) / 2)
    assert bigram == pytest.approx(-(math.log2(p_a) + math.log2((1 + 2 * p_b) / 4)) / 2)
    # After b nothing was ever seen: the unigram passes through.
    assert witten_bell(train, np.array([1, 2]), 3, (1, 2))[1] == pytest.approx(
        -(math.log2(p_b) + math.log2(2 / 3 / 5)) / 2
    )


@pytest.mark.parametrize("order", ORDERS)
def test_witten_bell_probabilities_sum_to_one(order):
    rng = np.random.default_rng(0)
    train, history = rng.integers(0, 4, 60), rng.integers(0, 4, order - 1)
    total = 0.0
    for symbol in range(4):
        held_out = np.append(history, symbol)
        losses = np.array(
            [witten_bell(train, held_out[:n], 4, tuple(range(1, order + 1)))[-1] * n for n in (order - 1, order) if n]
        )
        total += 2.0 ** -(losses[-1] - (losses[0] if len(losses) > 1 else 0.0))
    assert total == pytest.approx(1.0)


def _ends(text: str) -> tuple[np.ndarray, np.ndarray, int]:
    parts = cut(text, 10**9, 10**9)
    rest = np.concatenate([parts.validation, parts.stopping, parts.test])
    return parts.train, rest[:100_000], len(parts.vocabulary)


@needs_shakespeare
def test_ngram_lines_of_tiny_shakespeare_come_out():
    """Nats a character, trained on the first nine tenths, scored on the next 100,000."""
    train, rest, size = _ends(SHAKESPEARE_FILE.read_text("utf-8"))
    nats = [bits * math.log(2) for bits in witten_bell(train, rest, size)]
    assert size == SHAKESPEARE.vocabulary
    assert nats == pytest.approx([3.338, 2.475, 2.020, 1.734, 1.620], abs=6e-4)


def test_ngram_lines_of_the_help_topics_fall_with_the_order():
    nats = [bits * math.log(2) for bits in witten_bell(*_ends(topics_text()))]
    assert nats == sorted(nats, reverse=True)
    # 3.237, 2.318, 1.712, 1.404, 1.320 with Python 3.11.7; other versions have other topics.
    assert nats == pytest.approx([3.237, 2.318, 1.712, 1.404, 1.320], abs=0.05)
    assert len(topics_fingerprint()) == 64


def test_xz_bits_fall_where_the_text_repeats_itself():
    rng = np.random.default_rng(0)
    train, other = ("".join(rng.choice(list("abcdefgh"), 4_000)) for _ in range(2))
    assert xz_bits(train, train[:2_000]) < 0.3
    assert 2.9 < xz_bits(train, other) < 3.8  # eight equally likely letters hold three bits


# -- the copy meter ---------------------------------------------------------------------------------------------


def _slow_matches(written: str, source: str) -> list[int]:
    return [
        max(n for n in range(len(written) - start + 1) if written[start : start + n] in source)
        for start in range(len(written))
    ]


@pytest.mark.parametrize(
    ("written", "source"),
    [("", "abc"), ("abc", ""), ("abc", "xabcx"), ("zabz", "ab"), ("abcabd", "abdabc"), ("aaaa", "aa"), ("xyz", "abc")],
)
def test_matches_are_the_longest_from_each_place(written, source):
    assert matches(written, source).tolist() == _slow_matches(written, source)


def test_matches_of_random_texts_equal_the_slow_way():
    rng = np.random.default_rng(1)
    for _ in range(20):
        written, source = ("".join(rng.choice(list("ab"), n)) for n in (30, 60))
        assert matches(written, source).tolist() == _slow_matches(written, source)


def test_overlap_is_the_share_of_pieces_found():
    written, source = "abcdxabc", "zabcdz"
    lengths = matches(written, source)
    for n in range(1, 6):
        pieces = [written[i : i + n] for i in range(len(written) - n + 1)]
        assert overlap(lengths, n) == pytest.approx(np.mean([piece in source for piece in pieces]))
    assert math.isnan(overlap(lengths, 9))


def test_spans_are_joined_where_they_overlap():
    assert copied_spans(np.array([4, 3, 2, 1, 0, 3, 2, 1]), 3) == [Span(0, 4), Span(5, 8)]
    assert copied_spans(np.array([3, 3, 3, 2, 1]), 3) == [Span(0, 5)]
    assert copied_spans(np.array([1, 1]), 3) == []


@pytest.mark.parametrize(("text", "share"), [("abab" * 10, 2 / 37), ("abcdefgh", 1.0)])
def test_distinct_pieces(text, share):
    assert distinct(text, 4) == pytest.approx(share)
    assert math.isnan(distinct("ab", 4))


# -- the loader ---------------------------------------------------------------------------------------------------

_LOAD = """
import sys
sys.path.insert(0, ".")
from core.datasets.loaders import DamagedDownloadError, DownloadError
from core.text.loaders import OtherTextError, load
try:
    print("loaded", len(load(sys.argv[1], sys.argv[2], lambda stage, arrived: None)))
except DownloadError as error:
    print("download", error.folder)
except DamagedDownloadError as error:
    print("damaged", error)
except OtherTextError as error:
    print("other", error)
"""


def _load(home: Path, corpus: str, wanted: str = "-") -> str:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, corpus, wanted],
        cwd=ROOT,
        env={**os.environ, **proxies, "KERAS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.slow
def test_loader_without_network_names_the_folder_and_removes_a_damaged_file(tmp_path):
    assert _load(tmp_path, "shakespeare") == f"download {tmp_path / 'datasets'}"
    (tmp_path / "datasets").mkdir(exist_ok=True)
    wrong = tmp_path / "datasets" / "tinyshakespeare.txt"
    wrong.write_text("To be, or not to be")
    assert _load(tmp_path, "shakespeare").startswith("damaged tinyshakespeare.txt: Expected SHA-256")
    assert not wrong.exists()


@pytest.mark.slow
@needs_shakespeare
def test_real_text_passes_through_keras_own_loader_and_the_checksum(tmp_path):
    data = SHAKESPEARE_FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "tinyshakespeare.txt").write_bytes(data)
    assert _load(tmp_path, "shakespeare") == f"loaded {SHAKESPEARE.symbols}"


@pytest.mark.slow
def test_help_topics_of_another_python_are_refused_with_both_hashes(tmp_path):
    assert _load(tmp_path, "topics", topics_fingerprint()) == f"loaded {len(topics_text())}"
    words = _load(tmp_path, "topics", "0" * 64)
    assert words.startswith("other Expected")
    assert "received" in words
