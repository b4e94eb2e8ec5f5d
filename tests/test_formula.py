"""Formulas that a viewer types: what they compute, what is refused and where, and that nothing else can happen."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import formula as module
from core.formula import CONSTANTS, FUNCTIONS, MAX_LENGTH, NUMPY, Formula, FormulaError, parse
from core.i18n import use_language
from tests.conftest import ROOT

VARIABLES = ("y_true", "y_pred")
Y_TRUE = np.array([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0])
Y_PRED = np.array([1.5, -0.5, 0.75, -4.0, 0.0, 2.5])
HUBER = "where(abs(y_true - y_pred) < delta, 0.5*(y_true - y_pred)**2, delta*(abs(y_true - y_pred) - 0.5*delta))"

# -- what formulas compute -------------------------------------------------------------------------------

E = Y_TRUE - Y_PRED
COMPUTED = [
    ("y_true", Y_TRUE),
    ("  y_true\n\t- y_pred ", E),
    ("(y_true - y_pred)**2", E**2),
    ("-y_true**2", -(Y_TRUE**2)),
    ("(-y_true)**2", Y_TRUE**2),
    ("2**-1 * y_true", Y_TRUE / 2),
    ("2**3**0 * y_true", 2 * Y_TRUE),
    ("y_true - y_pred - 1", E - 1),
    ("y_true - (y_pred - 1)", E + 1),
    ("y_true / 2 / 4", Y_TRUE / 8),
    ("y_true / (2 / 4)", Y_TRUE * 2),
    ("+y_true - -y_pred", Y_TRUE + Y_PRED),
    ("abs(y_true - y_pred)", np.abs(E)),
    ("square(y_true)", Y_TRUE**2),
    ("sqrt(abs(y_true))", np.sqrt(np.abs(Y_TRUE))),
    ("exp(y_true)", np.exp(Y_TRUE)),
    ("expm1(y_true)", np.expm1(Y_TRUE)),
    ("log(1 + y_true**2)", np.log(1 + Y_TRUE**2)),
    ("log1p(square(y_true))", np.log1p(Y_TRUE**2)),
    ("sin(y_true) + cos(y_pred)", np.sin(Y_TRUE) + np.cos(Y_PRED)),
    ("tanh(y_true)", np.tanh(Y_TRUE)),
    ("sigmoid(y_true)", 1 / (1 + np.exp(-Y_TRUE))),
    ("softplus(y_true)", np.log1p(np.exp(Y_TRUE))),
    ("sign(y_true)", np.sign(Y_TRUE)),
    ("power(abs(y_true), 1.5)", np.abs(Y_TRUE) ** 1.5),
    ("power(y_true, 2)", Y_TRUE**2),
    ("maximum(y_true, y_pred)", np.maximum(Y_TRUE, Y_PRED)),
    ("minimum(0, y_pred)", np.minimum(0, Y_PRED)),
    ("clip(y_true, -1, 1)", np.clip(Y_TRUE, -1, 1)),
    ("where(y_true > y_pred, 2, 3)", np.where(Y_TRUE > Y_PRED, 2, 3)),
    ("where(y_true >= 0 and y_pred < 1, 1, 0)", ((Y_TRUE >= 0) & (Y_PRED < 1)) * 1.0),
    ("where(y_true >= 0 or y_pred < -1 or y_pred > 1, 1, 0)", ((Y_TRUE >= 0) | (Y_PRED < -1) | (Y_PRED > 1)) * 1.0),
    ("where(not y_true == 0, 1, 2)", np.where(Y_TRUE != 0, 1, 2)),
    ("where(-1 <= y_true < 1, 1, 2)", np.where((Y_TRUE >= -1) & (Y_TRUE < 1), 1, 2)),
    ("(y_true > 0) * y_pred", (Y_TRUE > 0) * Y_PRED),
    ("(y_true > 0) == (y_pred > 0)", ((Y_TRUE > 0) == (Y_PRED > 0)) * 1.0),
    ("y_true != 0", (Y_TRUE != 0) * 1.0),
    ("pi * y_true + e", math.pi * Y_TRUE + math.e),
    ("1e-3*y_true + .5 + 2.", 1e-3 * Y_TRUE + 2.5),
    ("(y_true<=0)+(y_true<=1)", (Y_TRUE <= 0) * 1.0 + (Y_TRUE <= 1)),
]


@pytest.mark.parametrize(("text", "expected"), COMPUTED, ids=[text.strip() for text, _ in COMPUTED])
def test_formula_computes_what_it_says(text, expected):
    found = parse(text, VARIABLES).evaluate(np, y_true=Y_TRUE, y_pred=Y_PRED)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_parameters_are_named_in_order_and_bound_by_name():
    formula = parse(HUBER, VARIABLES)
    assert formula.parameters == ("delta",)
    assert formula.used == {"y_true", "y_pred", "delta"}
    expected = np.where(np.abs(E) < 2, E**2 / 2, 2 * (np.abs(E) - 1))
    np.testing.assert_allclose(formula.evaluate(np, y_true=Y_TRUE, y_pred=Y_PRED, delta=2.0), expected)
    assert parse("b*y_true + a*b - gamma", VARIABLES).parameters == ("b", "a", "gamma")
    assert parse("y_true*pi*e", VARIABLES).parameters == ()


def test_variables_may_be_anything_and_go_before_constants():
    formula = parse("2*tp/(2*tp + fp + fn)", ("tp", "fp", "tn", "fn"))
    assert formula.parameters == ()
    assert formula.evaluate(np, tp=3.0, fp=1.0, tn=9.0, fn=2.0) == pytest.approx(6 / 9)
    assert parse("e*2", ("e",)).evaluate(np, e=5.0) == 10
    np.testing.assert_allclose(
        parse("y - p", ("y", "p")).evaluate(np, y=np.ones((3, 1)), p=np.ones(2)), np.zeros((3, 2))
    )


def test_formula_without_data_is_one_number():
    assert np.shape(parse("1 + 2*delta", VARIABLES).evaluate(np, delta=3.0)) == ()


def test_values_must_be_those_of_the_formula():
    formula = parse(HUBER, VARIABLES)
    with pytest.raises(TypeError, match="delta"):
        formula.evaluate(np, y_true=Y_TRUE, y_pred=Y_PRED)
    with pytest.raises(TypeError, match="other"):
        formula.evaluate(np, y_true=Y_TRUE, y_pred=Y_PRED, delta=1.0, other=2.0)


def test_what_is_undefined_is_nan_or_infinite_without_a_warning():
    values = parse("log(y_true) + 1/y_true", VARIABLES).evaluate(np, y_true=np.array([-1.0, 0.0, 1.0]))
    assert np.isnan(values[:2]).all()
    assert values[2] == 1
    assert parse("exp(y_true)", VARIABLES).evaluate(np, y_true=np.array([1e6]))[0] == np.inf


def test_softplus_and_sigmoid_are_exact_far_out():
    far = np.array([-800.0, -40.0, 40.0, 800.0])
    softplus = parse("softplus(y_true)", VARIABLES).evaluate(np, y_true=far)
    np.testing.assert_allclose(softplus, [0.0, np.exp(-40.0), 40.0, 800.0], rtol=1e-12)
    sigmoid = parse("sigmoid(y_true)", VARIABLES).evaluate(np, y_true=far)
    np.testing.assert_allclose(sigmoid, [0.0, np.exp(-40.0), 1.0, 1.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("(y_true-y_pred)**2", "ops.square(y_true - y_pred)"),
        ("y_true-(y_pred-1)", "y_true - (y_pred - 1.0)"),
        ("-(y_true*2)/y_pred", "(-(y_true * 2.0)) / y_pred"),
        ("clip(y_pred, 0, 1)", "ops.minimum(ops.maximum(y_pred, 0.0), 1.0)"),
        ("y_true**k", "ops.power(y_true, k)"),
        ("y_true > 0", "ops.where(ops.greater(y_true, 0.0), 1.0, 0.0)"),
        ("e", repr(math.e)),
    ],
)
def test_source_is_python_over_keras_ops(text, source):
    assert parse(text, VARIABLES).source() == source


def _run(source: str, **values):
    """Execute generated source; a test may, a page never does."""
    with np.errstate(all="ignore"):
        return eval(source, {"__builtins__": {}}, {"ops": NUMPY, **values})


@pytest.mark.parametrize("text", [text for text, _ in COMPUTED] + [HUBER])
def test_source_computes_the_same(text):
    formula = parse(text, VARIABLES)
    values = {"y_true": Y_TRUE, "y_pred": Y_PRED} | dict.fromkeys(formula.parameters, 0.75)
    np.testing.assert_allclose(_run(formula.source(), **values), formula.evaluate(np, **values))


# -- what is refused -------------------------------------------------------------------------------------

# Text, the faulty part (None: the end), and a word of the sentence.
FAULTS: list[tuple[str, str | None, str]] = [
    ("", None, "a formula"),
    ("   ", None, "a formula"),
    ("1 +", None, "nothing"),
    ("(y_true", "(", "closing parenthesis"),
    ("y_true)", ")", "opening parenthesis"),
    ("2y_true", "y_true", "operator"),
    ("y_true y_pred", "y_pred", "operator between two values"),
    ("y_true 2", "2", "operator between two values"),
    ("y_true (2)", "y_true", "one of the functions"),
    ("(y_true)(2)", "y_true", "one of the functions"),
    ("2(y_true)", "2(y_true)", "functions"),
    ("y_true * / 2", "/", "a number, a name"),
    ("y_true ** * 2", "*", "a number, a name"),
    ("y_true // 2", "y_true // 2", "one /"),
    ("y_true ^ 2", "^", "two stars"),
    ("y_true²", "²", "two stars"),
    ("y_true = 2", "=", "=="),
    ("y_true − y_pred", "−", "minus sign"),
    ("y_true·2", "·", "* to multiply"),
    ("|y_true|", "|", "abs"),
    ("y_true[0]", "[", "brackets"),
    ("y_true % 2", "%", "share"),
    ("y_true & y_pred", "&", "the word and"),
    ("y_true.sum", ".", "point"),
    ("max(y_true, 1)", "max", "maximum"),
    ("pow(y_true, 2)", "pow", "power"),
    ("1 if y_true > 0 else 2", "if", "where"),
    ("open", "open", "another name"),
    ("lambda", "lambda", "another name"),
    ("log10(y_true)", "log10", "one of the functions"),
    ("log", "log", "parentheses after"),
    ("log()", "log()", "one value"),
    ("log(1, 2)", "log(1, 2)", "one value"),
    ("maximum(y_true)", "maximum(y_true)", "two values"),
    ("where(y_true > 0, 1)", "where(y_true > 0, 1)", "three values"),
    ("where(y_true, 1, 2)", "y_true", "a comparison"),
    ("not y_true", "y_true", "a comparison"),
    ("y_true and y_pred", "y_true", "a comparison"),
    ("y_true, y_pred", "y_true, y_pred", "operators and functions"),
    ("()", "()", "operators and functions"),
    ("1/0", "1/0", "finite"),
    ("y_true + log(-1)", "log(-1)", "finite"),
    ("y_true ** 17", "17", "exponent"),
    ("power(y_true, -20)", "-20", "exponent"),
    ("1e13 * y_true", "1e13", "finite numbers"),
    ("1e999", "1e999", "finite numbers"),
    ("007", "007", "leading zeros"),
    ("a + b + c + d + f + g + h", "h", "6 parameters"),
    ("a_name_of_more_than_twenty", "a_name_of_more_than_twenty", "20 letters"),
    ("_x", "_x", "not beginning"),
    ("1 <", None, "nothing"),
    ("y_true is 1", "is", "another name"),
]


@pytest.mark.parametrize(("text", "part", "word"), FAULTS, ids=[repr(text) for text, *_ in FAULTS])
def test_error_says_what_was_expected_and_points_at_the_place(text, part, word):
    with pytest.raises(FormulaError) as caught:
        parse(text, VARIABLES)
    error = caught.value
    assert word in str(error)
    if part is None:
        assert error.position in (0, len(text) - 1)
    else:
        assert text[error.position : error.position + error.length] == part


ATOMS = [
    "__import__", "__builtins__", "__class__", "__x", "_", "eval", "exec", "compile", "open", "input", "print", "exit",
    "quit", "globals", "locals", "vars", "getattr", "setattr", "delattr", "type", "object", "help", "breakpoint", "super",
    "memoryview", "bytearray", "lambda", "yield", "await", "async", "import", "from", "class", "def", "return", "raise",
    "assert", "del", "global", "nonlocal", "pass", "while", "for", "with", "try", "None", "True", "False", "Ellipsis",
    "NotImplemented", "self", "cls", "ops", "np", "keras", "tf", "name", "sample_weight", "is", "in",
]  # fmt: skip
CALLS = [
    "__import__('os')", "__import__('os').system('true')", "eval('1')", "exec('1')", "open('/etc/passwd').read()",
    "getattr(y_true, 'shape')", "print(1)", "exit()", "y_true()", "pi()", "(lambda: 1)()", "(lambda x: x)(1)",
    "().__class__.__bases__[0].__subclasses__()", "''.__class__", "y_true.__class__", "y_true.tofile", "f(1)", "log(log)",
    "abs(*y_true)", "abs(**y_true)", "abs(x=1)", "clip(y_true, a_min=0, a_max=1)", "where(condition=1)", "abs(abs)",
    "log(y_true, base=2)", "maximum(*[1, 2])", "exp(x for x in y_true)", "[x for x in y_true]", "{1: 2}", "{1, 2}",
    "{x: x for x in y_true}", "y_true[0]", "y_true[:]", "y_true[...]", "[1, 2]", "(1, 2)", "1,", "...", "'a'", '"a"',
    "'''a'''", "b'a'", "f'{y_true}'", "r'a'", "u'a'", "1j", "1_000", "0x10", "0b1", "0o7", "1e", "1e+", "1.2.3", "1..2",
    ".", "..", "x := 1", "(x := 1)", "x = 1", "x += 1", "x; y", "x\\\ny", "x # y", "x: int", "x -> y", "x @ y", "x % y",
    "x // y", "x << 1", "x >> 1", "x & y", "x | y", "x ^ y", "~x", "!x", "x !y", "x ! = y", "x === y", "x <> y", "x => y",
    "x =< y", "x ++", "x**", "**x", "*x", "/x", ",", "(,)", "abs(,1)", "abs(1,,2)", "abs(", "abs)", ")(", "(()", "())",
    "x not in y", "x is not y", "x if y", "if x: y", "not", "and", "or", "x and", "or x", "not not", "x and or y",
    "1 2", "x y", "1 x", "x 1", "(1)(2)", "(x)(y)", "2 (3)", "abs 1", "abs(1) abs(2)", "abs(1)2", "$x", "x$", "?", "x?y",
    "@x", "`x`", "x'", "x''", "\\", "\\x", "x\\", "\x00", "x\x00y", "\x1b[31m", "\x7f", "\u202ey", "\u200bx", "x\u00a0y",
    "\ufeffx", "é", "ñ", "π", "Δ", "λ*x", "ｘ", "ｅｖａｌ(1)", "ᵉval", "𝐲", "y\u0301", "٣", "²", "½", "∞", "√x", "x≤y", "x≠y",
    "x≥y", "−x", "x×y", "x÷y", "x⋅y", "∑x", "|x|", "🙂", "中", "\U000e0041",
]  # fmt: skip
COSTS = [
    "9**9**9", "9**9**9**9", "2**1000000", "(2**16)**16", "10**12*10**12", "1e12*1e12", "1e308*10", "exp(1000)",
    "exp(exp(exp(9)))", "x**1e9", "x**100", "x**-100", "power(x, 1e6)", "power(9, power(9, 9))", "9**16", "-1/0", "0/0",
    "1/(1-1)", "log(0)", "log(-1)", "sqrt(-1)", "0**-1", "log1p(-2)", "(-8)**0.5", "9" * 300, "9" * 4_000, "1" + "0" * 13,
    "1e" + "9" * 100, "0." + "0" * 390 + "1e999", "-" * 100 + "x", "-" * 399 + "x", "not " * 99 + "x", "+" * 399 + "1",
    "(" * 30 + "x" + ")" * 30, "(" * 190 + "x" + ")" * 190, "(" * 400, ")" * 400, "(" * 1_000_000, "abs(" * 45 + "x" + ")" * 45,
    "x**" * 100 + "x", "2**" * 130 + "2", "+".join("x" * 190), "*".join("x" * 190), "x<" * 190 + "x", "x" * 401, "x" * 1_000_000,
    "x+" * 1_000_000, " " * 401, "\n" * 500, "x and " * 60 + "x", "exp(" * 60, "where(" * 60, "1," * 150, "," * 400, "a" * 21,
    "a" * 400, "a+b+c+d+f+g+h", "+".join(f"p{i}" for i in range(100)), "[" * 400, "{" * 400, "'" * 400, "(x" * 130, "x)" * 130,
]  # fmt: skip
CARRIERS = ["{}", "y_true - {}", "abs({})", "where({} > 0, 1, 0)"]
HOSTILE = [
    *(carrier.format(atom) for atom in ATOMS for carrier in CARRIERS[:3]),
    *CALLS,
    *(CARRIERS[3].format(call) for call in CALLS[:60]),
    *COSTS,
]


def test_table_of_hostile_formulas_is_long_and_without_doubles():
    assert len(HOSTILE) >= 300
    assert len(set(HOSTILE)) == len(HOSTILE)


@pytest.mark.parametrize("language", ["en", "es"])
def test_hostile_formulas_are_refused_with_one_sentence_and_a_place(language):
    use_language(language)
    for text in HOSTILE:
        with pytest.raises(FormulaError) as caught:
            parse(text, VARIABLES)
        error, sentence = caught.value, str(caught.value)
        assert sentence.startswith({"en": "Expected ", "es": "Se esperaba "}[language]), text
        assert sentence.endswith(".")
        assert len(sentence) < 400
        assert "{" not in error.phrase()
        assert sentence.isprintable()
        assert sentence.count("`") in (0, 2, 4)
        assert 0 <= error.position <= len(text)
        assert error.length >= 1


def test_hostile_formulas_cost_no_time():
    for text in HOSTILE:
        started = time.process_time()
        with pytest.raises(FormulaError):
            module._parse.__wrapped__(text, VARIABLES)
        assert time.process_time() - started < 0.5, text[:60]


_NO_CODE = """
import sys
events = []
import core.formula as formula
from tests.test_formula import HOSTILE, VARIABLES
watched = ("exec", "open", "import", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "compile")
def hook(event, args):
    if event.startswith(watched):
        events.append((event, args[:1]))
formula.parse("1 + x", VARIABLES)
str(formula.FormulaError("x", "y", number=1.5, names=("a", "b")))  # numbers and lists of the locale
sys.addaudithook(hook)
for text in HOSTILE:
    try:
        formula.parse(text, VARIABLES)
    except formula.FormulaError as error:
        str(error)
# ast.parse announces itself as a compilation to a tree, which is no code.
print(sorted({event for event, args in events} - {"compile"}))
assert all(args and not isinstance(args[0], type(hook.__code__)) for event, args in events)
"""


def test_hostile_formulas_execute_import_and_open_nothing():
    done = subprocess.run([sys.executable, "-c", _NO_CODE], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [None, 3, b"y_true", ["y_true"], True])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(FormulaError, match="as text"):
        parse(value, VARIABLES)


def test_module_calls_nothing_that_runs_code():
    import ast

    tree = ast.parse((ROOT / "core" / "formula.py").read_text("utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"eval", "exec", "compile", "__import__", "literal_eval", "globals", "importlib"}


# -- fuzzing ---------------------------------------------------------------------------------------------

PIECES = [
    *FUNCTIONS, *CONSTANTS, *VARIABLES, "a", "b", "0", "1", "2.5", "1e3", ".5", "+", "-", "*", "/", "**", "(", ")", ",", "<",
    "<=", "==", "!=", "and", "or", "not", " ", "if", "lambda", "[", "]", "{", ".", "=", ":", "'", "é", "\n", "_", "0x", "//",
]  # fmt: skip


def _read(text: str) -> tuple[Formula | None, FormulaError | None]:
    try:
        return parse(text, VARIABLES), None
    except FormulaError as error:
        return None, error


@given(st.one_of(st.text(max_size=500), st.lists(st.sampled_from(PIECES), max_size=60).map("".join)))
@example("1if 1else 1")
@example("0or y_true")
@example("y_true<\ny_pred")
def test_any_text_is_a_formula_or_one_sentence(text):
    formula, error = _read(text)
    if formula is None:
        assert str(error).startswith("Expected ")
        assert 0 <= error.position <= len(text)
        return
    assert len(text) <= MAX_LENGTH
    values = {"y_true": Y_TRUE, "y_pred": Y_PRED} | dict.fromkeys(formula.parameters, 0.5)
    found = formula.evaluate(np, **values)
    assert np.shape(found) in ((), Y_TRUE.shape)
    np.testing.assert_allclose(_run(formula.source(), **values), found)


DIRECT = {
    "abs": np.abs, "sign": np.sign, "square": np.square, "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1, "log": np.log,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "power": np.power, "maximum": np.maximum,
    "minimum": np.minimum, "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high), "where": np.where,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)), "softplus": lambda x: np.logaddexp(0.0, x),
}  # fmt: skip
LEAVES = st.sampled_from(["y_true", "y_pred", "delta", "0.5", "2.0", "3.0", "pi"])


def _grown(inner):
    one = st.sampled_from([name for name, count in FUNCTIONS.items() if count == 1])
    two = st.sampled_from(["maximum", "minimum"])
    compare = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    return st.one_of(
        st.tuples(one, inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(two, inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(["2.0", "3.0", "0.5", "-1.0"])).map(lambda t: f"({t[0]})**{t[1]}"),
        inner.map(lambda t: f"-({t})"),
        st.tuples(inner, compare, inner, inner, inner).map(lambda t: f"where({t[0]} {t[1]} {t[2]}, {t[3]}, {t[4]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"clip({t[0]}, {t[1]}, {t[2]})"),
    )


@given(st.recursive(LEAVES, _grown, max_leaves=8))
def test_formula_equals_direct_numpy(text):
    formula, error = _read(text)
    if formula is None:
        assert "finite numbers" in str(error) or "at most" in str(error)
        return
    values = {"y_true": Y_TRUE, "y_pred": Y_PRED, "delta": np.full(6, 0.75)}
    with np.errstate(all="ignore"):
        expected = eval(text, {"__builtins__": {}}, {**DIRECT, "pi": np.float64(math.pi), **values})
    given_values = {name: value for name, value in values.items() if name != "delta" or "delta" in formula.used}
    np.testing.assert_allclose(formula.evaluate(np, **given_values), expected, rtol=1e-9)


# -- the same on tensors ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_formula_computes_the_same_on_float32_tensors_and_has_a_gradient():
    import tensorflow as tf
    from keras import ops

    for text in [*(text for text, _ in COMPUTED), HUBER]:
        formula = parse(text, VARIABLES)
        parameters = dict.fromkeys(formula.parameters, 0.75)
        arrays = {"y_true": Y_TRUE.astype("float32"), "y_pred": Y_PRED.astype("float32")}
        found = formula.evaluate(ops, **{name: tf.constant(value) for name, value in arrays.items()}, **parameters)
        assert found.dtype == tf.float32, text
        expected = formula.evaluate(np, y_true=Y_TRUE, y_pred=Y_PRED, **parameters)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6, err_msg=text)
    prediction = tf.Variable(Y_PRED.astype("float32"))
    with tf.GradientTape() as tape:
        loss = parse(HUBER, VARIABLES).evaluate(ops, y_true=Y_TRUE.astype("float32"), y_pred=prediction, delta=1.0)
    np.testing.assert_allclose(tape.gradient(loss, prediction), -np.clip(E, -1, 1), rtol=1e-6)
