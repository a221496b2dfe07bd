"""Many sessions with many steps, some of which end badly: what is left of them afterwards must be nothing.

    python benchmarks/interpreter_soak.py [--steps 100000] [--sessions 5000] [--isolation strict] [--json FILE]

One interpreter opens the sessions, 32 at a time, each with steps / sessions steps. One step in fifty is a fault: a
time-out, a crash, an exit, a refused allocation, a daemon that stays, an error, a failing tool. After every tenth of
the sessions, when none is open, it counts processes, open files, temporary files and memory (its own and the server's);
the last count is compared with the first. Exit code 1 where something leaked.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from score.interpreter import Interpreter, InterpreterSettings, Session

FAULTS = {  # code: how such a step may end
    "while True: pass": ("timeout",),
    "import ctypes\nctypes.string_at(0)": ("killed",),
    "import os\nos._exit(3)": ("killed",),
    "x = bytearray(10**11)": ("memory",),
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)": ("ok",),
    "1 / 0": ("error",),
    "broken()": ("tool_error",),
}
STEPS = [
    "total = total + 1",
    "print(total)",
    "words = [str(n) for n in range(100)]",
    "open('file', 'w').write('x' * 1000)",
]
FAULT_SHARE = 0.02
AT_ONCE = 32  # sessions
MAX_GROWTH_MB = 20.0


@dataclass
class Count:
    """What lives: processes below this one, its open files, temporary files and folders, memory in MB (shared pages
    are divided among those who share them)."""

    sessions: int
    processes: int
    files: int
    temporary: int
    host_mb: float
    server_mb: float


def broken() -> str:
    """A tool of the host that fails."""
    raise RuntimeError("broken on purpose")


async def live(interpreter: Interpreter, steps: int, rng: random.Random) -> int:
    """One session's life. Returns how many of its steps were faults. Raises `AssertionError` where a step surprises."""
    faults = 0
    async with await interpreter.open({"broken": broken}) as session:
        await expect(session, "total = 0", ("ok",))
        for _ in range(steps - 1):
            if rng.random() < FAULT_SHARE:
                faults += 1
                code = rng.choice(list(FAULTS))
                await expect(session, code, FAULTS[code])
            else:
                await expect(session, rng.choice(STEPS), ("ok",))
    return faults


async def expect(session: Session, code: str, statuses: tuple[str, ...]) -> None:
    result = await session.run(code)
    assert result.status in statuses, f"{code!r} ended with {result.status}: {result.observation}"


def count(sessions: int) -> Count:
    gc.collect()
    mine = psutil.Process()
    children = mine.children(recursive=True)
    return Count(
        sessions,
        len(children),
        mine.num_fds(),
        sum(len(folders) + len(files) for _, folders, files in os.walk(tempfile.gettempdir())),
        mine.memory_full_info().pss / 2**20,
        sum(child.memory_full_info().pss for child in children) / 2**20,
    )


async def soak(isolation: str, steps: int, sessions: int, timeout_s: float = 1.0) -> tuple[list[Count], int]:
    """The counts over time, the first after a tenth of the sessions (caches are filled then), and the faults."""
    rng = random.Random(0)
    settings = InterpreterSettings(isolation=isolation, step_timeout_s=timeout_s, memory_mb=1024)  # type: ignore[arg-type]
    counts, faults, done = [], 0, 0
    async with Interpreter(settings) as interpreter:
        for tenth in range(10):
            todo = sessions * (tenth + 1) // 10 - done
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(gate: asyncio.Semaphore = gate) -> int:
                async with gate:
                    return await live(interpreter, steps // sessions, rng)

            faults += sum(await asyncio.gather(*(one() for _ in range(todo))))
            done += todo
            await asyncio.sleep(2)  # the server keeps no more keepers ready than it needs
            counts.append(count(done))
            print(counts[-1], flush=True)
    return counts, faults


def leaks(counts: list[Count]) -> list[str]:
    """What grew from the first count to the last, beyond what is allowed."""
    first, last = counts[0], counts[-1]
    found = [
        f"{name}: {getattr(first, name)} -> {getattr(last, name)}"
        for name in ("processes", "files", "temporary")
        if getattr(last, name) > getattr(first, name)
    ]
    growth = last.host_mb + last.server_mb - first.host_mb - first.server_mb
    return [*found, f"memory: {growth:.1f} MB more"] if growth > MAX_GROWTH_MB else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--isolation", choices=("strict", "limits"), default="strict")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as tempfile.tempdir:  # so that other programs' temporary files do not count
        before = count(0)
        counts, faults = asyncio.run(soak(arguments.isolation, arguments.steps, arguments.sessions))
        after = count(arguments.sessions)
    seconds = time.monotonic() - began
    found = leaks(counts)
    for name in ("processes", "files", "temporary"):
        if getattr(after, name) > getattr(before, name):
            found.append(f"{name} after the end: {getattr(before, name)} -> {getattr(after, name)}")
    amount = f"{arguments.isolation}: {arguments.steps} steps, {arguments.sessions} sessions, {faults} faults"
    print(f"{amount}, {seconds:.0f} s: {found or 'no leak'}")
    if arguments.json:
        report = {"seconds": seconds, "faults": faults, "leaks": found, "counts": [asdict(one) for one in counts]}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
