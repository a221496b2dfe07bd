"""What a step does when it runs: what it prints, and the variables that it creates or changes.

Everything happens in forks, so the session that is asked about stays as it is.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from score.interpreter import STOPPED, Session
from score.tools import run_code

_SECONDS = 5.0  # for looking at the variables, whatever a step may take
_MARK = "score-variables:"
_SOURCE = Path(__file__).with_name("fingerprint.py").read_text(encoding="utf-8")
_PROGRAM = f"{_SOURCE}\nimport json\nprint({_MARK!r} + json.dumps(fingerprints(scope)))\n"
# One expression, so that looking leaves no name behind, and one that the student's names cannot lead astray.
_LOOK = f"__import__('builtins').exec({_PROGRAM!r}, {{'scope': (lambda: 0).__globals__, '__name__': 'fingerprint'}})"

Variables = dict[str, str]


@dataclass(frozen=True)
class Effect:
    """`status` and `printed` as the interpreter gives them. `changed` maps the variables that the step created or
    changed to what they became; None where that could not be told."""

    status: str
    printed: str
    changed: Variables | None


async def variables(session: Session) -> Variables | None:
    """The session's variables, looked at in a fork; None where that fails (too many, or the state is hostile).
    Raises `InterpreterError` where the sandbox fails."""
    copy = await session.fork()
    try:
        return await _look(copy)
    finally:
        await copy.close()


async def effect(before: Session, known: Variables | None, code: str) -> Effect:
    """Run `code` in a fork of `before`, whose variables are `known`. Raises `InterpreterError`, and `ToolError`
    if a tool's back end failed."""
    copy = await before.fork()
    try:
        result = await run_code(copy, code)
        stopped = result.status in STOPPED  # without snapshots there is no state left to look at
        after = await _look(copy) if known is not None and not stopped else None
    finally:
        await copy.close()
    if known is None or after is None:
        return Effect(result.status, result.observation, None)
    changed = {name: text for name, text in after.items() if known.get(name) != text}
    return Effect(result.status, result.observation, changed)


async def _look(session: Session) -> Variables | None:
    result = await session.run(_LOOK, timeout_s=_SECONDS)
    _, found, text = result.observation.rpartition(_MARK)
    if result.status != "ok" or not found:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None  # longer than an observation may be
    return {str(name): str(shown) for name, shown in value.items()} if isinstance(value, dict) else None
