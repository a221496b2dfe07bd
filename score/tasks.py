"""Tasks and their file: one JSON object a line, `{"id", "question", "true_answer"}`; more keys are kept."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from score.errors import DataError

Row = TypeVar("Row", bound=BaseModel)


def holds_a_reference(true_answer: str | list[str]) -> bool:
    """Is there anything to compare an answer with?"""
    return any(one.strip() for one in ([true_answer] if isinstance(true_answer, str) else true_answer))


class Task(BaseModel):
    """A question with its reference answer. `true_answer` is one accepted string or a list of them, of which one at
    least is not blank: against none, every answer would be wrong."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    question: str
    true_answer: str | list[str]

    @field_validator("id", mode="before")
    @classmethod
    def _id_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("true_answer", mode="before")
    @classmethod
    def _answer_as_text(cls, value: object) -> object:
        """Benchmarks write numbers both as `8` and as `"8"`."""
        if isinstance(value, float) and not math.isfinite(value):
            raise PydanticCustomError("no_number", "{given} is no reference answer", {"given": str(value)})
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("question")
    @classmethod
    def _asks(cls, question: str) -> str:
        if not question.strip():
            raise PydanticCustomError("blank", "the question is empty")
        return question

    @field_validator("true_answer")
    @classmethod
    def _has_a_reference(cls, true_answer: str | list[str]) -> str | list[str]:
        if not holds_a_reference(true_answer):
            raise PydanticCustomError("blank", "the reference answer is empty")
        return true_answer

    @property
    def references(self) -> list[str]:
        return [self.true_answer] if isinstance(self.true_answer, str) else list(self.true_answer)


def problem_in(error: ValidationError) -> str:
    """The first problem of a pydantic error, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "row"
    return f"{where}: {first['msg']}"


def parse_json_line(path: Path, number: int, line: bytes) -> object:
    """The value of one line, or a `DataError` that names file, line and column."""
    try:
        value: object = json.loads(line.decode("utf-8"))
        return value
    except json.JSONDecodeError as error:
        return DataError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno})")
    except UnicodeDecodeError as error:
        return DataError(f"{path}:{number}: not UTF-8 (byte {error.start + 1} of the line)")
    except RecursionError:
        return DataError(f"{path}:{number}: JSON that nests too deeply")


def read_json_lines(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (line number, value) for each line that is not blank; a line that is not JSON yields a `DataError`
    in place of its value, so that the caller decides whether the rest goes on."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, parse_json_line(path, number, line)


def read_rows(path: Path, model: type[Row]) -> Iterator[tuple[int, Row | DataError]]:
    """Yield (line number, row) for each line that is not blank; a line that is no such row yields a `DataError` that
    names file and line in its place."""
    for number, value in read_json_lines(path):
        if isinstance(value, DataError):
            yield number, value
            continue
        try:
            yield number, model.model_validate(value)
        except ValidationError as error:
            yield number, DataError(f"{path}:{number}: {problem_in(error)}")


def read_tasks(path: str | Path) -> tuple[list[Task], list[DataError]]:
    """Read a task file. Returns (tasks, problems): a malformed line is a problem that names its line number,
    and so is an id that occurred before; the other lines are read all the same.

    Raises `DataError` if the file is missing or holds no usable task at all.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"task file {path} does not exist (looked from {Path.cwd()}); set `tasks` to a JSONL file")
    tasks: dict[str, Task] = {}
    problems: list[DataError] = []
    for number, task in read_rows(path, Task):
        if isinstance(task, DataError):
            problems.append(task)
        elif task.id in tasks:
            problems.append(DataError(f"{path}:{number}: id {task.id!r} occurred before"))
        else:
            tasks[task.id] = task
    if not tasks:
        detail = f"; first problem: {problems[0]}" if problems else ""
        raise DataError(f"task file {path} holds no usable task{detail}")
    return list(tasks.values()), problems
