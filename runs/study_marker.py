"""How a job of the study was done: the line of JSON in `done/` beside those of runs/cpu.sh's stages.

A study goes on for nights, and its report may be made days later: what a run was made with is what its markers say, not
what runs/study.py says by then. (To cpu.sh, which sums up the seconds of its stages, these lines are 0.)
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from score.fingerprint import changes, refuse
from score.manifest import git_revision
from score.whole_file import write_whole


def made_now(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a job that is done now was made with: recipe, revision and date."""
    return {"recipe": dict(recipe), "revision": git_revision(), "date": time.strftime("%F")}


def read_marker(path: Path, recipe: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A job's `seconds` and what `made_now` gave then, which a marker of an older study does not hold; empty where the
    job is not done. Raises `SettingsError` where it was done by another recipe than this."""
    if not path.is_file():
        return {}
    held = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(held, dict):
        return {"seconds": held}
    if recipe is not None:
        folder = path.parent.parent
        refuse(changes(held["recipe"], recipe), f"{path} was made", f"set them back, or delete {folder} to start over")
    return held


def write_marker(path: Path, seconds: float, made: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps({"seconds": round(seconds), **made}) + "\n")
