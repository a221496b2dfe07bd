r"""What is no final answer at all: handed in to be paid without saying what the answer is. Such a rollout is treated as
one that hands in nothing, and no model is asked about it.

Only what the texts tell for certain is decided here. A reference that is a list itself, a long text or "cannot be
determined" switches off the rule that would speak against it.
"""

import re
from collections.abc import Sequence

from score.answers import clean
from score.answers.quantities import number

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
_ANY_ANSWER = re.compile(
    r"""
    ^\W*(?:any|all|every|some|each|whatever|whichever|one\ of|either|see|as\ (?:above|stated|computed|given|required)
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
_SEPARATORS = re.compile(r"\n|;|\||\s/\s|\b(?:or|and/or|alternatively|maybe|possibly)\b", re.IGNORECASE)
_PARTS_OF_A_REFERENCE = re.compile(r",|\\pm|±|\\cup|\\text\{\s*(?:and|or)|\band\b|&|\.\.|[\[({].*[\])}]")
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
    bare = clean(answer)
    if any(clean(reference).casefold() == bare.casefold() for reference in references):
        return "several" if several_boxes else None
    if not any(character.isalnum() or character in "∞∅π√" for character in bare):
        return "empty"
    if len(bare) > max(LONGEST, TIMES * max(map(len, references))):
        return "too long"
    for name, pattern in (("to the judge", _TO_THE_JUDGE), ("no answer", _NO_ANSWER), ("any answer", _ANY_ANSWER)):
        if pattern.search(answer) and not any(pattern.search(reference) for reference in references):
            return name
    return "several" if several_boxes or (not _is_list(references) and _several(bare, references)) else None


def _is_list(references: Sequence[str]) -> bool:
    """A reference that has several parts itself: then several parts are no hedge."""
    return any(_SEPARATORS.search(text) or _PARTS_OF_A_REFERENCE.search(clean(text)) for text in references)


def _several(bare: str, references: Sequence[str]) -> bool:
    """Alternatives, a list of candidates, a range."""
    parts = {part.strip(" ,.'\"()[]{}").casefold() for part in _SEPARATORS.split(bare)} - {""}
    if len(parts) > 1:
        return True
    if all(number(reference) is not None for reference in references):
        found = {match.lstrip("-") for match in _NUMBERS.findall(bare)}
        words = set(re.findall(r"[a-z]+", bare.casefold()))
        return len(found) > 1 and words <= _FILLER and not _SAYS_MORE.search(bare) and number(bare) is None
    return len([part for part in bare.split(",") if part.strip()]) > 3
