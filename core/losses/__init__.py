"""Keep a gallery of losses, each written once as a formula that NumPy draws and tests and Keras trains.

A regression loss stands over `y_true` and `y_pred`. A classification loss stands over what follows stably
from the logits: `log_p`, the log-probability of the true class, and its relatives (`CLASS_VARIABLES`).
Imports no TensorFlow; `keras_loss` does, inside a worker.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets import Kind
from core.formula import Formula, FormulaError, parse
from core.i18n import N_

if TYPE_CHECKING:
    import keras

VARIABLES: dict[Kind, tuple[str, ...]] = {
    "regression": ("y_true", "y_pred"),
    "classification": ("log_p", "p", "margin", "mean_log_p", "rare"),
}

# What the variables of a classification formula are; all follow from logits z and the true class y.
CLASS_VARIABLES = {
    "log_p": N_("log-probability of the true class, z_y − log Σ exp z, computed without exp of large numbers"),
    "p": N_("probability of the true class, exp(log_p)"),
    "margin": N_("logit of the true class minus the largest other logit"),
    "mean_log_p": N_("log-probability averaged over all classes"),
    "rare": N_("1 where the true class is the rare one, 0 elsewhere"),
}
BASELINES: dict[Kind, str] = {"regression": "mse", "classification": "cross_entropy"}
FAR = 1e9  # taken from the true class's logit to find the largest other


@dataclass(frozen=True)
class Loss:
    """A loss of the gallery: its formula, and what one should know before using it.

    `parameters` are the formula's other names with their defaults; `label` may show them.
    """

    name: str
    title: str
    kind: Kind
    text: str
    source: str
    purpose: str
    limits: str
    parameters: Mapping[str, float]
    label: str = ""

    @property
    def formula(self) -> Formula:
        """Return the parsed formula."""
        return parse(self.text, VARIABLES[self.kind])


def _regression(*args: Any, **keywords: Any) -> Loss:
    name, title, text, source, purpose, limits = args
    label = keywords.pop("label", title)
    return Loss(name, title, "regression", text, source, purpose, limits, keywords, label)


def _classification(*args: Any, **keywords: Any) -> Loss:
    name, title, text, source, purpose, limits = args
    label = keywords.pop("label", title)
    return Loss(name, title, "classification", text, source, purpose, limits, keywords, label)


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        _regression(
            "mse", "MSE", "(y_true - y_pred)**2",
            "Legendre (1805); Gauss (1809)",
            N_("The mean. Right where errors are symmetric and none is wild."),
            N_("An error ten times as large weighs a hundred times as much: a few wrong targets decide the fit."),
        ),
        _regression(
            "mae", "MAE", "abs(y_true - y_pred)",
            "Laplace (1774)",
            N_("The median. Every residual pulls equally hard, however large."),
            N_("The gradient never shrinks near the truth, so it settles slowly; it has a kink at 0."),
        ),
        _regression(
            "huber", "Huber",
            "where(abs(y_true - y_pred) < delta, 0.5*(y_true - y_pred)**2, delta*(abs(y_true - y_pred) - 0.5*delta))",
            "Huber (1964), Annals of Mathematical Statistics 35, 73–101",
            N_("Squared near the truth, absolute far from it: smooth, and little moved by outliers."),
            N_("δ is in units of the target and has to be chosen; outliers all on one side still shift it."),
            delta=1.0, label="Huber δ {delta}",
        ),
        _regression(
            "log_cosh", "Log-cosh",
            "abs(y_true - y_pred) + softplus(-2*abs(y_true - y_pred)) - log(2)",
            N_("log cosh of the residual, in the form that does not overflow"),
            N_("Like Huber with δ near 1, but with all derivatives and nothing to choose."),
            N_("Its scale is fixed: targets in other units get another loss."),
        ),
        _regression(
            "quantile", N_("Quantile"),
            "maximum(level*(y_true - y_pred), (level - 1)*(y_true - y_pred))",
            "Koenker & Bassett (1978), Econometrica 46, 33–50",
            N_("The quantile at a level: 0.9 gives a line that nine of ten targets stay below."),
            N_("Several levels fitted apart may cross; a kink at 0."),
            level=0.9, label=N_("Quantile {level}"),
        ),
        _regression(
            "linex", "Linex", "exp(slope*(y_pred - y_true)) - slope*(y_pred - y_true) - 1",
            "Varian (1975); Zellner (1986), JASA 81, 446–451",
            N_("Too high costs exponentially, too low only linearly, or the other way round with a negative slope."),
            N_("It explodes on the expensive side: one wild residual there and training diverges."),
            slope=1.0, label="Linex {slope}",
        ),
        _regression(
            "tukey", "Tukey",
            "where(abs(y_true - y_pred) < c, c**2/6*(1 - (1 - ((y_true - y_pred)/c)**2)**3), c**2/6)",
            "Beaton & Tukey (1974), Technometrics 16, 147–185",
            N_("Residuals beyond c are ignored altogether, even one-sided ones."),
            N_("Beyond c the gradient is zero: a start far from the data learns nothing, and it is not convex."),
            c=4.685, label="Tukey c {c}",
        ),
        _regression(
            "cauchy", "Cauchy", "0.5*scale**2*log1p(((y_true - y_pred)/scale)**2)",
            N_("negative log-likelihood of the Cauchy (Lorentz) distribution, without its constant"),
            N_("The pull of a residual fades beyond the scale, without ever ending."),
            N_("Not convex beyond the scale: several fits may be locally best."),
            scale=1.0, label="Cauchy {scale}",
        ),
        _classification(
            "cross_entropy", N_("Cross-entropy"), "-log_p",
            "Good (1952); the negative log-likelihood",
            N_("Honest probabilities: in expectation nothing but the true ones is cheaper."),
            N_("A wrong label costs without bound, so a large net learns it by heart."),
        ),
        _classification(
            "focal", N_("Focal"), "-2*where(rare > 0.5, alpha, 1 - alpha)*maximum(1 - p, 1e-7)**gamma*log_p",
            "Lin et al. (2017), arXiv:1708.02002, eq. 5",
            N_("Weighs down what is already answered well; α above 0.5 leans towards the rare class."),
            N_("Probabilities come out too timid, and wrong labels, the hardest points, get the weight."),
            gamma=2.0, alpha=0.5, label=N_("Focal γ {gamma}, α {alpha}"),
        ),
        _classification(
            "gce", N_("Generalised CE"), "(1 - exp(q*log_p))/q",
            "Zhang & Sabuncu (2018), arXiv:1805.07836, eq. 6",
            N_("Between cross-entropy (q → 0) and 1 − p (q = 1): wrong labels stop pulling once they look wrong."),
            N_("The nearer q is to 1, the slower it starts; on many classes it may not start at all."),
            q=0.7, label=N_("Generalised CE q {q}"),
        ),
        _classification(
            "sce", N_("Symmetric CE"), "-sce_a*log_p + 4*sce_b*(1 - p)",
            "Wang et al. (2019), arXiv:1908.06112, eqs. 5–7, log 0 = −4",
            N_("Cross-entropy plus its mirror image, which is bounded and tolerates wrong labels."),
            N_("Two weights to choose; with the first one large it is cross-entropy again."),
            sce_a=0.1, sce_b=1.0, label=N_("Symmetric CE {sce_a}/{sce_b}"),
        ),
        _classification(
            "smoothing", N_("Label smoothing"), "-(1 - eps)*log_p - eps*mean_log_p",
            "Szegedy et al. (2016), arXiv:1512.00567, section 7",
            N_("A target of a little less than 1 keeps logits from growing without end."),
            N_("Probabilities come out too timid where the data are easy; no remedy for many wrong labels."),
            eps=0.1, label=N_("Label smoothing {eps}"),
        ),
        _classification(
            "weighted", N_("Class-weighted CE"), "-where(rare > 0.5, weight, 1)*log_p",
            "King & Zeng (2001), Political Analysis 9, 137–163",
            N_("Missing the rare class costs more; the decision moves, which is what unequal costs ask for."),
            N_("Probabilities are no longer those of the data: they answer a population with other shares."),
            weight=5.0, label=N_("Class-weighted CE ×{weight}"),
        ),
        _classification(
            "hinge", N_("Hinge"), "maximum(0, 1 - margin)",
            "Crammer & Singer (2001), JMLR 2, 265–292",
            N_("Only the decision counts: a point answered with room to spare pulls no more."),
            N_("Its outputs are no probabilities, so cross-entropy and calibration suffer."),
        ),
    )
}  # fmt: skip


def of_kind(kind: Kind) -> list[Loss]:
    """List the gallery's losses for one kind of data, the baseline first."""
    return [loss for loss in LOSSES.values() if loss.kind == kind]


def own_fault(text: str, kind: Kind) -> FormulaError | None:
    """Tell what keeps `text` from being a loss, or None."""
    try:
        formula = parse(text, VARIABLES[kind])
    except FormulaError as error:
        return error
    needed = set(VARIABLES[kind]) - ({"y_true"} if kind == "regression" else {"rare"})
    if not formula.used & needed:
        return FormulaError(
            N_("a formula in which the prediction stands, as one of {variables}"), text, 0, len(text),
            variables=tuple(name for name in VARIABLES[kind] if name in needed),
        )  # fmt: skip
    return None


def evaluate(formula: Formula, ops: Any, variables: Mapping[str, Any], parameters: Mapping[str, float]) -> Any:
    """Compute a loss elementwise from the variables that it uses."""
    given = {name: value for name, value in variables.items() if name in formula.used}
    return formula.evaluate(ops, **given, **{name: parameters[name] for name in formula.parameters})


def class_variables(labels: np.ndarray, logits: np.ndarray, rare_class: int) -> dict[str, np.ndarray]:
    """Compute the variables of a classification formula with NumPy.

    Args:
        labels: Shape (N,), whole numbers from 0.
        logits: Shape (N, K).
        rare_class: The class that `rare` marks.

    Returns:
        Every variable of `CLASS_VARIABLES`, shape (N,).
    """
    logits = np.asarray(logits, dtype=float)
    shifted = logits - logits.max(-1, keepdims=True)
    log_all = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] -= FAR
    log_p = log_all[rows, labels]
    return {
        "log_p": log_p,
        "p": np.exp(log_p),
        "margin": logits[rows, labels] - others.max(-1),
        "mean_log_p": log_all.mean(-1),
        "rare": (labels == rare_class).astype(float),
    }


def keras_loss(
    kind: Kind, formula: Formula, parameters: Mapping[str, float], rare_class: int = 0, name: str = "own"
) -> keras.losses.Loss:
    """Build the Keras loss of a formula, one value a row; classification takes logits (worker only)."""
    import keras

    function = keras_function(kind, formula, parameters, rare_class)

    class FormulaLoss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return function(y_true, y_pred)

    return FormulaLoss(name=name)


def keras_function(kind: Kind, formula: Formula, parameters: Mapping[str, float], rare_class: int = 0) -> Any:
    """Build the function `(y_true, y_pred)` of a formula that returns one value a row (worker only)."""
    from keras import ops

    fixed = {key: float(parameters[key]) for key in formula.parameters}

    def regression(y_true, y_pred):
        values = evaluate(formula, ops, {"y_true": y_true, "y_pred": y_pred}, fixed)
        return ops.mean(values, axis=-1)

    def classification(y_true, y_pred):
        labels = ops.cast(y_true, "int32")
        log_p = -ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        variables = {"log_p": log_p}
        if "p" in formula.used:
            variables["p"] = ops.exp(log_p)
        if "margin" in formula.used:
            true = ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
            variables["margin"] = ops.sum(true * y_pred, axis=-1) - ops.max(y_pred - FAR * true, axis=-1)
        if "mean_log_p" in formula.used:
            variables["mean_log_p"] = ops.mean(ops.log_softmax(y_pred), axis=-1)
        if "rare" in formula.used:
            variables["rare"] = ops.cast(ops.equal(labels, rare_class), y_pred.dtype)
        return evaluate(formula, ops, variables, fixed)

    return regression if kind == "regression" else classification


@functools.lru_cache(maxsize=256)
def read_values(text: str) -> dict[str, float]:
    """Read `name=number` pairs separated by commas; not to be changed.

    Raises:
        ValueError: When a pair is none, a number is not finite or beyond ±1e6, or a name stands twice.
    """
    values: dict[str, float] = {}
    for pair in text.replace(" ", "").split(",") if text.strip() else []:
        name, equals, number = pair.partition("=")
        if not (equals and name.isascii() and name.isidentifier() and len(number) <= 24 and number.isascii()):
            raise ValueError(pair)
        value = float(number) if "_" not in number else float("nan")
        if not abs(value) <= 1e6 or name in values:
            raise ValueError(pair)
        values[name] = value + 0.0
    return values


def write_values(values: Mapping[str, float]) -> str:
    """Write parameters so that `read_values` reads them back exactly."""
    return ",".join(f"{name}={float(value)!r}" for name, value in values.items())
