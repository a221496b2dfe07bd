"""Which steps do nothing but hand in an answer. They leave the state as it was, so no copy before them is needed.

The question is decided in the session's own process, right before the step would run, by its code and by the values
that it names: numbers and texts of Python's own types, not long, put together by operators that cannot take long. What
is left out is run in a copy, as always. A session that lies here only harms its own family.
"""

import ast
import builtins
import re
from collections.abc import Callable
from typing import Any, Literal

_LONGEST_CODE = 300  # characters, so that no nesting is too deep for the parser
_LARGEST, _LONGEST = 2**63, 10_000  # a whole number, and the characters of a text, in the step's variables
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_FORMAT = re.compile(r",?(\.\d)?[defgn%]?")
_parse, _print, _str, _round = ast.parse, builtins.print, builtins.str, builtins.round

Kind = Literal["number", "text", "none"]


def only_hands_in(
    source: str, scope: dict[str, Any], own_builtins: dict[str, Any], hand_in: Callable[..., Any]
) -> bool:
    """True if the step only prints and, last, calls `final_answer_print`.

    scope: the session's variables; own_builtins: what it has for builtins; hand_in: what `final_answer_print` was at
    the start, since a session may have put something else in its place.
    """
    if len(source) > _LONGEST_CODE or "final_answer_print" not in source:
        return False
    try:
        statements = _parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False

    def is_builtin(name: str, original: object) -> bool:
        return name not in scope and own_builtins.get(name) is original

    def of_value(value: object) -> Kind | None:
        if value is None:
            return "none"
        if type(value) is str:
            return "text" if len(value) <= _LONGEST else None
        if type(value) in (float, bool):
            return "number"
        return "number" if type(value) is int and abs(value) <= _LARGEST else None

    def kind(node: ast.expr) -> Kind | None:
        """What the expression gives; None where it might do more than that."""
        match node:
            case ast.Constant(value=value):
                return of_value(value)
            case ast.Name(id=name):
                return of_value(scope[name]) if name in scope else None
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return "number" if kind(operand) == "number" else None
            case ast.BinOp(left=left, op=operator, right=right):
                both = kind(left), kind(right)
                if both == ("text", "text") and isinstance(operator, ast.Add):
                    return "text"
                return "number" if both == ("number", "number") and isinstance(operator, _OPERATORS) else None
            case ast.JoinedStr(values=parts):
                return "text" if all(map(is_part, parts)) else None
            case ast.Call(func=ast.Name(id="str"), args=[one], keywords=[]) if is_builtin("str", _str):
                return "text" if kind(one) else None
            case ast.Call(func=ast.Name(id="round"), args=[one], keywords=[]) if is_builtin("round", _round):
                return "number" if kind(one) == "number" else None
        return None

    def is_part(node: ast.expr) -> bool:
        match node:
            case ast.Constant():
                return True
            case ast.FormattedValue(value=value, format_spec=None):
                return kind(value) is not None
            case ast.FormattedValue(value=value, format_spec=ast.JoinedStr(values=[ast.Constant(value=str(form))])):
                return kind(value) == "number" and _FORMAT.fullmatch(form) is not None
        return False

    *before, last = statements or [ast.Pass()]
    for statement in before:
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=arguments, keywords=[])):
                if not is_builtin("print", _print) or not all(map(kind, arguments)):
                    return False
            case _:
                return False
    match last:
        case ast.Expr(value=ast.Call(func=ast.Name(id="final_answer_print"), args=[answer], keywords=[])):
            return scope.get("final_answer_print") is hand_in and kind(answer) is not None
    return False
