"""A small world with its expert and students that err where they are told to, for the tests of phases 1 and 2."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from graphs.mentored import MentoredSolving
from roles import Student, Teacher

from score.answers import Equivalence
from score.interpreter import Interpreter, InterpreterSettings
from score.judging import Judge
from score.llm import Endpoint, EndpointSettings
from score.miniature.expert import load_key
from score.miniature.marking import Problem
from score.miniature.world import write_world
from score.search import SearchSettings
from score.tasks import Task, read_tasks
from score.tools import make_tools
from score.trajectory import Trajectory

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, seed=3, sizes={"bc": 60, "mps": 60, "validation": 10, "test": 10})
    return folder


@pytest.fixture(scope="session")
def problems(world: Path) -> dict[str, Problem]:
    return load_key(world / "answer_key.jsonl")


@pytest.fixture(scope="session")
def mps_tasks(world: Path) -> list[Task]:
    return read_tasks(world / "mps.jsonl")[0]


@pytest.fixture(scope="session")
def expert_url(start_server: Callable[..., str], world: Path) -> str:
    return start_server("-m", "score.miniature.expert", "--key", str(world / "answer_key.jsonl"))


@pytest.fixture(scope="session")
def unreliable_url(start_server: Callable[..., str], world: Path) -> str:
    """The expert with its knobs at 20 / 20 / 10 %."""
    knobs = ["--wrong-blame", "0.2", "--wrong-correction", "0.2", "--garbage", "0.1", "--seed", "5"]
    return start_server("-m", "score.miniature.expert", "--key", str(world / "answer_key.jsonl"), *knobs)


@pytest.fixture(scope="session")
def student_url(start_server: Callable[..., str], world: Path) -> Callable[[str], str]:
    """The address of the student with this mistake."""
    addresses: dict[str, str] = {}

    def serve(mistake: str) -> str:
        if mistake not in addresses:
            script = str(Path(__file__).with_name("scripted_student.py"))
            addresses[mistake] = start_server(script, "--key", str(world / "answer_key.jsonl"), "--mistake", mistake)
        return addresses[mistake]

    return serve


@pytest.fixture
def write_config(world: Path, tmp_path: Path, expert_url: str) -> Callable[..., Path]:
    """A config of one of the two generators, laid over the real one."""

    def write(name: str, **values: str) -> Path:
        defaults = {
            "tasks": str(world / "bc.jsonl"),
            "output": str(tmp_path / "out.jsonl"),
            "teacher": expert_url,
            "student": "http://127.0.0.1:9/v1",
            "key": "null",
        }
        chosen = defaults | values
        path = tmp_path / "config.yaml"
        path.write_text(
            f"""include: {ROOT / "MPS" / "configs" / name}
tasks: {chosen["tasks"]}
output: {chosen["output"]}
concurrency: 8
interpreter: {{preload: [math]}}
search: {{backend: local, corpus: {world / "encyclopedia.jsonl"}}}
endpoints:
  teacher: &expert
    base_url: "{chosen["teacher"]}"
    model: miniature-expert
    api_key_env: {chosen["key"]}
    attempts: 2
  judge: *expert
  student: {{base_url: "{chosen["student"]}", model: student, stream: false}}
""",
            encoding="utf-8",
        )
        return path

    return write


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, script, *arguments]


@pytest.fixture
def run_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of MPS/ from its folder, as its users do."""

    def run(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(script, *arguments),
            cwd=ROOT / "MPS",
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


Solve = Callable[..., list[Trajectory]]


@pytest.fixture
def solve(world: Path, expert_url: str, student_url: Callable[[str], str]) -> Solve:
    """Run the mentored graph on tasks with a student of this habit; `teacher_url` for another teacher than the expert,
    `seeds` for the tasks' own, further options go to the graph."""

    def run(tasks: Sequence[Task], mistake: str, teacher_url: str = expert_url, **options: Any) -> list[Trajectory]:
        corpus = world / "encyclopedia.jsonl"
        return asyncio.run(solve_all(tasks, student_url(mistake), teacher_url, corpus, **options))

    return run


async def solve_all(
    tasks: Sequence[Task],
    student_url: str,
    teacher_url: str,
    corpus: Path,
    interpreter_settings: InterpreterSettings | None = None,
    *,
    corrections: int = 3,
    seed: int | None = None,
    **options: Any,
) -> list[Trajectory]:
    student = Endpoint("student", EndpointSettings(base_url=student_url, model="student"))
    teacher = Endpoint("teacher", EndpointSettings(base_url=teacher_url, model="miniature-expert"))
    tools = make_tools(SearchSettings(backend="local", corpus=corpus))
    with Equivalence() as equivalence:
        async with Interpreter(interpreter_settings or InterpreterSettings(preload=["math"])) as interpreter:
            graph = MentoredSolving(
                Student(student),
                Teacher(teacher, list(tools), max_steps=8),
                Judge(equivalence, teacher),
                interpreter,
                tools,
                max_steps=8,
                corrections=corrections,
                **options,
            )
            seeds = [None if seed is None else seed + 1000 * number for number in range(len(tasks))]
            solved: list[Awaitable[Trajectory]] = [
                graph.solve(task, own) for task, own in zip(tasks, seeds, strict=True)
            ]
            trajectories = list(await asyncio.gather(*solved))
    await asyncio.gather(student.close(), teacher.close())
    return trajectories
