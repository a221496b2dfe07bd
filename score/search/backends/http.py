"""What the back ends that are servers have in common: one request, and an answer that is read or named as a failure.

A failure is a `ToolError`; one that may pass (429, 5xx, a time-out) is a `PassingFailure`, and is tried again.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import httpx

from score.errors import ToolError
from score.search.results import Result
from score.search.settings import SearchSettings
from score.settings import secret
from score.waiting import seconds_of

PASSING = frozenset(
    {202, 408, 425, 429, 500, 502, 503, 504}
)  # 202: accepted, but no answer (DuckDuckGo's way to refuse)
SHOWN = 200  # characters of an answer that a message quotes


class PassingFailure(ToolError):
    """A failure that may pass. `retry_after_s`: how long the server asks us to wait, where it says so."""

    def __init__(self, message: str, retry_after_s: float | None = None):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class HttpBackend(ABC):
    """A search server. Subclasses say what to send and how to read the answer.

    `max_query_chars`, `max_query_words`: as its documentation says; None: no limit is documented. Raises
    `SettingsError` at once where a key is missing.
    """

    name: ClassVar[str]
    default_url: ClassVar[str]
    key_variable: ClassVar[str | None] = None
    requests_per_s: ClassVar[float] = 10.0
    max_query_chars: ClassVar[int | None] = None
    max_query_words: ClassVar[int | None] = None

    def __init__(self, settings: SearchSettings):
        self.url = settings.base_url or self.default_url
        self._variable = settings.api_key_env or self.key_variable
        self.key = secret(self._variable, f"search.backend {self.name}") if self._variable else ""
        self._timeout_s = settings.timeout_s

    def new_client(self) -> httpx.AsyncClient:
        """The connections, for one event loop."""
        # A server that asks for no key by itself may stand behind a gateway that does.
        headers = {"Authorization": f"Bearer {self.key}"} if self.key and not self.key_variable else {}
        # A key is sent to the address that it was meant for and to no other.
        return httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=not self.key, headers=headers)

    @abstractmethod
    def request(self, query: str, count: int) -> dict[str, Any]:
        """`method`, `url` and what else httpx wants of the request."""

    @abstractmethod
    def read(self, body: Any) -> list[Result]:
        """The results in the JSON of a 200. Raises `ToolError`, or `KeyError`, `TypeError` and the like where the
        answer has not its documented form."""

    def explain(self, body: Any) -> str:
        """What an error's JSON says, or an empty text."""
        if isinstance(body, dict):
            for key in ("message", "error", "detail", "info"):
                if isinstance(value := body.get(key), str):
                    return value
                if isinstance(value, dict) and (inner := self.explain(value)):
                    return inner
        return ""

    async def search(self, client: httpx.AsyncClient, query: str, count: int) -> list[Result]:
        """One request. Raises `ToolError`; `PassingFailure` where it may be tried again."""
        try:
            response = await client.request(**self.request(query, count))
        except httpx.TimeoutException:
            raise PassingFailure(f"{self} did not answer within {self._timeout_s:g} s") from None
        except httpx.TransportError as error:
            raise PassingFailure(f"{self} cannot be reached: {error or type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise ToolError(f"{self}: {error}") from None
        body, status = _json(response), response.status_code
        if status != 200:
            raise self._refusal(response, body)
        if body is None:
            raise ToolError(f"{self} answered with {_kind(response)} instead of JSON: is search.base_url right?")
        try:
            return self.read(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            shown = response.text[:SHOWN]
            raise ToolError(f"{self} answered in a form that is not its documented one ({error!r}): {shown}") from None

    def _refusal(self, response: httpx.Response, body: Any) -> ToolError:
        status = response.status_code
        said = self.explain(body) or (f"{_kind(response)}" if body is None else response.text[:SHOWN])
        message = f"{self} answered {status}: {said}"
        if status in PASSING:
            return PassingFailure(message, retry_after(response.headers))
        if status in (401, 403) and self._variable:
            message += f" (is the key in {self._variable} right?)"
        return ToolError(message)

    def __str__(self) -> str:
        return f"{self.name} ({self.url})"


def _json(response: httpx.Response) -> Any:
    """The body as JSON, or None where it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def _kind(response: httpx.Response) -> str:
    text = response.text.strip()
    if not text:
        return "an empty body"
    if text[:1] == "<" or "html" in response.headers.get("content-type", ""):
        return "a page of HTML"
    return f"the text {text[:SHOWN]!r}"


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds to wait, from `Retry-After` (seconds or a date) or Brave's `X-RateLimit-Reset` (several windows, the
    shortest first)."""
    text = headers.get("retry-after", "").strip()
    return seconds_of(text or headers.get("x-ratelimit-reset", "").split(",")[0].strip())


def listed(found: Sequence[tuple[str, str, str, float | None]]) -> list[Result]:
    """Results from (url, title, passage, score), best first."""
    return [Result(rank, url, title, passage, score) for rank, (url, title, passage, score) in enumerate(found, 1)]
