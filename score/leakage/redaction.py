"""The answer taken out of what the corrector reads."""

import re
from collections.abc import Iterator, Sequence

from score.leakage.options import options, right_option, supported
from score.leakage.values import holds, is_everyday, is_small, mentions
from score.trajectory import Step

REMOVED = "[...]"
_BEFORE_LETTER = r"(?i:option|choice|answer|letter|pick|choos\w*|select\w*|chose|is|be|to)"


def redact(text: str, references: Sequence[str], question: str, before: Sequence[Step]) -> str:
    """The text with the reference answers taken out, except those that the student had seen in the question or in the
    steps `before`. An option stands in the question from the start: it stays only if an observation speaks for it. So
    does a small number, but for an observation that holds it: elsewhere it was seen by chance, and is taken out where
    the text says that something is (or should be) that number. One that was not seen at all is taken out everywhere but
    where it cannot be a result (`step 3`, `x**3`): rather a gap in a diagnosis than the answer in it. `yes` and its
    like are taken out only where the answer is (or should be) that: gaps in everyday sentences would tell it."""
    listed = options(question)
    observed = "\n".join(step.observation for step in before)
    seen = "\n".join([question, *(f"{step.thought}\n{step.code}\n{step.observation}" for step in before)])
    for reference in sorted(references, key=len, reverse=True):  # a short alias would leave the rest of a longer one
        right = right_option(reference, listed)
        if right:
            if not supported(right, listed, question, before):
                text = _without(text, _option(text, right, listed))
        elif not holds(seen, reference):
            text = _without(text, mentions(text, reference, diagnosis=True, anywhere=True))
        elif (is_small(reference) or is_everyday(reference)) and not holds(observed, reference):
            text = _without(text, mentions(text, reference, diagnosis=True))
    return text


def _option(text: str, right: str, listed: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Where the text names the right option, by its words, by its letter, or by both."""
    words = r"\s+".join(map(re.escape, listed[right].split()))
    content = rf"(?<!\w)(?i:{words})(?!\w)" if words else r"(?!)"
    named = [
        rf"(?<!\w)({right}[.):]\s*{content})",
        rf"({content})",
        rf"\b{_BEFORE_LETTER}\s*:?\s*(\({right}\)|['\"*]*{right}\b['\"*]*)",
        rf"(\({right}\))",
    ]
    # An option's words may be part of another's, which then is not the right one.
    own = listed[right].casefold()
    longer = [other for other in listed.values() if own in other.casefold() != own]
    kept = [found.span() for other in longer for found in re.finditer(re.escape(other), text, re.IGNORECASE)]
    for found in (found for pattern in named for found in re.finditer(pattern, text)):
        if not any(start <= found.start() and found.end() <= end for start, end in kept):
            yield found.span(1)


def _without(text: str, spans: Iterator[tuple[int, int]]) -> str:
    parts, end = [], 0
    for start, stop in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= end:  # else it is part of what was taken out
            parts += [text[end:start], REMOVED]
            end = stop
    return "".join([*parts, text[end:]])
