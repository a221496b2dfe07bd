"""Words that a student working alone would not write: of a known right answer, of a correction, of later steps."""

import re
from collections.abc import Sequence

from score.trajectory import Step

_ERROR = re.compile(
    r"\b(?:the|this|an?|my|previous|student'?s)\s+"
    r"(?P<noun>error|mistake|correction|diagnosis(?!\s+of\b)|suggestion|feedback|hint)\b"
    r"(?!\s+(?:term|bound|function|rate|bar|propagation|correct))"
    r"|\berror analysis\b|\bmistakenly\b|\b(?:was|were)\s+(?:wrong|incorrect)\b",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(?:correct(?:ed)?|expected|right|reference|true)\s+(?:final\s+)?"
    r"(?:answer|value|result|solution|step|option|choice)\b",
    re.IGNORECASE,
)
# To look for the correct answer is what a student does; to say which it is, is not.
_GOAL = re.compile(
    r"\b(?:determin|find|identif|get|reach|select|choos|verif|check|confirm|look|search|decid|match|arriv|obtain"
    r"|deduc|deriv|comput|calculat|giv|evaluat)\w*(?:\s+\w+){0,3}\s*$",
    re.IGNORECASE,
)
_STILL_OPEN = re.compile(r"[^.]{0,40}\bto be (?:found|determined|looked|searched|computed)\b", re.IGNORECASE)
_ASSERTED = re.compile(
    r"\s*,?\s*(?:which|that)?\s*(?:is|are|was|were|should|must|would|will|[=:])(?!\w)", re.IGNORECASE
)
_PICKED = re.compile(
    r"\bmanually\s+(?:select|set|pick|choos|assign|enter)\w*|\bhard-?cod(?:e|ed|ing)\b"
    r"|\b(?:refin|adjust|revis|chang|amend)\w*\s+(?:the|my|this)\s+(?:final\s+)?answer\b"
    r"|\bmore\s+(?:\w+\s+){1,4}answer\b",
    re.IGNORECASE,
)
_LATER_TURN = re.compile(r"^[ \t*#>]{0,8}(?:Observation|Thought|Code|Step \d{1,3})[ *]{0,4}:", re.MULTILINE)


def find_talk(text: str, question: str, before: Sequence[Step]) -> str | None:
    """The words that give a correction away, or None. The question's own words are no talk, an error that an
    observation shows may be spoken of, and so may the expected value where the student's work is about one."""
    observations = "\n".join(step.observation for step in before)
    about_expectation = any("expected value" in step.thought.casefold() for step in before)
    for found in _KNOWN.finditer(text):
        rest = text[found.end() :]
        sought = _STILL_OPEN.match(rest) or (_GOAL.search(text[: found.start()]) and not _ASSERTED.match(rest))
        if found[0].casefold() == "expected value" and about_expectation:
            continue
        if not sought and found[0].casefold() not in question.casefold():
            return found[0]
    for found in _ERROR.finditer(text):
        shown = found["noun"] is not None and found["noun"].casefold() in observations.casefold()
        if not shown and found[0].casefold() not in question.casefold():
            return found[0]
    picked = _PICKED.search(text)
    return picked[0] if picked and picked[0].casefold() not in question.casefold() else None


def holds_later_turns(text: str) -> bool:
    """Does the text of one step go on to its observation or to further steps?"""
    return _LATER_TURN.search(text) is not None
