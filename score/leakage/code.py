"""What a step's code says outright, without running it."""

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from score.answers import clean

_CONVERTS = ("str", "int", "float", "round", "abs", "Decimal", "Float", "Integer", "S", "sympify")
_COUNTS = ("range", "arange", "zeros", "ones")  # their argument says how many, not what
_MAKES_FRACTIONS = ("Fraction", "Rational")


@dataclass
class Stated:
    """What stands in the code as it is.

    `stated`: what is printed, handed in or assigned, after `=`; and all texts, and numbers that are returned, compared
    for equality, one of several assigned at once, or all that a call or a list is given. These stand as they are, so
    that a small one (`return 1`, `x % 2 == 0`) states nothing. `operands`: the numbers that occur. `quotients`: a
    number by a number, which may be a fraction or a computation. `texts`: those outside lists and dictionaries (which
    lay out alternatives). `given`: those that are printed, handed in, assigned or compared with. `searches`,
    `hands_in_text`: does it search; does it hand in an answer that is written out in the code?
    """

    stated: list[str] = field(default_factory=list)
    operands: set[Fraction] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    quotients: list[str] = field(default_factory=list)
    searches: bool = False
    hands_in_text: bool = False


def read_code(code: str) -> Stated:
    """What the code states. Code that is no Python is one statement as a whole."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Stated(stated=[code], texts=[code])
    found = Stated()
    laid_out = {
        id(item)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set)
        for item in ast.walk(node)
    }
    for node in ast.walk(tree):
        values: Sequence[ast.expr] = []
        match node:
            case ast.Assign(value=ast.Constant(value=flag)) | ast.AnnAssign(value=ast.Constant(value=flag)) if (
                flag is None or isinstance(flag, bool)
            ):
                pass  # a flag or a start, not an answer
            case ast.Assign(value=value) | ast.Expr(value=value) | ast.NamedExpr(value=value):
                values = [value]
            case ast.AnnAssign(value=ast.expr() as value):
                values = [value]
            case ast.Call(func=ast.Name(id="final_answer_print"), args=args, keywords=keywords):
                values = [*args, *(keyword.value for keyword in keywords)]
                found.hands_in_text |= bool(values) and isinstance(values[0], ast.Constant)
            case ast.Call(func=function, args=args):
                found.searches |= _name(function) == "web_search"
                if _name(function) == "print":
                    values = args
                elif _name(function) in _CONVERTS:
                    values = args[:1]  # the second is a base or a number of digits
            case ast.Compare(left=left, comparators=others):
                found.given += _texts([left, *others])
            case ast.Constant(value=str(text)):
                found.stated.append(text)
                if id(node) not in laid_out:
                    found.texts.append(text)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                finite = isinstance(number, int) or math.isfinite(number)
                if finite:
                    found.operands.add(Fraction(number if isinstance(number, int) else str(number)))
        found.given += _texts(values)
        found.stated += [_number(bare) for bare in _bare(node) if _is_number(bare)]
        for value in values:
            source = ast.get_source_segment(code, value) or ""
            written = _text(value)
            if written is not None:
                found.stated.append(f"= {clean(written)}")  # `r"\boxed{3}"` states what `3` does
            elif _is_number(value):
                found.stated.append(f"= {_number(value)}")
            elif isinstance(value, ast.UnaryOp | ast.Constant):
                found.stated.append(f"= {source}")
            elif _is_quotient(value):
                found.quotients.append(source)
            elif sides := _fraction(value):
                found.quotients.append(sides)
    return found


def _bare(node: ast.AST) -> Sequence[ast.expr]:
    """What a node gives on as it is: a number there is a result more often than something to compute with."""
    match node:
        case ast.Assign(targets=[ast.Tuple()], value=ast.Tuple(elts=parts)) | ast.Return(value=ast.Tuple(elts=parts)):
            return parts
        case ast.Return(value=ast.expr() as value) | ast.Lambda(body=value):
            return [value]
        case ast.IfExp(body=value, orelse=other):
            return [value, other]
        case ast.Compare(left=left, ops=signs, comparators=others):
            return [left, *others] if all(isinstance(sign, ast.Eq | ast.NotEq) for sign in signs) else []
        case ast.List(elts=[value]) | ast.Set(elts=[value]) | ast.Dict(values=[value]):
            return [value]
        case (
            ast.Call(func=function, args=[value], keywords=[])
            | ast.Call(func=function, args=[], keywords=[ast.keyword(value=value)])
        ):
            return [] if _name(function) in _COUNTS else [value]
    return []


def _name(function: ast.expr) -> str:
    """`Integer` of `Integer(...)` and of `sympy.Integer(...)`."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _number(node: ast.expr) -> str:
    """A number's digits, however the code writes it (`1_420`, `0x8e`)."""
    try:
        return str(ast.literal_eval(node))
    except ValueError:  # Python writes no integer of thousands of digits
        return ""


def _texts(nodes: Sequence[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _text(node: ast.expr) -> str | None:
    """The text that an expression writes out, an f-string's with its constants alone."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            inner = [part.value if isinstance(part, ast.FormattedValue) else part for part in parts]
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in inner)
    return None


def _is_quotient(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and all(isinstance(side, ast.Constant) for side in (node.left, node.right))
    )


def _fraction(node: ast.expr) -> str:
    """`3/8` of `Fraction(3, 8)`, empty for anything else."""
    match node:
        case ast.Call(func=function, args=[top, bottom]) if _name(function) in _MAKES_FRACTIONS:
            return f"{_number(top)}/{_number(bottom)}" if _is_number(top) and _is_number(bottom) else ""
    return ""
