"""From result rows to scores: who is right, who said so, and what it cost."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intervals import paired_difference, wilson
from pydantic import ValidationError

from score.errors import DataError, JudgeError, ProviderError
from score.judging import Judge
from score.runner import bounded_gather
from score.tasks import Task, problem_in, read_json_lines


@dataclass(frozen=True)
class Scored:
    """One task's result. `correct` is None while nobody could decide: unscored is not wrong. `tokens` is None where the
    server did not report them."""

    id: str
    kind: str
    correct: bool | None
    by: str
    ended: str
    steps: int
    tokens: int | None


@dataclass
class Score:
    """A student's figures on one kind of task. Shares in [0, 1]; steps and tokens are means per task, and tokens are
    None where any task's are not known."""

    n: int
    right: int
    unscored: int
    steps: float
    tokens: float | None
    ended: dict[str, int] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        return self.right / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.n)

    def as_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "ci95": list(self.interval),
            "n": self.n,
            "right": self.right,
            "unscored": self.unscored,
            "steps_per_task": self.steps,
            "tokens_per_task": self.tokens,
            "ended": self.ended,
        }


def read_results(path: Path) -> list[dict[str, Any]]:
    """The rows of an inference result file. Raises `DataError` for a line that is not one, or an empty file."""
    if not path.is_file():
        raise DataError(f"result file {path} does not exist (looked from {Path.cwd()}); run inference_api.py first")
    rows = []
    for number, row in read_json_lines(path):
        if isinstance(row, DataError):
            raise row
        if not isinstance(row, dict) or "gen_answer" not in row:
            raise DataError(f"{path}:{number}: no inference result (key 'gen_answer' is missing)")
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no result")
    return rows


async def score_rows(rows: list[dict[str, Any]], judge: Judge, concurrency: int, label: str) -> list[Scored]:
    """Score every row; what nobody can decide stays unscored."""

    async def score(row: dict[str, Any]) -> Scored:
        try:
            task = Task.model_validate({key: value for key, value in row.items() if key != "messages"})
        except ValidationError as error:
            raise DataError(f"{label}: {problem_in(error)}") from None
        correct: bool | None = False
        by = "no answer"
        if row["gen_answer"] is not None:
            try:
                verdict = await judge.verdict(task.question, task.references, row["gen_answer"])
                correct, by = verdict.correct, verdict.by
            except (JudgeError, ProviderError) as error:
                correct, by = None, f"unscored: {error}"
        turns = sum(message["role"] == "assistant" for message in row["messages"])
        tokens = row.get("completion_tokens")
        return Scored(task.id, str(row.get("kind", "all")), correct, by, str(row.get("ended", "")), turns, tokens)

    return await bounded_gather([score(row) for row in rows], concurrency)


def summarise(scored: list[Scored]) -> Score:
    """The figures over all of these rows; unscored ones count as tasks that were not solved, and are shown."""
    n = len(scored)
    tokens = [row.tokens for row in scored if row.tokens is not None]
    return Score(
        n=n,
        right=sum(row.correct is True for row in scored),
        unscored=sum(row.correct is None for row in scored),
        steps=sum(row.steps for row in scored) / n,
        tokens=sum(tokens) / n if len(tokens) == n else None,
        ended=dict(Counter(row.ended for row in scored)),
    )


def compare(first: list[Scored], second: list[Scored]) -> dict[str, Any]:
    """The paired difference second - first over the tasks that both scored."""
    right = {row.id: row.correct for row in first if row.correct is not None}
    pairs = [(right[row.id], row.correct) for row in second if row.correct is not None and row.id in right]
    if not pairs:
        raise DataError("the two result files have no scored task in common")
    mean, low, high = paired_difference([bool(a) for a, _ in pairs], [bool(b) for _, b in pairs])
    return {"difference": mean, "ci95": [low, high], "n": len(pairs)}
