"""What a value is, as a short text: equal values of steps that compute in different ways get equal texts.

This file's text is run inside the interpreter's session (`effects`), where the values live; it imports nothing but the
standard library, calls no code of the values' own classes, and its work is bounded. What it cannot describe is "?".

    7, 7.0, numpy.int64(7), Fraction(7), sympy.Integer(7)        the same number
    [1, 2], (1, 2), numpy.array([1, 2])                          the same sequence
    (x + 1)**2, x**2 + 2*x + 1 (sympy)                           the same formula, by its value at fixed points
    def f(n): ..., def g(m): ...                                 the same function, by its byte code
"""

import hashlib
import math
import sys
import types
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

OPAQUE = "?"
DIGITS = 9  # significant digits of a number: what different orders of adding agree on
DEPTH, ITEMS, LONGEST = 6, 2000, 40  # of nested values; of a container; characters before a text is hashed
OPERATIONS = 200  # of a sympy expression
NOT_VARIABLES = {"web_search", "final_answer_print"}
CONSTANTS_OF = ("math", "numpy", "sympy")  # `from math import pi` makes no variable


def number(value: Any) -> str:
    if isinstance(value, complex):
        if value.imag == 0:
            return number(value.real)
        return f"complex({number(value.real)},{number(value.imag)})"
    if isinstance(value, float) and (math.isinf(value) or math.isnan(value)):
        return f"number:{value}"
    if isinstance(value, int) and abs(value) >= 10**15:
        return f"number:{value:x}"  # exact: as a float it would run over or lose digits
    return f"number:{float(value) + 0.0:.{DIGITS}g}"  # + 0.0: -0.0 is 0.0


def text_of(value: Any, depth: int = 0) -> str:
    """The value's text. Raises whatever a hostile value makes it raise: the caller takes that for `OPAQUE`."""
    kind = type(value)
    if value is None or kind is bool:
        return str(value)
    if kind in (int, float, complex, Fraction, Decimal):
        return number(value)
    if kind in (str, bytes, bytearray):
        return "text:" + value.strip() if kind is str else "bytes:" + bytes(value).hex()
    if depth > DEPTH:
        return OPAQUE
    module = (kind.__module__ or "").partition(".")[0]
    if module == "numpy":
        if hasattr(value, "tolist") and getattr(value, "size", 1) <= ITEMS:
            return text_of(value.tolist(), depth)
        return OPAQUE
    if module == "sympy":
        return sympy_text(value, depth)
    if kind in (list, tuple, range) or kind.__name__ in ("deque", "dict_keys", "dict_values", "dict_items"):
        return "[" + ",".join(inner(item, depth) for item in bounded(value)) + "]"
    if kind in (set, frozenset):
        return "{" + ",".join(sorted(inner(item, depth) for item in bounded(value))) + "}"
    if isinstance(value, dict):
        pairs = [(inner(key, depth), inner(item, depth)) for key, item in bounded(dict.items(value))]
        return "{" + ",".join(f"{key}:{item}" for key, item in sorted(pairs)) + "}"
    if isinstance(value, tuple):
        return "[" + ",".join(inner(item, depth) for item in bounded(tuple.__iter__(value))) + "]"
    if kind is types.FunctionType:
        return "function:" + code_text(value.__code__, depth)
    if isinstance(value, type):
        members = {name: item for name, item in vars(value).items() if type(item) is types.FunctionType}
        return "class:" + ",".join(f"{name}={inner(item, depth)}" for name, item in sorted(members.items()))
    state = getattr(value, "__dict__", None)
    if type(state) is dict and kind.__module__ == "__main__":
        return "object:" + text_of(state, depth + 1)
    return OPAQUE


def inner(value: Any, depth: int) -> str:
    text = text_of(value, depth + 1)
    return text if len(text) <= LONGEST else digest(text)


def bounded(values: Iterable[Any]) -> list[Any]:
    items = []
    for item in values:
        items.append(item)
        if len(items) > ITEMS:
            raise OverflowError("too many items")
    return items


def digest(text: str) -> str:
    return "#" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:20]


def code_text(code: types.CodeType, depth: int) -> str:
    """Byte code with its constants and the global names that it uses, not those of its own variables."""
    constants = [code_text(c, depth) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return digest(repr((code.co_code, code.co_argcount, constants, code.co_names)))


def sympy_text(value: Any, depth: int) -> str:
    sympy: Any = sys.modules["sympy"]

    if isinstance(value, sympy.MatrixBase):
        return text_of(value.tolist(), depth)
    if isinstance(value, (sympy.Tuple, sympy.FiniteSet)):
        items = [inner(item, depth) for item in bounded(value.args)]
        return "[" + ",".join(items) + "]" if isinstance(value, sympy.Tuple) else "{" + ",".join(sorted(items)) + "}"
    if isinstance(value, sympy.logic.boolalg.BooleanAtom):
        return str(bool(value))
    if isinstance(value, sympy.Symbol):
        return f"symbol:{value.name}"
    if not isinstance(value, sympy.Expr):
        text = sympy.sstr(value) if isinstance(value, sympy.Basic) else OPAQUE
        return "sympy:" + text if text != OPAQUE else text
    if value.count_ops() > OPERATIONS:
        return OPAQUE
    if value.is_Integer:
        return number(int(value))
    # Where the formula's variables are these numbers, taken from their names, equal formulas have equal values.
    points = {
        s: sympy.Rational(3 + int(hashlib.sha256(s.name.encode()).hexdigest()[:4], 16), 65537)
        for s in value.free_symbols
    }
    evaluated = value.subs(points).evalf(DIGITS + 6) if points else value.evalf(DIGITS + 6)
    if not evaluated.is_number:
        return f"sympy:{sympy.sstr(value)}"
    found: Any = complex(evaluated)
    if abs(found.imag) <= 1e-12 * max(1.0, abs(found.real)):
        found = found.real
    return f"formula({','.join(sorted(s.name for s in points))}):{number(found)}" if points else number(found)


def is_variable(name: str, value: Any) -> bool:
    """Not modules, private names, the tools, and functions and classes that were imported."""
    if (
        name.startswith("_")
        or name in NOT_VARIABLES
        or isinstance(value, (types.ModuleType, types.BuiltinFunctionType))
    ):
        return False
    if isinstance(value, (type, types.FunctionType)):
        return value.__module__ == "__main__"
    return not any(vars(sys.modules[m]).get(name) is value for m in CONSTANTS_OF if m in sys.modules)


def fingerprints(scope: Mapping[str, Any]) -> dict[str, str]:
    """name -> text for the variables of a session."""
    found = {}
    for name, value in list(scope.items()):
        try:
            if not is_variable(name, value):
                continue
            text = text_of(value)
        except Exception:  # noqa: BLE001 - a value of the student's making may raise anything
            text = OPAQUE
        found[name] = text if len(text) <= LONGEST else digest(text)
    return found
