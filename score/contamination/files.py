"""Which files hold the evaluation sets."""

from collections.abc import Iterable
from glob import glob
from pathlib import Path

from score.errors import DataError


def evaluation_files(patterns: Iterable[str]) -> list[Path]:
    """The files that paths and patterns (`data/*.jsonl`) name. A pattern may match nothing (`unmatched` says which); a
    path that is missing is an error, raised as `DataError`."""
    found: list[Path] = []
    for pattern in patterns:
        if _is_pattern(pattern):
            found += map(Path, sorted(glob(pattern, recursive=True)))
        elif Path(pattern).is_file():
            found.append(Path(pattern))
        else:
            raise DataError(f"evaluation set {pattern} does not exist (looked from {Path.cwd()})")
    return list(dict.fromkeys(found))


def unmatched(patterns: Iterable[str]) -> list[str]:
    """The patterns that match no file, for a report: a misspelt one would look like a clean check."""
    return [pattern for pattern in patterns if _is_pattern(pattern) and not glob(pattern, recursive=True)]


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")
