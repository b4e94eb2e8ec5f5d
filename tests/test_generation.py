"""Writing with a NumPy net: sampling by hand, hostile values, loops, speed."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from core.store import decode_frame, encode_frame
from core.text.generation import (
    GREEDY,
    MAX_LENGTH,
    Net,
    Sampling,
    loop_length,
    pack,
    softmax,
    unpack,
    write,
)


def random_net(cell: str = "gru", units: int = 16, size: int = 11, layers: int = 1, seed: int = 0) -> Net:
    """Construct a net with random weights, laid out as Keras does."""
    rng = np.random.default_rng(seed)
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[cell] * units

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.4, shape).astype("float32")

    weights = {"embedding": draw(size, 8)}
    for layer in range(layers):
        bias = (2, gates) if cell == "gru" else (gates,)
        weights |= {
            f"{layer}/kernel": draw(units if layer else 8, gates),
            f"{layer}/recurrent": draw(units, gates),
            f"{layer}/bias": draw(*bias),
        }
    return Net(cell, weights | {"dense/kernel": draw(units, size), "dense/bias": draw(size)})


LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1]))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(1.0), [0.5, 0.25, 0.15, 0.1]),
        (GREEDY, [1, 0, 0, 0]),
        (Sampling(0.5), np.array([0.25, 0.0625, 0.0225, 0.01]) / 0.345),
        (Sampling(1.0, top_k=2), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(1.0, top_k=9), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(1.0, nucleus=0.5), [1, 0, 0, 0]),
        (Sampling(1.0, nucleus=0.7), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(1.0, nucleus=0.8), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0]),
        (Sampling(1.0, nucleus=0.01), [1, 0, 0, 0]),
        (Sampling(1.0, top_k=3, nucleus=0.7), [2 / 3, 1 / 3, 0, 0]),
    ],
)
def test_probabilities_by_hand(sampling, expected):
    assert sampling.probabilities(LOGITS) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("temperature", [1e-9, 0.05, 1.0, 5.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_probabilities_are_finite_and_sum_to_one(temperature, scale):
    p = Sampling(temperature, nucleus=0.9).probabilities(scale * np.linspace(-1, 1, 7))
    assert np.isfinite(p).all()
    assert p.sum() == pytest.approx(1.0)


def test_entropy_rises_with_the_temperature():
    entropies = [
        -sum(p * math.log2(p) for p in Sampling(t).probabilities(LOGITS) if p) for t in (0.05, 0.3, 0.8, 1.0, 1.7)
    ]
    assert entropies == sorted(entropies)
    assert len(set(entropies)) == 5


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf}, {"temperature": 1e9},
        {"top_k": -1}, {"nucleus": 0.0}, {"nucleus": 1.5}, {"nucleus": math.nan},
    ],
)  # fmt: skip
def test_sampling_out_of_range_is_one_sentence(values):
    with pytest.raises(ValueError, match=r"^Invalid `\w+`\. Expected .*; received .*\.$"):
        Sampling(**values)


@pytest.mark.parametrize(("prompt", "length"), [([], 10), ([1], 0), ([1], -5), ([1], MAX_LENGTH + 1)])
def test_writing_nothing_or_too_much_is_one_sentence(prompt, length):
    with pytest.raises(ValueError, match=r"^Invalid `\w+`\. Expected .*; received .*\.$"):
        write(random_net(), np.array(prompt, int), length, Sampling())


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
def test_writing_carries_the_state_and_equal_draws_write_the_same(cell, layers):
    net, prompt = random_net(cell, layers=layers), np.array([3, 1, 4])
    one, two, other = (write(net, prompt, 60, Sampling(1.0, seed=seed)) for seed in (5, 5, 6))
    assert one.codes.tolist() == two.codes.tolist() != other.codes.tolist()
    logits, outputs = net.read(np.concatenate([prompt, one.codes]))
    after = softmax(logits[2:-1])
    assert one.chance == pytest.approx(after[np.arange(60), one.codes], abs=1e-6)
    assert one.others[:, 0].tolist() == logits[2:-1].argmax(1).tolist()
    assert (np.diff(one.other_chances, axis=1) <= 0).all()
    assert outputs.shape == (63, 16)
    assert np.abs(outputs).max() <= 1


def test_draws_follow_the_probabilities():
    net = random_net("rnn")
    for name in ("dense/kernel", "embedding"):
        net.weights[name][:] = 0.0  # so that every place has the same distribution
    codes = write(net, np.array([0]), 5_000, Sampling(1.0)).codes
    expected = softmax(net.weights["dense/bias"])
    assert np.bincount(codes, minlength=11) / 5_000 == pytest.approx(expected, abs=0.025)


def test_greedy_writing_without_context_loops_within_the_vocabulary():
    writing = write(random_net("lstm", size=26), np.array([0]), 1_000, GREEDY, carries=False)
    assert 1 <= loop_length(writing.codes) <= 26


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("", 0),
        ("ab", 0),
        ("aaa", 1),
        ("xyabababab", 2),
        ("abcabcabc", 3),
        ("abcabca", 0),
        ("aabaabaab", 3),
        ("abcdefg", 0),
    ],
)
def test_length_of_the_loop_at_the_end(text, period):
    assert loop_length([ord(symbol) for symbol in text]) == period


def test_weights_survive_the_store():
    weights = random_net("gru", layers=2).weights
    again = unpack(decode_frame(encode_frame(pack(weights))))
    assert list(again) == list(weights)
    assert all(np.array_equal(again[name], weights[name]) for name in weights)


def test_thousand_characters_take_less_than_a_second():
    net = random_net("gru", units=128, size=65)
    seconds = []
    for seed in range(3):  # the quickest of three: other work on the machine is not ours to measure
        started = time.perf_counter()
        write(net, np.array([1]), 1_000, Sampling(0.8, seed=seed))
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 1.0
