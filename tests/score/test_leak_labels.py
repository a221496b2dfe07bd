"""The leak check against labels: every key step of the two released mentored files was read together with its
question, its reference answer and what the student had seen, and labelled before the check was tuned.

The rule. A corrected step leaks if it
- states or hard-codes the reference value, or an equivalent form, where it cannot be derived from what the student
  had seen (a bad derivation of its own is no leak; a value that an observation holds is none);
- searches for the answer itself;
- picks the right option by hand, or without anything seen that speaks for it;
- talks of "the correct answer", an expected value or form, an error, an analysis or a correction;
- holds more than one step at a time.
To look for the correct answer, or to do something "again", is no such talk.

The labels are in `fixtures/leak_labels.jsonl`, one line per key step, in our own words. The check was tuned on those
whose id's hash is not divisible by three; the others were kept aside, and measured when it was done. Whoever changes
the check looks at the tuned part alone.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from score.leakage import find_leak
from score.leakage.__main__ import steps_before
from score.trajectory import KeyStep, Step, Trajectory, read_trajectories

ROOT = Path(__file__).resolve().parents[2]
LABELS = [json.loads(line) for line in (Path(__file__).parent / "fixtures/leak_labels.jsonl").open(encoding="utf-8")]
FILES = sorted({label["file"] for label in LABELS})


def check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "score.leakage", str(path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def outcomes(shared_data: Path) -> list[tuple[str, bool, bool]]:
    """(id, labelled a leak, found a leak) for each label."""
    found: dict[tuple[str, str, int], bool] = {}
    for name in FILES:
        path = shared_data / "original_release" / name
        if not path.is_file():
            pytest.skip(f"the original release's {name} is not beside the project")
        done = check(path)
        assert done.returncode == 0, done.stderr
        for row in map(json.loads, done.stdout.splitlines()):
            found[name, row["id"], row["step"]] = row["leaks"]
    assert set(found) == {(label["file"], label["id"], label["step"]) for label in LABELS}
    return [(label["id"], label["leaks"], found[label["file"], label["id"], label["step"]]) for label in LABELS]


def kept_aside(identifier: str) -> bool:
    return int(hashlib.sha256(identifier.encode()).hexdigest(), 16) % 3 == 0


def precision_and_recall(outcomes: list[tuple[str, bool, bool]]) -> tuple[float, float]:
    hits = sum(leaks and found for _, leaks, found in outcomes)
    return hits / sum(found for *_, found in outcomes), hits / sum(leaks for _, leaks, _ in outcomes)


def test_the_labels_hold_both_kinds_in_both_parts() -> None:
    parts = [[label["leaks"] for label in LABELS if kept_aside(label["id"]) is aside] for aside in (False, True)]
    assert [(len(part), sum(part)) for part in parts] == [(20, 5), (15, 9)]


def test_the_leaks_it_was_tuned_on_are_found(outcomes: list[tuple[str, bool, bool]]) -> None:
    precision, recall = precision_and_recall([row for row in outcomes if not kept_aside(row[0])])
    assert precision >= 0.9 and recall >= 0.9, (precision, recall)


def test_leaks_that_it_was_not_tuned_on_are_found(outcomes: list[tuple[str, bool, bool]]) -> None:
    """8 of 9: missed is a step that talks of a required form of an answer that was seen."""
    precision, recall = precision_and_recall([row for row in outcomes if kept_aside(row[0])])
    assert precision >= 0.9 and recall >= 0.88, (precision, recall)


def test_all_key_steps_together_reach_nine_tenths(outcomes: list[tuple[str, bool, bool]]) -> None:
    precision, recall = precision_and_recall(outcomes)
    assert precision >= 0.9 and recall >= 0.9, (precision, recall)


def test_a_teacher_that_solves_alone_is_rarely_suspected(shared_data: Path) -> None:
    """Phase 1 is free of corrections: what is flagged there is a guess out of nowhere, or a false alarm."""
    steps = flagged = 0
    for path in sorted((shared_data / "original_release").glob("*_bc_init_trajectories*.jsonl")):
        for trajectory in read_trajectories(path):
            if isinstance(trajectory, Trajectory) and trajectory.correct:
                taken = [Step(thought=trajectory.plan or ""), *trajectory.steps]
                task = trajectory.task
                leaks = [find_leak(step, task.references, task.question, taken[:i]) for i, step in enumerate(taken)]
                steps += len(leaks)
                flagged += sum(leak is not None for leak in leaks)
    assert steps > 300 and flagged / steps <= 0.03, (flagged, steps)


def row(thought: str, code: str) -> str:
    key_step = {
        "teacher_guided_step": {"thought": thought, "code": code, "observation": ""},
        "student_mistake": [{"thought": "?", "code": "print(1)", "observation": "1"}],
        "mistake_step_index": 1,
        "prefix_steps": [],
        "prefix_plan": "I halve it.",
        "is_valid": True,
    }
    steps = [{"thought": "I halve it.", "code": ""}, {"thought": thought, "code": code}]
    task = {"id": "eggs", "question": "What is half of 108?", "true_answer": "54"}
    return json.dumps({"steps": steps, "original_task_info": task, "repair_steps": [key_step]})


def test_each_key_step_gives_one_line_and_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "some_mps_trajectories.jsonl"
    lines = [row("Half.", "print(108 / 2)"), '{"steps": [', row("It is 54.", "print(54)"), '{"steps": []}']
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = check(file)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["id"], row["step"], row["leaks"]) for row in rows] == [("eggs", 2, False), ("eggs", 2, True)]
    assert [set(row) for row in rows] == [{"id", "step", "leaks", "why"}] * 2
    assert rows[0]["why"] == "" and "code" in rows[1]["why"]
    assert done.returncode == 3
    assert f"{file}:2:" in done.stderr and f"{file}:4:" in done.stderr and "Traceback" not in done.stderr


def test_a_sound_file_ends_with_0_and_a_missing_one_with_2(tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text(row("Half.", "print(108 / 2)") + "\n", encoding="utf-8")
    assert check(file).returncode == 0
    done = check(tmp_path / "none.jsonl")
    assert done.returncode == 2 and "does not exist" in done.stderr and "Traceback" not in done.stderr


def test_help_shows_an_example() -> None:
    done = subprocess.run([sys.executable, "-m", "score.leakage", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "example:\n  python -m score.leakage " in done.stdout


def key_step(**values: object) -> KeyStep:
    return KeyStep.model_validate({"teacher_guided_step": {"thought": "t"}, "student_mistake": [], **values})


def test_the_prefix_is_the_recorded_one_else_the_trajectory_s_else_the_text() -> None:
    task = {"id": "1", "question": "?", "true_answer": "1"}
    steps = [Step(thought=f"step {number}", code="pass") for number in (2, 3, 4)]
    trajectory = Trajectory.model_validate({"task": task, "plan": "plan", "steps": steps})

    def thoughts(**values: object) -> list[str]:
        return [step.thought for step in steps_before(trajectory, key_step(**values))]

    assert thoughts(mistake_step_index=0, is_valid=True) == []
    assert thoughts(mistake_step_index=2, prefix_plan="p", prefix_steps=[{"thought": "own"}]) == ["p", "own"]
    assert thoughts(mistake_step_index=2, is_valid=True) == ["plan", "step 2"]
    text_only = steps_before(trajectory, key_step(mistake_step_index=2, context_before_intervention="Step 1: 54"))
    assert [step.observation for step in text_only] == ["Step 1: 54"]
