"""The kinds of operation in a word problem: what they do to the running amount, and how they are said.

Every operation takes the amount so far and gives the next one. Numbers are chosen so that each result is a whole
number between 1 and 999: copying is easy for a small student, and what is left to learn is which sentence means
which operation. Many sentences differ in one word (`more` or `fewer`, `are` or `are not`, `to` or `from`), because
that is the difficulty this world is about.

The order of an operation's phrasings matters: cold-start tasks use only the first part of each list.
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
    code: a Python expression; `{m}` (and `{a}`, `{b}` of a fraction) are the sentence's numbers, `{p}` is the current amount's variable, `{q}` the previous one's, `{s}` the first amount.
    result: the same operation on whole numbers; None where it would not be exact.
    numbers: the values that `m` may take, or the pairs (a, b).
    phrasings: `{n}` is the owner, `{f}` another person.
    looks_back: it uses an amount before the current one, so it cannot come first.
    """

    name: str
    thought: str
    code: str
    result: Callable[[State, int, int], int | None]
    numbers: tuple[tuple[int, int], ...]
    phrasings: tuple[str, ...]
    looks_back: bool = False

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
        "sum", "add", "{p} + {m}", lambda s, m, _: s.current + m, AMOUNTS,
        (
            "{n} buys {m} more.", "{f} gives {n} another {m}.", "{m} new ones arrive.", "{n} finds {m} on the road.",
            "{m} join the pile.", "{n} wins {m} from {f}.", "{m} are handed to {n}.", "{n} picks up {m}.",
            "{f} brings {m} along.", "{n} takes in {m}.",
        ),
    ),
    Operation(
        "difference", "subtract", "{p} - {m}", lambda s, m, _: s.current - m, AMOUNTS,
        (
            "{n} loses {m}.", "{n} gives {f} {m}.", "{m} of them break.", "{n} sells {m} on the road.",
            "{m} leave the pile.", "{f} wins {m} from {n}.", "{m} are handed to {f}.", "{n} throws out {m}.",
            "{f} takes {m} along.", "{n} does without {m}.",
        ),
    ),
    Operation(
        "product", "multiply", "{p} * {m}", lambda s, m, _: s.current * m, FACTORS,
        (
            "The amount becomes {m} times as large.", "There are {m} such piles in all.", "Each one turns into {m}.",
            "The pile grows {m} fold.", "{n} does the same on {m} days.", "{m} people own that many each.",
            "The stock is multiplied by {m}.", "It takes {m} rounds of this.",
        ),
    ),
    Operation(
        "share", "share", "{p} // {m}", lambda s, m, _: _exact(s.current, m), FACTORS,
        (
            "{m} people share them equally.", "{n} splits them evenly into {m} bags and keeps one.",
            "Only one of {m} equal piles stays.", "The pile shrinks {m} fold.", "{m} hands get the same, count one.",
            "{n} spreads them over {m} days, count a day.", "Cut into {m} equal lots, one is left.",
            "It is the work of {m} rounds, count one.",
        ),
    ),
    Operation(
        "percent kept", "take percent", "{p} * {m} // 100",
        lambda s, m, _: _exact(s.current * m, 100), PERCENTS,
        (
            "Only {m} percent are good.", "{n} keeps {m} percent.", "{m} in every hundred stay.",
            "No more than {m} percent last.", "{m} percent survive.",
            "It drops to {m} percent.", "{m} percent are worth counting.", "{m} percent pass the test.",
        ),
    ),
    Operation(
        "percent up", "raise percent", "{p} * (100 + {m}) // 100",
        lambda s, m, _: _exact(s.current * (100 + m), 100), PERCENTS,
        (
            "The amount rises by {m} percent.", "{n} gets {m} percent more.", "A bonus of {m} percent is added.",
            "{m} percent come on top.", "It climbs {m} percent.", "Interest of {m} percent is paid.",
            "{m} percent are put in as well.", "A fee of {m} percent is charged.",
        ),
    ),
    Operation(
        "percent down", "lower percent", "{p} * (100 - {m}) // 100",
        lambda s, m, _: _exact(s.current * (100 - m), 100), PERCENTS,
        (
            "The amount falls by {m} percent.", "{n} loses {m} percent.", "A tax of {m} percent is taken.",
            "{m} percent break.", "All but {m} percent stay.", "A discount of {m} percent is given.",
            "{m} percent are left out.", "{m} percent fail the test.",
        ),
    ),
    Operation(
        "price", "price", "{p} * {m}", lambda s, m, _: s.current * m, FACTORS,
        (
            "Each costs {m} coins, count the coins.", "They sell at {m} coins each.", "One weighs {m} grams, weigh all.",
            "{n} pays {m} coins a piece.", "There are {m} points for each.", "Every one needs {m} nails, count nails.",
            "One takes {m} minutes, add up the minutes.", "For one you get {m} stamps, trade all.",
        ),
    ),
    Operation(
        "time at a rate", "rate", "{p} // {m}", lambda s, m, _: _exact(s.current, m), FACTORS,
        (
            "{n} uses {m} a day, count the days.", "A machine packs {m} per hour, count the hours.",
            "With {m} done every minute, count minutes.", "{n} pays with them, {m} for a coin, count coins.",
            "At {m} each night, how many nights.", "{f} eats {m} a week until none is left.",
            "You trade {m} for one stamp, count stamps.", "It takes {m} to make a chair, count chairs.",
        ),
    ),
    Operation(
        "dozens to pieces", "times 12", "{p} * 12", lambda s, *_: s.current * 12, NOTHING,
        (
            "Each is a dozen, count single ones.", "These are dozens, count pieces.", "Every one holds twelve.",
            "Open the dozens and count.", "There are twelve in each.", "Turn dozens into pieces.",
        ),
    ),
    Operation(
        "pieces to dozens", "divide by 12", "{p} // 12", lambda s, *_: _exact(s.current, 12), NOTHING,
        (
            "These are single ones, count dozens.", "How many dozens is that.", "They are packed by twelve.",
            "Close them into dozens and count.", "Twelve make one pack, count packs.", "Turn pieces into dozens.",
        ),
    ),
    Operation(
        "weeks to days", "times 7", "{p} * 7", lambda s, *_: s.current * 7, NOTHING,
        (
            "Each lasts a week, count the days.", "These are weeks, turn them into days.", "Every week has its days, use days.",
            "Each is one for a week, count daily.", "{n} needs that many every day for a week.", "Say weeks as days.",
        ),
    ),
    Operation(
        "days to weeks", "divide by 7", "{p} // 7", lambda s, *_: _exact(s.current, 7), NOTHING,
        (
            "Each lasts a day, count the weeks.", "These are days, turn them into weeks.", "The days fill weeks, use weeks.",
            "Seven days at a time, count weeks.", "{n} needs them in a week, count one day.", "Say days as weeks.",
        ),
    ),
    Operation(
        "hours to minutes", "times 60", "{p} * 60", lambda s, *_: s.current * 60, NOTHING,
        (
            "Each takes an hour, count the minutes.", "These are hours, turn them into minutes.",
            "An hour goes by for each, use minutes.", "Say hours as minutes.", "One every hour, how many minutes.",
        ),
    ),
    Operation(
        "more than", "more", "{p} + {m}", lambda s, m, _: s.current + m, AMOUNTS,
        (
            "{f} has {m} more than that, count those.", "{f} beats {n} by {m}, take {f}.",
            "{n} has {m} less than {f}, take {f}.", "{f} is {m} ahead, go on with {f}.",
            "{n} is {m} short of what {f} has, use that.", "{f} owns {m} beyond that, use it.",
            "{n} trails {f} by {m}, take {f}.", "{m} above it is where {f} stands, use it.",
        ),
    ),
    Operation(
        "fewer than", "fewer", "{p} - {m}", lambda s, m, _: s.current - m, AMOUNTS,
        (
            "{f} has {m} fewer than that, count those.", "{n} beats {f} by {m}, take {f}.",
            "{n} has {m} more than {f}, take {f}.", "{f} is {m} behind, go on with {f}.",
            "{f} is {m} short of what {n} has, use that.", "{f} owns {m} below that, use it.",
            "{f} trails {n} by {m}, take {f}.", "{m} under it is where {f} stands, use it.",
        ),
    ),
    Operation(
        "missing to a goal", "missing", "{m} - {p}", lambda s, m, _: m - s.current, GOALS,
        (
            "{n} needs {m}, count the missing ones.", "The goal is {m}, find the gap.", "A shelf for {m} has free places.",
            "To reach {m}, how many lack.", "{n} must get to {m}, count the rest.", "{m} are due, what is still owed.",
            "Out of {m} these are gone.", "The others make it {m}, count the others.",
        ),
    ),
    Operation(
        "average", "mean", "({p} + {m}) // 2", lambda s, m, _: _exact(s.current + m, 2), AMOUNTS,
        (
            "{f} has {m}, take the average.", "Find the mean of it and {m}.", "Take the middle between it and {m}.",
            "With the {m} of {f} both get the same.", "Level it with {m}.", "{f} adds {m} and they halve it all.",
        ),
    ),
    Operation(
        "remainder", "rest", "{p} % {m}", lambda s, m, _: s.current % m, FACTORS,
        (
            "They go into rows of {m}, count the rest.", "Packed by {m}, some remain outside.",
            "Boxes of {m} get full, count what is left over.", "Groups of {m} leave, who stays behind.",
            "{n} deals them by {m} and keeps the end.", "Teams of {m} form, count those without.",
        ),
    ),
    Operation(
        "full groups", "groups", "{p} // {m}", lambda s, m, _: s.current // m if s.current % m else None, FACTORS,
        (
            "They go into rows of {m}, count the rows.", "Packed by {m}, some boxes get full.",
            "Boxes of {m} get full, count the boxes.", "Groups of {m} leave, how many groups.",
            "{n} deals them by {m} and counts the hands.", "Teams of {m} form, count the teams.",
        ),
    ),
    Operation(
        "fraction kept", "take part", "{p} * {a} // {b}", lambda s, a, b: _exact(s.current * a, b), FRACTIONS,
        (
            "{n} keeps {a}/{b} of them.", "Only {a} in {b} are ripe.", "{a} of {b} parts remain.",
            "For every {b} just {a} make it.", "{a}/{b} are worth counting.", "It drops to {a}/{b}.",
            "No more than {a}/{b} survive.", "{a} out of {b} pass the test.",
        ),
    ),
    Operation(
        "fraction lost", "lose part", "{p} * ({b} - {a}) // {b}",
        lambda s, a, b: _exact(s.current * (b - a), b), FRACTIONS,
        (
            "{n} loses {a}/{b} of them.", "Sadly {a} in {b} are bad.", "{a} of {b} parts go away.",
            "For every {b} there are {a} that break.", "{a}/{b} are left out.", "It drops by {a}/{b}.",
            "All but {a}/{b} survive.", "{a} out of {b} fail the test.",
        ),
    ),
    Operation(
        "double", "double", "{p} * 2", lambda s, *_: s.current * 2, NOTHING,
        (
            "The amount doubles.", "{f} has twice that, count those.", "There are two times as many.",
            "A pile of the same size joins.", "{n} has half of what {f} has, take {f}.", "Every one gets a twin.",
        ),
    ),
    Operation(
        "half", "halve", "{p} // 2", lambda s, *_: _exact(s.current, 2), NOTHING,
        (
            "Half of them go away.", "{f} has half of that, count those.", "Only every second one stays.",
            "The pile is cut in two.", "{n} has twice what {f} has, take {f}.", "They stand in pairs, count pairs.",
        ),
    ),
    Operation(
        "larger", "larger", "max({p}, {m})", lambda s, m, _: max(s.current, m), AMOUNTS,
        (
            "{f} has {m}, take the larger count.", "Use {m} if that is more.", "At least {m} are promised.",
            "It is lifted to {m} if it is lower.", "Whoever has most counts, {f} has {m}.", "It never goes below {m}.",
        ),
    ),
    Operation(
        "smaller", "smaller", "min({p}, {m})", lambda s, m, _: min(s.current, m), AMOUNTS,
        (
            "{f} has {m}, take the smaller count.", "Use {m} if that is less.", "At most {m} are allowed.",
            "It is capped at {m} if it is higher.", "Whoever has least counts, {f} has {m}.", "It never goes above {m}.",
        ),
    ),
    Operation(
        "add the previous amount", "add previous", "{p} + {q}", lambda s, *_: s.current + s.previous, NOTHING,
        (
            "Add the amount just before.", "The previous amount comes back too.", "Count it with what was there a step ago.",
            "What it was last joins again.", "Put it beside the amount one step earlier.",
        ),
        looks_back=True,
    ),
    Operation(
        "take away the start", "subtract first", "{p} - {s}", lambda s, *_: s.current - s.start, NOTHING,
        (
            "Take off what {n} had at first.", "How many more than at the start.", "Count only those beyond the first amount.",
            "The first ones go back.", "Compare with the beginning.",
        ),
        looks_back=True,
    ),
    Operation(
        "add the start", "add first", "{p} + {s}", lambda s, *_: s.current + s.start, NOTHING,
        (
            "Add what {n} had at first.", "As many as at the start come again.", "Count those of the first amount too.",
            "The first ones come back.", "Join it with the beginning.",
        ),
        looks_back=True,
    ),
)
