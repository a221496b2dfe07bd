"""What this machine supports, and whether the attack list stays inside."""

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from score.errors import InterpreterError
from score.interpreter.attacks import ATTACKS, Attack
from score.interpreter.interpreter import Interpreter
from score.interpreter.session import Session
from score.interpreter.settings import InterpreterSettings

_MARK = "INTERPRETER_SELFCHECK"
_TIMEOUT_S = 1.0


def support() -> dict[str, str]:
    """Which isolation works here: "yes", or why not."""
    logging.getLogger("score.interpreter.isolation").setLevel(logging.ERROR)
    found = {"bubblewrap": shutil.which("bwrap") or "not installed"}
    for isolation in ("strict", "limits"):
        try:
            Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])).start().close()
            found[isolation] = "yes"
        except InterpreterError as error:
            found[isolation] = str(error)
    return found


async def attack_all(isolation: str) -> list[dict[str, Any]]:
    """Run the list in sessions of one interpreter, beside a session that must not notice.

    A row's `verdict` is "contained", "open" (not covered by this isolation), or "FAILED: why".
    """
    os.environ[_MARK] = "secret"
    rows = []
    # Its first environment is what /proc shows of a process.
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={_MARK: "secret"})  # noqa: ASYNC220
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as listener:
        filled = {
            "<port>": str(listener.getsockname()[1]),
            "<file>": _secret_file(directory),
            "<pid>": str(victim.pid),
            "<escaped>": "'ESC' 'APED'",
        }
        settings = InterpreterSettings(isolation=isolation, memory_mb=1024)  # type: ignore[arg-type]
        try:
            async with Interpreter(settings) as interpreter:
                bystander = await interpreter.open()
                await bystander.run("import os\nx = 1\nopen('mine', 'w').write('untouched')")
                for attack in ATTACKS:
                    verdict, status = await _one(interpreter, bystander, attack, filled)
                    rows.append({"attack": attack.name, "status": status, "verdict": verdict})
        finally:
            del os.environ[_MARK]
            victim.kill()
            victim.communicate()
    return rows


def _secret_file(directory: str) -> str:
    path = Path(directory, "file")
    path.write_text("secret")
    return str(path)


async def _one(interpreter: Interpreter, bystander: Session, attack: Attack, filled: dict[str, str]) -> tuple[str, str]:
    code = attack.code
    for field, value in filled.items():
        code = code.replace(field, value)
    async with await interpreter.open() as session:
        await session.run("kept = 'kept'")
        result = await session.run(code, _TIMEOUT_S)
        after = await session.run("import builtins, os\nos.write(1, kept.encode())")
    seen = await bystander.run("print(x, open('mine').read())")
    if seen.observation != "1 untouched":
        return f"FAILED: another session saw {seen.observation!r}", result.status
    if "ESCAPED" in result.observation or result.final_answer:
        open_here = interpreter.isolation == "limits" and attack.contained_by == "strict"
        return "open" if open_here else "FAILED: it succeeded", result.status
    if attack.contained_by == "limits" and result.status not in attack.expected:
        return f"FAILED: ended with {result.status}: {result.observation[-200:]!r}", result.status
    if after.observation != "kept" and not attack.may_lose_state:
        return f"FAILED: the session did not go on: {after.observation[-200:]!r}", result.status
    return "contained", result.status


def selfcheck(isolation: str | None) -> dict[str, Any]:
    """The whole check, printed as a table: support, then the attacks in `isolation` (by default in each that works)."""
    found = support()
    for name, answer in found.items():
        print(f"{name:11} {answer}")
    attacks = {}
    for mode in ("strict", "limits") if isolation is None else (isolation,):
        if found.get(mode) != "yes":
            continue
        rows = attacks[mode] = asyncio.run(attack_all(mode))
        print(f"\nattacks in {mode}:")
        for row in rows:
            print(f"  {row['attack']:34} {row['status']:8} {row['verdict']}")
        failed = sum(row["verdict"].startswith("FAILED") for row in rows)
        still_open = sum(row["verdict"] == "open" for row in rows)
        contained = len(rows) - failed - still_open
        print(f"  {contained} contained, {still_open} open (only strict covers them), {failed} failed")
    return {"support": found, "attacks": attacks}
