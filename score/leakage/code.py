"""What a step's code says outright, without running it."""

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from score.answers import clean

_TAKES_RESULTS = ("print", "str", "int", "float")


@dataclass
class Stated:
    """What stands in the code as it is.

    `stated`: what is printed, handed in or assigned, and all texts. `operands`: the numbers that occur. `quotients`: a
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
            case ast.Assign(value=value) | ast.Expr(value=value):
                values = [value]
            case ast.Call(func=ast.Name(id="final_answer_print"), args=args, keywords=keywords):
                values = [*args, *(keyword.value for keyword in keywords)]
                found.hands_in_text |= bool(values) and isinstance(values[0], ast.Constant)
            case ast.Call(func=ast.Name(id=name), args=args):
                found.searches |= name == "web_search"
                if name in _TAKES_RESULTS:
                    values = args
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
        for value in values:
            source = ast.get_source_segment(code, value) or ""
            written = _text(value)
            if written is not None:
                found.stated.append(f"= {clean(written)}")  # `r"\boxed{3}"` states what `3` does
            elif isinstance(value, ast.UnaryOp | ast.Constant):
                found.stated.append(f"= {source}")
            elif _is_quotient(value):
                found.quotients.append(source)
    return found


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
