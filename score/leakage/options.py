"""Multiple choice: is the right option picked although nothing that the student had seen speaks for it?

An option stands in the question from the start, so to find it there proves nothing. What can speak for it are
observations; what the student's own code wrote and printed is no observation of the world.
"""

import re
from collections import Counter
from collections.abc import Sequence

from score.answers import choices, clean
from score.leakage.code import Stated, read_code
from score.trajectory import Step

SUPPORT = 0.5  # the share of an option's telling words that observations must hold

# "The option I take" names no option I.
_BY_LETTER = re.compile(r"\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer is|[Aa]nswer:)\s+[('\"]*([A-HJ-Z]\b|I\b(?!\s+[a-z]))")


def options(question: str) -> dict[str, str]:
    """Letter -> text of the options A, B, ... that a question lists, as one line; empty if it lists none."""
    return {letter: _squeezed(text) for letter, text in choices.options(question).items()}


def right_option(reference: str, listed: dict[str, str]) -> str | None:
    """The letter of the option that the reference names by letter or by text."""
    answer = _squeezed(clean(reference))
    letter = re.match(r"\(?([A-Z])\)?(?:[.):]|$)", answer)
    if letter and letter[1] in listed:
        return letter[1]
    return next((letter for letter, text in listed.items() if text.casefold() == answer.casefold()), None)


def _squeezed(text: str) -> str:
    return " ".join(text.split()).rstrip(".;,")


def picks(text: str, said: Stated, right: str, listed: dict[str, str]) -> bool:
    """Do the words or the code settle on the right option? Words that name other options too weigh them up."""
    if any(literal.strip(" .()") == right for literal in said.given):
        return True
    if any(_named(literal, listed) == {right} for literal in said.texts):
        return True
    return _named(text, listed) == {right}


def _named(text: str, listed: dict[str, str]) -> set[str]:
    """The options that a text names, by `option C` or by their words."""
    named = set(_BY_LETTER.findall(text)) & set(listed)
    rest = _squeezed(text).casefold()
    # The longest first: an option's words may be part of another's.
    for letter, words in sorted(listed.items(), key=lambda item: -len(item[1])):
        if len(words) > 3 and words.casefold() in rest:
            named.add(letter)
            rest = rest.replace(words.casefold(), " ")
    return named


def supported(right: str, listed: dict[str, str], question: str, before: Sequence[Step]) -> bool:
    """Do observations hold enough of the words that set this option apart from the others and from what is asked? An
    option without words (a number, a formula) is supported by anything that was computed."""
    observed = set().union(*(_words(step.observation) - _words(_literals(step.code)) for step in before))
    often = Counter(word for text in listed.values() for word in _words(text))
    words = _words(listed[right])
    asked = _words(choices.split_options(question)[0])
    telling = {word for word in words - asked if often[word] * 2 <= len(listed)} or words
    if not telling:
        return any(step.code and re.search(r"\d", step.observation) for step in before)
    return len(telling & observed) >= SUPPORT * len(telling)


def _literals(code: str) -> str:
    return " ".join(read_code(code).stated)


def _words(text: str) -> set[str]:
    """The words of at least four letters, cut to their stems' first six letters."""
    return {word[:6] for word in re.findall(r"[^\W\d_]{4,}", text.casefold())}
