"""A server that speaks Search-R1's retrieval protocol over our local index, for verl's and Search-R1's users.

POST /retrieve {"queries": [text, ...], "topk"?: k, "return_scores"?: bool} answers {"result": [[...], ...]}, one list a
query, best first: {"document": {...}, "score": s} with `return_scores`, else the documents alone. A document is
{"contents", "title", "text", "url"}, where `contents` is the title in quotation marks, a line break, and the
text, as in Search-R1's corpora. A query that nothing fits has an empty list. GET /health tells how many passages
there are.
"""

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from score.errors import ToolError
from score.search.local_index import LocalIndex
from score.search.results import Result
from score.tasks import problem_in


class RetrieveRequest(BaseModel):
    """Other keys are let through unread, as clients send some."""

    model_config = ConfigDict(extra="ignore")

    queries: list[str]
    topk: int | None = Field(default=None, gt=0)
    return_scores: bool = False


def document(result: Result) -> dict[str, Any]:
    contents = f'"{result.title}"\n{result.passage}' if result.title else result.passage
    return {"contents": contents, "title": result.title, "text": result.passage, "url": result.url}


def _reply(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status_code=status, media_type="application/json")


def create_app(index: LocalIndex, topk: int = 3) -> FastAPI:
    """The server's routes; `topk` is for requests that do not say it."""
    app = FastAPI(title="score.search", docs_url=None, redoc_url=None, openapi_url=None)

    def retrieve(asked: RetrieveRequest) -> Response:
        result: list[list[Any]] = []
        for query in asked.queries:
            found = index.search(query, asked.topk or topk)
            if asked.return_scores:
                result.append([{"document": document(one), "score": one.score} for one in found])
            else:
                result.append([document(one) for one in found])
        return _reply({"result": result})

    @app.get("/health")
    async def health() -> Response:
        return _reply({"status": "ok", "passages": len(index.passages)})

    @app.post("/retrieve")
    async def retrieve_route(http: Request) -> Response:
        from fastapi.concurrency import run_in_threadpool

        try:
            asked = RetrieveRequest.model_validate_json(await http.body())
        except ValidationError as error:
            return _reply({"detail": problem_in(error)}, 422)
        try:
            return await run_in_threadpool(retrieve, asked)
        except ToolError as error:
            return _reply({"detail": str(error)}, 500)

    return app
