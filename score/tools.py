"""What model-written code may call, and how a broken tool is told from a model's mistake. All phases use this."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from score.errors import ToolError
from score.interpreter import Session, StepResult
from score.search import QueryTooLong, SearchClient, SearchSettings

Tools = dict[str, Callable[[str], Awaitable[str]]]
# Where the searches of the step that runs are recorded; a session calls its tools from within `run`.
_searches: ContextVar[list[dict[str, Any]] | None] = ContextVar("searches", default=None)


def make_tools(search: SearchSettings) -> Tools:
    """The tools that code may call besides `final_answer_print`. Without a back end there is no `web_search` at all:
    calling it, or calling it without a query or with one that is too long, is the model's mistake and not a failure of
    ours. Raises `SettingsError` where the back end lacks its key or its corpus."""
    if search.backend == "none":
        return {}
    client = SearchClient(search)

    async def web_search(query: str) -> str:
        if not isinstance(query, str) or not query.strip():
            return "Error: web_search needs a query, a text that is not empty."
        try:
            found = await client.search(query)
        except QueryTooLong as error:
            return f"Error: {error}."
        if (made := _searches.get()) is not None:
            made.append(found.record())
        return found.text()

    return {"web_search": web_search}


async def run_code(session: Session, code: str) -> StepResult:
    """Run a step's code; its result carries what the step's searches found. Raises `ToolError` if a tool's back end
    failed in it (the code may have swallowed that): such a step says nothing about the model."""
    made: list[dict[str, Any]] = []
    outside = _searches.set(made)
    try:
        result = await session.run(code)
    finally:
        _searches.reset(outside)
    if result.tool_errors:
        raise ToolError(result.tool_errors[0])
    return replace(result, searches=tuple(made)) if made else result
