"""Both generators, killed in the middle: the same command goes on and every task is there once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from score.trajectory import Trajectory, read_trajectories

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = {
    "BC_init_data_gen.py": ("BC_data_gen_config.yaml", "bc.jsonl"),
    "SCoRe_data_gen.py": ("SCoRe_data_gen_config.yaml", "mps.jsonl"),
}


@pytest.mark.parametrize("script", GENERATORS)
def test_a_killed_run_resumes_without_repeating_or_losing_a_task(
    script: str, world: Path, write_config: Callable[..., Path], student_url: Callable[[str], str], tmp_path: Path
) -> None:
    defaults, tasks = GENERATORS[script]
    config = write_config(defaults, tasks=str(world / tasks), student=student_url("wrong"))
    output = tmp_path / "out.jsonl"
    arguments = [sys.executable, script, "--config", str(config)]
    for enough in (5, 25):  # two kills, at different depths
        running = subprocess.Popen(arguments, cwd=ROOT / "MPS", stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and running.poll() is None:
            if output.is_file() and output.read_bytes().count(b"\n") >= enough:
                break
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    with open(output, "ab") as torn:
        torn.write(b'{"timestamp": "2026')  # what a write that was cut leaves behind
    final = subprocess.run(arguments, cwd=ROOT / "MPS", capture_output=True, text=True, timeout=200, check=False)
    assert final.returncode == 0, final.stderr
    ids = [row.task.id for row in read_trajectories(output) if isinstance(row, Trajectory)]
    assert len(ids) == len(set(ids)) == 60
