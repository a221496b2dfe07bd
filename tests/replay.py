"""A teacher that replays recorded trajectories over the OpenAI API: the prompts of BC_init_data_gen.py are answered
with what the real model said then, in the order the steps were taken; the judge's with the recorded verdict.

    python tests/replay.py FILE --port P
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from score.trajectory import Trajectory, read_trajectories


class Recording:
    """The recorded replies of one task: the plan, then the steps."""

    def __init__(self, trajectory: Trajectory):
        self.trajectory = trajectory

    def reply(self, role: str, prompt: str) -> str:
        """What was said then in this role. An actor's prompt asks for step k, where step 1 was the plan."""
        if role == "judge":
            return json.dumps({"reason": "recorded", "equivalent": self.trajectory.correct})
        if role == "planner":
            return f"First thought: {self.trajectory.plan}"
        number = int(re.findall(r"Write step (\d+) of", prompt)[-1])
        step = self.trajectory.steps[number - 2]
        return f"Thought: {step.thought}\nCode:\n```python\n{step.code}\n```"


def make_app(file: Path) -> FastAPI:
    recordings = {}
    for trajectory in read_trajectories(file):
        assert isinstance(trajectory, Trajectory), trajectory
        recordings[trajectory.task.question.strip()] = Recording(trajectory)
    longest_first = sorted(recordings, key=len, reverse=True)
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions", response_model=None)
    def chat(request: dict[str, Any]) -> dict[str, Any] | JSONResponse:
        messages = request["messages"]
        role = re.match(r"You are the (\w+)", messages[0]["content"])
        prompt = messages[-1]["content"]
        question = next((text for text in longest_first if f"Question:\n{text}" in prompt), None)
        if role is None:  # the check at the start of a run
            text = "OK"
        elif question is None:
            return JSONResponse({"error": {"message": "this task was not recorded"}}, status_code=400)
        else:
            text = recordings[question].reply(role[1], prompt)
        message = {"role": "assistant", "content": text}
        return {
            "id": "replay", "object": "chat.completion", "created": 0, "model": "replay",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }  # fmt: skip

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(make_app(options.file), host="127.0.0.1", port=options.port, log_level="warning")
