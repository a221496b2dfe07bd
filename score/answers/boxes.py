r"""`\boxed{...}`: which of a text's boxes hold its answer.

The last one does, and with it those before it that nothing but `,` or `and` parts from it. A box of other contents in
the same sentence (`\boxed{3} is wrong, so \boxed{2}`) may be a part of the answer or a step towards it: who reads only
the writing cannot tell.
"""

import re
from functools import lru_cache

_MARK = "\\boxed{"
_BRACE = re.compile(r"\\boxed\{|[{}]")
_BETWEEN = re.compile(
    r"(?:[\s$,;&]|\\[()\[\] ,;!]|\\\\|\\q?quad|\b(?:and|or)\b|\\(?:text|mbox)\{[\s,]*(?:and|or)[\s,]*\})*"
)
_SENTENCE_ENDS = re.compile(r"\n|[.!?。！？]\**(?=\s|$|\\[\])]|\$)")
Span = tuple[int, int]


@lru_cache(maxsize=512)
def _spans(text: str) -> tuple[Span, ...]:
    """Where the boxes begin and end that are closed and hold no other."""
    opened: list[int] = []
    found: list[Span] = []
    innermost = -1  # where the last box that was closed begins
    for brace in _BRACE.finditer(text):
        if brace[0] != "}":
            opened.append(brace.start())
        elif opened:
            start = opened.pop()
            if text.startswith(_MARK, start) and innermost < start:
                found.append((start, brace.end()))
                innermost = start
    return tuple(found)


def _content(text: str, span: Span) -> str:
    return text[span[0] + len(_MARK) : span[1] - 1]


def _bare(content: str) -> str:
    return "".join(content.split())


def _sentence(text: str) -> tuple[list[Span], list[Span]]:
    """(the boxes of the last sentence that has any, those of them at its end that nothing parts)."""
    *before, last = _spans(text)
    sentence, run = [last], [last]
    for span in reversed(before):
        between = text[span[1] : sentence[0][0]]
        parted = _BETWEEN.fullmatch(between) is None
        if parted and _SENTENCE_ENDS.search(between):
            break
        if not parted and run[0] == sentence[0]:
            run.insert(0, span)
        sentence.insert(0, span)
    return sentence, run


def is_ambiguous(text: str) -> bool:
    """Whether other boxes stand in the sentence of the last ones, and words between them."""
    if text.count(_MARK) < 2 or len(_spans(text)) < 2:
        return False
    sentence, run = _sentence(text)
    said = {_bare(_content(text, span)) for span in run}
    return any(_bare(_content(text, span)) not in said for span in sentence)


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` (braces may nest), contents of several that belong together joined with
    `, `; the sentence from its first box to its last where that is not clear; None without a box that is closed."""
    if _MARK not in text or not _spans(text):
        return None
    sentence, run = _sentence(text)
    if is_ambiguous(text):
        return text[sentence[0][0] : sentence[-1][1]]
    contents = {_bare(content): content for content in (_content(text, span) for span in run)}
    return ", ".join(contents.values())
