"""Contamination: which test questions stand in the training files, and the figures without them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import summarise
from scoring import Scored

from score.contamination import Overlap, Question, evaluation_files, overlaps, read_questions, unmatched
from score.errors import DataError


def training_files(train: Sequence[str]) -> list[Path]:
    """The files that `--train` names. Raises `DataError` where a path is missing, or nothing is named at all."""
    if files := evaluation_files(train):
        return files
    raise DataError(f"--train names no file: nothing matches {', '.join(train)} (looked from {Path.cwd()})")


def contaminated(questions: dict[tuple[str, str], str], train: Sequence[str]) -> dict[tuple[str, str], Overlap]:
    """The test items that overlap with the training files, by (kind, id). `questions` are all of them; `train` are
    paths and patterns of task files, trajectories or training data. Raises `DataError` for one that cannot be read."""
    items = [Question(kind, task, text) for (kind, task), text in questions.items()]
    found = overlaps(items, read_questions(training_files(train)))
    return {(item.file, item.id): overlap for item, overlap in found.items()}


def without(
    by_kind: dict[str, dict[str, list[Scored]]], found: dict[tuple[str, str], Overlap], train: Sequence[str]
) -> dict[str, Any]:
    """What `--train` adds to a report: the files, the patterns that match none, the overlapping items by kind, and each
    run's figures on the others (None where none is left)."""
    marked: dict[str, dict[str, dict[str, str]]] = {kind: {} for kind in by_kind}
    for (kind, task), overlap in found.items():
        marked[kind][task] = {"how": overlap.how, "detail": overlap.detail, "train_question": overlap.question}
    clean: dict[str, dict[str, Any]] = {kind: {} for kind in by_kind}
    for kind, students in by_kind.items():
        for name, rows in students.items():
            kept = [row for row in rows if row.id not in marked[kind]]
            clean[kind][name] = summarise(kept).as_json() if kept else None
    files = [str(path) for path in training_files(train)]
    return {"train": files, "train_unmatched": unmatched(train), "overlapping": marked, "kinds_without": clean}
