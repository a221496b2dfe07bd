"""An expert that errs at known rates: nothing crashes, no key step is invalid, and its errors explain every number."""

import json
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from score.dialogue import parse_teacher
from score.miniature.expert import GARBAGE as EXPERTS_GARBAGE
from score.miniature.expert import load_key, plain
from score.miniature.world import write_world
from score.tasks import read_tasks
from score.trajectory import Trajectory, read_trajectories
from tests.MPS.test_faults import invalid_key_steps

TASKS = 240
BLAME, CORRECTION, GARBAGE = 0.2, 0.2, 0.1
GARBAGE_AS_PLAN = [
    parse_teacher(text).thought for text in EXPERTS_GARBAGE
]  # a plan is words, so some of it passes for one
UNLIKELY = 1e-3  # of a binomial count to lie farther out; the dice are seeded, so it is not tried again and again


@dataclass
class Run:
    """One run of the generator: its rows by question, its failures by question, its summary, what the expert did."""

    rows: dict[str, Trajectory]
    failed: dict[str, str]
    summary: dict[str, Any]
    erred: list[tuple[str, str, str]]
    exit_code: int


@pytest.fixture(scope="module")
def large_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large_world")
    write_world(folder, seed=8, sizes={"bc": 1, "mps": TASKS, "validation": 1, "test": 1})
    return folder


@pytest.fixture
def generate(
    start_server: Callable[..., str],
    write_config: Callable[..., Path],
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    large_world: Path,
    tmp_path: Path,
) -> Callable[..., Run]:
    key = str(large_world / "answer_key.jsonl")
    student = start_server("tests/MPS/scripted_student.py", "--key", key, "--mistake", "mixed")

    def run(name: str, *knobs: str) -> Run:
        expert = start_server("-m", "score.miniature.expert", "--key", key, *knobs)
        output = tmp_path / f"{name}.jsonl"
        tasks = large_world / "mps.jsonl"
        config = write_config(
            "SCoRe_data_gen_config.yaml", tasks=str(tasks), teacher=expert, student=student, output=str(output)
        )
        corpus = f"search.corpus={large_world / 'encyclopedia.jsonl'}"
        ran = run_script("SCoRe_data_gen.py", "--config", str(config), "--set", corpus)
        assert ran.returncode in (0, 3) and "Traceback" not in ran.stderr, ran.stderr
        rows = {row.task.question: row for row in read_trajectories(output) if isinstance(row, Trajectory)}
        questions = {task.id: task.question for task in read_tasks(tasks)[0]}
        failures = output.with_name(f"{name}.failures.jsonl")
        lines = failures.read_text().splitlines() if failures.is_file() else []
        failed = {questions[row["id"]]: row["kind"] for row in map(json.loads, lines)}
        with urllib.request.urlopen(expert.removesuffix("/v1") + "/erred") as reply:
            erred = [tuple(event) for event in json.load(reply)]
        summary = json.loads(Path(f"{output}.summary.json").read_text())
        return Run(rows, failed, summary, erred, ran.returncode)

    return run


def test_every_number_of_a_run_is_explained_by_the_experts_errors(
    generate: Callable[..., Run], large_world: Path
) -> None:
    """Each task that no error touched comes out as with a perfect expert; every task that needed more corrections, or
    was never solved, or failed, was touched by one that can do that; every count is that of the errors, and these are
    as many as the knobs say."""
    perfect = generate("perfect")
    rates = ["--wrong-blame", str(BLAME), "--wrong-correction", str(CORRECTION), "--garbage", str(GARBAGE)]
    erring = generate("erring", *rates, "--seed", "4")
    assert len(perfect.rows) == TASKS and not perfect.erred and perfect.exit_code == 0

    # Every task ended once, and what failed is what the judge's garbage left unscored.
    assert not erring.rows.keys() & erring.failed.keys()
    assert len(erring.rows) + len(erring.failed) == TASKS
    touched: dict[str, Counter[tuple[str, str]]] = {}
    for role, error, question in erring.erred:
        touched.setdefault(question, Counter())[role, error] += 1
    assert all(
        kind == "judge" and touched[question]["judge", "garbage"] >= 2 for question, kind in erring.failed.items()
    )
    assert erring.exit_code == (3 if erring.failed else 0)

    # No failure counts as wrong, and no key step is invalid.
    problems = load_key(large_world / "answer_key.jsonl")
    for question, row in erring.rows.items():
        right = row.answer is not None and plain(row.answer) == plain(problems[question].answer)
        assert row.correct == right, (row.answer, problems[question].answer)
        assert not invalid_key_steps(row)

    # Untouched tasks are as with the perfect expert; what differs has its error.
    for question, row in erring.rows.items():
        before = perfect.rows[question]
        errors = touched.get(question, Counter())
        if not errors:
            assert row.steps == before.steps and row.key_steps == before.key_steps
        harmful = sum(n for (role, error), n in errors.items() if error != "garbage")
        rambled = sum(n for (role, error), n in errors.items() if error == "garbage")
        if len(row.key_steps) > len(before.key_steps):  # one error can ask for several corrections: all comes later
            assert errors
        if row.is_hard and not before.is_hard:
            assert harmful or rambled >= 3, row.extra

    # The summary's counts are those of the errors.
    usage = {name: row["calls"] for name, row in erring.summary["usage"].items()}
    happened = Counter((role, error) for role, error, _ in erring.erred)
    again = erring.summary["asked_again"]
    key_steps = [key_step for row in erring.rows.values() for key_step in row.key_steps]
    nonsense_plans = sum(key_step.teacher_guided_step.thought in GARBAGE_AS_PLAN for key_step in key_steps)
    assert again["localise: not JSON"] == happened["localiser", "garbage"]
    rewrites = again["correct: no code"] + again.get("correct: no plan", 0)
    assert rewrites + nonsense_plans == happened["corrector", "garbage"]
    # Who is blamed for a right step is corrected with that very step.
    same_plans = again.get("correct: unchanged plan", 0)
    refused = again.get("correct: leak", 0) + again.get("correct: unchanged", 0) + same_plans
    assert erring.summary["corrections"] == len(key_steps) == usage["correct"] - rewrites - refused
    assert erring.summary["valid_corrections"] == sum(key_step.is_valid for key_step in key_steps)
    hard = sum(row.is_hard for row in erring.rows.values())
    assert erring.summary["interventions"]["hard"] == hard == len(erring.rows) - erring.summary["correct"]

    # And the errors are as many as the knobs say.
    def likely(count: int, calls: int, rate: float) -> bool:
        return bool(binomtest(count, calls, rate).pvalue > UNLIKELY)

    diagnoses = usage["localise"] - happened["localiser", "garbage"]
    assert likely(happened["localiser", "garbage"], usage["localise"], GARBAGE)
    assert likely(happened["localiser", "wrong blame"], diagnoses, BLAME)
    assert likely(happened["corrector", "garbage"], usage["correct"], GARBAGE)
    # A plan is never spoiled, so corrections of it are left out.
    written = usage["correct"] - happened["corrector", "garbage"]
    plans = sum(key_step.mistake_step_index == 0 for key_step in key_steps) - nonsense_plans
    assert likely(happened["corrector", "wrong correction"], written - plans - same_plans, CORRECTION)
