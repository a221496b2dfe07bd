"""Monte Carlo: what rollouts measure, where they say that the error lies, and that they leave the main line alone."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from graphs.attempt import Attempt
from graphs.execution import Copies
from graphs.rollouts import Rollouts
from roles import Student

from score.answers import Equivalence
from score.episode import Episode
from score.errors import JudgeError
from score.interpreter import Interpreter, InterpreterSettings, Session
from score.judging import Judge
from score.llm import Endpoint, EndpointSettings
from score.miniature.marking import Problem
from score.tasks import Task
from score.trajectory import KeyStep, Step, Successes, Trajectory, mps_row, parse_row, read_trajectories
from tests.chat_server import ChatServer
from tests.MPS.test_mentored import of_length

Solve = Callable[..., list[Trajectory]]


@pytest.fixture
def tasks(mps_tasks: list[Task], problems: dict[str, Problem]) -> list[Task]:
    return of_length(mps_tasks, problems, least=3)[:3]


def line(trajectory: Trajectory) -> list[tuple[str, str, str]]:
    return [(step.thought, step.code, step.observation) for step in trajectory.steps]


def test_criticality_tells_a_critical_error_from_a_slip(solve: Solve, tasks: list[Task]) -> None:
    """`wrong` always errs at this point: without the teacher it never succeeds, with it always. `fickle` errs with every
    second seed, so that it may succeed without help."""
    measured = [k.criticality for t in solve(tasks[:2], "wrong", criticality=2, seed=1) for k in t.key_steps]
    assert measured and all(found == {"without": (0, 2), "with": (2, 2)} for found in measured)
    fickle = [k.criticality for t in solve(tasks[:2], "fickle", criticality=4, seed=1) for k in t.key_steps]
    assert fickle and any(found is not None and 0 < found["without"][0] < 4 for found in fickle)


def test_measuring_changes_nothing_of_the_main_line(solve: Solve, tasks: list[Task]) -> None:
    plain, measured = solve(tasks, "fickle", seed=1), solve(tasks, "fickle", seed=1, criticality=2)
    assert [line(t) for t in measured] == [line(t) for t in plain]
    assert any(t.key_steps for t in plain), "with this seed nobody erred"
    assert len({thought for t in plain for thought, *_ in line(t)}) > 8, "the student does not show its seeds"
    for one, other in zip(plain, measured, strict=True):
        for bare, key_step in zip(one.key_steps, other.key_steps, strict=True):
            assert bare.criticality is None and key_step.criticality is not None
            assert key_step.model_copy(update={"criticality": None}) == bare


def test_the_same_seed_gives_the_same_rollouts_and_another_seed_others(solve: Solve, tasks: list[Task]) -> None:
    def measured(seed: int) -> list[dict[str, Successes] | None]:
        return [k.criticality for t in solve(tasks[:2], "fickle", seed=seed, criticality=3) for k in t.key_steps]

    assert measured(1) == measured(1) != measured(2)


def test_a_plan_that_is_written_anew_is_measured_too(world: Path, solve: Solve, mps_tasks: list[Task]) -> None:
    task = mps_tasks[0]
    blame = {"step": 1, "evidence": task_plan(solve, task)[:8], "diagnosis": "Vague.", "suggestion": "Plan."}
    teacher = ChatServer([json.dumps(blame), "First Thought: I plan anew."])
    trajectory = solve([task], "wrong", teacher.address, corrections=1, criticality=2)[0]
    teacher.close()
    (key_step,) = trajectory.key_steps
    assert key_step.mistake_step_index == 0 and trajectory.plan == "I plan anew."
    assert key_step.criticality is not None and key_step.criticality["without"][1] == 2


def task_plan(solve: Solve, task: Task) -> str:
    return solve([task], "none")[0].plan or ""


def test_rollouts_find_the_step_after_which_success_drops(
    solve: Solve, tasks: list[Task], problems: dict[str, Problem]
) -> None:
    """`fickle` may still succeed until its second action went wrong; the teacher only says what is wrong with it."""
    found = [
        (trajectory, key_step)
        for trajectory in solve(tasks, "fickle", seed=1, localizer="rollouts", localizer_rollouts=5, drop=0.4)
        for key_step in trajectory.key_steps
        if key_step.localised_by == "rollouts"
    ]
    assert found
    for trajectory, key_step in found:
        assert key_step.mistake_step_index == 2
        assert key_step.success_around is not None
        (before, k), (after, _) = key_step.success_around["before"], key_step.success_around["after"]
        assert (before - after) / k >= 0.4
        assert key_step.teacher_guided_step.code == problems[trajectory.task.question].work[1].code
        assert key_step.is_valid == trajectory.correct
        assert parse_row(json.loads(json.dumps(mps_row(trajectory)))).key_steps == trajectory.key_steps


def test_where_the_student_never_succeeds_the_teacher_says_which_step(solve: Solve, tasks: list[Task]) -> None:
    for trajectory in solve(tasks[:3], "wrong", seed=1, localizer="rollouts", localizer_rollouts=2):
        for key_step in trajectory.key_steps:
            assert key_step.localised_by == "teacher (rollouts show no drop)"
            assert key_step.success_around is None and key_step.mistake_step_index == 2


class Counted(Rollouts):
    """Rollouts with given results, by the number of steps in the prefix."""

    def __init__(self, *results: Successes):
        self.results, self.measured = results, []

    async def successes(self, task: Task, start: Episode, session: object, k: int, seed: int | None) -> Successes:
        number = (start.plan is not None) + len(start.steps)
        self.measured.append(number)
        return self.results[number]


@pytest.mark.parametrize(
    "results, drop, blamed, measured",
    [
        ([(4, 4), (4, 4), (1, 4), (4, 4)], 0.5, 2, [0, 1, 2]),
        ([(4, 4), (4, 4), (3, 4), (2, 4)], 0.5, 4, [0, 1, 2, 3]),  # the last step fails for certain, unmeasured
        ([(4, 4), (4, 4), (3, 4), (2, 4)], 0.25, 2, [0, 1, 2]),
        ([(1, 4), (1, 4), (1, 4), (1, 4)], 0.5, None, [0, 1, 2, 3]),
        ([(2, 4), (0, 4), (0, 4), (0, 4)], 0.5, 1, [0, 1]),
        ([(3, 3), (2, 3), (1, 3), (0, 3)], 1 / 3, 1, [0, 1]),
    ],
)
def test_the_first_drop_is_blamed_and_no_more_is_measured(
    results: list[Successes], drop: float, blamed: int | None, measured: list[int]
) -> None:
    steps = [Step(thought=str(number), code="pass") for number in range(3)]
    sessions: list[object] = [object()] * 4
    attempt = Attempt(Task(id="1", question="?", true_answer="1"), Episode("?", 8, "plan", steps), sessions)  # type: ignore[arg-type]
    rollouts = Counted(*results)
    assert asyncio.run(rollouts.first_drop(attempt, 4, drop)) == blamed
    assert rollouts.measured == measured
    assert asyncio.run(rollouts.first_drop(attempt, 4, drop)) == blamed
    assert rollouts.measured == measured, "what was measured is not measured again"


def test_a_step_that_the_teacher_wrote_is_not_blamed_again() -> None:
    steps = [Step(thought=str(number), code="pass") for number in range(3)]
    sessions: list[object] = [object()] * 4
    attempt = Attempt(Task(id="1", question="?", true_answer="1"), Episode("?", 8, "plan", steps), sessions)  # type: ignore[arg-type]
    taught = KeyStep(
        teacher_guided_step=steps[0], student_mistake=[], mistake_step_index=1, prefix_plan="plan", prefix_steps=[]
    )
    attempt.key_steps.append(taught)
    assert asyncio.run(Counted((4, 4), (4, 4), (1, 4), (0, 4)).first_drop(attempt, 4, 0.5)) is None
    attempt.successes.clear()
    assert asyncio.run(Counted((4, 4), (4, 4), (2, 4), (0, 4)).first_drop(attempt, 4, 0.5)) == 3


def test_outcomes_that_cannot_be_judged_are_left_out_and_none_at_all_is_a_failure() -> None:
    """Two of three answers are decided by a rule; the third would need a judge."""

    async def measure(*answers: str) -> Successes:
        replies = [f"<thought>t</thought><code>final_answer_print({answer!r})</code>" for answer in answers]
        server = ChatServer(replies)
        task = Task(id="1", question="Where?", true_answer="Oslo")
        with Equivalence(workers=1) as equivalence:
            async with Interpreter(InterpreterSettings(preload=["math"])) as interpreter:
                endpoint = Endpoint("student", EndpointSettings(base_url=server.address, model="s"))
                rollouts = Rollouts(Student(endpoint), Judge(equivalence, None), Copies(interpreter, {}))
                start = Episode(task.question, 8, "I know.")
                try:
                    return await rollouts.successes(task, start, None, len(answers), None)
                finally:
                    await endpoint.close()
                    server.close()

    assert asyncio.run(measure("Oslo", "somewhere in Norway", "oslo")) == (2, 2)
    with pytest.raises(JudgeError):
        asyncio.run(measure("in Norway", "somewhere in Norway"))


def test_rollouts_leave_no_session_behind(world: Path, tasks: list[Task], student_url: Callable[[str], str]) -> None:
    async def measure() -> int:
        endpoint = Endpoint("student", EndpointSettings(base_url=student_url("wrong"), model="student"))
        student = Student(endpoint)
        with Equivalence(workers=1) as equivalence:
            async with Interpreter(InterpreterSettings(preload=["math"])) as interpreter:
                async with await interpreter.open() as session:
                    start = Episode(tasks[0].question, 8)
                    rollouts = Rollouts(student, Judge(equivalence, None), Copies(interpreter, {}))
                    found = await rollouts.successes(tasks[0], start, session, 3, 7)
                    assert found == (0, 3)
                    await endpoint.close()
                    return len(interpreter._sessions)

    assert asyncio.run(measure()) == 1


class Watched(Copies):
    """Copies that count the sessions that live at once."""

    def __init__(self, interpreter: Interpreter):
        super().__init__(interpreter, {})
        self._watched, self.most = interpreter, 0

    async def of(self, session: Session | None) -> Session:
        copy = await super().of(session)
        self.most = max(self.most, len(self._watched._sessions))
        return copy


def test_no_more_rollouts_go_on_at_once_than_the_student_takes_calls() -> None:
    async def measure() -> tuple[Successes, int]:
        server = ChatServer(["<thought>t</thought><code>x = 1</code>"])
        task = Task(id="1", question="Where?", true_answer="Oslo")
        with Equivalence(workers=1) as equivalence:
            async with Interpreter(InterpreterSettings(preload=["math"])) as interpreter:
                endpoint = Endpoint("student", EndpointSettings(base_url=server.address, model="s", concurrency=2))
                copies = Watched(interpreter)
                rollouts = Rollouts(Student(endpoint), Judge(equivalence, None), copies)
                try:
                    found = await rollouts.successes(task, Episode(task.question, 2, "I know."), None, 8, None)
                finally:
                    await endpoint.close()
                    server.close()
                return found, copies.most

    found, most = asyncio.run(measure())
    assert found == (0, 8)
    assert most <= 4, "a rollout holds its state before the step and, while the step runs, that after it"


def test_the_script_reports_what_rollouts_measured(
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    write_config: Callable[..., Path],
    student_url: Callable[[str], str],
    world: Path,
    tmp_path: Path,
) -> None:
    config = write_config("SCoRe_data_gen_config.yaml", tasks=str(world / "mps.jsonl"), student=student_url("fickle"))
    chosen = ["limit=8", "seed=1", "criticality=2", "localizer=rollouts", "sampling.rollout.temperature=1"]
    ran = run_script("SCoRe_data_gen.py", "--config", str(config), *(f"--set={setting}" for setting in chosen))
    assert ran.returncode == 0, ran.stderr
    assert "success at corrections" in ran.stdout and "localised by" in ran.stdout
    counts = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["counts"]
    rows = [row for row in read_trajectories(tmp_path / "out.jsonl") if isinstance(row, Trajectory)]
    key_steps = [key_step for row in rows for key_step in row.key_steps]
    assert len(rows) == 8 and key_steps
    for name in ("without", "with"):
        measured = [key_step.criticality[name] for key_step in key_steps if key_step.criticality]
        assert len(measured) == len(key_steps)
        assert counts["criticality"][name] == [sum(right for right, _ in measured), sum(of for _, of in measured)]
    assert sum(counts["localised_by"].values()) == len(key_steps)
    refused = sum(str(row.extra.get("error_analysis")).startswith("not corrected") for row in rows)
    assert counts["correcting"]["asked for"] == len(key_steps) + refused and counts["leak_rate"] == 0
    assert counts["usage"]["rollout"]["calls"] > counts["usage"]["student"]["calls"]
