"""One task, answered: by an agent in the loop question -> plan -> (code -> observation)* -> answer, or in one turn."""

import time
from typing import Any

from styles import Style, StyleName, answer_in, chat_messages, make_style

from score.dialogue import render
from score.episode import Episode
from score.errors import TaskError
from score.interpreter import Interpreter
from score.llm import Completion, Endpoint, Usage
from score.tasks import Task
from score.tools import Tools, run_code

SEEDS_PER_TRY = 100  # more than an attempt makes calls


class _Calls:
    """The calls of one attempt: seeded by their number, counted."""

    def __init__(self, model: Endpoint, seed: int | None):
        self.model, self.seed = model, seed
        self.usage = Usage()
        self._number = 0

    async def chat(self, messages: list[Any]) -> Completion:
        overrides: dict[str, Any] = {} if self.seed is None else {"seed": self.seed + self._number}
        reply = await self.model.chat(messages, **overrides)
        self._number += 1
        self.usage.add(reply.usage)
        return reply


async def solve(
    task: Task,
    model: Endpoint,
    interpreter: Interpreter,
    tools: Tools,
    max_steps: int,
    seed: int | None,
    *,
    style: StyleName = "student",
    max_tries: int = 1,
) -> dict[str, Any]:
    """One row of the results: the first try. While no answer was handed in, up to `max_tries - 1` further tries follow
    and are kept under `more_tries`, so that nothing that was tried is hidden.

    `ended` says how a try ended: `answered`, `out of steps` or `out of context` (the model's own failings); a failure
    of endpoint, tool or interpreter raises its `ScoreError` instead.
    """
    tries: list[dict[str, Any]] = []
    while len(tries) < max_tries and not (tries and tries[-1]["gen_answer"] is not None):
        calls = _Calls(model, None if seed is None else seed + SEEDS_PER_TRY * len(tries))
        if style == "chat":
            tries.append(await _answer_at_once(task, calls))
        else:
            tries.append(await _attempt(task, calls, interpreter, tools, max_steps, make_style(style, list(tools))))
    row = task.model_dump() | tries[0]
    return row | {"more_tries": tries[1:]} if len(tries) > 1 else row


async def _attempt(
    task: Task, calls: _Calls, interpreter: Interpreter, tools: Tools, max_steps: int, style: Style
) -> dict[str, Any]:
    episode = Episode(task.question, max_steps)
    began, ended = time.monotonic(), "answered"
    session = await interpreter.open(tools)
    try:
        while not episode.over:
            try:
                reply = await calls.chat(style.messages(episode))
            except TaskError:
                ended = "out of context"
                break
            step = style.take(episode, reply.text)
            if step is not None:
                episode.add(step, await run_code(session, step.code) if step.code else None)
    finally:
        await session.close()
    if ended == "answered" and not episode.finished:
        ended = "out of steps"
    return {
        "messages": render(task.question, episode.plan, episode.steps),
        "gen_answer": episode.answer,
        "ended": ended,
        "step_status": [step.status for step in episode.steps],
        "step_searches": [step.searches or [] for step in episode.steps],
        **_cost(calls.usage, began),
    }


async def _answer_at_once(task: Task, calls: _Calls) -> dict[str, Any]:
    began, ended, text = time.monotonic(), "answered", ""
    try:
        text = (await calls.chat(chat_messages(task.question))).text
    except TaskError:
        ended = "out of context"
    reply = [{"role": "assistant", "content": text}] if text else []
    return {
        "messages": [{"role": "user", "content": task.question}, *reply],
        "gen_answer": answer_in(text),
        "ended": ended,
        "step_status": [],
        **_cost(calls.usage, began),
    }


def _cost(usage: Usage, began: float) -> dict[str, Any]:
    return {
        "prompt_tokens": None if usage.uncounted else usage.prompt_tokens,
        "completion_tokens": usage.generated,
        "seconds": round(time.monotonic() - began, 3),
    }
