"""The interpreter from the command line.

    python -m score.interpreter selfcheck [--isolation strict|limits] [--json FILE]
    python -m score.interpreter run --isolation strict --json FILE < steps.jsonl

`run` reads one `{"session": name, "code": text}` a line, runs each in the session of that name, and writes
`{"session", "status", "observation", "final_answer"}` a line, in the same order. There are no host tools.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from score.errors import DataError, ScoreError
from score.interpreter.interpreter import Interpreter
from score.interpreter.selfcheck import selfcheck
from score.interpreter.session import Session
from score.interpreter.settings import InterpreterSettings


def _steps(lines: Iterable[str]) -> list[tuple[str, str]]:
    steps = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            session, code = str(row["session"]), row["code"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"line {number}: expected {{'session': name, 'code': text}} ({error!r})") from None
        if not isinstance(code, str):
            raise DataError(f"line {number}: 'code' is not text")
        steps.append((session, code))
    return steps


async def _run(steps: list[tuple[str, str]], settings: InterpreterSettings) -> list[dict[str, Any]]:
    sessions: dict[str, Session] = {}
    rows = []
    async with Interpreter(settings) as interpreter:
        for name, code in steps:
            if name not in sessions:
                sessions[name] = await interpreter.open()
            result = await sessions[name].run(code)
            row: dict[str, Any] = {"session": name, "status": result.status, "observation": result.observation}
            rows.append(row | {"final_answer": result.final_answer})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m score.interpreter", description="Run or check the interpreter.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("selfcheck", help="what this machine supports, and the attack list")
    check.add_argument("--isolation", choices=("strict", "limits"))
    run = commands.add_parser("run", help="run steps from standard input, one JSON object a line")
    run.add_argument("--isolation", default="auto", choices=("auto", "strict", "limits"))
    run.add_argument("--timeout-s", type=float, default=20.0)
    for command in (check, run):
        command.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    arguments = parser.parse_args()
    try:
        if arguments.command == "selfcheck":
            report = selfcheck(arguments.isolation)
            if arguments.json:
                arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            rows = [row for found in report["attacks"].values() for row in found]
            return int(any(row["verdict"] == "failed" for row in rows) or not rows)
        settings = InterpreterSettings(isolation=arguments.isolation, step_timeout_s=arguments.timeout_s)
        lines = [json.dumps(row, ensure_ascii=False) for row in asyncio.run(_run(_steps(sys.stdin), settings))]
    except ScoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = "".join(line + "\n" for line in lines)
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
