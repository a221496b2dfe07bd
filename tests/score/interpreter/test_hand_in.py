"""A step that only hands in an answer runs without a copy; what might do more is declined, and nothing has happened."""

from typing import Any

import pytest

from score.interpreter import Session

STATE = (
    "a, b, half, name, nothing = 6, 7, 0.5, 'six', None\n"
    "class Counting(int):\n    said = 0\n    def __format__(self, form):\n        Counting.said += 1\n        return 'n'\n"
    "    __str__ = __repr__ = lambda self: self.__format__('')\n"
    "odd, many, huge, long = Counting(3), iter([1, 2]), 10**40, 'x' * 20_000\n"
    "def ask(): return 1"
)

ONLY_ANSWERS = {
    "final_answer_print(a)": "6",
    "final_answer_print(f'{a} times {b} makes {a * b}')": "6 times 7 makes 42",
    "print('so', a, nothing)\nfinal_answer_print(a + b)": "13",
    "final_answer_print(-a / 4 + half)": "-1.0",
    "final_answer_print(f'{a / b:.3f}')": "0.857",
    "final_answer_print(f'{name!r}')": "'six'",
    "final_answer_print(name + ' or ' + str(a))": "six or 6",
    "final_answer_print(round(a / b, 2))": None,  # two arguments: left to a copy
    "final_answer_print(round(a / b))": "1",
    "final_answer_print(True)": "True",
}

MIGHT_DO_MORE = [
    "x = 1\nfinal_answer_print(x)",
    "final_answer_print(a)\nx = 1",
    "print(a)",
    "final_answer_print(odd)",
    "final_answer_print(f'{odd}')",
    "final_answer_print(next(many))",
    "final_answer_print(ask())",
    "final_answer_print([a])",
    "final_answer_print(name.upper())",
    "final_answer_print(a ** b)",
    "final_answer_print('x' * 10**9)",
    "final_answer_print(name % a)",
    "final_answer_print(huge)",
    "final_answer_print(long)",
    "final_answer_print((x := 3))",
    "final_answer_print(f'{a:>1000000000}')",
    "final_answer_print(f'{a:{b}}')",
    "print(a, file=None)\nfinal_answer_print(a)",
    "final_answer_print(*[a])",
    "final_answer_print(answer=a)",
    "final_answer_print(unknown)",
    "final_answer_print(a" + " + 1" * 100 + ")",
    "final_answer_print(((((",
    "final_answer_print(a) if a else None",
]


@pytest.mark.parametrize("code", ONLY_ANSWERS)
def test_what_only_hands_in_an_answer_runs_as_in_a_copy(play: Any, code: str) -> None:
    async def scene(session: Session) -> tuple[Any, Any]:
        await session.run(STATE)
        async with await session.fork() as copy:
            in_a_copy = await copy.run(code)
        return in_a_copy, await session.hand_in(code)

    in_a_copy, handed_in = play(scene)
    if (expected := ONLY_ANSWERS[code]) is None:
        assert handed_in is None
        return
    assert handed_in is not None
    seen = [(one.status, one.observation, one.final_answer) for one in (in_a_copy, handed_in)]
    assert seen[0] == seen[1] and handed_in.final_answer == expected


def test_what_might_do_more_is_declined_and_has_not_run(play: Any) -> None:
    async def scene(session: Session) -> list[Any]:
        await session.run(STATE)
        declined = [await session.hand_in(code) for code in MIGHT_DO_MORE]
        after = await session.run("print('x' in globals(), Counting.said, next(many))\nundefined")
        return [*declined, after.observation]

    *declined, after = play(scene)
    assert declined == [None] * len(MIGHT_DO_MORE)
    assert after.startswith("False 0 1\n") and "<step 2>" in after


@pytest.mark.parametrize(
    "trick",
    ["def print(*_): globals().update(a=9)", "def final_answer_print(_): globals().update(a=9)", "str = lambda _: exit()",
     "import builtins\nbuiltins.print = lambda *_: globals().update(a=9)",
     "import sys, io\nsys.stdout = io.StringIO()"],
    ids=["print", "final_answer_print", "str", "builtins", "stdout"],
)  # fmt: skip
def test_names_that_the_session_put_something_else_under_are_not_trusted(play: Any, trick: str) -> None:
    async def scene(session: Session) -> Any:
        await session.run("a = 6\n" + trick)
        return await session.hand_in("print(str(a))\nfinal_answer_print(str(a))")

    assert play(scene) is None


def test_an_error_before_the_answer_counts_as_declined(play: Any) -> None:
    async def scene(session: Session) -> tuple[Any, Any, Any]:
        await session.run("a = 6")
        declined = await session.hand_in("final_answer_print(a / 0)")
        return declined, await session.hand_in("final_answer_print(a)"), await session.run("print(a)\na / 0")

    declined, answered, after = play(scene)
    assert declined is None and answered.final_answer == "6"
    assert after.observation.startswith("6\n") and "<step 2>" in after.observation
