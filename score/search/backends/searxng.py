"""SearXNG: GET /search?q=&format=json at one's own instance. 403: its settings.yml does not list `json` among
`search.formats`; 429: its limiter. No results while engines did not respond is a failure, not nothing found."""

from typing import Any

from score.search.backends.http import HttpBackend, PassingFailure, listed
from score.search.results import Result


class Searxng(HttpBackend):
    name = "searxng"
    default_url = "http://127.0.0.1:8080"

    def request(self, query: str, count: int) -> dict[str, Any]:
        address = self.url.rstrip("/").removesuffix("/search") + "/search"
        return {"method": "GET", "url": address, "params": {"q": query, "format": "json"}}

    def explain(self, body: Any) -> str:
        return super().explain(body) or "does its settings.yml allow `json` in search.formats, and its limiter us?"

    def read(self, body: Any) -> list[Result]:
        rows = body["results"]
        if not rows and (silent := body.get("unresponsive_engines")):
            named = ", ".join(f"{engine[0]}: {engine[1]}" for engine in silent)
            raise PassingFailure(f"{self}: no results, because engines did not respond ({named})")
        return listed([(r["url"], r.get("title") or "", r.get("content") or "", r.get("score")) for r in rows])
