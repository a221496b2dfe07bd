"""What an attack is."""

from dataclasses import dataclass
from typing import Literal

from score.interpreter.result import Status

CONTAINED: tuple[Status, ...] = ("timeout", "killed", "memory", "error")


@dataclass(frozen=True)
class Attack:
    """Code that tries to get out, to take the machine down, or to cheat. It prints <escaped> where it succeeds.

    The fields in <angle brackets> are filled in by the arena: `<escaped>` (written so that a traceback which quotes the
    line does not show it), `<port>` of a server for TCP, HTTP and UDP, `<unix>` and `<abstract>` sockets, `<file>` with
    a secret, `<pid>` of a process with the secret in its environment, all of the host's; `<between>`, a port that is
    free, for what two sessions try between them.

    `victim` is a step that another session runs first; that session lives on while the attack runs.

    `expected` are the statuses that a contained attack may end with. `contained_by` says from which isolation on it has
    to fail; what only `strict` covers is reported as open in `limits`. A `dangerous` one would harm the host where it
    is open, so it is not tried there. `needs_seccomp`: only the filter of system calls covers it.
    """

    name: str
    code: str
    expected: tuple[Status, ...] = ("ok", "error")
    contained_by: Literal["limits", "strict"] = "limits"
    dangerous: bool = False
    needs_seccomp: bool = False
    may_lose_state: bool = False
    timeout_s: float = 5.0
    victim: str = ""


def endless(name: str, code: str, expected: tuple[Status, ...] = ("timeout",)) -> Attack:
    """An attack that has to be stopped."""
    return Attack(name, code, expected, timeout_s=0.4)


def outward(
    name: str,
    code: str,
    dangerous: bool = False,
    needs_seccomp: bool = False,
    timeout_s: float = 5.0,
    victim: str = "",
) -> Attack:
    """An attack that only `strict` covers."""
    return Attack(
        name,
        code,
        contained_by="strict",
        dangerous=dangerous,
        needs_seccomp=needs_seccomp,
        timeout_s=timeout_s,
        victim=victim,
    )
