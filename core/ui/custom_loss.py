"""The sections of the custom loss page."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from core.charts import curves
from core.charts import custom_loss as charts
from core.charts.curves import Axes
from core.charts.effects import forest
from core.charts.figure import Figure
from core.comparison import inline, label, sentence
from core.datasets import Kind
from core.experiments.custom_loss import (
    EXPERIMENT,
    OWN,
    CustomLossSettings,
    find_set,
    loss_of,
    own_values,
    rare_class,
    rare_name,
)
from core.formula import CONSTANTS, FUNCTIONS, Formula, FormulaError, parse
from core.i18n import _, listing, number, plain
from core.losses import (
    BASELINES,
    CLASS_VARIABLES,
    LOSSES,
    VARIABLES,
    Loss,
    lessons,
    of_kind,
    own_fault,
    read_values,
    write_values,
)
from core.losses import code as losscode
from core.losses.crosstable import BEST, TIED, CrossTable, cross_table
from core.losses.fits import OBJECTIVE
from core.losses.health import Finding, examine, likely_term
from core.losses.health import shape as shape_rows
from core.losses.lessons import WEIGHTS
from core.losses.scores import SCORES
from core.result import RunResult
from core.study import BASELINE, Study
from core.ui import figures, links, training
from core.ui.services import services
from core.ui.tables import draw_arm_table
from core.ui.view import View

COLUMNS = 3
MARKS = {BEST: "●", TIED: "○", "": ""}
BENCH = "custom_loss.bench"  # prefix of the widgets that are no settings


def hero(view: View) -> None:
    """Draw the yardstick of all arms over epochs; the axes stand still while the study runs."""
    if not len(view.shown.outcomes):
        st.info(_("Here the validation loss of every arm will be drawn over the epochs, as soon as it is trained."))
        return
    settings: CustomLossSettings = view.settings  # type: ignore[assignment]
    axes = None
    if view.is_live and view.is_own:
        axes = Axes(settings.epochs, 0.0, 1.6 * view.experiment.loss_ceiling(view.study.base))
    figure = curves.hero(view.shown, view.arm_names, axes=axes, smoothing=settings.smoothing)
    figures.draw(figure, "hero", names=view.arm_names, is_live=axes is not None)


def troubles(view: View) -> None:
    """Name the arms whose loss left the finite: when, in how many runs, and by which term."""
    shown, seeds = view.shown, len(view.shown.study.seeds)
    for arm in shown.study.arms:
        results = [shown.results.get(shown.study.runs[arm.name, seed].digest) for seed in shown.study.seeds]
        lost = [result.info.epochs for result in results if result is not None and result.info.status == "diverged"]
        finite = [result for result in results if result is not None and result.info.status == "complete"]
        undefined = [result for result in finite if not np.isfinite(_objective(result))]
        if not lost and not undefined:
            continue
        kind, formula, parameters = loss_of(shown.study.spec(arm, shown.study.seeds[0]))  # type: ignore[arg-type]
        term = likely_term(kind, formula, parameters)
        if lost:
            text = _("{arm} left the finite in {count} of {seeds} runs, first in epoch {epoch}.").format(
                arm=sentence(inline(arm)), count=len(lost), seeds=seeds, epoch=min(lost)
            )
        else:
            text = _(
                "{arm} is not a number on the training points in {count} of {seeds} runs, though the net is finite: Keras would print nan and train on."
            ).format(arm=sentence(inline(arm)), count=len(undefined), seeds=seeds)
        if term:
            text += " " + _("The likely term is `{term}`; the health check below says where.").format(term=term)
        else:
            text += " " + _("No term is undefined near the data, so the steps were too large: lower the learning rate.")
        st.warning(text, icon=":material/report:")


def _objective(result: RunResult) -> float:
    scores = result.frames["scores"].set_index("measure")["value"]
    return float(scores.get(OBJECTIVE, 0.0))


def settled_names(view: View) -> tuple[str, ...]:
    """List the arms that the settled comparison can have, for colours and dashes."""
    return view.experiment.names(view.settled_settings)


def effects(view: View) -> None:
    """Draw the paired differences to the baseline."""
    figure = forest(view.settled, settled_names(view), at=view.settled_settings.moment)  # type: ignore[attr-defined]
    if len(figure.table):
        figures.draw(figure, "effects")


def fits(view: View) -> None:
    """Draw the fits themselves where there is one input, and scikit-learn's beside them."""
    if not len(charts.fit_rows(view.settled)):
        return
    left, right = st.columns(2)
    with left:
        names = settled_names(view)
        figures.draw(charts.fits(view.settled, names), "fits", names=names)
    if len(charts.reference_scores(view.settled)):
        with right:
            figures.draw(charts.reference_fits(view.settled), "references", names=charts.REFERENCE_NAMES)


def cross(view: View) -> None:
    """Set every loss against every measure."""
    settings: CustomLossSettings = view.settled_settings  # type: ignore[assignment]
    table = view.settled.remember("cross", lambda: cross_table(view.settled, SCORES[settings.kind]))
    if not len(table.cells):
        return
    st.subheader(cross_title(table), anchor=False)
    frame = view.settled.remember("cross.frame", lambda: cross_frame(table, view))
    st.dataframe(
        frame,
        hide_index=True,
        width="stretch",
        alt=cross_title(table),
        column_config={_(score.label): st.column_config.TextColumn(help=_(score.help)) for score in table.measures},
    )
    words = _(
        "Means over seeds, on the validation split, of the weights a run ends with. ● best: ahead of every other loss"
        " beyond the 95% interval of their paired difference. ○ among the best: the lead is within the interval. With"
        " many columns a mark now and then is luck."
    )
    if settings.kind == "classification":
        words += " " + _("The rare class is {name}.").format(name=_(rare_name(settings.dataset)))
    st.caption(words)


def cross_title(table: CrossTable) -> str:
    """State who is best in how many measures, and who in none."""
    best, total = table.winners(), sum(1 for score in table.measures if score.sign)
    leaders = sorted((arm for arm in table.arms if best[arm.name]), key=lambda arm: -len(best[arm.name]))
    if not leaders:
        shared = table.winners(TIED)
        most = max((len(measures) for measures in shared.values()), default=0)
        front = [label(arm) for arm in table.arms if len(shared[arm.name]) == most]
        if not most:
            return _("Every loss by every measure")
        return _("No loss is clearly best; most often among the best: {arms}, by {count} of {total} measures.").format(
            arms=listing(front), count=most, total=total
        )
    parts = [
        _("{arm} by {count} of {total} measures").format(arm=label(arm), count=len(best[arm.name]), total=total)
        for arm in leaders[:3]
    ]
    return _("Clearly best: {parts}.").format(parts=listing(parts))


def cross_frame(table: CrossTable, view: View) -> pd.DataFrame:
    """Write the table: a row an arm, then scikit-learn's regressions as a reference."""
    cells = table.cells.set_index(["arm", "measure"])
    rows = []
    for arm in table.arms:
        row = {_("Arm"): label(arm)}
        for score in table.measures:
            cell = cells.loc[(arm.name, score.name)]
            row[_(score.label)] = f"{number(cell['mean'])} {MARKS[cell['mark']]}".strip()
        rows.append(row)
    references = charts.reference_scores(view.settled)
    for method, own in references.groupby("method", sort=False):
        means = own.groupby("measure")["value"].mean()
        name = _("Reference: {name}").format(name=_(charts.REFERENCES[str(method)]))
        rows.append({_("Arm"): name, **{_(score.label): number(means[score.name]) for score in table.measures}})
    return pd.DataFrame(rows)


def panels(view: View) -> None:
    """Draw a panel an arm, its two splits and the gap between them, on the same axes."""
    if not len(view.settled.outcomes):
        return
    st.subheader(_("Training and validation, arm by arm"), anchor=False)
    st.caption(
        _(
            "Solid: validation. Dotted: training, in the same yardstick; outliers and wrong labels are in the training"
            " points, so a robust arm is worse there, and should be."
        )
    )
    axes, names = curves.panel_axes(view.settled), settled_names(view)
    present = set(view.settled.outcomes["arm"])
    arms = [arm for arm in view.settled.study.arms if arm.name in present]
    for start in range(0, len(arms), COLUMNS):
        for column, arm in zip(st.columns(COLUMNS), arms[start : start + COLUMNS], strict=False):
            with column:
                figure = curves.panel(view.settled, arm.name, names, axes)
                figures.draw(figure, f"panel.{arm.name}", heading=False)


def own_figures(view: View) -> dict[str, Figure]:
    """Draw what leaves this page beside curves and effects: the fits, where there is one input."""
    if not len(charts.fit_rows(view.shown)):
        return {}
    drawn = {"fits": charts.fits(view.shown, view.experiment.names(view.shown_settings))}
    if len(charts.reference_scores(view.shown)):
        drawn["references"] = charts.reference_fits(view.shown)
    return drawn


def table(view: View) -> None:
    """Draw the table of arms."""
    if not len(view.settled.outcomes):
        return
    settings: CustomLossSettings = view.settled_settings  # type: ignore[assignment]
    st.subheader(_("All arms in numbers"), anchor=False)
    score = _("Accuracy") if find_set(settings.dataset).classes else _("R²")
    draw_arm_table(view.settled, score, settings.moment)  # type: ignore[arg-type]


def depth(view: View) -> None:
    """Offer the rest in tabs; only the open one is computed."""
    bench, forms, second, lessons, details, method = st.tabs(
        [
            _("A loss under the lens"),
            _("Function and class"),
            _("With a regularizer"),
            _("Lessons"),
            _("Arms in detail"),
            _("How it is measured"),
        ],
        on_change="rerun",
        key="tabs.custom_loss",
    )
    if bench.open:
        with bench:
            workbench(view)
    if forms.open:
        with forms:
            both_forms(view)
    if second.open:
        with second:
            with_regularizer(view)
    if lessons.open:
        with lessons:
            loss_lessons(view)
    if details.open:
        with details:
            panels(view)
    if method.open:
        with method:
            st.markdown(measured(view))


def workbench(view: View) -> None:
    """Look at one loss, the viewer's own or one of the gallery: formula, sliders, shape and health."""
    settings: CustomLossSettings = view.settings  # type: ignore[assignment]
    kind = settings.kind
    gallery = {loss.name: loss for loss in of_kind(kind)}
    chosen = st.selectbox(
        _("Loss"),
        [OWN, *gallery],
        format_func=lambda name: _(gallery[name].title) if name in gallery else _("Your own formula"),
        key=f"{BENCH}.loss.{kind}",
    )
    if chosen == OWN:
        formula, parameters = own_bench(settings)
        if formula is None:
            return
        text = _("Your own formula")
    else:
        loss = gallery[chosen]
        formula, parameters = loss.formula, gallery_bench(loss, settings)
        text = _(loss.title)
    arm = BASELINE if chosen == BASELINES[kind] else chosen
    baseline = LOSSES[BASELINES[kind]]
    losses = {BASELINE: (baseline.formula, baseline.parameters), arm: (formula, parameters)}
    labels = {BASELINE: _(baseline.title), arm: text}
    names = EXPERIMENT.names(settings)
    rows = shape_rows(kind, losses)
    for column, which in zip(st.columns(2), ("loss", "slope"), strict=True):
        with column:
            figures.draw(charts.shape(rows, which, kind, labels, names), f"shape.{which}", names=names, heading=False)
    health(examine(kind, formula, parameters))


def gallery_bench(loss: Loss, settings: CustomLossSettings) -> dict[str, float]:
    """Show a loss of the gallery and turn its parameters, which changes no comparison."""
    st.code(loss.text, language="python", wrap_lines=True)
    st.markdown(f"{_(loss.purpose)} {_(loss.limits)}")
    st.caption(_("Source: {source}").format(source=_(loss.source)))
    controls, values = settings.controls(), {}
    for column, name in zip(st.columns(3), loss.parameters, strict=False):
        control = controls[name]
        with column:
            turned = st.select_slider(
                _(control.label),
                sorted({*control.marks, getattr(settings, name)}),  # type: ignore[attr-defined]
                value=getattr(settings, name),
                key=f"{BENCH}.{name}",
                help=_(control.help),
            )
            values[name] = float(turned)  # type: ignore[arg-type]
    if loss.parameters:
        st.caption(_("These sliders draw at once and train nothing; those of the sidebar belong to the comparison."))
    return values


def own_bench(settings: CustomLossSettings) -> tuple[Formula | None, dict[str, float]]:
    """Read the viewer's formula, pointing at what is wrong with it, and turn its parameters."""
    kind = settings.kind
    field = "formula" if kind == "regression" else "class_formula"
    if st.session_state[links.widget_key(EXPERIMENT, field)] != settings.own_text:
        st.rerun()  # typed in this tab, whose fragment ran alone: the settings are read by the whole page
    key = f"{BENCH}.text.{kind}"
    known = f"{BENCH}.known.{kind}"
    if st.session_state.get(known) != settings.own_text or key not in st.session_state:
        st.session_state[known] = st.session_state[key] = settings.own_text
    text = st.text_input(
        _("Formula"),
        max_chars=400,
        key=key,
        on_change=_type_formula,
        args=(field, kind),
        help=_(
            "Functions: {functions}. Constants: {constants}. Comparisons, and, or, not; two stars make a power."
        ).format(functions=", ".join(sorted(FUNCTIONS)), constants=", ".join(CONSTANTS)),
    )
    if kind == "regression":
        st.caption(_("Over `y_true` and `y_pred`, one value each; every other name becomes a parameter with a slider."))
    else:
        words = "; ".join(f"`{name}`: {_(meaning)}" for name, meaning in CLASS_VARIABLES.items())
        st.caption(_("Over what follows stably from the logits. {variables}.").format(variables=words))
    if (error := own_fault(text, kind)) is not None:
        point_at(text, error)
        return None, {}
    values = _own_sliders(settings)
    if OWN not in settings.chosen:
        st.button(
            _("Compare it with the others"), icon=":material/add:", key=f"{BENCH}.add", on_click=_add_own, args=(kind,)
        )
    return parse(text, VARIABLES[kind]), values


def point_at(text: str, error: FormulaError) -> None:
    """Say what is wrong with a formula and mark the place under it."""
    st.error(str(error), icon=":material/error:")
    shown = "".join(c if c.isprintable() else " " for c in text)
    start = max(0, error.position - 60)
    mark = " " * (error.position - start) + "^" * min(error.length, 40)
    st.code(f"{shown[start : start + 120]}\n{mark}", language=None)


def _type_formula(field: str, kind: Kind) -> None:
    text = st.session_state[f"{BENCH}.text.{kind}"]
    if own_fault(text, kind) is None:
        st.session_state[f"{BENCH}.known.{kind}"] = text
        st.session_state[links.widget_key(EXPERIMENT, field)] = text


def _own_sliders(settings: CustomLossSettings) -> dict[str, float]:
    key = links.widget_key(EXPERIMENT, "values")
    if st.session_state[key] != settings.values:
        st.rerun()
    values = own_values(settings)
    for column, (name, value) in zip(st.columns(max(3, len(values))), values.items(), strict=False):
        widget = f"{BENCH}.own.{name}"
        if st.session_state.get(f"{widget}.known") != value:
            st.session_state[f"{widget}.known"] = st.session_state[widget] = value
        with column:
            st.slider(
                name,
                min(-5.0, value),
                max(5.0, value),
                step=0.05,
                key=widget,
                on_change=_turn_own,
                args=(name, tuple(values)),
            )
    return values


def _turn_own(name: str, names: tuple[str, ...]) -> None:
    key = links.widget_key(EXPERIMENT, "values")
    kept = {one: value for one, value in read_values(st.session_state[key]).items() if one in names}
    values = {**kept, name: round(st.session_state[f"{BENCH}.own.{name}"], 4)}
    st.session_state[key] = write_values(values)


def _add_own(kind: Kind) -> None:
    key = links.widget_key(EXPERIMENT, "losses" if kind == "regression" else "class_losses")
    st.session_state[key] = [*st.session_state[key], OWN]


def both_forms(view: View) -> None:
    """Show the code of a loss as a function and as a class, and what Keras makes of both."""
    settings: CustomLossSettings = view.settings  # type: ignore[assignment]
    kind = settings.kind
    gallery = {loss.name: loss for loss in of_kind(kind)}
    chosen = st.selectbox(
        _("Loss"),
        [OWN, *gallery],
        format_func=lambda name: _(gallery[name].title) if name in gallery else _("Your own formula"),
        key=f"{BENCH}.form.{kind}",
    )
    if chosen == OWN:
        formula, parameters = parse(settings.own_text, VARIABLES[kind]), own_values(settings)
    else:
        formula, parameters = gallery[chosen].formula, dict(gallery[chosen].parameters)
    st.markdown(
        _(
            "A loss is a **function** `(y_true, y_pred)` that returns one value a row, or a **class** that inherits from"
            " `keras.losses.Loss` and has a `call`. Keras averages (`reduction`) and weighs (`sample_weight`) afterwards."
        )
    )
    rare = rare_class(settings.dataset)
    left, right = st.columns(2)
    left.markdown(f"**{_('Function form')}**")
    left.code(losscode.function_form(chosen, kind, formula, parameters, rare), language="python", wrap_lines=True)
    right.markdown(f"**{_('Class form')}**")
    right.code(losscode.class_form(chosen, formula, parameters), language="python", wrap_lines=True)
    name = losscode.identifier(chosen)
    st.download_button(
        _("Download both as a module with its test"),
        losscode.module(chosen, kind, formula, parameters, rare),
        f"{name}.py",
        "text/x-python",
        icon=":material/download:",
        on_click="ignore",
        key=f"{BENCH}.module",
    )
    study = EXPERIMENT.forms(settings)
    arm = BASELINE if chosen == BASELINES[kind] else chosen
    spec = study.runs[arm, 0]
    table = _taught(view, study, arm)
    if table is None:
        missing = services().comparison(study).missing
        training.controls(view, [spec], {spec.digest} & set(missing), f"{BENCH}.forms", is_beside=True)
        return
    draw_forms(table, kind)


def _taught(view: View, study: Study, arm: str) -> pd.DataFrame | None:
    result = services().comparison(study).results.get(study.runs[arm, 0].digest)
    return result.frames["lesson"] if result is not None else None


def draw_forms(table: pd.DataFrame, kind: Kind) -> None:
    """Set what NumPy, the function and the class give side by side, and what a scalar function does."""
    names = {
        "mean": _("mean (sum_over_batch_size)"),
        "sum": _("sum"),
        "mean_weighted": _("mean, with sample_weight"),
        "sum_weighted": _("sum, with sample_weight"),
    }
    rows = table.set_index("item")
    gap = float((rows["function"] - rows["class"]).abs().max())
    scalar = rows.loc["mean_weighted"]
    title = _("Executed by Keras: both forms agree to the last digit, in every row and reduction.")
    if not np.isfinite(rows[["function", "class"]].to_numpy(float)).all():
        title = _("Executed by Keras: the loss is not finite on all of these rows; see the health check.")
    elif gap:
        title = _("Executed by Keras: both forms agree to {gap} in every row and reduction.").format(gap=number(gap, 2))
    st.subheader(title, anchor=False)
    written = pd.DataFrame(
        [
            {
                _("What"): names.get(str(item)) or _("row {n}").format(n=int(str(item)) + 1),
                "NumPy": number(row["numpy"], 4),
                _("Function form"): number(row["function"], 4),
                _("Class form"): number(row["class"], 4),
                _("A function that returns one number"): number(row["scalar"], 4),
            }
            for item, row in rows.iterrows()
        ]
    )
    st.table(written.set_index(_("What")))
    st.markdown(
        _(
            "The last column averages the batch by itself and returns **one number**. Without weights nothing shows."
            " With weights Keras can only multiply that number by their mean: {wrong} instead of {right}, without a word."
        ).format(wrong=number(scalar["scalar"], 4), right=number(scalar["numpy"], 4))
    )
    st.caption(
        _("Weights of the rows: {weights}. Keras divides by the number of rows, not by the sum of the weights.").format(
            weights=listing([plain(weight) for weight in WEIGHTS[: len(rows) - len(names)]])
        )
    )


def with_regularizer(view: View) -> None:
    """Draw every loss without and with the regularizer of the settings."""
    settings: CustomLossSettings = view.settings  # type: ignore[assignment]
    study = EXPERIMENT.regularized(settings)
    second = services().comparison(study)
    runs = list(study.runs.values())
    training.controls(view, runs, second.missing, f"{BENCH}.second", is_beside=True)
    remedy = _("Dropout {rate}").format(rate=plain(settings.strength))
    if settings.regularizer == "l2":
        remedy = _("L2 {strength}").format(strength=plain(settings.strength))
    if not second.is_complete or not view.comparison.is_complete:
        st.caption(_("Here every loss will be drawn without and with the regularizer, as soon as both are trained."))
        return
    figures.draw(charts.pairs(view.comparison, second, view.arm_names, remedy), "pairs")
    st.caption(
        _(
            "A robust loss and a regularizer are remedies for different troubles: one for wild targets, the other for a"
            " net that learns its points by heart."
        )
    )


def loss_lessons(view: View) -> None:
    """Show wrong code beside right code, and what each did when it was run."""
    study = EXPERIMENT.lessons()
    comparison = services().comparison(study)
    if comparison.missing:
        training.controls(view, list(study.runs.values()), comparison.missing, f"{BENCH}.lessons", is_beside=True)
        return
    for arm, draw in zip(
        study.arms, (_lesson_enumeration, _lesson_renamed, _lesson_equal, _lesson_weights), strict=True
    ):
        table = _taught(view, study, arm.name)
        if table is not None:
            draw(table)


def _beside(wrong: Callable, right: Callable, outcomes: tuple[str, str]) -> None:
    for column, name, function, outcome in zip(
        st.columns(2), (_("Wrong"), _("Right")), (wrong, right), outcomes, strict=True
    ):
        with column:
            st.markdown(f"**{name}**")
            st.code(textwrap.dedent(_body(function)), language="python", wrap_lines=True)
            st.markdown(outcome)


def _body(function: Callable) -> str:
    """Return the source of a lesson without its docstring."""
    return re.sub(r'\n    """.*?"""', "", inspect.getsource(function), count=1, flags=re.DOTALL)


def _lesson_enumeration(table: pd.DataFrame) -> None:
    wrong, right = table.iloc[0], table.iloc[1]
    st.subheader(_("`Reduction` cannot be inherited from"), anchor=False)
    st.markdown(
        _(
            "It is a list of names for the ways to average. A class that inherits from it is no loss, whatever methods it"
            " has; a loss inherits from `keras.losses.Loss`."
        )
    )
    _beside(
        lessons.wrong_enumeration,
        lessons.right_enumeration,
        (
            _("It ends with `{error}`: {text}.").format(error=wrong["outcome"], text=wrong["text"]),
            _("It evaluates to {value}.").format(value=number(float(right["text"]))),
        ),
    )


def _lesson_renamed(table: pd.DataFrame) -> None:
    wrong, right = table.iloc[0], table.iloc[1]
    st.subheader(_("A built-in with another name is no custom loss"), anchor=False)
    _beside(
        lessons.wrong_renamed,
        lessons.right_renamed,
        (
            _("Mean {value}; largest difference to Keras' MSE in any row: {difference}.").format(
                value=number(wrong["value"]), difference=number(wrong["difference"])
            ),
            _("Mean {value}; largest difference to Keras' MSE in any row: {difference}.").format(
                value=number(right["value"]), difference=number(right["difference"])
            ),
        ),
    )


def _lesson_equal(table: pd.DataFrame) -> None:
    passed = int((table["at_truth"] == 0).sum())
    right = int(np.isclose(table["unequal"], table["expected"]).sum())
    st.subheader(
        _("A test with prediction = truth lets {passed} of {total} through; with unequal values {right}").format(
            passed=passed, total=len(table), right=right
        ),
        anchor=False,
    )
    st.markdown(
        _(
            "All four claim to be the mean squared error. At the truth every one of them is zero, even the one that is"
            " always zero. Test with unequal values worked out by hand: (0.5² + 2² + 1²)/3 = {expected}."
        ).format(expected=number(float(table["expected"].iloc[0])))
    )
    rows = pd.DataFrame(
        {
            _("Function"): table["text"],
            _("Prediction = truth"): [number(value) for value in table["at_truth"]],
            _("Unequal values"): [number(value) for value in table["unequal"]],
            _("Found out"): [
                _("is the mean squared error")
                if np.isclose(a, b)
                else _("wrong: expected {value}").format(value=number(b))
                for a, b in zip(table["unequal"], table["expected"], strict=True)
            ],
        }
    )
    st.table(rows.set_index(_("Function")))


def _lesson_weights(table: pd.DataFrame) -> None:
    wrong, right = table.iloc[0], table.iloc[1]
    st.subheader(_("One number for the whole batch breaks `sample_weight`"), anchor=False)
    st.markdown(
        _(
            "100 rows; the first 50 have weight 1, the noisier others weight 0 and should not count. What is right can be"
            " worked out: Σ w·l / N = {exact}."
        ).format(exact=number(right["exact"], 4))
    )
    _beside(
        lessons.wrong_weights,
        lessons.right_weights,
        (
            _("Keras evaluates to {value}: the mean weight times the mean loss, {mixed}, of all rows alike.").format(
                value=number(wrong["value"], 4), mixed=number(wrong["mixed"], 4)
            ),
            _("Keras evaluates to {value}.").format(value=number(right["value"], 4)),
        ),
    )


def health(findings: list[Finding]) -> None:
    """List what an examination found, a line each."""
    counts = {judgement: sum(f.judgement == judgement for f in findings) for judgement in ("good", "note", "bad")}
    if counts["bad"]:
        title = _("Health check: not ready to train")
    elif counts["note"]:
        title = _("Health check: sound, with something to know")
    else:
        title = _("Health check: sound")
    st.subheader(title, anchor=False)
    words = {"good": _("fine"), "note": _("note"), "bad": _("fault")}
    signs = {"good": "✓", "note": "○", "bad": "✕"}
    rows = [
        {
            "": f"{signs[finding.judgement]} {words[finding.judgement]}",
            _("Examined"): finding.name,
            _("Evidence"): finding.evidence.replace("`", ""),
            _("What to do"): finding.advice,
        }
        for finding in findings
    ]
    st.table(pd.DataFrame(rows).set_index(""))


def measured(view: View) -> str:
    """Explain the protocol of the page."""
    settings: CustomLossSettings = view.settled_settings  # type: ignore[assignment]
    dataset = find_set(settings.dataset)
    return _(
        "- **One yardstick.** Curves, verdict and table measure every arm alike: squared error for values,"
        " cross-entropy for classes, on validation points without outliers and wrong labels. One yardstick favours the"
        " loss that is made for it; that is what the cross table is for.\n"
        "- **Paired seeds.** For each seed every arm gets the same split, the same outliers and wrong labels, the same"
        " initial weights and the same batch order; only the loss differs. Differences are taken seed by seed.\n"
        "- **Interval.** 95% Student t interval of the paired differences, each arm by itself; with one seed there is"
        " none, and no verdict.\n"
        "- **Scale.** A loss multiplied by ten takes ten times larger steps under plain SGD; Adam and RMSprop divide"
        " by the gradient's size, so that losses of any scale start alike.\n"
        "- **Logits.** Losses of classes are computed from the logits by way of log-probabilities, so that none takes"
        " the logarithm of a probability that has been rounded to 0.\n"
        "- **Splits.** {test} test points are put away, the same for all seeds, and no run touches them.\n"
        "- **Collapsed** means that the net explains less than 5% of its training targets, with their outliers and"
        " without; **diverged**, a yardstick that left the finite or grew a hundredfold."
    ).format(test=dataset.test)
