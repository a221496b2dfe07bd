"""A retrieval server that speaks Search-R1's protocol: POST /retrieve {"queries", "topk", "return_scores"}.

It answers {"result": [[...]]}, one list a query: `{"document": {...}, "score": s}` with scores, the documents
themselves without. We ask for scores and read both: some servers pass over the wish. A document holds `contents` (the
first line is its title), or `title` and `text`.
"""

from typing import Any

from score.errors import DataError
from score.search.backends.http import HttpBackend, listed
from score.search.corpus import passage_in
from score.search.results import Result


class Retrieve(HttpBackend):
    name = "retrieve"
    default_url = "http://127.0.0.1:8000/retrieve"
    requests_per_s = 1000.0

    def request(self, query: str, count: int) -> dict[str, Any]:
        address = self.url.rstrip("/").removesuffix("/retrieve") + "/retrieve"
        return {"method": "POST", "url": address, "json": {"queries": [query], "topk": count, "return_scores": True}}

    def read(self, body: Any) -> list[Result]:
        (found,) = body["result"]
        made = []
        for item in found:
            document, score = (item["document"], item.get("score")) if "document" in item else (item, None)
            try:
                passage = passage_in(document, "a document")
            except DataError as error:
                raise ValueError(str(error)) from None
            made.append((passage["url"], passage["title"], passage["text"], score))
        return listed(made)
