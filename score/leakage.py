"""Does a correction give the answer away? The corrector never sees the reference answer; this check catches what
still comes through: the value stated or hard-coded where neither the question nor an observation holds it, and talk of
answers, errors and corrections that a student alone would not write.

A plain check: it compares values and words, not derivations.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

from score.answers import clean
from score.trajectory import Step

REMOVED = "[...]"
SMALL = 10  # smaller whole numbers count as stated only where a sentence says that something is that number

_NUMBER = re.compile(
    r"(?<![\w.])-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:\s*/\s*\d+)?)(?![\w]|\.\d)"
)
_STATES = r"(?:\b(?:is|are|be|equals?|gives?|yields?|get|answer|result|value)\b|[=:≈])\s*(?:\\boxed\{|[$\"'(])*\s*$"
_TALK = re.compile(
    r"\b(?:correct(?:ed)?|expected|right|reference|true)\s+(?:final\s+)?(?:answer|value|result|solution|step)\b"
    r"|\b(?:the|this|an?|my|previous|student'?s)\s+(?:error|mistake|correction|diagnosis|suggestion|feedback|hint)\b"
    r"(?!\s+(?:term|bound|function|rate|bar|propagation|correct))"
    r"|\berror analysis\b|\bmistakenly\b|\b(?:was|were)\s+(?:wrong|incorrect)\b",
    re.IGNORECASE,
)


def _value(text: str) -> Fraction | None:
    """The exact value of a number as texts and LaTeX write it, None for anything else."""
    text = text.strip().replace(",", "").replace(" ", "")
    text = re.sub(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", text)
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def _mentions(text: str, reference: str) -> Iterator[tuple[int, int]]:
    """Where the text holds the reference or an equal number: (start, end)."""
    answer = clean(reference)
    value = _value(answer)
    if value is not None:
        small = value.denominator == 1 and abs(value) < SMALL
        for found in _NUMBER.finditer(text):
            if _value(found[0]) == value and not (small and not re.search(_STATES, text[: found.start()])):
                yield found.span()
        return
    if not answer:
        return
    if len(answer) == 1 and answer.isalpha():
        pattern = rf"\b(?:option|choice|answer|is)\s*\(?{re.escape(answer)}\)?(?!\w)"
    else:
        pattern = rf"(?<!\w){re.escape(answer)}(?!\w)"
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield found.span()


def _holds(text: str, reference: str) -> bool:
    """Like `_mentions`, but for what the student had seen: there a number counts wherever it stands."""
    value = _value(clean(reference))
    if value is not None:
        return any(_value(found[0]) == value for found in _NUMBER.finditer(text))
    return any(True for _ in _mentions(text, reference))


def redact(text: str, references: Sequence[str], seen: str) -> str:
    """The text with the reference answers taken out, except those that the student had seen."""
    for reference in references:
        if not _holds(seen, reference):
            for start, end in reversed(list(_mentions(text, reference))):
                text = text[:start] + REMOVED + text[end:]
    return text


def _constants(code: str) -> tuple[list[str], set[Fraction]]:
    """(what the code states: printed, handed in or assigned as it is, and all texts; the numbers that occur in it)."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return [code], set()
    stated, operands = [], set()
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        match node:
            case ast.Assign(value=value) | ast.Expr(value=value):
                values = [value]
            case ast.Call(func=ast.Name(id="print" | "final_answer_print" | "str" | "int" | "float"), args=args):
                values = args
            case ast.Constant(value=str(text)):
                stated.append(text)
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                operands.add(Fraction(str(number)) if number == number and abs(number) != float("inf") else Fraction(0))
        for value in values:
            if isinstance(value, ast.UnaryOp | ast.Constant) or _is_quotient(value):
                stated.append("= " + ast.unparse(value))
    return stated, operands


def _is_quotient(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and all(isinstance(side, ast.Constant) for side in (node.left, node.right))
    )


def find_leak(step: Step, references: Sequence[str], seen: str) -> str | None:
    """Why this correction leaks, or None. `seen`: question, plan, steps and observations before it."""
    comments = "\n".join(re.findall(r"#(.*)", step.code))
    talk = _TALK.search(f"{step.thought}\n{comments}")
    if talk and talk[0].casefold() not in seen.casefold():
        return f"it says {talk[0]!r}, which a student working alone would not"
    stated, operands = _constants(step.code)
    for reference in references:
        if _holds(seen, reference):
            continue
        if any(any(True for _ in _mentions(text, reference)) for text in stated):
            return "its code contains a result that neither the question nor an observation holds"
        if _value(clean(reference)) in operands:
            continue  # a number to compute with, which the thought may name
        if any(True for _ in _mentions(f"{step.thought}\n{comments}", reference)):
            return "its thought states a result that neither the question nor an observation holds"
    return None
