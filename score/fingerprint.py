"""What results depend on, key by key, so that a run that goes on notices when it changed.

Counted are all settings but paths and those that a settings model calls `operational`, the model ids that the servers
report, and the hashes of prompts. Keys that only one of two fingerprints has belong to other versions of this
software and are not compared. Tasks are compared with what each row says of its own (`other_tasks`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from score.errors import SettingsError
from score.llm import Endpoint
from score.tasks import Task

Fingerprint = dict[str, Any]


def fingerprint(settings: BaseModel, endpoints: Iterable[Endpoint], prompts: Iterable[Path]) -> Fingerprint:
    """Of a run's settings, the endpoints that it uses (after their check) and its prompts."""
    found = _matters(settings, "")
    for role in [key for key in found if key.startswith("endpoints.")]:
        del found[role]  # an endpoint that this run does not use says nothing about its results
    for endpoint in endpoints:
        found |= _matters(endpoint.settings, f"endpoints.{endpoint.role}.")
        if endpoint.served:
            found[f"endpoints.{endpoint.role}.served"] = endpoint.served
    for path in prompts:
        found[f"prompts.{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def _matters(settings: BaseModel, prefix: str) -> Fingerprint:
    skipped: frozenset[str] = getattr(settings, "operational", frozenset())
    found: Fingerprint = {}
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        if key in skipped or isinstance(value, Path):
            continue
        if isinstance(value, BaseModel):
            found |= _matters(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def other_tasks(rows: Iterable[Mapping[str, Any]], tasks: Sequence[Task]) -> dict[str, str]:
    """The ids of tasks whose question or reference answers are not those that their rows were made with, each with a
    hash of what they are now. A row that does not say (or whose task is not among these) is not compared."""
    by_id = {task.id: task for task in tasks}
    found: dict[str, str] = {}
    for row in rows:
        made = row.get("original_task_info", row)
        task = by_id.get(str(made.get("id")))
        if task is None:
            continue
        now = {"question": task.question, "true_answer": task.references}
        answer = made.get("true_answer", now["true_answer"])
        was = {
            "question": made.get("question", task.question),
            "true_answer": [str(one) for one in answer] if isinstance(answer, list) else [str(answer)],
        }
        if was != now:
            found[task.id] = hashlib.sha256(json.dumps(now).encode()).hexdigest()[:16]
    return found


def changed_tasks(ids: Sequence[str], file: Path) -> dict[str, dict[str, Any]]:
    """As `changes` gives it, for tasks that `other_tasks` found."""
    if not ids:
        return {}
    listed = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
    return {"tasks": {"was": f"{len(ids)} with another question or answer ({listed})", "is": f"as in {file}"}}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The keys whose values differ: key -> {"was", "is"}."""
    common = sorted(before.keys() & now.keys())
    return {key: {"was": before[key], "is": now[key]} for key in common if before[key] != now[key]}


def refuse(changed: Mapping[str, Mapping[str, Any]], made: str, instead: str) -> None:
    """Raises `SettingsError` naming every change, if there is one. `made`: what was made otherwise ("x holds 3 rows
    that were made"); `instead`: what the user can do."""
    if not changed:
        return
    listed = "\n".join(f"  {key}: was {change['was']!r}, is {change['is']!r}" for key, change in changed.items())
    raise SettingsError(f"{made} with other settings:\n{listed}\n{instead}")
