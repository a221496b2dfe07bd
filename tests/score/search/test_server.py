"""POST /retrieve over a local index: for our own client, and in the shapes that Search-R1's clients read."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from score.search import SearchClient, SearchSettings
from score.search.local_index import LocalIndex

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    {"title": "Faust", "text": "A play by Goethe.", "url": "https://a.org/1"},
    {"title": "Hamlet", "text": "A play by Shakespeare about a prince."},
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def address(corpus: Path, start_server: Callable[..., str]) -> str:
    return start_server("-m", "score.search", "serve", "--corpus", str(corpus)).removesuffix("/v1")


def ask(address: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{address}/retrieve", json=body)


def test_the_dense_client_finds_over_the_server_what_the_index_finds(address: str, corpus: Path) -> None:
    client = SearchClient(SearchSettings(backend="retrieve", base_url=address))
    for query in ("play goethe", "prince", "zzz"):
        found = asyncio.run(client.search(query))
        assert list(found.results) == LocalIndex(corpus).search(query, 3)


def test_with_scores_it_answers_as_search_r1s_server_does(address: str) -> None:
    """verl's and Search-R1's clients read `["result"][i][j]["document"]["contents"]`: the first line is the title."""
    result = ask(address, queries=["goethe", "zzz", "play"], topk=2, return_scores=True).json()["result"]
    assert [len(found) for found in result] == [1, 0, 2]
    title, text = result[0][0]["document"]["contents"].split("\n", 1)
    assert (title, text) == ('"Faust"', "A play by Goethe.") and result[0][0]["score"] > 0


def test_without_scores_it_answers_the_documents_themselves(address: str) -> None:
    (found,) = ask(address, queries=["goethe"], topk=3).json()["result"]
    assert found[0]["contents"] == '"Faust"\nA play by Goethe.' and "score" not in found[0]


@pytest.mark.parametrize("body", [{}, {"queries": "one text"}, {"queries": ["a"], "topk": 0}, {"queries": [1]}])
def test_a_request_of_another_form_is_refused_with_the_reason(address: str, body: dict[str, Any]) -> None:
    answer = ask(address, **body)
    assert answer.status_code == 422 and answer.json()["detail"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "score.search", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_the_command_line_tells_the_three_outcomes_apart(corpus: Path) -> None:
    found = json.loads(run("query", "goethe", "--corpus", str(corpus), "--json").stdout)
    assert found["outcome"] == "results" and found["results"][0]["title"] == "Faust"
    nothing = run("query", "zzz", "--corpus", str(corpus), "--json")
    assert nothing.returncode == 0 and json.loads(nothing.stdout)["outcome"] == "nothing found"
    down = ("--set", "backend=searxng", "--set", "base_url=http://127.0.0.1:9", "--set", "attempts=1")
    failed = run("query", "zzz", *down, "--json")
    assert failed.returncode == 1 and json.loads(failed.stdout)["outcome"] == "failed" and "reached" in failed.stderr
    wrong = run("query", "zzz", "--set", "backend=yahoo")
    assert wrong.returncode == 2 and "search.backend" in wrong.stderr
