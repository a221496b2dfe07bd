"""What a step's code says outright, without running it."""

import ast
from dataclasses import dataclass, field
from fractions import Fraction

_TAKES_RESULTS = ("print", "final_answer_print", "str", "int", "float")


@dataclass
class Stated:
    """`stated`: what is printed, handed in or assigned as it is, and all texts. `operands`: the numbers that occur.
    `picks`: the texts that stand alone, outside lists and dictionaries (which lay out alternatives). `searches` and
    `hands_in_text`: does it search; does it hand in an answer that is written out in the code?"""

    stated: list[str] = field(default_factory=list)
    operands: set[Fraction] = field(default_factory=set)
    picks: list[str] = field(default_factory=list)
    searches: bool = False
    hands_in_text: bool = False


def read_code(code: str) -> Stated:
    """What the code states. Code that is no Python is one statement as a whole."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return Stated(stated=[code], picks=[code])
    found = Stated()
    laid_out = {
        id(item)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set)
        for item in ast.walk(node)
    }
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        match node:
            case ast.Assign(value=value) | ast.Expr(value=value):
                values = [value]
            case ast.Call(func=ast.Name(id=name), args=args):
                found.searches |= name == "web_search"
                found.hands_in_text |= name == "final_answer_print" and bool(args) and isinstance(args[0], ast.Constant)
                if name in _TAKES_RESULTS:
                    values = args
            case ast.Constant(value=str(text)):
                found.stated.append(text)
                if id(node) not in laid_out:
                    found.picks.append(text)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                finite = number == number and abs(number) != float("inf")
                found.operands.add(Fraction(str(number)) if finite else Fraction(0))
        for value in values:
            if isinstance(value, ast.UnaryOp | ast.Constant) or _is_quotient(value):
                found.stated.append("= " + ast.unparse(value))
    return found


def _is_quotient(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and all(isinstance(side, ast.Constant) for side in (node.left, node.right))
    )
