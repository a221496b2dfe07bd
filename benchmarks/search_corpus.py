"""Generated passages for `benchmarks/search.py`: made-up words whose frequencies fall as 1/rank (Zipf), from a seed."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy

WORDS = 500_000  # the vocabulary
MEAN_LENGTH = 100  # words a passage, as in the passages of Wikipedia that retrieval is usually measured on
_SYLLABLES = [a + b for a in "bcdfghjklmnpqrstvwxz" for b in ("a", "e", "i", "o", "u", "an", "er", "il", "om", "us")]


def word(rank: int) -> str:
    """The word of a rank: two syllables or more, no two alike."""
    base, parts = len(_SYLLABLES), []
    rank += base  # no word of one syllable: bm25s passes over single letters and has stop words
    while rank:
        rank, digit = divmod(rank, base)
        parts.append(_SYLLABLES[digit])
    return "".join(reversed(parts))


def rows(passages: int, seed: int) -> Iterator[list[str]]:
    """The words of each passage."""
    random = numpy.random.default_rng(seed)
    words = [word(rank) for rank in range(WORDS)]
    share = numpy.cumsum(1.0 / numpy.arange(1, WORDS + 1))
    share /= share[-1]
    for begin in range(0, passages, 10_000):
        lengths = random.integers(MEAN_LENGTH // 2, MEAN_LENGTH * 3 // 2, size=min(10_000, passages - begin))
        ranks = numpy.searchsorted(share, random.random(int(lengths.sum())))
        for chosen in numpy.split(ranks, numpy.cumsum(lengths)[:-1]):
            yield [words[rank] for rank in chosen]


def write_corpus(path: Path, passages: int, seed: int) -> None:
    """A JSONL corpus with `title`, `text` and `url`."""
    with open(path, "w", encoding="utf-8") as lines:
        for number, words in enumerate(rows(passages, seed)):
            row = {
                "title": " ".join(words[:3]).title(),
                "text": " ".join(words),
                "url": f"https://example.org/{number}",
            }
            lines.write(json.dumps(row) + "\n")


def queries(number: int, seed: int) -> list[str]:
    """Half of the queries as a person would ask (three to six words of one passage), half of words by frequency."""
    random = numpy.random.default_rng(seed + 1)
    made = []
    for index, words in enumerate(rows(number, seed + 2)):
        count = int(random.integers(3, 7))
        rare = sorted(set(words), key=len, reverse=True)[: 3 * count]
        pool = rare if index % 2 else words
        made.append(" ".join(random.choice(pool, size=count, replace=False)))
    return made
