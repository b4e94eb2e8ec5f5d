"""The tabs of the metrics page on writing a metric: three ways and a wrong one, the viewer's own, lessons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from core.charts import batching
from core.charts import metrics as charts
from core.charts.thresholds import rows_of
from core.comparison import label, lowered
from core.experiments.metrics import EXPERIMENT, MetricsSettings
from core.i18n import N_, _, listing, number, percent, plain
from core.metrics import METRICS, MetricInputError, ece, null_ece
from core.metrics import brought as own_predictions
from core.metrics import own as own_metric
from core.metrics.scores import scores_of
from core.result import RunResult
from core.ui import figures, thresholds, training
from core.ui.services import services
from core.ui.view import View, escape

WAYS = {
    "callback": N_("Callback"),
    "metric": N_("Stateful metric"),
    "loop": N_("Manual loop"),
    "function": N_("Plain function"),
}
EXPLAINED = {
    "callback": N_(
        "Called after each epoch with the epoch's number and `logs`, never with data: it brings its own. What it writes"
        " into `logs` becomes a metric; what it returns is ignored."
    ),
    "metric": N_(
        "Keeps the counts as state, adds each batch to them, and divides once. Keras resets it before every epoch;"
        " works in `fit` and `evaluate`, with `sample_weight`, and in a graph."
    ),
    "loop": N_("Trains and measures batch by batch in plain Python: all is in sight, and all is yours to get right."),
    "function": N_(
        "Looks the simplest, and Keras averages it over batches. For F1 that is another number: a batch without"
        " positives has no F1, whatever the function says of it."
    ),
}
LESSONS: Mapping[str, tuple[str, str]] = {
    "returned": (
        N_("What a callback returns is ignored"),
        N_("Left: the callback returns a metric, and `history` does not know it. Right: it writes it into `logs`."),
    ),
    "ten_fits": (
        N_("Calling `fit` ten times measures nothing new"),
        N_(
            "Left: ten calls give the very accuracies of one call with ten epochs, on training rows. Right: a loop that"
            " computes another metric, on rows that the net has not seen."
        ),
    ),
    "training_only": (
        N_("Measured on training rows, everything looks learnt"),
        N_("Both sides train the same net on 100 images; only the rows that they measure on differ."),
    ),
    "two_batches": (
        N_("Four samples in batches of two: recall 0.25 or 0.5"),
        N_(
            "Truth 1, 1, 0, 0, and only the first is found: recall is 1 of 2. Averaged over batches it is (0.5 + 0) / 2,"
            " because the second batch has no positive to find."
        ),
    ),
}
METRIC_NAMES = {
    "f1_macro": N_("F1, macro"),
    "f1_micro": N_("F1, micro"),
    "f1_weighted": N_("F1, weighted"),
    "top_k": N_("Top-3 accuracy"),
    "mae": N_("MAE"),
    "rmse": N_("RMSE"),
    "r2": N_("R²"),
    "mape": N_("MAPE"),
    "pinball": N_("Pinball loss, 0.9"),
}
NOTES = (
    (
        N_("Macro, micro, weighted"),
        r"\tfrac1C\sum_c F_c,\ \ F(\sum_c TP_c,\dots),\ \ \sum_c\tfrac{n_c}{N}F_c",
        N_("Macro gives a rare class the same say as a common one; micro, with one label a row, is just accuracy."),
    ),
    (
        N_("Top-k accuracy"),
        r"\tfrac1N\sum_i[\operatorname{rank}_i(y_i)\le k]",
        N_("Forgives every answer but the k-th: with k as many as classes it is always 1."),
    ),
    (
        N_("MAE and RMSE"),
        r"\tfrac1N\sum|y-\hat y|,\quad\sqrt{\tfrac1N\sum(y-\hat y)^2}",
        N_("MAE forgives one large error among many small; RMSE does not. RMSE is no mean over batches either."),
    ),
    (
        N_("R²"),
        r"1-\frac{\sum(y-\hat y)^2}{\sum(y-\bar y)^2}",
        N_("Forgives large errors where the labels spread widely; undefined where they are all the same."),
    ),
    (
        N_("MAPE"),
        r"\tfrac1N\sum\frac{|y-\hat y|}{|y|}",
        N_(
            "Its trap: a forecast can be at most 100% too low and any amount too high, so the lowest MAPE is that of a"
            " forecast that is too low. Undefined where a true value is 0."
        ),
    ),
    (
        N_("Pinball loss"),
        r"\tfrac1N\sum\max(q\,r,(q-1)\,r)",
        N_("r = y − ŷ. Lowest at the q-quantile: with q = 0.9 too low costs nine times as much as too high."),
    ),
)


def result(view: View) -> RunResult | None:
    """Return the run that executed the lessons, or offer to train it."""
    study = EXPERIMENT.lessons()
    comparison = services().comparison(study)
    runs = list(study.runs.values())
    found = comparison.results.get(runs[0].digest)
    if found is None or "ways" not in found.frames:
        st.caption(_("These lessons run Keras once, on this machine."))
        training.controls(view, runs, comparison.missing, "metrics.lessons", is_beside=True)
        return None
    return found


def ways(view: View) -> None:
    """Show one metric written three ways and a wrong one, executed, and what the wrong one costs."""
    found = result(view)
    if found is not None:
        table = found.frames["ways"].pivot(index="epoch", columns="way", values="f1")[list(WAYS)]
        exact = table[["callback", "metric", "loop"]].to_numpy()
        apart = float((exact.max(1) - exact.min(1)).max())
        off = float((table["function"] - table["metric"]).abs().max())
        st.subheader(
            _(
                "Three ways, one value: they differ by at most {apart}. The mean over batches is off by up to {off}."
            ).format(apart=number(apart, 2), off=number(off, 2)),
            anchor=False,
        )
        st.dataframe(
            ways_table(table), hide_index=True, width="stretch",
            alt=_("F1 after each epoch, by callback, metric, loop and plain function, and their differences."),
        )  # fmt: skip
        st.caption(
            _(
                "F1 on 600 held-out digits (8 or not) after each epoch, batches of 16; the same training four times: equal"
                " initial weights, equal order. Executed with Keras {version}."
            ).format(version=found.info.versions["keras"])
        )
        code = found.frames["code"].set_index("name")
        for tab, (way, name) in zip(st.tabs([_(name) for name in WAYS.values()]), WAYS.items(), strict=True):
            with tab:
                st.markdown(_(EXPLAINED[way]))
                st.code(code.loc[way, "shown"], language="python")
                with st.expander(f"{_('The whole program')}: {_(name)}"):
                    st.code(code.loc[way, "script"], language="python")
    settings: MetricsSettings = view.settings  # type: ignore[assignment]
    figures.draw(batching.batch_figure(settings.share), "batches", names=batching.NAMES)
    st.markdown(
        _(
            "A plain function is right only where the metric is a mean of one value a row, such as accuracy or the Brier"
            " score, and where it returns those values: Keras then weighs them. At half positives even the F1 of batches of 32 is off by less"
            " than 1%, which is why nobody notices."
        )
    )
    calibration(view)


def ways_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row an epoch: F1 by each way, and the differences to the stateful metric."""
    rows = pd.DataFrame({_("Epoch"): table.index})
    for way, name in WAYS.items():
        rows[_(name)] = [number(value, 6) for value in table[way]]
    exact = table[["callback", "metric", "loop"]]
    rows[_("Three ways apart")] = [number(value, 2) for value in exact.max(axis=1) - exact.min(axis=1)]
    rows[_("Function off by")] = [number(value, 3) for value in table["function"] - table["metric"]]
    return rows


def calibration(view: View) -> None:
    """Draw the calibration error of the explored arm beside what chance alone would give."""
    settings: MetricsSettings = view.settled_settings  # type: ignore[assignment]
    arm = thresholds.explored(view.settled, view.settings)  # type: ignore[arg-type]
    rows = rows_of(scores_of(view.settled), arm)
    if not rows:
        return
    measured = float(np.mean([ece(y, p, np.ones(len(y))) for y, p in rows]))
    null = float(np.mean([null_ece(p, seed=seed) for seed, (_y, p) in enumerate(rows)]))
    figures.draw(batching.ece_figure(settings.share, len(rows[0][0]), measured, null), "ece")
    st.caption(_("Measured: {arm}, mean over seeds.").format(arm=escape(label(arm))))


def own(view: View) -> None:
    """Let the viewer bring a metric, or predictions."""
    typed(view)
    own_rows(view)


def typed(view: View) -> None:
    """Let the viewer type a metric, and compare the arms by it."""
    settings: MetricsSettings = view.settings  # type: ignore[assignment]
    st.markdown(
        _(
            "Type a metric over `y_true`, `y_pred` (the probability) and the counts `tp`, `fp`, `fn`, `tn` at the"
            " threshold. With `y_true` or `y_pred` in it, it is a value a row, averaged; of counts alone it is computed"
            " once. It is read as a formula and never executed as code."
        )
    )
    left, right = st.columns([3, 1])
    with left:
        thresholds.mirror(view, "own")
    with right:
        thresholds.mirror(view, "threshold")
    st.caption(_("Examples: {examples}.").format(examples=" · ".join(f"`{e}`" for e in own_metric.EXAMPLES.values())))
    formula = own_metric.read(settings.own)
    scores = scores_of(view.settled, threshold=settings.threshold)
    found = own_metric.deltas(formula, scores)
    if not found:
        st.info(_("No complete run yet: there is nothing to measure."))
        return
    st.dataframe(
        pd.DataFrame(
            {
                _("Arm"): [label(delta.arm) for delta in found],
                _("Your metric"): [number(d.mean) if d.mean == d.mean else _("undefined") for d in found],
                _("Difference [95%]"): [
                    f"{number(d.interval.mean)} [{number(d.interval.low)}; {number(d.interval.high)}]" if d.interval.n else ""
                    for d in found
                ],
                _("Beyond the interval"): [
                    "" if not d.interval.n else _("yes") if d.interval.excludes_zero else _("no") for d in found
                ],
                _("Seeds where it is undefined"): [d.undefined for d in found],
            }
        ),
        hide_index=True, width="stretch", alt=_("Your metric by arm, with paired differences to the baseline."),
    )  # fmt: skip
    arm = thresholds.explored(view.settled, settings)
    rows = rows_of(scores, arm)
    whole = [value for delta in found if delta.arm is arm for value in [delta.mean]]
    if rows and whole and whole[0] == whole[0]:
        means = [own_metric.batch_value(formula, y, p, settings.threshold, 32) for y, p in rows]
        defined = [value for value in means if value == value]
        if defined:
            st.markdown(
                _("{arm}, exact: {whole}. As a mean over batches of 32, undefined batches left out: {mean}.").format(
                    arm=escape(label(arm)), whole=number(whole[0]), mean=number(float(np.mean(defined)))
                )
            )
    source = own_metric.keras_source(formula, settings.threshold)
    if source:
        st.code(source, language="python")
    else:
        st.caption(_("Rows and counts in one formula: no Keras metric can stream that, as the counts are known last."))


def own_rows(view: View) -> None:
    """Compute every metric of predictions that the viewer brings."""
    settings: MetricsSettings = view.settings  # type: ignore[assignment]
    st.subheader(_("Your own predictions"), anchor=False)
    st.markdown(
        _(
            "A CSV file with the columns `y_true` (0 or 1) and `y_pred` (a probability), and, if you like, `weight` and"
            " `model`. It stays in this visit, is kept nowhere, and is in no link."
        )
    )
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    file = left.file_uploader(_("CSV file"), type=["csv", "txt"], key="metrics.file")
    right.download_button(
        _("An example"), own_predictions.EXAMPLE, "predictions.csv", "text/csv", on_click="ignore", width="stretch"
    )
    if file is None:
        return
    try:
        models = own_predictions.read(file.getvalue())
    except MetricInputError as error:
        st.error(error.sentence(), icon=":material/error:")
        return
    found = own_predictions.table(models, settings.threshold)
    columns: dict[str, list[str]] = {_("Metric"): [charts.row_label(name) for name in METRICS]}
    for model, values in found.items():
        columns[model or _("Value")] = [
            number(value) if not reason else f"{_('undefined')}: {reason}" for value, reason in values.values()
        ]
    st.dataframe(
        pd.DataFrame(columns), hide_index=True, width="stretch", height="content",
        alt=_("Every metric of your predictions, by model."),
    )  # fmt: skip
    st.caption(
        _("{rows} rows, threshold {threshold}. Weights count; one model each column, without intervals.").format(
            rows=plain(sum(len(rows[0]) for rows in models.values())), threshold=plain(settings.threshold)
        )
    )


def lessons(view: View) -> None:
    """Show each mistake beside the right way, with what both really gave."""
    found = result(view)
    if found is None:
        return
    code = found.frames["code"].set_index("name")
    outcomes = found.frames["lessons"]
    for lesson, (title, words) in LESSONS.items():
        st.subheader(_(title), anchor=False)
        st.markdown(_(words))
        for column, side, name in zip(st.columns(2), ("wrong", "right"), (_("Wrong"), _("Right")), strict=True):
            with column:
                st.markdown(f"**{name}**")
                st.code(code.loc[f"{lesson}.{side}", "shown"], language="python", wrap_lines=True, height=300)
                rows = outcomes[(outcomes["lesson"] == lesson) & (outcomes["side"] == side)]
                st.code("\n".join(f"{what} = {_written(value)}" for what, value in rows[["what", "value"]].to_numpy()))
                with st.expander(f"{_('The whole program')} ({name.lower()})"):
                    st.code(code.loc[f"{lesson}.{side}", "script"], language="python")


def _written(value: str) -> str:
    """Write a number that a lesson gave with six digits, as Python does; anything else as it is."""
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return value


def every_metric(view: View) -> None:
    """List the metrics: formula, source, what each forgives; and every one against scikit-learn."""
    for metric in METRICS.values():
        name, formula, words = st.columns([3, 5, 6], vertical_alignment="center")
        name.markdown(f"**{charts.row_label(metric.name)}**")
        formula.latex(r"\small{}" + metric.formula)
        words.markdown(_("Forgives: {mistakes}").format(mistakes=lowered(_(metric.forgives))))
        notes = [metric.source] if metric.source else []
        if reasons := metric.when_undefined():
            notes.append(_("undefined where {reasons}").format(reasons=listing(reasons, style="or")))
        words.caption(" · ".join(notes))
    st.subheader(_("Several classes, and regression"), anchor=False)
    for title, latex, note in NOTES:
        name, formula, words = st.columns([3, 5, 6], vertical_alignment="center")
        name.markdown(f"**{_(title)}**")
        formula.latex(r"\small{}" + latex)
        words.markdown(_(note))
    found = result(view)
    if found is None:
        return
    rows = found.frames["agreement"]
    worst = max(
        float((rows["formula"] - rows["sklearn"]).abs().max()), float((rows["formula"] - rows["streamed"]).abs().max())
    )
    st.subheader(
        _("The formulas, Keras in batches of 32 and scikit-learn agree to {worst}.").format(worst=number(worst, 1)),
        anchor=False,
    )
    names = {**{name: metric.label for name, metric in METRICS.items()}, **METRIC_NAMES}
    st.dataframe(
        pd.DataFrame(
            {
                _("Metric"): [_(names[name]) for name in rows["metric"]],
                _("Formula"): [number(value, 6) for value in rows["formula"]],
                _("Streamed by Keras"): [number(value, 6) for value in rows["streamed"]],
                "scikit-learn": [number(value, 6) for value in rows["sklearn"]],
            }
        ),
        hide_index=True, width="stretch", height="content",
        alt=_("Every metric by formula, streamed by Keras and by scikit-learn."),
    )  # fmt: skip
    st.caption(
        _(
            "500 drawn rows with ties and weights, {share} of them positive; Keras sums in float32. scikit-learn has no"
            " ECE, which is computed from its calibration curve, and no calibration error without bins."
        ).format(share=percent(0.1))
    )
