"""From result rows to scored rows: who is right, who said so, and why an answer is missing.

Three scorers: `math` (rules and math-verify, then the judge), `qa` (SQuAD's token F1 and exact match, no judge) and
`judge` (the LLM judge alone). A row says which is its own (`scorer`, from its benchmark); `math` is what rows without
one get. With `rejudge` the judge scores every row once more, and both scores are kept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from squad import exact_match, token_f1

from score.dialogue import render
from score.errors import DataError, JudgeError, ProviderError
from score.judging import Judge
from score.progress import ProgressLine
from score.runner import bounded_gather
from score.tasks import Task, problem_in, read_json_lines
from score.trajectory import parse_row

SCORERS = ("math", "qa", "judge")
CATEGORIES = ("no answer", "wrong answer", "code error", "out of steps", "out of context")
FINE = {"ok", None}  # what a step's status says when its code ran to the end


@dataclass(frozen=True)
class Mark:
    """One scorer's word on an answer. `score` is in [0, 1], `correct` says whether the answer is (exactly) right; both
    are None while nobody could decide: unscored is not wrong. `by` is a rule's name or a model's id."""

    scorer: str
    score: float | None
    correct: bool | None
    by: str
    evidence: str = ""


@dataclass(frozen=True)
class Scored:
    """One answer with its mark: the first try's; `last` is the last try's, `recorded` the verdict of a recorded
    trajectory. `kind` groups rows in tables: the benchmark, else what the task says. `tokens` and `seconds` are those
    of all tries, None where they were not reported."""

    id: str
    sample: int
    question: str
    references: tuple[str, ...]
    answer: str | None
    kind: str
    group: str | None
    mark: Mark
    last: Mark
    judged: Mark | None
    category: str | None
    ended: str
    steps: int
    code_errors: int
    tokens: float | None
    prompt_tokens: float | None
    seconds: float | None
    tries: int
    recorded: bool | None = None

    @property
    def correct(self) -> bool | None:
        return self.mark.correct

    @property
    def by(self) -> str:
        return self.mark.by

    def as_json(self) -> dict[str, Any]:
        """The row of `*.scores.jsonl`."""
        row = {"id": self.id, "sample": self.sample, "kind": self.kind, "answer": self.answer}
        judged = None if self.judged is None else asdict(self.judged)
        recorded = {} if self.recorded is None else {"recorded": self.recorded}
        return row | asdict(self.mark) | {"category": self.category, "judged": judged} | recorded


def read_results(path: Path) -> list[dict[str, Any]]:
    """The rows of an inference result file, or of recorded trajectories. Raises `DataError` for a line that is neither,
    or an empty file."""
    if not path.is_file():
        raise DataError(f"result file {path} does not exist (looked from {Path.cwd()}); run inference_api.py first")
    rows = []
    for number, row in read_json_lines(path):
        if isinstance(row, DataError):
            raise row
        if isinstance(row, dict) and "original_task_info" in row:
            row = result_of(row, f"{path}:{number}")
        if not isinstance(row, dict) or "gen_answer" not in row:
            raise DataError(f"{path}:{number}: no inference result (key 'gen_answer' is missing)")
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no result")
    return rows


def kind_of(row: dict[str, Any]) -> str:
    """The table that a result row belongs to: its benchmark, else what its task says."""
    return str(row.get("benchmark") or row.get("kind", "all"))


def scorer_of(row: dict[str, Any]) -> str:
    """Who scores a result row: what its task says, else the rules and then the judge."""
    return str(row.get("scorer", "math"))


def sample_of(row: dict[str, Any]) -> int:
    return int(row.get("sample") or 0)


def result_of(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A recorded trajectory as a result row, with its verdict as `recorded` (None: it holds no readable one)."""
    try:
        trajectory = parse_row(row)
    except (ValidationError, KeyError) as error:
        detail = problem_in(error) if isinstance(error, ValidationError) else f"key {error} is missing"
        raise DataError(f"{where}: {detail}") from None
    answered = trajectory.answer is not None
    return trajectory.task.model_dump() | {
        "messages": render(trajectory.task.question, trajectory.plan, trajectory.steps),
        "gen_answer": trajectory.answer,
        "ended": "answered" if answered else "out of steps",
        "step_status": [step.status for step in trajectory.steps],
        "recorded": trajectory.verdict.correct if trajectory.verdict else None,
    }


async def score_rows(
    rows: list[dict[str, Any]],
    judge: Judge,
    concurrency: int,
    label: str,
    *,
    scorer: str | None = None,
    rejudge: bool = False,
) -> list[Scored]:
    """Score every row, by `scorer` if one is given, else by its own. What nobody can decide stays unscored."""
    progress = ProgressLine(f"scoring {Path(label).name}", total=len(rows))

    async def score(row: dict[str, Any]) -> Scored:
        try:
            task = Task.model_validate({key: value for key, value in row.items() if key != "messages"})
        except ValidationError as error:
            raise DataError(f"{label}: {problem_in(error)}") from None
        name = scorer or scorer_of(row)
        mark = await mark_answer(task, row["gen_answer"], name, judge)
        tries = row.get("more_tries") or []
        last = await mark_answer(task, tries[-1]["gen_answer"], name, judge) if tries else mark
        judged = None
        if rejudge:
            judged = mark if name == "judge" else await mark_answer(task, row["gen_answer"], "judge", judge)
        statuses = row.get("step_status") or []
        group = row.get("group")
        return Scored(
            id=task.id,
            sample=sample_of(row),
            question=task.question,
            references=tuple(task.references),
            answer=row["gen_answer"],
            kind=kind_of(row),
            group=None if group is None else str(group),
            mark=mark,
            last=last,
            judged=judged,
            category=failure(row, mark),
            ended=str(row.get("ended", "")),
            steps=sum(message["role"] == "assistant" for message in row["messages"]),
            code_errors=sum(status not in FINE for status in statuses),
            tokens=_total("completion_tokens", [row, *tries]),
            prompt_tokens=_total("prompt_tokens", [row, *tries]),
            seconds=_total("seconds", [row, *tries]),
            tries=1 + len(tries),
            recorded=row.get("recorded"),
        )

    async def counted(row: dict[str, Any]) -> Scored:
        found = await score(row)
        progress.update(progress.done + 1)
        return found

    try:
        return await bounded_gather([counted(row) for row in rows], concurrency)
    finally:
        progress.close()


async def mark_answer(task: Task, answer: str | None, scorer: str, judge: Judge) -> Mark:
    """One answer's mark. Raises `DataError` for a scorer that does not exist; a judge that fails leaves it unscored."""
    if scorer not in SCORERS:
        raise DataError(f"task {task.id!r}: scorer {scorer!r} does not exist; there are {', '.join(SCORERS)}")
    if answer is None or not answer.strip():
        return Mark(scorer, 0.0, False, "no answer")
    if scorer == "qa":
        f1, reference = token_f1(task.references, answer)
        return Mark("qa", f1, exact_match(task.references, answer), "token F1", f"against {reference!r}" if f1 else "")
    try:
        ask = judge.verdict if scorer == "math" else judge.by_model
        verdict = await ask(task.question, task.references, answer)
    except (JudgeError, ProviderError) as error:
        return Mark(scorer, None, None, f"unscored: {error}")
    return Mark(scorer, float(verdict.correct), verdict.correct, verdict.by, verdict.evidence)


def failure(row: dict[str, Any], mark: Mark) -> str | None:
    """Why the row is not right, one of `CATEGORIES`; None for a right and for an unscored one.

    Out of steps after a step whose code failed is a code error: the student did not get over it.
    """
    if mark.correct is not False:
        return None
    if row.get("ended") == "out of context":
        return "out of context"
    if row.get("ended") == "out of steps":
        statuses = row.get("step_status") or [None]
        return "out of steps" if statuses[-1] in FINE else "code error"
    return "no answer" if not (row["gen_answer"] or "").strip() else "wrong answer"


def _total(key: str, tries: Sequence[dict[str, Any]]) -> float | None:
    """The sum over all tries, None where one of them does not know: unknown is not 0."""
    values = [one.get(key) for one in tries]
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def by_task(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The samples of each task, in the order of their numbers."""
    tasks: dict[str, list[Scored]] = {}
    for row in scored:
        tasks.setdefault(row.id, []).append(row)
    return {task: sorted(samples, key=lambda row: row.sample) for task, samples in tasks.items()}
