r"""Equivalence by rule: what can be decided exactly from two short strings, without a parser of mathematics.

True and False are decisions; None means that these rules cannot tell, and math-verify or a judge has to.
"""

import re
from fractions import Fraction

from score.answers.choices import same_choice
from score.answers.dates import date, other_hours, same_date
from score.answers.names import same_name
from score.answers.quantities import SCALES, number, quantity, same_number, same_quantity
from score.answers.text import clean, plain_text, same_text

LONGEST = 2000  # characters; in longer answers only the text is compared
_BASE = re.compile(r"\(?(\d[\dA-F]*)\)?_\{?(?:\(?)(\d{1,2}|ten|two)\)?\}?")
_YES_NO = {"yes": True, "no": False, "true": True, "false": False}
_MONEY = re.compile(r"[$€£¥]|\b(?:dollars?|euros?|cents?|pounds?|yuan)\b", re.IGNORECASE)
_LABEL = re.compile(r"(?:[^\W\d_]+\s+){0,5}[^\W\d_]+\s*(?::|=|\bis\b)\s*(?=\S)", re.IGNORECASE)


def _may_be_rounded(left: Fraction, right: Fraction, reference: str, answer: str) -> bool:
    """The answer gives more decimals than the reference's two or more, or one of them is written as `2 million`."""
    places = re.search(r"\.(\d{2,})\D*$", clean(reference))
    if places is not None and round(right, len(places[1])) == left:
        return True
    in_words = any(scale in (reference + answer).casefold() for scale in SCALES)
    return in_words and same_number(left, right, Fraction(1, 20))


def _in_cents(left: Fraction, right: Fraction, reference: str, question: str) -> bool:
    """An amount of money, given to the cent by the reference and further by the answer."""
    to_the_cent = re.search(r"\.\d\d\D*$", clean(reference)) is not None
    return to_the_cent and _MONEY.search(question) is not None and abs(left - right) <= Fraction(1, 200)


def _same_in_base(reference: str, answer: str) -> bool | None:
    r"""`52_8` against `52_{8}`; against a bare `52` only the digits are compared, as the base was asked for."""
    left, right = _BASE.fullmatch(clean(reference).replace(" ", "")), _BASE.fullmatch(clean(answer).replace(" ", ""))
    if left is None:
        return None
    if right is not None:
        return left.groups() == right.groups()
    digits = clean(answer)
    return (digits == left[1] or None) if digits.isalnum() else None


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
    chosen = same_choice(reference, answer, question)
    if chosen is not None:
        return chosen, "choice"
    based = _same_in_base(reference, answer)
    if based is not None:
        return based, "base"
    expected, given = date(reference), date(answer)
    if expected and given and (expected[1] or given[1]):
        return same_date(expected, given), "date"
    left, right = quantity(reference), quantity(answer)
    if left is not None and right is not None:
        decision, rule = same_quantity(left, right, question)
        if decision is False and rule == "number" and _in_cents(left.value, right.value, reference, question):
            return True, "cents"
        if decision is False and rule == "number" and _may_be_rounded(left.value, right.value, reference, answer):
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
    return (True, named) if named is not None else (None, "undecided")
