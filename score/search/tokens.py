"""The words that BM25 counts, in passages and queries alike: bm25s's own, and what it would leave out where it matters.

bm25s passes over words of one character and English stop words. An underscore before them makes ordinary words of them.
That is done to the characters of Chinese, Japanese and Korean, each a word, and to the words of a title or a query that
has no others (`It`). All other text is left as it is: its scores are those of plain bm25s.
"""

import re
from functools import cache

from score.questions import characters_apart, words

MARK = "_"


@cache
def _ordinary() -> re.Pattern[str]:
    """A word that bm25s keeps, in a text in lower case."""
    from bm25s.stopwords import STOPWORDS_EN

    return re.compile(rf"\b(?!(?:{'|'.join(STOPWORDS_EN)})\b)\w\w+\b")


def countable(text: str) -> str:
    """A text as bm25s is to read it."""
    return characters_apart(text, MARK)


def countable_passage(title: str, text: str) -> str:
    """A passage as bm25s is to read it."""
    if title and not _ordinary().search(countable(title).lower()):
        title = _all_marked(title)
    return countable(f"{title} {text}")


def asked_for(query: str) -> list[str]:
    """The words that a query asks for: none only where it holds neither a letter nor a digit."""
    import bm25s

    tokens: list[str] = bm25s.tokenize(countable(query), show_progress=False, return_ids=False)[0]
    return tokens or _all_marked(query).split()


def _all_marked(text: str) -> str:
    return " ".join(MARK + word for word in words(text))
