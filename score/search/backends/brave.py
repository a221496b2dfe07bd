"""Brave Search: GET ?q=&count= with `X-Subscription-Token`; results in `web.results`, `web` is absent where nothing was
found. An error is {"type": "ErrorResponse", "error": {"code", "detail"}}: 422 for a wrong token or a query of more than
400 characters or 50 words, 429 with `X-RateLimit-Reset`."""

import re
from html import unescape
from typing import Any

from score.search.backends.http import HttpBackend, listed
from score.search.results import Result

_TAG = re.compile(r"</?strong>")  # marks the words of the query


def _plain(text: str) -> str:
    return unescape(_TAG.sub("", text))


class Brave(HttpBackend):
    name = "brave"
    default_url = "https://api.search.brave.com/res/v1/web/search"
    key_variable = "BRAVE_API_KEY"
    requests_per_s = 1.0  # the free plan
    max_query_chars = 400
    max_query_words = 50

    def request(self, query: str, count: int) -> dict[str, Any]:
        headers = {"X-Subscription-Token": self.key, "Accept": "application/json"}
        return {"method": "GET", "url": self.url, "headers": headers, "params": {"q": query, "count": min(count, 20)}}

    def explain(self, body: Any) -> str:
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            return super().explain(body)
        return f"{error.get('code', '')}: {error.get('detail', '')}".strip(": ")

    def read(self, body: Any) -> list[Result]:
        if body["type"] != "search":
            raise ValueError(f"type {body['type']!r}")
        rows = body.get("web", {}).get("results", [])
        made = []
        for row in rows:
            parts = [row.get("description", ""), *row.get("extra_snippets", [])]
            made.append((row["url"], _plain(row.get("title", "")), _plain(" ".join(filter(None, parts))), None))
        return listed(made)
