"""Where a text holds a reference answer or an equal form of it: numbers, numbers with a unit, dates, text."""

import re
from collections.abc import Iterator
from fractions import Fraction

from score.answers import clean
from score.answers.dates import date, find_dates

SMALL = 10  # smaller whole numbers count as stated only where a sentence says that something is that number

_NUMBER = re.compile(
    r"(?<![\w.])-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:\s*/\s*\d+)?)(?![\w]|\.\d)"
)
_WITH_UNIT = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)\s*(?:[^\W\d_]+\.?|%|\^\\circ)")
_STATES = r"(?:\b(?:is|are|be|equals?|gives?|yields?|get|answer|result|value)\b|[=:≈])\s*(?:\\boxed\{|[$\"'(])*\s*$"


def value(text: str) -> Fraction | None:
    """The exact value of a number as texts and LaTeX write it, None for anything else.

    Not `score.answers`' `number`: that reads a whole answer (`third`, `2 million`, `12%`), while here every number of a
    long text is looked at, where `third` is a word.
    """
    text = text.strip().replace(",", "").replace(" ", "")
    text = re.sub(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", text)
    if len(text) > 60 or re.search(r"e[-+]?\d{4}", text, re.IGNORECASE):
        return None  # as `10**9999999` it would take for ever
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def _reference_value(answer: str) -> Fraction | None:
    """Like `value`, but the reference may carry a unit: a step may well write the number without it."""
    with_unit = _WITH_UNIT.fullmatch(answer)
    return value(with_unit[1] if with_unit else answer)


def mentions(text: str, reference: str) -> Iterator[tuple[int, int]]:
    """Where the text holds the reference or an equal form: (start, end)."""
    answer = clean(reference)
    number = _reference_value(answer)
    if number is not None:
        small = number.denominator == 1 and abs(number) < SMALL
        for found in _NUMBER.finditer(text):
            if value(found[0]) == number and not (small and not re.search(_STATES, text[: found.start()])):
                yield found.span()
        return
    day = date(answer)
    if day:
        yield from (span for span, found in find_dates(text) if found == day)
        return
    if not answer:
        return
    if len(answer) == 1 and answer.isalpha():
        pattern = rf"\b(?:option|choice|answer|is)\s*\(?{re.escape(answer)}\)?(?!\w)"
    else:
        # Word boundaries mean nothing where a script writes no spaces.
        pattern = rf"(?<!\w){re.escape(answer)}(?!\w)" if answer.isascii() else re.escape(answer)
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield found.span()


def mentioned(text: str, reference: str) -> bool:
    """Does the text hold the reference or an equal form?"""
    return any(True for _ in mentions(text, reference))


def holds(text: str, reference: str) -> bool:
    """Like `mentioned`, but for what the student had seen: there a number counts wherever it stands."""
    number = _reference_value(clean(reference))
    if number is not None:
        return any(value(found[0]) == number for found in _NUMBER.finditer(text))
    return mentioned(text, reference)
