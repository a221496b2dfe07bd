"""The index over evaluation questions.

Three kinds of overlap, the strongest first:

- *same question*: equal after normalisation;
- *n-gram*: 13 words in a row in both (the rule of GPT-3's paper, arXiv 2005.14165, appendix C); in Chinese, Japanese or
  Korean 26 characters, as names alone have 13. A run of words that more than `common` evaluation questions share is a
  phrase of the trade ("where m and n are relatively prime positive integers ..."), and tells nothing;
- *near duplicate*: Jaccard similarity of the word trigrams at least `near`. MinHash LSH (datasketch) proposes, the
  exact similarity decides, so that there are no false alarms from hashing.

Nearly all questions of a large file are told apart by their trigrams alone: what shares too few with all evaluation
questions together cannot be a near duplicate of any, and a common 13-gram needs 11 known trigrams in a row. Both
are necessary conditions, so the short cut loses nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from score.contamination.settings import ContaminationSettings
from score.question_files import Question
from score.questions import is_character, normalised, words

How = Literal["same question", "n-gram", "near duplicate"]
Trigram = tuple[str, ...]
PERMUTATIONS = 128


@dataclass(frozen=True)
class Overlap:
    """`item` is the evaluation question met by `question`; `detail` shows the shared words or the similarity."""

    question: str
    item: Question
    how: How
    detail: str

    def row(self) -> dict[str, str]:
        """As it is listed in a file."""
        return {
            "question": self.question,
            "how": self.how,
            "detail": self.detail,
            "evaluation_file": self.item.file,
            "evaluation_id": self.item.id,
            "evaluation_question": self.item.text,
        }


def _trigrams(tokens: list[str]) -> list[Trigram]:
    """Three words each; a question of fewer words is one shingle, so that it can equal another."""
    return list(zip(tokens, tokens[1:], tokens[2:], strict=False)) or [tuple(tokens)]


class Index:
    """Looks questions up among evaluation questions. Memory grows with the evaluation set alone."""

    def __init__(self, items: Iterable[Question], settings: ContaminationSettings | None = None):
        self.settings = settings or ContaminationSettings()
        self.items = [item for item in items if item.text.strip()]
        self._same: dict[str, int] = {}
        self._shingles: list[frozenset[Trigram]] = []
        self._ngrams: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._known: set[Trigram] = set()
        for number, item in enumerate(self.items):
            first = self._same.setdefault(normalised(item.text), number)
            tokens = words(item.text)
            self._shingles.append(frozenset(_trigrams(tokens)))
            if first != number:
                continue  # the same question in a second file adds nothing
            self._known |= self._shingles[number]
            for ngram in set(self._runs(tokens)):
                self._ngrams[ngram].append(number)
        for ngram in [ngram for ngram, where in self._ngrams.items() if len(where) > self.settings.common]:
            del self._ngrams[ngram]
        # How few different trigrams one of the n-grams has ("0 0 0 ..." has one): with fewer known there is none.
        self._fewest_in_ngram = min((len(set(_trigrams(list(ngram)))) for ngram in self._ngrams), default=1)
        self._lsh: Any = None

    def __len__(self) -> int:
        return len(self.items)

    def find(self, question: str) -> Overlap | None:
        """The strongest overlap with an evaluation question, or None."""
        found = self.find_all(question)
        return found[0] if found else None

    def find_all(self, question: str) -> list[Overlap]:
        """One overlap for each evaluation question that is met, the strongest first."""
        if not self.items:
            return []
        same = self._same.get(normalised(question))
        tokens = words(question)
        shingles: set[Trigram] = set(zip(tokens, tokens[1:], tokens[2:], strict=False)) or {tuple(tokens)}
        known = len(shingles & self._known)
        found: dict[int, Overlap] = {}
        if same is not None:
            found[same] = Overlap(question, self.items[same], "same question", "")
        if known >= self._fewest_in_ngram and self._has_known_run(tokens):
            for ngram in self._runs(tokens):
                for number in self._ngrams.get(ngram, ()):
                    found.setdefault(number, Overlap(question, self.items[number], "n-gram", " ".join(ngram)))
        if known >= self.settings.near * len(shingles):
            for number, similarity in self._near(frozenset(shingles)):
                detail = f"similarity {similarity:.2f}"
                found.setdefault(number, Overlap(question, self.items[number], "near duplicate", detail))
        return list(found.values())

    def _has_known_run(self, tokens: list[str]) -> bool:
        """Are as many trigrams known in a row as an n-gram has?"""
        known = bytes(map(self._known.__contains__, _trigrams(tokens)))
        return b"\1" * (self.settings.ngram - 2) in known

    def _runs(self, tokens: list[str]) -> list[tuple[str, ...]]:
        characters = sum(map(is_character, tokens))
        length = self.settings.ngram * (2 if 2 * characters > len(tokens) else 1)
        return [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]

    def _near(self, shingles: frozenset[Trigram]) -> list[tuple[int, float]]:
        """(item, Jaccard similarity) of the near duplicates, the nearest first."""
        if self._lsh is None:
            self._build_lsh()
        found = []
        for number in self._lsh.query(_minhash(shingles)):
            other = self._shingles[number]
            similarity = len(shingles & other) / len(shingles | other)
            if similarity >= self.settings.near:
                found.append((number, similarity))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def _build_lsh(self) -> None:
        from datasketch import MinHashLSH  # late: it brings scipy

        # A proposal too many costs a comparison, one too few an overlap: so the sketch's threshold lies far lower.
        self._lsh = MinHashLSH(threshold=0.6 * self.settings.near, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
        for number in self._same.values():
            self._lsh.insert(number, _minhash(self._shingles[number]))


def _minhash(shingles: frozenset[Trigram]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
    sketch.update_batch([" ".join(shingle).encode() for shingle in shingles])
    return sketch


def overlaps(
    evaluation: Iterable[Question], training: Iterable[Question], settings: ContaminationSettings | None = None
) -> dict[Question, Overlap]:
    """The evaluation items that occur in training data, each with its first overlap; `training` may be a stream."""
    index = Index(evaluation, settings)
    met: dict[Question, Overlap] = {}
    for question in training:
        for overlap in index.find_all(question.text):
            met.setdefault(overlap.item, overlap)
    # An item that stands in the evaluation files twice is indexed once.
    twins = {normalised(item.text): overlap for item, overlap in met.items()}
    return {item: twins[normalised(item.text)] for item in index.items if normalised(item.text) in twins}
