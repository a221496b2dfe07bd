"""Where a text holds a reference answer or an equal form of it: numbers, numbers with a unit, dates, text."""

import re
from collections.abc import Iterator
from fractions import Fraction

from score.answers import clean
from score.answers.dates import date, find_dates

SMALL = 10  # smaller whole numbers stand in any text

_NUMBER = re.compile(
    r"(?<![\w.])-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:\s*/\s*\d+)?)(?![\w]|\.\d)"
)
_WITH_UNIT = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)\s*(?:[^\W\d_]+\.?|%|\^\\circ)")
_SAYS = r"is|are|be|been|equals?|(?<!or )equal to|gives?|yields?|get|answer|result|value"
_BEFORE_NUMBER = r"(?<![<>!])=|[:≈]|\\boxed\{)\s*(?:\\boxed\{|\\?[$\"'(*`])*\s*$"
_STATES = re.compile(rf"(?:\b(?:{_SAYS})\b|{_BEFORE_NUMBER}", re.IGNORECASE)
# In a diagnosis "expected 3", "5 instead of 3", "not 5 but 3" say it as well; in a step they are everyday words.
_CORRECTS = re.compile(rf"(?:\b(?:{_SAYS}|expected|instead of|not|but)\b|{_BEFORE_NUMBER}", re.IGNORECASE)
# Words of everyday sentences that are answers too ("there is no information", "if both are true").
_EVERYDAY = ("yes", "no", "none", "true", "false")
_GAP = r"(?:(?!\bor\b)[^.;!?\n]){0,40}?"  # "answer yes or no" says neither
_ANSWERS = rf"\b(?:answer|result|conclusion|verdict)\b{_GAP}(?<!\w)|(?:(?<![<>!])=|\\boxed\{{|\\text\{{)\s*[\"'(*`]*"
_PUTS_RIGHT = rf"{_ANSWERS}|\b(?:be|say|expected|instead of|rather than|not|but)\s+[\"'(*`]*"
_ENDS = r"(?=\W*(?:$|\n|[.,;:!?()}\[\]—]|\b(?:because|since|as|and|but|not|instead|rather|so)\b))"
_REACH = 80  # characters before a number that can say what it is
# Where a small number is no result: the number of a step, an exponent, a factor, a divisor.
_BESIDE = re.compile(
    r"(?:\b(?:step|line)s?\s+(?:\d+(?:,|\s+(?:and|to|or))\s+)*|\b(?:divid|divisib|multipl)\w*(?:\s+\w+){0,3}\s+by\s+"
    r"|[\w)\]](?:\*\*?|/|\^\{?)|[\w)\]] (?:\*\*?|/|\^) )$",
    re.IGNORECASE,
)


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


def is_small(reference: str) -> bool:
    """Is the reference a whole number that stands in a text by chance more often than not?"""
    number = _reference_value(clean(reference))
    return number is not None and number.denominator == 1 and abs(number) < SMALL


def is_everyday(reference: str) -> bool:
    """Is the reference a word like `yes`, which most texts hold without answering anything?"""
    return clean(reference).casefold() in _EVERYDAY


def mentions(
    text: str, reference: str, *, diagnosis: bool = False, anywhere: bool = False, only_said: bool = False
) -> Iterator[tuple[int, int]]:
    """Where the text holds the reference or an equal form: (start, end). A small number (with `only_said` any number)
    counts where something is said to be that number, in a `diagnosis` also where something should have been; with
    `anywhere` wherever it may be meant as a result. `yes` and its like count where the answer is said to be that."""
    answer = clean(reference)
    number = _reference_value(answer)
    if number is not None:
        small, said = only_said or is_small(reference), _CORRECTS if diagnosis else _STATES
        for found in _NUMBER.finditer(text):
            if value(found[0]) != number:
                continue
            before = text[max(0, found.start() - _REACH) : found.start()]
            if not small or said.search(before) or (anywhere and not _BESIDE.search(before)):
                yield found.span()
        return
    day = date(answer)
    if day:
        yield from (span for span, found in find_dates(text) if found == day)
        return
    if not answer:
        return
    if is_everyday(reference):
        lead = _PUTS_RIGHT if diagnosis else _ANSWERS
        for found in re.finditer(rf"(?:{lead})({re.escape(answer)})\b{_ENDS}", text, re.IGNORECASE):
            yield found.span(1)
        return
    if len(answer) == 1 and answer.isalpha():
        pattern = rf"\b(?:option|choice|answer|is)\s*\(?{re.escape(answer)}\)?(?!\w)"
    else:
        # Word boundaries mean nothing where a script writes no spaces.
        pattern = rf"(?<!\w){re.escape(answer)}(?!\w)" if answer.isascii() else re.escape(answer)
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield found.span()


def mentioned(text: str, reference: str, *, only_said: bool = False) -> bool:
    """Does the text hold the reference or an equal form? `only_said` as in `mentions`."""
    return any(True for _ in mentions(text, reference, only_said=only_said))


def holds(text: str, reference: str) -> bool:
    """Like `mentioned`, but for what the student had seen: there a number counts wherever it stands."""
    number = _reference_value(clean(reference))
    if number is not None:
        return any(value(found[0]) == number for found in _NUMBER.finditer(text))
    return mentioned(text, reference)
