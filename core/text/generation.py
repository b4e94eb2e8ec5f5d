"""Run a trained recurrent net in NumPy and let it write: the same outputs as its Keras layers, without TensorFlow.

A page calls this in the web process: 1,000 characters of a net of the gallery take well under a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

State = list[tuple[np.ndarray, ...]]
ALTERNATIVES = 4
MAX_LENGTH = 5_000
MAX_PROMPT = 200  # as much as fits a link, and its QR code, in any script
MAX_TEMPERATURE = 5.0


def pack(weights: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Write arrays, float32, as a frame of three columns: name, shape, and the bytes of the values."""
    return pd.DataFrame(
        {
            "name": list(weights),
            "shape": [",".join(map(str, array.shape)) for array in weights.values()],
            "values": [np.ascontiguousarray(array, "<f4").tobytes() for array in weights.values()],
        }
    )


def unpack(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Read the arrays that `pack` wrote."""
    return {
        row.name: np.frombuffer(row.values, "<f4").reshape([int(side) for side in row.shape.split(",")])
        for row in (_Row(*values) for values in frame[["name", "shape", "values"]].itertuples(index=False, name=None))
    }


@dataclass(frozen=True)
class _Row:
    name: str
    shape: str
    values: bytes


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


class Net:
    """A recurrent net: embedding, one or two layers of one kind, and a dense layer.

    Args:
        cell: `lstm`, `gru` or `rnn` (Keras' SimpleRNN).
        weights: By name: `embedding` (V, E), `dense/kernel` (H, V), `dense/bias` (V,), and for each layer
            n, from 0, `n/kernel`, `n/recurrent` and `n/bias`, laid out as Keras does.
    """

    def __init__(self, cell: str, weights: Mapping[str, np.ndarray]):
        self.cell, self.weights = cell, weights
        self.layers = sum(name.endswith("/recurrent") for name in weights)
        self.units = len(weights["dense/kernel"])
        self.vocabulary = len(weights["dense/bias"])

    def start(self, rows: int) -> State:
        """Return the state before the first symbol: zeros, shape (B, H) each."""
        parts = 2 if self.cell == "lstm" else 1
        return [tuple(np.zeros((rows, self.units), "float32") for _ in range(parts)) for _ in range(self.layers)]

    def step(self, codes: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Read one symbol a row.

        Args:
            codes: Numbers of symbols, shape (B,).
            state: From `start` or the step before.

        Returns:
            Logits of the next symbol, shape (B, V), and the new state.
        """
        x = self.weights["embedding"][codes]
        advanced: State = []
        for layer, before in enumerate(state):
            after = self._cell(layer, x, before)
            advanced.append(after)
            x = after[0]
        return x @ self.weights["dense/kernel"] + self.weights["dense/bias"], advanced

    def _cell(self, layer: int, x: np.ndarray, state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        kernel, recurrent, bias = (self.weights[f"{layer}/{part}"] for part in ("kernel", "recurrent", "bias"))
        h, units = state[0], self.units
        if self.cell == "rnn":
            return (np.tanh(x @ kernel + h @ recurrent + bias),)
        if self.cell == "lstm":
            gates = x @ kernel + h @ recurrent + bias
            keep = _sigmoid(gates[:, units : 2 * units])
            cell = keep * state[1] + _sigmoid(gates[:, :units]) * np.tanh(gates[:, 2 * units : 3 * units])
            return _sigmoid(gates[:, 3 * units :]) * np.tanh(cell), cell
        inner, outer = x @ kernel + bias[0], h @ recurrent + bias[1]  # Keras' GRU resets after the product
        update, reset = (_sigmoid(inner[:, part] + outer[:, part]) for part in (slice(units), slice(units, 2 * units)))
        new = np.tanh(inner[:, 2 * units :] + reset * outer[:, 2 * units :])
        return (update * h + (1 - update) * new,)

    def read(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read one text from the start state.

        Args:
            codes: Shape (N,).

        Returns:
            Logits, shape (N, V), and the outputs of the last layer's units, shape (N, H).
        """
        state = self.start(1)
        logits = np.empty((len(codes), self.vocabulary), "float32")
        outputs = np.empty((len(codes), self.units), "float32")
        for place in range(len(codes)):
            answer, state = self.step(codes[place : place + 1], state)
            logits[place], outputs[place] = answer[0], state[-1][0][0]
        return logits, outputs


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Turn logits into probabilities along the last axis, at a temperature > 0; float64."""
    scaled = logits.astype("float64") / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    powers = np.exp(scaled)
    return powers / powers.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Sampling:
    """How the next symbol is chosen.

    At `temperature` 0 the likeliest is taken. `top_k` > 0 leaves only the k likeliest; `nucleus` < 1 only the
    fewest whose probabilities reach that sum. `seed` decides the draws: one uniform number a symbol, so that
    two nets with equal probabilities write the same.
    """

    temperature: float = 0.8
    top_k: int = 0
    nucleus: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= MAX_TEMPERATURE:
            raise ValueError(
                f"Invalid `temperature`. Expected a number from 0 to {MAX_TEMPERATURE}; received {self.temperature}."
            )
        if self.top_k < 0:
            raise ValueError(f"Invalid `top_k`. Expected a whole number from 0; received {self.top_k}.")
        if not 0.0 < self.nucleus <= 1.0:
            raise ValueError(f"Invalid `nucleus`. Expected a number above 0, up to 1; received {self.nucleus}.")

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Turn one answer's logits, shape (V,), into what is drawn from, shape (V,), summing to 1."""
        if self.temperature == 0.0:
            return np.eye(len(logits))[int(np.argmax(logits))]
        p = softmax(logits, self.temperature)
        if self.top_k and self.top_k < len(p):
            p = np.where(p >= np.sort(p)[-self.top_k], p, 0.0)
        if self.nucleus < 1.0:
            order = np.argsort(-p, kind="stable")
            before = np.cumsum(p[order]) - p[order]
            p[order[before >= self.nucleus * p.sum()]] = 0.0
        return p / p.sum()


GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True)
class Writing:
    """What a net wrote after a prompt.

    `codes` holds the symbols without the prompt, shape (N,); `chance` the probability of each at temperature 1,
    shape (N,); `others` the likeliest symbols of each place and `other_chances` their probabilities, at
    temperature 1 too, shape (N, `ALTERNATIVES`); `entropy` that of what was drawn from, in bits, shape (N,).
    """

    codes: np.ndarray
    chance: np.ndarray
    others: np.ndarray
    other_chances: np.ndarray
    entropy: np.ndarray = field(default_factory=lambda: np.empty(0))


def write(net: Net, prompt: np.ndarray, length: int, sampling: Sampling, *, carries: bool = True) -> Writing:
    """Let a net write.

    Args:
        net: Trained.
        prompt: Symbols it reads first, shape (P,), at least one.
        length: Symbols to write, from 1 to `MAX_LENGTH`.
        sampling: How symbols are chosen.
        carries: Whether the state goes on from symbol to symbol; without it, the net sees the last symbol only.

    Raises:
        ValueError: For an empty prompt or a length out of range. "Expected …; received …".
    """
    if not len(prompt):
        raise ValueError("Invalid `prompt`. Expected at least one symbol; received none.")
    if not 1 <= length <= MAX_LENGTH:
        raise ValueError(f"Invalid `length`. Expected a whole number from 1 to {MAX_LENGTH}; received {length}.")
    draws = np.random.default_rng([sampling.seed, 31]).random(length)
    state, logits = net.start(1), np.empty(0)
    for code in prompt if carries else prompt[-1:]:
        answer, state = net.step(np.array([code]), state)
        logits = answer[0]
    kept = min(ALTERNATIVES, net.vocabulary)
    codes, entropy = np.empty(length, "int32"), np.empty(length)
    all_logits = np.empty((length, net.vocabulary), "float32")
    for place in range(length):
        p = sampling.probabilities(logits)
        code = min(int(np.searchsorted(np.cumsum(p), draws[place] * p.sum(), side="right")), len(p) - 1)
        codes[place], all_logits[place] = code, logits
        entropy[place] = -np.sum(p[p > 0] * np.log2(p[p > 0]))
        answer, state = net.step(codes[place : place + 1], state if carries else net.start(1))
        logits = answer[0]
    plain = softmax(all_logits)
    others = np.argsort(-plain, axis=1, kind="stable")[:, :kept].astype("int32")
    return Writing(codes, plain[np.arange(length), codes], others, np.take_along_axis(plain, others, axis=1), entropy)


def loop_length(codes: Sequence[int] | np.ndarray, repeats: int = 3) -> int:
    """Find the period with which a text ends: the shortest that stands there at least `repeats` times, or 0."""
    codes = np.asarray(codes)
    for period in range(1, len(codes) // repeats + 1):
        tail = codes[-repeats * period :]
        if np.array_equal(tail[period:], tail[:-period]):
            return period
    return 0
