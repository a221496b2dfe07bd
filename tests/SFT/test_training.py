"""A few real LLaMA-Factory steps on converted trajectories, with the CPU road's own configuration."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from score.miniature.student import make_student
from score.miniature.world import write_world
from score.tasks import read_tasks
from score.trajectory import Step, Trajectory, Verdict, bc_row

ROOT = Path(__file__).resolve().parents[2]
STEPS = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder as runs/cpu.sh lays it out, up to the converted BC data."""
    folder = tmp_path_factory.mktemp("run")
    write_world(folder / "world", 0, {"bc": 60, "mps": 20, "validation": 10, "test": 10})
    make_student(folder / "world", folder / "student", seed=0)
    key = {row["id"]: row for row in map(json.loads, (folder / "world" / "answer_key.jsonl").read_text().splitlines())}
    with open(folder / "bc_init_trajectories.jsonl", "w", encoding="utf-8") as file:
        for task in read_tasks(folder / "world" / "bc.jsonl")[0]:
            steps = [
                Step(thought=step["thought"], code=step["code"], observation=step["value"])
                for step in key[task.id]["steps"]
            ]
            steps[-1].is_finished = True
            plan = key[task.id]["plan"]
            whole = Trajectory(task=task, plan=plan, steps=steps, verdict=Verdict(correct=True, by="key"))
            file.write(json.dumps(bc_row(whole)) + "\n")
    ran = subprocess.run(
        [sys.executable, "format/BC_init_llamafactory_format_convert.py", "--config", "../configs/miniature/format.yaml"],
        cwd=ROOT / "MPS", env=os.environ | {"SCORE_RUN": str(folder)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return folder


def test_llamafactory_trains_on_what_the_converter_wrote(run: Path) -> None:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1", "HF_DATASETS_CACHE": str(run / "cache"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    ran = subprocess.run(
        [
            "llamafactory-cli", "train", "../configs/miniature/BC_init.yaml", f"model_name_or_path={run}/student",
            f"dataset_dir={run}/data", f"output_dir={run}/bc", f"max_steps={STEPS}", "logging_steps=1", "seed=0",
        ],
        cwd=ROOT / "SFT", env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert "Dropped" not in ran.stdout + ran.stderr
    state = json.loads((run / "bc" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert len(losses) == STEPS and 0 < losses[-1] < losses[0]
    before, after = (load_file(run / name / "model.safetensors") for name in ("student", "bc"))
    assert before.keys() == after.keys()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_only_the_students_turns_are_trained_and_the_ids_are_the_chat_templates(run: Path) -> None:
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "student")
    template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template="qwen"))
    roles = {"human": "user", "gpt": "assistant"}
    for row in json.loads((run / "data" / "bc_init_llamafactory.json").read_text())[:20]:
        messages = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
        whole = tokenizer.apply_chat_template(messages, return_dict=False)
        pairs = template.encode_multiturn(tokenizer, messages)
        assert [token for prompt, reply in pairs for token in (*prompt, *reply)] == whole
        for message, (_, reply) in zip(messages[1::2], pairs, strict=True):
            assert tokenizer.decode(reply).removesuffix("\n") == message["content"] + "<|im_end|>"
