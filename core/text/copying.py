"""Measure how much of a text stands verbatim in another: does a net write, or recite? Pure Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def matches(written: str, source: str) -> np.ndarray:
    """Find, for each place, how long a piece of `written` from there stands verbatim in `source`.

    Returns:
        Lengths in code points, shape (N,); 0 where not even one is found. The end of the longest match never
        moves back from one place to the next, so about 2·N searches do.
    """
    lengths = np.zeros(len(written), "int32")
    end = 0
    for start in range(len(written)):
        end = max(end, start)
        while end < len(written) and written[start : end + 1] in source:
            end += 1
        lengths[start] = end - start
    return lengths


@dataclass(frozen=True)
class Span:
    """A piece from `start` up to `end` that stands verbatim in the source."""

    start: int
    end: int


def copied_spans(lengths: np.ndarray, least: int) -> list[Span]:
    """List the pieces of at least `least` code points that were copied; overlapping ones are joined."""
    spans: list[Span] = []
    for start, length in enumerate(lengths.tolist()):
        if length < least:
            continue
        if spans and start <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(spans[-1].end, start + length))
        else:
            spans.append(Span(start, start + length))
    return spans


def overlap(lengths: np.ndarray, n: int) -> float:
    """Return the share of the pieces of `n` code points that stand in the source; NaN where there is none."""
    places = len(lengths) - n + 1
    return float((lengths[:places] >= n).mean()) if places > 0 else float("nan")


def distinct(written: str, n: int) -> float:
    """Return how many different pieces of `n` code points there are, as a share of all; NaN where there is none."""
    pieces = [written[place : place + n] for place in range(len(written) - n + 1)]
    return len(set(pieces)) / len(pieces) if pieces else float("nan")
