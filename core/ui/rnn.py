"""The sections of the RNN page that show what was measured; what the nets write is in `core.ui.writing`."""

from __future__ import annotations

import streamlit as st

from core.charts import curves
from core.charts import rnn as charts
from core.charts.curves import Axes
from core.charts.effects import forest
from core.charts.figure import Figure
from core.comparison import Comparison, label
from core.experiments.rnn import EXPERIMENT, RnnSettings
from core.i18n import _, number, percent, plain, use_language
from core.study import BASELINE
from core.text import KEPT_PARAMETERS, MAX_BYTES, MAX_SYMBOLS, MIN_SYMBOLS, TRAIN_SHARE, TextError, cut, prepare
from core.text.copying import distinct, overlap
from core.text.generation import loop_length
from core.text.markup import plain_html
from core.text.upload import read_upload
from core.ui import figures, links, teaching, training, writing
from core.ui.services import services
from core.ui.tables import draw_arm_table
from core.ui.view import View

COLUMNS = 3


def references(comparison: Comparison) -> tuple[tuple[str, float], ...]:
    """Read the losses of simple answers on this text; empty until the baseline's first run is over."""
    result = comparison.results.get(comparison.study.base.digest)
    if result is None or "references" not in result.frames:
        return ()
    frame = result.frames["references"]
    values = dict(zip(frame["line"], frame["bits"].astype(float), strict=True))
    names = {
        "uniform": _("uniform"),
        "1-gram": _("unigram"),
        "2-gram": _("bigram"),
        "3-gram": _("trigram"),
        "4-gram": _("4-gram"),
        "5-gram": _("5-gram"),
        "xz": _("xz"),
    }
    return tuple((names[line], value) for line, value in values.items())


def hero(view: View) -> None:
    """Draw the validation curves of all arms over the lines of simple answers."""
    if not len(view.shown.outcomes):
        st.info(_("Here the validation loss of every arm will be drawn over the epochs, as soon as it is trained."))
        return
    axes = None
    if view.is_live and view.is_own:
        axes = Axes(view.settings.epochs, 0.0, 1.05 * view.experiment.loss_ceiling(view.study.base))  # type: ignore[attr-defined]
    figure = curves.hero(
        view.shown, view.arm_names, axes=axes, smoothing=view.settings.smoothing,  # type: ignore[attr-defined]
        references=references(view.shown),
    )  # fmt: skip
    figures.draw(figure, "hero", names=view.arm_names, is_live=axes is not None)


def effects(view: View) -> None:
    """Draw the paired differences to the baseline."""
    figure = forest(view.settled, view.arm_names, at=view.settled_settings.moment)  # type: ignore[attr-defined]
    if len(figure.table):
        figures.draw(figure, "effects")


def panels(view: View) -> None:
    """Draw a panel an arm, its two splits and the gap between them, on the same axes."""
    if not len(view.settled.outcomes):
        return
    st.subheader(curves.panels_title(view.settled), anchor=False)
    st.caption(
        _(
            "Solid: validation. Dotted: training, evaluated like validation, without dropout or penalty. Shaded: the gap, in bits a"
            " character."
        )
    )
    axes = curves.panel_axes(view.settled)
    present = set(view.settled.outcomes["arm"])
    arms = [arm for arm in view.settled.study.arms if arm.name in present]
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                figures.draw(
                    curves.panel(view.settled, arm.name, view.arm_names, axes), f"panel.{arm.name}", heading=False
                )


def table(view: View) -> None:
    """Draw the table of arms."""
    if not len(view.settled.outcomes):
        return
    st.subheader(_("All arms in numbers"), anchor=False)
    draw_arm_table(view.settled, _("Accuracy"), view.settled_settings.moment)  # type: ignore[attr-defined]


def depth(view: View) -> None:
    """Offer the rest in tabs; only the open one is computed."""
    names = [
        _("Through training"),
        _("Does it copy?"),
        _("What the state remembers"),
        _("The tutorial, fault by fault"),
        _("Predict first"),
        _("The text"),
        _("How it is measured"),
    ]
    for tab, body in zip(st.tabs(names, on_change="rerun", key="tabs.rnn"), BODIES, strict=True):
        if tab.open:
            with tab:
                body(view)


def own_figures(view: View) -> dict[str, Figure]:
    """Draw what leaves this page beside curves and effects."""
    figures = {}
    if charts.timed_runs(view.shown):
        figures["seconds"] = charts.seconds(view.shown, view.arm_names)
    if charts.has_places(view.shown):
        figures["places"] = charts.places(view.shown, view.arm_names)
    return figures


def through_training(view: View) -> None:
    """Show what the seconds bought, and what every arm wrote after a chosen epoch."""
    if charts.timed_runs(view.settled):
        figures.draw(charts.seconds(view.settled, view.arm_names), "seconds", names=view.arm_names)
    samples = writing.samples_of(view.settled)
    if not samples:
        st.caption(
            _("There is nothing to show: what nets have written that diverged is not kept.")
            if view.settled.is_complete
            else _("Here a sample after every epoch will stand, as soon as the first runs are over.")
        )
        return
    last = max(int(frame["epoch"].max()) for _result, frame in samples.values())
    epoch = st.slider(_("Epoch"), 0, max(last, 1), min(last, max(1, last // 4)), key="rnn.epoch")
    st.caption(
        _(
            "Written after this epoch by the net of the first seed: the same prompt, the same random draws, temperature"
            " 0.8. A run that has ended keeps its last text."
        )
    )
    writing.draw_samples(list(samples), samples, epoch)


def copies(view: View) -> None:
    """Draw the copy meter by length of the pieces, and the same at several temperatures in a table."""
    known = writing.sources(view.settled)
    written = writing.sheets_of(view)
    if known is None or not written:
        st.caption(
            _("Here the copy meter will stand, as soon as the first runs are over; very large nets are not kept.")
        )
        return
    lengths = tuple(range(2, 25))
    shares = {
        arm: {
            "train": [overlap(own.copied, n) for n in lengths],
            "control": [overlap(own.control, n) for n in lengths],
        }
        for arm, own in written.items()
    }
    figures.draw(charts.copying(shares, lengths, view.arm_names), "copying", names=view.arm_names)
    st.markdown(f"**{_('The baseline at other temperatures')}**")
    st.dataframe(
        writing.temperatures(view), hide_index=True, width="stretch",
        alt=_("Table of temperatures: entropy, copied pieces and repetition."),
    )  # fmt: skip
    net_is_sure = writing.entropy_at_one(view)
    last = view.settled.outcomes
    last = last[(last["at"] == "last") & (last["arm"] == BASELINE)]["validation_loss"].mean()
    st.caption(
        _(
            "Entropy is that of what is drawn from, averaged over the text. At temperature 1 the baseline believes in"
            " {entropy} bits, while it loses {loss} on text that it has not seen: the further apart, the surer of itself"
            " than it should be. A low temperature copies and repeats, a high one forgets how words are spelt."
        ).format(entropy=number(net_is_sure), loss=number(float(last)))
    )


def remembers(view: View) -> None:
    """Draw the loss by distance from the start, and the units that follow something visible."""
    if charts.has_places(view.settled):
        figures.draw(charts.places(view.settled, view.arm_names), "places", names=view.arm_names)
    known = writing.sources(view.settled)
    arms = [arm for arm in view.settled.study.arms if writing.net_of(view.settled, arm) is not None]
    if known is None or not arms:
        return
    by_name = {arm.name: arm for arm in arms}
    if st.session_state.get("rnn.heat") not in by_name:
        st.session_state["rnn.heat"] = arms[0].name
    name = st.segmented_control(
        _("Whose units"), list(by_name), format_func=lambda name: label(by_name[name]), key="rnn.heat", required=True
    )
    reading = writing.read_units(view.settled, by_name[name or arms[0].name])
    figures.draw(
        charts.units(
            reading.outputs,
            reading.symbols,
            reading.chosen,
            by_name[name or arms[0].name],
            reading.follows[0],
            reading.correlations[0],
        ),
        "units",
    )
    st.dataframe(
        writing.units_table(reading), hide_index=True, width="stretch",
        alt=_("Table of units: what each follows and how closely."),
    )  # fmt: skip
    st.caption(
        _(
            "The units were searched for: of all units the one whose output correlates most with each property, over"
            " {n} characters of held-out text. The best of {units} always correlates a little."
        ).format(n=plain(reading.count), units=reading.units)
    )


def faults(view: View) -> None:
    """Show the tutorial's set-up beside a right one, each fault executed."""
    _trained_faults(view)
    st.divider()
    teaching.lessons(view)


def _trained_faults(view: View) -> None:
    lessons = services().comparison(EXPERIMENT.lessons)
    whole = services().comparison(EXPERIMENT.tutorial)
    runs = [*EXPERIMENT.lessons.runs.values(), *EXPERIMENT.tutorial.runs.values()]
    missing = {*lessons.missing, *whole.missing}
    training.controls(view, runs, missing, "rnn.lessons", is_beside=True)
    if lessons.missing or whole.missing:
        st.caption(_("Here the tutorial's set-up will stand beside a right one, as soon as both are trained."))
        return
    final = {row.arm: row for row in lessons.outcomes[lessons.outcomes["at"] == "best"].itertuples()}
    lines = dict(references(lessons))
    st.markdown(f"##### {_('1. One letter of context is a table of pairs')}")
    left, right = st.columns(2)
    left.markdown(f"**{_('Wrong: every letter alone')}**")
    left.code(WRONG_PAIRS, language="python")
    right.markdown(f"**{_('Right: windows')}**")
    right.code(RIGHT_PAIRS, language="python")
    st.markdown(
        _(
            "Both nets were trained here, LSTM 64 on the same letters. The pairs reach **{pairs} bits** a letter; merely"
            " counting pairs gives {bigram}. Windows reach **{windows} bits**. No width helps the pairs: LSTM 512, as in"
            " the tutorial, has {parameters} weights for a table of 26 × 26."
        ).format(
            pairs=number(final[BASELINE].validation_loss),
            bigram=number(lines[_("bigram")]),
            windows=number(final["windows"].validation_loss),
            parameters=plain(int(whole.outcomes["parameters"].iloc[0])),
        )
    )
    samples = whole.results[whole.study.base.digest].frames["samples"]
    greedy = samples[samples["kind"] == "greedy"].iloc[-1]
    period = loop_length([ord(symbol) for symbol in greedy["text"]])
    st.markdown(f"##### {_('2. The likeliest letter, a thousand times')}")
    left, right = st.columns(2)
    left.markdown(f"**{_('Wrong: always the likeliest letter')}**")
    left.code(WRONG_GREEDY, language="python")
    right.markdown(f"**{_('Right: draw, with a temperature')}**")
    right.code(RIGHT_GREEDY, language="python")
    with left:
        st.html(plain_html(greedy["prompt"], greedy["text"][:240] + "…"))
    with right:
        sampled = samples[samples["kind"] == "sampled"].iloc[-1]
        st.html(plain_html(sampled["prompt"], sampled["text"][:240] + "…"))
    st.markdown(
        _(
            "The tutorial's own net, LSTM 512, from “a”: of its {n} letters the last repeat every **{period}**. With one"
            " letter of context the next letter is a function of the last, so it must loop within 26. Sampling does not"
            " loop: {distinct} of its runs of four letters are different, against {repeated}."
        ).format(
            n=plain(len(greedy["text"])), period=period,
            distinct=percent(distinct(sampled["text"], 4)), repeated=percent(distinct(greedy["text"][: len(sampled["text"])], 4)),
        )
    )  # fmt: skip
    st.markdown(f"##### {_('3. Without spaces there are no words')}")
    left, right = st.columns(2)
    for column, name in ((left, "windows"), (right, "everything")):
        arm = next(arm for arm in lessons.study.arms if arm.name == name)
        frame = lessons.results[lessons.study.spec(arm, 0).digest].frames["samples"]
        row = frame[frame["kind"] == "sampled"].iloc[-1]
        with column:
            st.markdown(f"**{label(arm)}** · {_('{loss} bits').format(loss=number(final[name].validation_loss))}")
            st.html(plain_html(row["prompt"], row["text"]))
    st.caption(
        _(
            "Two alphabets, so the two losses must not be compared: a text with spaces has characters that are easy to"
            " guess. Each is to be set against the n-grams of its own text."
        )
    )
    st.markdown(f"##### {_('4. Without validation, learning and reciting look alike')}")
    last = view.settled.outcomes
    last = last[(last["at"] == "last") & (last["arm"] == BASELINE) & (last["status"] != "diverged")]
    if len(last):
        st.markdown(
            _(
                "The tutorial looks at the training loss alone. On this page the baseline ends at {train} bits on its"
                " training text, and at {validation} on text that it has not seen."
            ).format(
                train=number(last["train_loss"].mean()), validation=number(last["validation_loss"].mean())
            )
        )  # fmt: skip


WRONG_PAIRS = """x = one_hot(text[:-1]).reshape(-1, 1, 26)
y = one_hot(text[1:])
model.fit(x, y, batch_size=32, epochs=15)"""
RIGHT_PAIRS = """x = windows(text[:-1], 32)   # (N, 32)
y = windows(text[1:], 32)
model.fit(x, y, batch_size=8, epochs=15)"""
WRONG_GREEDY = "letter = p.argmax()"
RIGHT_GREEDY = """p = softmax(logits / temperature)
letter = rng.choice(26, p=p)"""


def own_text(view: View) -> None:
    """Take a text of the viewer's own, and choose it for the next training."""
    uploads = st.session_state.get("rnn.uploads", 0)  # a new key empties the widget

    def take() -> None:
        use_language(st.session_state["language"])  # a callback runs before the page does
        file = st.session_state.get(f"rnn.upload.{uploads}")
        if file is None:
            return
        st.session_state["rnn.uploads"] = uploads + 1
        st.session_state.pop("rnn.upload.said", None)
        try:
            text, encoding = read_upload(file.getvalue())
            prepared = cut(prepare(text, case=True, spaces=True, punctuation=True), MAX_SYMBOLS, MAX_SYMBOLS)
        except TextError as error:
            st.session_state["rnn.upload.said"] = (False, error.sentence())
            return
        digest = services().store.attach(text.encode("utf-8"))
        chosen = {"corpus": "own", "text": digest}
        if len(prepared.train) < st.session_state.get(links.widget_key(EXPERIMENT, "n_train"), 0):
            chosen["n_train"] = max(2_000, len(prepared.train))  # type: ignore[assignment]
        for field, value in chosen.items():
            st.session_state[links.widget_key(EXPERIMENT, field)] = value
        size = round(len(prepared.train) / TRAIN_SHARE)
        st.session_state["rnn.upload.said"] = (
            True,
            _(
                "Read as {encoding}: {symbols} characters, {vocabulary} different ones, SHA-256 {digest}. Train"
                " it with the button under the verdict."
            ).format(
                encoding=encoding, symbols=plain(size), vocabulary=plain(len(prepared.vocabulary)), digest=digest[:10]
            ),
        )  # fmt: skip

    st.markdown(f"**{_('Your own text')}**")
    st.file_uploader(
        _("A text file of {least} characters to {most} MB, in any script and encoding").format(
            least=plain(MIN_SYMBOLS), most=plain(MAX_BYTES // 1_000_000)
        ),
        type=["txt", "md", "csv", "html", "py"],
        max_upload_size=MAX_BYTES // 1_000_000,
        key=f"rnn.upload.{uploads}",
        on_change=take,
    )
    if st.session_state.get(links.widget_key(EXPERIMENT, "text")) != view.settings.text:  # type: ignore[attr-defined]
        st.rerun()  # chosen here, where the fragment ran alone: the settings are read by the whole page
    is_taken, sentence = st.session_state.get("rnn.upload.said", (True, ""))
    if sentence:
        (st.success if is_taken else st.warning)(sentence)


def the_text(view: View) -> None:
    """Show the vocabulary and the losses of simple answers, and take a text of the viewer's own."""
    own_text(view)
    known = writing.sources(view.settled)
    if known is None:
        st.caption(_("Here the vocabulary will stand, as soon as the baseline's first run is over."))
        return
    left, right = st.columns([3, 2])
    with left:
        st.markdown(f"**{_('Vocabulary: {n} characters').format(n=len(known.vocabulary))}**")
        st.dataframe(
            writing.vocabulary_table(known), hide_index=True, width="stretch", height=320,
            alt=_("Table of characters with their counts in the training and the control text."),
        )  # fmt: skip
    with right:
        st.markdown(f"**{_('What simple answers reach')}**")
        st.dataframe(
            writing.reference_table(references(view.settled), view.settled), hide_index=True, width="stretch",
            alt=_("Table of simple answers and their validation loss in bits a character."),
        )  # fmt: skip
        st.caption(
            _(
                "Counted on the same training text, measured on the same validation text; n-grams with Witten-Bell"
                " interpolation. xz also learns from the validation text while it packs it, which no net here does."
            )
        )
    st.markdown(f"**{_('The training text as the net sees it')}**")
    st.html(plain_html("", known.train[:600]))


def measured(view: View) -> None:
    """Explain the protocol of the page."""
    settings: RnnSettings = view.settled_settings  # type: ignore[assignment]
    st.markdown(
        _(
            "- **Paired seeds.** For each seed every arm gets the same text, the same initial weights and the same windows"
            " in the same order. The interval covers the spread over seeds; the text and its parts are the same for all.\n"
            "- **Parts.** Training takes characters from the start of the text, at most the first nine tenths. Of the last"
            " tenth, the first 40% validate, the next 20% steer early stopping, and the rest is touched by no run.\n"
            "- **Windows.** An epoch cuts the training text from a random place into windows of {window} characters and"
            " shuffles them; the state is empty at the start of each.\n"
            "- **Losses** are bits a character, in inference mode on the same weights for both parts, without penalty, over"
            " {measured} characters in 16 stretches along which the state is carried. With a window of 1 it is not.\n"
            "- **Writing** happens in this page's own process, from the stored weights of the first seed; nets of more than"
            " {kept} weights are not kept.\n"
            "- **Collapsed** means a training loss above 95% of the entropy of single characters."
        ).format(window=settings.window, measured=plain(settings.n_validation), kept=plain(KEPT_PARAMETERS))
    )


BODIES = (through_training, copies, remembers, faults, teaching.tasks, the_text, measured)
