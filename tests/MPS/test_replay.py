"""The real Qwen2.5-72B's recorded replies through the unchanged script: the same observations, the same verdicts."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from score.tasks import Task
from score.trajectory import Step, Trajectory, Verdict, mps_row, read_trajectories
from tests.replay import NOT_RECORDED, Recording, make_app

ROOT = Path(__file__).resolve().parents[2]

# The one difference, looked at: a step that prints nothing was recorded as "Execution successful, no output."; ours
# says that nothing was printed and how to see a value.
RECORDED_SILENCE = "Execution successful, no output."


def same_observation(recorded: str, ours: str) -> bool:
    """Equal up to the white space at the ends, which the release keeps in some rows and not in others."""
    return recorded.strip() == ours.strip()


def test_the_recorded_teacher_gives_the_recorded_observations(
    shared_data: Path, start_server: Callable[..., str], tmp_path: Path
) -> None:
    recording = shared_data / "original_release" / "math_bc_init_trajectories.jsonl"
    address = start_server("tests/replay.py", str(recording))
    recorded = {item.task.id: item for item in read_trajectories(recording) if isinstance(item, Trajectory)}
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(item.task.model_dump_json() + "\n" for item in recorded.values()))
    ran = subprocess.run(
        [
            sys.executable, "BC_init_data_gen.py", "--config", "configs/BC_data_gen_config.yaml",
            "--set", f"tasks={tasks}", "--set", f"output={tmp_path / 'out.jsonl'}", "--set", "concurrency=8",
            *(
                argument
                for role in ("teacher", "judge")
                for argument in ("--set", f"endpoints.{role}.base_url={address}", "--set", f"endpoints.{role}.api_key_env=null")
            ),
        ],
        cwd=ROOT / "MPS", capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ours = {item.task.id: item for item in read_trajectories(tmp_path / "out.jsonl") if isinstance(item, Trajectory)}
    assert ours.keys() == recorded.keys()

    differences = []
    steps = verdicts = 0
    for task_id, then in recorded.items():
        now = ours[task_id]
        assert [step.code for step in now.steps] == [step.code.strip("\n") for step in then.steps[: len(now.steps)]]
        for before, after in zip(then.steps, now.steps, strict=False):
            steps += 1
            if not same_observation(before.observation, after.observation):
                differences.append((task_id, before.code, before.observation, after.observation))
        verdicts += now.correct == then.correct
    unexplained = [difference for difference in differences if difference[2] != RECORDED_SILENCE]
    assert not unexplained, json.dumps(unexplained, indent=1)
    assert steps >= 220
    assert 1 - len(differences) / steps >= 0.95, differences
    assert verdicts / len(recorded) >= 0.95


def test_beyond_the_last_recorded_step_an_answer_is_handed_in_that_is_judged_wrong() -> None:
    task = Task(id="t", question="What is 1 + 1?", true_answer="2")
    recording = Recording(Trajectory(task=task, plan="I add.", steps=[Step(thought="I add.", code="print(1 + 1)")]))
    assert "print(1 + 1)" in recording.teacher("actor", "Write step 2 of at most 11.")
    assert f"final_answer_print({NOT_RECORDED!r})" in recording.teacher("actor", "Write step 3 of at most 11.")
    assert json.loads(recording.teacher("judge", f"Candidate answer:\n{NOT_RECORDED}"))["equivalent"] is False


def test_a_line_that_is_no_trajectory_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = Task(id="t", question="What is 1 + 1?", true_answer="2")
    row = mps_row(Trajectory(task=task, plan="I add.", steps=[], verdict=Verdict(correct=False, by="rule")))
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + '\n{"steps": 3}\n')
    make_app(tmp_path / "a.jsonl")
    assert "left out: " in (said := capsys.readouterr().err) and "a.jsonl:2" in said
