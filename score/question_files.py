"""The questions of any file of the project: tasks, trajectories, results, training data, as JSONL or a JSON array."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from score.errors import DataError
from score.json_stream import is_json_array, read_json_array
from score.tasks import read_json_lines


class Question(NamedTuple):
    """A question and where it stands: `id` is the row's id, or its number in the file from 1."""

    file: str
    id: str
    text: str


def question_of(row: Any) -> tuple[str | None, str]:
    """(id or None, question) of a row of any kind. Raises `DataError` if the row holds none."""
    if isinstance(row, dict):
        task = row.get("original_task_info") or row
        name = task.get("id", row.get("id")) if isinstance(task, dict) else None
        for text in (
            task.get("question") if isinstance(task, dict) else None,
            task.get("problem") if isinstance(task, dict) else None,
            _asked(row.get("conversations"), "from", "value"),
            _asked(row.get("prompt"), "role", "content"),
            _asked(row.get("messages"), "role", "content"),
        ):
            if isinstance(text, str):
                return (None if name is None else str(name)), text
    raise DataError(
        "no question found (looked for question, problem, and a turn of the user in conversations, prompt, messages)"
    )


def _asked(turns: Any, role: str, key: str) -> Any:
    """The user's first turn; a system prompt may stand before it."""
    said = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    return next((turn.get(key) for turn in said if turn.get(role) in ("user", "human")), None)


def read_questions(paths: Iterable[str | Path]) -> Iterator[Question]:
    """Stream the questions of files. Raises `DataError` for a file that is missing or a row without a question: a
    contamination check that skipped rows would say more than it knows."""
    for path in map(Path, paths):
        if not path.is_file():
            raise DataError(f"{path} does not exist (looked from {Path.cwd()}), so it cannot be checked for overlap")
        rows = read_json_array(path) if is_json_array(path) else read_json_lines(path)
        for number, row in rows:
            if isinstance(row, DataError):
                raise row
            try:
                name, text = question_of(row)
            except DataError as error:
                raise DataError(f"{path}: row {number}: {error}") from None
            yield Question(str(path), name or str(number), text)
