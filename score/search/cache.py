"""What hosted back ends found, in one SQLite file that many processes read and write.

The file is in WAL mode, so that readers never wait; it has to lie on a local disk (WAL needs shared memory). What is
cached are the back end's results before they are cut: another `passage_chars` needs no new search.
"""

import hashlib
import json
import os
import sqlite3
import threading
import time
import unicodedata
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from score.errors import SettingsError, ToolError
from score.search.results import Result
from score.search.settings import CacheSettings

WAIT_S = 30.0  # for another process's write
_SCHEMA = """
CREATE TABLE IF NOT EXISTS searches (
    key TEXT PRIMARY KEY, query TEXT NOT NULL, found INTEGER NOT NULL, results TEXT NOT NULL, stored REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_age ON searches (stored);
"""


def normalised(query: str) -> str:
    """Without differences of case, spacing and Unicode form."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())


class SearchCache:
    """`get` and `put` block for a moment; call them from a thread. Raises `SettingsError` for a file that is no cache,
    `ToolError` where it cannot be read or written later."""

    def __init__(self, path: Path, settings: CacheSettings):
        self.path, self._settings = path, settings
        self._lock = threading.Lock()
        self._open: tuple[int, sqlite3.Connection] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"), self._lock:  # changing to WAL does not wait for others by itself
                connection = self._connection()
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise SettingsError(f"search.cache.path: {path} cannot be used as a cache: {error}") from None

    def key(self, backend: str, url: str, count: int, query: str) -> str:
        """The name under which a search is kept."""
        asked = normalised(query) if self._settings.normalise else query
        return hashlib.sha256(json.dumps([backend, url, count, asked]).encode()).hexdigest()

    def get(self, key: str) -> tuple[Result, ...] | None:
        """What was found, nothing included; None where it is not known or too old."""
        try:
            with self._lock:
                row = self._connection().execute(
                    "SELECT found, results, stored FROM searches WHERE key = ?", (key,)
                ).fetchone()  # fmt: skip
        except sqlite3.Error as error:
            raise ToolError(f"the search cache {self.path} cannot be read: {error}") from None
        if row is None:
            return None
        hours = self._settings.expire_h if row[0] else self._settings.nothing_found_expire_h
        if row[2] < time.time() - 3600 * hours:
            return None
        return tuple(Result(**result) for result in json.loads(row[1]))

    def put(self, key: str, query: str, results: tuple[Result, ...]) -> None:
        """Keep a search that did not fail; make room if the file has grown too large."""
        row = (key, query, len(results), json.dumps([asdict(result) for result in results]), time.time())
        try:
            with self._lock:
                connection = self._connection()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    connection.execute("INSERT OR REPLACE INTO searches VALUES (?, ?, ?, ?, ?)", row)
                    self._make_room(connection)
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise ToolError(f"the search cache {self.path} cannot be written: {error}") from None

    def close(self) -> None:
        with self._lock:
            if self._open is not None and self._open[0] == os.getpid():
                self._open[1].close()
            self._open = None

    def _connection(self) -> sqlite3.Connection:
        """This process's connection: SQLite's may not be carried over a fork."""
        if self._open is None or self._open[0] != os.getpid():
            connection = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine may cost the last entries
            self._open = (os.getpid(), connection)
        return self._open[1]

    def _used(self, connection: sqlite3.Connection) -> int:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """Once it is over its size, bring the file to nine tenths of it: what is too old first, then the oldest."""
        limit = self._settings.size_mb * 1e6
        if self._used(connection) <= limit:
            return
        now = time.time()
        connection.execute(
            "DELETE FROM searches WHERE stored < CASE WHEN found THEN ? ELSE ? END",
            (now - 3600 * self._settings.expire_h, now - 3600 * self._settings.nothing_found_expire_h),
        )
        while self._used(connection) > 0.9 * limit:
            (left,) = connection.execute("SELECT COUNT(*) FROM searches").fetchone()
            if not left:
                return
            connection.execute(
                "DELETE FROM searches WHERE key IN (SELECT key FROM searches ORDER BY stored LIMIT ?)",
                (max(1, left // 20),),
            )
