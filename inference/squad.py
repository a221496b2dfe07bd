"""Exact match and token F1 as SQuAD's evaluation script computes them (Rajpurkar et al. 2016, arXiv 1606.05250)."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from score.answers import clean

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    r"""Lower case, without ASCII punctuation, the articles a / an / the, and superfluous white space.

    `\boxed{...}` and `\text{...}` come off first: the student hands in LaTeX whatever the question is.
    """
    bare = clean(text).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(references: Sequence[str], answer: str) -> bool:
    """The answer is one of the accepted ones, both normalised."""
    return normalise(answer) in {normalise(reference) for reference in references}


def token_f1(references: Sequence[str], answer: str) -> tuple[float, str]:
    """(F1, reference): the harmonic mean of precision and recall of the tokens that answer and reference share, for
    the accepted reference that gives the most. 1.0 or 0.0 where one of the two has no token at all."""
    scores = [(_f1(normalise(reference).split(), normalise(answer).split()), reference) for reference in references]
    return max(scores, key=lambda scored: scored[0], default=(0.0, ""))


def _f1(expected: list[str], given: list[str]) -> float:
    if not expected or not given:
        return float(expected == given)
    shared = sum((Counter(expected) & Counter(given)).values())
    return 2 * shared / (len(expected) + len(given))
