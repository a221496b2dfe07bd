"""What this machine supports, and whether the attack list stays inside."""

import asyncio
import logging
import shutil
from collections import Counter
from dataclasses import asdict
from typing import Any

from score.errors import InterpreterError
from score.interpreter.arena import Arena, Row
from score.interpreter.attacks import ATTACKS
from score.interpreter.interpreter import Interpreter
from score.interpreter.seccomp import syscall_filter
from score.interpreter.settings import InterpreterSettings, Isolation


def support() -> dict[str, str]:
    """Which isolation works here: "yes", or why not."""
    logging.getLogger("score.interpreter.isolation").setLevel(logging.ERROR)
    found = {
        "bubblewrap": shutil.which("bwrap") or "not installed",
        "seccomp": "not installed: libseccomp.so.2; strict sessions can reach each other over loopback"
        if syscall_filter() is None
        else "yes",
    }
    modes: tuple[Isolation, ...] = ("strict", "limits")
    for isolation in modes:
        try:
            interpreter = Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])).start()
            found[isolation] = "yes"
            found["shared heap"] = "yes" if interpreter.heap_shared else "not possible here: a fork takes longer"
            interpreter.close()
        except InterpreterError as error:
            found[isolation] = str(error)
    return found


async def attack_all(isolation: Isolation) -> list[Row]:
    """Run the list in sessions of one interpreter. Raises `InterpreterError` where it cannot start."""
    async with Arena(isolation) as arena:
        return [await arena.attack(attack) for attack in ATTACKS]


def selfcheck(isolation: Isolation | None) -> dict[str, Any]:
    """The whole check, printed as a table: support, then the attacks in `isolation` (by default in each that works)."""
    found = support()
    for name, answer in found.items():
        print(f"{name:11} {answer}")
    attacks = {}
    modes: tuple[Isolation, ...] = ("strict", "limits") if isolation is None else (isolation,)
    for mode in modes:
        if found[mode] != "yes":
            continue
        rows = asyncio.run(attack_all(mode))
        attacks[mode] = [asdict(row) for row in rows]
        print(f"\nattacks in {mode}:")
        for row in rows:
            print(f"  {row.attack:74} {row.status:8} {row.verdict}{': ' if row.why else ''}{row.why}")
        counts = Counter(row.verdict for row in rows)
        print(
            f"  {counts['contained']} contained, {counts['failed']} failed; only strict covers the "
            f"{counts['open']} that are open and the {counts['not tried']} that were not tried"
        )
    return {"support": found, "attacks": attacks}
