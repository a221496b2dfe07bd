"""What model-written code may call, and how a broken tool is told from a model's mistake. All phases use this."""

from score.errors import ToolError
from score.interpreter import Session, StepResult
from score.search import Search, SearchSettings, make_search

Tools = dict[str, Search]


def make_tools(search: SearchSettings) -> Tools:
    """The tools that code may call besides `final_answer_print`. Without a back end there is no `web_search` at all:
    calling it, or calling it without a query, is the model's mistake and not a failure of ours."""
    if search.backend == "none":
        return {}
    find = make_search(search)

    async def web_search(query: str) -> str:
        if not isinstance(query, str) or not query.strip():
            return "Error: web_search needs a query, a text that is not empty."
        return await find(query)

    return {"web_search": web_search}


async def run_code(session: Session, code: str) -> StepResult:
    """Run a step's code. Raises `ToolError` if a tool's back end failed in it (the code may have swallowed that):
    such a step says nothing about the model."""
    result = await session.run(code)
    if result.tool_errors:
        raise ToolError(result.tool_errors[0])
    return result
