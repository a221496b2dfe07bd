r"""Equivalence by rule: what can be decided exactly from two short strings, without a parser of mathematics.

True and False are decisions; None means that these rules cannot tell, and math-verify or a judge has to.
"""

import re
from fractions import Fraction

from score.answers.boxes import is_ambiguous
from score.answers.choices import same_choice
from score.answers.dates import date, other_hours, same_date
from score.answers.names import same_name
from score.answers.quantities import (
    DOLLAR,
    SCALES,
    WORDS,
    Quantity,
    close,
    number,
    quantity,
    same_quantity,
    same_shorthand,
)
from score.answers.ranges import is_range, same_range
from score.answers.text import clean, plain_text, same_text

LONGEST = 2000  # characters; in longer answers only the text is compared
_BASE_WORDS = "two three four five six seven eight nine ten eleven twelve sixteen".split()
_BASE = re.compile(rf"\(?(\d[\dA-F]*)\)?_\{{?(?:\(?)(\d{{1,2}}|{'|'.join(_BASE_WORDS)})\)?\}}?")
_YES_NO = {"yes": True, "no": False, "true": True, "false": False}
# "pounds" are not among them: they may be a weight.
_MONEY = re.compile(r"(?<!\\)\\\$|[€£¥]|\b(?:dollars?|euros?|(?<!per )cents?|yuan|yen)\b", re.IGNORECASE)
_DOLLARS = re.compile(r"\$\s?\.?\d")
# A closing `$` stands behind its formula, without a space; in `$5 and $6` or `$5-$6` it would not, or a digit follows.
_LATEX = re.compile(r"\\|\$(?=\S)[^$]*(?<=\S)\$(?!\d)")
_LABEL = re.compile(r"(?:[^\W\d_]+\s+){0,5}[^\W\d_]+\s*(?::|=|\bis\b)\s*(?=\S)", re.IGNORECASE)


def _may_be_rounded(left: Fraction, right: Fraction, reference: str, answer: str) -> bool:
    """The answer gives more decimals than the reference's two or more, or one of them is written as `2 million`."""
    places = _decimals(reference)
    if places >= 2 and abs(left - right) <= Fraction(1, 2 * 10**places):
        return True
    in_words = any(scale in (reference + answer).casefold() for scale in SCALES)
    return in_words and close(left, right, Fraction(1, 20))


def _decimals(text: str) -> int:
    found = re.search(r"\.(\d+)\D*(?:[a-z]\s*\^\s*\{?[23]\}?)?$", clean(text))
    return len(found[1]) if found else 0


def _about_money(question: str) -> bool:
    """It names a currency; a bare `$` counts before a number, unless the question uses it for formulas."""
    if _MONEY.search(question):
        return True
    return _DOLLARS.search(question) is not None and _LATEX.search(question) is None


def _in_cents(left: Quantity, right: Quantity, reference: str, answer: str, question: str) -> bool:
    """An amount of money, given to the cent by the reference and further by the answer, which rounds to it."""
    further = _decimals(reference) == 2 < _decimals(answer)
    units = {(side.unit, side.factor) for side in (left, right) if side.unit}
    money = units == {(DOLLAR, Fraction(1))} or (not units and _about_money(question))
    return further and abs(left.value - right.value) < Fraction(1, 200) and money


def _same_in_base(reference: str, answer: str) -> tuple[bool | None, str] | None:
    r"""`52_8` against `52_{8}`; against a bare `52` only the digits are compared, as the base was asked for. One value
    in two bases is left to the judge, who reads which one is wanted. None where this rule does not apply."""
    left, right = _BASE.fullmatch(clean(reference).replace(" ", "")), _BASE.fullmatch(clean(answer).replace(" ", ""))
    if left is None:
        return None
    if right is None:
        return (True, "base") if clean(answer) == left[1] else None
    bases = [int(found[2]) if found[2].isdecimal() else WORDS[found[2]] for found in (left, right)]
    try:
        values = [int(found[1], base) for found, base in zip((left, right), bases, strict=True)]
    except ValueError:  # a digit that the base does not have, or no base
        return None
    same = values[0] == values[1]
    return (None if same and bases[0] != bases[1] else same), "base"


def equal_by_rule(reference: str, answer: str, question: str = "") -> tuple[bool | None, str]:
    """(decision, rule). The decision is None where no rule can tell; an empty answer is never equal.

    The question is used for its options, its units and its words, where it is given.
    """
    if not answer.strip():
        return False, "empty"
    if len(reference) > LONGEST or len(answer) > LONGEST:
        return (True if reference.strip() == answer.strip() else None), "text"
    if same_text(reference, answer):
        return True, "text"
    if is_ambiguous(clean(reference)) or is_ambiguous(clean(answer)):
        return None, "boxes"
    chosen = same_choice(reference, answer, question)
    if chosen is not None:
        return chosen, "choice"
    based = _same_in_base(reference, answer)
    if based is not None:
        return based
    expected, given = date(reference), date(answer)
    if expected and given and (expected[1] or given[1]):
        return same_date(expected, given), "date"
    short = same_shorthand(reference, answer)
    if short is not None:
        return short
    left, right = quantity(reference), quantity(answer)
    if left is not None and right is not None:
        decision, rule = same_quantity(left, right, question)
        if decision is False and left.measured_as(right):
            if _in_cents(left, right, reference, answer, question):
                return True, "cents"
            if _may_be_rounded(left.value, right.value, reference, answer):
                return None, "rounding"
        return decision, rule
    said = _YES_NO.get(plain_text(reference)), _YES_NO.get(plain_text(answer))
    if None not in said:
        return said[0] == said[1], "yes or no"
    if left is not None and number(reference) is not None:
        label = _LABEL.match(clean(answer))
        if label and number(clean(answer)[label.end() :]) == left.value:
            return True, "number"
    if other_hours(clean(reference), clean(answer)):
        return False, "hours"
    named = same_name(reference, answer, question)
    if named is not None:
        return True, named
    if is_range(reference) or is_range(answer):  # nothing for math-verify
        return same_range(reference, answer), "range"
    return None, "undecided"
