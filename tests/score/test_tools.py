"""`web_search` inside the interpreter: what it shows, what is recorded with the step, and how it fails."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from score.episode import Episode
from score.errors import ToolError
from score.interpreter import Interpreter, InterpreterSettings
from score.search import SearchSettings
from score.tasks import Task
from score.tools import make_tools, run_code
from score.trajectory import Step, Trajectory, mps_row, parse_row
from tests.provider_server import Answer, ProviderServer

ROWS = [
    {"title": "Tamo Melk", "text": "Tamo Melk is a baker born in Norwick."},
    {"title": "Norwick", "text": "The mayor of Norwick is Yara Brisk."},
]


def run_steps(search: dict[str, Any], *codes: str) -> list[Step]:
    async def scene() -> list[Step]:
        episode = Episode("Who?", max_steps=8)
        settings = InterpreterSettings(preload=["math"], snapshots=False)
        async with Interpreter(settings) as interpreter:
            tools = make_tools(SearchSettings.model_validate(search))
            async with await interpreter.open(tools) as session:
                for code in codes:
                    episode.add(Step(thought="I search.", code=code), await run_code(session, code))
        return episode.steps

    return asyncio.run(scene())


@pytest.fixture
def local(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return {"backend": "local", "corpus": tmp_path / "c.jsonl", "results": 1}


def test_what_a_search_found_is_recorded_with_its_step(local: dict[str, Any]) -> None:
    two = "a = web_search('Tamo Melk')\nprint(a)\nprint(web_search('mayor'))"
    first, second, third = run_steps(local, two, "print(1)", "print(web_search('zzz'))")
    assert first.observation == f"Tamo Melk: {ROWS[0]['text']}\nNorwick: {ROWS[1]['text']}"
    assert first.searches == [
        {
            "tool": "web_search",
            "query": query,
            "results": [{"rank": 1, "url": "", "title": row["title"], "passage": row["text"]}],
        }
        for query, row in zip(("Tamo Melk", "mayor"), ROWS, strict=True)
    ]
    assert second.searches is None
    assert third.observation == "No results." and third.searches == [
        {"tool": "web_search", "query": "zzz", "results": []}
    ]


def test_recorded_searches_survive_the_file_and_steps_without_any_have_no_key(local: dict[str, Any]) -> None:
    steps = run_steps(local, "print(web_search('mayor'))", "print(1)")
    task = Task(id="1", question="Who?", true_answer="Yara Brisk")
    row = mps_row(Trajectory(task=task, plan="I search.", steps=steps))
    assert "searches" in row["steps"][1] and "searches" not in row["steps"][2]
    assert parse_row(json.loads(json.dumps(row))).steps == steps


def test_a_search_that_fails_is_an_exception_for_the_code_and_no_step_for_us() -> None:
    caught = "try:\n    print(web_search('a'))\nexcept Exception as error:\n    print(error)"
    with ProviderServer([Answer({"message": "overloaded"}, 503)]) as server:
        search = {"backend": "searxng", "base_url": server.address, "attempts": 1}
        for code in ("print(web_search('a'))", caught):
            with pytest.raises(ToolError, match="503: overloaded"):
                run_steps(search, code)


def test_a_query_that_is_empty_or_too_long_is_the_models_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAVILY_API_KEY", "the-key")
    steps = run_steps({"backend": "tavily"}, "print(web_search(' '))", "print(web_search('x' * 401))")
    assert [step.observation.split(":")[0] for step in steps] == ["Error", "Error"]
    assert "401 characters" in steps[1].observation
