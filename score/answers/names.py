"""One name in two forms, where that can be told without knowing what it names.

Each rule asks for the same words and allows one difference; anything beyond is a judge's work.
"""

import re
from collections.abc import Iterator
from functools import cache

import pytz

from score.answers.text import clean, plain_text

_ABBREVIATION = re.compile(r"\s*\(([A-Z]{2,8})\)")
_NAME = re.compile(r"([A-Z][a-z]+(?:['’-][A-Z]?[a-z]+)*) ([A-Z][a-z]+(?:['’-][A-Z]?[a-z]+)*)")
_OTHER_COUNTRIES = "us usa uk england scotland wales great britain south korea north korea holland".split()
_ALTERNATIVES = re.compile(r"\b(?:or|not|nor|versus|vs|than)\b", re.IGNORECASE)


def same_name(reference: str, answer: str, question: str = "") -> str | None:
    """The rule by which the two are the same, or None where none of these can tell."""
    left, right = clean(reference), clean(answer)
    if _turned(left, right):
        return "order of a name"
    if _ABBREVIATION.search(left + right) and _plain(_spelt_out(left)) == _plain(_spelt_out(right)):
        return "abbreviation"
    if _abbreviated_alone(left, right):
        return "abbreviation"
    place, _, country = right.rpartition(",")
    if country and plain_text(country) in _countries() and plain_text(place) == plain_text(left):
        return "country"
    if any(_added(question, *pair) for pair in ((left, right), (right, left))):
        return "word of the question"
    return None


def _turned(left: str, right: str) -> bool:
    """`Tsui Hark` and `Hark Tsui`: two words, each written as a name."""
    one, two = _NAME.fullmatch(left), _NAME.fullmatch(right)
    return one is not None and two is not None and one.groups() == two.groups()[::-1]


def _spelt_out(text: str) -> str:
    """Without `(RH)` behind the words that it abbreviates: letter by letter those before it."""

    def kept(found: re.Match[str]) -> str:
        words = re.findall(r"[^\W\d_]+", text[: found.start()])[-len(found[1]) :]
        return "" if "".join(word[0] for word in words).upper() == found[1] else found[0]

    return _ABBREVIATION.sub(kept, text)


def _abbreviated_alone(reference: str, answer: str) -> bool:
    """`Nippon Television` for `Nippon Television Network Corporation (NTV)`: the first words of the name, and the
    abbreviation stands for them: it begins each of them, and none of its letters a word that is left out."""
    found = re.fullmatch(r"(.+?)" + _ABBREVIATION.pattern, reference)
    if found is None or not plain_text(found[1]).startswith(f"{plain_text(answer)} "):
        return False
    words = plain_text(found[1]).split()
    said = plain_text(answer).split()
    letters = found[2].casefold()
    spelt = re.fullmatch(".*".join(letters) + ".*", "".join(said)) is not None
    begun = all(word[0] in letters for word in said) and len(said) > 1
    return spelt and begun and not any(word[0] in letters[len(said) :] for word in words[len(said) :])


def _plain(text: str) -> str:
    return plain_text(re.sub(r"\^?\\circ\s*(?=[CF]\b)", "°", text))


@cache
def _countries() -> frozenset[str]:
    return frozenset({*_OTHER_COUNTRIES, *(plain_text(name) for name in pytz.country_names.values())})


def _added(question: str, short: str, long: str) -> bool:
    """`Danube` and `Danube River` where the question asks for a river: one word more, a common noun of the question,
    which offers no alternatives."""
    bare, more = plain_text(short), plain_text(long)
    if not bare or not more.startswith(f"{bare} "):
        return False
    if _ALTERNATIVES.search(question) or bare in plain_text(question):
        return False
    added = more[len(bare) + 1 :]
    return bool(re.fullmatch(r"[a-z]{4,}", added)) and any(_alike(added, word) for word in _common_nouns(question))


def _common_nouns(question: str) -> Iterator[str]:
    yield from re.findall(r"(?<!\w)[a-z]{4,}(?!\w)", question)


def _alike(one: str, other: str) -> bool:
    """The same word, or with an ending of at most two letters: `larva`, `larval`."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and len(long) - len(short) <= 2
