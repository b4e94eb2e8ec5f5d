"""Give every arm one colour, one dash and one shape, everywhere; imports no Streamlit.

In the app the colours come from the theme (`.streamlit/config.toml`, light and dark), by position in
the scale's domain; exports take the same list from `LIGHT`.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

LIGHT = (
    "#6B7280", "#0072B2", "#C44E00", "#7A3E9D", "#00795C", "#B5377F", "#2B8CBE", "#8A6D00", "#5B4FCF", "#A63C3C",
    "#4E7A00", "#9C4A1A", "#3D6B8E", "#A02C6E", "#6B5B2E", "#1F7A7A",
)  # fmt: skip
DARK = (
    "#A3ABB8", "#56B4E9", "#F28E2B", "#C792EA", "#2FBF8F", "#F27DB5", "#8CCBE8", "#E3C13C", "#A59BFF", "#F08A8A",
    "#A6D854", "#E8A87C", "#8FB8DE", "#E58CC0", "#CDBE8A", "#6FD6D6",
)  # fmt: skip
DASHES = (
    (1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (10, 4), (4, 2, 1, 2), (12, 3, 3, 3), (3, 3), (14, 4), (6, 2, 2, 2),
    (16, 3, 2, 3), (1, 4), (8, 2, 8, 6), (5, 5), (12, 2, 2, 2, 2, 2), (18, 6),
)  # fmt: skip
NARROW = 520  # pixels of chart below which labels at line ends give way to the legend under the chart

TYPE_SIZE = alt.ExprRef(f"width < {NARROW} ? 0 : type_size")  # of labels in the chart; a parameter of the spec


def colour(names: Sequence[str], field: str = "arm") -> alt.Color:
    """Encode arms by colour; `names` are all arms that the experiment knows, the baseline first."""
    return alt.Color(field=field, type="nominal", scale=alt.Scale(domain=list(names)), legend=None)


def dash(names: Sequence[str], field: str = "arm") -> alt.StrokeDash:
    """Encode arms by dash, in the same order as `colour`."""
    ranges = [list(DASHES[i % len(DASHES)]) for i in range(len(names))]
    return alt.StrokeDash(field=field, type="nominal", scale=alt.Scale(domain=list(names), range=ranges), legend=None)


def spread(values: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Move label positions apart until neighbours are `distance` apart, each as little as possible.

    Args:
        values: Wanted positions, in axis units, any order.
        distance: Smallest distance between two labels.
        low, high: Limits for the labels.

    Returns:
        Positions in the order of `values`.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[tuple[float, int]] = []  # sum of the wanted positions, and how many, merged while they overlap

    def centre(group: tuple[float, int]) -> float:
        half = distance * (group[1] - 1) / 2
        return max(min(group[0] / group[1], high - half), low + half)

    for index in order:
        groups.append((values[index], 1))
        while len(groups) > 1:
            (sum1, n1), (sum2, n2) = groups[-2:]
            if centre(groups[-1]) - centre(groups[-2]) >= distance * (n1 + n2) / 2:
                break
            groups[-2:] = [(sum1 + sum2, n1 + n2)]
    positions = [centre(g) + distance * (k - (g[1] - 1) / 2) for g in groups for k in range(g[1])]
    placed = [0.0] * len(values)
    for index, position in zip(order, positions, strict=True):
        placed[index] = position
    return placed
