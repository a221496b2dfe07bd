"""Word problems: a running amount, changed by one to eight sentences, each of which means one operation.

The teacher's step quotes the sentence it deals with, says the operation and computes it; the last step gives the
answer. Some sentences hold a number that has nothing to do with the amount.
"""

import random
from dataclasses import dataclass
from typing import Any

from score.miniature.composition import is_held_out
from score.miniature.operations import OPERATIONS, Operation, State

PEOPLE = ("Ava", "Ben", "Cara", "Dan", "Eli", "Fay", "Gus", "Hana", "Ivan", "Jade")
THINGS = ("apples", "pens", "cards", "shells", "coins", "books", "stamps", "eggs")
STARTS = ("{n} has {s} {i}.", "{n} owns {s} {i}.")
DISTRACTORS = ("{f} is {m} years old.", "The bus is number {m}.", "It is day {m}.", "{f} lives at house {m}.")
ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth")
VARIABLES = "abcdefgh"

# A task with its solution: question, true_answer, kind, operations, plan, steps [{thought, code, value}].
Problem = dict[str, Any]


@dataclass(frozen=True)
class WordSettings:
    """How hard the word problems of a split are.

    lengths: relative frequency of 1, 2, … operations.
    phrasings: the share of each operation's phrasings that may occur, from the front.
    distractors: the probability of an idle sentence before each operation.
    held_out: take only held-out compositions (True) or only the others (False).
    """

    lengths: tuple[float, ...]
    phrasings: float
    distractors: float
    held_out: bool


def usable(phrasings: tuple[str, ...], share: float) -> tuple[str, ...]:
    """The first part of an operation's phrasings; at least one."""
    return phrasings[: max(1, round(len(phrasings) * share))]


def _compose(settings: WordSettings, rng: random.Random) -> tuple[Operation, ...]:
    while True:
        length = rng.choices(range(1, len(settings.lengths) + 1), settings.lengths)[0]
        operations = tuple(rng.choice(OPERATIONS) for _ in range(length))
        if operations[0].looks_back:
            continue
        if is_held_out(tuple(o.name for o in operations)) == settings.held_out:
            return operations


def _attempt(operations: tuple[Operation, ...], settings: WordSettings, rng: random.Random) -> Problem | None:
    """One problem with these operations, or None if the numbers drawn admit no exact solution."""
    owner, friend = rng.sample(PEOPLE, 2)
    thing = rng.choice(THINGS)
    start = rng.randint(4, 99)
    words = {"n": owner, "f": friend, "i": thing}
    sentences = [rng.choice(STARTS).format(**words, s=start)]
    state = State(start, start, start)
    names = [str(start), str(start)]  # how the previous and the current amount are called in code
    steps = []
    for variable, ordinal, operation in zip(VARIABLES, ORDINALS, operations, strict=False):
        chosen = operation.choose(state, rng)
        if chosen is None:
            return None
        first, second, value = chosen
        numbers = {"m": first, "a": first, "b": second}
        if rng.random() < settings.distractors:
            sentences.append(rng.choice(DISTRACTORS).format(f=rng.choice(PEOPLE), m=rng.randint(2, 40)))
        sentence = rng.choice(usable(operation.phrasings, settings.phrasings)).format(**words, **numbers)
        sentences.append(f"{ordinal} {sentence}.")
        expression = operation.code.format(p=names[1], q=names[0], s=start, **numbers)
        steps.append(
            {
                "thought": f"{ordinal} {sentence}: {operation.thought}.",
                "code": f"{variable} = {expression}\nprint({variable})",
                "value": str(value),
            }
        )
        state = State(start, state.current, value)
        names = [names[1], variable]
    sentences.append("How many?")
    steps.append({"thought": "Done.", "code": f"final_answer_print({names[1]})", "value": str(state.current)})
    return {
        "question": " ".join(sentences),
        "true_answer": str(state.current),
        "kind": "word",
        "operations": [o.name for o in operations],
        "plan": f"Count the {thing}.",
        "steps": steps,
    }


def word_problem(settings: WordSettings, rng: random.Random) -> Problem:
    """A word problem with its solution."""
    while True:
        operations = _compose(settings, rng)
        for _ in range(40):
            problem = _attempt(operations, settings, rng)
            if problem is not None:
                return problem
