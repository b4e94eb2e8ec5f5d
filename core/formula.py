"""Read a formula that a viewer typed: into a tree of allowed parts, never into code.

A formula is cut into tokens by our own rules, parsed by `ast`, and rebuilt from an allow-list; what is
not on the list has no way through. The tree works on numbers, NumPy arrays and tensors alike, elementwise,
so that its cost is its number of parts times the size of what it is given. Imports no TensorFlow.
"""

from __future__ import annotations

import ast
import builtins
import functools
import keyword
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from core.i18n import N_, _, listing, plain

MAX_LENGTH = 400
MAX_DEPTH = 40
MAX_PARTS = 160
MAX_PARAMETERS = 6
MAX_NAME = 20
MAX_EXPONENT = 16.0
MAX_NUMBER = 1e12

CONSTANTS = {"pi": math.pi, "e": math.e}

# Name and number of arguments; NumPy and `keras.ops` know all but `clip`, `sigmoid` and `softplus` by one name.
FUNCTIONS = {
    "abs": 1, "sign": 1, "square": 1, "sqrt": 1, "exp": 1, "expm1": 1, "log": 1, "log1p": 1, "sin": 1, "cos": 1,
    "tanh": 1, "sigmoid": 1, "softplus": 1, "power": 2, "maximum": 2, "minimum": 2, "clip": 3, "where": 3,
}  # fmt: skip

_BINARY = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
_COMPARED = {
    ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal", ast.Eq: "equal",
    ast.NotEq: "not_equal",
}  # fmt: skip
_LOGIC = {ast.And: "logical_and", ast.Or: "logical_or"}
_TRUTHS = frozenset({*_COMPARED.values(), *_LOGIC.values(), "logical_not"})
_INFIX = {"add": ("+", 1), "subtract": ("-", 1), "multiply": ("*", 2), "divide": ("/", 2)}
_FORBIDDEN_NAMES = frozenset(dir(builtins)) | {"ops", "np", "self", "cls", "keras", "tf", "sample_weight", "name"}

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<sign>\*\*|<=|>=|==|!=|[-+*/(),<>])",
    re.ASCII,
)


class FormulaError(ValueError):
    """A formula that cannot be used: what was expected and received, and where.

    Its text is one sentence in the language of the context in which it is read.

    Args:
        expected: A phrase for the catalogue, its placeholders filled by `arguments`.
        received: What stands there instead; shortened and stripped of what could format a page.
        position, length: The faulty place, in characters from 0; `length` is at least 1 within the text.
    """

    def __init__(self, expected: str, received: str, position: int = 0, length: int = 1, **arguments: object):
        self.expected, self.received = expected, received
        self.position, self.length, self.arguments = position, max(1, length), arguments
        super().__init__(expected, received)

    def phrase(self) -> str:
        """Say what was expected, without the rest of the sentence."""
        return _(self.expected).format(**{key: _written(value) for key, value in self.arguments.items()})

    def __str__(self) -> str:
        return _("Expected {expected}; received {received} at character {place} of the formula.").format(
            expected=self.phrase(), received=_quoted(self.received), place=self.position + 1
        )


def _quoted(text: str, limit: int = 40) -> str:
    """Quote `text` as code, where nothing but a backtick could format a page."""
    printable = "".join(c if c.isprintable() and c != "`" else "·" for c in text[:limit]).strip()
    return f"`{printable}{'…' if len(text) > limit else ''}`" if printable else _("nothing")


def _written(value: object) -> str:
    return listing([str(part) for part in value]) if isinstance(value, tuple) else plain(value)


@dataclass(frozen=True)
class Part:
    """A node of the tree: a `number`, a `name`, or a `call` of an allowed operation on other parts.

    Constants have become numbers, so that a name always stands for what is handed in.
    """

    kind: str
    value: Any
    parts: tuple[Part, ...] = ()

    @property
    def is_truth(self) -> bool:
        """Tell whether the value is true or false rather than a number."""
        return self.kind == "call" and self.value in _TRUTHS

    def __iter__(self) -> Iterator[Part]:
        """Walk this part and all below, in the order of the text."""
        yield self
        for part in self.parts:
            yield from part


@dataclass(frozen=True)
class Formula:
    """A formula that is safe to evaluate.

    `variables` may stand in it; `parameters` are its other names, in order of appearance.
    """

    text: str
    variables: tuple[str, ...]
    parameters: tuple[str, ...]
    tree: Part

    @property
    def used(self) -> frozenset[str]:
        """Name the variables and parameters that stand in the formula."""
        return frozenset(part.value for part in self.tree if part.kind == "name")

    def evaluate(self, ops: Any, **values: Any) -> Any:
        """Compute the formula elementwise.

        Args:
            ops: NumPy, or `keras.ops`.
            values: A number, array or tensor for every variable and parameter; shapes broadcast.

        Returns:
            The broadcast result in the kind of `ops`; of shape () where no array stands in the formula.
            What is undefined is NaN or infinite, without a warning; a comparison gives 1 or 0.

        Raises:
            TypeError: When a value is missing or one too many is given.
        """
        wanted, given = {*self.variables, *self.parameters}, set(values)
        if not self.used <= given <= wanted:
            raise TypeError(f"Expected values for {sorted(self.used)}; received {sorted(given)}.")
        with np.errstate(all="ignore"):
            return _value(self.tree, ops, values)

    def source(self, prefix: str = "ops.") -> str:
        """Write the formula as a Python expression over `keras.ops`, called `prefix`."""
        return _source(self.tree, prefix)


def parse(text: str, variables: Sequence[str]) -> Formula:
    """Read a formula.

    Args:
        text: At most `MAX_LENGTH` characters: numbers, names, `+ - * / **`, comparisons, `and`, `or`, `not`,
            parentheses, and calls of `FUNCTIONS`; `CONSTANTS` are known.
        variables: Names that stand for data. Other names become parameters, at most `MAX_PARAMETERS`.

    Raises:
        FormulaError: One sentence on the first fault, with its place.
    """
    if not isinstance(text, str):
        raise FormulaError(N_("a formula as text"), type(text).__name__)
    return _parse(text, tuple(variables))


@functools.lru_cache(maxsize=512)
def _parse(text: str, variables: tuple[str, ...]) -> Formula:
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            N_("a formula of at most {limit} characters"), text, MAX_LENGTH, len(text) - MAX_LENGTH, limit=MAX_LENGTH
        )
    tokens = _tokens(text, variables)
    line = re.sub(r"\s", " ", text)  # on one line places count from its start
    indent = len(line) - len(line.lstrip())
    try:
        body = ast.parse(line.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _syntax_error(text, tokens, indent, error) from None
    reader = _Reader(text, indent, variables)
    tree = reader.number(body, 1)
    return Formula(text, variables, tuple(reader.parameters), tree)


def _tokens(text: str, variables: tuple[str, ...]) -> list[tuple[str, str, int]]:
    """Cut `text` into (kind, word, place); checks characters, words, numbers and parentheses."""
    tokens: list[tuple[str, str, int]] = []
    opened: list[int] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FormulaError(_hint(text[at]), text[at], at)
        kind, word = str(found.lastgroup), found.group()
        before = tokens[-1] if tokens else ("", "", -1)
        touches = before[0] == "number" and before[2] + len(before[1]) == at
        if kind in ("name", "number") and touches:
            raise FormulaError(N_("an operator such as * after a number"), word, at, len(word))
        if kind == "number" and len(word) > 1 and word.isdigit() and word[0] == "0":
            raise FormulaError(N_("a number without leading zeros"), word, at, len(word))
        if kind == "number" and not abs(float(word)) <= MAX_NUMBER:
            raise FormulaError(N_("finite numbers up to {limit}"), word, at, len(word), limit=MAX_NUMBER)
        if kind == "name":
            _check_name(word, at, variables)
        if word == "(":
            opened.append(at)
            if len(opened) > MAX_DEPTH // 2:
                raise FormulaError(N_("at most {limit} parentheses within each other"), word, at, limit=MAX_DEPTH // 2)
        if word == ")":
            if not opened:
                raise FormulaError(N_("an opening parenthesis before each closing one"), word, at)
            opened.pop()
        if kind != "space":
            tokens.append((kind, word, at))
        at = found.end()
    if not tokens:
        raise FormulaError(N_("a formula"), "", 0)
    if opened:
        raise FormulaError(N_("a closing parenthesis for each opening one"), "(", opened[-1])
    return tokens


def _hint(character: str) -> str:
    hints = {
        "^": N_("two stars for a power"),
        "²": N_("two stars for a power"),
        "=": N_("== to compare; a formula sets nothing"),
        ".": N_("a digit beside the point; nothing else has a point"),
        "−": N_("the minus sign of the keyboard"),
        "×": N_("* to multiply"),
        "·": N_("* to multiply"),
        "|": N_("abs(…), or the word or"),
        "&": N_("the word and"),
        "[": N_("parentheses, not brackets"),
        "]": N_("parentheses, not brackets"),
        "%": N_("a share such as 0.05"),
    }
    return hints.get(character, N_("unaccented letters, digits and the signs + - * / ( ) , . < > = !"))


def _check_name(name: str, at: int, variables: tuple[str, ...]) -> None:
    if name in ("and", "or", "not") or name in variables or name in FUNCTIONS or name in CONSTANTS:
        return
    if keyword.iskeyword(name) or name in _FORBIDDEN_NAMES:
        instead = {"max": "maximum", "min": "minimum", "pow": "power", "if": "where", "else": "where"}.get(name)
        if instead:
            raise FormulaError(N_("the function {name}"), name, at, len(name), name=instead)
        raise FormulaError(N_("another name, one that Python does not use"), name, at, len(name))
    if name.startswith("_") or "__" in name or len(name) > MAX_NAME:
        phrase = N_("a name of at most {limit} letters and digits, not beginning with _")
        raise FormulaError(phrase, name, at, len(name), limit=MAX_NAME)


def _syntax_error(text: str, tokens: list[tuple[str, str, int]], indent: int, error: Exception) -> FormulaError:
    """Point at the first word that cannot follow the one before it; at the end where all may."""
    values = {"number", "name"}
    before = ("sign", "(", -1)
    for kind, word, at in [*tokens, ("end", "", len(text))]:
        is_value = kind in values and word not in ("and", "or")
        had_value = (before[0] in values and before[1] not in ("and", "or", "not")) or before[1] == ")"
        if had_value and ((is_value and word != "not") or (word == "(" and before[0] == "number")):
            return FormulaError(N_("an operator between two values"), word, at, len(word))
        if had_value and word == "not":
            return FormulaError(N_("an operator between two values"), word, at, len(word))
        if not had_value and not (is_value or word in ("(", "+", "-") or (word == ")" and before[1] in "(,")):
            phrase = N_("a number, a name or an opening parenthesis")
            return FormulaError(phrase, word, min(at, max(0, len(text) - 1)), len(word))
        before = (kind, word, at)
    place = indent + (getattr(error, "offset", None) or 1) - 1
    place = min(max(0, place), len(text) - 1)
    return FormulaError(N_("a formula"), text[place:], place, len(text) - place)


class _Reader:
    """Build parts from the nodes that are allowed, counting what they cost."""

    def __init__(self, text: str, indent: int, variables: tuple[str, ...]):
        self.text, self.indent, self.variables = text, indent, variables
        self.parameters: list[str] = []
        self.count = 0

    def error(self, expected: str, node: ast.expr, **arguments: object) -> FormulaError:
        start = self.indent + node.col_offset
        end = self.indent + (node.end_col_offset or node.col_offset + 1)
        return FormulaError(expected, self.text[start:end], start, end - start, **arguments)

    def number(self, node: ast.expr, depth: int) -> Part:
        """Read a part that is a number; a truth counts 1 or 0."""
        part = self.part(node, depth)
        if part.is_truth:
            return Part("call", "where", (part, Part("number", 1.0), Part("number", 0.0)))
        return part

    def truth(self, node: ast.expr, depth: int) -> Part:
        """Read a part that is true or false."""
        part = self.part(node, depth)
        if not part.is_truth:
            raise self.error(N_("a comparison such as x < 1"), node)
        return part

    def part(self, node: ast.expr, depth: int) -> Part:
        self.count += 1
        if self.count > MAX_PARTS:
            raise self.error(N_("a formula of at most {limit} parts"), node, limit=MAX_PARTS)
        if depth > MAX_DEPTH:
            raise self.error(N_("at most {limit} operations within each other"), node, limit=MAX_DEPTH)
        part = self._read(node, depth + 1)
        self._check_constant(part, node)
        return part

    def _read(self, node: ast.expr, depth: int) -> Part:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return Part("number", float(value))
            case ast.Name(id=name):
                return self._name(name, node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Part("call", "negative", (self.number(operand, depth),))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.number(operand, depth)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Part("call", "logical_not", (self.truth(operand, depth),))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                name = _BINARY[type(op)]
                parts = (self.number(left, depth), self.number(right, depth))
                if name == "power":
                    self._check_exponent(parts[1], right)
                return Part("call", name, parts)
            case ast.BoolOp(op=op, values=values):
                truths = [self.truth(value, depth) for value in values]
                name = _LOGIC[type(op)]
                return functools.reduce(lambda one, other: Part("call", name, (one, other)), truths)
            case ast.Compare(left=left, ops=operators, comparators=others) if all(
                type(op) in _COMPARED for op in operators
            ):
                return self._comparison(left, operators, others, depth)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._call(name, arguments, node, depth)
            case ast.BinOp(op=ast.FloorDiv()):
                raise self.error(N_("one / to divide"), node)
        raise self.error(N_("numbers, names, operators and functions only"), node)

    def _name(self, name: str, node: ast.expr) -> Part:
        if name in FUNCTIONS:
            raise self.error(N_("parentheses after the function {name}"), node, name=name)
        if name in CONSTANTS and name not in self.variables:
            return Part("number", CONSTANTS[name])
        if name not in self.variables and name not in self.parameters:
            self.parameters.append(name)
            if len(self.parameters) > MAX_PARAMETERS:
                phrase = N_("at most {limit} parameters beside {variables}")
                raise self.error(phrase, node, limit=MAX_PARAMETERS, variables=self.variables)
        return Part("name", name)

    def _call(self, name: str, arguments: list[ast.expr], node: ast.Call, depth: int) -> Part:
        if name not in FUNCTIONS:
            raise self.error(N_("one of the functions {functions}"), node.func, functions=tuple(sorted(FUNCTIONS)))
        if len(arguments) != FUNCTIONS[name]:
            phrase = {
                1: N_("one value in {name}(…)"),
                2: N_("two values in {name}(…, …)"),
                3: N_("three values in {name}(…, …, …)"),
            }[FUNCTIONS[name]]
            raise self.error(phrase, node, name=name)
        first = self.truth(arguments[0], depth) if name == "where" else self.number(arguments[0], depth)
        parts = (first, *[self.number(argument, depth) for argument in arguments[1:]])
        if name == "power":
            self._check_exponent(parts[1], arguments[1])
        return Part("call", name, parts)

    def _comparison(self, left: ast.expr, operators: list[ast.cmpop], others: list[ast.expr], depth: int) -> Part:
        sides = [self.number(side, depth) for side in (left, *others)]
        pairs = [
            Part("call", _COMPARED[type(op)], (one, other))
            for op, one, other in zip(operators, sides, sides[1:], strict=False)
        ]
        return functools.reduce(lambda one, other: Part("call", "logical_and", (one, other)), pairs)

    def _check_constant(self, part: Part, node: ast.expr) -> None:
        """Refuse what is no finite number whatever the data, such as 1/0, log(-1) or 9**9**9."""
        if part.kind != "call" or part.is_truth or any(p.kind == "name" for p in part):
            return
        with np.errstate(all="ignore"):
            value = float(_value(part, np, {}))
        if not abs(value) <= MAX_NUMBER:
            raise self.error(N_("finite numbers up to {limit}"), node, limit=MAX_NUMBER)

    def _check_exponent(self, part: Part, node: ast.expr) -> None:
        if any(p.kind == "name" for p in part):
            return
        if abs(float(_value(part, np, {}))) > MAX_EXPONENT:
            raise self.error(N_("an exponent from −{limit} to {limit}"), node, limit=MAX_EXPONENT)


def _softplus(ops: Any, x: Any) -> Any:
    return ops.softplus(x) if hasattr(ops, "softplus") else np.logaddexp(0.0, x)


def _sigmoid(ops: Any, x: Any) -> Any:
    return ops.sigmoid(x) if hasattr(ops, "sigmoid") else np.exp(-np.logaddexp(0.0, -np.asarray(x)))


def _power(ops: Any, x: Any, exponent: Any) -> Any:
    # A square by multiplication: its gradient needs neither a power nor a logarithm.
    return ops.square(x) if isinstance(exponent, float) and exponent == 2 else ops.power(x, exponent)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "power": _power,
    "clip": lambda ops, x, low, high: ops.minimum(ops.maximum(x, low), high),
}


def _value(part: Part, ops: Any, values: dict[str, Any]) -> Any:
    if part.kind == "number":
        return part.value
    if part.kind == "name":
        return values[part.value]
    arguments = [_value(one, ops, values) for one in part.parts]
    if part.value in _SPECIAL:
        return _SPECIAL[part.value](ops, *arguments)
    return getattr(ops, part.value)(*arguments)


def _source(part: Part, prefix: str, level: int = 0) -> str:
    """Write `part`; parenthesized where it binds weaker than `level`."""
    if part.kind == "number":
        return repr(part.value)
    if part.kind == "name":
        return part.value
    if part.value in _INFIX:
        sign, own = _INFIX[part.value]
        left, right = _source(part.parts[0], prefix, own), _source(part.parts[1], prefix, own + 1)
        text = f"{left} {sign} {right}"
        return f"({text})" if own < level else text
    if part.value == "negative":
        text = "-" + _source(part.parts[0], prefix, 3)
        return f"({text})" if level > 1 else text
    name, arguments = part.value, [_source(one, prefix) for one in part.parts]
    if name == "clip":
        return f"{prefix}minimum({prefix}maximum({arguments[0]}, {arguments[1]}), {arguments[2]})"
    if name == "power" and part.parts[1] == Part("number", 2.0):
        name, arguments = "square", arguments[:1]
    return f"{prefix}{name}({', '.join(arguments)})"


NUMPY = SimpleNamespace(
    **{name: getattr(np, name) for name in (
        *_BINARY.values(), *_COMPARED.values(), *_LOGIC.values(), "logical_not", "negative",
        *(name for name in FUNCTIONS if hasattr(np, name)),
    )},
    softplus=lambda x: _softplus(np, x),
    sigmoid=lambda x: _sigmoid(np, x),
)  # fmt: skip
"""NumPy under the names that `Formula.source` writes."""
