"""A JSON array of any size, read and written a row at a time: memory holds one row and one chunk."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from score.errors import DataError

CHUNK = 1 << 20  # characters
LONGEST_ROW = 1 << 26  # a row that does not end within these is broken; reading on would take the whole file in
_SPACE = " \t\r\n"


def is_json_array(path: Path) -> bool:
    """Does the file begin as an array? Files of lines do not."""
    with open(path, "rb") as file:
        return file.read(4096).lstrip().startswith(b"[")


def read_json_array(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (row number from 1, value). Raises `DataError` that names file and row where the text is no JSON array."""
    decode = json.JSONDecoder().raw_decode
    with open(path, encoding="utf-8") as file:
        text, at, number, ended = "", 0, 0, False

        def more() -> bool:
            """Drop what was read and append a chunk; False at the end of the file."""
            nonlocal text, at, ended
            try:
                chunk = file.read(
                    max(CHUNK, len(text) - at)
                )  # a long row doubles the chunk instead of rereading it often
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: after row {number}: not UTF-8 ({error.reason})") from None
            text, at, ended = text[at:] + chunk, 0, not chunk
            return bool(chunk)

        def mark() -> str:
            """The next character that is not white space, or '' at the end."""
            nonlocal at
            while True:
                while at < len(text) and text[at] in _SPACE:
                    at += 1
                if at < len(text):
                    return text[at]
                if not more():
                    return ""

        if mark() != "[":
            raise DataError(f"{path}: expected a list of rows (a JSON array)")
        at += 1
        if mark() == "]":
            return
        while True:
            mark()
            try:
                value, end = decode(text, at)
            except json.JSONDecodeError as error:
                if len(text) - at < LONGEST_ROW and more():
                    continue
                raise DataError(f"{path}: row {number + 1}: not JSON ({error.msg})") from None
            except RecursionError:
                raise DataError(f"{path}: row {number + 1}: JSON that nests too deeply") from None
            if end == len(text) and not ended and more():
                continue  # a number may go on in the next chunk
            number, at = number + 1, end
            yield number, value
            separator = mark()
            at += 1
            if separator == "]":
                return
            if separator != ",":
                raise DataError(f"{path}: after row {number}: expected ',' or ']', found {separator or 'the end'!r}")


class JsonArrayWriter:
    """Writes rows, given as JSON bytes, into an array; the file appears under its name only when all went well."""

    def __init__(self, path: Path, before_row: bytes = b"", at_end: bytes = b"\n]\n"):
        self.path, self.rows = path, 0
        self._before, self._end = before_row, at_end
        self._part = path.with_name(path.name + ".part")

    def __enter__(self) -> "JsonArrayWriter":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = open(self._part, "wb", buffering=1 << 20)
        self._file.write(b"[")
        return self

    def write(self, row: bytes) -> None:
        self._file.write((b",\n" if self.rows else b"\n") + self._before + row)
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.write(self._end)
        self._file.close()
        if kind is None and self.rows:
            self._part.replace(self.path)
        else:
            self._part.unlink()
