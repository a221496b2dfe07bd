"""Whether two steps do the same is decided by running both from forks of one prefix."""

import asyncio
from typing import Any

import pytest
from prefix import Prefix
from reward.effects import effect, variables
from reward.keyturn import key_turn_of
from reward.sameness import normalised
from rl_settings import RLSettings
from workbench import Workbench

from score.interpreter import Interpreter, InterpreterSettings
from score.trajectory import Step

PREFIX = [Step(thought="t", code="from sympy import *\nimport numpy as np\nx = symbols('x')\na = 3", observation="")]
SETTINGS = InterpreterSettings(preload=["math", "numpy", "sympy"], step_timeout_s=10)


def turn(code: str) -> str:
    return f"<thought>t</thought><code>{code}</code>"


CASES = [
    # the rollout's step, the recorded one, whether they do the same
    ("b = a + 4", "total = 7.0", True),  # printed nothing, the same value under another name
    ("b = a + 4", "b = 8", False),
    ("b = Integer(7)", "b = np.int64(7)", True),
    ("b = (x + 1)**2", "c = x**2 + 2*x + 1", True),
    ("b = (x + 1)**2", "c = x**2 + 1", False),
    ("b = solve(x**2 - 4, x)", "r = np.array([-2, 2])", True),
    ("def f(n): return n * a", "def g(m): return a * m", False),  # other byte code: not told to be the same
    ("def f(n): return n * a", "def g(m): return m * a", True),
    ("d = {'k': [1, 2]}", "e = dict(k=(1, 2.0))", True),
    ("b = sqrt(2)", "b = 2**0.5", True),
    ("print(a + 4)", "seven = a + 4\nprint(seven)", True),  # the same print, and no variable speaks against it
    ("print('done')\nr = 5", "print('done')\nr = 6", None),  # the same print beside unequal variables
    ("r = a * 2\nprint('It is', r)", "r = a + a\nprint(r)", True),  # the same in other words
    ("print(a * 2)", "print(a * 3)", False),
    ("print(1 / 0)", "y = 5 / (a - 3)", True),  # both fail in the same way
    ("print(1 / 0)", "print(undefined)", False),
    ("import math", "import random", None),  # nothing printed, nothing made
    ("b = object()", "b = object()\nc = 1", None),  # a value that cannot be compared
    ("while True: pass", "b = 1", False),
]


@pytest.fixture(scope="module")
def verdicts() -> Any:
    """Every case's verdict, from one interpreter."""

    async def run() -> list[Any]:
        settings = RLSettings(interpreter=SETTINGS.model_copy(update={"step_timeout_s": 1.0}))
        bench = Workbench(settings)
        try:
            async with bench.place("p", Prefix(PREFIX)) as place:
                found = []
                for ours, theirs, _ in CASES:
                    key = key_turn_of({"chosen_step": turn(theirs), "rejected_step": turn("q = 0")})
                    mine = {"plan": None, "thought": "t", "code": ours, "observation": ""}
                    found.append((await key.compare(mine, place.key_effect, place.key_effect)).teacher)
                assert bench.prefixes_run == 1
                return found
        finally:
            await bench.close()

    return asyncio.run(run())


def test_a_step_that_had_to_be_stopped_is_compared_by_what_it_printed() -> None:
    """Without snapshots its state is gone, which is no failure of the sandbox."""

    async def run() -> Any:
        async with Interpreter(SETTINGS.model_copy(update={"step_timeout_s": 0.5, "snapshots": False})) as interpreter:
            session = await interpreter.open()
            return await effect(session, await variables(session), "while True: pass")

    found = asyncio.run(run())
    assert (found.status, found.changed) == ("timeout", None)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{ours!r} | {theirs!r}" for ours, theirs, _ in CASES])
def test_sameness_by_execution(number: int, verdicts: Any) -> None:
    found, same = verdicts[number], CASES[number][2]
    assert (found.same, found.layer) == (same, "undecided" if same is None else found.layer)
    assert found.layer in ("execution", "undecided", "ast")


def test_looking_at_variables_leaves_no_trace_and_stands_hostile_values() -> None:
    hostile = """
class Evil:
    def __eq__(self, other): raise SystemExit
    def __repr__(self): raise SystemExit
    def __hash__(self): raise SystemExit
    __getattr__ = None
evil = Evil()
loop = []
loop.append(loop)
big = list(range(10**6))
print = 5
__import__ = None
"""

    async def run() -> None:
        async with Interpreter(SETTINGS) as interpreter:
            session = await interpreter.open()
            await session.run("a = 1")
            before = (await session.run("import sys\nsys.stdout.write(str(sorted(globals())))")).observation
            assert await variables(session) == {"a": "number:1"}
            again = (await session.run("import sys\nsys.stdout.write(str(sorted(globals())))")).observation
            assert again == before
            done = await effect(session, await variables(session), hostile)
            assert done.changed is None or done.changed["big"] == "?"
            assert (await effect(session, await variables(session), "a = 2")).changed == {"a": "number:2"}

    asyncio.run(run())


@pytest.mark.parametrize(
    "ours, theirs, alike",
    [
        ("total += 5\nprint(total)", "count += 5\nprint(count)", False),
        ("t = 0\nt += 5\nprint(t)", "n = 0\nn += 5\nprint(n)", True),
        ("print(sum(n for i in range(10)))", "print(sum(n for n in range(10)))", False),
        ("print([k * k for k in xs])", "print([k * k for j in xs])", False),
        ("print([k * k for k in xs])", "print([j * j for j in xs])", True),
        ("print({k: v for k, v in xs})", "print({a: b for a, b in xs})", True),
        ("a = [k for k in xs]\nprint(k)", "a = [j for j in xs]\nprint(k)", True),
        ("a = [k for k in xs]\nprint(k)", "a = [j for j in xs]\nprint(j)", False),
        ("[y := x for x in xs]\nprint(y)", "[z := x for x in xs]\nprint(y)", False),
        ("for n in n: print(n)", "for m in m: print(m)", False),
        ("x: int = x + 1", "y: int = y + 1", False),
        ("print(x := x + 1)", "print(y := y + 1)", False),
        ("for i in r:\n  print(t)\n  t = i", "for i in r:\n  print(t)\n  u = i", False),
        ("for i in r:\n  t = i\n  print(t)", "for j in r:\n  u = j\n  print(u)", True),
        ("def f(): return t\nt = 5\nprint(f())", "def f(): return t\nu = 5\nprint(f())", False),
        ("m = 1\ndef f(m): return m", "n = 1\ndef f(m): return n", False),
        ("x = 1\nprint(new0)", "x = 1\nprint(x)", False),
        ("if c: t = 5\nprint(t)", "if c: n = 5\nprint(n)", False),
        ("if c: t = 5\nelse: t = 6\nprint(t)", "if c: n = 5\nelse: n = 6\nprint(n)", True),
        ("if c:\n  t = 5\n  print(t)", "if c:\n  n = 5\n  print(n)", True),
        ("t = 0\nif c: t = 5\nprint(t)", "n = 0\nif c: n = 5\nprint(n)", True),
        ("for i in r: t = i\nprint(t)", "for i in r: n = i\nprint(n)", False),
        ("try: t = f(x)\nexcept E: t = 0\nprint(t)", "try: n = f(x)\nexcept E: n = 0\nprint(n)", True),
        ("try: t = f(x)\nexcept E: pass\nprint(t)", "try: n = f(x)\nexcept E: pass\nprint(n)", False),
        ("match x:\n  case 1: t = 5\nprint(t)", "match x:\n  case 1: n = 5\nprint(n)", False),
        ("a = [t for t in xs]\nif c: t = 5\nprint(t)", "a = [n for n in xs]\nif c: n = 5\nprint(n)", False),
    ],
)
def test_code_is_the_same_where_only_new_names_differ(ours: str, theirs: str, alike: bool) -> None:
    assert (normalised(ours) == normalised(theirs)) is alike


def test_code_that_nests_too_deeply_is_left_to_execution() -> None:
    assert normalised("+".join(["1"] * 2000)) is None
