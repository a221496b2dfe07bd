"""Does a correction give the answer away? The corrector never sees the reference answer; this check catches what
still comes through: the value stated or hard-coded where neither the question nor an observation holds it, an option
picked without evidence, talk of answers, errors and corrections that a student alone would not write, and more than
one step at a time.

A plain check: it compares values and words, not derivations. `python -m score.leakage FILE` checks recorded key steps.
"""

import re
from collections.abc import Sequence

from score.leakage.code import Stated, read_code
from score.leakage.options import options, picks, right_option, supported
from score.leakage.redaction import REMOVED, redact
from score.leakage.talk import find_talk, holds_later_turns
from score.leakage.values import holds, is_everyday, mentioned, reference_forms, value
from score.trajectory import Step

__all__ = ["REMOVED", "find_leak", "redact"]


def find_leak(step: Step, references: Sequence[str], question: str, before: Sequence[Step]) -> str | None:
    """Why this correction leaks, or None. `before`: the steps that the student had taken, the plan among them; a step
    without code is the plan."""
    comments = "\n".join(re.findall(r"#(.*)", step.code))
    words = f"{step.thought}\n{comments}"
    said = read_code(step.code)
    talk = find_talk(words, question, before)
    if talk:
        return f"it says {talk!r}, which a student working alone would not"
    if step.code and holds_later_turns(step.thought):
        return "it holds more than one step"
    if said.searches and said.hands_in_text:
        return "it hands in an answer before its own search has been read"
    return _given_away(words, said, references, question, before)


def _given_away(
    words: str, said: Stated, references: Sequence[str], question: str, before: Sequence[Step]
) -> str | None:
    listed = options(question)
    seen = "\n".join([question, *(f"{step.thought}\n{step.code}\n{step.observation}" for step in before)])
    # A plain "yes" stands in no observation as such: like an option without words it may follow from any.
    observed = any(step.code and step.observation.strip() for step in before)
    for reference in references:
        right = right_option(reference, listed)
        if right:
            if picks(words, said, right, listed) and not supported(right, listed, question, before):
                return "it picks an option that no observation speaks for"
            continue
        if holds(seen, reference) or (is_everyday(reference) and observed):
            continue
        fractions = [quotient for quotient in said.quotients if not _computes(quotient, seen)]
        if any(mentioned(text, reference) for text in [*said.stated, *fractions]):
            return "its code contains a result that neither the question nor an observation holds"
        computes_with_it = not said.operands.isdisjoint(
            reference_forms(reference)
        )  # the thought may name it, but not as the result
        if mentioned(words, reference, only_said=computes_with_it):
            return "its thought states a result that neither the question nor an observation holds"
    return None


def _computes(quotient: str, seen: str) -> bool:
    """Is `108 / 2` a computation, unlike the fraction `3 / 8`? It is if it comes out even or both numbers were seen."""
    result = value(quotient)
    return (result is not None and result.denominator == 1) or all(holds(seen, side) for side in quotient.split("/"))
