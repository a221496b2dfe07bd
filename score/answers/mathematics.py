"""math-verify in a process of its own that reads and writes JSON lines.

math-verify bounds its work with SIGALRM, which works on a process's main thread only and cannot interrupt one long
C call. So it runs in workers that are asked over pipes and killed when they do not come back. (Not a pool of
`multiprocessing`: its spawned workers import the caller's main module again, which here is LangGraph or Ray.)
"""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

LIMIT_S = 5  # math-verify's own limit for one parse or one comparison
HARD_LIMIT_S = 25.0  # start-up of a worker, two parses and a comparison; then it is killed


class MathWorker:
    """One worker process, started when first asked. Not safe for several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def same(self, reference: str, answer: str) -> bool | None:
        """Are two formulas equal? None where one of them is no mathematics, or the work took too long."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from score.answers.mathematics import main; main()"],
                cwd=Path(__file__).parents[2],  # where `score` is importable from
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([reference, answer]) + "\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], HARD_LIMIT_S)
            line = self._process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        if not line:  # too slow, or dead (out of memory, a crash in C): a judge has to decide
            self.close()
            return None
        decided: bool | None = json.loads(line)
        return decided

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def compare(reference: str, answer: str) -> bool | None:
    """What a worker does for one pair."""
    from math_verify import parse, verify

    def parsed(text: str) -> list[Any]:
        found: list[Any] = parse(text if "$" in text else f"${text}$", parsing_timeout=LIMIT_S, raise_on_error=False)
        return found

    left, right = parsed(reference), parsed(answer)
    if not left or not right:
        return None
    return bool(verify(left, right, timeout_seconds=LIMIT_S, raise_on_error=False))


def main() -> None:
    import logging

    logging.disable(logging.ERROR)  # math-verify reports every unparsable text; here that is an answer
    for line in sys.stdin:
        print(json.dumps(compare(*json.loads(line))), flush=True)
