"""The manifest beside every output: what a result was made with, so that two results can be compared."""

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from score.whole_file import write_whole

PACKAGES = ("torch", "transformers", "llamafactory", "verl", "langgraph", "aiohttp", "pydantic", "math-verify", "bm25s")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, or `absent`."""
    if not path.is_file():
        return "absent"
    with open(path, "rb") as file:  # in pieces: inputs may be larger than memory
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_revision() -> str:
    """The project's commit, with `-dirty` where files differ from it; `unknown` without git."""
    try:
        ran = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return ran.stdout.strip() or "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def write_manifest(
    output: str | Path,
    settings: BaseModel | Mapping[str, Any],
    counts: Mapping[str, Any],
    inputs: Sequence[str | Path] = (),
    **more: Any,
) -> Path:
    """Write `<output>.manifest.json`: settings (they name key variables, never keys), counts, hashes of the input
    files, package versions, git revision, time, and what else the script has to say. Returns its path."""
    path = manifest_path(output)
    plain = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else dict(settings)
    manifest = {
        "output": str(output),
        "written": time.strftime("%FT%T%z"),
        "settings": plain,
        "counts": dict(counts),
        "inputs": {str(name): file_hash(Path(name)) for name in inputs},
        "packages": _versions(),
        "python": platform.python_version(),
        "git": git_revision(),
        **more,
    }
    write_whole(path, json.dumps(manifest, indent=2, ensure_ascii=False, default=str) + "\n")
    return path


def manifest_path(output: str | Path) -> Path:
    return Path(f"{output}.manifest.json")


def read_manifest(output: str | Path) -> dict[str, Any]:
    """The manifest beside an output, empty if there is none or it cannot be read (it never stops a run)."""
    try:
        found = json.loads(manifest_path(output).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
