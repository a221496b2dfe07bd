"""One writer at a time: the locks of a run, what holds them, and what FRESH=1 leaves alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "runs")]

import study  # noqa: E402

PLAN = study.Plan("try", steps={"hard": 4}, validate_every=2, seeds=(0,))
BEGIN = "set -euo pipefail; source runs/miniature.sh; run_folder demo 0; "
SERVER = """
import http.server, sys
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Ok).serve_forever()
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's folder of a run with a file in it."""
    monkeypatch.setenv("SCORE_OUTPUT", str(tmp_path))
    kept = tmp_path / "miniature" / "seed0" / "rl_training" / "kept"
    kept.parent.mkdir(parents=True)
    kept.touch()
    return tmp_path / "miniature" / "seed0"


def bash(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=os.environ | variables, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


@contextmanager
def held(run: Path, name: str) -> Iterator[int]:
    """While somebody holds this lock; gives his process."""
    lock = Path(f"{run}.locks") / name
    lock.parent.mkdir(exist_ok=True)
    holder = subprocess.Popen(["flock", "--no-fork", lock, "sleep", "60"])
    try:
        deadline = time.monotonic() + 20
        while subprocess.run(["flock", "-n", lock, "true"], check=False).returncode == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield holder.pid
    finally:
        holder.kill()
        holder.wait()


def test_what_a_killed_script_left_running_holds_its_lock_and_is_named(run: Path) -> None:
    started = bash(BEGIN + "hold 7 job; sleep 60 > /dev/null 2>&1 & echo $!; kill -9 $$")
    orphan = int(started.stdout)
    try:
        again = bash(BEGIN + "hold 7 job; echo got it")
        assert again.returncode == 1 and again.stdout == ""
        assert f"{run} is being written by {orphan} " in again.stderr and f"kill {orphan}\n" in again.stderr
        assert bash(BEGIN + "hold 7 another_job; echo got it").stdout == "got it\n"
    finally:
        os.kill(orphan, signal.SIGKILL)
    assert bash(BEGIN + "hold 7 job; echo got it").stdout == "got it\n"


def test_a_server_that_outlives_its_script_holds_no_lock(run: Path, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    locks = "hold 7 a; hold 8 b; hold 9 c; "
    started = bash(BEGIN + locks + f"serve s URL python {tmp_path}/server.py; echo ${{SERVERS[0]}}; kill -9 $$")
    try:
        assert bash(BEGIN + locks + "echo got them").stdout == "got them\n"
    finally:
        os.kill(int(started.stdout), signal.SIGKILL)


@pytest.mark.parametrize("lock", ["road", "rl_long_horizon", "study_answers_of_sft"])
def test_a_fresh_road_deletes_nothing_that_somebody_writes_to(run: Path, lock: str) -> None:
    with held(run, lock) as holder:
        ended = bash("bash runs/cpu.sh", FRESH="1", SEED="0", UNTIL="world")
    assert ended.returncode == 1 and f"{run} is being written by {holder} " in ended.stderr
    assert (run / "rl_training" / "kept").exists()


@pytest.mark.parametrize("name", [{}, {"NAME": "laptop"}, {"RUN_NAME": "mine"}], ids=["", "WSL's", "our own"])
def test_fresh_rl_deletes_nothing_that_somebody_writes_to(run: Path, name: dict[str, str]) -> None:
    """WSL sets NAME to the computer's: it is no run's name."""
    with held(run, "rl" + "_mine" * ("RUN_NAME" in name)) as holder:
        command = "bash RL/SCoRe_Script/train_miniature.sh standard 0"
        ended = bash(command, FRESH="1", SCORE_EXPERT_URL="http://none", **name)
    assert ended.returncode == 1 and f"{run} is being written by {holder} " in ended.stderr
    assert (run / "rl_training" / "kept").exists()


def test_a_job_that_a_killed_study_left_running_is_not_started_beside_itself(tmp_path: Path, run: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'runs')!r}]; import study; "
        "study.do(study.Plan('try', steps={'hard': 4}, validate_every=2, seeds=()), "
        "study.Job('hard 0 job', lambda: 'echo $$ > $RUN/process; exec sleep 60'), 1)"
    )
    process = tmp_path / "miniature" / "hard_seed0" / "process"
    killed = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 30
    while not (process.exists() and process.read_text().strip()):
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    orphan = int(process.read_text())
    again = [study.Job("hard 0 job", lambda: "touch $RUN/again")]
    try:
        assert study.do_all(PLAN, again, lanes=1) == ["hard 0 job"]
        log = process.parent / "log" / "try_job.log"
        assert f"is being written by {orphan} " in log.read_text() and not (process.parent / "again").exists()
    finally:
        os.kill(orphan, signal.SIGKILL)
    assert study.do_all(PLAN, again, lanes=1) == [] and (process.parent / "again").exists()


def test_the_study_s_jobs_start_the_road_and_rl_under_locks_of_their_own(run: Path) -> None:
    nested = f"{BEGIN} hold 7 try_road; bash -c '{BEGIN} hold 9 road; bash -c \"{BEGIN} hold 8 rl; echo all\"'"
    assert bash(nested).stdout == "all\n"
