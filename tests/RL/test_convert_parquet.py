"""RL rows become verl's parquet files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "RL" / "SCoRe_Script" / "data_preprocess" / "convert_parquet.py"


def row(number: int, *, key_step: bool) -> dict[str, Any]:
    prompt = [{"role": "user", "content": f"question {number}"}]
    if key_step:
        prompt += [
            {"role": "assistant", "content": "<thought>t</thought><code>a = 1\nprint(a)</code>"},
            {"role": "user", "content": "Observation: 1"},
        ]
    step = "<thought>t</thought><code>print({})</code>"
    return {
        "prompt": prompt,
        "chosen": step.format(2) if key_step else "",
        "chosen_observation": "2" if key_step else "",
        "rejected": step.format(3) if key_step else "",
        "rejected_observation": "3" if key_step else "",
        "correct_step": 2 if key_step else None,
        "gt_answer": ["4", "four"] if number % 2 else "4",
    }


def convert(folder: Path, rows: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "rl.json").write_text(json.dumps(rows))
    command = [sys.executable, str(SCRIPT), "--input", str(folder / "rl.json"), "--output", str(folder / "out")]
    return subprocess.run(
        [*command, "--set", "tokenizer=null", "--set", "interpreter.preload=[math]", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT / "RL",
        timeout=60,
    )


ROWS = [row(number, key_step=number % 3 != 0) for number in range(30)]


@pytest.mark.parametrize(
    "mode, from_prefix, key_step, key_turns",
    [
        ("standard", True, True, {0}),
        ("long_horizon", False, True, {0, 1}),
        ("sparse_reward", True, False, {0}),
        ("long_horizon_sparse", False, False, {0, 1}),
    ],
)
def test_modes(tmp_path: Path, mode: str, from_prefix: bool, key_step: bool, key_turns: set[int]) -> None:
    done = convert(tmp_path, ROWS, "--mode", mode)
    assert done.returncode == 0, done.stderr
    frame = pd.concat([pd.read_parquet(tmp_path / "out" / f"{split}.parquet") for split in ("train", "val")])
    assert set(frame["data_source"]) == set(frame["agent_name"]) == {"agent_distill"}
    assert any(len(prompt) > 1 for prompt in frame["prompt"]) is from_prefix
    assert any(info["chosen_step"] for info in frame["extra_info"]) is key_step
    assert {int(info["key_turn"]) for info in frame["extra_info"]} == key_turns
    assert {tuple(info["references"]) for info in frame["extra_info"]} == {("4",), ("4", "four")}


def test_a_share_of_corrected_rows_starts_from_the_question(tmp_path: Path) -> None:
    assert convert(tmp_path, ROWS, "--set", "whole_question_share=1.0").returncode == 0
    frame = pd.read_parquet(tmp_path / "out" / "train.parquet")
    assert all(len(prompt) == 1 for prompt in frame["prompt"])


def test_validation_tasks_are_whole_questions_and_cost_training_no_row(tmp_path: Path) -> None:
    tasks = [{"id": str(n), "question": f"task {n}", "true_answer": str(n)} for n in range(9)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    chosen = ["--set", f"validation_tasks={tmp_path / 'tasks.jsonl'}", "--set", "validation_rows=8"]
    assert convert(tmp_path, ROWS, *chosen).returncode == 0
    validation = pd.read_parquet(tmp_path / "out" / "val.parquet")
    assert [prompt[-1]["content"] for prompt in validation["prompt"]] == [f"task {n}" for n in range(8)]
    assert not any(info["chosen_step"] for info in validation["extra_info"])
    assert len(pd.read_parquet(tmp_path / "out" / "train.parquet")) == len(ROWS)


def questions(folder: Path, split: str) -> list[str]:
    return [prompt[0]["content"] for prompt in pd.read_parquet(folder / "out" / f"{split}.parquet")["prompt"]]


def test_rows_beyond_validation_rows_are_trained_on_but_for_those_with_a_question_of_validation(tmp_path: Path) -> None:
    rows = [row(number, key_step=key_step) for number in range(40) for key_step in (True, False)]
    done = convert(tmp_path, rows, "--set", "validation_share=0.5", "--set", "validation_rows=7")
    assert done.returncode == 0, done.stderr
    trained, validated = questions(tmp_path, "train"), questions(tmp_path, "val")
    assert len(validated) == 7 and not set(validated) & set(trained)
    assert len(trained) == 80 - 7 - 1 and "1 left out: validation asks the question" in done.stdout
    assert len((tmp_path / "out" / "left_out.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("share, stands_in", [("0", True), ("0.5", False)])
def test_a_training_row_that_stands_in_for_validation_is_counted_and_marked(
    tmp_path: Path, share: str, stands_in: bool
) -> None:
    done = convert(tmp_path, ROWS, "--set", f"validation_share={share}")
    assert ("1 of training in place of a validation row" in done.stdout) is stands_in
    infos = pd.read_parquet(tmp_path / "out" / "val.parquet")["extra_info"]
    assert {info["split"] for info in infos} == ({"train"} if stands_in else {"val"})
    assert (set(questions(tmp_path, "val")) <= set(questions(tmp_path, "train"))) is stands_in


def test_questions_of_sft_and_of_validation_are_left_out_of_training(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "Question  4"}, {"from": "gpt", "value": "<code>print(1)</code>"}]
    (tmp_path / "sft.json").write_text(json.dumps([{"conversations": said}]))
    (tmp_path / "tasks.jsonl").write_text('{"id": "1", "question": "question 5", "true_answer": "4"}\n')
    more = ["--set", f"sft={tmp_path / 'sft.json'}", "--set", f"validation_tasks={tmp_path / 'tasks.jsonl'}"]
    done = convert(tmp_path, ROWS, *more)
    assert done.returncode == 0, done.stderr
    trained = {prompt[0]["content"] for prompt in pd.read_parquet(tmp_path / "out" / "train.parquet")["prompt"]}
    assert trained == {f"question {number}" for number in range(30)} - {"question 4", "question 5"}
    listed = [json.loads(line) for line in (tmp_path / "out" / "left_out.jsonl").read_text().splitlines()]
    assert {row["question"]: row["why"] for row in listed} == {
        "question 4": "SFT used the question",
        "question 5": "validation asks the question",
    }


def test_a_question_over_the_limit_is_left_out_of_validation_too(tmp_path: Path, tiny_student: Path) -> None:
    questions = ["How many apples?", "How many? " * 60]
    tasks = [{"id": str(n), "question": text, "true_answer": "1"} for n, text in enumerate(questions)]
    (tmp_path / "tasks.jsonl").write_text(json.dumps(tasks[0]) + "\n" + json.dumps(tasks[1]) + "\n")
    limits = ["--set", f"tokenizer={tiny_student}", "--set", "max_prompt_length=150"]
    chosen = ["--set", f"validation_tasks={tmp_path / 'tasks.jsonl'}"]
    done = convert(tmp_path, ROWS, *limits, *chosen)
    assert done.returncode == 0 and "1 left out: prompt over 150 tokens" in done.stdout
    validation = pd.read_parquet(tmp_path / "out" / "val.parquet")
    assert [prompt[-1]["content"] for prompt in validation["prompt"]] == questions[:1]
    (tmp_path / "tasks.jsonl").write_text(json.dumps(tasks[1]) + "\n")
    assert "holds no question that fits" in convert(tmp_path, ROWS, *limits, *chosen).stderr


def test_malformed_rows_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    broken = [*ROWS, {"prompt": []}, {**row(99, key_step=True), "rejected": ""}]
    done = convert(tmp_path, broken)
    assert done.returncode == 3
    assert "row 31:" in done.stderr and "row 32:" in done.stderr and "rejected" in done.stderr
    assert "2 malformed" in done.stdout


def test_an_empty_result_stops(tmp_path: Path) -> None:
    done = convert(tmp_path, [{"prompt": []}])
    assert done.returncode == 2 and "no row was left" in done.stderr
    assert not (tmp_path / "out" / "train.parquet").exists()
