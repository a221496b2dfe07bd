"""Rate limits of an endpoint, with aiolimiter's leaky buckets."""

from aiolimiter import AsyncLimiter

CHARACTERS_PER_TOKEN = 4
FIRST_GUESS = 1000  # tokens of a reply, until the first ones are known


class RateLimit:
    """Requests and tokens per minute, spread evenly: a bucket holds what one second may use (at least one request),
    so that no window of a minute sees more than the limit and that second's worth."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None):
        self._requests = None
        if requests_per_minute is not None:
            burst = max(1.0, requests_per_minute / 60)
            self._requests = AsyncLimiter(burst, 60 * burst / requests_per_minute)
        self._tokens = None if tokens_per_minute is None else AsyncLimiter(tokens_per_minute / 6, 10)
        self._written: float | None = None  # running mean of the tokens of a reply

    async def before(self, characters: int) -> float:
        """Wait for a call's turn; `characters` is the length of its prompt. Returns the tokens that were set aside."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is None:
            return 0.0
        expected = characters / CHARACTERS_PER_TOKEN + (FIRST_GUESS if self._written is None else self._written)
        expected = min(expected, self._tokens.max_rate)
        await self._tokens.acquire(expected)
        return expected

    async def after(self, set_aside: float, tokens: int | None, written: int | None) -> None:
        """Pay what a call took beyond what was set aside, where the server told."""
        if self._tokens is None or tokens is None or written is None:
            return
        self._written = written if self._written is None else 0.9 * self._written + 0.1 * written
        if tokens > set_aside:
            await self._tokens.acquire(min(tokens - set_aside, self._tokens.max_rate))
