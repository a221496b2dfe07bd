"""A model's verdicts, each question asked once: by one process, by all processes of a machine, and by later runs.

The cache is an SQLite file. A worker that is about to ask writes a claim, so that the others wait for its verdict; a
claim older than `CLAIM_S` is taken over, since its worker may be dead. Failures are not kept.
"""

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLAIM_S = 300.0
_POLL_S = 0.05
Value = dict[str, Any]


@dataclass
class Costs:
    """What a score cost: questions that only the model could decide (`questions`, of which those asked now
    and not before: `calls`), and the seconds until its replies."""

    questions: int = 0
    calls: int = 0
    seconds: float = 0.0


class Verdicts:
    """`path` None: a cache in memory only, for this process."""

    def __init__(self, path: Path | None = None):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path or ":memory:", timeout=30, isolation_level=None)
        if path is not None:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, value TEXT, claimed REAL)")
        self._asking: dict[str, asyncio.Future[Value]] = {}

    async def once(self, question: tuple[str, ...], ask: Callable[[], Awaitable[Value]], costs: Costs) -> Value:
        """The value that `ask` gives for `question` (everything that the verdict depends on), asked for now or
        before. Raises what `ask` raises."""
        costs.questions += 1
        key = hashlib.sha256(json.dumps(question).encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._ask(key, ask, costs))
            self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])

    async def _ask(self, key: str, ask: Callable[[], Awaitable[Value]], costs: Costs) -> Value:
        while (found := self._claim_or_read(key)) is not None:
            if found:
                value: Value = json.loads(found)
                return value
            await asyncio.sleep(_POLL_S)
        began = time.monotonic()
        costs.calls += 1
        try:
            value = await ask()
        except BaseException:
            self._database.execute("DELETE FROM verdicts WHERE key = ? AND value IS NULL", (key,))
            raise
        finally:
            costs.seconds += time.monotonic() - began
        self._database.execute("UPDATE verdicts SET value = ? WHERE key = ?", (json.dumps(value), key))
        return value

    def _claim_or_read(self, key: str) -> str | None:
        """The value's text; "" while another worker asks; None where the question is ours to ask from now on."""
        now = time.time()
        row = self._database.execute("SELECT value FROM verdicts WHERE key = ?", (key,)).fetchone()
        if row is None:
            claimed = self._database.execute("INSERT OR IGNORE INTO verdicts VALUES (?, NULL, ?)", (key, now)).rowcount
            return None if claimed else ""
        if row[0] is not None:
            return str(row[0])
        taken = self._database.execute(
            "UPDATE verdicts SET claimed = ? WHERE key = ? AND value IS NULL AND claimed < ?", (now, key, now - CLAIM_S)
        ).rowcount
        return None if taken else ""

    def close(self) -> None:
        self._database.close()
