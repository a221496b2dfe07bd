"""The leak check lets every correction of the miniature's expert pass, at default settings."""

import asyncio
from pathlib import Path

from roles import Diagnosis, Teacher

from score.episode import Episode
from score.llm import Endpoint, EndpointSettings
from score.miniature.marking import Problem
from score.search import SearchSettings
from score.tasks import Task
from score.tools import Tools, make_tools
from score.trajectory import Step


async def observed(problem: Problem, tools: Tools) -> list[Step]:
    """The key's steps with what they print; a search prints the best article."""
    steps = []
    for keyed in problem.work:
        shown = keyed.value
        if problem.kind == "lookup":
            shown = await tools["web_search"](keyed.code)
        steps.append(Step(thought=keyed.thought, code=keyed.code, observation=shown, status="ok"))
    return steps


def test_none_of_some_hundred_corrections_is_taken_for_a_leak(
    world: Path, mps_tasks: list[Task], problems: dict[str, Problem], expert_url: str
) -> None:
    """Each task is corrected at every point, also at the last step, which hands in the answer, and in the plan."""
    tools = make_tools(SearchSettings(backend="local", corpus=world / "encyclopedia.jsonl", results=1))
    wrong = Step(thought="I guess.", code="print(-1)", observation="-1", status="ok")

    async def correct_all() -> tuple[Teacher, int]:
        endpoint = Endpoint("teacher", EndpointSettings(base_url=expert_url, model="miniature-expert"))
        teacher = Teacher(endpoint, ["web_search"], max_steps=8)
        work = []
        for task in mps_tasks:
            problem = problems[task.question]
            right = await observed(problem, tools)
            for number in range(len(right) + 2):
                plan = problem.plan if number else "I guess."
                episode = Episode(task.question, 8, plan, [*right[: max(number - 1, 0)], wrong])
                diagnosis = Diagnosis(number + 1, "", "It is wrong.", "Do it otherwise.")
                work.append(teacher.correct(task, episode, diagnosis, retries=0))
        await asyncio.gather(*work)  # a leak would raise
        await endpoint.close()
        return teacher, len(work)

    teacher, corrections = asyncio.run(correct_all())
    assert corrections >= 200
    assert teacher.correcting == {"asked for": corrections, "written": corrections}
    assert not teacher.asked_again
