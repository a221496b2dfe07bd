"""How a step ended, as the caller is told it and as the sandbox says it."""

import signal
from dataclasses import dataclass
from typing import Any, Literal, cast

from score.interpreter.inside import wire

Status = Literal["ok", "error", "timeout", "memory", "killed", "tool_error"]
STOPPED: tuple[Status, ...] = ("timeout", "memory", "killed")  # what had to be ended
LOOP_FAILED = 70  # as in inside/worker.py


@dataclass(frozen=True)
class StepResult:
    """How one step ended.

    `observation` is what the model is shown; `final_answer` is the argument of the step's first
    `final_answer_print(...)` as text; `seconds` is wall time without the host's tool calls; `tool_errors` are the
    messages of the host's tools that failed during the step, also where the code caught the exception; `searches`,
    filled in by score/tools.py, are what its searches found.
    """

    status: Status
    observation: str
    final_answer: str | None
    seconds: float
    tool_errors: tuple[str, ...] = ()
    searches: tuple[dict[str, Any], ...] = ()


class TooMuch(Exception):
    """A step took more than its processes together may."""

    def __init__(self, status: Status, note: str):
        super().__init__(note)
        self.status: Status = status


def checked_status(reply: dict[str, Any]) -> Status:
    """The status in a step's last message. Raises `BrokenFrame` where the sandbox may not say it."""
    if (status := reply.get("status")) not in ("ok", "error", "memory", "tool_error"):
        raise wire.BrokenFrame(f"status {status!r}")
    return cast(Status, status)


def ending(code: int | None) -> str:
    """In words, how a process ended; `code` as from `os.waitstatus_to_exitcode`."""
    if code is None:
        return "how is not known"
    if code == LOOP_FAILED:
        return "it broke the interpreter's own loop"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
