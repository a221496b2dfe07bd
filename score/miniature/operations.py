"""The kinds of operation in a word problem: what they do to the running amount, and how they are said.

Every operation takes the amount so far and gives the next one. Numbers are chosen so that each result is a whole
number between 1 and 999: copying is easy for a small student, and what is left to learn is which sentence means
which operation. Many sentences differ in one word ("in" or "out", "more" or "less", "by" or "to", "each" or "one"),
because that is the difficulty this world is about.

The order of an operation's phrasings matters: cold-start tasks use only the first part of each list. What they hold
back is made of the same words in new company, since a student with tied embeddings cannot say a word it never saw.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

LARGEST = 999


@dataclass(frozen=True)
class State:
    """The amounts before an operation: the first one, the one before the current one, and the current one."""

    start: int
    previous: int
    current: int


@dataclass(frozen=True)
class Operation:
    """One kind of operation.

    thought: what to do, in a word or two.
    code: a Python expression; `{m}` (and `{a}`, `{b}` of a fraction) are the sentence's numbers, `{p}` is the current
        amount's variable, `{q}` the previous one's, `{s}` the first amount.
    result: the same operation on whole numbers; None where it would not be exact.
    numbers: the values that `m` may take, or the pairs (a, b).
    said: the phrasings, separated by semicolons; `{n}` is the owner, `{f}` another person.
    looks_back: it uses an amount before the current one, so it cannot come first.
    """

    name: str
    thought: str
    code: str
    result: Callable[[State, int, int], int | None]
    numbers: tuple[tuple[int, int], ...]
    said: str
    looks_back: bool = False

    @property
    def phrasings(self) -> tuple[str, ...]:
        return tuple(self.said.split("; "))

    def choose(self, state: State, rng: random.Random, smallest: int = 1) -> tuple[int, int, int] | None:
        """Numbers that keep the result exact and within bounds, and that result; None if there are none."""
        fitting = []
        for a, b in self.numbers:
            value = self.result(state, a, b)
            if value is not None and smallest <= value <= LARGEST:
                fitting.append((a, b, value))
        return rng.choice(fitting) if fitting else None


def _exact(dividend: int, divisor: int) -> int | None:
    return dividend // divisor if dividend % divisor == 0 else None


NOTHING = ((0, 0),)
AMOUNTS = tuple((m, 0) for m in range(2, 60))
FACTORS = tuple((m, 0) for m in range(3, 10))
PERCENTS = tuple((m, 0) for m in (10, 20, 25, 30, 40, 50, 60, 75, 80, 90))
GOALS = tuple((m, 0) for m in range(100, 1000, 50))
FRACTIONS = tuple((a, b) for b in range(3, 10) for a in range(2, b))

OPERATIONS = (
    Operation(
        "sum",
        "add",
        "{p} + {m}",
        lambda s, m, _: s.current + m,
        AMOUNTS,
        "{f} gives {m}; {m} come in; {n} gets {m} more; {m} are put on top; {n} buys {m}; {m} more come; "
        "{n} has {m} in; {m} go on top; {n} has {m} back; {f} sells {m}",
    ),
    Operation(
        "difference",
        "subtract",
        "{p} - {m}",
        lambda s, m, _: s.current - m,
        AMOUNTS,
        "{n} gives {m}; {m} go out; {n} loses {m}; {m} are put away; {n} sells {m}; {m} are put out; "
        "{n} has {m} out; {m} come away; {n} gives back {m}; {n} makes {m} less",
    ),
    Operation(
        "product",
        "multiply",
        "{p} * {m}",
        lambda s, m, _: s.current * m,
        FACTORS,
        "it comes {m} times; {m} piles like it; each makes {m}; it grows {m} times; {m} rows like it; "
        "{m} piles for each; each comes {m} times; it is {m} times more",
    ),
    Operation(
        "share",
        "share",
        "{p} // {m}",
        lambda s, m, _: _exact(s.current, m),
        FACTORS,
        "{m} people share it; one of {m} parts; one of {m} boxes; it shrinks {m} times; one of {m} people; "
        "one of {m} piles; share by {m} people; it is {m} times less",
    ),
    Operation(
        "percent kept",
        "take percent",
        "{p} * {m} // 100",
        lambda s, m, _: _exact(s.current * m, 100),
        PERCENTS,
        "keeps {m} percent; {m} percent are good; down to {m} percent; only {m} percent last; "
        "{m} percent come back; only {m} percent are left; has {m} percent; shrinks to {m} percent",
    ),
    Operation(
        "percent up",
        "raise percent",
        "{p} * (100 + {m}) // 100",
        lambda s, m, _: _exact(s.current * (100 + m), 100),
        PERCENTS,
        "{m} percent more; up by {m} percent; {m} percent come in; gets {m} percent; {m} percent on top; "
        "grows by {m} percent; buys {m} percent more; has {m} percent more",
    ),
    Operation(
        "percent down",
        "lower percent",
        "{p} * (100 - {m}) // 100",
        lambda s, m, _: _exact(s.current * (100 - m), 100),
        PERCENTS,
        "{m} percent less; down by {m} percent; {m} percent go out; loses {m} percent; {m} percent are away; "
        "shrinks by {m} percent; sells {m} percent; {m} percent come away",
    ),
    Operation(
        "price",
        "price",
        "{p} * {m}",
        lambda s, m, _: s.current * m,
        FACTORS,
        "each costs {m} coins; sells each for {m}; {m} points for each; one needs {m} minutes; "
        "costs {m} for each; {m} coins for one; each needs {m} points; one costs {m}",
    ),
    Operation(
        "time at a rate",
        "rate",
        "{p} // {m}",
        lambda s, m, _: _exact(s.current, m),
        FACTORS,
        "uses {m} each day; {m} make one coin; one hour for {m}; sells {m} for one; {m} go each hour; "
        "{m} for one coin; one day for {m}; needs {m} each hour",
    ),
    Operation(
        "dozens to pieces",
        "unpack",
        "{p} * 12",
        lambda s, *_: s.current * 12,
        NOTHING,
        "each is a dozen; dozens into pieces; each holds twelve; twelve for one; a dozen for each; each of the dozens",
    ),
    Operation(
        "pieces to dozens",
        "pack",
        "{p} // 12",
        lambda s, *_: _exact(s.current, 12),
        NOTHING,
        "twelve make one; pieces into dozens; each is one of twelve; one dozen of each; one for a dozen; "
        "a dozen makes one",
    ),
    Operation(
        "weeks to days",
        "week",
        "{p} * 7",
        lambda s, *_: s.current * 7,
        NOTHING,
        "each is a week; weeks into days; each day for a week; count days of weeks; a week for each; the days of it",
    ),
    Operation(
        "days to weeks",
        "weekly",
        "{p} // 7",
        lambda s, *_: _exact(s.current, 7),
        NOTHING,
        "each is a day; days into weeks; one day of the week; count weeks of days; a day for each; the weeks of it",
    ),
    Operation(
        "hours to minutes",
        "hour",
        "{p} * 60",
        lambda s, *_: s.current * 60,
        NOTHING,
        "each is an hour; hours into minutes; an hour for one; count minutes of hours; an hour for each; "
        "the minutes of it",
    ),
    Operation(
        "more than",
        "more",
        "{p} + {m}",
        lambda s, m, _: s.current + m,
        AMOUNTS,
        "{f} has {m} more; {n} has {m} less; {f} is {m} ahead; {n} is {m} behind; {f} is {m} up; {n} is {m} down",
    ),
    Operation(
        "fewer than",
        "fewer",
        "{p} - {m}",
        lambda s, m, _: s.current - m,
        AMOUNTS,
        "{f} has {m} less; {n} has {m} more; {f} is {m} behind; {n} is {m} ahead; {f} is {m} down; {n} is {m} up",
    ),
    Operation(
        "missing to a goal",
        "missing",
        "{m} - {p}",
        lambda s, m, _: m - s.current,
        GOALS,
        "{n} needs {m}; the goal is {m}; what lacks to {m}; it holds {m}; what is left of {m}; "
        "what is in to {m}; {m} less it; up to {m}",
    ),
    Operation(
        "average",
        "mean",
        "({p} + {m}) // 2",
        lambda s, m, _: _exact(s.current + m, 2),
        AMOUNTS,
        "the mean with {m}; half way to {m}; the middle to {m}; half with {m}; the mean of {m}; half of it with {m}",
    ),
    Operation(
        "remainder",
        "rest",
        "{p} % {m}",
        lambda s, m, _: s.current % m,
        FACTORS,
        "rest in rows of {m}; left by boxes of {m}; outside teams of {m}; the rest of {m} rows; "
        "left in boxes of {m}; left by teams of {m}",
    ),
    Operation(
        "full groups",
        "groups",
        "{p} // {m}",
        lambda s, m, _: s.current // m if s.current % m else None,
        FACTORS,
        "rows of {m}; full boxes of {m}; count teams of {m}; the rows of {m}; boxes of {m}; count rows of {m}",
    ),
    Operation(
        "fraction kept",
        "take part",
        "{p} * {a} // {b}",
        lambda s, a, b: _exact(s.current * a, b),
        FRACTIONS,
        "keeps {a}/{b}; {a}/{b} are good; down to {a}/{b}; only {a}/{b} last; {a}/{b} come back; "
        "only {a}/{b} are left; has {a}/{b}; shrinks to {a}/{b}",
    ),
    Operation(
        "fraction lost",
        "lose part",
        "{p} * ({b} - {a}) // {b}",
        lambda s, a, b: _exact(s.current * (b - a), b),
        FRACTIONS,
        "{a}/{b} less; down by {a}/{b}; {a}/{b} go out; loses {a}/{b}; {a}/{b} are away; shrinks by {a}/{b}; "
        "sells {a}/{b}; {a}/{b} come away",
    ),
    Operation(
        "double",
        "double",
        "{p} * 2",
        lambda s, *_: s.current * 2,
        NOTHING,
        "it doubles; {f} has twice that; two such piles; {n} has half of {f}; two of each; each makes two",
    ),
    Operation(
        "half",
        "halve",
        "{p} // 2",
        lambda s, *_: _exact(s.current, 2),
        NOTHING,
        "half go out; {f} has half that; one of two parts; {n} has twice {f}; half of each; two make one",
    ),
    Operation(
        "larger",
        "larger",
        "max({p}, {m})",
        lambda s, m, _: max(s.current, m),
        AMOUNTS,
        "the larger with {m}; never below {m}; {m} or more; it holds {m} or more; it is {m} or more; "
        "what is less is {m}",
    ),
    Operation(
        "smaller",
        "smaller",
        "min({p}, {m})",
        lambda s, m, _: min(s.current, m),
        AMOUNTS,
        "the smaller with {m}; never above {m}; {m} or less; it holds {m} or less; it is {m} or less; "
        "what is more is {m}",
    ),
    Operation(
        "add the previous amount",
        "add previous",
        "{p} + {q}",
        lambda s, *_: s.current + s.previous,
        NOTHING,
        "the last comes back; add the one before; with the one before; the last on top; one more for the last",
        looks_back=True,
    ),
    Operation(
        "take away the start",
        "subtract first",
        "{p} - {s}",
        lambda s, *_: s.current - s.start,
        NOTHING,
        "the first go out; without the start; out of the start; the start is less; the first are less",
        looks_back=True,
    ),
    Operation(
        "add the start",
        "add first",
        "{p} + {s}",
        lambda s, *_: s.current + s.start,
        NOTHING,
        "the first come back; add the start; with the first; the start is more; add the first",
        looks_back=True,
    ),
)
