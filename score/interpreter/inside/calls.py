"""The functions that a session's code finds in its scope: the final answer, and the host's tools.

Names are bound early, as in `worker.py`: the session may patch what they are called by.
"""

import os
from typing import TYPE_CHECKING, Any

from . import wire

if TYPE_CHECKING:
    from .worker import Worker

LONGEST_ANSWER = 1_000_000  # characters; the host cuts further
_exit, _print, _str = os._exit, print, str
_receive, _pack = wire.receive, wire.pack


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
        call = _pack({"op": "tool", "id": worker.step, "name": name, "args": args, "kwargs": kwargs})
        if len(call) > wire.MAX_FRAME:
            raise ToolFailed(f"the arguments of {name} are too long")
        worker.socket.sendall(call)
        received = _receive(worker.socket)
    if received is None:
        _exit(0)
    answer = received[0]
    if answer["error"] is None:
        return answer["value"]
    raise _RAISED[answer["raises"]](answer["error"])
