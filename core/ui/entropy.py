"""The sections of the entropy page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from core.charts import agents, curves
from core.charts import entropy as charts
from core.charts.curves import Axes
from core.charts.effects import forest
from core.charts.figure import Figure
from core.comparison import Comparison, Measure, inline, inlined, label, sentence
from core.datasets import find
from core.entropy.report import (
    ACCURACY,
    BALANCED,
    BRIER,
    ECE,
    ENTROPY,
    NLL,
    RARE,
    Measured,
    amount,
    measured,
    verdict,
)
from core.entropy.worlds import UPDATES
from core.experiments.entropy import (
    AGENT_NAMES,
    EXPERIMENT,
    LESSON_NAMES,
    MAX_MULTIPLICATIONS,
    EntropyRun,
    EntropySettings,
)
from core.i18n import _, number, percent, plain
from core.study import BASELINE, Arm, Study
from core.ui import figures, links, training
from core.ui.services import services
from core.ui.view import View, escape

COLUMNS = 3
LIVE_CEILING = 1.6


def hero(view: View) -> None:
    """Draw the validation NLL of all arms over epochs; the axes stand still while the study runs."""
    if not len(view.shown.outcomes):
        st.info(_("Here the validation loss of every arm will be drawn over the epochs, as soon as it is trained."))
        return
    axes = None
    if view.is_live and view.is_own:
        high = max(1.15 * view.experiment.loss_ceiling(view.study.base), LIVE_CEILING)
        axes = Axes(view.settings.epochs, 0.0, high)  # type: ignore[attr-defined]
    figure = curves.hero(
        view.shown, view.arm_names, axes=axes, smoothing=view.settings.smoothing  # type: ignore[attr-defined]
    )  # fmt: skip
    figures.draw(figure, "hero", names=view.arm_names, is_live=axes is not None)
    st.caption(
        _(
            "The loss shown is the NLL, −ln of the probability given to the right answer: 0 for certainty that is right,"
            " without limit for certainty that is wrong. Calibration asks whether answers of 90% confidence are right in"
            " 90%; ECE is the mean miss."
        )
    )


def effects(view: View) -> None:
    """Draw the paired differences to the baseline in NLL, accuracy, calibration error and Brier score."""
    seen = measured(view.settled)
    if not len(seen.measures):
        return
    st.subheader(_("What improved, and what it cost"), anchor=False)
    for pair in ((NLL, ECE), (ACCURACY, BRIER)):
        for column, measure in zip(st.columns(2), pair, strict=True):
            with column:
                if (figure := named_forest(seen, view.arm_names, measure)) is not None:
                    figures.draw(figure, f"effects.{measure.name}", heading=False)


def named_forest(seen: Measured, names: Sequence[str], measure: Measure) -> Figure | None:
    """Draw a forest plot whose title begins with its measure, for several side by side; None without a pair of runs.

    More or less entropy is neither better nor worse, and its title does not say so.
    """
    figure = forest(seen, names, measure)
    if not len(figure.table):
        return None
    title, subtitle = figure.title, figure.subtitle
    if measure is ENTROPY:
        title, subtitle = charts.entropy_title(seen), subtitle.replace(_("Right of zero is better."), "").strip()
    title = sentence(_(measure.label)) + ". " + title
    return replace(figure, title=title, subtitle=subtitle, alt=f"{title} {figure.alt}")


def reliability(view: View) -> None:
    """Draw a reliability diagram an arm."""
    arms = charts.arms_with_answers(view.settled)
    if not arms:
        return
    st.subheader(charts.reliability_title(measured(view.settled)), anchor=False)
    st.caption(
        _(
            "Dots: share of right answers among those of about the same confidence, with their 90% bootstrap band."
            " Below the dashed diagonal a net is too sure. Grey bars: share of all answers in that bin. Validation"
            " points of all seeds together."
        )
    )
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                figure = charts.reliability_panel(view.settled, arm.name, view.arm_names)
                figures.draw(figure, f"reliability.{arm.name}", heading=False)


def own_figures(view: View) -> dict[str, Figure]:
    """Draw what leaves this page beside curves and effects: the paired differences in the other measures."""
    seen = measured(view.shown)
    if not len(seen.measures):
        return {}
    drawn = {measure.name: named_forest(seen, view.arm_names, measure) for measure in (ECE, ACCURACY, BRIER)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def table(view: View) -> None:
    """Draw the table of arms."""
    seen = measured(view.settled)
    if not len(seen.measures):
        return
    st.subheader(_("All arms in numbers"), anchor=False)
    frame = seen.remember("arms", lambda: arm_table(seen))
    st.dataframe(
        frame, hide_index=True, width="stretch",
        alt=_("Table of arms: accuracy, NLL, calibration error, Brier score, entropy and temperature."),
    )  # fmt: skip


def arm_table(seen) -> pd.DataFrame:
    """One row an arm, baseline first: measures averaged over seeds, as text, and paired differences."""
    rows = []
    for arm in seen.study.arms:
        own = {name: seen.mean(arm.name, name) for name in seen.measures.columns if name not in ("arm", "seed")}
        if arm.name not in set(seen.measures["arm"]):
            continue
        is_treatment = arm is not seen.baseline
        rows.append(
            {
                _("Arm"): label(arm),
                _("NLL"): number(own["nll"]),
                _("Δ NLL [95%]"): amount(seen.effect(arm, NLL)) if is_treatment else "",
                _("Accuracy"): percent(own["accuracy"]),
                _("Δ accuracy [95%]"): amount(seen.effect(arm, ACCURACY)) if is_treatment else "",
                _("ECE"): number(own["ece"]),
                _("Δ ECE [95%]"): amount(seen.effect(arm, ECE)) if is_treatment else "",
                _("Brier score"): number(own["brier"]),
                _("Mean entropy"): number(own["entropy"]),
                _("Mean confidence"): percent(own["confidence"]),
                _("Best temperature"): number(own["temperature"]),
            }
        )
    return pd.DataFrame(rows)


def depth(view: View) -> None:
    """Offer the rest in tabs; only the open one is computed."""
    parts = [
        (_("Along one setting"), along_setting),
        (_("Confidence"), confidence),
        (_("Calibrated afterwards"), afterwards),
        (_("Unfamiliar inputs"), unfamiliar),
        (_("The sign"), signs),
        (_("Exploration"), exploration),
        (_("Lessons"), lessons),
        (_("How it is measured"), lambda view: st.markdown(protocol(view))),
    ]
    tabs = st.tabs([title for title, _draw in parts], on_change="rerun", key="tabs.entropy")
    for tab, (_title, draw) in zip(tabs, parts, strict=True):
        if tab.open:
            with tab:
                draw(view)


def in_columns(drawn: Sequence[tuple[str, Figure | None]], view: View, count: int = COLUMNS, **keywords) -> None:
    """Draw figures side by side, `count` in a row; those that are None are left out."""
    shown = [(key, figure) for key, figure in drawn if figure is not None]
    for start in range(0, len(shown), count):
        for column, (key, figure) in zip(st.columns(count), shown[start : start + count], strict=False):
            with column:
                figures.draw(figure, key, heading=False, **keywords)


def along_setting(view: View) -> None:
    """Repeat the comparison along a strength, the share of wrong labels or the number of training points."""
    settings: EntropySettings = view.settings  # type: ignore[assignment]
    control = settings.controls()["along"]
    if st.session_state[links.widget_key(EXPERIMENT, "along")] != settings.along:
        st.rerun()  # chosen in this tab, whose fragment ran alone: the settings are read by the whole page
    st.session_state["entropy.along.tab"] = settings.along
    st.segmented_control(
        _(control.label),
        list(control.options),  # type: ignore[attr-defined]
        format_func=lambda name: _(control.options[name]),  # type: ignore[attr-defined]
        key="entropy.along.tab",
        on_change=_choose_along,
        required=True,
    )
    series = EXPERIMENT.series(settings)
    if EXPERIMENT.work(series.runs.values()) > MAX_MULTIPLICATIONS:
        st.info(_("This series would take more than half an hour: choose fewer epochs, seeds, points or units."))
        return
    comparisons: list[Comparison] = [services().comparison(study) for _value, study in series.points]
    missing = {digest for comparison in comparisons for digest in comparison.missing}
    training.controls(view, list(series.runs.values()), missing, "entropy.series", is_beside=True)
    seen = [measured(comparison) for comparison in comparisons]
    if not any(len(one.measures) for one in seen):
        st.caption(_("Here five measures will be drawn along the setting, point by point as they are trained."))
        return
    drawn = [(f"along.{measure.name}", charts.sweep(series, seen, view.arm_names, measure)) for measure in charts.SWEPT]
    in_columns(drawn, view, names=view.arm_names)
    st.caption(
        _(
            "The best point of a line was chosen on the very data that it is measured on, so its value is a little too"
            " good; neighbouring points within each other's bands are not told apart."
        )
    )


def _choose_along() -> None:
    st.session_state[links.widget_key(EXPERIMENT, "along")] = st.session_state["entropy.along.tab"]


def confidence(view: View) -> None:
    """Show how confidence and entropy are spread, and the points whose answers changed most."""
    arms = charts.arms_with_answers(view.settled)
    if not arms:
        st.caption(nothing_yet())
        return
    st.subheader(charts.histogram_title(view.settled), anchor=False)
    names = {"confidence": _("Confidence"), "entropy": _("Entropy")}
    quantity = st.segmented_control(
        _("Quantity"), list(names), default="confidence", format_func=lambda name: names[name],
        key="entropy_quantity", required=True, label_visibility="collapsed",
    )  # fmt: skip
    ceiling = charts.histogram_ceiling(view.settled, quantity)
    in_columns(
        [(f"spread.{arm.name}", charts.histogram_panel(view.settled, arm.name, quantity, ceiling)) for arm in arms],
        view,
    )
    examples(view, [arm for arm in arms if arm.name != view.settled.baseline.name])


def examples(view: View, arms: Sequence[Arm]) -> None:
    """Show single validation points and what both nets answer."""
    if not arms or not len(charts.answers(view.settled, view.settled.baseline.name)):
        return
    st.subheader(_("Where did confidence change?"), anchor=False)
    by_name = {arm.name: label(arm) for arm in arms}
    orders = {
        "fell": _("Confidence fell most"),
        "rose": _("Confidence rose most"),
        "repaired": _("Wrong, now right"),
        "broken": _("Right, now wrong"),
    }
    with st.container(horizontal=True, vertical_alignment="bottom"):
        arm = st.selectbox(_("Arm"), list(by_name), format_func=lambda name: by_name[name], key="entropy_example_arm")
        order = st.segmented_control(
            _("Points"), list(orders), default="fell", format_func=lambda name: orders[name],
            key="entropy_example_order", required=True,
        )  # fmt: skip
    figure = charts.examples(view.settled, arm, view.arm_names, order)
    if figure is None:
        st.caption(_("There is no such point among those that are kept."))
        return
    figures.draw(figure, "examples", heading=False)


def afterwards(view: View) -> None:
    """Show what is left of the differences after temperature scaling."""
    seen = measured(view.settled)
    if not len(seen.measures):
        st.caption(nothing_yet())
        return
    st.markdown(
        _(
            "One number can be fitted after training: divide all logits by a temperature T, chosen on points that"
            " nothing else has used. T above 1 says that the net was too sure, T below 1 that it was too unsure. No"
            " answer changes, only its confidence."
        )
    )
    drawn = [(f"scaled.{column}", charts.scaled(seen, view.arm_names, column)) for column in ("ece", "nll")]
    in_columns(drawn, view, 2)
    st.markdown(charts.temperature_words(seen))


def unfamiliar(view: View) -> None:
    """Show what the nets say of inputs that belong to no class."""
    seen = measured(view.settled)
    if not len(seen.measures):
        st.caption(nothing_yet())
        return
    drawn = [(f"unfamiliar.{what}", charts.unfamiliar(seen, view.arm_names, what)) for what in ("confidence", "auroc")]
    in_columns(drawn, view, 2, names=view.arm_names)
    turned = [(f"rotation.{c}", charts.rotation(seen, view.arm_names, c)) for c in ("confidence", "accuracy")]
    in_columns(turned, view, 2, names=view.arm_names)
    st.caption(
        _(
            "Less confidence everywhere is not yet a warning: it has to fall further on unfamiliar inputs than on"
            " familiar ones, which is what the AUROC measures."
        )
    )


def signs(view: View) -> None:
    """Show both signs of the entropy term: what they ask for, and what they do."""
    choices = {
        "penalty": _("Reward entropy: cross-entropy − β·H"),
        "minimise": _("Minimise entropy: cross-entropy + λ·H of unlabelled points"),
    }
    chosen = st.segmented_control(
        _("Sign"), list(choices), default="penalty", format_func=lambda name: choices[name],
        key="entropy_sign", required=True, label_visibility="collapsed",
    )  # fmt: skip
    texts = {
        "penalty": _(
            "The confidence penalty: certainty costs, on the labelled points. It asks for doubt (Pereyra et al., 2017)."
        ),
        "minimise": _(
            "The same name, the opposite sign: doubt costs, on points without a label. It asks the net to draw its"
            " boundaries where there are few points (Grandvalet & Bengio, 2004). It can be sure of the wrong thing."
        ),
    }
    st.markdown(texts[chosen])
    whole = EXPERIMENT.signs()
    study = Study(
        whole.base, tuple(arm for arm in whole.arms if arm.name in (BASELINE, chosen)), whole.varies, whole.seeds
    )
    comparison = services().comparison(study)
    settings = EXPERIMENT.sign_settings()
    st.caption(
        _("Measured on {facts}, the same for both signs; the baseline learns from the labelled points alone.").format(
            facts=", ".join(EXPERIMENT.facts(settings))
        )
    )
    training.controls(view, list(study.runs.values()), comparison.missing, "entropy.signs", is_beside=True)
    seen = measured(comparison)
    if not len(seen.measures):
        st.caption(nothing_yet())
        return
    st.markdown(escape(verdict(comparison)))
    measures = (ACCURACY, NLL, ECE, ENTROPY)
    in_columns([(f"signs.{m.name}", named_forest(seen, view.arm_names, m)) for m in measures], view, 2)
    if chosen == "penalty":
        shown: EntropySettings = view.settings  # type: ignore[assignment]
        classes = find(shown.dataset).classes
        st.subheader(_("Where the penalty pulls"), anchor=False)
        figure = charts.pull(classes, shown.beta or 1.0, shown.epsilon, shown.floor, view.arm_names)
        figures.draw(figure, "pull", names=view.arm_names)


def exploration(view: View) -> None:
    """Show the term's second meaning: agents that explore, with and without an entropy bonus."""
    st.markdown(
        _(
            "In reinforcement learning the same term is a bonus for each nat of the policy's entropy. There it means"
            " something else: a policy acts on its answer, so a more uncertain one tries more. A classifier explores"
            " nothing."
        )
    )
    worlds = {
        "grid": _("Grid: a small reward near, a large one far"),
        "bandit": _("Bandit: ten arms"),
    }
    task = st.segmented_control(
        _("World"), list(worlds), default="grid", format_func=lambda name: worlds[name],
        key="entropy_world", required=True, label_visibility="collapsed",
    )  # fmt: skip
    settings: EntropySettings = view.settings  # type: ignore[assignment]
    study = EXPERIMENT.agents(task, settings.bonus, settings.step)
    comparison = services().comparison(study)
    training.controls(view, list(study.runs.values()), comparison.missing, f"entropy.agents.{task}", is_beside=True)
    drawn = [
        (f"agents.{column}", agents.learning(comparison, AGENT_NAMES, column))
        for column in ("expected_return", "entropy")
    ]
    if all(figure is None for _key, figure in drawn):
        st.caption(nothing_yet())
        return
    in_columns(drawn, view, 2, names=AGENT_NAMES)
    figure = forest(comparison, AGENT_NAMES, agents.RETURN)
    if len(figure.table):
        figures.draw(figure, "agents.effects", heading=False)
    if task == "bandit":
        st.markdown(escape(agents.locked_words(comparison)))
    else:
        st.subheader(_("Where they go"), anchor=False)
        in_columns([(f"visits.{arm.name}", agents.visited(comparison, arm.name)) for arm in study.arms], view, 4)
    base: EntropyRun = study.base  # type: ignore[assignment]
    st.caption(
        _(
            "A tf.keras policy with one logit an action and state, REINFORCE with a running mean return of each state as"
            " its baseline, SGD with learning rate {rate}, episodes an update: {episodes}, {updates} updates,"
            " {seeds} paired seeds. What the bonus does depends on the step size: both"
            " are among the settings."
        ).format(
            rate=plain(base.learning_rate),
            episodes=base.batch_size,
            updates=plain(base.epochs * UPDATES),
            seeds=len(study.seeds),
        )
    )


def lessons(view: View) -> None:
    """Set three common statements beside what happens when they are executed."""
    names = {
        "random": _("“It adds randomness”"),
        "sign": _("The sign turned"),
        "imbalance": _("“Good for imbalanced data”"),
    }
    chosen = st.segmented_control(
        _("Lesson"), list(names), default="random", format_func=lambda name: names[name],
        key="entropy_lesson", required=True, label_visibility="collapsed",
    )  # fmt: skip
    {"random": lesson_randomness, "sign": lesson_sign, "imbalance": lesson_imbalance}[chosen](view)


def lesson_randomness(view: View) -> None:
    """Evaluate every arm twice: nothing changes, unless dropout is left on."""
    st.markdown(
        _(
            "**Said:** entropy regularization makes predictions random, and so more diverse. **Executed:** it is a term"
            " of the loss. Every net of this comparison answered the same validation points twice; the table has the"
            " largest change of any probability."
        )
    )
    seen = measured(view.settled)
    if not len(seen.measures):
        st.caption(nothing_yet())
        return
    rows = [
        {
            _("Arm"): label(arm),
            _("In inference mode"): number(float(own["repeated"].max())),
            _("In training mode"): number(float(own["sampled"].max())),
            _("Mean entropy"): number(float(own["entropy"].mean())),
        }
        for arm in seen.study.arms
        if len(own := seen.measures[seen.measures["arm"] == arm.name])
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", alt=_("Largest change between two evaluations."))
    moved = [
        arm for arm in seen.study.arms if (seen.measures.loc[seen.measures["arm"] == arm.name, "sampled"] > 0).any()
    ]
    text = _("A more uncertain answer is not a random one: asked again, each net says exactly the same.")
    if moved:
        text += " " + _("Only with its training switch left on does an answer change: {arms}.").format(
            arms=inlined(moved)
        )
    st.markdown(text)


def lesson_sign(view: View) -> None:
    """Execute the penalty with its sign turned."""
    st.markdown(
        _(
            "**Wrong:** `loss = cross_entropy + beta * entropy`. A loss is minimized, so this asks for certainty; two"
            " printed equations of the paper carry this sign. **Right:** `loss = cross_entropy - beta * entropy`."
        )
    )
    _lesson(view, "sign", (ENTROPY, ECE, NLL, ACCURACY))


def lesson_imbalance(view: View) -> None:
    """Measure the penalty against class weights on imbalanced training points."""
    base = EXPERIMENT.lesson("imbalance").base
    st.markdown(
        _(
            "**Said:** entropy regularization suits imbalanced data. **Executed:** {n} digits, the most frequent class"
            " {ratio} times as frequent as the rarest; validation is balanced. The penalty pulls toward the uniform answer"
            " and knows nothing of the class shares; class weights do."
        ).format(n=plain(base.n_train), ratio=plain(base.imbalance))  # type: ignore[attr-defined]
    )
    _lesson(view, "imbalance", (RARE, BALANCED, NLL, ECE))


def _lesson(view: View, name: str, measures: Sequence[Measure]) -> None:
    study = EXPERIMENT.lesson(name)
    comparison = services().comparison(study)
    training.controls(view, list(study.runs.values()), comparison.missing, f"entropy.lesson.{name}", is_beside=True)
    seen = measured(comparison)
    if not len(seen.measures):
        st.caption(nothing_yet())
        return
    in_columns([(f"lesson.{m.name}", named_forest(seen, LESSON_NAMES[name], m)) for m in measures], view, 2)
    st.markdown(escape(lesson_words(seen, name)))


def lesson_words(seen: Measured, name: str) -> str:
    """Say what a lesson's runs show, each arm against the baseline and the two against each other."""
    _baseline, right, other = seen.study.arms
    if name == "sign":
        parts = [(right, ENTROPY), (other, ENTROPY), (right, ECE), (other, ECE)]
    else:
        parts = [(right, RARE), (other, RARE)]
    words = [
        _("{arm}: {measure} {amount}").format(
            arm=inline(arm), measure=_(measure.label), amount=amount(seen.effect(arm, measure))
        )
        for arm, measure in parts
        if seen.effect(arm, measure).absolute.n
    ]
    text = sentence("; ".join(words)) + "."
    if name == "imbalance":
        between = seen.difference(right, other, RARE)
        if between.absolute.n > 1:
            text += " " + (
                _("Between the two no difference is seen: {amount}.")
                if not between.is_significant
                else _("The penalty against class weights: {amount}.")
            ).format(amount=amount(between))
    return text


def nothing_yet() -> str:
    """Say that a part waits for its runs."""
    return _("Here the measures will stand as soon as runs have ended.")


def protocol(view: View) -> str:
    """Explain the protocol of the page."""
    settings: EntropySettings = view.settled_settings  # type: ignore[assignment]
    dataset = find(settings.dataset)
    return _(
        "- **One loss for all.** Whatever an arm minimizes, every curve and NLL here is plain cross-entropy, in nats, in"
        " inference mode, on the weights that the run ends with.\n"
        "- **Paired seeds.** For each seed every arm gets the same split, the same wrong labels, the same initial"
        " weights and the same batch order. Intervals are 95% Student t intervals of the paired differences, each arm"
        " and measure by itself; they cover the spread over seeds, not the finite validation split.\n"
        "- **ECE** has 15 bins of equal width. It is biased upward: a perfectly calibrated net has about 0.74/√n, here"
        " {floor}.\n"
        "- **Temperature** is fitted on the stopping split, {stopping} points that nothing else on this page uses.\n"
        "- **Splits.** {test} test points are put away, the same for all seeds. Unlabelled points are taken from what"
        " training leaves; inputs of tables are scaled by training points with and without a label.\n"
        "- **Unfamiliar inputs** are made from the validation points: turned by 90°, with shuffled pixels, or noise"
        " between each input's lowest and highest training value; tables and points in the plane are moved five times as far out"
        " instead.\n"
        "- **Mixup** draws one share a step. **Focal loss** and **label smoothing** are from logits. The sum of β·H and"
        " the cross-entropy is one value a row, so that sample weights work."
    ).format(
        floor=number(
            0.74 / min(settings.n_validation, dataset.pool - settings.n_train - settings.unlabelled) ** 0.5, 2
        ),
        stopping=dataset.stopping,
        test=dataset.test,
    )
