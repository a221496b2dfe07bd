"""One HTTP call of the OpenAI chat protocol: a completion, or an exception that says whether another try may help.

aiohttp instead of the `openai` package: a call costs 0.1 ms of CPU instead of 1.0 (32 in flight) or 1.7 (512; its
connection pool looks through all connections for each call), measured on one core with 3 kB prompts.
"""

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from score.llm.usage import Completion, Usage
from score.waiting import seconds_of

CONNECT_S = 30.0
KEEP_ALIVE_S = 4.0  # uvicorn (vLLM, SGLang) closes idle connections after 5 s: a call must not race with that
END_OF_TURN = "<|im_end|>"  # a server that decodes special tokens also sends the end of turn: the turn ends there


class Transient(Exception):
    """Another try may help. `outage`: the server did not answer as a chat server at all. `retry_after` in seconds, as
    the server asked for; `throttled`: it only asked to slow down."""

    def __init__(self, reason: str, *, outage: bool = True, retry_after: float | None = None, throttled: bool = False):
        super().__init__(reason)
        self.outage, self.retry_after, self.throttled = outage, retry_after, throttled


class Refused(Exception):
    """The server understood and said no: no other try can help."""

    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.code = status, code


class ChatClient:
    """Calls `<base_url>/chat/completions`. Bound to one event loop; a client of another loop starts anew."""

    def __init__(self, base_url: str, key: str, timeout_s: float):
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_S, timeout_s))
        # aiohttp's own look-up of proxies reads the environment and .netrc for each call.
        address = urlsplit(base_url)
        bypass = urllib.request.proxy_bypass(address.hostname or "")
        self._proxy = None if bypass else urllib.request.getproxies().get(address.scheme)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def call(self, body: dict[str, Any]) -> Completion:
        """One completion of `body`. Raises `Transient` or `Refused`."""
        began = time.monotonic()
        try:
            async with self._opened().post(
                self._url, data=json.dumps(body).encode(), proxy=self._proxy, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _refusal(response.status, response.headers, await response.text(errors="replace"))
                if body.get("stream"):
                    return await _read_stream(response, began)
                return _read_whole(await response.read(), began)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Transient(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def __del__(self) -> None:
        """Whoever never closes (a reward worker lives as long as its trainer) gets no page of warnings at the end."""
        if self._session is not None and not self._session.closed and self._session.connector is not None:
            closing = self._session.connector.close()
            self._session.detach()
            with contextlib.suppress(StopIteration, RuntimeError):
                next(closing.__await__())  # the first part closes the sockets, and nobody is left to await the rest

    def _opened(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            # The endpoint's own limit counts the calls: the pool of connections has none.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers)
            self._loop = loop
        return self._session


def _refusal(status: int, headers: Any, text: str) -> Exception:
    """What a status other than 200 means."""
    message, code = text.strip()[:500] or "(empty)", ""
    try:
        error = json.loads(text)
        error = error.get("error", error) if isinstance(error, dict) else None
    except json.JSONDecodeError:
        error = None
    if isinstance(error, dict):
        message, code = str(error.get("message") or message), str(error.get("code") or "")
    if code == "insufficient_quota":  # a 429 by its number, but no waiting helps
        return Refused(status, message, code)
    if status in (408, 409, 429) or status >= 500:
        return Transient(
            f"HTTP {status}: {message}",
            outage=status >= 500,
            retry_after=retry_after(headers),
            throttled=status == 429,
        )
    return Refused(status, message, code)


def retry_after(headers: Any) -> float | None:
    """The seconds of OpenAI's `retry-after-ms`, else of `Retry-After`; None without a readable one."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        return seconds_of(headers.get("retry-after", "").strip())


def _usage(counts: Any, began: float) -> Usage:
    seconds = time.monotonic() - began
    try:
        details = counts.get("prompt_tokens_details") or {}
        cached = int(details.get("cached_tokens") or 0)
        return Usage(1, int(counts["prompt_tokens"]), int(counts["completion_tokens"]), seconds, cached_tokens=cached)
    except (AttributeError, KeyError, TypeError, ValueError):
        return Usage(calls=1, seconds=seconds, uncounted=1)


def _completion(parts: Sequence[str], reason: Any, counts: Any, model: Any, began: float) -> Completion:
    return Completion(
        "".join(parts).split(END_OF_TURN, 1)[0], str(reason or ""), _usage(counts, began), str(model or "")
    )


def _read_whole(data: bytes, began: float) -> Completion:
    try:
        reply = json.loads(data)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise Transient(f"the reply is not JSON: {data[:80]!r}") from None
    try:
        choice = reply["choices"][0]
        content, reason = choice["message"].get("content"), choice.get("finish_reason")
    except (AttributeError, KeyError, IndexError, TypeError):
        raise Transient(f"the reply is no chat completion: {data[:200]!r}", outage=False) from None
    if content is None and reason == "length":
        content = ""  # a reasoning parser (vLLM) keeps the thinking apart, and the limit of tokens ended that
    if not isinstance(content, str):
        raise Transient(f"the reply has no content (finish_reason {reason!r})", outage=False)
    return _completion([content], reason, reply.get("usage"), reply.get("model"), began)


async def _read_stream(response: aiohttp.ClientResponse, began: float) -> Completion:
    """A completion sent as server-sent events. A stream that ends without a finish reason was cut."""
    parts: list[str] = []
    reason = counts = model = None
    async for line in _lines(response):
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            break
        try:
            chunk = json.loads(data)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise Transient(f"the stream holds no JSON: {data[:80]!r}") from None
        if "error" in chunk:
            raise Transient(f"the stream broke off: {chunk['error']}", outage=False)
        counts = chunk.get("usage") or counts
        model = chunk.get("model") or model
        for choice in chunk.get("choices") or []:
            parts.append((choice.get("delta") or {}).get("content") or "")
            reason = choice.get("finish_reason") or reason
    if reason is None:
        raise Transient("the stream ended before the reply did")
    return _completion(parts, reason, counts, model, began)


async def _lines(response: aiohttp.ClientResponse) -> Any:
    """The lines of a body. (aiohttp's own `readline` refuses long ones.)"""
    rest = b""
    async for data in response.content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest
