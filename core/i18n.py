"""Translate what a viewer reads and format numbers for its locale; imports nothing of the project."""

from __future__ import annotations

import functools
import gettext
import io
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

from babel import Locale
from babel.dates import format_datetime
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

LANGUAGES = {"en": "English", "es": "Español"}
CATALOGUES = Path(__file__).with_name("locale")

_language: ContextVar[str] = ContextVar("language", default="en")


def N_(message: str) -> str:
    """Mark `message` for extraction without translating it yet."""
    return message


@functools.cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Load the catalogue of `language`, all files of its folder; English is the source and has none."""
    if language == "en":
        return gettext.NullTranslations()
    messages = Catalog(locale=language)
    for path in sorted((CATALOGUES / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id:
                    messages[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def use_language(language: str) -> None:
    """Set the language of the current context (one Streamlit script run, one command)."""
    _language.set(language)


def language() -> str:
    """Name the language of the current context, a key of `LANGUAGES`."""
    return _language.get()


def choose_language(preferred: str | None) -> str:
    """Map a browser's locale such as ``es-MX`` to a key of `LANGUAGES`; English when unknown."""
    code = (preferred or "").replace("_", "-").split("-")[0].lower()
    return code if code in LANGUAGES else "en"


def _(message: str) -> str:
    """Translate `message` to the language of the current context."""
    return catalogue(language()).gettext(message) if message else ""


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate with the plural form that `count` needs."""
    return catalogue(language()).ngettext(singular, plural, count)


def number(value: float, digits: int = 3) -> str:
    """Write `value` with `digits` significant digits and the locale's decimal mark."""
    if value != value:
        return "–"
    if value == 0:
        return "0"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    if 1e-4 <= abs(value) < 10**digits:
        text = format_decimal(value, format="@" * digits, locale=language())
    elif 10**digits <= abs(value) < 1e6:
        text = format_decimal(value, format="#,##0", locale=language())
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_decimal(float(mantissa))}e{int(exponent)}"
    return text.replace("-", "−")


def _decimal(value: float) -> str:
    return format_decimal(value, format="#,##0.##########", locale=language()).replace("-", "−")


def plain(value: object) -> str:
    """Write a setting's value as short as it is exact: 0.001, 300, adam."""
    if isinstance(value, float):
        if value and abs(value) < 1e-4:
            mantissa, _e, exponent = f"{value:g}".partition("e")
            return f"{_decimal(float(mantissa))}e{exponent}"
        return _decimal(value)
    if isinstance(value, int):
        return format_decimal(value, locale=language()).replace("-", "−")
    return str(value)


def percent(share: float, *, signed: bool = False) -> str:
    """Write a share (0.39) in per cent; whole above 10 %, one decimal below."""
    if share != share:
        return "–"
    share = 0.0 if abs(share) < 5e-4 else share
    if abs(share) >= 1e4:
        return ("+" if signed and share > 0 else "") + number(share * 100) + ("\u00a0%" if language() == "es" else "%")
    pattern = "#,##0%" if abs(share) >= 0.0995 else "0.0%"
    spaced = pattern.replace("%", "\u00a0%") if language() == "es" else pattern
    text = format_percent(abs(share), format=spaced, locale=language())
    sign = "−" if share < 0 else "+" if signed and share > 0 else ""
    return sign + text


def listing(parts: Iterable[str], style: str = "standard") -> str:
    """Join `parts` as the language does: “a, b and c”."""
    return format_list(list(parts), style=style, locale=language())  # type: ignore[arg-type]


def moment(when) -> str:
    """Write a date and time (a `datetime`) in the locale's medium form."""
    return format_datetime(when, format="d MMM y", locale=Locale(language()))
