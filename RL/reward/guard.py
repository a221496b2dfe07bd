r"""What is no final answer at all: handed in to be paid without saying what the answer is. Such a rollout is treated as
one that hands in nothing, and no model is asked about it.

Only what the texts tell for certain is decided here. A reference that is a list itself, a set or a condition ("all
integers" may say it), a long text or "cannot be determined" switches off the rule that would speak against it.
"""

import re
from collections.abc import Sequence

from score.answers import clean
from score.answers.quantities import number, quantity
from score.answers.text import has_word, same_text

LONGEST, TIMES = 240, 4  # characters; and so many times the longest reference
_FLAGS = re.IGNORECASE | re.DOTALL | re.VERBOSE
_NO_ANSWER = re.compile(
    r"""
    \b(?:can(?:no|')?t|could\ not|couldn't|unable\ to|impossible\ to)\s+(?:be\s+)?(?:\w+ly\s+)?
        (?:determine|answer|find|solve|compute|calculate|tell|know|say|decide|infer|establish)
    | \b(?:not\ |in|un)(?:enough|sufficient|determined|determinable|decidable|known|available|certain|clear|sure)\b
    | \b(?:no|without\ an?)\ (?:final\ |single\ |definite\ |clear\ )?answer\b
    | \bdo(?:\ not|n't)\ know\b | \bdepends\b | ^\W*n/?a\W*$ | \btbd\b
    | ^\W*(?:none|null|nan|error|answer|todo|placeholder)?\W*$
    """,
    _FLAGS,
)
_EACH = re.compile(r"\W*(?:any|all|every|each)\b\s*", re.IGNORECASE)
_ANY_ANSWER = re.compile(
    r"""
    ^\W*(?:some|whatever|whichever|one\ of|either|see|as\ (?:above|stated|computed|given|required)
        |the\ (?:correct|right|true|reference|expected|same|given)\ ) \b
    | ^\W*(?:(?:a|the)\ (?:number|value|result|solution|answer)|correct|right)\W*$
    """,
    _FLAGS,
)
_TO_THE_JUDGE = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|previous|above|prior|reference|rule|prompt)
    | \bequivalent"?\s*[:=] | \bverdict\b | \b(?:reference|true|expected|gold|ground[\s-]truth)[\s_]answer
    | \bcandidate(?:'s)?\ answer\b | \bsystem\ (?:prompt|message|note|override)\b
    | \byou\ (?:are|must|should|have\ to|will)\b | \bas\ (?:the|an?)\ (?:judge|grader|evaluator)\b
    | \b(?:dear|hello|hey|attention|note\ to)\b.{0,20}\b(?:judge|grader|evaluator|model|assistant)\b
    | \b(?:mark|grade|accept|score|count|rate|treat|consider|output|reply|respond|return|answer)\b.{0,30}
        \b(?:as|with)\b.{0,12}\b(?:correct|right|true|equivalent|pass|full|1\.0)
    | <\s*\|?\s*(?:im_start|im_end|/?system|/?assistant|/?user) | \b(?:assistant|system):
    | \bfull\ (?:marks|credit|reward)\b
    """,
    _FLAGS,
)
_ANNOUNCED = re.compile(r"\A\W*the\s+(?:correct|right)\s+answer\s*(?:is\b\s*:?|:|=)\s*(?=\S)", re.IGNORECASE)
_SEPARATORS = re.compile(r"\n|;|\||\b(?:or|and/or|alternatively|maybe|possibly)\b", re.IGNORECASE)
_SLASH = re.compile(r"\s/\s")
_PARTS_OF_A_REFERENCE = re.compile(r",|\\pm|±|\\cup|\\text\{\s*(?:and|or)|\band\b|&|\.\.|[\[({].*[\])}]")
_A_SET = re.compile(
    r"\\mathbb|\\infty|\\(?:le|ge|ne|neq|lt|gt|in|notin|equiv|subset|subseteq|mid)(?![a-z])|\\pmod|[<>=ℝℤℕℚ]"
)
_VALUE_OF = re.compile(r"\A\W*[a-zA-Z]\w*\s*=")
_OPTION = re.compile(r"\(?[A-Z]\)?")
_FILLER = frozenset(
    "between and to or from either is the answer one of in range candidates could be maybe then not possible values "
    "options are it list set".split()
)
_NUMBERS = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_SAYS_MORE = re.compile(
    r"[=*^\\%$+/]|\d\s*:\s*\d|\d,\d{3}(?!\d)"
)  # a formula, a ratio, thousands: several numbers, one answer
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")


def refused(references: Sequence[str], answer: str) -> str | None:
    """Why the text is no answer: empty, too long, to the judge, no answer, any answer, several. None: it may be one."""
    several_boxes = len(set(_BOXED.findall(answer))) > 1 and not _is_list(references)
    bare = clean(_ANNOUNCED.sub("", clean(answer)))
    too_long = len(bare) > max(LONGEST, TIMES * max(map(len, references), default=0))
    if not too_long and any(same_text(reference, bare) for reference in references):
        return "several" if several_boxes else None
    if not any(character.isalnum() or character in "∞∅π√" for character in bare):
        return "empty"
    if too_long:
        return "too long"
    for name, pattern in (("to the judge", _TO_THE_JUDGE), ("no answer", _NO_ANSWER)):
        if pattern.search(answer) and not any(pattern.search(reference) for reference in references):
            return name
    if _any_answer(bare) and not any(
        _any_answer(clean(reference)) or _is_each(bare, reference) for reference in references
    ):
        return "any answer"
    return "several" if several_boxes or (not _is_list(references) and _several(bare, references)) else None


def _any_answer(text: str) -> bool:
    return _EACH.match(text) is not None or _ANY_ANSWER.search(text) is not None


def _is_each(bare: str, reference: str) -> bool:
    r"""`all real numbers` where the reference is `\mathbb{R}`: a set or a condition may be told in such words."""
    if not _EACH.match(bare):
        return False
    plain = clean(reference)
    is_value = number(_VALUE_OF.sub("", plain)) is not None  # `x = 42`
    is_set = _A_SET.search(f"{reference} {plain}") is not None and not is_value
    return is_set or same_text(reference, _EACH.sub("", bare, count=1))


def _is_list(references: Sequence[str]) -> bool:
    """A reference that has several parts itself: then several parts are no hedge."""
    return any(
        _SEPARATORS.search(text) or _PARTS_OF_A_REFERENCE.search(clean(text)) or _slashed(clean(text))
        for text in references
    )


def _several(bare: str, references: Sequence[str]) -> bool:
    """Alternatives, a list of candidates, a range."""
    parts = {part.strip(" ,.'\"()[]{}").casefold() for part in _SEPARATORS.split(bare)} - {""}
    options = all(_OPTION.fullmatch(clean(reference)) for reference in references)
    if len(parts) > 1 or _slashed(bare) or (options and _SLASH.search(bare)):
        return True
    if all(number(reference) is not None for reference in references):
        found = {match.lstrip("-") for match in _NUMBERS.findall(bare)}
        words = set(re.findall(r"[a-z]+", bare.casefold()))
        return len(found) > 1 and words <= _FILLER and not _SAYS_MORE.search(bare) and number(bare) is None
    listed = [part for part in bare.split(",") if part.strip()]
    # `Chicago, Cook County, Illinois, USA` may say where the reference lies: the judge sees it.
    return len(listed) > 3 and not any(same_text(reference, listed[0]) for reference in references)


def _slashed(bare: str) -> bool:
    """Alternatives between slashes: `yes / no`, `41 km / 42 km`, `41 / 42 / 43`. A quotient, a quantity (`60 km / h`)
    and a formula are none."""
    sides = _SLASH.split(bare)
    if len(sides) == 1 or quantity(bare) is not None:
        return False
    if all(number(side) is not None for side in sides):
        return len(sides) > 2
    return all(map(has_word, sides)) and len({re.search(r"\d", side) is None for side in sides}) == 1
