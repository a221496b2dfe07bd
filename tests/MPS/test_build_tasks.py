"""From public data to task files: answers, what is left out and why, the split, and what is said without a network."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from data_resource.answers import from_field, from_solution, last_boxed
from data_resource.build_tasks import LeftOut, answers_of
from data_resource.sources import Source, rows_of_file

from score.errors import DataError
from score.tasks import Task, read_tasks

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "text, answer",
    [
        (r"so \boxed{4} and then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"the set is \boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"the pair \fbox{(3, \sqrt{2})} it is", r"(3, \sqrt{2})"),
        (r"thus \boxed 7, as said", "7"),
        (r"it never ends: \boxed{\frac{1}{2}", None),
        (r"empty \boxed{}", None),
        ("no box", None),
    ],
)
def test_the_last_box_is_read_with_balanced_braces(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


def test_answers_of_solutions_and_fields() -> None:
    assert from_solution("48 + 24 = <<48+24=72>>72 clips.\n#### 72") == "72"
    assert from_solution("It is 3 + 4.\n####7\n") == "7"
    assert from_solution(r"Hence $x = \boxed{5}$.") == "5"
    assert from_solution("#### Step 1\nIt is $3^2$.\n#### Step 2\nThus $\\boxed{9}$, as said.") == "9"
    assert from_solution("It is #### 7, or so.") is None
    assert from_solution("Thus $\\boxed{9}$.\n####") == "9"
    assert from_solution("It is left to the reader.") is None
    assert from_field(r"\boxed{\text{Trochophore}}") == "Trochophore"
    assert from_field(r" \text{(A)} or 3 ") == r"\text{(A)} or 3"


def build(folder: Path, config: dict[str, Any], *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "tasks.yaml").write_text(yaml.safe_dump(config))
    return subprocess.run(
        [sys.executable, "MPS/data_resource/build_tasks.py", "--config", str(folder / "tasks.yaml"), *arguments],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def config_of(folder: Path, **sources: dict[str, Any]) -> dict[str, Any]:
    shipped = yaml.safe_load((ROOT / "configs" / "tasks.yaml").read_text())
    return shipped | {
        "output": str(folder / "{domain}_{phase}.jsonl"),
        "raw": str(folder / "raw"),
        "evaluation_sets": [],
        "sources": sources or shipped["sources"],
    }


ROWS = [
    {"problem": "What is 2 + 2?", "solution": r"It is \boxed{4}.", "level": "Level 1"},
    {"problem": "what is  2 + 2?", "solution": r"It is \boxed{4}.", "level": "Level 1"},
    {"problem": "What is 2 + 3?", "solution": r"It is \boxed{5}.", "level": "Level 5"},
    {"problem": "Prove that 2 + 2 is 4.", "solution": r"\boxed{4}", "level": "Level 1"},
    {"problem": "See ![figure](http://x/y.png). How long is AB?", "solution": r"\boxed{3}", "level": "Level 1"},
    {"problem": "What is 1 + 1?", "solution": "Clearly.", "level": "Level 1"},
    {"problem": "What is truth?", "solution": rf"\boxed{{{'long ' * 80}}}", "level": "Level 1"},
    {"problem": " ", "solution": r"\boxed{3}", "level": "Level 1"},
]
LEFT_OUT = ["occurred before in toy", "difficulty", "asks for a proof", "needs a picture", "no answer found",
            "answer too long to be compared", "no question"]  # fmt: skip


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet", "csv"])
def test_every_format_gives_the_same_task_and_every_reason_is_counted(tmp_path: Path, suffix: str) -> None:
    raw = tmp_path / "raw" / "toy"
    raw.mkdir(parents=True)
    if suffix == "jsonl":
        (raw / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif suffix == "json":
        (raw / "rows.json").write_text(json.dumps({"data": ROWS}))
    elif suffix == "parquet":
        pd.DataFrame(ROWS).to_parquet(raw / "rows.parquet")
    else:
        with open(raw / "rows.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    toy = {
        "question": "problem",
        "solution": "solution",
        "keep": ["level"],
        "difficulty": {"field": "level", "most": 3},
    }
    ran = build(tmp_path, config_of(tmp_path, toy=toy) | {"bc_share": 1})
    assert ran.returncode == 0, ran.stderr
    assert "toy: 8 rows -> 1 for phase 1, 0 for phase 2" in ran.stdout
    assert all(f"1 left out: {reason}\n" in ran.stdout for reason in LEFT_OUT), ran.stdout
    (task,) = read_tasks(tmp_path / "math_bc_init.jsonl")[0]
    assert (task.question, task.true_answer, task.model_extra) == (
        "What is 2 + 2?",
        "4",
        {"source": "toy", "level": "Level 1"},
    )
    manifest = json.loads((tmp_path / "math_bc_init.jsonl.manifest.json").read_text())
    assert manifest["counts"]["toy"]["rows"] == 8 and manifest["settings"]["seed"] == 42


def test_aliases_become_accepted_answers_and_values_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([
        {"q": {"text": "Who?"}, "a": "Ada", "also": ["Ada Lovelace", "Ada"], "answerable": True},
        {"q": {"text": "What?"}, "a": "No", "also": [], "answerable": False},
    ]))  # fmt: skip
    source = {
        "files": [str(tmp_path / "rows.json")],
        "question": "q.text",
        "answer": "a",
        "aliases": "also",
        "only": {"answerable": [True]},
    }
    assert build(tmp_path, config_of(tmp_path, toy=source) | {"bc_share": 0}).returncode == 0
    (task,) = read_tasks(tmp_path / "math_mps.jsonl")[0]
    assert task.true_answer == ["Ada", "Ada Lovelace"]


@pytest.mark.parametrize(
    "given, accepted",
    [
        (["pol", None, " ", 3], ["politician", "pol", "3"]),
        ('["politician", "pol"]', ["politician", "pol"]),
        ("null", ["politician"]),
        ("", ["politician"]),
        (None, ["politician"]),
    ],
)
def test_aliases_are_a_list_or_a_text_that_is_one(given: Any, accepted: list[str]) -> None:
    row = {"answer": "politician", "also": given}
    assert answers_of(row, Source(answer="answer", aliases="also")) == accepted


@pytest.mark.parametrize("given", ["pol", "['pol']", '{"pol": 1}', {"pol": 1}, 7])
def test_a_row_whose_aliases_are_no_list_is_left_out(given: Any) -> None:
    with pytest.raises(LeftOut, match="aliases are no list"):
        answers_of({"answer": "politician", "also": given}, Source(answer="answer", aliases="also"))


@pytest.mark.parametrize(
    "given, accepted",
    [
        (7, ["7"]),
        (0.5, ["0.5"]),
        (True, ["True"]),
        (["Adele", None, " ", "Adele Adkins"], ["Adele", "Adele Adkins"]),
        ('["Adele", "Adele Adkins"]', ["Adele", "Adele Adkins"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[]", []),
        (None, []),
    ],
)
def test_an_answer_is_a_text_a_number_or_a_list_of_them(given: Any, accepted: list[str]) -> None:
    assert answers_of({"answer": given}, Source(answer="answer")) == accepted


@pytest.mark.parametrize(
    "given", [{"value": "Adele"}, [["Adele"]], [{"value": "Adele"}], float("nan"), float("inf"), "['Adele', 'Adkins']"]
)
def test_a_row_whose_answer_only_prints_as_a_text_is_left_out(given: Any) -> None:
    with pytest.raises(LeftOut, match="its answer is no text"):
        answers_of({"answer": given}, Source(answer="answer"))
    with pytest.raises(LeftOut, match="its answer is no text|its aliases are no list"):
        answers_of({"answer": "Adele", "also": given}, Source(answer="answer", aliases="also"))


def test_a_pattern_of_evaluation_sets_that_matches_nothing_is_said(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "What is 2 + 2?", "answer": "4"}) + "\n")
    (tmp_path / "test.jsonl").write_text(json.dumps({"id": "1", "question": "What else?"}) + "\n")
    config = config_of(tmp_path, toy={"files": [str(rows)], "answer": "answer"})
    ran = build(tmp_path, config | {"evaluation_sets": [f"{tmp_path}/test*.jsonl", f"{tmp_path}/none/*.jsonl"]})
    assert ran.returncode == 0, ran.stderr
    assert f"evaluation_sets: no file matches {tmp_path}/none/*.jsonl\n" in ran.stdout
    assert "test*" not in ran.stdout and "not checked" not in ran.stdout


@pytest.mark.parametrize(
    "text",
    ['{"q": 1, "l": [1]}\n{"q": 2, "l": [2]}\n', '[{"q": 1}, {"q": 2}]', '{"data": [{"q": 1}, {"q": 2}]}']
    + ['\n{"version": 1,\n "data": [\n{"q": 1},\n{"q": 2}\n]\n}\n'],
)
def test_a_json_file_holds_an_array_an_object_with_one_or_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    assert [row["q"] for row in rows_of_file(tmp_path / "rows.json", {"q"})] == [1, 2]


@pytest.mark.parametrize(
    "text, said",
    [('{"q": 1}\n{"q": ', "rows.json:2: not JSON"), ('{"q": \n1', "expected a list of rows"), ("", "expected a list")],
)
def test_a_json_file_that_is_none_of_these_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(DataError, match=said):
        list(rows_of_file(tmp_path / "rows.json", {"q"}))


def test_a_source_without_files_and_hub_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "raw" / "toys").mkdir(parents=True)
    ran = build(tmp_path, config_of(tmp_path, toy={"answer": "answer"}))
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert "sources.toy: no file" in ran.stderr and f"{tmp_path}/raw/toy/" in ran.stderr


def test_a_name_that_the_hub_cannot_have_is_named(tmp_path: Path) -> None:
    ran = build(tmp_path, config_of(tmp_path, toy={"answer": "answer", "hub": "not/a/name"}))
    assert ran.returncode == 2 and "Traceback" not in ran.stderr and "not/a/name" in ran.stderr


def test_without_a_network_it_says_which_files_to_put_where(tmp_path: Path) -> None:
    ran = build(tmp_path, config_of(tmp_path), HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "cache"))
    assert ran.returncode == 2 and "cannot be reached" in ran.stderr
    for name, hub in (
        ("gsm8k", "openai/gsm8k (split train, subsets main)"),
        ("musique", "dgslibisey/MuSiQue (split train)"),
    ):
        assert f"{hub} -> {tmp_path}/raw/{name}/" in ran.stderr
    assert not list(tmp_path.glob("*.jsonl"))


def test_gsm8k_and_the_seeds_become_disjoint_tasks_clear_of_the_evaluation_sets(
    shared_data: Path, tmp_path: Path
) -> None:
    benchmarks, seeds = shared_data / "benchmarks", shared_data / "seeds"
    evaluation = [str(benchmarks / f"{name}.jsonl") for name in ("gsm8k_test", "math_500", "hqa")]
    config = config_of(
        tmp_path,
        gsm8k={"files": [str(benchmarks / "gsm8k_train.jsonl")], "solution": "answer"},
        seeds={"files": [str(seeds / "math_bc_init_seed.jsonl")], "id": "id", "answer": "true_answer"},
        search={
            "domain": "search",
            "files": [str(seeds / "search_bc_init_seed_head500.jsonl")],
            "id": "id",
            "answer": "true_answer",
        },
    )
    ran = build(tmp_path, config | {"evaluation_sets": evaluation})
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[Task]] = {}
    for phase in ("math_bc_init", "math_mps", "search_bc_init", "search_mps"):
        found[phase], problems = read_tasks(tmp_path / f"{phase}.jsonl")
        assert not problems
    questions = [{task.question for task in tasks} for tasks in found.values()]
    assert sum(map(len, questions)) == len(set.union(*questions))
    assert 0.18 < len(found["math_bc_init"]) / (len(found["math_bc_init"]) + len(found["math_mps"])) < 0.22
    gsm8k = {
        task.question: task
        for tasks in found.values()
        for task in tasks
        if (task.model_extra or {})["source"] == "gsm8k"
    }
    given = [json.loads(line) for line in (benchmarks / "gsm8k_train.jsonl").read_text().splitlines()]
    assert len(gsm8k) == 7473 - 4
    assert all(
        gsm8k[row["question"].strip()].true_answer == row["answer"].rsplit("####", 1)[1].strip()
        for row in given
        if row["question"].strip() in gsm8k
    )
    listed = [json.loads(line) for line in (tmp_path / "math_contaminated.jsonl").read_text().splitlines()]
    assert len([row for row in listed if row["source"] == "gsm8k"]) == 4 and listed[0]["evaluation_question"]
    first = {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in found}
    assert build(tmp_path, config | {"evaluation_sets": evaluation}).returncode == 0
    assert first == {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in found}
