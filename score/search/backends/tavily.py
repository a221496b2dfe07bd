"""Tavily: POST {"query", "max_results"} with a bearer token; results in `results` with `content` and `score`. An error
is {"detail": {"error"}}: 400 (a query of more than 400 characters), 401, 429, 432 and 433 (the plan's limits)."""

from typing import Any

from score.search.backends.http import HttpBackend, listed
from score.search.results import Result


class Tavily(HttpBackend):
    name = "tavily"
    default_url = "https://api.tavily.com/search"
    key_variable = "TAVILY_API_KEY"
    requests_per_s = 1.5  # a development key's 100 requests a minute
    max_query_chars = 400

    def request(self, query: str, count: int) -> dict[str, Any]:
        body = {"query": query, "max_results": min(count, 20), "search_depth": "basic"}
        return {"method": "POST", "url": self.url, "headers": {"Authorization": f"Bearer {self.key}"}, "json": body}

    def read(self, body: Any) -> list[Result]:
        rows = body["results"]
        return listed([(r["url"], r.get("title") or "", r.get("content") or "", r.get("score")) for r in rows])
