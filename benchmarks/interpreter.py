"""How fast the interpreter is, beside a naive one and beside what the machine itself takes.

    python benchmarks/interpreter.py [--json FILE] [--quick]

Every figure is a median of one run, so compare figures of the same run only. The naive interpreter forks a process for
each step and pickles the scope back to the host (as the original release did); it has no isolation. Steps are measured
without snapshots, as they are in the rows of the targets; the table also shows what a snapshot before each step adds:
one fork of the session. Sessions have numpy and sympy preloaded, as by default.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Literal

import naive
import psutil
from rich.console import Console
from rich.table import Table

from score.errors import InterpreterError
from score.interpreter import Interpreter, InterpreterSettings, Session

TRIVIAL = "x = 1\nprint(x)"
SYMPY = [  # kinds of first steps, in the ways that models import sympy
    "import sympy as sp\na = sp.symbols('a')\nprint(sp.solve(a**2 - 5*a + 6, a))",
    "from sympy import symbols, Eq, solve\na, b = symbols('a b')\nprint(solve([Eq(a + b, 10), Eq(a - b, 4)], [a, b]))",
    "from sympy import *\nt = symbols('t')\nprint(simplify((t**2 - 1)/(t - 1)))",
    "from sympy import *\nt = symbols('t')\nprint(expand((t + 2)**3), factor(t**2 + 5*t + 6))",
    "import sympy\nt = sympy.Symbol('t')\nprint(sympy.integrate(t**2, (t, 0, 3)), sympy.diff(t**3, t))",
    "from sympy import Rational, sqrt, binomial\nprint(Rational(3, 4) + Rational(1, 6), sqrt(72), binomial(12, 5))",
    "from sympy import factorint, divisors, isprime\nprint(factorint(5040), divisors(84), isprime(101))",
    "from sympy import Matrix\nprint(Matrix([[2, 1], [1, 3]]).det(), Matrix([[2, 1], [1, 3]]).inv())",
]
TARGETS = {
    "start_ms strict": 6.0,
    "start_ms limits": 3.0,
    "step_ms": 0.15,
    "sympy_step_ms": 5.0,
    "fork_ms": 3.0,
    "steps_per_s": 5000.0,
    "private_mb": 3.0,
}
Isolation = Literal["strict", "limits"]


async def milliseconds(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await work()
    return (time.perf_counter() - began) * 1e3, result


async def start_ms(isolation: Isolation, repetitions: int) -> float:
    """A session with its first step; one after the other, and all stay open."""

    async def start() -> Session:
        session = await interpreter.open()
        assert (await session.run("print(1)")).observation == "1"
        return session

    times = []
    async with Interpreter(InterpreterSettings(isolation=isolation)) as interpreter:
        for _ in range(repetitions):
            times.append((await milliseconds(start))[0])
    return median(times)


async def step_ms(isolation: Isolation, snapshots: bool, repetitions: int) -> float:
    async with Interpreter(InterpreterSettings(isolation=isolation, snapshots=snapshots)) as interpreter:
        session = await interpreter.open()
        await session.run(TRIVIAL)
        return median([(await milliseconds(lambda: session.run(TRIVIAL)))[0] for _ in range(repetitions)])


async def sympy_ms(isolation: Isolation, repetitions: int) -> dict[str, tuple[float, float]]:
    """For each kind of step, medians over sessions: a session's first step with sympy, and the same step once more."""
    found = {}
    async with Interpreter(InterpreterSettings(isolation=isolation, snapshots=False)) as interpreter:
        for code in SYMPY:
            first: list[float] = []
            second: list[float] = []
            for _ in range(repetitions):
                async with await interpreter.open() as session:
                    for times in (first, second):
                        began = time.perf_counter()
                        result = await session.run(code)
                        times.append((time.perf_counter() - began) * 1e3)
                        assert result.status == "ok", result
            found[code] = median(first), median(second)
    return found


async def fork_ms(isolation: Isolation, repetitions: int) -> float:
    """`fork()` of a session that has run a few steps, until the copy can be used."""
    times = []
    async with Interpreter(InterpreterSettings(isolation=isolation, snapshots=False)) as interpreter:
        session = await interpreter.open()
        await session.run("f = lambda y: y + 1\nclass A: pass")
        await session.run("numbers = list(range(1000))")
        for _ in range(repetitions):
            spent, copy = await milliseconds(session.fork)
            times.append(spent)
            await copy.close()
    return median(times)


async def steps_per_s(isolation: Isolation, steps: int, sessions: int = 64) -> float:
    async def steps_of(session: Session) -> None:
        for _ in range(steps):
            await session.run(TRIVIAL)

    async with Interpreter(InterpreterSettings(isolation=isolation, snapshots=False)) as interpreter:
        opened = [await interpreter.open() for _ in range(sessions)]
        await asyncio.gather(*(session.run(TRIVIAL) for session in opened))
        spent, _ = await milliseconds(lambda: asyncio.gather(*map(steps_of, opened)))
    return sessions * steps / spent * 1e3


def private_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


async def private_mb(isolation: Isolation, sessions: int) -> float:
    """Memory that a live session has to itself, with its keeper: what `sessions` of them add to the processes' sum."""

    def total() -> int:
        return sum(private_bytes(child.pid) for child in psutil.Process().children(recursive=True))

    async with Interpreter(InterpreterSettings(isolation=isolation)) as interpreter:
        before = total()
        opened = [await interpreter.open() for _ in range(sessions)]
        for session in opened:
            await session.run(TRIVIAL)
        return (total() - before) / sessions / 2**20


async def warm_fork_ms(isolation: Isolation) -> float:
    """A bare fork, exit and wait inside a session: its process has the libraries' pages to copy."""
    code = (
        "import os, time, statistics\ntimes = []\nfor _ in range(50):\n    began = time.perf_counter()\n"
        "    pid = os.fork()\n    if pid == 0: os._exit(0)\n    os.waitpid(pid, 0)\n"
        "    times.append(time.perf_counter() - began)\nprint(statistics.median(times) * 1000)"
    )
    async with Interpreter(InterpreterSettings(isolation=isolation)) as interpreter:
        async with await interpreter.open() as session:
            return float((await session.run(code)).observation)


async def copied_pages_ms(isolation: Isolation) -> float:
    """How long a forked process takes to write to as many inherited pages as a first step with sympy does."""
    counting = (
        "import resource\nfaults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n{}\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)"
    )
    pages = []
    async with Interpreter(InterpreterSettings(isolation=isolation, snapshots=False)) as interpreter:
        for code in SYMPY:
            async with await interpreter.open() as session:
                pages.append(int((await session.run(counting.format(code))).observation.split()[-1]))
    return naive.page_copies_ms(int(median(pages)))


def sympy_alone_ms(repetitions: int) -> float:
    """What the kinds of steps cost above their second time in a process that is no copy of another, warmed like the
    interpreter's server: sympy's own work, of which it keeps the results. The caches are cold the first time, as they
    are for a session that others have run before."""
    program = """
import contextlib, io, json, sys, time
from score.interpreter.inside import warm
warm.preload(["math", "numpy", "sympy"])
other_work, over = bytearray(2**26), []
for code in json.loads(sys.argv[1]):
    times = []
    other_work[:] = bytes(len(other_work))
    for _ in range(2):
        with contextlib.redirect_stdout(io.StringIO()):
            began = time.perf_counter()
            exec(compile(code, "step", "exec"), {})
            times.append(time.perf_counter() - began)
    over.append(1e3 * (times[0] - times[1]))
print(json.dumps(over))
"""
    found = []
    for turn in range(repetitions):
        # Each kind comes first once: later ones find something that earlier ones have kept.
        kinds = SYMPY[turn % len(SYMPY) :] + SYMPY[: turn % len(SYMPY)]
        command = [sys.executable, "-c", program, json.dumps(kinds)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(median(json.loads(ran.stdout)))
    return float(median(found))


def baseline(quick: bool) -> dict[str, Any]:
    """The naive interpreter, by the same keys. It has no strict isolation and keeps no process between steps."""
    repetitions = 10 if quick else 50

    def timed(code: str, session: naive.Session) -> float:
        began = time.perf_counter()
        session.run(code)
        return (time.perf_counter() - began) * 1e3

    start = median(timed("print(1)", naive.Session()) for _ in range(repetitions))
    session = naive.Session()
    session.run("numbers = list(range(1000))")
    step = median(timed(TRIVIAL, session) for _ in range(repetitions))
    sympy = timed(SYMPY[0], naive.Session())  # once: then this process has read a symbol back, and sympy with it
    began = time.perf_counter()
    for _ in range(repetitions):
        session.fork()
    fork = (time.perf_counter() - began) / repetitions * 1e3
    sessions = [naive.Session() for _ in range(64)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        began = time.perf_counter()
        list(pool.map(lambda one: one.run(TRIVIAL), sessions))
        rate = len(sessions) / (time.perf_counter() - began)
    return {
        "start_ms": {"strict": None, "limits": start},
        "step_ms": step,
        "sympy_step_ms": sympy,
        "fork_ms": fork,
        "steps_per_s": rate,
        "private_mb": 0.0,
    }


async def measure(quick: bool) -> tuple[dict[str, Any], list[tuple[str, float]]]:
    """The figures, and what stands beside them in the table."""
    n = 1 if quick else 5
    modes: list[Isolation] = ["strict", "limits"]
    starts: dict[str, float | None] = {}
    for mode in modes:
        try:
            starts[mode] = await start_ms(mode, 20 * n)
        except InterpreterError as error:
            if mode == "limits":
                raise
            print(f"no figures for strict: {error}")
            starts[mode] = None
    best: Isolation = "limits" if starts["strict"] is None else "strict"
    sympy = await sympy_ms(best, 3 * n)
    over = sorted(first - second for first, second in sympy.values())
    figures = {
        "start_ms": starts,
        "step_ms": await step_ms(best, False, 400 * n),
        "sympy_step_ms": median(over),
        "fork_ms": await fork_ms(best, 10 * n),
        "steps_per_s": await steps_per_s(best, 20 * n),
        "private_mb": await private_mb(best, 32 if quick else 256),
        "baseline": baseline(quick),
    }
    beside = [
        ("floor: round trip over a pipe, ms", naive.round_trip_ms(os.pipe, 400 * n)),
        ("floor: round trip over a socket pair, ms", naive.round_trip_ms(naive.socket_fds, 400 * n)),
        ("floor: fork and wait, a small process, ms", naive.bare_fork_ms(20 * n)),
        ("floor: fork and wait, in a session (numpy, sympy), ms", await warm_fork_ms(best)),
        (f"a step with a snapshot before it ({best}), ms", await step_ms(best, True, 40 * n)),
        (f"first step with sympy ({best}), median of {len(over)} kinds, ms", median(one for one, _ in sympy.values())),
        ("its dearest kind, over the same step's second time, ms", over[-1]),
        ("floor: copying the pages that such a step touches first, ms", await copied_pages_ms(best)),
        ("floor: sympy's own work in such a step, over its second time, ms", sympy_alone_ms(2 if quick else 8)),
    ]
    return figures, beside


def flat(figures: dict[str, Any]) -> dict[str, float | None]:
    starts = {f"start_ms {mode}": value for mode, value in figures["start_ms"].items()}
    return starts | {key: figures[key] for key in TARGETS if key in figures}


def show(figures: dict[str, Any], beside: list[tuple[str, float]]) -> None:
    table = Table("figure", "interpreter", "naive", "target", "reached")
    naive_figures = flat(figures["baseline"])
    for key, value in flat(figures).items():
        other, target = naive_figures[key], TARGETS[key]
        reached = None if value is None else value >= target if key == "steps_per_s" else value <= target
        sign = ">=" if key == "steps_per_s" else "<="
        row = ["-" if number is None else f"{number:.3f}" for number in (value, other)]
        table.add_row(key, *row, f"{sign} {target:g}", {True: "yes", False: "NO", None: "-"}[reached])
    for name, value in beside:
        table.add_row(name, f"{value:.3f}", "", "", "")
    Console().print(table)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{time.strftime('%F')}, {os.cpu_count()} cores, load average {load}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions, 32 sessions for the memory")
    arguments = parser.parse_args()
    figures, beside = asyncio.run(measure(arguments.quick))
    show(figures, beside)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
