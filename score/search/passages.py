"""Cutting a long page to the sentences that fit the query best, with BM25 over its sentences."""

import re

from score.search.tokens import asked_for, countable

# Where a sentence ends: at a space behind its mark (`330.5`, `$1.25` and `www.bridge.org` go on), in Chinese and
# Japanese at the mark itself, and at the end of a line.
_END = re.compile(
    r"(?<=[.!?])\s+|(?<=[.!?][\"'”’)\]])\s+|(?<=[。！？])(?![。！？”’」』）\"'])|(?<=[。！？][”’」』）\"'])|\n+"
)
GAP = " … "


def _shortened(text: str, limit: int) -> str:
    """The beginning, up to a word's end."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    space = head.rfind(" ")
    return (head[:space] if space > limit // 2 else head).rstrip() + "…"


def cut(text: str, query: str, limit: int) -> str:
    """`text` if it is no longer than `limit` characters; else its best sentences in their order, gaps marked. Where no
    sentence shares a word with the query, the beginning."""
    if len(text) <= limit:
        return text
    sentences = [_shortened(sentence.strip(), limit) for sentence in _END.split(text) if sentence.strip()]
    order = _ranked(sentences, query)
    if not order:
        return _shortened(text, limit)
    chosen: list[int] = []
    for number in order:
        tried = _joined(sentences, sorted([*chosen, number]))
        if len(tried) <= limit:
            chosen.append(number)
    return _joined(sentences, sorted(chosen))


def _ranked(sentences: list[str], query: str) -> list[int]:
    """The numbers of the sentences that share a word with the query, best first."""
    import bm25s

    asked = asked_for(query)
    tokens = bm25s.tokenize([countable(sentence) for sentence in sentences], show_progress=False)
    if not asked or not tokens.vocab:
        return []
    index = bm25s.BM25()
    index.index(tokens, show_progress=False)
    ids = index.get_tokens_ids(asked)
    scores = index.get_scores_from_ids(ids) if ids else []
    return sorted((n for n, score in enumerate(scores) if score > 0), key=lambda n: (-scores[n], n))


def _joined(sentences: list[str], numbers: list[int]) -> str:
    text, before = "", None
    for number in numbers:
        if before is not None:
            text += " " if number == before + 1 else GAP
        text += sentences[number]
        before = number
    return text
