"""Scores, intervals and the comparison of students; unscored is a state of its own."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from figures import compare, summarise
from intervals import paired_difference, wilson
from scoring import score_rows

from score.answers import Equivalence
from score.judging import Judge

ROOT = Path(__file__).resolve().parents[2]


def test_wilson_is_the_published_interval() -> None:
    # Newcombe 1998, table I, method 3 (Wilson score): 81 of 263 and 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_a_paired_difference_rests_on_the_discordant_tasks() -> None:
    first = [True] * 50 + [False] * 50
    second = [True] * 50 + [True] * 20 + [False] * 30
    mean, low, high = paired_difference(first, second)
    assert mean == pytest.approx(0.2) and 0.12 < low < 0.13 and 0.27 < high < 0.28
    with pytest.raises(ValueError, match="same tasks"):
        paired_difference([True], [True, False])


def row(number: int, answer: str | None, reference: str = "4", ended: str = "answered") -> dict[str, object]:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "x"}]
    return {"id": str(number), "question": "?", "true_answer": reference, "messages": messages, "gen_answer": answer,
            "ended": ended, "completion_tokens": 10, "kind": "word"}  # fmt: skip


def test_what_nobody_can_decide_is_unscored() -> None:
    rows = [row(1, "4.0"), row(2, "5"), row(3, None, ended="out of steps"), row(4, "NYC", "Big Apple")]
    with Equivalence(workers=1) as equivalence:
        scored = asyncio.run(score_rows(rows, Judge(equivalence, None), 4, "test"))
    assert [item.correct for item in scored] == [True, False, False, None]
    total = summarise(scored)
    assert (total.n, total.right, total.unscored, total.ended["out of steps"]) == (4, 1, 1, 1)
    compared = compare(scored, scored)
    assert (compared["n"], compared["left_out"]) == (3, 1)  # the unscored task is in no comparison, and that is told


def test_tokens_that_a_server_did_not_report_are_unknown_and_not_0() -> None:
    rows = [row(1, "4"), row(2, "4") | {"completion_tokens": None}]
    with Equivalence(workers=1) as equivalence:
        scored = asyncio.run(score_rows(rows, Judge(equivalence, None), 4, "test"))
    assert summarise(scored[:1]).tokens == 10 and summarise(scored).tokens is None


def test_the_table_the_json_and_the_plot_agree(tmp_path: Path) -> None:
    for name, right in (("bc", 30), ("sft", 60)):
        rows = [row(number, "4" if number < right else "5") for number in range(100)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in rows))
    (tmp_path / "config.yaml").write_text("concurrency: 4\n")
    ran = subprocess.run(
        [
            sys.executable, "evaluate.py", "--config", f"{tmp_path}/config.yaml", "--json", f"{tmp_path}/r.json",
            "--results", f"bc={tmp_path}/bc.jsonl", f"sft={tmp_path}/sft.jsonl", "--plot", f"{tmp_path}/r.png",
            "--note", "seed=3",
        ],
        cwd=ROOT / "inference", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["seed"] == 3
    assert report["students"]["sft"]["accuracy"] == 0.6 and report["students"]["bc"]["n"] == 100
    assert report["pairs"][0]["difference"] == pytest.approx(0.3)
    assert "SCoRe-SFT - BC" in ran.stdout and "+30.0 points" in ran.stdout
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_or_foreign_result_file_stops(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    ran = subprocess.run(
        [sys.executable, "evaluate.py", "--results", f"x={tmp_path}/empty.jsonl"],
        cwd=ROOT / "inference", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 2 and "holds no result" in ran.stderr


def evaluate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`evaluate.py` on one run, `bc`, whose only answer is right."""
    (folder / "bc.jsonl").write_text(json.dumps(row(1, "4")) + "\n")
    (folder / "config.yaml").write_text(f"concurrency: 4\noutput: {folder / 'output'}\n")
    return subprocess.run(
        [sys.executable, "evaluate.py", "--config", f"{folder}/config.yaml", "--results", f"bc={folder}/bc.jsonl", *arguments],
        cwd=ROOT / "inference", capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_run_is_not_lost_to_a_suite_of_its_name(tmp_path: Path) -> None:
    ran = evaluate(tmp_path, "--suite", "math", "--name", "bc", "--score-only")
    assert ran.returncode == 2 and "two runs are called 'bc'" in ran.stderr


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--json", "{folder}"], "cannot be written: it is a folder"),
        (["--latex", "{folder}/bc.jsonl/t.tex"], "cannot be written"),
        (["--note", "seed"], "--note seed: expected KEY=VALUE"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = evaluate(tmp_path, *(argument.format(folder=tmp_path) for argument in arguments))
    assert ran.returncode == 2 and said in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "bc.scores.jsonl").exists()


def test_figures_go_into_a_new_folder_with_notes_in_words(tmp_path: Path) -> None:
    ran = evaluate(tmp_path, "--json", f"{tmp_path}/new/t.json", "--note", "day=2024-01-26", "--note", "seconds=1.5")
    assert ran.returncode == 0, ran.stderr
    report = json.loads((tmp_path / "new" / "t.json").read_text())
    assert (report["day"], report["seconds"]) == ("2024-01-26", 1.5)
