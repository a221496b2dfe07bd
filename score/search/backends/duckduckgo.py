"""DuckDuckGo's HTML page through the package `ddgs`, which knows how to ask for it and how to read it.

`DDGS().text()` itself cannot be used: it takes every status but 200 for a page without results, and DuckDuckGo refuses
with 202. So the engine is driven step by step here, and the status and the page are looked at.
"""

import asyncio
from typing import Any

import httpx
from ddgs.engines.duckduckgo import Duckduckgo as Engine
from ddgs.exceptions import DDGSException, TimeoutException
from lxml.etree import LxmlError

from score.errors import ToolError
from score.search.backends.http import PASSING, HttpBackend, PassingFailure, listed
from score.search.results import Result

NOTHING_MARKS = ("no-results", "No results found", "No  results.")
CHALLENGE_MARKS = ("anomaly-modal", "anomaly.js", "challenge-form")


class DuckDuckGo(HttpBackend):
    name = "duckduckgo"
    default_url = "https://html.duckduckgo.com/html/"
    requests_per_s = 0.5  # it refuses quicker clients

    def request(self, query: str, count: int) -> dict[str, Any]:
        payload = self._engine().build_payload(query, region="wt-wt", safesearch="moderate", timelimit=None)
        return {"method": "POST", "url": self.url, "data": payload}

    def _engine(self) -> Any:
        return Engine(timeout=max(1, round(self._timeout_s)))

    async def search(self, client: httpx.AsyncClient, query: str, count: int) -> list[Result]:
        """`client` is not used: ddgs brings its own, which looks like a browser's."""
        return (await asyncio.to_thread(self._search, query, count))[:count]

    def _search(self, query: str, count: int) -> list[Result]:
        engine, request = self._engine(), self.request(query, count)
        try:
            response = engine.http_client.request(request["method"], request["url"], data=request["data"])
        except TimeoutException:
            raise PassingFailure(f"{self} did not answer within {self._timeout_s:g} s") from None
        except DDGSException as error:
            raise PassingFailure(f"{self} cannot be reached: {error}") from None
        page = response.text
        if response.status_code != 200:
            message = f"{self} answered {response.status_code}"
            if response.status_code in PASSING:
                raise PassingFailure(f"{message}: it refuses us for a while (too many requests)")
            raise ToolError(message)
        return self.read((engine, page))

    def read(self, body: Any) -> list[Result]:
        engine, page = body
        if any(mark in page for mark in CHALLENGE_MARKS):
            raise PassingFailure(f"{self} asks whether we are human: too many requests")
        try:
            found = engine.post_extract_results(engine.extract_results(page))
        except LxmlError:
            found = []  # an empty page, or none at all
        if not found and not any(mark in page for mark in NOTHING_MARKS):
            raise ToolError(f"{self} answered with a page that is not one of results")
        return listed([(row.href, row.title, row.body, None) for row in found])
