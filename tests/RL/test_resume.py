"""Whole runs of the launcher: one whose worker or whole job is killed in the middle of a step goes on from its last
checkpoint, in the same order of the data; one with LoRA leaves a whole student. With SCORE_SLOW_TESTS=1 the whole job is
killed too; that takes another minute."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
PROMPTS, BATCH = 8, 2  # four steps, in which each prompt is due once
SETTINGS = """
interpreter: {preload: [math], step_timeout_s: 5}
limits: {tokens_per_turn: 12}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"prompt": [{"role": "user", "content": f"Number {number}: how many apples?"}], "gt_answer": "7"}
        for number in range(PROMPTS)
    ]
    (tmp_path / "rl.json").write_text(json.dumps(rows))
    (tmp_path / "RL.yaml").write_text(SETTINGS)
    convert = [sys.executable, "SCoRe_Script/data_preprocess/convert_parquet.py", "--input", str(tmp_path / "rl.json")]
    places = ["--output", str(tmp_path / "data"), "--set", "tokenizer=null", "--set", "validation_share=0"]
    subprocess.run([*convert, *places], check=True, cwd=ROOT / "RL", timeout=100)
    return tmp_path


def start(folder: Path, student: Path, **variables: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SCORE_RUN": str(folder), "MODEL": str(student), "DATA": str(folder / "data"),
        "SETTINGS": str(folder / "RL.yaml"), "SEED": "3", "STEPS": str(PROMPTS // BATCH), "BATCH": str(BATCH),
        "MINI_BATCH": str(BATCH), "ROLLOUTS": "2", "SAVE_FREQ": "1", "TEST_FREQ": "-1", "ENTROPY": "0.01",
        "PROMPT_LENGTH": "256", "RESPONSE_LENGTH": "32", "VERL_CPU_TRAIN_THREADS": "1", **variables,
    }  # fmt: skip
    command = ["bash", "SCoRe_Script/run_miniature_cpu.sh", f"trainer.rollout_data_dir={folder / 'dump'}"]
    log = open(folder / "log.txt", "ab")
    return subprocess.Popen(
        command, cwd=ROOT / "RL", env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def wait_for(path: Path, process: subprocess.Popen[bytes], log: Path, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not path.is_file():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def prompts_of(dump: Path) -> list[str]:
    rows = [json.loads(line) for line in dump.read_text().splitlines()]
    return sorted({row["input"].split("Number ")[1].split(":")[0] for row in rows})


def check(folder: Path, before: dict[int, list[str]]) -> None:
    steps = {number: prompts_of(folder / "dump" / f"{number}.jsonl") for number in range(1, PROMPTS // BATCH + 1)}
    assert sorted(prompt for found in steps.values() for prompt in found) == [str(n) for n in range(PROMPTS)]
    assert all(steps[number] == found for number, found in before.items())
    rows = [json.loads(line) for line in (folder / "rl" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.timeout(600)
def test_a_killed_training_worker_costs_a_step_and_not_the_run(folder: Path, tiny_student: Path) -> None:
    running = start(folder, tiny_student, RESTARTS="1")
    try:
        wait_for(folder / "dump" / "2.jsonl", running, folder / "log.txt")
        before = {number: prompts_of(folder / "dump" / f"{number}.jsonl") for number in (1, 2)}
        workers = [child for child in descendants(running) if "ray::WorkerDict" in name_of(child)]
        assert workers
        workers[0].kill()
        assert running.wait(timeout=250) == 0, (folder / "log.txt").read_text()[-3000:]
    finally:
        end(running)
    assert "the run failed; it goes on from step" in (folder / "log.txt").read_text(errors="replace")
    check(folder, before)
    manifest = json.loads((folder / "rl.manifest.json").read_text())
    assert manifest["counts"]["steps"] == 4 and manifest["changes"] == []

    # Its checkpoints are not for another student, whatever verl would do with them.
    again = start(folder, folder / "rl", STEPS="5")
    assert again.wait(timeout=100) == 2
    assert "student: was" in (folder / "log.txt").read_text(errors="replace")


@pytest.mark.timeout(600)
def test_a_run_with_lora_exports_a_whole_student(folder: Path, tiny_student: Path) -> None:
    running = start(folder, tiny_student, LORA="4", STEPS="1")
    try:
        assert running.wait(timeout=250) == 0, (folder / "log.txt").read_text()[-3000:]
    finally:
        end(running)
    before, after = (load_file(student / "model.safetensors") for student in (tiny_student, folder / "rl"))
    assert before.keys() == after.keys()
    # The rate's warm-up begins at 0, so what was merged is what was there (test_export_checkpoint.py: that merging merges).
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


@pytest.mark.timeout(600)
@pytest.mark.skipif(not os.environ.get("SCORE_SLOW_TESTS"), reason="SCORE_SLOW_TESTS is not set")
def test_a_killed_job_goes_on_with_the_same_command(folder: Path, tiny_student: Path) -> None:
    running = start(folder, tiny_student)
    try:
        wait_for(folder / "dump" / "2.jsonl", running, folder / "log.txt")
        before = {number: prompts_of(folder / "dump" / f"{number}.jsonl") for number in (1, 2)}
    finally:
        end(running)
    shutil.rmtree(folder / "dump")  # steps 1 and 2 are not run again
    running = start(folder, tiny_student)
    try:
        assert running.wait(timeout=250) == 0, (folder / "log.txt").read_text()[-3000:]
    finally:
        end(running)
    again: dict[int, Any] = {n: p for n in (1, 2) if (p := folder / "dump" / f"{n}.jsonl").is_file()}
    assert 1 not in again
    for number, found in before.items():
        if number not in again:
            rows = [json.dumps({"input": f"Number {prompt}:"}) for prompt in found]
            (folder / "dump" / f"{number}.jsonl").write_text("\n".join(rows) + "\n")
    check(folder, before)


def end(running: subprocess.Popen[bytes]) -> None:
    """Kill the launcher with all that it started."""
    left = descendants(running) if running.poll() is None else []
    for process in left:
        try:
            process.kill()
        except psutil.Error:
            pass
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    running.wait()
