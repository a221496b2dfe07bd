"""Each back end against a local server that answers in its provider's documented form, and with its documented errors."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from tenacity import AsyncRetrying, Future, RetryCallState

from score.errors import SettingsError, ToolError
from score.search import Found, QueryTooLong, SearchClient, SearchSettings
from score.search.backends.http import PassingFailure
from score.search.client import _wait
from tests.provider_server import Answer, ProviderServer

KEYS = {"serper": "SERPER_API_KEY", "tavily": "TAVILY_API_KEY", "brave": "BRAVE_API_KEY"}
DDG_ROW = """<div class="result results_links"><div class="links_main links_deep result__body">
<h2 class="result__title"><a class="result__a" href="{url}">{title}</a></h2>
<a class="result__snippet" href="{url}">{text}</a></div></div>"""

# What each provider answers to a search that finds two pages.
TWO: dict[str, Any] = {
    "serper": {
        "searchParameters": {"q": "faust", "type": "search", "engine": "google"},
        "organic": [
            {"title": "Faust", "link": "https://a.org/1", "snippet": "A play by Goethe.", "position": 1},
            {"title": "Doctor Faustus", "link": "https://a.org/2", "snippet": "A play by Marlowe.", "position": 2},
        ],
        "credits": 1,
    },
    "tavily": {
        "query": "faust",
        "answer": None,
        "images": [],
        "results": [
            {"title": "Faust", "url": "https://a.org/1", "content": "A play by Goethe.", "score": 0.9, "raw_content": None},
            {"title": "Doctor Faustus", "url": "https://a.org/2", "content": "A play by Marlowe.", "score": 0.5},
        ],
        "response_time": 1.1,
    },
    "brave": {
        "type": "search",
        "query": {"original": "faust"},
        "web": {
            "type": "search",
            "results": [
                {"title": "Faust", "url": "https://a.org/1", "description": "A <strong>play</strong> by Goethe."},
                {"title": "Doctor Faustus", "url": "https://a.org/2", "description": "A play by Marlowe."},
            ],
        },
    },
    "searxng": {
        "query": "faust",
        "number_of_results": 0,
        "results": [
            {"title": "Faust", "url": "https://a.org/1", "content": "A play by Goethe.", "engine": "bing", "score": 4.0},
            {"title": "Doctor Faustus", "url": "https://a.org/2", "content": "A play by Marlowe.", "score": 1.0},
        ],
        "answers": [],
        "unresponsive_engines": [["google", "timeout"]],
    },
    "wikipedia": {
        "batchcomplete": True,
        "query": {
            "pages": [
                {"pageid": 2, "ns": 0, "title": "Doctor Faustus", "index": 2, "extract": "A play by Marlowe.", "fullurl": "https://a.org/2"},
                {"pageid": 1, "ns": 0, "title": "Faust", "index": 1, "extract": "A play by Goethe.", "fullurl": "https://a.org/1"},
            ]
        },
    },
    "retrieve": {
        "result": [
            [
                {"document": {"id": "7", "contents": '"Faust"\nA play by Goethe.', "url": "https://a.org/1"}, "score": 9.5},
                {"document": {"id": "9", "contents": '"Doctor Faustus"\nA play by Marlowe.', "url": "https://a.org/2"}, "score": 3.5},
            ]
        ]
    },
    "duckduckgo": "<html><body>"
    + DDG_ROW.format(url="https://a.org/1", title="Faust", text="A play by Goethe.")
    + DDG_ROW.format(url="https://a.org/2", title="Doctor Faustus", text="A play by Marlowe.")
    + "</body></html>",
}  # fmt: skip

NOTHING: dict[str, Any] = {
    "serper": {"searchParameters": {"q": "zzz"}, "organic": [], "credits": 1},
    "tavily": {"query": "zzz", "results": [], "response_time": 0.4},
    "brave": {"type": "search", "query": {"original": "zzz"}, "mixed": {}},
    "searxng": {"query": "zzz", "results": [], "unresponsive_engines": []},
    "wikipedia": {"batchcomplete": True},
    "retrieve": {"result": [[]]},
    "duckduckgo": '<html><body><div class="no-results">No  results.</div></body></html>',
}
BACKENDS = sorted(TWO)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS.values():
        monkeypatch.setenv(name, "the-key")


def settings(backend: str, address: str, **more: Any) -> SearchSettings:
    values = {"requests_per_s": 1000, "attempts": 1, "timeout_s": 5} | more
    return SearchSettings.model_validate({"backend": backend, "base_url": address, **values})


def search(backend: str, answers: Sequence[Answer], query: str = "faust", **more: Any) -> tuple[Found, ProviderServer]:
    async def ask(address: str) -> Found:
        client = SearchClient(settings(backend, address, **more))
        try:
            return await client.search(query)
        finally:
            await client.close()

    with ProviderServer(answers) as server:
        return asyncio.run(ask(server.address)), server


def failure(backend: str, *answers: Answer, **more: Any) -> str:
    with pytest.raises(ToolError) as caught:
        search(backend, answers, **more)
    assert "No results" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_are_ranked_with_address_title_and_passage(backend: str) -> None:
    found, _ = search(backend, [Answer(TWO[backend])])
    assert [(r.rank, r.url, r.title, r.passage) for r in found.results] == [
        (1, "https://a.org/1", "Faust", "A play by Goethe."),
        (2, "https://a.org/2", "Doctor Faustus", "A play by Marlowe."),
    ]
    assert found.text() == "Faust: A play by Goethe.\nDoctor Faustus: A play by Marlowe."


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_found_is_no_failure(backend: str) -> None:
    found, _ = search(backend, [Answer(NOTHING[backend])])
    assert found.nothing and found.text() == "No results."


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_more_results_are_shown_than_asked_for(backend: str) -> None:
    found, _ = search(backend, [Answer(TWO[backend])], results=1)
    assert [result.title for result in found.results] == ["Faust"]


@pytest.mark.parametrize(
    "backend, method, path, sent",
    [
        ("serper", "POST", "/", {"q": "faust", "num": 3}),
        ("tavily", "POST", "/", {"query": "faust", "max_results": 3, "search_depth": "basic"}),
        ("retrieve", "POST", "/retrieve", {"queries": ["faust"], "topk": 3, "return_scores": True}),
        ("brave", "GET", "/", {"q": "faust", "count": "3"}),
        ("searxng", "GET", "/search", {"q": "faust", "format": "json"}),
        ("wikipedia", "GET", "/", {"action": "query", "gsrsearch": "faust", "gsrlimit": "3", "format": "json"}),
        ("duckduckgo", "POST", "/", {"q": "faust"}),
    ],
)  # fmt: skip
def test_the_request_is_the_documented_one(backend: str, method: str, path: str, sent: dict[str, Any]) -> None:
    _, server = search(backend, [Answer(TWO[backend])])
    (asked,) = server.asked
    seen = asked.json if asked.json is not None else asked.query
    assert (asked.method, asked.path) == (method, path) and sent.items() <= seen.items()
    wanted = {
        "serper": ("x-api-key", "the-key"),
        "tavily": ("authorization", "Bearer the-key"),
        "brave": ("x-subscription-token", "the-key"),
    }
    if backend in wanted:
        name, value = wanted[backend]
        assert asked.headers[name] == value
    if backend == "wikipedia":
        assert "score-toolkit" in asked.headers["user-agent"]


@pytest.mark.parametrize("backend", sorted(KEYS))
def test_a_missing_key_is_named_at_the_start(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS[backend], "")
    with pytest.raises(SettingsError, match=KEYS[backend]):
        SearchClient(SearchSettings(backend=backend))  # type: ignore[arg-type]


REFUSALS = [
    ("serper", Answer({"message": "Unauthorized.", "statusCode": 403}, 403), "Unauthorized. (is the key in SERPER_API_KEY"),
    ("serper", Answer({"message": "Not enough credits", "statusCode": 400}, 400), "400: Not enough credits"),
    ("tavily", Answer({"detail": {"error": "Unauthorized: missing or invalid API key."}}, 401), "TAVILY_API_KEY"),
    ("tavily", Answer({"detail": {"error": "Query is too long. Max query length is 400 characters."}}, 400), "too long"),
    ("tavily", Answer({"detail": {"error": "This request exceeds your plan's set usage limit."}}, 432), "usage limit"),
    (
        "brave",
        Answer({"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "detail": "It is invalid.", "status": 422}}, 422),
        "422: SUBSCRIPTION_TOKEN_INVALID: It is invalid.",
    ),
    ("searxng", Answer("<html><h1>Forbidden</h1></html>", 403), "search.formats"),
    ("searxng", Answer({"results": [], "unresponsive_engines": [["google", "timeout"], ["bing", "CAPTCHA"]]}), "google: timeout"),
    ("wikipedia", Answer({"error": {"code": "cirrussearch-query-too-long", "info": "Search request is longer than 300."}}), "too-long"),
    ("wikipedia", Answer({"error": {"code": "maxlag", "info": "Waiting for a host: 6 seconds lagged"}}), "maxlag"),
    ("retrieve", Answer({"detail": "the index is not loaded"}, 500), "the index is not loaded"),
    ("duckduckgo", Answer("", 202), "answered 202"),
    ("duckduckgo", Answer("<html><div class='anomaly-modal'>Select all ducks</div></html>"), "whether we are human"),
    ("duckduckgo", Answer("<html>a page of something else</html>"), "not one of results"),
    ("duckduckgo", Answer(""), "not one of results"),
    ("duckduckgo", Answer("no", 403), "answered 403"),
]  # fmt: skip


@pytest.mark.parametrize("backend, answer, said", REFUSALS, ids=[f"{r[0]}-{r[1].status}-{r[2][:18]}" for r in REFUSALS])
def test_a_refusal_fails_with_the_providers_own_words(backend: str, answer: Answer, said: str) -> None:
    message = failure(backend, answer)
    assert said in message and backend in message


JSON_BACKENDS = [name for name in BACKENDS if name != "duckduckgo"]


@pytest.mark.parametrize("backend", JSON_BACKENDS)
@pytest.mark.parametrize(
    "answer, said",
    [
        (Answer("<!doctype html><title>Log in</title>"), "a page of HTML instead of JSON"),
        (Answer(""), "an empty body instead of JSON"),
        (Answer({"unexpected": True}), "not its documented one"),
        (Answer([1, 2]), "not its documented one"),
        (Answer({"message": "overloaded"}, 503), "503"),
        (Answer("", 202), "202"),
        (Answer("Too long", 414), "414"),
    ],
    ids=["html", "empty", "other-form", "list", "503", "202", "414"],
)
def test_an_answer_that_is_none_is_a_failure(backend: str, answer: Answer, said: str) -> None:
    assert said in failure(backend, answer)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limit_is_waited_for_as_long_as_the_server_asks(backend: str) -> None:
    status = 202 if backend == "duckduckgo" else 429  # which sends no Retry-After
    began = time.monotonic()
    found, server = search(backend, [Answer({}, status, {"Retry-After": "1"}), Answer(TWO[backend])], attempts=3)
    assert len(found.results) == 2 and len(server.asked) == 2
    assert backend == "duckduckgo" or time.monotonic() - began >= 1.0


def test_braves_own_header_says_how_long_to_wait() -> None:
    limit = Answer(
        {"type": "ErrorResponse", "error": {"code": "RATE_LIMITED"}}, 429, {"X-RateLimit-Reset": "1, 1419704"}
    )
    began = time.monotonic()
    search("brave", [limit, Answer(TWO["brave"])], attempts=2)
    assert 1.0 <= time.monotonic() - began < 10


def test_a_server_that_asks_for_no_wait_is_not_asked_again_at_once() -> None:
    def waits(asked: float | None) -> list[float]:
        state = RetryCallState(AsyncRetrying(), None, (), {})
        state.attempt_number = 3
        state.outcome = Future(3)
        state.outcome.set_exception(PassingFailure("HTTP 429", asked))
        return [_wait(state) for _ in range(200)]

    for asked in (0.0, None):  # 0.0 also for a date that has passed
        assert 0.8 < sum(waits(asked)) / 200 < 1.2  # half of the third back-off of 2 s
    assert min(waits(1.5)) == 1.5


def test_a_date_in_retry_after_is_understood() -> None:
    past = Answer("", 429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    found, _ = search("serper", [past, Answer(TWO["serper"])], attempts=2)
    assert not found.nothing


def test_a_server_that_asks_for_an_hour_is_given_up_at_once() -> None:
    began = time.monotonic()
    assert "429" in failure("serper", Answer("", 429, {"Retry-After": "3600"}), attempts=5)
    assert time.monotonic() - began < 10


def test_a_wrong_key_is_not_tried_again() -> None:
    with ProviderServer([Answer({"message": "Unauthorized."}, 403)]) as server:
        client = SearchClient(settings("serper", server.address, attempts=5))
        with pytest.raises(ToolError):
            asyncio.run(client.search("faust"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_server_that_is_down_or_slow_is_named(backend: str) -> None:
    with pytest.raises(ToolError, match="cannot be reached"):
        asyncio.run(SearchClient(settings(backend, "http://127.0.0.1:9")).search("faust"))
    assert "did not answer within 1 s" in failure(backend, Answer(TWO[backend], delay_s=3), timeout_s=1)


def test_all_tasks_wait_when_a_server_asks_for_it() -> None:
    async def ask(address: str) -> float:
        client = SearchClient(settings("serper", address, attempts=2))
        first = asyncio.ensure_future(client.search("one"))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await client.search("two")
        waited = time.monotonic() - began
        await first
        return waited

    with ProviderServer([Answer("", 429, {"Retry-After": "1"}), Answer(TWO["serper"])]) as server:
        assert asyncio.run(ask(server.address)) > 0.5


def test_requests_keep_to_the_rate() -> None:
    async def ask(address: str) -> float:
        client = SearchClient(settings("serper", address, requests_per_s=4))
        began = time.monotonic()
        await asyncio.gather(*(client.search(f"query {number}") for number in range(8)))
        return time.monotonic() - began

    with ProviderServer([Answer(TWO["serper"])]) as server:
        assert asyncio.run(ask(server.address)) >= 0.9  # four at once, then one every quarter of a second


@pytest.mark.parametrize(
    "backend, query", [("tavily", "x" * 401), ("brave", "x " * 51), ("wikipedia", "word " * 61)]
)  # fmt: skip
def test_a_query_that_is_too_long_is_the_askers_mistake(backend: str, query: str) -> None:
    with pytest.raises(QueryTooLong, match="shorten it"):
        search(backend, [Answer(TWO[backend])], query=query)


def test_documents_without_scores_are_read_too() -> None:
    plain = [
        [{"id": "7", "contents": '"Faust"\nA play by Goethe.'}, {"title": "X", "text": "Y", "url": "https://a.org"}]
    ]
    found, _ = search("retrieve", [Answer({"result": plain})])
    assert [(r.title, r.passage, r.score) for r in found.results] == [
        ("Faust", "A play by Goethe.", None),
        ("X", "Y", None),
    ]


def test_a_key_for_a_gateway_is_sent_as_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "let-me-in")
    _, server = search("retrieve", [Answer(TWO["retrieve"])], api_key_env="GATEWAY_KEY")
    assert server.asked[0].headers["authorization"] == "Bearer let-me-in"


def test_a_key_is_not_carried_to_another_address() -> None:
    with ProviderServer([Answer(TWO["serper"])]) as other:
        moved = Answer("", 302, {"Location": other.address})
        assert "302" in failure("serper", moved)
    assert not other.asked


def test_one_client_serves_one_event_loop_after_another() -> None:
    with ProviderServer([Answer(TWO["serper"])]) as server:
        client = SearchClient(settings("serper", server.address))
        assert all(len(asyncio.run(client.search("faust")).results) == 2 for _ in range(2))
