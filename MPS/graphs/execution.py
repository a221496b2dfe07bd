"""What both graphs do alike: run a step's code with failures kept apart from results, and judge an episode."""

from score.episode import Episode
from score.errors import ToolError
from score.interpreter import Session, StepResult
from score.judging import Judge
from score.search import Search, SearchSettings, make_search
from score.tasks import Task
from score.trajectory import Verdict

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


async def judge_episode(judge: Judge, task: Task, episode: Episode) -> Verdict:
    """The verdict on an episode that is over; without an answer there is nothing to compare."""
    if episode.answer is None:
        return Verdict(correct=False, by="no answer")
    return await judge.verdict(task.question, task.references, episode.answer)
