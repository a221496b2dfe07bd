"""Serper (serper.dev): Google's results. POST {"q", "num"} with `X-API-KEY`; results in `organic`; an error is
{"message", "statusCode"}: 403 for a wrong key, 400 for a query it does not take or credits that are used up."""

from typing import Any

from score.search.backends.http import HttpBackend, listed
from score.search.results import Result


class Serper(HttpBackend):
    name = "serper"
    default_url = "https://google.serper.dev/search"
    key_variable = "SERPER_API_KEY"
    requests_per_s = 50.0

    def request(self, query: str, count: int) -> dict[str, Any]:
        return {
            "method": "POST",
            "url": self.url,
            "headers": {"X-API-KEY": self.key},
            "json": {"q": query, "num": count},
        }

    def read(self, body: Any) -> list[Result]:
        rows = body["organic"] if "organic" in body or "searchParameters" not in body else []
        return listed([(row["link"], row.get("title", ""), row.get("snippet", ""), None) for row in rows])
