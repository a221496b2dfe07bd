"""verl's tools (`tool_config_path`, `function_tool_path`) as plain functions for the student's code.

    tools:
      - {class_name: my_tools.Calculator, config: {}, tool_schema: {type: function, function: {name: calculator, ...}}}

    print(calculator("6 * 7"))        # arguments by position, in the schema's order, or by name

A tool of verl that raises is a broken tool as any other: the rollout is unscored. Rewards and metrics of tools are not
used.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from score.errors import SettingsError

RESERVED = {"web_search", "final_answer_print"}


def as_functions(tools: Sequence[Any]) -> dict[str, Callable[..., Awaitable[str]]]:
    """By name. Raises `SettingsError` for a name that is taken or is no name."""
    made: dict[str, Callable[..., Awaitable[str]]] = {}
    for tool in tools:
        if not tool.name.isidentifier() or tool.name in RESERVED or tool.name in made:
            raise SettingsError(f"a tool of tool_config cannot be called {tool.name!r}")
        made[tool.name] = _function(tool)
    return made


def _function(tool: Any) -> Callable[..., Awaitable[str]]:
    schema = tool.tool_schema.function
    required = set(schema.parameters.required)
    names = sorted(schema.parameters.properties, key=lambda name: name not in required)  # Python wants these first
    nothing = inspect.Parameter.empty

    async def call(*args: Any, **kwargs: Any) -> str:
        given = {k: v for k, v in signature.bind(*args, **kwargs).arguments.items()}
        return await (_call_function(tool, given) if hasattr(tool, "call") else _call_stateful(tool, given))

    signature = inspect.Signature(
        [
            inspect.Parameter(
                name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=nothing if name in required else None
            )
            for name in names
        ]
    )
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = schema.description
    return call


async def _call_function(tool: Any, given: dict[str, Any]) -> str:
    from verl.tools.function_tool import normalize_function_tool_return

    response, _, _ = normalize_function_tool_return(await tool.call(given))
    return response.text or ""


async def _call_stateful(tool: Any, given: dict[str, Any]) -> str:
    """verl's life of a call: create, execute, release."""
    instance, _ = await tool.create()
    try:
        response, *_ = await tool.execute(instance, given)
    finally:
        await asyncio.shield(tool.release(instance))
    return response.text or ""
