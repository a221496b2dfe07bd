"""The cache of searches: what it keeps, for how long, and many processes at once."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from score.errors import SettingsError, ToolError
from score.search import CacheSettings, Found, Result, SearchClient, SearchSettings
from score.search.cache import SearchCache
from tests.provider_server import Answer, ProviderServer

ROOT = Path(__file__).resolve().parents[3]
FAUST = Answer({"query": "faust", "results": [{"title": "Faust", "url": "u", "content": "A play."}]})
NOTHING = Answer({"query": "zzz", "results": []})
DOWN = Answer("", 500)


def search_all(answers: list[Answer], queries: list[str], path: Path, **cache: Any) -> tuple[list[Found], int]:
    """The outcomes, and how many requests were sent."""

    async def ask(address: str) -> list[Found]:
        settings = {"backend": "searxng", "base_url": address, "attempts": 1, "cache": {"path": path} | cache}
        client = SearchClient(SearchSettings.model_validate(settings))
        found = [await client.search(query) for query in queries]
        await client.close()
        return found

    with ProviderServer(answers) as server:
        return asyncio.run(ask(server.address)), len(server.asked)


def test_a_search_is_sent_once(tmp_path: Path) -> None:
    (first, second), sent = search_all([FAUST], ["faust", "faust"], tmp_path / "cache.sqlite")
    assert first == second and not first.nothing and sent == 1


def test_queries_that_differ_in_case_and_spacing_are_one_if_the_settings_say_so(tmp_path: Path) -> None:
    queries = ["Faust  play", " faust play"]
    assert search_all([FAUST], queries, tmp_path / "one.sqlite")[1] == 1
    assert search_all([FAUST], queries, tmp_path / "two.sqlite", normalise=False)[1] == 2


def test_the_same_question_at_the_same_time_is_sent_once(tmp_path: Path) -> None:
    async def ask(address: str) -> None:
        settings = {"backend": "searxng", "base_url": address, "cache": {"path": tmp_path / "cache.sqlite"}}
        client = SearchClient(SearchSettings.model_validate(settings))
        await asyncio.gather(*(client.search("faust") for _ in range(16)))

    with ProviderServer([Answer(FAUST.body, delay_s=0.2)]) as server:
        asyncio.run(ask(server.address))
    assert len(server.asked) == 1


def test_nothing_found_is_kept_for_its_own_shorter_time(tmp_path: Path) -> None:
    assert search_all([NOTHING], ["zzz", "zzz"], tmp_path / "kept.sqlite")[1] == 1
    assert search_all([NOTHING], ["zzz", "zzz"], tmp_path / "not.sqlite", nothing_found_expire_h=0)[1] == 2


def test_a_failure_is_never_kept(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        search_all([DOWN], ["faust"], tmp_path / "cache.sqlite")
    (found,), sent = search_all([FAUST], ["faust"], tmp_path / "cache.sqlite")
    assert not found.nothing and sent == 1


def test_what_is_too_old_is_asked_again(tmp_path: Path) -> None:
    cache = SearchCache(tmp_path / "cache.sqlite", CacheSettings(expire_h=1))
    key = cache.key("searxng", "u", 3, "faust")
    cache.put(key, "faust", (Result(1, "u", "Faust", "A play."),))
    assert cache.get(key) == (Result(1, "u", "Faust", "A play."),)
    with sqlite3.connect(tmp_path / "cache.sqlite") as connection:
        connection.execute("UPDATE searches SET stored = ?", (time.time() - 3601,))
    assert cache.get(key) is None


def test_the_file_does_not_outgrow_its_size_and_the_oldest_go_first(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    cache = SearchCache(path, CacheSettings(size_mb=0.5))
    keys = [cache.key("searxng", "u", 3, f"query {number}") for number in range(200)]
    for key in keys:
        cache.put(key, key, (Result(1, "u", "T", "x" * 10_000),))
    cache.close()
    assert path.stat().st_size < 0.7e6
    known = [cache.get(key) is not None for key in keys]
    assert known[-1] and not known[0] and sum(known) >= 20 and known == sorted(known)


def test_a_file_that_is_no_cache_stops_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite").write_text(
        "this is a text and no database, and it is long enough to be read as one\n" * 9
    )
    settings = {"backend": "searxng", "cache": {"path": tmp_path / "cache.sqlite"}}
    with pytest.raises(SettingsError, match="cannot be used as a cache"):
        SearchClient(SearchSettings.model_validate(settings))


WORKER = """
import json, sys
from pathlib import Path
from score.search import CacheSettings, Result
from score.search.cache import SearchCache
path, worker = Path(sys.argv[1]), int(sys.argv[2])
cache = SearchCache(path, CacheSettings())
wrong = 0
for number in range(150):
    own, shared = cache.key("b", "u", 3, f"own {worker} {number}"), cache.key("b", "u", 3, f"shared {number}")
    cache.put(own, "own", (Result(1, f"{worker}", "T", "own"),))
    cache.put(shared, "shared", (Result(1, f"{number}", "T", "shared"),))
    wrong += cache.get(own) != (Result(1, f"{worker}", "T", "own"),)
    wrong += cache.get(shared) != (Result(1, f"{number}", "T", "shared"),)
print(json.dumps(wrong))
"""


def test_eight_processes_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(path), str(number)], cwd=ROOT, stdout=subprocess.PIPE)
        for number in range(8)
    ]
    assert [json.loads(worker.communicate()[0]) for worker in workers] == [0] * 8
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT COUNT(*) FROM searches").fetchone() == (8 * 150 + 150,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
