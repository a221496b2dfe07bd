"""Trajectories and their files: `*_bc_init_trajectories.jsonl` and `*_mps_trajectories.jsonl`.

In memory a trajectory is question, plan and steps. On disk the two files differ (METHOD.md, section 3): a BC row
keeps the plan as `first_thought`, a mentored row as `steps[0]` with empty code. Only this module knows the keys;
it reads our files and those of the original release.

Step numbers shown to models and written as `correction_start_step` count from 1, where step 1 is the plan;
`mistake_step_index` counts the same list from 0.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from score.errors import DataError
from score.tasks import Task, problem_in, read_json_lines

if TYPE_CHECKING:
    from score.recorded import RecordedKeyStep, RecordedStep

NO_CODE = "No Code Executed."
# `Thought:`, and as chat models decorate it: `**Thought**:`, `**Thought:**`, `### Thought` on a line of its own, below
# `Step 2:`. Only a mark that was opened before the label is closed with it: the thought may begin with one of its own.
_LABEL = re.compile(
    r"[#>\s]*(?:[*_]*step\s+\d{1,3}[*_:.]*[#>\s]*)?([*_]*)(?:first[\s_-]*)?thought(?:\s+prefix|\s+\d{1,3})?"
    r"(?:\1\s*:|\s*:\s*\1|\s*:|\1[ \t]*(?:\n|$))\s*",
    re.IGNORECASE,
)


def split_label(thought: str) -> tuple[str, str]:
    """The `Thought:` / `First Thought:` that teachers put before a thought (empty without one), and the thought."""
    label = _LABEL.match(thought)
    end = label.end() if label else 0
    return thought[:end], thought[end:].strip()


def without_label(thought: str) -> str:
    return split_label(thought)[1]


def plan_in(text: str) -> str | None:
    """The plan that a file holds; whoever made none is written down with an empty one."""
    return without_label(text) or None


class Step(BaseModel):
    """One action and what came of it. `status` is the interpreter's (`ok`, `error`, `timeout` ...). `searches`: what
    its searches found, `{"tool", "query", "results": [{"rank", "url", "title", "passage"}]}`; for readers only."""

    model_config = ConfigDict(extra="allow")

    thought: str
    code: str = ""
    observation: str = ""
    is_finished: bool = False
    status: str | None = None
    searches: list[dict[str, Any]] | None = None


Successes = tuple[int, int]  # how many of how many rollouts ended with a right answer


class KeyStep(BaseModel):
    """The teacher's correction at the student's first critical error.

    `prefix_steps` are the verified steps before it (the plan is not among them), so that nothing has to be
    parsed out of `context_before_intervention`, which is kept for readers of the original format.

    What rollouts measured, where they were asked for: `success_around` the mistake ("before" and "after" it), which
    localised it; `criticality`: the student's success from the prefix "without" and "with" the teacher's step.
    """

    model_config = ConfigDict(extra="allow")

    teacher_guided_step: Step
    student_mistake: list[Step]
    mistake_step_index: int
    correction_suggestion: str = ""
    context_before_intervention: str = "None"
    is_valid: bool = False
    prefix_steps: list[Step] | None = None
    prefix_plan: str | None = None
    localised_by: str | None = None
    success_around: dict[str, Successes] | None = None
    criticality: dict[str, Successes] | None = None


class Verdict(BaseModel):
    """Whether the answer is right, who said so (`by`: a rule's name or a model id) and what was compared."""

    correct: bool
    by: str
    evidence: str = ""
    references: list[str] | None = None
    answer: str | None = None

    def row(self) -> dict[str, Any]:
        """What a trajectory's row keeps of it, besides the decision."""
        compared = {"references": self.references, "answer": self.answer} if self.references is not None else None
        return {"by": self.by, "reason": self.evidence or None, "compared": compared}


class Trajectory(BaseModel):
    """A task, the plan and the steps taken. `answer` is what the last step handed in, or None."""

    task: Task
    plan: str | None
    steps: list[Step]
    verdict: Verdict | None = None
    key_steps: list[KeyStep] = Field(default_factory=list)
    is_hard: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def answer(self) -> str | None:
        last = self.steps[-1] if self.steps else None
        return last.observation.strip() if last is not None and last.is_finished else None

    @property
    def correct(self) -> bool:
        return self.verdict is not None and self.verdict.correct


def _stamp() -> str:
    return datetime.now().strftime("%Y%m%d_%H%M%S")


def bc_row(trajectory: Trajectory) -> dict[str, Any]:
    """The row of `*_bc_init_trajectories.jsonl`."""
    verdict = trajectory.verdict
    return {
        "timestamp": _stamp(),
        "first_thought": trajectory.plan or "",
        "steps": [step.model_dump(exclude_none=True) for step in trajectory.steps],
        "original_task_info": trajectory.task.model_dump(),
        "evaluation_result": {"equivalent": verdict.correct, **verdict.row()} if verdict else None,
        **trajectory.extra,
    }


def mps_row(trajectory: Trajectory) -> dict[str, Any]:
    """The row of `*_mps_trajectories.jsonl`."""
    verdict = trajectory.verdict
    plan = Step(thought=trajectory.plan or "", observation=NO_CODE)
    row = {
        "timestamp": _stamp(),
        "steps": [step.model_dump(exclude_none=True) for step in [plan, *trajectory.steps]],
        "original_task_info": trajectory.task.model_dump(),
        "evaluation_result": {
            "is_correct": trajectory.correct,
            "error_analysis": None if trajectory.correct else trajectory.extra.get("error_analysis", "Not finished"),
            "correction_start_step": None,
            "correction_suggestion": None,
            **(verdict.row() if verdict else {"by": None}),
        },
        "repair_steps": [key_step.model_dump(exclude_none=True) for key_step in trajectory.key_steps],
        **trajectory.extra,
    }
    return row | {"is_hard_sample": True} if trajectory.is_hard else row


def read_verdict(recorded: object) -> Verdict | None:
    """The verdict of a recorded row: ours is an object, the release's BC file holds the judge's raw string."""
    if isinstance(recorded, str):
        try:
            recorded = json.loads(recorded)
        except json.JSONDecodeError:
            return None  # the release also keeps replies that nobody could read: unscored
    if not isinstance(recorded, dict):
        return None
    correct = recorded.get("equivalent", recorded.get("is_correct"))
    if not isinstance(correct, bool):
        return None
    compared = recorded.get("compared") or {}
    return Verdict(
        correct=correct,
        by=str(recorded.get("by") or "recorded"),
        evidence=str(recorded.get("reason") or ""),
        references=compared.get("references"),
        answer=compared.get("answer"),
    )


def still_holds(
    key_step: "KeyStep | RecordedKeyStep", plan: str | None, steps: "Sequence[Step | RecordedStep]"
) -> bool:
    """Do this plan and these steps hold the correction where it was made, after the very prefix that it was made for?
    A key step without a structured prefix (the original release's) is looked for at its place alone."""
    index = key_step.mistake_step_index
    if index == 0:
        return (plan or "") == key_step.teacher_guided_step.thought
    if len(steps) < index or _action(steps[index - 1]) != _action(key_step.teacher_guided_step):
        return False
    if key_step.prefix_steps is None:
        return True
    same_plan = (key_step.prefix_plan or "") == (plan or "")
    return same_plan and [_action(s) for s in key_step.prefix_steps] == [_action(s) for s in steps[: index - 1]]


def _action(step: "Step | RecordedStep") -> tuple[str, str]:
    return step.thought, step.code


_KNOWN = {
    "timestamp",
    "first_thought",
    "steps",
    "original_task_info",
    "evaluation_result",
    "repair_steps",
    "is_hard_sample",
}


def parse_row(row: dict[str, Any]) -> Trajectory:
    """A trajectory from a row of either file. Raises pydantic's `ValidationError`, `KeyError` or `DataError`."""
    recorded = row["steps"]
    if not isinstance(recorded, list) or not all(isinstance(step, dict) for step in recorded):
        raise DataError("steps: expected a list of objects")
    failed = [step for step in recorded if "error" in step and "thought" not in step]
    if failed:
        raise DataError(f"a step failed while it was recorded: {failed[0]['error']}")
    steps = [Step.model_validate(step) for step in recorded]
    if "first_thought" in row:
        if not isinstance(row["first_thought"], str):
            raise DataError("first_thought: expected text")
        plan = plan_in(row["first_thought"])
    elif steps and not steps[0].code.strip():
        plan = plan_in(steps.pop(0).thought)
    else:
        plan = None
    for step in steps:
        step.thought = without_label(step.thought)
    key_steps = [KeyStep.model_validate(key_step) for key_step in row.get("repair_steps") or []]
    for key_step in key_steps:
        for step in [key_step.teacher_guided_step, *key_step.student_mistake, *(key_step.prefix_steps or [])]:
            step.thought = without_label(step.thought)
        key_step.prefix_plan = plan_in(key_step.prefix_plan or "")
    return Trajectory(
        task=Task.model_validate(row["original_task_info"]),
        plan=plan,
        steps=steps,
        verdict=read_verdict(row.get("evaluation_result")),
        key_steps=key_steps,
        is_hard=bool(row.get("is_hard_sample")),
        extra={key: value for key, value in row.items() if key not in _KNOWN},
    )


def read_trajectories(path: str | Path) -> Iterator[Trajectory | DataError]:
    """Yield the trajectories of a file; a line that cannot be read yields a `DataError` naming its number."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"trajectory file {path} does not exist (looked from {Path.cwd()}); run its generator first")
    for number, row in read_json_lines(path):
        yield checked_row(path, number, row)


def checked_row(path: Path, number: int, row: object) -> Trajectory | DataError:
    """The trajectory of a line's value, or a `DataError` that names file, line and key."""
    if isinstance(row, DataError):
        return row
    try:
        if not isinstance(row, dict):
            raise DataError("not a JSON object")
        return parse_row(row)
    except ValidationError as error:
        return DataError(f"{path}:{number}: {problem_in(error)}")
    except KeyError as error:
        return DataError(f"{path}:{number}: key {error} is missing")
    except DataError as error:
        return DataError(f"{path}:{number}: {error}")
