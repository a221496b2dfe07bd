"""What results depend on, key by key, so that a run that goes on notices when it changed.

Counted are all settings but paths and those that a settings model calls `operational`, the model ids that the servers
report, and the hashes of prompts. Keys that only one of two fingerprints has belong to other versions of this
software and are not compared.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from score.errors import SettingsError
from score.llm import Endpoint

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
