"""A prefix is run once, its searches come from the record, and one that is not reproduced is named."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefix import Prefix, Replayed, replay

from score.interpreter import Interpreter, InterpreterSettings
from score.trajectory import Step, Trajectory, read_trajectories

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = InterpreterSettings(preload=["math"], step_timeout_s=5)


async def refuse(query: str) -> str:
    """Search."""
    raise RuntimeError("the network was asked")


def replayed(*steps: tuple[str, str], results: Any = None, then: str = "") -> tuple[Replayed, str]:
    """Replay (code, observation) pairs with a search that must not be called; returns what `then` prints after it."""

    async def run() -> tuple[Replayed, str]:
        async with Interpreter(SETTINGS) as interpreter:
            prefix = Prefix([Step(thought="t", code=code, observation=shown) for code, shown in steps], results)
            done = await replay(interpreter.open, {"web_search": refuse}, prefix)
            return done, (await done.session.run(then or "pass")).observation

    return asyncio.run(run())


def test_searches_of_a_prefix_are_answered_from_the_record() -> None:
    code = "r = web_search('x')\nprint('Found:', r)\nprint(web_search('y'))"
    done, printed = replayed((code, "Found: One\ntwo\nThree"), ("n = len(r)\nprint(n)", "7"), then="print(r)")
    assert done.difference is None and done.results == [["One\ntwo", "Three"], []]
    assert printed == "One\ntwo"
    again, printed = replayed((code, "Found: One\ntwo\nThree"), results=done.results, then="print(r)")
    assert again.difference is None and printed == "One\ntwo"


def test_after_the_prefix_the_search_is_the_real_one() -> None:
    _, printed = replayed(("print(web_search('x'))", "A page"), then="print(web_search('z'))")
    assert "the network was asked" in printed


def test_records_of_the_original_release_are_understood() -> None:
    """Its search prints its results itself, and of an error it keeps the message alone."""
    done, _ = replayed(
        ("web_search('x')", "Page: 0\nTitle: A"),
        ("web_search('x')\nweb_search('y')", "Page: 0\nTitle: A\nPage: 0\nTitle: B"),
        ("print(a)", "Error: name 'a' is not defined"),
        ("a = 1", "Execution successful, no output."),
    )
    assert done.difference is None and done.results[0] == ["Page: 0\nTitle: A"]


@pytest.mark.parametrize(
    "code, recorded",
    [("print(1 + 1)", "3"), ("print(len(web_search('x')))", "17"), ("import random\nprint(random.random())", "0.5")],
)
def test_a_prefix_that_prints_something_else_is_named(code: str, recorded: str) -> None:
    done, _ = replayed(("a = 1\nprint(a)", "1"), (code, recorded), ("print(a)", "1"))
    assert done.difference is not None and (done.difference.step, done.difference.recorded) == (2, recorded)


def test_recorded_prefixes_of_the_original_release_are_reproduced(shared_data: Path) -> None:
    """Of the real search trajectories: every prefix before the last step, with searches from the record."""
    file = shared_data / "original_release" / "search_mps_trajectories_head120.jsonl"
    found = [item for item in read_trajectories(file) if isinstance(item, Trajectory)]

    async def run() -> list[Any]:
        async with Interpreter(SETTINGS) as interpreter:
            outcomes = []
            for item in found[:60]:
                done = await replay(interpreter.open, {"web_search": refuse}, Prefix(item.steps[:-1]))
                await done.session.close()
                outcomes.append(done.difference)
            return outcomes

    differences = asyncio.run(run())
    assert sum(difference is None for difference in differences) >= 0.95 * len(differences), differences


def test_convert_parquet_leaves_out_and_lists_rows_whose_prefix_is_not_reproduced(tmp_path: Path) -> None:
    def row(number: int, shown: str) -> dict[str, Any]:
        turns = [
            {"role": "user", "content": f"question {number}"},
            {"role": "assistant", "content": "<thought>t</thought><code>a = 1\nprint(web_search('q'), a)</code>"},
            {"role": "user", "content": f"Observation: {shown}"},
        ]
        step = {"chosen": "<code>print(2)</code>", "rejected": "<code>print(3)</code>"}
        return {"prompt": turns, "gt_answer": "2", **step}

    (tmp_path / "rl.json").write_text(json.dumps([row(1, "A page 1"), row(2, "A page 2")]))
    done = subprocess.run(
        [
            sys.executable, "SCoRe_Script/data_preprocess/convert_parquet.py", "--input", str(tmp_path / "rl.json"),
            "--output", str(tmp_path / "out"), "--set", "tokenizer=null", "--set", "interpreter.preload=[math]",
        ],
        capture_output=True, text=True, cwd=ROOT / "RL", timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 left out: prefix not reproduced" in done.stdout
    frame = pd.read_parquet(tmp_path / "out" / "train.parquet")
    assert [info["question"] for info in frame["extra_info"]] == ["question 1"]
    assert json.loads(frame["extra_info"][0]["searches"]) == [["A page"]]
    listed = [json.loads(line) for line in (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()]
    assert [(row["question"], row["step"], row["recorded"]) for row in listed] == [("question 2", 1, "A page 2")]
