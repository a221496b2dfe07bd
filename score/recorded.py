"""Trajectory files as the converters read them: the same rows as in `trajectory`, several times as fast.

Millions of rows go through a converter, and making pydantic models costs more than all its other work. Here msgspec
decodes a line straight into plain structures that hold what training data are made of. A line that it does not take
as it is (a number for an id, a failed step, broken JSON) goes to `trajectory`, which alone decides what is readable
and says what is wrong: both readers accept the same rows and give the same values, but that a lone surrogate, which
no file could hold, is an error here.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from score.errors import DataError
from score.tasks import holds_a_reference, parse_json_line
from score.trajectory import Trajectory, checked_row, plan_in, read_verdict, without_label


class RecordedTask(Struct, gc=False):
    id: str
    question: str
    true_answer: str | list[str]

    def __post_init__(self) -> None:
        if not (self.question.strip() and holds_a_reference(self.true_answer)):
            raise ValueError("no task: the strict reader says why")


class RecordedStep(Struct, gc=False):
    thought: str
    code: str = ""
    observation: str = ""
    is_finished: bool = False


class RecordedKeyStep(Struct, gc=False):
    teacher_guided_step: RecordedStep
    student_mistake: list[RecordedStep]
    mistake_step_index: int
    is_valid: bool = False
    prefix_steps: list[RecordedStep] | None = None
    prefix_plan: str | None = None


class Recorded(Struct, gc=False):
    """What `Trajectory` holds, without what no converter needs. `correct` is None where nobody could tell."""

    task: RecordedTask
    plan: str | None
    steps: list[RecordedStep]
    correct: bool | None
    key_steps: list[RecordedKeyStep]
    is_hard: bool

    @property
    def answered(self) -> bool:
        """Did the last step hand in an answer?"""
        return bool(self.steps) and self.steps[-1].is_finished


class _Evaluation(Struct, gc=False):
    equivalent: Any = UNSET
    is_correct: Any = UNSET


class _Row(Struct, gc=False):
    """A line of either file, its keys as they are on disk."""

    steps: list[RecordedStep]
    original_task_info: RecordedTask
    first_thought: str | UnsetType = UNSET
    evaluation_result: _Evaluation | str | None = None
    repair_steps: list[RecordedKeyStep] | None = None
    is_hard_sample: Any = False


_decode = msgspec.json.Decoder(_Row).decode


@lru_cache(maxsize=256)
def _verdict_in_text(text: str) -> bool | None:
    """The release's judge wrote a few replies over and over."""
    verdict = read_verdict(text)
    return verdict.correct if verdict else None


def _correct(evaluation: _Evaluation | str | None) -> bool | None:
    if evaluation is None or isinstance(evaluation, str):
        return None if evaluation is None else _verdict_in_text(evaluation)
    correct = evaluation.is_correct if evaluation.equivalent is UNSET else evaluation.equivalent
    return correct if isinstance(correct, bool) else None


def _recorded(row: _Row) -> Recorded:
    steps = row.steps
    plan = None
    if row.first_thought is not UNSET:
        plan = plan_in(row.first_thought)
    elif steps and not steps[0].code.strip():
        plan = plan_in(steps.pop(0).thought)
    for step in steps:
        step.thought = without_label(step.thought)
    key_steps = row.repair_steps or []
    for key_step in key_steps:
        for step in (key_step.teacher_guided_step, *key_step.student_mistake, *(key_step.prefix_steps or ())):
            step.thought = without_label(step.thought)
        key_step.prefix_plan = plan_in(key_step.prefix_plan or "")
    hard = bool(row.is_hard_sample)
    return Recorded(row.original_task_info, plan, steps, _correct(row.evaluation_result), key_steps, hard)


def _from_trajectory(trajectory: Trajectory) -> Recorded:
    plain: Recorded = msgspec.convert(
        {
            "task": trajectory.task.model_dump(),
            "plan": trajectory.plan,
            "steps": [step.model_dump() for step in trajectory.steps],
            "correct": trajectory.verdict.correct if trajectory.verdict else None,
            "key_steps": [key_step.model_dump() for key_step in trajectory.key_steps],
            "is_hard": trajectory.is_hard,
        },
        Recorded,
    )
    return plain


def _read_strictly(path: Path, number: int, line: bytes) -> Recorded | DataError:
    strict = checked_row(path, number, parse_json_line(path, number, line))
    if isinstance(strict, DataError):
        return strict
    recorded = _from_trajectory(strict)
    try:
        msgspec.json.encode(recorded)
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can escape it, a UTF-8 file cannot hold it
        return DataError(f"{path}:{number}: text was cut within a character (a lone surrogate)")
    return recorded


def read_recorded(path: Path) -> Iterator[Recorded | DataError]:
    """Yield the trajectories of a file; a line that cannot be read yields a `DataError` naming its number."""
    if not path.is_file():
        raise DataError(f"trajectory file {path} does not exist (looked from {Path.cwd()}); run its generator first")
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _recorded(_decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                if line.strip():
                    yield _read_strictly(path, number, line)
