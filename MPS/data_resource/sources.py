"""Rows of public data sets: from local files of four formats, or from the Hugging Face hub."""

import csv
import re
from collections.abc import Iterator
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from score.errors import DataError, SettingsError
from score.json_stream import is_json_array, read_json_array
from score.settings import Strict
from score.tasks import parse_json_line, read_json_lines

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")


class Difficulty(Strict):
    """The first number in `field` ("Level 5" is 5) has to lie within; rows without one are left out."""

    field: str
    least: float = float("-inf")
    most: float = float("inf")


class Source(Strict):
    """Where a data set lies and what its fields are called. A field is named with dots: `info.level`, `answers.0`."""

    domain: str = "math"
    files: list[str] = Field(default=[], description="files or patterns; default: all under <raw>/<source's name>/")
    hub: str | None = None
    subsets: list[str] = Field(default=[], description="the hub's configurations; none is its default one")
    split: str = "train"
    id: str | None = None
    question: str = "question"
    answer: str | None = Field(default=None, description="the answer itself, one or a list")
    aliases: str | None = Field(default=None, description="a list of answers that are accepted too")
    solution: str | None = Field(default=None, description="a worked solution, read where there is no answer")
    keep: list[str] = Field(default=[], description="fields that go into the task file as they are")
    only: dict[str, list[Any]] = Field(default={}, description="field: the values that stay")
    without: dict[str, list[Any]] = Field(default={}, description="field: the values that are left out")
    difficulty: Difficulty | None = None
    share: float = Field(default=1.0, gt=0, le=1, description="of the tasks, drawn by their question")

    def columns(self) -> set[str]:
        """The top-level fields that are read."""
        difficulty = [self.difficulty.field] if self.difficulty else []
        named = [self.id, self.question, self.answer, self.aliases, self.solution]
        fields = [*filter(None, named), *self.keep, *self.only, *self.without, *difficulty]
        return {field.split(".")[0] for field in fields}


def value_at(row: Any, field: str) -> Any:
    """The value of a dotted field; None where the row has none."""
    for part in field.split("."):
        if isinstance(row, dict):
            row = row.get(part)
        elif isinstance(row, list) and part.isdigit() and int(part) < len(row):
            row = row[int(part)]
        else:
            return None
    return row


def number_in(value: Any) -> float | None:
    if isinstance(value, int | float):
        return float(value)
    found = re.search(r"-?\d+(?:\.\d+)?", value) if isinstance(value, str) else None
    return float(found.group()) if found else None


def local_files(name: str, source: Source, raw: Path) -> list[Path]:
    """The files of a source. Raises `SettingsError` for a named file that is not there."""
    if not source.files:
        folder = raw / name
        return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES) if folder.is_dir() else []
    found: list[Path] = []
    for pattern in source.files:
        matches = sorted(glob(pattern, recursive=True))
        if not matches:
            raise SettingsError(f"sources.{name}.files: {pattern} matches no file (looked from {Path.cwd()})")
        found += map(Path, matches)
    return found


def rows_of_file(path: Path, columns: set[str]) -> Iterator[dict[str, Any]]:
    """The rows of one file. Raises `DataError` that names file and row."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        present = [field.name for field in file.schema_arrow if field.name in columns]
        for batch in file.iter_batches(batch_size=1000, columns=present):
            yield from batch.to_pylist()
    elif path.suffix == ".csv":
        csv.field_size_limit(1 << 27)
        with open(path, encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)
    elif path.suffix in (".jsonl", ".json"):
        numbered = read_json_lines(path) if path.suffix == ".jsonl" else _json_rows(path)
        for number, row in numbered:
            if isinstance(row, DataError):
                raise row
            if not isinstance(row, dict):
                raise DataError(f"{path}: row {number} is not a JSON object")
            yield row
    else:
        raise DataError(f"{path}: of the formats {', '.join(SUFFIXES)} none fits")


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """A JSON array, an object that holds one (`{"data": [...]}`), or JSON Lines, as exports of the hub are. Raises
    `DataError`."""
    if is_json_array(path):
        yield from read_json_array(path)
        return
    lines = list(islice(read_json_lines(path), 2))
    if len(lines) == 2 and isinstance(lines[0][1], dict):  # an object that goes on in the next line is none by itself
        yield from read_json_lines(path)
        return
    whole = parse_json_line(path, 1, path.read_bytes())
    lists = [value for value in whole.values() if isinstance(value, list)] if isinstance(whole, dict) else []
    if len(lists) != 1:
        found = f" ({whole})" if isinstance(whole, DataError) else ""
        raise DataError(f"{path}: expected a list of rows, an object that holds one list, or an object a line{found}")
    yield from enumerate(lists[0], 1)


class HubUnreachable(DataError):
    """The hub does not answer; the message says why."""


def rows_of_hub(source: Source) -> Iterator[dict[str, Any]]:
    """The rows of a data set of the hub, or of its cache in offline mode. Raises `HubUnreachable`; `DataError` where
    the hub answers but does not give the data set."""
    import httpx
    from datasets import load_dataset
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    columns = source.columns()
    try:
        if not constants.HF_HUB_OFFLINE:
            HfApi().dataset_info(source.hub or "", timeout=20)  # load_dataset would retry for half a minute
        subsets: list[str | None] = [*source.subsets] or [None]
        for subset in subsets:
            dataset = load_dataset(source.hub, subset, split=source.split)
            yield from dataset.select_columns([name for name in dataset.column_names if name in columns])
    except (RepositoryNotFoundError, HFValidationError) as error:  # also what is private or asks for a login
        raise DataError(f"the Hugging Face hub does not give {source.hub}: {error}") from None
    except (OSError, httpx.HTTPError, HfHubHTTPError) as error:
        raise HubUnreachable(f"{source.hub}: {type(error).__name__}: {error}") from None
