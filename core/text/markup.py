"""Write a text as markup for a page: colours, hints and marks, every symbol of it escaped; imports no Streamlit."""

from __future__ import annotations

import functools
import html

import numpy as np

from core.i18n import language, percent
from core.text import Vocabulary
from core.text.copying import copied_spans
from core.text.generation import Writing

GROUP = 10  # characters that appear together
STYLE = """<style>
.written {font: .86rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;}
.written b {opacity: .6; font-weight: 600;}
.written span {border-radius: 2px;}
.written i {font-style: normal; animation: written 120ms both;}
.written .copied {text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: 3px;}
@keyframes written {from {opacity: 0;} to {opacity: 1;}}
@media (prefers-reduced-motion: reduce) {.written i {animation: none;}}
</style>"""


def as_html(prompt: str, writing: Writing, copied: np.ndarray, vocabulary: Vocabulary, least: int) -> str:
    """Write a text with a colour for each character's probability, its alternatives, and the copied pieces marked.

    Args:
        prompt: What was read before.
        writing: What was written.
        copied: Lengths from `core.text.copying.matches`, one a code point.
        vocabulary: The symbols of the codes.
        least: Code points from which a copied piece is marked.
    """
    marked = np.zeros(len(copied), bool)
    for span in copied_spans(copied, least):
        marked[span.start : span.end] = True
    parts, place = [], 0
    for position, symbol in enumerate(vocabulary.symbols[code] for code in writing.codes):
        chance = float(writing.chance[position])
        likeliest = zip(writing.others[position], writing.other_chances[position], strict=True)
        others = " · ".join(f"{shown(vocabulary.symbols[code])} {_written(float(p))}" for code, p in likeliest)
        hint = html.escape(f"{shown(symbol)} {_written(chance)} | {others}", quote=True)
        mark = ' class="copied"' if marked[place] else ""
        parts.append(
            f'<span{mark} style="background:rgba(216,120,0,{0.5 * (1 - chance):.2f})" title="{hint}">'
            f"{html.escape(symbol)}</span>"
        )
        place += len(symbol)
    # It streams in by groups: a thousand animations of their own keep a browser busy for seconds.
    groups = "".join(
        f'<i style="animation-delay:{5 * start}ms">{"".join(parts[start : start + GROUP])}</i>'
        for start in range(0, len(parts), GROUP)
    )
    return f'{STYLE}<div class="written"><b>{html.escape(prompt)}</b>{groups}</div>'


def _written(chance: float) -> str:
    """Write a probability as `percent` does; a thousand characters have five thousand of them, but few different."""
    return _percent(round(chance, 2 if chance >= 0.0995 else 3), language())


@functools.lru_cache(maxsize=4_096)
def _percent(share: float, _language: str) -> str:
    return percent(share)


def plain_html(prompt: str, text: str) -> str:
    """Write a text after its prompt, without marks."""
    return f'{STYLE}<div class="written"><b>{html.escape(prompt)}</b>{html.escape(text)}</div>'


def shown(symbol: str) -> str:
    """Make a space or a line end visible."""
    return {" ": "␣", "\n": "↵", "\t": "⇥"}.get(symbol, symbol)
