"""Read predictions that a viewer brings as CSV, and compute every metric of them; what is wrong is one sentence."""

from __future__ import annotations

import csv
import io

import numpy as np

from core.i18n import N_
from core.metrics import METRICS, MetricInputError, all_values, check_binary

MAX_ROWS, MAX_MODELS, MAX_BYTES = 100_000, 6, 5_000_000
LABEL, PREDICTION, WEIGHT, MODEL = "y_true", "y_pred", "weight", "model"
EXAMPLE = "model,y_true,y_pred,weight\nplain,0,0.12,1\nplain,1,0.71,1\nplain,0,0.55,2\ndropout,0,0.20,1\ndropout,1,0.64,1\ndropout,0,0.31,2\n"

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def read(data: bytes) -> dict[str, Rows]:
    """Read a CSV file with the columns `y_true` (0 or 1) and `y_pred` (a probability).

    Args:
        data: At most `MAX_BYTES`; UTF-8, comma or semicolon between columns, a point as decimal mark.
            A column `weight` weighs rows, a column `model` keeps several models apart.

    Returns:
        Labels, probabilities and weights of each model, in order of appearance; "" where there is no column.

    Raises:
        MetricInputError: On the first fault, with its row.
    """
    if len(data) > MAX_BYTES:
        raise MetricInputError(N_("Invalid file. Expected at most {limit} bytes; received {n}."), limit=MAX_BYTES, n=len(data))  # fmt: skip
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MetricInputError(N_("Invalid file. Expected text in UTF-8; received other bytes.")) from None
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in first else ",")
    try:
        lines = [line for line in reader if any(cell.strip() for cell in line)]
    except csv.Error:
        raise MetricInputError(N_("Invalid file. Expected comma-separated values; received something else.")) from None
    header = [cell.strip().lower() for cell in lines[0]] if lines else []
    for name in (LABEL, PREDICTION):
        if header.count(name) != 1:
            raise MetricInputError(
                N_("Invalid file. Expected one column {name} in the first line; received {count}."),
                name=name, count=header.count(name),
            )  # fmt: skip
    body = lines[1:]
    if not body:
        raise MetricInputError(N_("Invalid file. Expected at least one row below the first line; received none."))
    if len(body) > MAX_ROWS:
        raise MetricInputError(N_("Invalid file. Expected at most {limit} rows; received {n}."), limit=MAX_ROWS, n=len(body))  # fmt: skip
    for number, line in enumerate(body, 1):
        if len(line) != len(header):
            raise MetricInputError(
                N_("Invalid file. Expected {columns} columns in row {row}; received {received}."),
                columns=len(header), row=number, received=len(line),
            )  # fmt: skip
    models = [line[header.index(MODEL)].strip()[:40] for line in body] if MODEL in header else [""] * len(body)
    names = list(dict.fromkeys(models))
    if len(names) > MAX_MODELS:
        raise MetricInputError(N_("Invalid file. Expected at most {limit} models; received {n}."), limit=MAX_MODELS, n=len(names))  # fmt: skip
    y, p = _numbers(body, header.index(LABEL), LABEL), _numbers(body, header.index(PREDICTION), PREDICTION)
    w = _numbers(body, header.index(WEIGHT), WEIGHT) if WEIGHT in header else np.ones(len(body))
    check_binary(y, p, w)  # all rows at once, so that a row is named by its place in the file
    own = np.array(models)
    return {name: check_binary(y[own == name], p[own == name], w[own == name]) for name in names}


def _numbers(body: list[list[str]], column: int, name: str) -> np.ndarray:
    values = np.empty(len(body))
    for index, line in enumerate(body):
        try:
            text = line[column].strip()
            if len(text) > 32 or "_" in text:
                raise ValueError(text)
            values[index] = float(text)
        except ValueError:
            raise MetricInputError(
                N_("Invalid file. Expected a number in column {name}; received {value} in row {row}."),
                name=name, value=_shown(line[column]), row=index + 1,
            ) from None  # fmt: skip
    return values


def _shown(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in " .,+-%" else "·" for c in text.strip()[:20])
    return f"“{kept}”"


def table(models: dict[str, Rows], threshold: float) -> dict[str, dict[str, tuple[float, str]]]:
    """Compute every metric of every model.

    Returns:
        Model to metric to its value, and the reason where it is undefined (NaN).
    """
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for model, (y, p, w) in models.items():
        values = all_values(y, p, w, threshold)
        found[model] = {
            name: (value, METRICS[name].why_undefined(y, p, w, threshold) if value != value else "")
            for name, value in values.items()
        }
    return found
