"""Measure a trained net beyond its curves: its scores by every measure, its fit, and the reference fits.

Its functions are called by workers; the references are scikit-learn's.
"""

from __future__ import annotations

import datetime as dt
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.comparison import COLLAPSE_SHARE
from core.datasets import Dataset, Kind
from core.formula import Formula
from core.losses.scores import classification_scores, regression_scores
from core.result import CURVE_COLUMNS, RunInfo, RunResult

if TYPE_CHECKING:
    import keras

    from core.datasets.loaders import Split, Splits

GRID = 121
DEGREES = {"wave": 7, "fan": 7}  # of the references' polynomials in one input; 1 elsewhere
MAX_POINTS = 400
RARE_BY_HAND = 1  # the rare class of the hand-sized labels
LESSON_PARAMETERS = 2  # lessons train nothing larger than one unit with its bias
OBJECTIVE, UNLEARNT = "objective", "unlearnt"


def measure(
    spec: Any, dataset: Dataset, model: keras.Model, splits: Splits, clean: Split, rare_class: int
) -> dict[str, pd.DataFrame]:
    """Return the frames of a run.

    `scores` has a row a measure (`measure`, `value`) on the validation split; `OBJECTIVE`, the mean over
    the training split of what was minimized; and `UNLEARNT`, what `unlearnt` says of the training split
    with or without (`clean`) its outliers and wrong labels, whichever is less. `fit` the prediction over a
    grid (`x`, `prediction`) where there is one input. The baseline's run, whose loss and regularizer are
    none, adds `reference_scores` and, with one input, `reference_fits` and `points`.
    """
    validation = splits.validation
    outputs = np.asarray(model(validation.x, training=False), dtype=float)
    # What the run itself minimizes, without a penalty: a formula may be undefined where its net is still finite.
    trained = model(splits.train.x, training=False)
    own = {
        OBJECTIVE: float(model.loss(splits.train.y, trained)),
        UNLEARNT: min(unlearnt(part.y, np.asarray(trained, float)) for part in (clean, splits.train)),
    }
    if dataset.kind == "classification":
        found = (
            classification_scores(validation.y, outputs, rare_class, spec.cost) if np.isfinite(outputs).all() else {}
        )
        return {"scores": _scores(found | own)}
    found = regression_scores(validation.y[:, 0].astype(float), outputs[:, 0]) if np.isfinite(outputs).all() else {}
    found |= own
    frames = {"scores": _scores(found)}
    grid = _grid(splits) if dataset.inputs == 1 else None
    if grid is not None:
        prediction = np.asarray(model(grid, training=False))[:, 0]
        frames["fit"] = pd.DataFrame({"x": grid[:, 0], "prediction": prediction}).astype("float32")
    if not spec.loss and not spec.l2 and not spec.dropout:
        frames |= references(splits, DEGREES.get(dataset.name, 1), grid)
        if grid is not None:
            points = pd.DataFrame({"x": splits.train.x[:, 0], "y": splits.train.y[:, 0]})
            frames["points"] = points.iloc[:MAX_POINTS].reset_index(drop=True).astype("float32")
    return frames


def unlearnt(y: np.ndarray, outputs: np.ndarray) -> float:
    """Relate what a net leaves unexplained to what the best constant leaves.

    Regression compares variances, so that a fit which is merely shifted counts as one; classification
    compares the error rate with that of always answering the largest class, or, if that is smaller,
    cross-entropy with that of the class shares. 1 is a constant answer, 0 a perfect one.
    """
    if not np.isfinite(outputs).all():
        return float("nan")
    if y.ndim == 2:
        return float((y - outputs).var() / y.var())
    shares = np.bincount(y, minlength=outputs.shape[1]) / len(y)
    scores = classification_scores(y, outputs, 0)
    prior = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    return float(min(scores["error"] / max(1 - shares.max(), 1e-9), scores["cross_entropy"] / max(prior, 1e-9)))


def has_collapsed(scores: pd.DataFrame) -> bool:
    """Tell from a run's scores whether its net ended no better than one answer for every input."""
    return bool((scores.loc[scores["measure"] == UNLEARNT, "value"] > COLLAPSE_SHARE).any())


def _scores(found: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"measure": list(found), "value": np.array(list(found.values()), dtype="float64")})


def _grid(splits: Splits) -> np.ndarray:
    """Span the inputs of training and validation, shape (GRID, 1)."""
    both = np.concatenate([splits.train.x, splits.validation.x])
    return np.linspace(both.min(), both.max(), GRID, dtype="float32")[:, None]


def references(splits: Splits, degree: int, grid: np.ndarray | None) -> dict[str, pd.DataFrame]:
    """Fit scikit-learn's linear regressions to the training split: least squares, Huber's and the median.

    Args:
        splits: Standardized inputs and targets.
        degree: Of the polynomial in the inputs.
        grid: Where to draw them, shape (G, 1), or None.

    Returns:
        `reference_scores` (`method`, `measure`, `value`) and, with a grid, `reference_fits` (`method`, `x`,
        `prediction`).
    """
    from sklearn.linear_model import HuberRegressor, LinearRegression, QuantileRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    x, y = splits.train.x.astype(float), splits.train.y[:, 0].astype(float)
    methods = {
        "ols": LinearRegression(),
        "huber": HuberRegressor(max_iter=1_000),
        "median": QuantileRegressor(quantile=0.5, alpha=0.0),
    }
    scores, fits = [], []
    for name, method in methods.items():
        fitted = make_pipeline(PolynomialFeatures(degree, include_bias=False), StandardScaler(), method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Huber's solver may say that it has not quite converged
            fitted.fit(x, y)
        predicted = fitted.predict(splits.validation.x.astype(float))
        found = _scores(regression_scores(splits.validation.y[:, 0].astype(float), predicted))
        scores.append(found.assign(method=name))
        if grid is not None:
            drawn = pd.DataFrame({"x": grid[:, 0], "prediction": fitted.predict(grid.astype(float))})
            fits.append(drawn.astype("float32").assign(method=name))
    frames = {"reference_scores": pd.concat(scores, ignore_index=True)}
    if fits:
        frames["reference_fits"] = pd.concat(fits, ignore_index=True)
    return frames


def taught(spec: Any, kind: Kind, formula: Formula, parameters: Mapping[str, float]) -> RunResult:
    """Run a lesson, or both forms of a loss; the result has no epochs, and its table in the frame `lesson`."""
    from core.losses.lessons import LESSONS, forms
    from core.training import host, versions

    started = time.perf_counter()
    table = LESSONS[spec.lesson]() if spec.lesson in LESSONS else forms(kind, formula, parameters, RARE_BY_HAND)
    curves = pd.DataFrame({"epoch": np.zeros(1, "int32"), **{name: np.zeros(1, "float32") for name in CURVE_COLUMNS}})
    info = RunInfo(
        digest=spec.digest, spec=spec.canonical(), status="complete", epochs=0, final_epoch=0, best_epoch=0,
        parameters=LESSON_PARAMETERS, prior_loss=1.0, collapsed=False, seconds=round(time.perf_counter() - started, 3),
        versions=versions(), host=host(),
        recorded=dt.datetime.now(dt.UTC).replace(microsecond=0),
    )  # fmt: skip
    return RunResult(info, {"curves": curves, "lesson": table})
