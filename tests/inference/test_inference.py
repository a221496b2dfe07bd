"""The student's loop over HTTP: the real server, the real interpreter, a student with random weights."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from score.miniature.student import make_student
from score.miniature.world import write_world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., str]) -> dict[str, str]:
    """The environment that runs/cpu.sh gives: a world, and the student served."""
    folder = tmp_path_factory.mktemp("run")
    write_world(folder / "world", 0, {"bc": 40, "mps": 20, "validation": 10, "test": 60})
    make_student(folder / "world", folder / "student", seed=0)
    address = start_server("-m", "score.serving", "--model", str(folder / "student"))
    return os.environ | {"SCORE_RUN": str(folder), "SCORE_STUDENT_URL": address, "SCORE_EXPERT_URL": address}


def command(run: dict[str, str], output: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "inference_api.py", "--config", "../configs/miniature/inference.yaml",
        "--set", f"tasks={run['SCORE_RUN']}/world/test.jsonl", "--set", f"output={output}",
        "--set", "endpoints.student.sampling.max_tokens=12", "--set", "max_steps=3", *arguments,
    ]  # fmt: skip


def infer(run: dict[str, str], output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(run, output, *arguments), cwd=ROOT / "inference", env=run, capture_output=True, text=True, timeout=200
    )


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_a_killed_run_resumes_without_repeating_or_losing_a_task(run: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    running = subprocess.Popen(
        command(run, output, "--set", "concurrency=2"), cwd=ROOT / "inference", env=run, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 100
    while not (output.is_file() and len(output.read_text().splitlines()) >= 5):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert infer(run, output).returncode == 0
    expected = [
        json.loads(line)["id"] for line in Path(run["SCORE_RUN"], "world", "test.jsonl").read_text().splitlines()
    ]
    assert sorted(ids(output)) == sorted(expected)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["ended"] for row in rows} <= {"answered", "out of steps", "out of context"}
    assert all(row["messages"][0]["content"] == row["question"] for row in rows)
    assert (tmp_path / "answers.jsonl.manifest.json").is_file()


def test_a_seed_gives_the_same_answers(run: dict[str, str], tmp_path: Path) -> None:
    texts = []
    for name in ("first", "second"):
        assert infer(run, tmp_path / f"{name}.jsonl", "--limit", "6").returncode == 0
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        texts.append({row["id"]: row["messages"] for row in rows})
    assert texts[0] == texts[1]


def test_an_unreachable_endpoint_is_named(run: dict[str, str], tmp_path: Path) -> None:
    nowhere = run | {"SCORE_STUDENT_URL": "http://127.0.0.1:9/v1"}
    ran = infer(nowhere, tmp_path / "answers.jsonl", "--set", "endpoints.student.attempts=1")
    assert ran.returncode == 2
    assert "student (student at http://127.0.0.1:9/v1) cannot be reached" in ran.stderr and "base_url" in ran.stderr


def test_help_answers_fast_and_with_an_example() -> None:
    for folder, script in (("inference", "inference_api.py"), ("inference", "evaluate.py"),
                           ("MPS", "BC_init_data_gen.py"), ("MPS", "SCoRe_data_gen.py")):  # fmt: skip
        ran = subprocess.run(
            [sys.executable, script, "--help"], cwd=ROOT / folder, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0 and "example:" in ran.stdout and "--set" in ran.stdout
