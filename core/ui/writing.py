"""What the nets of the RNN page write: the same prompt, draws and temperature for every arm, in the web process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.comparison import Comparison, inline, label
from core.experiments.rnn import EXPERIMENT, RnnSettings, prompt_of
from core.i18n import N_, _, listing, number, percent, plain
from core.result import RunResult
from core.study import Arm
from core.text import KEPT_PARAMETERS, Vocabulary, prepare, symbols_of
from core.text.copying import distinct, matches, overlap
from core.text.generation import GREEDY, Net, Sampling, Writing, loop_length, unpack, write
from core.text.markup import as_html, plain_html, shown
from core.ui import links
from core.ui.view import View, escape

COLUMNS = 3
MARKED = 12  # characters from which a copied piece is marked
PIECE = 8  # characters of a piece whose share is quoted


@dataclass(frozen=True)
class Sources:
    """What a comparison's texts rest on: the vocabulary, and the parts that writing is compared with."""

    vocabulary: Vocabulary
    train: str
    control: str


def sources(comparison: Comparison) -> Sources | None:
    """Read the text of a comparison; None until the baseline's first run is over."""
    result = comparison.results.get(comparison.study.base.digest)
    if result is None or "text" not in result.frames:
        return None

    def make() -> Sources:
        parts = dict(zip(result.frames["text"]["part"], result.frames["text"]["text"], strict=True))
        vocabulary = Vocabulary(tuple(result.frames["vocabulary"]["symbol"]))
        return Sources(vocabulary, parts["train"], parts["control"])

    return comparison.remember(("sources",), make)


def net_of(comparison: Comparison, arm: Arm) -> Net | None:
    """Return the net of an arm's first seed, where its weights were kept."""
    spec: Any = comparison.study.spec(arm, 0)
    result = comparison.results.get(spec.digest)
    if result is None or "weights" not in result.frames:
        return None
    return comparison.remember(("net", arm.name), lambda: Net(spec.cell, unpack(result.frames["weights"])))


def sampling_of(settings: RnnSettings) -> Sampling:
    """Read how characters are chosen."""
    return Sampling(settings.temperature, settings.top_k, settings.nucleus, settings.draw)


@dataclass(frozen=True)
class Sheet:
    """What one arm wrote, and how much of it stands in the training text and in the control text."""

    prompt: str
    vocabulary: Vocabulary
    writing: Writing
    text: str
    copied: np.ndarray
    control: np.ndarray

    @cached_property
    def markup(self) -> str:
        """Write the text for the page; once, as a page that is polled draws it every second."""
        return as_html(self.prompt, self.writing, self.copied, self.vocabulary, MARKED)


def sheet(comparison: Comparison, arm: Arm, prompt: str, sampling: Sampling, length: int) -> Sheet | None:
    """Let the net of an arm write, once for each prompt and way of sampling."""
    net, known = net_of(comparison, arm), sources(comparison)
    if net is None or known is None:
        return None
    carries = comparison.study.base.window > 1  # type: ignore[attr-defined]

    def make() -> Sheet:
        writing = write(net, known.vocabulary.encode(prompt), length, sampling, carries=carries)
        text = known.vocabulary.decode(writing.codes)
        both = matches(text, known.train), matches(text, known.control)
        return Sheet(prompt, known.vocabulary, writing, text, *both)

    return comparison.remember(("sheet", arm.name, prompt, sampling, length), make)


def usable_prompt(text: str, spec: Any, vocabulary: Vocabulary) -> tuple[str, str]:
    """Fit a prompt to what the nets know.

    Args:
        text: As it was typed; empty for the usual one.
        spec: What was trained decides what a text keeps.
        vocabulary: What the nets know.

    Returns:
        The prompt, and a sentence on what was wrong with it, or an empty one.
    """
    default = prompt_of(spec, vocabulary.numbers)
    if not text:
        return default, ""
    text = prepare(text, case=spec.case, spaces=spec.spaces, punctuation=spec.punctuation)
    unknown = vocabulary.unknown(text)
    if unknown:
        named = listing([f"“{symbol}”" for symbol in unknown[:8]]) + ("…" if len(unknown) > 8 else "")
        return default, _(
            "Invalid prompt. Expected characters that the text has; received {characters}, which no net here has ever"
            " seen. The usual prompt is used instead."
        ).format(characters=named)
    if not text:
        return default, _(
            "Invalid prompt. Expected at least one character that the text keeps; received none. The usual prompt is"
            " used instead."
        )
    return text, ""


def sheets_of(view: View, *, greedy: bool = False) -> dict[Arm, Sheet]:
    """Let the net of every arm write as the settings say; arms without stored weights are left out."""
    comparison = view.settled
    known = sources(comparison)
    if known is None:
        return {}
    prompt, _fault = prompt_in_use(view, known)
    sampling, length = sampling_of(view.settings), view.settings.length  # type: ignore[arg-type, attr-defined]
    sheets = {
        arm: sheet(comparison, arm, prompt, GREEDY if greedy else sampling, length) for arm in comparison.study.arms
    }
    return {arm: own for arm, own in sheets.items() if own is not None}


def prompt_in_use(view: View, known: Sources) -> tuple[str, str]:
    """Return the prompt of the settings, or the usual one, and a sentence on what was wrong."""
    settings: Any = view.settings
    return usable_prompt(settings.prompt.replace("\\n", "\n"), view.settled.study.base, known.vocabulary)


Samples = dict[Arm, tuple[RunResult, pd.DataFrame]]


def samples_of(comparison: Comparison) -> Samples:
    """Gather what the nets of the first seed wrote after each epoch, with the run that it belongs to."""
    found = {}
    for arm in comparison.study.arms:
        result = comparison.results.get(comparison.study.spec(arm, 0).digest)
        if result is not None and "samples" in result.frames:
            frame = result.frames["samples"]
            found[arm] = (result, frame[frame["kind"] == "sampled"])
    return {arm: (result, frame) for arm, (result, frame) in found.items() if len(frame)}


def draw_samples(arms: Sequence[Arm], samples: Samples, epoch: int) -> None:
    """Set the texts of `arms` side by side, each the last one up to `epoch`; an arm without one keeps its place."""
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                _draw_sample(arm, samples, epoch)


def _draw_sample(arm: Arm, samples: Samples, epoch: int) -> None:
    name = f"**{escape(label(arm))}** · "
    if arm not in samples:
        st.markdown(name + _("not begun yet"))
        return
    result, frame = samples[arm]
    row = frame[frame["epoch"] <= epoch].iloc[-1]
    loss = float(result.curves["validation_loss"].iloc[int(row["epoch"])])
    st.markdown(name + _("epoch {epoch}, {loss} bits").format(epoch=int(row["epoch"]), loss=number(loss)))
    st.html(plain_html(row["prompt"], row["text"]))


def live(view: View) -> None:
    """Show, while a study trains, what its nets wrote after the epoch that is just over."""
    if not (view.is_live and view.is_own):
        return
    st.subheader(_("What the nets write by now"), anchor=False)
    draw_samples(view.study.arms, samples_of(view.comparison), view.settings.epochs)  # type: ignore[attr-defined]
    st.caption(
        _(
            "The nets of the first seed: the same prompt, the same random draws, temperature 0.8, anew after every epoch."
        )
    )


def screen(view: View) -> None:
    """Present what the baseline's net and that of the best arm write, one beside the other."""
    written = sheets_of(view)
    if view.settled.baseline not in written:
        return
    best = next((effect.arm for effect in view.settled.effects() if effect.is_better and effect.arm in written), None)
    chosen = {arm: written[arm] for arm in (view.settled.baseline, best) if arm is not None}
    st.title(writing_title(chosen), anchor=False)
    _draw_sheets(chosen, "screen")


def writing(view: View) -> None:
    """Show what every arm's net writes, with the controls of sampling, and the greedy text below."""
    known = sources(view.settled)
    written = sheets_of(view)
    if known is None or not written:
        if view.settled.is_complete:
            st.caption(
                _(
                    "No net writes here: those that diverged are not kept, nor those of more than {kept} weights. What"
                    " the others wrote while they were trained stands under “Through training”."
                ).format(kept=plain(KEPT_PARAMETERS))
            )
        return
    _prompt, fault = prompt_in_use(view, known)
    st.subheader(writing_title(written), anchor=False)
    _controls(view)
    if fault:
        st.warning(fault, icon=":material/edit_off:")
    _draw_sheets(written, "sampled")
    st.caption(
        _(
            "Every arm reads the same prompt (grey) and gets the same random draws; the net is that of the first seed."
            " The stronger the colour, the less likely the net found the character; hover for what it would rather"
            " have written. Underlined: {least} or more characters in a row that stand just so in the training text."
        ).format(least=MARKED)
    )
    with st.expander(_("The same nets, greedy: always the likeliest character"), on_change="rerun") as greedy:
        if greedy.open:
            always = sheets_of(view, greedy=True)
            st.markdown(escape(greedy_title(always)))
            _draw_sheets(always, "greedy")


def _draw_sheets(written: Mapping[Arm, Sheet], kind: str) -> None:
    arms, columns = list(written), min(COLUMNS, len(written))
    for start in range(0, len(arms), columns):
        for column, arm in zip(st.columns(columns), arms[start : start + columns], strict=False):
            with column, st.container(key=f"{kind}-{arm.name}"):
                own = written[arm]
                st.markdown(f"**{escape(label(arm))}**")
                st.html(own.markup)
                st.caption(meter(own))


def writing_title(written: Mapping[Arm, Sheet]) -> str:
    """State how much is copied, from the arm that copies most to the one that copies least."""
    longest = {arm: int(own.copied.max(initial=0)) for arm, own in written.items()}
    most = max(longest, key=lambda arm: longest[arm])
    least = min(longest, key=lambda arm: longest[arm])
    if longest[most] == longest[least]:
        return _("Longest piece copied from the training text: {count} characters in each of these texts.").format(
            count=longest[most]
        )
    return _(
        "Longest piece copied from the training text: {most} characters ({most_arm}), {least} ({least_arm})."
    ).format(most=longest[most], most_arm=inline(most), least=longest[least], least_arm=inline(least))


def greedy_title(written: Mapping[Arm, Sheet]) -> str:
    """State which arms end in a loop, and how long it is."""
    loops = {arm: loop_length(own.writing.codes) for arm, own in written.items()}
    named = [
        _("{arm} every {period} characters").format(arm=inline(arm), period=period)
        for arm, period in loops.items()
        if period
    ]
    if not named:
        return _("No arm has fallen into a loop within this length.")
    return _("Falls into a loop: {arms}.").format(arms=listing(named))


def meter(own: Sheet) -> str:
    """Quote the copy meter of one text."""
    return _(
        "Longest verbatim piece: {copied} characters of the training text, {control} of the control text. Pieces of"
        " {n}: {share} stand in the training text, {control_share} in the control text."
    ).format(
        copied=int(own.copied.max(initial=0)),
        control=int(own.control.max(initial=0)),
        n=PIECE,
        share=percent(overlap(own.copied, PIECE)),
        control_share=percent(overlap(own.control, PIECE)),
    )


def _controls(view: View) -> None:
    """Offer the prompt, and the settings of sampling where the text is; the sidebar has them too."""
    settings: Any = view.settings
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        control: Any = settings.controls()["prompt"]
        key = links.widget_key(EXPERIMENT, "prompt")
        if st.session_state.get(key, settings.prompt) != settings.prompt:
            st.rerun()  # typed here, where the fragment ran alone: the settings are read by the whole page
        st.text_input(
            _(control.label),
            key=key,
            placeholder=_("as usual"),
            help=_(control.help),
            max_chars=control.limit,
            width=260,
        )
        for field in ("temperature", "draw"):
            _mirror(settings, field)


def _mirror(settings: RnnSettings, field: str) -> None:
    """Draw a setting's widget a second time, next to what it changes."""
    key = links.widget_key(EXPERIMENT, field)
    control: Any = settings.controls()[field]
    value = getattr(settings, field)
    if st.session_state.get(key, value) != value:
        st.rerun()  # chosen here, where the fragment ran alone: the settings are read by the whole page
    own = f"{key}.here"
    st.session_state[own] = value

    def choose() -> None:
        st.session_state[key] = st.session_state[own]

    shared: dict[str, Any] = {"key": own, "on_change": choose, "help": _(control.help)}
    if field == "temperature":
        st.select_slider(
            _(control.label), sorted({*control.marks, value}), format_func=plain, width=260, **shared
        )  # fmt: skip
    else:
        st.number_input(_(control.label), control.low, control.high, width=130, **shared)


# -- tables ------------------------------------------------------------------------------------------------

TEMPERATURES = (0.05, 0.3, 0.5, 0.8, 1.0, 1.3, 1.7)
TABLE_LENGTH = 600


def temperatures(view: View) -> pd.DataFrame:
    """Let the baseline's net write at several temperatures, and measure each text."""
    comparison = view.settled
    known = sources(comparison)
    assert known is not None
    prompt, _fault = prompt_in_use(view, known)
    rows = []
    for temperature in TEMPERATURES:
        own = sheet(comparison, comparison.baseline, prompt, Sampling(temperature, seed=0), TABLE_LENGTH)
        if own is None:
            continue
        rows.append(
            {
                _("Temperature"): plain(temperature),
                _("Entropy (bits)"): number(float(own.writing.entropy.mean())),
                _("Longest copied piece"): int(own.copied.max(initial=0)),
                _("Pieces of 8 copied"): percent(overlap(own.copied, PIECE)),
                _("… of the control text"): percent(overlap(own.control, PIECE)),
                _("Different pieces of 4"): percent(distinct(own.text, 4)),
            }
        )
    return pd.DataFrame(rows)


def entropy_at_one(view: View) -> float:
    """Return the mean entropy, in bits, of what the baseline draws from at temperature 1; NaN without its net."""
    known = sources(view.settled)
    if known is None:
        return float("nan")
    prompt, _fault = prompt_in_use(view, known)
    own = sheet(view.settled, view.settled.baseline, prompt, Sampling(1.0, seed=0), TABLE_LENGTH)
    return float(own.writing.entropy.mean()) if own else float("nan")


def vocabulary_table(known: Sources) -> pd.DataFrame:
    """Count every character of the vocabulary in the training and the control text."""

    def make(text: str) -> Counter[str]:
        return Counter(symbols_of(text))

    train, control = make(known.train), make(known.control)
    symbols = sorted(known.vocabulary.symbols, key=lambda symbol: -train[symbol])
    return pd.DataFrame(
        {
            _("Character"): [shown(symbol) for symbol in symbols],
            _("Code point"): [" ".join(f"U+{ord(part):04X}" for part in symbol) for symbol in symbols],
            _("In the training text"): [train[symbol] for symbol in symbols],
            _("In the control text"): [control[symbol] for symbol in symbols],
        }
    )


def reference_table(lines: Sequence[tuple[str, float]], comparison: Comparison) -> pd.DataFrame:
    """List the losses of simple answers and of the arms, the lowest first."""
    outcomes = comparison.outcomes
    best = outcomes[(outcomes["at"] == "last") & (outcomes["status"] != "diverged")] if len(outcomes) else outcomes
    rows = [(name, value) for name, value in lines]
    for arm in comparison.study.arms:
        own = best[best["arm"] == arm.name] if len(best) else best
        if len(own):
            rows.append((label(arm), float(own["validation_loss"].mean())))
    rows.sort(key=lambda row: row[1])
    return pd.DataFrame(
        {_("Answer"): [row[0] for row in rows], _("Bits a character"): [number(row[1]) for row in rows]}
    )


# -- units -------------------------------------------------------------------------------------------------

VOWELS = "aeiouáéíóú"
READ = 2_000  # characters of held-out text over which units are compared with properties
DRAWN = 90  # of them drawn


@dataclass(frozen=True)
class Reading:
    """What a net's units did while it read: outputs (N, H) and symbols drawn, and which unit follows what."""

    outputs: np.ndarray
    symbols: tuple[str, ...]
    chosen: tuple[int, ...]
    follows: tuple[str, ...]
    correlations: tuple[float, ...]
    count: int
    units: int


def properties(symbols: Sequence[str]) -> dict[str, np.ndarray]:
    """Measure at each character what a unit might follow; shape (N,) each. The names are to be translated."""
    since, quoted, indent = np.zeros(len(symbols)), np.zeros(len(symbols)), np.zeros(len(symbols))
    column, inside, leading = 0, False, 0
    for place, symbol in enumerate(symbols):
        if symbol == "\n":
            column = leading = 0
        else:
            column += 1
            leading += symbol == " " and leading == column - 1
        if symbol in ('"', "“", "”", "«", "»"):
            inside = not inside
        since[place], quoted[place], indent[place] = column, inside, leading
    found = {
        N_("the distance from the line's start"): np.minimum(since, 60),
        N_("line ends"): np.array([symbol == "\n" for symbol in symbols], float),
        N_("spaces and line ends"): np.array([symbol.isspace() for symbol in symbols], float),
        N_("capitals"): np.array([symbol.isupper() for symbol in symbols], float),
        N_("vowels"): np.array([symbol.lower() in VOWELS for symbol in symbols], float),
        N_("quotation marks, open until closed"): quoted,
        N_("indentation"): np.minimum(indent, 12),
    }
    return {name: values for name, values in found.items() if values.std() > 0.02}


def read_units(comparison: Comparison, arm: Arm) -> Reading:
    """Let the net of an arm read the control text, and find the unit that follows each property most closely."""
    net, known = net_of(comparison, arm), sources(comparison)
    assert net is not None
    assert known is not None

    def make() -> Reading:
        symbols = symbols_of(known.control)[:READ]
        outputs = net.read(np.array([known.vocabulary.numbers[symbol] for symbol in symbols]))[1]
        centred = (outputs - outputs.mean(0)) / np.maximum(outputs.std(0), 1e-6)
        best: dict[int, tuple[str, float]] = {}
        for name, values in properties(symbols).items():
            correlation = centred.T @ ((values - values.mean()) / values.std()) / len(symbols)
            unit = int(np.argmax(np.abs(correlation)))
            if unit not in best or abs(best[unit][1]) < abs(correlation[unit]):
                best[unit] = (name, float(correlation[unit]))
        ranked = sorted(best, key=lambda unit: -abs(best[unit][1]))
        return Reading(
            outputs[:DRAWN],
            tuple(shown(symbol) for symbol in symbols[:DRAWN]),
            tuple(ranked),
            tuple(_(best[unit][0]) for unit in ranked),
            tuple(best[unit][1] for unit in ranked),
            len(symbols),
            net.units,
        )

    return comparison.remember(("units", arm.name), make)


def units_table(reading: Reading) -> pd.DataFrame:
    """List the units that were found, each with what it follows and the correlation."""
    return pd.DataFrame(
        {
            _("Unit"): list(reading.chosen),
            _("Follows"): list(reading.follows),
            _("Correlation"): [number(value, 2) for value in reading.correlations],
        }
    )
