"""Recorded trajectories over the OpenAI API: every role is answered with what was said then.

    python -m tests.replay FILE --port P          (from the project's root)

FILE holds trajectories of phase 1 or phase 2, ours or the original release's. The planner and the actor say the
recorded plan and steps in their order, the judge the recorded verdict. For phase 2 the student says its recorded steps
up to each recorded mistake, the localiser blames that step, the corrector says the recorded correction, and the
student goes on as recorded. What the files do not hold is what a student did after a mistake that was cut away, or
anyone after the last step of a trajectory that ended without an answer: `NOT_RECORDED` is handed in there, which is
judged wrong. Lines that cannot be read are named and left out. A search of the release showed what it found by itself;
ours has to be printed, and so it is (`as_run`).
"""

import argparse
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from score.dialogue import Message, parse_student, render_plan, render_step
from score.trajectory import KeyStep, Step, Trajectory, read_trajectories

NOT_RECORDED = "(what came after this mistake was not recorded)"
BEYOND = Step(thought="I hand in an answer.", code=f"final_answer_print({NOT_RECORDED!r})")


def as_run(code: str) -> str:
    """The code with `print(...)` around searches that stand alone in a line."""
    return re.sub(r"^(web_search\(.*\))[ \t]*$", r"print(\1)", code, flags=re.MULTILINE)


class Recording:
    """The recorded replies of one task: the plan, the steps, and the corrections made on the way."""

    def __init__(self, trajectory: Trajectory):
        self.trajectory = trajectory
        mentoring = [[key_step.teacher_guided_step, *key_step.student_mistake] for key_step in trajectory.key_steps]
        for step in itertools.chain(trajectory.steps, *mentoring):
            step.code = as_run(step.code)

    def teacher(self, role: str, prompt: str) -> str:
        """What was said then in this role. An actor's prompt asks for step k, where step 1 was the plan."""
        if role == "judge":
            said = prompt.rpartition("Candidate answer:\n")[2].strip()
            other = bool(self.trajectory.key_steps) and said != (self.trajectory.answer or "").strip()
            is_other = other or said == NOT_RECORDED
            return json.dumps({"reason": "recorded", "equivalent": self.trajectory.correct and not is_other})
        if role == "planner":
            return f"First thought: {self.trajectory.plan}"
        if role in ("localiser", "corrector"):
            return self._mentor(role, prompt)
        number = int(re.findall(r"Write step (\d+) of", prompt)[-1])
        steps = self.trajectory.steps
        return as_teacher(steps[number - 2] if number - 2 < len(steps) else BEYOND)

    def _mentor(self, role: str, prompt: str) -> str:
        """The first key step whose correction the prompt's steps do not hold yet."""
        shown = prompt.rpartition("Steps so far:\n")[2]
        for key_step in self.trajectory.key_steps:
            guided = key_step.teacher_guided_step
            if (guided.code or guided.thought) in shown and role == "localiser":
                continue
            if role == "corrector" and not prompt.rstrip().endswith(f"Write step {key_step.mistake_step_index + 1}."):
                continue
            if role == "localiser":
                return localised(key_step)
            return as_teacher(guided) if key_step.mistake_step_index else f"First thought: {guided.thought}"
        return "Nothing was corrected here when this was recorded."

    def student(self, messages: list[Message]) -> str:
        """The student's next turn; turn 0 is the plan."""
        turns = [parse_student(message["content"]) for message in messages[1::2]]
        said = [reply.plan or reply.thought if index == 0 else reply.thought for index, reply in enumerate(turns)]
        steps = [Step(thought=self.trajectory.plan or ""), *self.trajectory.steps]
        turn = len(turns)
        for key_step in self.trajectory.key_steps:
            index = key_step.mistake_step_index
            if index < turn and said[index].strip() == key_step.teacher_guided_step.thought.strip():
                continue  # corrected already
            if turn == index:
                return as_student(key_step.student_mistake[0], is_plan=index == 0)
            if turn > index:
                return as_student(BEYOND)
            break
        return as_student(steps[turn] if turn < len(steps) else BEYOND, is_plan=turn == 0)


def as_teacher(step: Step) -> str:
    return f"Thought: {step.thought}\nCode:\n```python\n{step.code}\n```"


def as_student(step: Step, *, is_plan: bool = False) -> str:
    return render_plan(step.thought) if is_plan else render_step(step)


def localised(key_step: KeyStep) -> str:
    """The localiser's JSON. The release has one text for what was wrong and what to do; evidence it has none."""
    mistake = key_step.student_mistake[0]
    evidence = (mistake.code or mistake.thought).strip().split("\n")[0]
    text = key_step.correction_suggestion or "(nothing was said)"
    return json.dumps(
        {"step": key_step.mistake_step_index + 1, "evidence": evidence, "diagnosis": text, "suggestion": text}
    )


def make_app(file: Path) -> FastAPI:
    recordings = {}
    for trajectory in read_trajectories(file):
        if not isinstance(trajectory, Trajectory):
            print(f"left out: {trajectory}", file=sys.stderr)
            continue
        recordings[trajectory.task.question.strip()] = Recording(trajectory)
    longest_first = sorted(recordings, key=len, reverse=True)
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions", response_model=None)
    def chat(request: dict[str, Any]) -> dict[str, Any] | JSONResponse:
        messages = request["messages"]
        first = messages[0]["content"]
        role = re.match(r"You are the (\w+)", first)
        prompt = next((m["content"] for m in messages if role is None or m["role"] == "user"), "")
        question = next(
            (text for text in longest_first if prompt.strip() == text or f"Question:\n{text}" in prompt), None
        )
        if question is not None:
            recording = recordings[question]
            text = recording.student(messages) if role is None else recording.teacher(role[1], prompt)
        elif role is None:  # the check at the start of a run
            text = "OK"
        else:
            return JSONResponse({"error": {"message": "this task was not recorded"}}, status_code=400)
        message = {"role": "assistant", "content": text}
        return {
            "id": "replay", "object": "chat.completion", "created": 0, "model": "replay",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }  # fmt: skip

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(make_app(options.file), host="127.0.0.1", port=options.port, log_level="warning")
