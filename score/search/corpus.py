"""A corpus of passages: JSONL or parquet, read once from the beginning to the end, then row by row at random.

A row holds `title` and `text`, or `contents` as Search-R1's corpora do (the first line is the title); `url` where there
is one. Other keys are ignored. A parquet file is copied to JSONL beside its index: its rows lie in compressed groups,
out of which one row cannot be read cheaply.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from score.errors import DataError, ToolError


def passage_in(row: object, where: str) -> dict[str, str]:
    """`title`, `text` and `url` of a row. Raises `DataError` where it holds no text."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: not a JSON object")
    title, text = row.get("title"), row.get("text")
    if text is None and isinstance(contents := row.get("contents"), str):
        first, separator, rest = contents.partition("\n")
        text = rest if separator else contents
        if title is None and separator:
            title = first.strip().strip('"')
    if not isinstance(text, str):
        raise DataError(f"{where}: a passage needs `text` (and `title`) or `contents`; its keys are {sorted(row)}")
    return {"title": str(title or ""), "text": text, "url": str(row.get("url") or "")}


def lines_of(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number, offset in bytes, line) of every line that is not blank."""
    offset = 0
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, offset, line
            offset += len(line)


def read_line(line: bytes, where: str) -> dict[str, str]:
    """The passage in one line. Raises `DataError`."""
    try:
        return passage_in(json.loads(line), where)
    except ValueError as error:  # not JSON, or not UTF-8
        raise DataError(f"{where}: not JSON: {error}") from None


def parquet_to_jsonl(source: Path, target: Path) -> None:
    """Copy the passages of a parquet file. Raises `DataError`."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(source)
        wanted = [name for name in ("title", "text", "contents", "url") if name in file.schema_arrow.names]
        with open(target, "w", encoding="utf-8") as lines:
            number = 0
            for batch in file.iter_batches(batch_size=10_000, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    passage = passage_in(row, f"{source}: row {number}")
                    lines.write(json.dumps(passage, ensure_ascii=False) + "\n")
    except pyarrow.ArrowException as error:
        raise DataError(f"{source}: not a parquet file that can be read: {error}") from None


class Passages:
    """The passages of a JSONL file by their number. `offsets`: where the lines begin, and the end of the file last.
    Safe to use from many threads."""

    def __init__(self, path: Path, offsets: Any):
        self.path, self._offsets = path, offsets
        self._file = open(path, "rb")  # open as long as the passages are used

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> dict[str, str]:
        """Raises `ToolError` where the file is no longer the one that was indexed."""
        begin, end = int(self._offsets[number]), int(self._offsets[number + 1])
        try:
            return read_line(os.pread(self._file.fileno(), end - begin, begin), f"{self.path}: passage {number}")
        except DataError as error:
            raise ToolError(f"the corpus was changed while it is searched, start again: {error}") from None
