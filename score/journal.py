"""An append-only result file that survives `kill -9`: one JSON row a line, a lock, a healed torn last line.

While a run writes, rows stand in the order in which tasks ended; when it has ended, in the order of the tasks.
Beside `name.jsonl` lie `name.failures.jsonl` (what failed and is tried again by the next run) and, while a run
writes, `name.jsonl.lock`, which names its holder.

What is done once is a unit: a task, or one of several samples of it. Its rows keep the task's id and, where several
samples are asked for, their number under `sample`; a row without one is sample 0.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from filelock import FileLock, Timeout

from score.errors import DataError, ScoreError
from score.whole_file import replacing

FSYNC_EVERY_S = 1.0  # rows reach the kernel at once (kill -9 loses none), the disk within this time


def task_id_of(row: dict[str, Any]) -> str:
    """The task id of a row: trajectories keep the task under `original_task_info`, inference results at the top."""
    return str(row["original_task_info"]["id"] if "original_task_info" in row else row["id"])


def unit_key(task_id: str, sample: int = 0) -> str:
    """The name of a unit. (No task id holds the separator, a control character.)"""
    return f"{task_id}\x1f{sample}" if sample else task_id


def unit_of(row: dict[str, Any]) -> str:
    """The unit that a row, or a failure, belongs to."""
    return unit_key(task_id_of(row), int(row.get("sample") or 0))


def heal(path: Path) -> int:
    """Cut a torn last line (a write that the process did not survive). Returns the number of bytes cut."""
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    with open(path, "rb+") as file:
        content_end = file.seek(0, os.SEEK_END)
        file.seek(content_end - 1)
        if file.read(1) == b"\n":
            return 0
        position = content_end
        while position > 0:  # look for the last newline, a block at a time from the end
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        file.truncate(position)
        return content_end - position


def failures_path(path: Path) -> Path:
    """The file of failures beside a result file."""
    return path.with_name(path.stem + ".failures.jsonl")


def rows_of(
    path: Path, id_of: Callable[[dict[str, Any]], str] = unit_of, *, skip_torn: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (unit, row) for each line, one at a time. A torn last line (see `heal`) is left out with `skip_torn`.

    Raises `DataError` naming a line that is no row, or that is torn.
    """
    if not path.is_file():
        return
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                if skip_torn:
                    return
                raise DataError(
                    f"{path}:{number}: the last line is torn: its run was killed while it wrote, or is writing now; "
                    "run its script once more, which heals the file and goes on"
                )
            try:
                row = json.loads(line)
                unit = id_of(row)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path}:{number}: no row of this script ({error}); move the file away to start anew"
                ) from None
            yield unit, row


def as_line(row: dict[str, Any]) -> bytes:
    """One line of JSON. Half a surrogate pair, which a model can write and UTF-8 cannot, is escaped."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


class Journal:
    """Use as a context manager. `done` holds the units whose rows are in the file; the rows stay there.

    Raises `DataError` on a line in the middle that cannot be read, `ScoreError` if another run holds the lock.
    """

    def __init__(self, path: str | Path, id_of: Callable[[dict[str, Any]], str] = unit_of):
        self.path = Path(path)
        self.failures_path = failures_path(self.path)
        self.done: set[str] = set()
        self.standing = 0  # failures that remain, counted when the journal is closed
        self._id_of = id_of
        self._units: list[str] = []  # of the file's lines, in their order
        self._lock = FileLock(f"{self.path}.lock")
        self._holder = Path(f"{self.path}.lock.holder")
        self._file: IO[bytes]
        self._failures: IO[bytes]
        self._synced = 0.0

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            who = self._holder.read_text().strip() if self._holder.is_file() else "another run"
            raise ScoreError(f"{self.path} is being written by {who}: wait for it or stop it") from None
        try:
            self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}")
            heal(self.path)
            heal(self.failures_path)
            self._units = [unit for unit, _ in rows_of(self.path, self._id_of)]
            self.done = set(self._units)
            self._file = open(self.path, "ab")
            self._failures = open(self.failures_path, "ab")
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._file, self._failures):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self.standing = self._keep_what_stands()
        self._unlock()

    def append(self, row: dict[str, Any]) -> None:
        """Write one row; a unit that is there already is a bug of the caller and raises `ValueError`."""
        unit = self._id_of(row)
        if unit in self.done:
            raise ValueError(f"task {unit!r} is already in {self.path}")
        self._write(self._file, row)
        self._units.append(unit)
        self.done.add(unit)

    def fail(self, task_id: str, kind: str, message: str, sample: int = 0) -> None:
        """Record that a task failed, and how."""
        row = {"id": task_id, **({"sample": sample} if sample else {}), "kind": kind, "message": message}
        self._write(self._failures, row)

    def arrange(self, units: Iterable[str]) -> None:
        """Put the rows into the order of `units`, those of other units last, so that the same rows make the same file
        whichever task ended first."""
        rank = {unit: number for number, unit in enumerate(units)}
        order = sorted(range(len(self._units)), key=lambda line: rank.get(self._units[line], len(rank)))
        if order == list(range(len(order))):
            return
        with open(self.path, "rb") as file, replacing(self.path) as ordered:
            starts = [0, *accumulate(map(len, file))]
            for line in order:
                file.seek(starts[line])
                ordered.write(file.readline())
        self._file.close()
        self._units = [self._units[line] for line in order]
        self._file = open(self.path, "ab")

    def _write(self, file: IO[bytes], row: dict[str, Any]) -> None:
        file.write(as_line(row))
        file.flush()
        if time.monotonic() - self._synced > FSYNC_EVERY_S:
            os.fsync(self._file.fileno())
            os.fsync(self._failures.fileno())
            self._synced = time.monotonic()

    def _keep_what_stands(self) -> int:
        """Leave in the failures file the last failure of each unit that still has no row. Returns their number."""
        last = {unit: number for number, (unit, _) in enumerate(rows_of(self.failures_path)) if unit not in self.done}
        if last:
            kept = set(last.values())
            with open(self.failures_path, "rb") as lines, replacing(self.failures_path) as remaining:
                remaining.writelines(line for number, line in enumerate(lines) if number in kept)
        else:
            self.failures_path.unlink()
        return len(last)

    def _unlock(self) -> None:
        self._holder.unlink(missing_ok=True)
        # While the lock is held: whoever opened the file before sees that it is gone, and opens the new one.
        Path(f"{self.path}.lock").unlink(missing_ok=True)
        self._lock.release()
