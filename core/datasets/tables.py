"""Turn a viewer's CSV file into a data set: read it, infer its columns, refuse what cannot be learnt from.

Imports no Streamlit and no TensorFlow. Nothing of the file is executed, and nothing is guessed silently:
what was done to it is said in `Prepared.notes`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from core.attachments import OWN_PREFIX, digest_of
from core.datasets import Dataset, Kind, OwnDataset
from core.i18n import N_, _, plain

MAX_BYTES = 5_000_000
MAX_COLUMNS = 100
MAX_INPUTS = 300  # after categories have become columns of their own
MIN_ROWS, MAX_ROWS = 120, 20_000
MAX_CLASSES, MIN_OF_CLASS = 20, 12
MAX_LEVELS = 20  # of a text column that is turned into one column a category
MAX_MISSING = 0.3  # share of a column; above it the column is left out, below it the rows
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "."})
SEPARATORS = (",", ";", "\t", "|")

ColumnKind = Literal["number", "category", "text", "constant", "empty"]


# The part of an exported script that reads what `to_csv` wrote.
READ_OWN = '''def read_own(path):
    """Read the numbers of your own file: inputs, and the target in the last column."""
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    target = table[:, -1]
    return table[:, :-1].astype("float32"), target.astype("int64") if DATASET.classes else target


'''


class TableError(ValueError):
    """A file or a choice of columns that cannot be used; `sentence()` says why and what to do."""

    def __init__(self, message: str, **arguments: object):
        self.message, self.arguments = message, arguments
        super().__init__(message.format(**arguments))

    def sentence(self) -> str:
        """Write the reason in the viewer's language."""
        return _note(self.message, self.arguments)


def _note(message: str, arguments: dict[str, object]) -> str:
    return _(message).format(**{key: plain(value) for key, value in arguments.items()})


@dataclass(frozen=True)
class Column:
    """What a column was taken for: its `kind`, cells without a value, and different values."""

    name: str
    kind: ColumnKind
    missing: int
    levels: int


@dataclass(frozen=True)
class Table:
    """A file that was read: text cells, and what its columns hold."""

    name: str
    cells: pd.DataFrame
    columns: tuple[Column, ...]
    has_decimal_comma: bool = False

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Prepared:
    """A data set made of a file, and what was done to make it, in sentences to translate."""

    own: OwnDataset
    notes: tuple[tuple[str, dict[str, object]], ...] = field(default=())

    def sentences(self) -> list[str]:
        """Write the notes in the viewer's language."""
        return [_note(message, arguments) for message, arguments in self.notes]


def read_table(data: bytes, name: str) -> Table:
    """Read a CSV file.

    Args:
        data: The file's bytes: UTF-8, UTF-16 with its mark, or Windows-1252; separated by comma, semicolon,
            tab or bar; the first line names the columns.
        name: The file's name, for the labels.

    Raises:
        TableError: When it is too large, no text, no table, or too small to learn from.
    """
    if len(data) > MAX_BYTES:
        raise TableError(
            N_("Expected a file of at most {limit} MB; received {size} MB. Take a sample of its rows."),
            limit=MAX_BYTES / 1e6, size=round(len(data) / 1e6, 1),
        )  # fmt: skip
    text = _decode(data)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise TableError(N_("Expected a table; received an empty file."))
    separator = max(SEPARATORS, key=lambda mark: lines[0].count(mark))
    if not lines[0].count(separator):
        raise TableError(
            N_("Expected columns separated by comma, semicolon, tab or bar; the first line has none of these.")
        )
    rows = _rows(text, separator)
    if not rows:
        raise TableError(N_("Expected a table; received an empty file."))
    header, rows = [cell.strip() for cell in rows[0]], rows[1:]
    if len(header) > MAX_COLUMNS:
        raise TableError(
            N_("Expected at most {limit} columns; received {count}."), limit=MAX_COLUMNS, count=len(header)
        )
    if any(not cell for cell in header):
        raise TableError(
            N_("Expected a name for every column in the first line; column {number} has none."),
            number=header.index("") + 1,
        )
    if len(set(header)) < len(header):
        twice = next(cell for cell in header if header.count(cell) > 1)
        raise TableError(N_("Expected every column name once; “{name}” stands twice."), name=_short(twice))
    if all(_number(cell) is not None for cell in header):
        raise TableError(N_("Expected column names in the first line; received numbers. Add a line with names."))
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise TableError(
                N_("Expected {columns} cells in every line, as in the first; line {line} has {count}."),
                columns=len(header), line=number, count=len(row),
            )  # fmt: skip
    if len(rows) < MIN_ROWS:
        raise TableError(
            N_("Expected at least {limit} rows, so that enough are left to measure on; received {count}."),
            limit=MIN_ROWS, count=len(rows),
        )  # fmt: skip
    if len(rows) > MAX_ROWS:
        raise TableError(
            N_("Expected at most {limit} rows; received {count}. Take a sample."), limit=MAX_ROWS, count=len(rows)
        )
    cells = pd.DataFrame(rows, columns=header, dtype="str")
    has_comma = separator != "," and _has_decimal_comma(cells)
    if has_comma:
        cells = cells.map(lambda cell: cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell.strip()) else cell)
    return Table(name, cells, tuple(_column(cells[name]) for name in header), has_comma)


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in data:
        raise TableError(N_("Expected text; received a binary file. Save the table as CSV first."))
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        odd = sum(not (c.isprintable() or c in "\r\n\t") for c in text[:20_000])
        if odd <= 0.005 * min(len(text), 20_000):
            return text
    raise TableError(N_("Expected text; received a binary file. Save the table as CSV first."))


def _rows(text: str, separator: str) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row]
    except csv.Error as error:
        raise TableError(
            N_("Expected a table; it cannot be read ({reason}). Is a quotation mark left open?"), reason=str(error)
        ) from error
    return [row for row in rows if any(cell.strip() for cell in row)]


_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")


def _has_decimal_comma(cells: pd.DataFrame) -> bool:
    """Tell whether numbers are written 1,5: some column holds nothing but such numbers, whole ones and gaps."""
    for name in cells:
        filled = [cell.strip() for cell in cells[name] if cell.strip().lower() not in MISSING]
        commas = sum(bool(_DECIMAL_COMMA.fullmatch(cell)) for cell in filled)
        if commas and all(_DECIMAL_COMMA.fullmatch(cell) or _number(cell) is not None for cell in filled):
            return True
    return False


def _number(cell: str) -> float | None:
    cell = cell.strip()
    if not cell or "_" in cell or len(cell) > 40:
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e30 else None


def _is_missing(cells: pd.Series) -> pd.Series:
    return cells.str.strip().str.lower().isin(MISSING)


def _column(cells: pd.Series) -> Column:
    missing = _is_missing(cells)
    filled = cells[~missing].str.strip()
    levels = filled.nunique()
    kind: ColumnKind
    if not len(filled):
        kind = "empty"
    elif levels == 1:
        kind = "constant"
    elif all(_number(cell) is not None for cell in filled):
        kind = "number"
    else:
        kind = "category" if levels <= MAX_LEVELS else "text"
    return Column(str(cells.name), kind, int(missing.sum()), int(levels))


def likely_kind(table: Table, target: str) -> Kind:
    """Guess whether a target is to be classified: text, or a few whole numbers."""
    column = table.column(target)
    if column.kind != "number":
        return "classification"
    values = [_number(cell) for cell in table.cells[target] if cell.strip().lower() not in MISSING]
    is_whole = all(value is not None and value == int(value) for value in values)
    return "classification" if is_whole and column.levels <= MAX_CLASSES else "regression"


def prepare(table: Table, target: str, kind: Kind) -> Prepared:
    """Make a data set that predicts `target` from every other usable column.

    Rows without a target or with a gap in a used column are left out; so are columns with more than 30 %
    gaps, one value only, or text with more than 20 different values. Categories become one column each.

    Raises:
        TableError: When what is left cannot be learnt from.
    """
    notes: list[tuple[str, dict[str, object]]] = []
    goal = table.column(target)
    used = _usable(table, target, notes)
    gaps = _is_missing(table.cells[target])
    for name in used:
        gaps |= _is_missing(table.cells[name])
    cells = table.cells[~gaps].apply(lambda column: column.str.strip())
    if gaps.any():
        notes.append((N_("{count} rows with a gap are left out."), {"count": int(gaps.sum())}))
    if len(cells) < MIN_ROWS:
        raise TableError(
            N_("Expected at least {limit} rows without gaps; {count} are left. Fill the gaps, or leave columns out."),
            limit=MIN_ROWS, count=len(cells),
        )  # fmt: skip
    names, x = _inputs(table, cells, used, notes)
    if not names:
        raise TableError(N_("Expected at least one column to predict from; none varies in the rows without gaps."))
    if len(names) > MAX_INPUTS:
        raise TableError(
            N_("Expected at most {limit} inputs; categories make {count}. Leave some columns out."),
            limit=MAX_INPUTS, count=len(names),
        )  # fmt: skip
    classes: tuple[str, ...] = ()
    if kind == "classification":
        classes, y = _classes(goal, cells[target])
    else:
        y = _values(goal, cells[target])
    return Prepared(_own(table, target, kind, names, classes, x, y), tuple(notes))


def _usable(table: Table, target: str, notes: list) -> list[str]:
    used, gappy, constant, wordy = [], [], [], []
    for column in table.columns:
        if column.name == target:
            continue
        if column.kind in ("empty",) or column.missing > MAX_MISSING * len(table.cells):
            gappy.append(column.name)
        elif column.kind == "constant":
            constant.append(column.name)
        elif column.kind == "text":
            wordy.append(column.name)
        else:
            used.append(column.name)
    for left_out, message in (
        (gappy, N_("Left out, with more than 30% gaps: {names}.")),
        (constant, N_("Left out, with one value only: {names}.")),
        (wordy, N_("Left out, text with more than 20 different values: {names}.")),
    ):
        if left_out:
            notes.append((message, {"names": _listed(left_out)}))
    if not used:
        raise TableError(
            N_(
                "Expected at least one column to predict from; all are empty, constant or free text besides “{target}”."
            ),
            target=_short(target),
        )
    return used


def _inputs(table: Table, cells: pd.DataFrame, used: Sequence[str], notes: list) -> tuple[list[str], np.ndarray]:
    names, columns, split = [], [], []
    for name in used:
        if table.column(name).kind == "number":
            values = np.array([_number(cell) for cell in cells[name]], dtype="float64")
            if values.std() > 0:
                names.append(name)
                columns.append(values)
            continue
        levels = sorted(cells[name].unique())
        if len(levels) > 1:
            split.append(name)
            for level in levels[1:] if len(levels) == 2 else levels:
                names.append(f"{name}={level}")
                columns.append((cells[name] == level).to_numpy(dtype="float64"))
    if split:
        notes.append((N_("Categories became one column each: {names}."), {"names": _listed(split)}))
    return names, np.stack(columns, 1) if columns else np.empty((len(cells), 0))


def _classes(goal: Column, cells: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    counts = cells.value_counts()
    if len(counts) < 2:
        raise TableError(N_("Expected at least two classes in “{name}”; there is one."), name=_short(goal.name))
    if len(counts) > MAX_CLASSES:
        raise TableError(
            N_("Expected at most {limit} classes in “{name}”; there are {count}. Choose regression, or another column."),
            limit=MAX_CLASSES, name=_short(goal.name), count=len(counts),
        )  # fmt: skip
    if counts.min() < MIN_OF_CLASS:
        raise TableError(
            N_("Expected at least {limit} rows of every class; “{name}” has {count}. Join it to another or leave it out."),
            limit=MIN_OF_CLASS, name=_short(str(counts.idxmin())), count=int(counts.min()),
        )  # fmt: skip
    names = sorted(counts.index, key=lambda name: (_number(name) is None, _number(name) or 0.0, name))
    return tuple(names), cells.map({name: i for i, name in enumerate(names)}).to_numpy(dtype="int64")


def _values(goal: Column, cells: pd.Series) -> np.ndarray:
    numbers = [_number(cell) for cell in cells]
    if any(number is None for number in numbers):
        bad = next(cell for cell, number in zip(cells, numbers, strict=True) if number is None)
        raise TableError(
            N_("Expected numbers in “{name}” for a regression; received “{cell}”. Choose classification, or another column."),
            name=_short(goal.name), cell=_short(bad),
        )  # fmt: skip
    values = np.array(numbers, dtype="float64")
    if values.std() == 0:
        raise TableError(N_("Expected a target that varies; “{name}” has one value only."), name=_short(goal.name))
    return values


def _own(
    table: Table, target: str, kind: Kind, names: list[str], classes: tuple[str, ...], x: np.ndarray, y: np.ndarray
) -> OwnDataset:
    n = len(x)
    dataset = Dataset(
        name="",
        label=f"{_plain(table.name)} → {_plain(target)}",
        source=N_("your own file"),
        kind=kind,
        n=n,
        shape=(x.shape[1],),
        classes=len(classes),
        test=max(20, round(0.15 * n)),
        stopping=max(15, round(0.1 * n)),
    )
    own = OwnDataset(dataset, tuple(names), classes, x.astype("float32"), y)
    return replace(own, dataset=replace(dataset, name=OWN_PREFIX + digest_of(pack(own))))


def _plain(text: str) -> str:
    """Keep letters, digits and a few marks, so that a file's words format nothing."""
    return "".join(c if c.isalnum() or c in " .-" else " " for c in text).strip()[:40] or "data"


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"“{_short(name)}”" for name in names[:6])
    return shown + (f" +{len(names) - 6}" if len(names) > 6 else "")


def pack(own: OwnDataset) -> bytes:
    """Write a data set as bytes, to be stored or sent to a worker; equal content gives equal bytes.

    The name is left out, because it is the hash of these bytes.
    """
    facts = json.dumps(
        {"dataset": asdict(replace(own.dataset, name="")), "columns": own.columns, "classes": own.classes}
    ).encode()
    buffer = io.BytesIO()
    np.savez(buffer, x=own.x, y=own.y, facts=np.frombuffer(facts, dtype="uint8"))
    return buffer.getvalue()


def unpack(data: bytes, name: str) -> OwnDataset:
    """Read what `pack` wrote of the data set called `name`; executes nothing."""
    with np.load(io.BytesIO(data), allow_pickle=False) as parts:
        facts = json.loads(parts["facts"].tobytes())
        fields = facts["dataset"] | {"name": name, "shape": tuple(facts["dataset"]["shape"])}
        return OwnDataset(Dataset(**fields), tuple(facts["columns"]), tuple(facts["classes"]), parts["x"], parts["y"])


def to_csv(own: OwnDataset) -> str:
    """Write the prepared numbers as CSV: the inputs, then the target (a class's number, or the value)."""
    frame = pd.DataFrame(own.x, columns=list(own.columns)).assign(target=own.y)
    return frame.to_csv(index=False)
