"""Answering a session's calls of the host's tools."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from score.interpreter.inside import wire

Tool = Callable[..., str | Awaitable[str]]


async def answer(
    tools: Mapping[str, Tool], message: dict[str, Any], failures: list[str], number: int, limit: int
) -> bytes:
    """Call the tool that `message` names and pack what to tell the session. `number`: the call's, in its step, from 1.

    What a tool raises becomes an exception inside, and its text is appended to `failures`; a call that does not fit
    the tool's signature is the code's own `TypeError`, one beyond the `limit` its `RuntimeError`. Raises
    `wire.BrokenFrame` where `message` is no call at all.
    """
    name, args, kwargs, call = message.get("name"), message.get("args"), message.get("kwargs"), message.get("call")
    is_call = message.get("op") == "tool" and isinstance(args, list) and isinstance(kwargs, dict)
    if not is_call or not isinstance(call, int) or not isinstance(name, str) or name not in tools:
        raise wire.BrokenFrame("no call of a tool")
    assert isinstance(args, list) and isinstance(kwargs, dict)

    def told(**said: Any) -> bytes:
        return wire.pack({"call": call, **said})  # its own number of the call, by which it knows a late answer

    tool = tools[name]
    if number > limit:
        text = f"{name} was not called: a step may call tools {limit} times, and this is its call {number}"
        return told(error=text, raises="RuntimeError")
    try:
        inspect.signature(tool).bind(*args, **kwargs)
    except TypeError as error:
        return told(error=f"{name}() {error}", raises="TypeError")
    except ValueError:
        pass  # a builtin without a signature: the call itself will tell
    try:
        if inspect.iscoroutinefunction(tool):
            value: Any = tool(*args, **kwargs)
        else:
            value = await asyncio.to_thread(tool, *args, **kwargs)  # it may block, and others are waiting
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:  # noqa: BLE001 - any failure of a tool is told to the code and recorded
        text = f"{name} failed: {type(error).__name__}: {error}"
        failures.append(text)
        return told(error=text, raises="ToolError")
    packed = told(error=None, value=value)
    if len(packed) > wire.MAX_FRAME:
        text = f"{name} failed: its result is too long ({len(packed)} bytes)"
        failures.append(text)
        return told(error=text, raises="ToolError")
    return packed
