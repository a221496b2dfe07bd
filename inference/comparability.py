"""May two runs be compared? What differs in their tasks and in how they were asked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scoring import Scored
from sources import benchmark_hash

from runs import ByKind, Runs
from score.manifest import read_manifest
from score.tasks import Task

Asked = Mapping[str, dict[str, Any] | None]  # a result file's name -> how it was asked, None if nothing tells
# What changes answers, as `inference_api.py` leaves it in the manifest's settings.
SETTINGS = ("style", "max_steps", "max_tries", "samples", "search", "interpreter")


def hash_of(rows: Sequence[Scored]) -> str:
    """The hash of the tasks that these answers belong to."""
    tasks = {row.id: Task(id=row.id, question=row.question, true_answer=list(row.references)) for row in rows}
    return benchmark_hash(list(tasks.values()))


def how_asked(path: Path) -> dict[str, Any] | None:
    """Sampling and limits of a result file, None if no manifest beside it tells."""
    settings = read_manifest(path).get("settings")
    if not settings:
        return None
    endpoint = (settings.get("endpoints") or {}).get(settings.get("answerer", "student")) or {}
    return {"sampling": endpoint.get("sampling"), **{key: settings[key] for key in SETTINGS if key in settings}}


def warnings(by_kind: ByKind, runs: Runs) -> list[str]:
    """A sentence for each difference between the first run and another that makes their comparison doubtful."""
    said: list[str] = []
    first, *others = runs
    for kind, students in by_kind.items():
        for other in others:
            if first not in students or other not in students:
                said.append(f"{kind}: {first if first not in students else other} has no answers, nothing is compared")
            elif hash_of(students[first]) != hash_of(students[other]):
                tasks = [len({row.id for row in students[name]}) for name in (first, other)]
                said.append(
                    f"{kind}: {first} and {other} answered different tasks ({tasks[0]} and {tasks[1]}; ids, questions "
                    f"or references differ): only tasks of the same id are compared"
                )
    asked = {name: {path.name: how_asked(path) for path in paths} for name, paths in runs.items()}
    for name, found in asked.items():
        if None in found.values():
            said.append(f"{name}: no manifest says how it was sampled")
    for other in others:
        differences: dict[str, list[str]] = {}  # the sentence -> the files that it is true of
        for file, left, right in _side_by_side(asked[first], asked[other]):
            for key in sorted(left.keys() & right.keys()):
                if left[key] != right[key]:
                    sentence = f"{first} and {other} differ in {key}: {_difference(left[key], right[key])}"
                    differences.setdefault(sentence, []).append(file)
        for sentence, files in differences.items():
            of_some = f" ({', '.join(dict.fromkeys(files))})" if len(asked[first]) > 1 else ""
            said.append(sentence + of_some)
    return said


def _side_by_side(first: Asked, second: Asked) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(file, how the one run asked, how the other did) for files of one name; where there are none, each with each."""
    common = first.keys() & second.keys()
    pairs = [(name, name) for name in sorted(common)] or [(left, right) for left in first for right in second]
    for left, right in pairs:
        if (one := first[left]) and (other := second[right]):
            yield left, one, other


def _difference(left: Any, right: Any) -> str:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = [key for key in left | right if left.get(key) != right.get(key)]
        return ", ".join(f"{key} {left.get(key)} and {right.get(key)}" for key in keys)
    return f"{left} and {right}"
