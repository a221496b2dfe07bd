"""Rate limits of an endpoint, with aiolimiter's leaky buckets."""

import asyncio

from aiolimiter import AsyncLimiter

CHARACTERS_PER_TOKEN = 4
FIRST_GUESS = 1000  # tokens of a reply, until the first ones are known


class RateLimit:
    """Requests and tokens per minute, spread evenly: a bucket holds what one second may use (at least one request),
    so that no window of a minute sees more than the limit and that second's worth. A call that takes more tokens than
    a bucket holds waits for several."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None):
        self._requests = None
        if requests_per_minute is not None:
            burst = max(1.0, requests_per_minute / 60)
            self._requests = AsyncLimiter(burst, 60 * burst / requests_per_minute)
        self._tokens = None if tokens_per_minute is None else AsyncLimiter(tokens_per_minute / 60, 1)
        self._turn = asyncio.Lock()  # AsyncLimiter serves small amounts first: a long prompt might wait for ever
        self._owed = 0.0  # tokens that nobody has waited for yet
        self._written: float | None = None  # running mean of the tokens of a reply

    async def before(self, characters: int) -> float:
        """Wait for a call's turn; `characters` is the length of its prompt. Returns the tokens that were set aside."""
        expected = 0.0
        async with self._turn:
            if self._tokens is not None:
                reply = FIRST_GUESS if self._written is None else self._written
                expected = characters / CHARACTERS_PER_TOKEN + reply
                self._owed += expected
                while self._owed > 0:
                    part = min(self._owed, self._tokens.max_rate)
                    await self._tokens.acquire(part)
                    self._owed -= part
            if self._requests is not None:
                await self._requests.acquire()
        return expected

    def after(self, set_aside: float, tokens: int | None, written: int | None) -> None:
        """What a call took beyond what was set aside, where the server told, is owed: the next call waits for it."""
        if self._tokens is None or tokens is None or written is None:
            return
        self._written = written if self._written is None else 0.9 * self._written + 0.1 * written
        self._owed += max(0.0, tokens - set_aside)
