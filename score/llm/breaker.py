"""The circuit breaker of an endpoint: while the server is down, calls wait instead of failing."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from score.llm.client import Refused, Transient

FIRST_PROBE_S, SLOWEST_PROBE_S = 1.0, 30.0
_log = logging.getLogger(__name__)


class GaveUp(Exception):
    """The server has been down for longer than one wanted to wait."""


class Breaker:
    """`threshold` failures in a row open it. Then one probe at a time goes out, until one comes back: all go on.

    After `give_up_after_s` those who wait get `GaveUp`, and so do later calls, until a probe (still sent, as long as
    anybody calls) comes back. Raises nothing else.
    """

    def __init__(self, name: str, threshold: int, give_up_after_s: float, probe: Callable[[], Awaitable[object]]):
        self._name, self._threshold, self._give_up_after_s, self._probe = name, threshold, give_up_after_s, probe
        self._failures = 0
        self._reason = ""
        self._down_since: float | None = None
        self._prober: asyncio.Task[None] | None = None
        self._next_probe = 0.0
        self._turn = asyncio.Event()  # set whenever those who wait should look again

    @property
    def open(self) -> bool:
        return self._down_since is not None

    @property
    def down_s(self) -> float:
        """For how long the server has been down, 0 if it is not."""
        return 0.0 if self._down_since is None else time.monotonic() - self._down_since

    @property
    def given_up(self) -> bool:
        return self.open and self.down_s >= self._give_up_after_s

    def succeeded(self) -> None:
        self._failures = 0
        if self.open:
            _log.warning("%s answers again after %.0f s", self._name, self.down_s)
            self._down_since = None
            self._turn.set()

    def failed(self, reason: str) -> None:
        """A failure that says that the server is down: no connection, a 5xx, no answer in time."""
        self._failures += 1
        self._reason = reason
        if self._failures >= self._threshold and not self.open:
            _log.warning("%s is down (%s): everything waits, one probe at a time goes out", self._name, reason)
            self._down_since = time.monotonic()
            self._turn.clear()

    async def passage(self) -> None:
        """Return at once while the server answers, else when it does again. Raises `GaveUp`."""
        while self.open:
            if self._prober is None or self._prober.done():
                self._prober = asyncio.create_task(self._send_probes())
            if self.given_up:
                raise GaveUp(f"down for {self.down_s:.0f} s: {self._reason}")
            try:
                async with asyncio.timeout(max(0.01, self._give_up_after_s - self.down_s)):
                    await self._turn.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.gather(self._prober, return_exceptions=True)

    async def _send_probes(self) -> None:
        pause = SLOWEST_PROBE_S if self.given_up else FIRST_PROBE_S
        while self.open:
            await asyncio.sleep(pause)
            try:
                await self._probe()
            except Transient as error:
                if error.outage:
                    self._reason = str(error)
                    if self.given_up:
                        return
                    pause = min(2 * pause, SLOWEST_PROBE_S)
                    continue
            except Refused:
                pass  # a server that refuses answers: the calls themselves find out what they get
            self.succeeded()
