"""A served student with known habits: it follows the answer key in the tag dialogue, but errs where it is told to.

    python tests/MPS/scripted_student.py --key answer_key.jsonl --mistake wrong --port 8200

Mistakes: `none`; `wrong` adds 97 to the result of its second action (of a look-up: hands in `Nowhere`); `stuck`
prints its first result again and again until somebody else takes the second step; `mute` writes no code in its second
action; `early` hands in its first result; `endless` fills its context; `mixed` takes one of these by task. Besides:
`crash` ends its own process until somebody else takes the second step; `fickle` errs like `wrong` with
every second seed, and says its seed in its thoughts.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from score.dialogue import parse_student, render_plan, render_step
from score.miniature.expert import load_key
from score.miniature.marking import AttemptedStep, Problem, progress
from score.trajectory import Step

MISTAKES = ("none", "wrong", "stuck", "mute", "early", "endless")


def attempted(messages: list[dict[str, str]]) -> list[AttemptedStep]:
    """The actions of the dialogue so far."""
    steps = []
    for reply, following in zip(messages[3::2], messages[4::2], strict=True):
        parsed = parse_student(reply["content"])
        observation = following["content"].removeprefix("Observation: ")
        steps.append(AttemptedStep(parsed.thought, parsed.code or "", observation, final=False))
    return steps


def reply(problem: Problem, messages: list[dict[str, str]], mistake: str, seed: int = 0) -> str:
    """The student's next turn."""
    fickle = mistake == "fickle"
    if fickle:
        mistake = "wrong" if random.Random(seed).random() < 0.5 else "none"
    if len(messages) == 1:
        return render_plan(problem.plan)
    steps = attempted(messages)
    keyed = [*problem.work, problem.last]
    following = keyed[min(len(steps), len(keyed) - 1)]
    own = Step(thought=f"{following.thought} ({seed})" if fickle else following.thought, code=following.code)
    if mistake == "wrong" and len(steps) == 1 and following is not problem.last:
        is_sum = problem.kind == "word"
        own.code = own.code.replace("\nprint", " + 97\nprint") if is_sum else 'final_answer_print("Nowhere")'
    if mistake == "stuck" and progress(problem, steps) == 1 and len(problem.work) > 1:
        return render_step(Step(thought="Once more.", code=problem.work[0].code.splitlines()[-1]))
    if mistake == "stuck":
        return render_step(Step(thought="On.", code=keyed[min(progress(problem, steps), len(keyed) - 1)].code))
    if mistake == "crash" and progress(problem, steps) == 1 and len(problem.work) > 1:
        return render_step(Step(thought="On.", code="import os\nos._exit(251)"))
    if mistake == "mute" and len(steps) == 1:
        return "<thought>I am thinking.</thought>"
    if mistake == "early" and len(steps) == 1:
        return render_step(Step(thought="Done.", code="final_answer_print(a)"))
    return render_step(own)


def make_app(problems: dict[str, Problem], numbers: dict[str, int], mistake: str) -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        messages = body["messages"]
        problem = problems.get(messages[0]["content"])
        text = "OK"
        if problem is not None:
            own = mistake if mistake != "mixed" else MISTAKES[numbers[problem.question] % len(MISTAKES)]
            if own == "endless" and len(messages) == 5:
                error = {"message": "maximum context length is 128 tokens", "code": "context_length_exceeded"}
                return Response(json.dumps({"error": error}), status_code=400, media_type="application/json")
            text = reply(problem, messages, own, body.get("seed", 0))
        answer: dict[str, Any] = {
            "id": "chatcmpl-student",
            "object": "chat.completion",
            "created": 0,
            "model": "student",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        return Response(json.dumps(answer), media_type="application/json")

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--mistake", choices=[*MISTAKES, "mixed", "crash", "fickle"], default="none")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    keyed_problems = load_key(arguments.key)
    order = {question: number for number, question in enumerate(keyed_problems)}
    uvicorn.run(make_app(keyed_problems, order, arguments.mistake), port=arguments.port, log_level="warning")
