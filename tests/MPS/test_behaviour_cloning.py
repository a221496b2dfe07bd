"""Phase 1 from the command line, against the expert's server and with the real interpreter."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from score.trajectory import Trajectory, read_trajectories
from tests.chat_server import ChatServer

SCRIPT = "BC_init_data_gen.py"
CONFIG = "BC_data_gen_config.yaml"
Run = Callable[..., subprocess.CompletedProcess[str]]
WriteConfig = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """A server that wants a key that nobody has."""
    server = ChatServer([], status=401)
    yield server.address
    server.close()


def written(tmp_path: Path) -> list[Trajectory]:
    rows = list(read_trajectories(tmp_path / "out.jsonl"))
    assert all(isinstance(row, Trajectory) for row in rows)
    return [row for row in rows if isinstance(row, Trajectory)]


def test_the_teacher_solves_every_task_and_a_second_run_adds_none(
    run_script: Run, write_config: WriteConfig, tmp_path: Path
) -> None:
    config = str(write_config(CONFIG))
    first = run_script(SCRIPT, "--config", config)
    assert first.returncode == 0, first.stderr
    trajectories = written(tmp_path)
    assert len({t.task.id for t in trajectories}) == len(trajectories) == 60
    assert all(t.correct and t.plan and t.steps[-1].is_finished for t in trajectories)
    assert {t.task.model_extra["kind"] for t in trajectories if t.task.model_extra} == {"word", "lookup"}
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert row["evaluation_result"]["equivalent"] is True and row["evaluation_result"]["by"]
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["counts"]["usage"]["act"]["prompt_tokens"] > 0

    second = run_script(SCRIPT, "--config", config)
    assert second.returncode == 0, second.stderr
    assert len(written(tmp_path)) == 60
    assert "0 now, 60 of these tasks before" in second.stdout


def test_a_malformed_line_is_named_and_the_rest_goes_on(
    run_script: Run, write_config: WriteConfig, world: Path, tmp_path: Path
) -> None:
    lines = (world / "bc.jsonl").read_text().splitlines()
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("\n".join([*lines[:2], '{"id": "broken", "question": ', *lines[2:4]]) + "\n")
    ran = run_script(SCRIPT, "--config", str(write_config(CONFIG, tasks=str(tasks))))
    assert ran.returncode == 3
    assert f"{tasks}:3" in ran.stderr
    assert len(written(tmp_path)) == 4


def test_a_run_without_a_correct_trajectory_ends_with_4_and_says_why(
    run_script: Run, write_config: WriteConfig, world: Path, tmp_path: Path
) -> None:
    row = json.loads((world / "bc.jsonl").read_text().splitlines()[0]) | {"true_answer": "123456"}
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps(row) + "\n")
    ran = run_script(SCRIPT, "--config", str(write_config(CONFIG, tasks=str(tasks))))
    assert ran.returncode == 4
    assert "no trajectory" in ran.stderr and "is correct" in ran.stderr


def test_a_task_that_the_server_refuses_is_a_failure_and_no_wrong_answer(
    run_script: Run, write_config: WriteConfig, world: Path, tmp_path: Path
) -> None:
    known = (world / "bc.jsonl").read_text().splitlines()[0]
    unknown = {"id": "unknown", "question": "Why is there something?", "true_answer": "42"}
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(known + "\n" + json.dumps(unknown) + "\n")
    ran = run_script(SCRIPT, "--config", str(write_config(CONFIG, tasks=str(tasks))))
    assert ran.returncode == 3
    assert len(written(tmp_path)) == 1
    failure = json.loads((tmp_path / "out.failures.jsonl").read_text())
    assert failure["id"] == "unknown" and failure["kind"] == "provider"


def test_an_unreachable_endpoint_is_named_with_what_to_check(run_script: Run, write_config: WriteConfig) -> None:
    ran = run_script(SCRIPT, "--config", str(write_config(CONFIG, teacher="http://127.0.0.1:9/v1")))
    assert ran.returncode == 2
    assert "http://127.0.0.1:9/v1" in ran.stderr and "base_url" in ran.stderr and "Traceback" not in ran.stderr


def test_a_refused_key_is_named_with_its_variable(
    run_script: Run, write_config: WriteConfig, refusing_url: str
) -> None:
    config = str(write_config(CONFIG, teacher=refusing_url, key="TEACHER_TEST_KEY"))
    ran = run_script(SCRIPT, "--config", config, TEACHER_TEST_KEY="wrong")
    assert ran.returncode == 2
    assert refusing_url in ran.stderr and "TEACHER_TEST_KEY" in ran.stderr and "Traceback" not in ran.stderr


def test_a_missing_key_variable_is_named_with_who_needs_it(run_script: Run, write_config: WriteConfig) -> None:
    ran = run_script(SCRIPT, "--config", str(write_config(CONFIG, key="NOBODY_SET_THIS_KEY")))
    assert ran.returncode == 2
    assert "NOBODY_SET_THIS_KEY" in ran.stderr and "teacher" in ran.stderr


def test_the_default_config_names_the_variable_of_the_teachers_address(run_script: Run, world: Path) -> None:
    ran = run_script(SCRIPT, "--set", f"tasks={world / 'bc.jsonl'}", QWEN25_72B_API_ADDRESS=".")
    assert ran.returncode == 2
    assert "QWEN25_72B_API_ADDRESS" in ran.stderr


@pytest.mark.parametrize("script", [SCRIPT, "SCoRe_data_gen.py"])
def test_help_loads_nothing_heavy(script: str) -> None:
    """What makes `--help` slow is what it imports: that can be told on a busy machine, too."""
    arguments = [sys.executable, "-X", "importtime", script, "--help"]
    ran = subprocess.run(arguments, cwd=ROOT / "MPS", capture_output=True, text=True, check=True)
    assert "example:" in ran.stdout
    assert not any(heavy in ran.stderr for heavy in ("langgraph", "openai", "pydantic", "numpy", "torch"))
