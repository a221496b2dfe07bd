"""The student alone: question -> plan -> (code -> observation)* -> answer, as it was trained to do."""

import time
from typing import Any

from score.dialogue import render
from score.episode import Episode
from score.errors import TaskError
from score.interpreter import Interpreter
from score.llm import Endpoint, Usage
from score.tasks import Task
from score.tools import Tools, run_code


async def solve(
    task: Task, student: Endpoint, interpreter: Interpreter, tools: Tools, max_steps: int, seed: int | None
) -> dict[str, Any]:
    """One row of the results. `ended` says how: `answered`, `out of steps` or `out of context` (the student's own
    failings); a failure of endpoint, tool or interpreter raises its `ScoreError` instead."""
    episode = Episode(task.question, max_steps)
    usage, began, ended, calls = Usage(), time.monotonic(), "answered", 0
    session = await interpreter.open(tools)
    try:
        while not episode.over:
            overrides: dict[str, Any] = {} if seed is None else {"seed": seed + calls}
            try:
                reply = await student.chat(episode.messages(), **overrides)
            except TaskError:
                ended = "out of context"
                break
            calls += 1
            usage.add(reply.usage)
            step = episode.student_reply(reply.text)
            if step is not None:
                episode.add(step, await run_code(session, step.code) if step.code else None)
    finally:
        await session.close()
    if ended == "answered" and not episode.finished:
        ended = "out of steps"
    return task.model_dump() | {
        "messages": render(task.question, episode.plan, episode.steps),
        "gen_answer": episode.answer,
        "ended": ended,
        "step_status": [step.status for step in episode.steps],
        "step_searches": [step.searches or [] for step in episode.steps],
        "prompt_tokens": None if usage.uncounted else usage.prompt_tokens,
        "completion_tokens": usage.generated,
        "seconds": round(time.monotonic() - began, 3),
    }
