"""Wikipedia through the MediaWiki API: the articles that its search finds, with their introductions.

Errors come with status 200 as {"error": {"code", "info"}}. Wikimedia asks for a User-Agent that names the client, and
its search takes 300 characters. `base_url` may be any MediaWiki's api.php (with the TextExtracts extension)."""

from typing import Any

import httpx

from score.errors import ToolError
from score.search.backends.http import HttpBackend, PassingFailure, listed
from score.search.results import Result

PASSING_CODES = frozenset(
    {"maxlag", "ratelimited", "readonly", "internal_api_error_DBQueryError", "cirrussearch-too-busy-error"}
)


class Wikipedia(HttpBackend):
    name = "wikipedia"
    default_url = "https://en.wikipedia.org/w/api.php"
    requests_per_s = 5.0
    max_query_chars = 300

    def new_client(self) -> httpx.AsyncClient:
        client = super().new_client()
        client.headers["User-Agent"] = "score-toolkit/0.1 (research on language-model agents) httpx"
        return client

    def request(self, query: str, count: int) -> dict[str, Any]:
        params = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "generator": "search",
            "gsrsearch": query,
            "gsrlimit": min(count, 20),  # as many introductions as one request may ask for
            "prop": "extracts|info",
            "exintro": "1",
            "explaintext": "1",
            "exlimit": "max",
            "inprop": "url",
        }
        return {"method": "GET", "url": self.url, "params": params}

    def read(self, body: Any) -> list[Result]:
        if error := body.get("error"):
            message = f"{self}: {error['code']}: {error.get('info', '')}"
            raise PassingFailure(message) if error["code"] in PASSING_CODES else ToolError(message)
        if "query" not in body and "batchcomplete" not in body:
            raise ValueError("neither `query` nor `batchcomplete`")
        pages = sorted(body.get("query", {}).get("pages", []), key=lambda page: page["index"])
        return listed([(p.get("fullurl", ""), p["title"], p.get("extract", ""), None) for p in pages])
