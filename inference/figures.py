"""A run's figures: the mean with its interval, pass@k, what it cost, and where it failed; and two runs compared."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from intervals import Interval, bootstrap, clustered, mcnemar, paired_bootstrap, paired_difference, pass_at_k, wilson
from scoring import Mark, Scored, by_task

from score.errors import DataError


@dataclass
class Score:
    """The figures of one run on one kind of task. Shares in [0, 1]; steps, seconds, tokens and code errors are means
    per answer, and None where any answer's are not known. Answers that nobody could score count as not right."""

    n: int  # tasks
    rows: int  # answers: tasks times samples
    metric: str  # "accuracy" or "f1"
    mean: float
    interval: Interval
    right: int
    unscored: int
    steps: float
    code_errors: float
    tokens: float | None
    prompt_tokens: float | None
    seconds: float | None
    pass_at: dict[int, float] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    tries: float = 1.0
    last_try: float | None = None
    judged: dict[str, Any] | None = None
    recorded: dict[str, int] | None = None

    @property
    def accuracy(self) -> float:
        return self.right / self.rows if self.rows else 0.0

    def as_json(self) -> dict[str, Any]:
        exact = self.metric == "f1"
        return {
            "metric": self.metric,
            "score": self.mean,
            "accuracy": self.accuracy,  # for QA: exact match
            "ci95": list(self.interval),
            "n": self.n,
            "rows": self.rows,
            "right": self.right,
            "unscored": self.unscored,
            "unscored_share": self.unscored / self.rows if self.rows else 0.0,
            "pass_at": {str(k): share for k, share in self.pass_at.items()},
            "steps_per_task": self.steps,
            "code_errors_per_task": self.code_errors,
            "tokens_per_task": self.tokens,
            "prompt_tokens_per_task": self.prompt_tokens,
            "seconds_per_task": self.seconds,
            "ended": self.ended,
            "failed": self.failed,
            "tries_per_task": self.tries,
            "score_of_last_try": self.last_try,  # `score` is that of the first
            "judge": self.judged,
            "recorded": self.recorded,
        } | ({"exact_match": self.accuracy} if exact else {})


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean, None where one of the values (or all) is not known: unknown is not 0."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _mean_and_interval(tasks: dict[str, list[Mark]], metric: str) -> tuple[float, Interval]:
    """The mean over all answers; Wilson for a share of single answers, clustered by task for more, bootstrap for F1."""
    scores = {task: [mark.score or 0.0 for mark in marks] for task, marks in tasks.items()}
    values = [score for samples in scores.values() for score in samples]
    mean = sum(values) / len(values)
    if metric == "f1":
        return mean, bootstrap([sum(samples) / len(samples) for samples in scores.values()])
    if len(values) == len(scores):
        return mean, wilson(round(sum(values)), len(values))
    return mean, clustered(scores)


def summarise(scored: list[Scored]) -> Score:
    """The figures over all of these answers. Raises `DataError` if there is none."""
    if not scored:
        raise DataError("no answer to summarise")
    tasks = by_task(scored)
    metric = "f1" if all(row.mark.scorer == "qa" for row in scored) else "accuracy"
    mean, interval = _mean_and_interval({task: [row.mark for row in rows] for task, rows in tasks.items()}, metric)
    fewest = min(len(rows) for rows in tasks.values())
    right = {task: sum(row.correct is True for row in rows) for task, rows in tasks.items()}
    return Score(
        n=len(tasks),
        rows=len(scored),
        metric=metric,
        mean=mean,
        interval=interval,
        right=sum(right.values()),
        unscored=sum(row.correct is None for row in scored),
        steps=sum(row.steps for row in scored) / len(scored),
        code_errors=sum(row.code_errors for row in scored) / len(scored),
        tokens=mean_known([row.tokens for row in scored]),
        prompt_tokens=mean_known([row.prompt_tokens for row in scored]),
        seconds=mean_known([row.seconds for row in scored]),
        pass_at={
            k: sum(pass_at_k(len(rows), right[task], k) for task, rows in tasks.items()) / len(tasks)
            for k in range(1, fewest + 1)
        },
        ended=dict(Counter(row.ended for row in scored)),
        failed=dict(Counter(row.category for row in scored if row.category)),
        tries=sum(row.tries for row in scored) / len(scored),
        last_try=sum(row.last.score or 0.0 for row in scored) / len(scored),
        judged=_judged(tasks),
        recorded=_recorded(scored),
    )


def _recorded(scored: list[Scored]) -> dict[str, int] | None:
    """How our scores agree with the verdicts of recorded trajectories; `open` are those that we cannot score."""
    known = [(row.correct, row.recorded) for row in scored if row.recorded is not None]
    if not known:
        return None
    return {
        "n": len(known),
        "same": sum(ours == theirs for ours, theirs in known),
        "differ": sum(ours is not None and ours != theirs for ours, theirs in known),
        "open": sum(ours is None for ours, _ in known),
    }


def _judged(tasks: dict[str, list[Scored]]) -> dict[str, Any] | None:
    """What the judge made of the same answers, if it was asked: its mean, and where it and the scorer disagree."""
    rows = [row for samples in tasks.values() for row in samples]
    if any(row.judged is None for row in rows):
        return None
    marks = {task: [row.judged for row in samples if row.judged] for task, samples in tasks.items()}
    mean, interval = _mean_and_interval(marks, "accuracy")
    both = [(row.correct, row.judged.correct) for row in rows if row.judged and row.judged.correct is not None]
    return {
        "accuracy": mean,
        "ci95": list(interval),
        "unscored": len(rows) - len(both),
        "only_scorer_right": sum(own is True and theirs is False for own, theirs in both),
        "only_judge_right": sum(own is False and theirs is True for own, theirs in both),
    }


def pairs_of(first: list[Scored], second: list[Scored]) -> list[tuple[list[Scored], list[Scored]]]:
    """The answers of the tasks that both runs answered and somebody could score, side by side; maybe none."""
    left = by_task([row for row in first if row.correct is not None])
    right = by_task([row for row in second if row.correct is not None])
    return [(left[task], right[task]) for task in left if task in right]


def _mean(rows: list[Scored]) -> float:
    return sum(row.mark.score or 0.0 for row in rows) / len(rows)


def compare(first: list[Scored], second: list[Scored]) -> dict[str, Any]:
    """The paired difference second - first over the tasks that both scored: its normal interval for accuracies of one
    answer a task, its paired bootstrap interval, and McNemar's exact p over each task's first answer. `left_out` counts
    the tasks that both answered and one could not score, which the table counts as not solved. Raises `DataError` if
    there is none."""
    pairs = pairs_of(first, second)
    both = {row.id for row in first} & {row.id for row in second}
    if not pairs:
        raise DataError("the two result files have no scored task in common")
    before, after = [_mean(a) for a, _ in pairs], [_mean(b) for _, b in pairs]
    resampled = paired_bootstrap(before, after)
    firsts = [(bool(a[0].correct), bool(b[0].correct)) for a, b in pairs]
    if all(value in (0.0, 1.0) for value in before + after):
        mean, low, high = paired_difference([bool(value) for value in before], [bool(value) for value in after])
    else:
        mean, (low, high) = sum(after) / len(after) - sum(before) / len(before), resampled
    losses, wins = sum(a and not b for a, b in firsts), sum(b and not a for a, b in firsts)
    return {
        "difference": mean,
        "ci95": [low, high],
        "bootstrap95": list(resampled),
        "n": len(pairs),
        "left_out": len(both) - len(pairs),
        "wins": wins,
        "losses": losses,
        "mcnemar_p": mcnemar(losses, wins),
    }
