"""Both generators against a bad line and against `kill -9`: every task ends once, none is lost, none doubled, and no
failure counts as a wrong answer.

The kills are 5 for each generator; SCORE_KILLS=50 in the environment makes it 50.
"""

import ctypes
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from score.journal import Journal
from score.tasks import read_tasks
from score.trajectory import Trajectory, read_trajectories
from tests.faulty_server import FAULTS

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = {
    "BC_init_data_gen.py": ("BC_data_gen_config.yaml", "bc.jsonl"),
    "SCoRe_data_gen.py": ("SCoRe_data_gen_config.yaml", "mps.jsonl"),
}
KILLS = int(os.environ.get("SCORE_KILLS", "5"))
PR_SET_CHILD_SUBREAPER = 36


def rows(output: Path) -> list[Trajectory]:
    """The trajectories of a file all of whose lines can be read."""
    found = list(read_trajectories(output))
    assert all(isinstance(row, Trajectory) for row in found), found
    return [row for row in found if isinstance(row, Trajectory)]


def ids(output: Path) -> list[str]:
    return [row.task.id for row in rows(output)]


def invalid_key_steps(trajectory: Trajectory) -> list[int]:
    """Key steps that say they are valid and are not: the trajectory is wrong or does not hold them at their place."""
    steps = [trajectory.plan, *(step.code for step in trajectory.steps)]
    return [
        index
        for key_step in trajectory.key_steps
        for index in [key_step.mistake_step_index]
        if key_step.is_valid
        and not (
            trajectory.correct
            and index < len(steps)
            and steps[index] == (key_step.teacher_guided_step.code if index else key_step.teacher_guided_step.thought)
        )
    ]


@pytest.mark.parametrize("script", GENERATORS)
def test_a_bad_line_loses_no_task_and_makes_none_wrong(
    script: str,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
    start_server: Callable[..., str],
    write_config: Callable[..., Path],
    world: Path,
    tmp_path: Path,
) -> None:
    """One task in three cannot be saved by two attempts a call; the rest must come out as if nothing had happened."""
    defaults, tasks = GENERATORS[script]
    key = str(world / "answer_key.jsonl")
    output, failures = tmp_path / "out.jsonl", tmp_path / "out.failures.jsonl"
    expected = {task.id for task in read_tasks(world / tasks)[0]}
    address = start_server("tests/faulty_server.py", "--key", key, "--seed", "11", "--mistake", "wrong")
    config = write_config(defaults, tasks=str(world / tasks), teacher=address, student=address)
    patience = [
        argument
        for role in ("teacher", "judge", "student")
        for setting in ("timeout_s=1", "attempts=2")
        for argument in ("--set", f"endpoints.{role}.{setting}")
    ]
    for _ in range(5):
        ran = run_script(script, "--config", str(config), *patience)
        if "the server" not in ran.stderr or output.is_file():
            break  # else the check at the start met a fault twice, and nothing had begun
    assert "Traceback" not in ran.stderr, ran.stderr
    with urllib.request.urlopen(address.removesuffix("/v1") + "/faults") as reply:
        happened = json.load(reply)
    assert all(happened.get(fault, 0) > 0 for fault in FAULTS), happened

    done, lines = ids(output), set(output.read_text().splitlines())
    failed = [json.loads(line) for line in failures.read_text().splitlines()] if failures.is_file() else []
    assert len(done) == len(set(done)) and len(failed) == len({row["id"] for row in failed})
    assert set(done) | {row["id"] for row in failed} == expected
    assert not set(done) & {row["id"] for row in failed}
    assert ran.returncode == (3 if failed else 0), ran.stderr
    assert {row["kind"] for row in failed} <= {"provider"}, failed
    assert all(row.correct and not invalid_key_steps(row) for row in rows(output)), "a failure was scored as wrong"

    healthy = start_server("tests/faulty_server.py", "--key", key, "--rate", "0", "--mistake", "wrong")
    config = write_config(defaults, tasks=str(world / tasks), teacher=healthy, student=healthy)
    again = run_script(script, "--config", str(config))
    assert again.returncode == 0, again.stderr
    assert lines <= set(output.read_text().splitlines()), "rows of the first run were touched"
    assert ids(output) == [task.id for task in read_tasks(world / tasks)[0]]
    assert all(row.correct for row in rows(output))
    assert not failures.exists()


@pytest.fixture
def orphans_come_to_us() -> Iterator[None]:
    """Processes whose parents are killed become this process's children, where a test can see them."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def wait_until_none_is_left(besides: set[int]) -> None:
    """Collect whatever ended; fail where a process is still there after some seconds."""
    deadline = time.monotonic() + 20
    while True:
        left = [child for child in psutil.Process().children(recursive=True) if child.pid not in besides]
        for child in left:
            try:
                if child.ppid() == os.getpid() and child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)
            except (psutil.NoSuchProcess, ChildProcessError):
                pass
        if not left:
            return
        assert time.monotonic() < deadline, f"left behind: {[child.as_dict(['pid', 'cmdline']) for child in left]}"
        time.sleep(0.02)


def kill_at_random(running: "subprocess.Popen[str]", output: Path, dice: random.Random) -> None:
    """One kill in three falls anywhere in the start, the others anywhere after a few new rows. A run that is done
    before is left alone."""

    def count() -> int:
        return output.read_bytes().count(b"\n") if output.is_file() else 0

    pause = dice.uniform(0, 1.5)
    if dice.random() > 1 / 3:
        wanted, pause = count() + dice.randint(0, 4), dice.uniform(0, 0.2)
        while (count() < wanted or not Path(f"{output}.lock").exists()) and running.poll() is None:
            time.sleep(0.005)
    try:
        running.wait(pause)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGKILL)


@pytest.mark.timeout(2400)
@pytest.mark.usefixtures("orphans_come_to_us")
@pytest.mark.parametrize("script", GENERATORS)
def test_kill_9_at_any_moment_loses_nothing_and_leaves_nothing_behind(
    script: str,
    start_server: Callable[..., str],
    write_config: Callable[..., Path],
    world: Path,
    tmp_path: Path,
) -> None:
    defaults, tasks = GENERATORS[script]
    key = str(world / "answer_key.jsonl")
    address = start_server(
        "tests/faulty_server.py", "--key", key, "--rate", "0", "--latency", "0.05", "--mistake", "wrong"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    besides = {child.pid for child in psutil.Process().children(recursive=True)}
    expected = sorted(task.id for task in read_tasks(world / tasks)[0])

    def start(to: Path) -> "subprocess.Popen[str]":
        config = write_config(defaults, tasks=str(world / tasks), teacher=address, student=address, output=str(to))
        return subprocess.Popen(
            [sys.executable, script, "--config", str(config), "--set", "concurrency=4"],
            cwd=ROOT / "MPS",
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def check_the_finished(output: Path) -> None:
        assert sorted(ids(output)) == expected
        assert all(row.correct and not invalid_key_steps(row) for row in rows(output))
        assert output.read_bytes().endswith(b"\n") and not output.with_name(output.stem + ".failures.jsonl").exists()
        with Journal(output) as journal:  # the lock is free
            assert len(journal.done) == len(expected)

    dice = random.Random(7)
    kills = lap = 0
    output = tmp_path / "0.jsonl"
    while kills < KILLS:
        running = start(output)
        kill_at_random(running, output, dice)
        kills += running.wait() == -signal.SIGKILL
        assert running.returncode in (-signal.SIGKILL, 0), running.stderr and running.stderr.read()
        wait_until_none_is_left(besides)
        if output.is_file():
            whole = output.read_bytes().rpartition(b"\n")[0]
            done = [json.loads(line)["original_task_info"]["id"] for line in whole.splitlines()]
            assert len(done) == len(set(done))
        if running.returncode == 0:  # it was faster: that file is finished, and the kills go on with another
            check_the_finished(output)
            lap += 1
            output = tmp_path / f"{lap}.jsonl"
    last = start(output)
    _, said = last.communicate(timeout=200)
    assert last.returncode == 0, said
    wait_until_none_is_left(besides)
    check_the_finished(output)
    # A kill may also leave the file with which Python's tempfile tries a folder.
    tried = {path for path in temporary.iterdir() if path.is_file() and re.fullmatch("[a-z0-9_]{8}", path.name)}
    left = set(temporary.iterdir()) - tried
    assert not left, "temporary files are left"
