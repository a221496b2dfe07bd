"""The client that every phase searches with: cache, rate limit, retries, and the cut to what is relevant."""

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from score.errors import SettingsError, ToolError
from score.search.cache import SearchCache
from score.search.passages import cut
from score.search.results import Found, Result
from score.search.settings import SearchSettings

if TYPE_CHECKING:
    import httpx
    from aiolimiter import AsyncLimiter

LONGEST_WAIT_S = 60.0  # a server that asks for more is given up: the task is tried again by the next run


class QueryTooLong(ToolError):
    """The query is longer than the back end takes: the asker's mistake, not the back end's."""


@dataclass
class _Line:
    """The connections and limits of one event loop: neither can be used from another."""

    loop: asyncio.AbstractEventLoop
    http: "httpx.AsyncClient"
    limiter: "AsyncLimiter"
    slots: asyncio.Semaphore
    asked_before: "WeakValueDictionary[str, asyncio.Lock]"
    silent_until: float = 0.0  # the loop's time before which a server asked us not to come again


def _may_pass(error: BaseException) -> bool:
    from score.search.backends.http import PassingFailure

    return isinstance(error, PassingFailure) and (error.retry_after_s or 0.0) <= LONGEST_WAIT_S


def _wait(state: RetryCallState) -> float:
    """A jittered exponential back-off, and no less than the server asks for: some ask for 0 s and refuse again."""
    asked = getattr(state.outcome.exception() if state.outcome else None, "retry_after_s", None)
    return max(asked or 0.0, wait_random_exponential(multiplier=0.5, max=30)(state))


class SearchClient:
    """`search` is safe to call from many tasks. Raises `SettingsError` at once where the back end lacks its corpus or
    its key."""

    def __init__(self, settings: SearchSettings):
        self.settings = settings
        self._line: _Line | None = None
        self._index = self._backend = self._cache = None
        if settings.backend == "none":
            raise SettingsError("search.backend is `none`: nothing to search with (see configs/tools.yaml)")
        if settings.backend == "local":
            from score.search.local_index import LocalIndex

            if settings.corpus is None:
                raise SettingsError("search.backend `local` needs search.corpus: a JSONL or parquet file of passages")
            self._index = LocalIndex(settings.corpus, settings.index)
        else:
            from score.search.backends import make_backend

            self._backend = make_backend(settings)
            if settings.cache.path is not None:
                self._cache = SearchCache(settings.cache.path, settings.cache)

    async def search(self, query: str, count: int | None = None) -> Found:
        """Results, or none where the back end found nothing. Raises `ToolError` where it failed (after the configured
        attempts), `QueryTooLong` where it takes no query of that length."""
        query = query.encode("utf-8", "replace").decode().replace("\0", " ").strip()
        count = count or self.settings.results
        if self._index is not None:
            found = tuple(await asyncio.to_thread(self._index.search, query, count))
        else:
            found = await self._ask(query, count)
        limit = self.settings.passage_chars
        shown = []
        for result in found[:count]:
            passage = result.passage
            if len(passage) > limit:
                passage = await asyncio.to_thread(cut, passage, query, limit)
            shown.append(replace(result, passage=passage))
        return Found(query, tuple(shown))

    async def close(self) -> None:
        if self._line is not None and self._line.loop is asyncio.get_running_loop():
            await self._line.http.aclose()
        self._line = None
        if self._cache is not None:
            self._cache.close()

    async def _ask(self, query: str, count: int) -> tuple[Result, ...]:
        backend, cache = self._backend, self._cache
        assert backend is not None
        measures = (
            ("characters", len(query), backend.max_query_chars),
            ("words", len(query.split()), backend.max_query_words),
        )
        for unit, length, limit in measures:
            if limit is not None and length > limit:
                raise QueryTooLong(f"the query has {length} {unit}; {backend.name} takes {limit}: shorten it")
        line = self._line_of_this_loop()
        if cache is None:
            return await self._ask_with_retries(line, query, count)
        key = cache.key(backend.name, backend.url, count, query)
        # Rollouts of one prompt ask the same at the same time: the first goes, the others find it in the cache.
        async with line.asked_before.setdefault(key, asyncio.Lock()):
            known = await asyncio.to_thread(cache.get, key)
            if known is None:
                known = await self._ask_with_retries(line, query, count)
                await asyncio.to_thread(cache.put, key, query, known)
            return known

    async def _ask_with_retries(self, line: _Line, query: str, count: int) -> tuple[Result, ...]:
        attempts = self.settings.attempts
        retrying = AsyncRetrying(
            stop=stop_after_attempt(attempts), wait=_wait, retry=retry_if_exception(_may_pass), reraise=True
        )
        tried = 0
        try:
            async for attempt in retrying:
                with attempt:
                    tried += 1
                    return await self._once(line, query, count)
        except ToolError as error:
            times = f" ({tried} attempts)" if tried > 1 else ""
            raise ToolError(f"{error}{times}") from error
        raise AssertionError("unreachable: tenacity re-raises")

    async def _once(self, line: _Line, query: str, count: int) -> tuple[Result, ...]:
        from score.search.backends.http import PassingFailure

        assert self._backend is not None
        async with line.slots:
            await asyncio.sleep(line.silent_until - line.loop.time())
            async with line.limiter:
                try:
                    return tuple(await self._backend.search(line.http, query, count))
                except PassingFailure as error:
                    if error.retry_after_s and error.retry_after_s <= LONGEST_WAIT_S:
                        line.silent_until = max(line.silent_until, line.loop.time() + error.retry_after_s)
                    raise

    def _line_of_this_loop(self) -> _Line:
        from aiolimiter import AsyncLimiter

        loop = asyncio.get_running_loop()
        if self._line is None or self._line.loop is not loop:
            assert self._backend is not None
            rate = self.settings.requests_per_s or self._backend.requests_per_s
            # One request at least has to fit into the bucket; no more at once than the rate of one second.
            limiter = AsyncLimiter(max(rate, 1.0), max(rate, 1.0) / rate)
            slots = asyncio.Semaphore(self.settings.concurrency)
            self._line = _Line(loop, self._backend.new_client(), limiter, slots, WeakValueDictionary())
        return self._line
