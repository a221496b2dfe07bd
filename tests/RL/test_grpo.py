"""Two real GRPO steps of stock verl through the CPU launcher, on a tiny random student."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
interpreter: {preload: [math], step_timeout_s: 5}
limits: {tokens_per_turn: 12}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four prompts, two of them from a prefix."""
    folder = tmp_path_factory.mktemp("rl")
    question = [{"role": "user", "content": "Ann has 3 apples and buys 4 more. How many?"}]
    prefix = [{"role": "assistant", "content": "<thought>Sum.</thought><code>a = 3 + 4\nprint(a)</code>"}]
    prefix += [{"role": "user", "content": "Observation: 7"}]
    key_step = {"chosen": "<code>final_answer_print(a)</code>", "rejected": "<code>print(1)</code>"}
    rows = [
        {"prompt": [{**question[0], "content": f"{number}. {question[0]['content']}"}, *(prefix if number % 2 else [])]}
        | {"gt_answer": "7"}
        | (key_step if number % 2 else {})
        for number in range(4)
    ]
    (folder / "rl.json").write_text(json.dumps(rows))
    script = ROOT / "RL" / "SCoRe_Script" / "data_preprocess" / "convert_parquet.py"
    places = ["--input", str(folder / "rl.json"), "--output", str(folder / "data"), "--set", "tokenizer=null"]
    subprocess.run(
        [sys.executable, str(script), *places, "--set", "validation_share=0"], check=True, cwd=ROOT / "RL", timeout=60
    )
    (folder / "RL.yaml").write_text(SETTINGS)
    return folder


def launch(data: Path, student: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SCORE_RUN": str(data),
        "MODEL": str(student),
        "DATA": str(data / "data"),
        "SETTINGS": str(data / "RL.yaml"),
        "STEPS": "2",
        "BATCH": "4",
        "MINI_BATCH": "4",
        "ROLLOUTS": "2",
        # A random student never hands in an answer: without KL and entropy it would have no gradient at all.
        "ENTROPY": "0.01",
        "LR": "1e-3",
        "PROMPT_LENGTH": "512",
        "RESPONSE_LENGTH": "64",
        "VERL_CPU_TRAIN_THREADS": "1",
        "BYPASS": "false",  # so that the two engines' log-probabilities are compared
    }
    command = ["bash", "SCoRe_Script/run_miniature_cpu.sh", *overrides]
    return subprocess.run(command, cwd=ROOT / "RL", env=environment, capture_output=True, text=True, timeout=280)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(next(folder.glob("*.safetensors")))


def test_two_grpo_steps_train_the_student(data: Path, tiny_student: Path) -> None:
    done = launch(data, tiny_student)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    rows = [json.loads(line) for line in (data / "rl" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert all(row["rollout_probs_diff_max"] < 1e-4 for row in rows)
    assert all(row["unscored"] == 0 and row["generated_tokens"] > 0 for row in rows)
    assert all(sum(row["tiers"].values()) == pytest.approx(1) for row in rows)
    before, after = weights(tiny_student), weights(data / "rl")
    assert before.keys() == after.keys()
    assert any(not before[name].equal(after[name]) for name in before)
    config = json.loads((data / "rl" / "config.json").read_text())
    assert config["dtype"] == "float32" and "attn_implementation" not in config
    assert (data / "rl" / "tokenizer.json").is_file()
