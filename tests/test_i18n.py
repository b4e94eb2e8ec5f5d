"""What a viewer reads: every message has its Spanish, and numbers are written as each language does."""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from string import Formatter

import pytest
import streamlit
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from core.comparison import Comparison
from core.config import GALLERY
from core.experiments import experiments
from core.i18n import (
    CATALOGUES,
    LANGUAGES,
    _,
    catalogue,
    choose_language,
    language,
    listing,
    moment,
    ngettext,
    number,
    percent,
    plain,
    use_language,
)
from core.store import Store
from core.verdict import verdict
from tests.conftest import ROOT

KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "N_": None, "ngettext": (1, 2)}
SOURCES = [ROOT / "app.py", *sorted((ROOT / "core").rglob("*.py")), *sorted((ROOT / "pages").glob("*.py"))]
NB = "\u00a0"

Key = tuple[str, ...]


def _load() -> Catalog:
    whole = Catalog(locale="es")
    for path in sorted((CATALOGUES / "es").glob("*.po")):
        with path.open("rb") as file:
            part = read_po(file, locale="es")
        for message in part:
            if message.id:
                assert message.id not in whole, f"{path.name} repeats {message.id}"
                whole[message.id] = message
        assert (part.num_plurals, part.plural_expr) == (2, "(n != 1)")
        assert not part.obsolete
    return whole


SPANISH = _load()
MESSAGES = [message for message in SPANISH if message.id]


def _forms(text: str | Iterable[str] | None) -> Key:
    return (text,) if isinstance(text, str) else tuple(text or ())


# -- the catalogue and the sources ---------------------------------------------------------------------


def _extracted() -> set[Key]:
    """Extract as `pybabel` does."""
    found = [
        extracted
        for folder in ("core", "pages")
        for extracted in extract_from_dir(ROOT / folder, method_map=[("**.py", "python")], keywords=KEYWORDS)
    ]
    return {_forms(message) for _file, _line, message, _comments, _context in found}


def _called() -> set[Key]:
    """List the literals handed to the keywords, those inside f-strings too, which Babel misses before Python 3.12."""
    calls: set[Key] = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEYWORDS:
                places = KEYWORDS[node.func.id] or (1,)
                given = [node.args[place - 1] for place in places if place <= len(node.args)]
                literals = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                if literals and len(literals) == len(places):
                    calls.add(tuple(literals))
    return calls


def test_catalogue_has_every_message_of_the_sources():
    assert sorted((_extracted() | _called()) - {_forms(message.id) for message in MESSAGES}) == []


def test_catalogue_has_no_message_that_the_sources_lost():
    assert sorted({_forms(message.id) for message in MESSAGES} - (_extracted() | _called())) == []


def test_catalogue_says_how_it_counts():
    assert str(SPANISH.locale) == "es"


# -- the messages --------------------------------------------------------------------------------------


def _placeholders(text: str) -> set[str]:
    return {name for _literal, name, _format, _conversion in Formatter().parse(text) if name is not None}


def _faulty(is_right: Callable[[Message], bool]) -> list[Key]:
    return [_forms(message.id) for message in MESSAGES if not is_right(message)]


def test_every_message_is_translated():
    def is_right(message: Message) -> bool:
        translated = _forms(message.string)
        whole = len(translated) == (2 if message.pluralizable else 1)
        return whole and not message.fuzzy and all(text.strip() for text in translated)

    assert _faulty(is_right) == []


def test_placeholders_agree():
    def is_right(message: Message) -> bool:
        wanted = set().union(*(_placeholders(text) for text in _forms(message.id)))
        return all(_placeholders(text) == wanted for text in (*_forms(message.id), *_forms(message.string)))

    assert _faulty(is_right) == []


def _markdown(text: str) -> tuple[list[str], int, int]:
    return re.findall("`[^`]*`", text), text.count("**"), text.count("\n- ")


def test_markdown_is_balanced_and_agrees():
    def is_right(message: Message) -> bool:
        texts = (*_forms(message.id), *_forms(message.string))
        balanced = all(text.count("`") % 2 == 0 and text.count("**") % 2 == 0 for text in texts)
        return balanced and all(_markdown(text) == _markdown(texts[0]) for text in texts)

    assert _faulty(is_right) == []


def test_ends_agree():
    """A space at an end joins words; a full stop or a colon ends what a page puts together."""

    def ends(text: str) -> tuple[bool, bool, str]:
        last = text.rstrip()[-1:]
        return text[:1].isspace(), text[-1:].isspace(), last if last in ".:?" else ""

    def is_right(message: Message) -> bool:
        return all(ends(text) == ends(_forms(message.id)[0]) for text in _forms(message.string))

    assert _faulty(is_right) == []


def test_spanish_per_cent_stands_behind_a_no_break_space():
    def is_right(message: Message) -> bool:
        return not any(re.search(r"[\d}] ?%", text) for text in _forms(message.string))

    assert _faulty(is_right) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_is_no_text(language):
    use_language(language)
    assert _("") == ""


@pytest.mark.parametrize(
    ("language", "count", "text"),
    [
        ("en", 0, "{n} seeds"),
        ("en", 1, "{n} seed"),
        ("en", 2, "{n} seeds"),
        ("es", 0, "{n} semillas"),
        ("es", 1, "{n} semilla"),
        ("es", 2, "{n} semillas"),
    ],
)
def test_plural_follows_the_count(language, count, text):
    use_language(language)
    assert ngettext("{n} seed", "{n} seeds", count) == text


def test_unknown_message_stays_as_it_is():
    use_language("es")
    assert _("No catalogue has this.") == "No catalogue has this."


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_language_but_the_source_has_a_catalogue(name):
    assert (CATALOGUES / name).exists() == (name != "en")
    assert catalogue(name)


# -- numbers, lists, dates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "english", "spanish"),
    [
        (0, 3, "0", "0"),
        (0.5, 3, "0.500", "0,500"),
        (-0.25, 3, "−0.250", "−0,250"),
        (12.345, 3, "12.3", "12,3"),
        (0.98765, 2, "0.99", "0,99"),
        (1234.5, 3, "1,234", "1.234"),
        (-1234.5, 3, "−1,234", "−1.234"),
        (0.0001, 3, "0.000100", "0,000100"),
        (1.5e-5, 2, "1.5e-5", "1,5e-5"),
        (-1.5e-5, 2, "−1.5e-5", "−1,5e-5"),
        (float("nan"), 3, "–", "–"),
    ],
)
def test_number(value, digits, english, spanish):
    assert number(value, digits) == english
    use_language("es")
    assert number(value, digits) == spanish


@pytest.mark.parametrize(
    ("value", "english", "spanish"),
    [
        (0.0, "0", "0"),
        (1.0, "1", "1"),
        (0.001, "0.001", "0,001"),
        (0.95, "0.95", "0,95"),
        (1e-4, "0.0001", "0,0001"),
        (1e-5, "1e-05", "1e-05"),
        (1.5e-5, "1.5e-05", "1,5e-05"),
        (300, "300", "300"),
        (10_000, "10,000", "10.000"),
        ("adam", "adam", "adam"),
    ],
)
def test_plain(value, english, spanish):
    assert plain(value) == english
    use_language("es")
    assert plain(value) == spanish


@pytest.mark.parametrize(
    ("share", "signed", "english", "spanish"),
    [
        (0.39, False, "39%", f"39{NB}%"),
        (0.39, True, "+39%", f"+39{NB}%"),
        (-0.39, False, "−39%", f"−39{NB}%"),
        (-0.39, True, "−39%", f"−39{NB}%"),
        (0.05, False, "5.0%", f"5,0{NB}%"),
        (-0.051, True, "−5.1%", f"−5,1{NB}%"),
        (0.0994, False, "9.9%", f"9,9{NB}%"),
        (0.0995, False, "10%", f"10{NB}%"),
        (0.0, True, "0.0%", f"0,0{NB}%"),
        (1.9, False, "190%", f"190{NB}%"),
        (12.5, False, "1,250%", f"1.250{NB}%"),
        (float("nan"), True, "–", "–"),
    ],
)
def test_percent(share, signed, english, spanish):
    assert percent(share, signed=signed) == english
    use_language("es")
    assert percent(share, signed=signed) == spanish


@pytest.mark.parametrize(
    ("parts", "style", "english", "spanish"),
    [
        ([], "standard", "", ""),
        (["a"], "standard", "a", "a"),
        (["a", "b"], "standard", "a and b", "a y b"),
        (["a", "b", "c"], "standard", "a, b, and c", "a, b y c"),
        (["a", "b", "c"], "or", "a, b, or c", "a, b o c"),
    ],
)
def test_listing(parts, style, english, spanish):
    assert listing(iter(parts), style) == english
    use_language("es")
    assert listing(iter(parts), style) == spanish


@pytest.mark.parametrize(
    ("when", "english", "spanish"),
    [
        (dt.datetime(2026, 1, 5, tzinfo=dt.UTC), "5 Jan 2026", "5 ene 2026"),
        (dt.datetime(2026, 11, 22, 23, 59, tzinfo=dt.UTC), "22 Nov 2026", "22 nov 2026"),
    ],
)
def test_moment(when, english, spanish):
    assert moment(when) == english
    use_language("es")
    assert moment(when) == spanish


@pytest.mark.parametrize(
    ("preferred", "chosen"),
    [
        ("es", "es"),
        ("ES", "es"),
        ("es-MX", "es"),
        ("es_419", "es"),
        ("en_US", "en"),
        ("en", "en"),
        ("fr", "en"),
        ("est", "en"),
        ("", "en"),
        (None, "en"),
        ("--", "en"),
        ("../es", "en"),
        ("español", "en"),
        ("\x00;es", "en"),
    ],
)
def test_choose_language(preferred, chosen):
    assert choose_language(preferred) == chosen


def test_language_is_the_one_in_use():
    for name in LANGUAGES:
        use_language(name)
        assert language() == name


# -- nothing escapes -----------------------------------------------------------------------------------

ALLOWED = {"Language / Idioma"}  # the switch of languages speaks both
VISIBLE = {"label", "help", "placeholder", "title", "text", "alt", "subtitle"}
UNREAD = {"html", "ExprRef"}  # calls whose words are markup or code
ELEMENTS = {name for name in dir(streamlit) if not name.startswith("_")} - UNREAD
VIEWED = [
    path
    for path in SOURCES
    if path.parent in (ROOT / "core" / "ui", ROOT / "core" / "charts", ROOT / "pages")
    or path == ROOT / "core" / "verdict.py"
]


def _called_name(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _literals(node: ast.AST) -> Iterator[str]:
    """Yield the pieces of text that an expression is made of; what a call returns is not looked into."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr | ast.BinOp | ast.IfExp | ast.BoolOp | ast.FormattedValue):
        for part in ast.iter_child_nodes(node):
            yield from _literals(part)


def _reads(text: str) -> bool:
    """Tell words for a viewer from keys, icons, formats and file names."""
    return bool(re.search(r"[^\W\d_]", text)) and (" " in text or text[0].isupper())


def _escaped(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each literal that Streamlit or Altair would show untranslated."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _called_name(node) in UNREAD:
            continue
        shown = [keyword.value for keyword in node.keywords if keyword.arg in VISIBLE]
        if isinstance(node.func, ast.Attribute) and node.func.attr in ELEMENTS:
            shown += node.args[:1]
        for expression in shown:
            for text in _literals(expression):
                if _reads(text) and text not in ALLOWED:
                    yield node.lineno, text


def _sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each literal of several words that is neither translated nor for a developer."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        developers = isinstance(node, ast.Raise) or (
            isinstance(node, ast.Call) and _called_name(node) in UNREAD | set(KEYWORDS)
        )
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if developers or docstring:
            skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            words = re.search(r"[^\W\d_]{2,} [^\W\d_]{2,}", node.value)
            if words and node.value not in ALLOWED:
                yield node.lineno, node.value


@pytest.mark.parametrize("path", VIEWED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_visible_text_escapes_translation(path: Path):
    tree = ast.parse(path.read_text("utf-8"))
    assert list(_escaped(tree)) == []
    assert list(_sentences(tree)) == []


@pytest.mark.parametrize(
    "source",
    [
        'st.button("Stop")',
        'st.caption(f"{n} runs done")',
        'left.markdown("So far: " + text)',
        'st.metric(_("Loss"), 1, help="Lower is better")',
        'alt.Tooltip(field="arm", title="Arm")',
        'st.warning("Nothing here" if empty else _("Something"))',
    ],
)
def test_check_of_visible_text_sees_what_escapes(source):
    assert list(_escaped(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        'st.button(_("Stop"), icon=":material/stop:", key="page.stop")',
        "st.caption(f'**{_(\"x\")}**: ' + words)",
        'st.html("<div class=legend>Words of markup</div>")',
        'st.page_link(f"pages/{name}.py", label=_("Open"))',
    ],
)
def test_check_of_visible_text_lets_translated_text_pass(source):
    assert not list(_escaped(ast.parse(source)))


# -- whole sentences -----------------------------------------------------------------------------------


def test_verdict_on_the_shipped_results_is_said_in_every_language():
    experiment = experiments()["overfitting"]
    study = experiment.study(experiment.settings())
    store = Store("", GALLERY)
    comparison = Comparison(study, store.get([spec.digest for spec in study.runs.values()]))
    store.close()
    assert comparison.is_complete
    texts = {}
    for name in LANGUAGES:
        use_language(name)
        texts[name] = verdict(comparison)
        assert not set("{}") & set(texts[name])
    assert len(set(texts.values())) == len(LANGUAGES)
    assert re.search(rf"\d{NB}%", texts["es"])
    assert NB not in texts["en"]
