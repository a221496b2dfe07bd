"""Equivalence of an answer with its references: rules first, then math-verify in worker processes."""

import asyncio
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from score.answers.mathematics import MathWorker
from score.answers.notation import as_latex, rows_as_matrix, with_long_powers
from score.answers.rules import LONGEST, equal_by_rule
from score.answers.text import clean, has_word, ungrouped


@dataclass(frozen=True)
class Match:
    """Whether an answer equals a reference; None: the rules cannot tell. `by` names the rule that decided."""

    equal: bool | None
    by: str


def _looks_like_mathematics(text: str) -> bool:
    """Formulas have digits, operators or commands, and no run of words; names and sentences are left to the judge."""
    if len(text) > LONGEST:
        return False
    text = clean(text)
    has_sign = any(character.isdigit() or character in "\\^_+-*/=<>()[]{}|" for character in text)
    words = [word for word in text.replace("\\", " \\").split() if word.isalpha() and len(word) > 2]
    return text.isascii() and (has_sign and len(words) <= 1 or len(text) == 1)


def _may_hide_more(reference: str, answer: str) -> bool:
    """A difference is the judge's to weigh: a unit or a name (`100`, `100 widgets`), or the letter of an option."""
    return has_word(reference) or has_word(answer) or re.fullmatch(r"\(?[A-Z]\)?", clean(reference)) is not None


class Equivalence:
    """Compares answers, from any event loop. Use as a context manager, or call `close`."""

    def __init__(self, workers: int = 2):
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="math-verify")
        self._own = threading.local()  # each thread of the pool asks a worker of its own
        self._workers: list[MathWorker] = []

    def __enter__(self) -> "Equivalence":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _ask(self, reference: str, answer: str) -> bool | None:
        worker = getattr(self._own, "worker", None)
        if worker is None:
            worker = self._own.worker = MathWorker()
            self._workers.append(worker)
        return worker.same(ungrouped(reference), ungrouped(answer))

    async def equal(self, references: Sequence[str], answer: str, question: str = "") -> Match:
        """Does the answer equal one of the references? False only if it differs from all of them for certain.

        The question gives the options of a multiple choice, and the unit that was asked for.
        """
        undecided = []
        unknown = False
        decided_by = ""
        for reference in references:
            decision, rule = equal_by_rule(reference, answer, question)
            if decision:
                return Match(True, rule)
            if decision is None and rule == "undecided":
                undecided.append(reference)
            elif decision is None:  # a rule saw why only a judge can tell
                unknown = True
            else:
                decided_by = decided_by or rule
        loop = asyncio.get_running_loop()
        for reference in undecided:
            reference, candidate = as_latex(clean(reference)), as_latex(clean(answer))
            if "pmatrix" in reference + candidate:
                reference, candidate = rows_as_matrix(reference), rows_as_matrix(candidate)
            if not (_looks_like_mathematics(candidate) and _looks_like_mathematics(reference)):
                unknown = True
                continue
            same = await loop.run_in_executor(self._threads, self._ask, reference, candidate)
            if same:
                return Match(True, "math-verify")
            unknown = unknown or same is None or _may_hide_more(reference, candidate)
            other = as_latex(with_long_powers(clean(answer)))
            if not unknown and other != candidate:
                unknown = await loop.run_in_executor(self._threads, self._ask, reference, other) is not False
            decided_by = "math-verify"
        return Match(None, "undecided") if unknown else Match(False, decided_by)

    def equal_now(self, references: Sequence[str], answer: str, question: str = "") -> Match:
        """The same for scripts without an event loop."""
        return asyncio.run(self.equal(references, answer, question))
