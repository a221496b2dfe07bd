"""Phase 2: the mentored graph with the real interpreter, the expert's server and students with known mistakes."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from score.errors import DataError
from score.interpreter import InterpreterSettings, Session
from score.miniature.marking import Problem
from score.tasks import Task
from score.trajectory import Trajectory, mps_row, parse_row, read_trajectories, still_holds
from tests.chat_server import ChatServer
from tests.MPS.conftest import solve_all

StudentUrl = Callable[[str], str]
Solve = Callable[..., list[Trajectory]]


def of_length(tasks: Sequence[Task], problems: dict[str, Problem], least: int, kind: str = "word") -> list[Task]:
    """Tasks of this kind with at least so many steps before the answer."""
    found = [t for t in tasks if problems[t.question].kind == kind and len(problems[t.question].work) >= least]
    assert found, "the small world holds no such task"
    return found[:8]


def test_a_student_without_mistakes_is_left_alone(solve: Solve, mps_tasks: list[Task]) -> None:
    for trajectory in solve(mps_tasks[:12], "none"):
        assert trajectory.correct and not trajectory.key_steps and not trajectory.is_hard


def test_the_first_wrong_step_is_cut_corrected_and_recorded(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]
) -> None:
    tasks = of_length(mps_tasks, problems, least=3)
    corrected = 0
    for trajectory in solve(tasks, "wrong"):
        problem = problems[trajectory.task.question]
        assert trajectory.correct
        if not trajectory.key_steps:
            continue  # a later step made the mistake good, for example by taking the smaller of two numbers
        corrected += 1
        (key_step,) = trajectory.key_steps
        assert key_step.is_valid
        assert key_step.mistake_step_index == 2  # the plan is 0, the first action 1
        assert key_step.prefix_plan == problem.plan
        assert [step.code for step in key_step.prefix_steps or []] == [problem.work[0].code]
        (mistake,) = key_step.student_mistake
        assert mistake.code == problem.work[1].code.replace("\nprint", " + 97\nprint")
        assert mistake.observation != problem.work[1].value
        assert key_step.teacher_guided_step.code == problem.work[1].code
        assert key_step.teacher_guided_step.observation == problem.work[1].value
        assert trajectory.steps[1] == key_step.teacher_guided_step
        assert key_step.context_before_intervention.startswith("Step 1:\nFirst Thought: ")
        assert "Step 2:" in key_step.context_before_intervention
        assert "Step 3:" not in key_step.context_before_intervention
    assert corrected >= len(tasks) // 2


def test_the_corrected_step_runs_in_the_state_before_the_mistake(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]
) -> None:
    """The mistake gave its variable another value; what follows must see the corrected one."""
    for trajectory in solve(of_length(mps_tasks, problems, least=3), "wrong"):
        problem = problems[trajectory.task.question]
        assert [step.observation for step in trajectory.steps] == [step.value for step in (*problem.work, problem.last)]


@pytest.mark.parametrize("mistake", ["stuck", "mute", "early", "crash"])
def test_attempts_without_an_answer_or_with_a_hasty_one_are_mentored_too(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem], mistake: str
) -> None:
    for trajectory in solve(of_length(mps_tasks, problems, least=3), mistake):
        if mistake == "early" and not trajectory.key_steps:
            continue  # the first result happened to be the answer
        assert trajectory.correct
        assert [key_step.mistake_step_index for key_step in trajectory.key_steps] == [2]
        assert trajectory.key_steps[0].is_valid


def test_no_copy_is_made_for_a_step_that_only_hands_in_an_answer(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy before each step that works but the first, which starts afresh; with a hasty answer, too, it is as before."""
    forks: list[Session] = []
    fork = Session.fork

    async def counted(session: Session) -> Session:
        forks.append(session)
        return await fork(session)

    monkeypatch.setattr(Session, "fork", counted)
    tasks = of_length(mps_tasks, problems, least=3)
    for mistake in ("none", "early"):
        forks.clear()
        assert all(trajectory.correct for trajectory in solve(tasks, mistake))
        assert len(forks) == sum(len(problems[task.question].work) - 1 for task in tasks)


def test_what_ended_a_rows_attempt_was_judged_by_somebody_on_something(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]
) -> None:
    for trajectory in solve(of_length(mps_tasks, problems, least=3)[:3], "wrong"):
        result = json.loads(json.dumps(mps_row(trajectory)))["evaluation_result"]
        assert result["is_correct"] and result["by"]
        assert result["compared"] == {"references": trajectory.task.references, "answer": trajectory.answer}
        assert parse_row(json.loads(json.dumps(mps_row(trajectory)))).verdict == trajectory.verdict


def test_without_a_plan_the_first_turn_is_an_action_and_no_plan_is_blamed(world: Path, mps_tasks: list[Task]) -> None:
    blame = {"step": 1, "evidence": "(no plan)", "diagnosis": "None.", "suggestion": "Plan."}
    teacher, student = ChatServer([json.dumps(blame)]), ChatServer(["I think.", "<code>final_answer_print(-1)</code>"])
    task, corpus = mps_tasks[0], world / "encyclopedia.jsonl"
    (trajectory,) = asyncio.run(solve_all([task], student.address, teacher.address, corpus, plan=False))
    teacher.close()
    student.close()
    assert trajectory.plan is None and trajectory.steps[0].status == "unreadable"
    assert trajectory.is_hard and trajectory.extra["error_analysis"] == "not localised: no such step"
    assert '"step" must be a number from 2 to 3' in teacher.asked[-1][-1]["content"]


def test_a_correction_after_a_plan_with_line_breaks_is_valid_in_the_file_too(
    world: Path, mps_tasks: list[Task]
) -> None:
    guess = "<thought>I guess.</thought><code>{}</code>"
    right = guess.format(f"final_answer_print({mps_tasks[0].references[0]!r})")
    plan = "<first_thought>\nI count.\n</first_thought>"
    student = ChatServer([plan, guess.format("print(-1)"), guess.format("final_answer_print(-1)"), right])
    blame = {"step": 2, "evidence": "print(-1)", "diagnosis": "A guess.", "suggestion": "Look."}
    teacher = ChatServer([json.dumps(blame), "Thought: I look.\nCode:\n```python\nprint('...')\n```"])
    corpus = world / "encyclopedia.jsonl"
    (trajectory,) = asyncio.run(solve_all(mps_tasks[:1], student.address, teacher.address, corpus))
    teacher.close()
    student.close()
    read = parse_row(json.loads(json.dumps(mps_row(trajectory))))
    for found in (trajectory, read):
        (key_step,) = found.key_steps
        assert found.plan == key_step.prefix_plan == "I count."
        assert key_step.is_valid and still_holds(key_step, found.plan, found.steps)


def test_a_student_that_outgrows_its_context_ends_as_a_hard_sample(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]
) -> None:
    tasks = of_length(mps_tasks, problems, least=2)[:2]
    for trajectory in solve(tasks, "endless"):
        assert trajectory.is_hard and not trajectory.correct
        # Its last step was well done, so all that the teacher can write is that step again.
        assert trajectory.extra == {"out_of_context": True, "error_analysis": "not corrected: unchanged"}
        assert not trajectory.key_steps


def test_without_corrections_a_wrong_attempt_is_hard_at_once(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]
) -> None:
    for trajectory in solve(of_length(mps_tasks, problems, least=3)[:3], "early", corrections=0):
        assert trajectory.correct or (trajectory.is_hard and not trajectory.key_steps)


def test_look_ups_go_through_the_mentored_loop(
    solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]
) -> None:
    tasks = of_length(mps_tasks, problems, least=2, kind="lookup")
    trajectories = solve(tasks, "wrong")
    assert all(trajectory.correct for trajectory in trajectories)
    assert all("web_search" in trajectory.steps[1].code for trajectory in trajectories)
    assert any(trajectory.key_steps for trajectory in trajectories)


@pytest.mark.parametrize("snapshots", [False, True])
def test_a_step_that_had_to_be_killed_costs_no_variables(world: Path, snapshots: bool) -> None:
    codes = ["x = 5\nprint(x)", "while True: pass", "print(x + 1)", "final_answer_print(x)"]
    replies = [f"<thought>t</thought><code>{code}</code>" for code in codes]
    student = ChatServer(["<first_thought>Go.</first_thought>", *replies])
    settings = InterpreterSettings(preload=["math"], step_timeout_s=1, snapshots=snapshots)
    task = Task(id="1", question="What is x?", true_answer="5")
    corpus = world / "encyclopedia.jsonl"
    (trajectory,) = asyncio.run(solve_all([task], student.address, student.address, corpus, settings, corrections=0))
    student.close()
    assert [step.status for step in trajectory.steps] == ["ok", "timeout", "ok", "ok"]
    assert trajectory.steps[2].observation == "6" and trajectory.correct


def test_rows_survive_the_file_format(solve: Solve, mps_tasks: list[Task], problems: dict[str, Problem]) -> None:
    for trajectory in solve(of_length(mps_tasks, problems, least=3)[:3], "wrong"):
        again = parse_row(json.loads(json.dumps(mps_row(trajectory))))
        assert again.steps == trajectory.steps
        assert again.key_steps == trajectory.key_steps


def test_an_unreliable_teacher_makes_no_invalid_key_step_valid(
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    write_config: Callable[..., Path],
    world: Path,
    tmp_path: Path,
    unreliable_url: str,
    student_url: StudentUrl,
) -> None:
    tasks = str(world / "mps.jsonl")
    config = write_config(
        "SCoRe_data_gen_config.yaml", tasks=tasks, teacher=unreliable_url, student=student_url("mixed")
    )
    ran = run_script("SCoRe_data_gen.py", "--config", str(config))
    assert ran.returncode in (0, 3), ran.stderr  # 3: a judge's garbage leaves a task unscored
    assert "Traceback" not in ran.stderr
    read = list(read_trajectories(tmp_path / "out.jsonl"))
    assert not [row for row in read if isinstance(row, DataError)]
    trajectories = [row for row in read if isinstance(row, Trajectory)]
    assert len({t.task.id for t in trajectories}) == len(trajectories) >= 50
    key_steps = [(t, k) for t in trajectories for k in t.key_steps]
    assert any(k.is_valid for _, k in key_steps) and any(not k.is_valid for _, k in key_steps)
    for trajectory, key_step in key_steps:
        if not key_step.is_valid:
            continue
        assert trajectory.correct and trajectory.answer is not None
        index = key_step.mistake_step_index
        if index == 0:
            assert trajectory.plan == key_step.teacher_guided_step.thought
            continue
        assert trajectory.steps[index - 1].code == key_step.teacher_guided_step.code
        assert trajectory.steps[: index - 1] == key_step.prefix_steps
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    interventions = manifest["counts"]["interventions"]
    assert sum(interventions.values()) == len(trajectories)
    assert any("garbage" in str(what) or "not JSON" in what for what in manifest["counts"]["asked_again"])
