"""Declare what a viewer can turn, once: widgets, links, the command line and errors follow from it.

An experiment's settings are a frozen pydantic model whose fields carry a `Control`. Never imports
Streamlit, TensorFlow or another part of the project but `core.i18n`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel, ConfigDict, model_validator

from core.i18n import N_, _, listing, plain

SCHEMA_VERSION = 1
MAX_QUERY_LENGTH = 4_096
RESERVED_KEYS = frozenset({"v", "lang", "present", "screen", "embed", "embed_options"})


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a setting, written when it is shown, in the viewer's language.

    `expected` and `received` are complete phrases; `used` says what stands in for the bad value.
    """

    key: str
    expected: str
    received: str
    arguments: tuple[tuple[str, object], ...] = ()
    used: str = ""

    def sentence(self) -> str:
        """Say it as “Invalid `key`. Expected …; received ….” and what is used instead."""
        values = {name: _written(value) for name, value in self.arguments}
        text = _("Invalid `{key}`. Expected {expected}; received {received}.").format(
            key=self.key, expected=_(self.expected).format(**values), received=shorten(self.received)
        )
        if self.used:
            text += " " + _("Using {value} instead.").format(
                value=f"`{_(self.used)}`" if set(self.used) & set("*_`") else _(self.used)
            )
        return text


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return listing([str(part) for part in value], style="or")
    return plain(value)


def shorten(text: str, limit: int = 40) -> str:
    """Quote `text` for a sentence: at most `limit` characters, none of them able to format."""
    printable = "".join(c if c.isprintable() and c not in "`<>*_[]$\\|~#" else "·" for c in text[:limit])
    return f"“{printable}{'…' if len(text) > limit else ''}”" if text else _("nothing")


class InvalidSettingsError(ValueError):
    """Settings that cannot be used; its text is the sentence to show."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__(" ".join(problem.sentence() for problem in problems))


@dataclass(frozen=True)
class Control:
    """What every control declares: words for the viewer and the group it stands in.

    A hidden one has no widget in the sidebar: something else on the page sets it.
    """

    label: str
    help: str
    group: str
    folded: bool = False
    hidden: bool = False

    def parse(self, text: str) -> Any:
        """Read the value in `text`; raises ValueError when it is not one."""
        raise NotImplementedError

    def format(self, value: Any) -> str:
        """Write `value` as it stands in a link; `parse` reads it back exactly."""
        return str(value)

    def words(self, value: Any) -> str:
        """Write `value` for a viewer, in the language of the context."""
        return plain(value)

    def accepts(self, value: Any) -> bool:
        """Tell whether `value` is in range."""
        raise NotImplementedError

    def expected(self) -> tuple[str, tuple[tuple[str, object], ...]]:
        """Phrase what is accepted, with the arguments of the phrase."""
        raise NotImplementedError

    def fault(self, value: Any) -> tuple[str, tuple[tuple[str, object], ...], str]:
        """Phrase what was expected of a bad `value`, with the phrase's arguments, and what was received."""
        return *self.expected(), str(value)

    def accepted(self) -> str:
        """Write what is accepted, in the language of the context."""
        phrase, arguments = self.expected()
        return _(phrase).format(**{name: _written(value) for name, value in arguments})


@dataclass(frozen=True)
class Integer(Control):
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int = 100
    step: int = 1

    def parse(self, text: str) -> int:
        if len(text) > 12 or not text.isascii() or "_" in text:
            raise ValueError(text)
        return int(text)

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def expected(self):
        return N_("a whole number from {low} to {high}"), (("low", self.low), ("high", self.high))


@dataclass(frozen=True)
class Real(Control):
    """A number from `low` to `high`; `marks` are the values a slider offers."""

    low: float = 0.0
    high: float = 1.0
    marks: tuple[float, ...] = ()

    def parse(self, text: str) -> float:
        if len(text) > 32 or not text.isascii() or "_" in text:
            raise ValueError(text)
        return float(text) + 0.0  # no negative zero: equal settings have one link and one digest

    def format(self, value: Any) -> str:
        return repr(float(value))

    def accepts(self, value: Any) -> bool:
        return isinstance(value, int | float) and math.isfinite(value) and self.low <= value <= self.high

    def expected(self):
        return N_("a number from {low} to {high}"), (("low", float(self.low)), ("high", float(self.high)))


@dataclass(frozen=True)
class Choice(Control):
    """One of `options`, machine name to label."""

    options: Mapping[str, str] = None  # type: ignore[assignment]

    def offered(self, value: str) -> dict[str, str]:
        """Return what a widget offers while `value` is chosen."""
        return dict(self.options)

    def parse(self, text: str) -> str:
        return text

    def words(self, value: Any) -> str:
        return _(self.offered(value)[value])

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.options

    def expected(self):
        return N_("one of {options}"), (("options", tuple(self.options)),)


@dataclass(frozen=True)
class Choices(Control):
    """Any of `options`, at least one, each once, in the order they were declared."""

    options: Mapping[str, str] = None  # type: ignore[assignment]

    def parse(self, text: str) -> tuple[str, ...]:
        chosen = text.split(",")
        if any(name not in self.options for name in chosen):
            raise ValueError(text)
        return tuple(name for name in self.options if name in chosen)

    def format(self, value: Any) -> str:
        return ",".join(value)

    def words(self, value: Any) -> str:
        return listing([_(self.options[name]) for name in value])

    def accepts(self, value: Any) -> bool:
        return bool(value) and list(value) == [name for name in self.options if name in value]

    def expected(self):
        return N_("any of {options}, separated by commas"), (("options", tuple(self.options)),)


@dataclass(frozen=True)
class Text(Control):
    """A line of at most `limit` characters.

    `check` names what is wrong with one, as `Control.fault` does, or returns None.
    """

    limit: int = 400
    check: Callable[[str], tuple[str, tuple[tuple[str, object], ...], str] | None] = lambda text: None

    def parse(self, text: str) -> str:
        return text

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and len(value) <= self.limit and self.check(value) is None

    def expected(self):
        return N_("text of at most {limit} characters"), (("limit", self.limit),)

    def fault(self, value: Any) -> tuple[str, tuple[tuple[str, object], ...], str]:
        if isinstance(value, str) and len(value) <= self.limit:
            return self.check(value) or super().fault(value)
        return super().fault(value)


@dataclass(frozen=True)
class Hash(Control):
    """The SHA-256 of data that a viewer brought, 64 hexadecimal digits, or nothing."""

    hidden: bool = True

    def parse(self, text: str) -> str:
        return text

    def words(self, value: Any) -> str:
        return value[:10] or "–"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and (not value or bool(re.fullmatch("[0-9a-f]{64}", value)))

    def expected(self):
        return N_("64 hexadecimal digits, or nothing"), ()


class Settings(BaseModel):
    """Base of an experiment's settings: frozen, valid by construction, and equal to their link."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    groups: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        values = dict(self)
        problems = [p for key in values if (p := self._problem(key, values[key]))]
        problems += self.conflicts(values) if not problems else []
        if problems:
            raise InvalidSettingsError(problems)
        return self

    @classmethod
    @functools.cache
    def controls(cls) -> dict[str, Control]:
        """List the controls by key, in the order of declaration."""
        return {
            key: next(item for item in field.metadata if isinstance(item, Control))
            for key, field in cls.model_fields.items()
        }

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> list[Problem]:
        """Name what is wrong between fields; an experiment overrides it."""
        return []

    def limits(self) -> dict[str, tuple[int, int]]:
        """Narrow the range of whole numbers to what the other values allow; may be overridden."""
        return {}

    def idle(self) -> frozenset[str]:
        """Name the settings that have no effect beside the other values; their widgets are not drawn."""
        return frozenset()

    @classmethod
    def resolve(cls, values: dict[str, Any], given: frozenset[str] | set[str]) -> dict[str, Any]:
        """Fit the defaults that were not `given` to the values that were; may be overridden."""
        return values

    @classmethod
    def repair(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Bring conflicting `values` to the nearest that agree; may be overridden."""
        return values

    @classmethod
    def _problem(cls, key: str, value: Any) -> Problem | None:
        control = cls.controls()[key]
        if control.accepts(value):
            return None
        phrase, arguments, received = control.fault(value)
        return Problem(key, phrase, received, arguments)

    @classmethod
    def read(cls, query: str) -> tuple[Self, list[Problem]]:
        """Read a link's query string; what cannot be used falls back and is reported.

        Args:
            query: As after the question mark, percent-encoded. Keys are the field names, once each;
                `v` is the schema version. Reserved keys (language, presentation) pass.

        Returns:
            Valid settings and one `Problem` per fault. Never raises.
        """
        defaults = {key: field.default for key, field in cls.model_fields.items()}
        if len(query) > MAX_QUERY_LENGTH:
            phrase = N_("a link of at most {limit} characters")
            return cls.read("")[0], [Problem("link", phrase, query, (("limit", MAX_QUERY_LENGTH),))]
        controls, problems = cls.controls(), []
        values: dict[str, Any] = {}
        for key, text in parse_qsl(query, keep_blank_values=True):
            if key == "v":
                problems += _version_problem(text)
            elif key in RESERVED_KEYS:
                continue
            elif key not in controls:
                names = tuple(controls)
                name = "".join(c if c.isalnum() or c in "_-" else "·" for c in key[:40])
                problems.append(Problem(name, N_("one of the settings {names}"), text, (("names", names),)))
            elif key in values:
                problems.append(Problem(key, N_("the setting once"), text))
            else:
                values[key], problem = cls._read_one(key, text)
                problems += [problem] if problem else []
        given = {key for key, value in values.items() if value is not None}
        merged = cls.resolve(defaults | {key: values[key] for key in given}, given)
        conflicts = cls.conflicts(merged)
        for _round in range(3):
            if not cls.conflicts(merged):
                break
            merged = cls.repair(merged)
        settings = cls(**merged)
        return settings, [_with_replacement(p, settings) for p in problems + conflicts]

    @classmethod
    def _read_one(cls, key: str, text: str) -> tuple[Any, Problem | None]:
        control = cls.controls()[key]
        try:
            value = control.parse(text)
        except ValueError:
            value = None
        if value is not None and control.accepts(value):
            return value, None
        phrase, arguments, received = control.fault(text)
        return None, Problem(key, phrase, received, arguments)

    @classmethod
    def parse(cls, query: str) -> Self:
        """Read a query string strictly.

        Raises:
            InvalidSettingsError: On the first fault and all others, one sentence each.
        """
        settings, problems = cls.read(query)
        if problems:
            raise InvalidSettingsError([Problem(p.key, p.expected, p.received, p.arguments) for p in problems])
        return settings

    def query(self) -> str:
        """Write the canonical query string: every value, in order, and the schema version."""
        controls = self.controls()
        pairs = [(key, controls[key].format(value)) for key, value in self]
        return urlencode([*pairs, ("v", str(SCHEMA_VERSION))], safe=",")


def _version_problem(text: str) -> list[Problem]:
    if text == str(SCHEMA_VERSION):
        return []
    return [
        Problem(
            "v", N_("link version {version}, the one this installation reads"), text, (("version", SCHEMA_VERSION),)
        )
    ]


def _with_replacement(problem: Problem, settings: Settings) -> Problem:
    control = settings.controls().get(problem.key)
    used = control.format(getattr(settings, problem.key)) if control else ""
    return Problem(problem.key, problem.expected, problem.received, problem.arguments, used)
