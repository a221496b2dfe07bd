"""math-verify in a process of its own that reads and writes JSON lines.

math-verify bounds its work with SIGALRM, which works on a process's main thread only and cannot interrupt one long
C call. So it runs in workers that are asked over pipes and killed when they do not come back. (Not a pool of
`multiprocessing`: its spawned workers import the caller's main module again, which here is LangGraph or Ray.)
"""

import json
import re
import resource
import select
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from score.answers.intervals import as_interval

LIMIT_S = 3  # math-verify's own limit for one parse or one comparison
HARD_LIMIT_S = 10.0  # two parses and a comparison; then the worker is killed
START_S = 20.0  # a worker's start on a busy machine, on top
MEMORY_BYTES = 4 * 2**30  # `10^{10^{10}}` written out would fill any machine
# What may stand left of `=` so that the right side alone is the answer: a name, a function's value, a sum ...
_NAMED = re.compile(
    r"\\?[a-zA-Z]+(?:_\{?\w+\}?)?(?:\(.*\)|\{.*\})?|\\(?:sum|prod|int|lim)(?![a-z]).*|\|.*\|", re.DOTALL
)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*\^\s*\{?\\circ\}?")
# math-verify takes the `i` of `9i` and that of `9 i` for two symbols.
_IMAGINARY = re.compile(r"(?<=\d)\s*(?:\\cdot)?\s*i(?![a-zA-Z])")


class MathWorker:
    """One worker process, started when first asked. Not safe for several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def same(self, reference: str, answer: str) -> bool | None:
        """Are two formulas equal? None where one of them is no mathematics, or the work took too long."""
        limit_s = HARD_LIMIT_S
        if self._process is None or self._process.poll() is not None:
            limit_s += START_S
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from score.answers.mathematics import main; main()"],
                cwd=Path(__file__).parents[2],  # where `score` is importable from
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for the run, which then still needs its worker
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([reference, answer]) + "\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
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


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[Any, ...]:
    from math_verify import parse

    text = _IMAGINARY.sub("i", text)
    found = parse(text if "$" in text else f"${text}$", parsing_timeout=LIMIT_S, raise_on_error=False)
    return tuple(found)


def _same(reference: str, answer: str) -> bool | None:
    from math_verify import verify

    left, right = _parsed(reference), _parsed(answer)
    if not left or not right:
        return None
    began = time.monotonic()
    same = verify(list(left), list(right), timeout_seconds=LIMIT_S, raise_on_error=False)
    timed_out = not same and time.monotonic() - began >= LIMIT_S  # math-verify calls that a difference
    return None if timed_out else bool(same)


def _sides(text: str) -> tuple[str, str] | None:
    """(left, right) of an equation, None for anything else. The `=` under a sum is none of it."""
    depth, places = 0, []
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and character == "=":
            places.append(place)
    if len(places) != 1 or re.search(r"[<>]|[<>!]=|\\(?:[lg]e|ne)\b|,", text):
        return None
    left, right = text[: places[0]].strip(), text[places[0] + 1 :].strip()
    return (left, right) if left and right else None


def compare(reference: str, answer: str) -> bool | None:
    """What a worker does for one pair. None where one is no mathematics, time is up, or only a part is the same."""
    if ("\\circ" in reference) != ("\\circ" in answer) and "\\pi" in reference + answer:
        reference, answer = (_DEGREES.sub(r"\\frac{\1\\pi}{180}", text) for text in (reference, answer))
    described = as_interval(reference), as_interval(answer)
    if (described[0] is None) != (described[1] is None):  # two inequalities are compared as they stand
        reference, answer = described[0] or reference, described[1] or answer
    same = _same(reference, answer)
    equations = _sides(reference), _sides(answer)
    if same or (equations[0] is None) == (equations[1] is None):
        return same
    left, right = equations[0] or equations[1] or ("", "")
    if not _same(right, answer if equations[0] else reference):
        return same
    return True if _NAMED.fullmatch(left) else None


def main() -> None:
    import logging

    logging.disable(logging.ERROR)  # math-verify reports every unparsable text; here that is an answer
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for line in sys.stdin:
        print(json.dumps(compare(*json.loads(line))), flush=True)
