"""Predict the next symbol from the n − 1 before it, by counting: the lines that a recurrent net has to get below."""

from __future__ import annotations

import lzma

import numpy as np

ORDERS = (1, 2, 3, 4, 5)  # unigram to 5-gram


def witten_bell(train: np.ndarray, held_out: np.ndarray, size: int, orders: tuple[int, ...] = ORDERS) -> list[float]:
    """Compute the mean loss of n-gram models with Witten-Bell interpolation.

    With c(h, s) the count of symbol s after history h, c(h) their sum and t(h) the number of different
    symbols seen after h, P(s | h) = (c(h, s) + t(h)·P(s | h′)) / (c(h) + t(h)), where h′ is h without its
    oldest symbol; below the unigram stands the uniform distribution. A history never seen passes P(s | h′) on.

    Args:
        train: What is counted, shape (N,), numbers below `size`.
        held_out: What is predicted, shape (M,); histories do not reach back before it.
        size: Size of the vocabulary.
        orders: Lengths n, ascending from 1 without a gap.

    Returns:
        Bits a symbol, one value an order.

    Source: Witten & Bell, The zero-frequency problem, IEEE Transactions on Information Theory 37 (4), 1991,
    method C; interpolated as in Chen & Goodman, An empirical study of smoothing techniques, 1999, section 2.6.
    """
    probability = np.full(len(held_out), 1.0 / size)
    losses = []
    train, held_out = train.astype("int64"), held_out.astype("int64")
    for order in orders:
        if order > 1 and (order - 1) * np.log2(size) > 62 - np.log2(size):
            raise ValueError(f"Expected an order whose histories fit 63 bits; received {order} with {size} symbols.")
        seen, asked = _windows(train, order, size), _windows(held_out, order, size)
        pairs, pair_counts = np.unique(seen, return_counts=True)
        histories, first = np.unique(pairs // size, return_index=True)
        totals = np.add.reduceat(pair_counts, first)
        kinds = np.diff([*first, len(pairs)])
        at = _find(histories, asked // size)
        count = np.where((where := _find(pairs, asked)) >= 0, pair_counts[where], 0)
        total, kind = np.where(at >= 0, totals[at], 0), np.where(at >= 0, kinds[at], 0)
        tail = probability[order - 1 :]
        mixed = np.where(at >= 0, (count + kind * tail) / np.maximum(total + kind, 1), tail)
        probability = np.concatenate([probability[: order - 1], mixed])
        losses.append(float(-np.log2(probability).mean()))
    return losses


def _windows(codes: np.ndarray, order: int, size: int) -> np.ndarray:
    """Write each run of `order` symbols as one number, the newest symbol last."""
    value = np.zeros(max(len(codes) - order + 1, 0), "int64")
    for offset in range(order):
        value = value * size + codes[offset : offset + len(value)]
    return value


def _find(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Find the places of `asked` in the sorted `known`, −1 where absent."""
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[at] == asked, at, -1)


def xz_bits(train: str, held_out: str) -> float:
    """Measure how many bits a symbol xz adds for `held_out` when it has packed `train` before it.

    Args:
        train, held_out: Texts; the second is not empty.

    Returns:
        Eight times the bytes by which the packed text grows, over the number of code points of `held_out`.
    """
    alone, both = (
        len(lzma.compress(text.encode("utf-8", "surrogatepass"), preset=9 | lzma.PRESET_EXTREME))
        for text in (train, train + held_out)
    )
    return 8 * (both - alone) / len(held_out)
