"""Where a text holds a reference answer or an equal form of it: numbers, numbers with a unit, dates, text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from score.answers import clean
from score.answers.dates import date, find_dates
from score.answers.quantities import SCALES, unit

SMALL = 10  # smaller whole numbers stand in any text

# Signs that people and programs type in two ways; one for one, so that places in the text stay.
_TYPED = str.maketrans("−–’‘", "--''")
_LETTERS = r"[^\W\d_]+(?:\^?\{?[23]\}?)?"
_SCALE = rf"(?i:{'|'.join(SCALES)})"
# A number, and what may stand behind it: a unit without a space between, `%` or `million`.
_NUMBER = re.compile(
    r"(?<![\w.])"
    r"(?P<number>-?(?:\\[dt]?frac\{\d+\}\{\d+\}|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:\s*/\s*\d+)?)(?!\.\d))"
    rf"(?P<glued>{_LETTERS}(?:/{_LETTERS})?)?(?!\w)(?:(?P<percent>\s?\\?%|\s+percent\b)|\s+(?P<scale>{_SCALE})s?\b)?"
)
_WITH_UNIT = re.compile(rf"(-?\d[\d,]*(?:\.\d+)?)\s*(?:({_SCALE})\b\s*)?(.*)")
_ONE_WORD = re.compile(r"(?:[^\W\d_]+\.?|%|\^\\circ)?")
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
_ARTICLE = re.compile(r"(?:[Tt]he|[Aa]n?)\s+(?=[A-Z]\w)|[Tt]he\s+(?=[^\W\d_]+\s)")
_WITHIN = r"(?:(?<=[^\s.!?]\s)|(?<=[\"'(*`]))"
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


@dataclass(frozen=True)
class _Number:
    """A reference that is a number. `forms`: its value, and for a percentage the share; `unit` as it is written."""

    value: Fraction
    forms: frozenset[Fraction]
    unit: str = ""


@lru_cache(maxsize=512)
def _number(answer: str) -> _Number | None:
    """A number, or one with a unit: one word, or what the comparison of answers takes for a unit. A step may well write
    the number without it. None for anything else."""
    bare = value(answer)
    if bare is not None:
        return _Number(bare, frozenset({bare}))
    found = _WITH_UNIT.fullmatch(answer)
    amount = value(found[1]) if found else None
    if found is None or amount is None or not (_ONE_WORD.fullmatch(found[3]) or unit(found[3])):
        return None
    if found[2]:
        amount *= SCALES[found[2].casefold()]
    return _Number(amount, frozenset({amount, amount / 100} if found[3] in ("%", "percent") else {amount}), found[3])


def _equal_forms(found: re.Match[str], reference: _Number) -> set[Fraction]:
    """The values that a number of a text, with what stands behind it, shares with the reference."""
    amount = value(found["number"])
    if amount is None or (found["glued"] and not _fits(found["glued"], reference.unit)):
        return set()
    forms = {amount}
    if found["percent"]:
        forms.add(amount / 100)
    if found["scale"]:
        forms.add(amount * SCALES[found["scale"].casefold()])
    return forms & reference.forms


def _fits(glued: str, own: str) -> bool:
    """May letters right behind a number be its unit? The reference's own, or if it has none a known one: single letters
    are variables and decades (`3m`, `1990s`)."""
    if not own:
        return len(glued) > 1 and unit(clean(glued)) is not None
    measured = unit(clean(glued))
    return glued.casefold() == own.casefold() or (measured is not None and measured == unit(own))


def _small(number: Fraction) -> bool:
    return number.denominator == 1 and abs(number) < SMALL


def reference_forms(reference: str) -> frozenset[Fraction]:
    """The values of a reference that is a number; empty for any other."""
    number = _number(_typed(clean(reference)))
    return number.forms if number else frozenset()


def _typed(text: str) -> str:
    return text.translate(_TYPED)


def is_small(reference: str) -> bool:
    """Is the reference a whole number that stands in a text by chance more often than not?"""
    number = _number(_typed(clean(reference)))
    return number is not None and _small(number.value)


def is_everyday(reference: str) -> bool:
    """Is the reference a word like `yes`, which most texts hold without answering anything?"""
    return clean(reference).casefold() in _EVERYDAY


def mentions(
    text: str, reference: str, *, diagnosis: bool = False, anywhere: bool = False, only_said: bool = False
) -> Iterator[tuple[int, int]]:
    """Where the text holds the reference or an equal form: (start, end). A small number (with `only_said` any number)
    counts where something is said to be that number, in a `diagnosis` also where something should have been; with
    `anywhere` wherever it may be meant as a result. `yes` and its like count where the answer is said to be that."""
    text, answer = _typed(text), _typed(clean(reference))
    number = _number(answer)
    if number is not None:
        said = _CORRECTS if diagnosis else _STATES
        for found in _NUMBER.finditer(text):
            equal = _equal_forms(found, number)
            if not equal:
                continue
            small = only_said or all(map(_small, equal))
            before = text[max(0, found.start() - _REACH) : found.start()]
            if not small or said.search(before) or (anywhere and not _BESIDE.search(before)):
                yield found.start(), found.end("scale" if found["scale"] else "number")
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
    for found in re.finditer(_letter(answer) if len(answer) == 1 and answer.isalpha() else _words(answer), text):
        yield found.span()


def _letter(answer: str) -> str:
    """Where a letter alone is named. `a` and `I` are words as well: `is a sum`, `the option I take`."""
    bare = rf"{answer}(?!\w)" + (r"(?!\s+[a-z])" if answer in "aI" else "")
    return rf"\b(?i:option|choice|answer|is)\s*(?:\((?i:{answer})\)|\(?{bare})"


def _words(answer: str) -> str:
    """Where a text stands, over line breaks too, and without its article."""

    def spaced(text: str) -> str:
        words = r"\s+".join(map(re.escape, text.split()))
        # Word boundaries mean nothing where a script writes no spaces.
        return rf"(?<!\w){words}(?!\w)" if text.isascii() else words

    article = _ARTICLE.match(answer)
    if not article:
        return f"(?i:{spaced(answer)})"
    bare = answer[article.end() :]
    # One word alone has to look like a name: a capital letter, and not that of a sentence's beginning.
    alone = f"(?i:{spaced(bare)})" if " " in bare else _WITHIN + spaced(bare)
    return f"(?i:{spaced(answer)})|{alone}"


def mentioned(text: str, reference: str, *, only_said: bool = False) -> bool:
    """Does the text hold the reference or an equal form? `only_said` as in `mentions`."""
    return any(True for _ in mentions(text, reference, only_said=only_said))


def holds(text: str, reference: str) -> bool:
    """Like `mentioned`, but for what the student had seen: there a number counts wherever it stands."""
    number = _number(_typed(clean(reference)))
    if number is not None:
        return any(_equal_forms(found, number) for found in _NUMBER.finditer(_typed(text)))
    return mentioned(text, reference)
