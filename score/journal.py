"""An append-only result file that survives `kill -9`: one JSON row a line, a lock, a healed torn last line.

Beside `name.jsonl` lie `name.failures.jsonl` (what failed and is tried again by the next run) and, while a run
writes, `name.jsonl.lock`, which names its holder.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from filelock import FileLock, Timeout

from score.errors import DataError, ScoreError

FSYNC_EVERY_S = 1.0  # rows reach the kernel at once (kill -9 loses none), the disk within this time


def task_id_of(row: dict[str, Any]) -> str:
    """The task id of a row: trajectories keep the task under `original_task_info`, inference results at the top."""
    return str(row["original_task_info"]["id"] if "original_task_info" in row else row["id"])


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


class Journal:
    """Use as a context manager. `done` holds the ids whose rows are in the file.

    Raises `DataError` on a line in the middle that cannot be read, `ScoreError` if another run holds the lock.
    """

    def __init__(self, path: str | Path, id_of: Callable[[dict[str, Any]], str] = task_id_of):
        self.path = Path(path)
        self.failures_path = self.path.with_name(self.path.stem + ".failures.jsonl")
        self.done: set[str] = set()
        self._id_of = id_of
        self._lock = FileLock(f"{self.path}.lock")
        self._file: IO[str]
        self._failures: IO[str]
        self._synced = 0.0

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(f"{self.path}.lock.holder")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text().strip() if holder.is_file() else "another run"
            raise ScoreError(f"{self.path} is being written by {who}: wait for it or stop it") from None
        holder.write_text(f"process {os.getpid()} since {time.strftime('%F %T')}")
        heal(self.path)
        self.done = {self._id_of(row) for row in self._rows()}
        self._file = open(self.path, "a", encoding="utf-8")
        # What failed before is tried again now: the failures file tells only of this run.
        self._failures = open(self.failures_path, "w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._file, self._failures):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        if self.failures_path.stat().st_size == 0:
            self.failures_path.unlink()
        Path(f"{self.path}.lock.holder").unlink(missing_ok=True)
        self._lock.release()
        Path(f"{self.path}.lock").unlink(missing_ok=True)

    def append(self, row: dict[str, Any]) -> None:
        """Write one row; a task that is there already is a bug of the caller and raises `ValueError`."""
        task_id = self._id_of(row)
        if task_id in self.done:
            raise ValueError(f"task {task_id!r} is already in {self.path}")
        self._write(self._file, row)
        self.done.add(task_id)

    def fail(self, task_id: str, kind: str, message: str) -> None:
        """Record that a task failed, and how."""
        self._write(self._failures, {"id": task_id, "kind": kind, "message": message})

    def _write(self, file: IO[str], row: dict[str, Any]) -> None:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        if time.monotonic() - self._synced > FSYNC_EVERY_S:
            os.fsync(file.fileno())
            self._synced = time.monotonic()

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        rows = []
        with open(self.path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line)
                    self._id_of(row)
                except (json.JSONDecodeError, KeyError, TypeError) as error:
                    raise DataError(
                        f"{self.path}:{number}: no row of this script ({error}); move the file away to start anew"
                    ) from None
                rows.append(row)
        return rows
