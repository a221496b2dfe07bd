"""A suite in one command, killed and resumed; the three styles; the released trajectories through the same path."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from styles import answer_in

from score.miniature.student import make_student
from score.miniature.world import write_world
from tests.chat_server import ChatServer

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ("math500", "aime24", "aime25", "olymmath")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., str]) -> dict[str, str]:
    """A served student with random weights, and a data folder whose four mathematics benchmarks are miniature tasks."""
    folder = tmp_path_factory.mktemp("suite")
    write_world(folder / "world", 0, {"bc": 40, "mps": 20, "validation": 10, "test": 24})
    make_student(folder / "world", folder / "student", seed=0)
    lines = (folder / "world" / "test.jsonl").read_text().splitlines(keepends=True)
    (folder / "data").mkdir()
    for number, name in enumerate(BENCHMARKS):
        (folder / "data" / f"{name}.jsonl").write_text("".join(lines[6 * number : 6 * number + 6]))
    address = start_server("-m", "score.serving", "--model", str(folder / "student"))
    return os.environ | {"SCORE_RUN": str(folder), "SCORE_STUDENT_URL": address, "SCORE_EXPERT_URL": address}


def command(run: dict[str, str], output: Path, *arguments: str) -> list[str]:
    settings = {
        "output": output, "inference": "../configs/miniature/inference.yaml", "endpoints.judge": "null",
        "inference.data": f"{run['SCORE_RUN']}/data", "inference.max_steps": 2, "inference.samples": 2,
        "inference.endpoints.student.sampling.max_tokens": 8, "inference.concurrency": 2,
    }  # fmt: skip
    options = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    return [sys.executable, "evaluate.py", "--suite", "math", "--name", "tiny", *options, *arguments]


def evaluate(run: dict[str, str], output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(run, output, *arguments), cwd=ROOT / "inference", env=run, capture_output=True, text=True, timeout=200
    )


def figures(path: Path) -> dict[str, Any]:
    """The report without what a clock says."""
    text = re.sub(r'"seconds_per_task": [^,]+', '"seconds_per_task": 0', path.read_text())
    report: dict[str, Any] = json.loads(text)
    del report["costs"]  # a killed run pays for calls whose rows it lost
    return report


def test_a_suite_that_is_killed_and_resumed_gives_the_same_table(run: dict[str, str], tmp_path: Path) -> None:
    whole = evaluate(run, tmp_path / "whole", "--json", f"{tmp_path}/whole.json")
    assert whole.returncode in (0, 3), whole.stderr
    running = subprocess.Popen(
        command(run, tmp_path / "cut"), cwd=ROOT / "inference", env=run, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    second, deadline = tmp_path / "cut" / "tiny" / "aime24.jsonl", time.monotonic() + 100
    while not (second.is_file() and len(second.read_text().splitlines()) >= 5):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    resumed = evaluate(run, tmp_path / "cut", "--json", f"{tmp_path}/cut.json")
    assert resumed.returncode == whole.returncode, resumed.stderr
    assert figures(tmp_path / "whole.json") == figures(tmp_path / "cut.json")
    scored = evaluate(
        run | {"SCORE_STUDENT_URL": "http://127.0.0.1:9/v1"},
        tmp_path / "cut",
        "--score-only",
        "--json",
        f"{tmp_path}/2.json",
    )
    assert scored.returncode == whole.returncode and figures(tmp_path / "2.json") == figures(tmp_path / "cut.json")
    report = figures(tmp_path / "whole.json")
    assert list(report["kinds"]) == list(BENCHMARKS)
    assert {(score["tiny"]["n"], score["tiny"]["rows"]) for score in report["kinds"].values()} == {(6, 12)}
    manifest = json.loads((tmp_path / "cut" / "tiny" / "aime24.jsonl.manifest.json").read_text())
    assert len(manifest["counts"]["benchmark"]["hash"]) == 64 and manifest["counts"]["benchmark"]["name"] == "aime24"
    assert manifest["served"]["student"] and manifest["git"]
    assert manifest["settings"]["endpoints"]["student"]["sampling"]["temperature"] == 0.6


def test_a_suite_goes_on_without_what_cannot_be_had_and_says_so(run: dict[str, str], tmp_path: Path) -> None:
    data = Path(run["SCORE_RUN"], "data")
    (data / "hle.jsonl").write_text((data / "math500.jsonl").read_text())
    deepsearch = [*command(run, tmp_path / "out"), "--json", f"{tmp_path}/r.json", "--suite", "deepsearch"]
    offline = run | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ran = subprocess.run(
        deepsearch, cwd=ROOT / "inference", env=offline, capture_output=True, text=True, timeout=200
    )  # fmt: skip
    assert ran.returncode == 3, ran.stderr
    assert ran.stderr.count("cannot be had") == 3 and "accept its terms" in ran.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert list(report["kinds"]) == ["hle"] and report["kinds"]["hle"]["tiny"]["rows"] == 12


def test_a_benchmark_made_for_search_is_not_answered_without_it(run: dict[str, str], tmp_path: Path) -> None:
    ran = evaluate(run, tmp_path / "out", "--suite", "all", "--set", "inference.search.backend=none")
    assert ran.returncode == 2 and "hotpotqa is made for search, but search.backend is `none`" in ran.stderr
    assert not (tmp_path / "out").exists()  # math would have been first
    data = Path(run["SCORE_RUN"], "data")
    (data / "musique.jsonl").write_text((data / "math500.jsonl").read_text())
    one = [sys.executable, "inference_api.py", "--config", "../configs/miniature/inference.yaml", "--limit", "1", "--set",
           f"output={tmp_path}/one.jsonl", "--set", f"data={data}", "--set", "tasks=musique", "--set", "search.backend=none",
           "--set", "endpoints.student.sampling.max_tokens=8", "--set", "max_steps=1"]  # fmt: skip
    for meant, code in (
        (["style=student"], 2),
        (["without_search=true"], 0),
        (["style=chat", "without_search=false"], 0),
    ):
        options = [text for setting in meant for text in ("--set", setting)]
        again = ["--accept-changes", *options] if code == 0 else options
        ran = subprocess.run(
            [*one, *again], cwd=ROOT / "inference", env=run, capture_output=True, text=True, timeout=100
        )  # fmt: skip
        assert ran.returncode == code, ran.stderr
        assert ("made for search" in ran.stderr) == (code == 2)


def answers(tmp_path: Path, replies: list[str], *arguments: str) -> tuple[list[dict[str, Any]], ChatServer]:
    """The rows that a server which says these replies gives on two tasks, and the server, which remembers."""
    tasks = [{"id": str(n), "question": f"What is {n} + 1?", "true_answer": str(n + 1)} for n in range(2)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    server = ChatServer(["OK", *replies])
    ran = subprocess.run(
        [sys.executable, "inference_api.py", "--config", "../configs/miniature/inference.yaml", "--set",
         f"tasks={tmp_path}/tasks.jsonl", "--set", f"output={tmp_path}/out.jsonl", "--set", "search.backend=none",
         "--set", "concurrency=1", "--set", "max_steps=2", *arguments],
        cwd=ROOT / "inference", env=os.environ | {"SCORE_RUN": str(tmp_path), "SCORE_STUDENT_URL": server.address,
                                                  "SCORE_EXPERT_URL": server.address},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    server.close()
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()], server


def test_a_teacher_answers_in_the_same_loop_with_its_own_prompt(tmp_path: Path) -> None:
    replies = [
        "First Thought: I add.", "Thought: I add.\nCode:\n```python\nx = 0 + 1\nprint(x)\n```",
        "Thought: It is 1.\nCode:\n```python\nfinal_answer_print(x)\n```",
        "First Thought: I add.", "Thought: I hand in.\nCode:\n```python\nfinal_answer_print(2)\n```",
    ]  # fmt: skip
    rows, server = answers(tmp_path, replies, "--set", "style=teacher", "--set", "answerer=teacher")
    assert [(row["gen_answer"], row["ended"]) for row in rows] == [("1", "answered"), ("2", "answered")]
    assert rows[0]["messages"][1]["content"] == "<first_thought>I add.</first_thought>"
    last = server.asked[3]
    assert last[0]["role"] == "system" and "final_answer_print(answer)" in last[0]["content"]
    assert "web_search" not in last[0]["content"] and last[-1]["content"].startswith("Observation: 1")
    assert "4" not in last[1]["content"].replace("What is", "")


def test_a_plain_chat_model_answers_in_one_turn_and_may_give_no_answer(tmp_path: Path) -> None:
    replies = ["<think>1?</think> One more is \\boxed{1}.", "I do not know."]
    rows, server = answers(tmp_path, replies, "--set", "style=chat")
    assert [row["gen_answer"] for row in rows] == ["1", None]
    assert len(server.asked) == 3 and rows[1]["messages"][1]["content"] == "I do not know."


@pytest.mark.parametrize(
    "reply, answer",
    [
        ("The area is \\boxed{12}.\nSo the side is \\boxed{3}.", "3"),
        ("It is $x=\\boxed{2}$. Answer: 5", "2"),
        ("The roots are $\\boxed{-1}$ and $\\boxed{3}$.", "-1, 3"),
        ("Not \\boxed{3}, rather \\boxed{2}", "\\boxed{3}, rather \\boxed{2}"),
        ("**Answer:** 5", "5"),
        ("\\boxed{}", None),
    ],
)
def test_a_chat_models_answer_is_its_last_box_with_those_that_belong_to_it(reply: str, answer: str | None) -> None:
    assert answer_in(reply) == answer


def test_every_try_is_kept_and_the_first_one_is_the_row(tmp_path: Path) -> None:
    replies = ["Hm.", "Answer: 1", "Well.", "No.", "Hm."]
    rows, _ = answers(tmp_path, replies, "--set", "style=chat", "--set", "max_tries=3")
    assert [row["gen_answer"] for row in rows] == [None, None]
    assert [[one["gen_answer"] for one in row["more_tries"]] for row in rows] == [["1"], [None, None]]


# The one row of 251 on which the rules and the release's judge differ: the options are "A. Adjust pH to weakly alkaline",
# "B. Inject morphine without dilution" ..., the reference is A, the answer is option B, and the release called it right.
RELEASE_IS_WRONG = {"B. Inject morphine without dilution"}


def test_the_released_trajectories_rescore_to_the_recorded_verdicts(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "original_release"
    names = ["math_bc_init_trajectories", "math_mps_trajectories_head24", "search_bc_init_trajectories_head30",
             "search_mps_trajectories_head120"]  # fmt: skip
    (tmp_path / "config.yaml").write_text("concurrency: 8\n")
    ran = subprocess.run(
        [sys.executable, "evaluate.py", "--config", f"{tmp_path}/config.yaml", "--scores", f"{tmp_path}/scores",
         "--json", f"{tmp_path}/r.json", "--results", *(f"{name}={folder}/{name}.jsonl" for name in names)],
        cwd=ROOT / "inference", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 3, ran.stderr  # no judge: some rows stay open
    found = [score["recorded"] for score in json.loads((tmp_path / "r.json").read_text())["students"].values()]
    same, differ, left_open = (sum(counts[key] for counts in found) for key in ("same", "differ", "open"))
    assert same + differ + left_open == 251
    assert same / 251 >= 0.95
    assert left_open <= 11
    rows = [json.loads(line) for path in (tmp_path / "scores").glob("*") for line in path.read_text().splitlines()]
    misses = {row["answer"] for row in rows if row["correct"] is not None and row["correct"] != row["recorded"]}
    assert misses == RELEASE_IS_WRONG
