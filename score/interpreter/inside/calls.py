"""The functions that a session's code finds in its scope: the final answer, and the host's tools.

An exception can end a call at any point: from a signal's handler, or from another thread. The next call still has to
get its own answer. So calls are numbered, and what of a message is not yet sent, or not complete, is kept for it.

Names are bound early, as in `worker.py`: the session may patch what they are called by.
"""

import functools
import operator
import os
import socket
from typing import TYPE_CHECKING, Any

from . import wire

if TYPE_CHECKING:
    from .worker import Worker

LONGEST_ANSWER = 1_000_000  # characters; the host cuts further
_exit, _print, _str = os._exit, print, str
_pack, _unpack, _length = wire.pack, wire.unpack, wire.length
_reduce, _append = functools.reduce, operator.iadd


class ToolFailed(RuntimeError):
    """What a session's code sees where a tool of the host failed."""


ToolFailed.__name__ = ToolFailed.__qualname__ = "ToolError"
ToolFailed.__module__ = "builtins"
# What a call of a tool may raise: the code's own mistakes, and a failure of the tool.
_RAISED = {"TypeError": TypeError, "RuntimeError": RuntimeError, "ToolError": ToolFailed}


def final_answer_tool(worker: "Worker") -> Any:
    """The function that keeps a step's first answer in `worker.answer`."""

    def final_answer_print(answer: Any) -> None:
        """Print the answer and hand it in as the final one."""
        text = _str(answer)
        _print(text)
        if worker.answer is None:
            worker.answer = text[:LONGEST_ANSWER]

    return final_answer_print


def host_tool(worker: "Worker", name: str, description: str) -> Any:
    """A function whose calls travel to the host."""

    def tool(*args: Any, **kwargs: Any) -> Any:
        return _call(worker, name, args, kwargs)

    tool.__name__ = tool.__qualname__ = name
    tool.__doc__ = description
    tool.__module__ = "__main__"
    return tool


def _call(worker: "Worker", name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with worker.lock:
        if worker.step is None:
            raise ToolFailed(f"{name} can be called only during a step, from the session's own process")
        if not worker.output.closed:
            worker.output.flush()
        worker.called += 1
        number = worker.called
        call = _pack({"op": "tool", "id": worker.step, "call": number, "name": name, "args": args, "kwargs": kwargs})
        if len(call) > wire.MAX_FRAME:
            raise ToolFailed(f"the arguments of {name} are too long")
        worker.outbox += call
        _send(worker.outbox, worker.socket)
        while (answer := _next_answer(worker))["call"] != number:
            pass  # to a call that an exception has ended
    if answer["error"] is None:
        return answer["value"]
    raise _RAISED[answer["raises"]](answer["error"])


def finish(worker: "Worker") -> None:
    """Complete the messages that an exception has cut in two: the step's own have to stand beside them."""
    _send(worker.outbox, worker.socket)
    if worker.inbox:
        _next_answer(worker)


def _next_answer(worker: "Worker") -> dict[str, Any]:
    inbox, start = worker.inbox, wire.HEADER.size
    _fill(inbox, start, worker.socket)
    _fill(inbox, start + _length(bytes(inbox[:start])), worker.socket)
    body = bytes(inbox[start:])
    inbox.clear()
    return _unpack(body)


# Bytes move in one call of C code each time: no exception can come between the kernel's moving them and our noting it.


def _send(outbox: bytearray, sock: socket.socket) -> None:
    while outbox:
        any(map(outbox.__delitem__, map(slice, map(sock.send, (outbox,)))))


def _fill(inbox: bytearray, size: int, sock: socket.socket) -> None:
    while (missing := size - len(inbox)) > 0:
        _reduce(_append, map(sock.recv, (min(missing, 2**20),)), inbox)
        if size - len(inbox) == missing:
            _exit(0)  # the host is gone
