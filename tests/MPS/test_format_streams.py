"""What the converters check, leave out and list; and that the quick reader reads as the strict one does."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from format.llamafactory import check

from score.dialogue import Message
from score.errors import DataError
from score.lengths import DialogueLengths
from score.questions import normalised
from score.recorded import _from_trajectory, read_recorded
from score.trajectory import read_trajectories

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"format/{script}.py", *arguments],
        cwd=ROOT / "MPS",
        capture_output=True,
        text=True,
        timeout=120,
    )


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A mentored trajectory whose first action was corrected."""
    steps = [
        {
            "thought": "Thought: add",
            "code": f"print({number} + 1)",
            "observation": str(number + 1),
            "is_finished": False,
        },
        {
            "thought": "done",
            "code": f"final_answer_print({number + 1})",
            "observation": str(number + 1),
            "is_finished": True,
        },
    ]
    plan = {"thought": "add one", "code": "", "observation": "No Code Executed.", "is_finished": False}
    key_step = {
        "teacher_guided_step": steps[0], "student_mistake": [{**steps[0], "code": "print(0)"}], "mistake_step_index": 1,
        "is_valid": True, "prefix_steps": [], "prefix_plan": "add one",
    }  # fmt: skip
    return {
        "steps": [plan, *steps],
        "original_task_info": {
            "id": f"t{number}",
            "question": f"What is {number} plus one?",
            "true_answer": str(number + 1),
        },
        "evaluation_result": {"is_correct": True},
        "repair_steps": [key_step],
    } | changes


STEPS = [{"thought": "Thought: look", "code": "print(0)"}]
ODD = [
    {"original_task_info": {"id": 7, "question": "q", "true_answer": 8}},
    {"original_task_info": {"id": "7", "question": "q", "true_answer": ["8", "eight"], "level": 3}},
    {"original_task_info": {"id": "7", "question": "q", "true_answer": []}},
    {"original_task_info": {"id": "7", "question": " ", "true_answer": "8"}},
    {"steps": [{"error": "it broke"}]},
    {"steps": "none"},
    {"steps": [1, 2]},
    {"steps": []},
    {"first_thought": "First Thought: do it"},
    {"first_thought": None},
    {"evaluation_result": '{"equivalent": true}'},
    {"evaluation_result": "no JSON"},
    {"evaluation_result": {"is_correct": "perhaps"}},
    {"evaluation_result": None},
    {"evaluation_result": [1]},
    {"repair_steps": None},
    {"repair_steps": [{"teacher_guided_step": {}}]},
    {"repair_steps": [{**row(1)["repair_steps"][0], "prefix_plan": "Thought: add one\n", "prefix_steps": STEPS}]},
    {"first_thought": " "},
    {"is_hard_sample": 1},
    {"more": {"of": ["these"]}},
]


def test_the_quick_reader_and_the_strict_one_agree(shared_data: Path, tmp_path: Path) -> None:
    lines = [json.dumps(row(number, **odd)) for number, odd in enumerate(ODD)]
    lines += ["", "{", "[1]", '{"steps": []}', "[" * 100_000, '"\\ud800"']
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes("\n".join(lines).encode() + b'\n{"a": "\xff"}\n')
    for path in [odd, *sorted((shared_data / "original_release").glob("*trajectories*.jsonl"))]:
        strict, quick = list(read_trajectories(path)), list(read_recorded(path))
        assert len(strict) == len(quick) > 0
        for ours, theirs in zip(quick, strict, strict=True):
            if isinstance(theirs, DataError):
                assert str(ours) == str(theirs)
            else:
                assert ours == _from_trajectory(theirs)
    counted = Counter(type(found).__name__ for found in read_recorded(odd))
    assert counted == {"Recorded": 14, "DataError": 13}
    odd.write_text(json.dumps(row(1)).replace("add", "\\ud800"))
    (cut,) = read_recorded(odd)
    assert isinstance(cut, DataError) and "odd.jsonl:1: text was cut within a character" in str(cut)


@pytest.fixture
def mentored(tmp_path: Path) -> list[str]:
    """40 mentored trajectories, and the arguments that every converter takes."""
    (tmp_path / "mps.jsonl").write_text("".join(json.dumps(row(number)) + "\n" for number in range(40)))
    both = [f"{part}={tmp_path}/{name}" for part, name in (
        ("dataset_info", "info.json"), ("sft.input", "mps.jsonl"), ("rl.input", "mps.jsonl"), ("bc.input", "mps.jsonl"),
        ("sft.output", "sft.json"), ("rl.output", "rl.json"), ("bc.output", "bc.json"), ("hub.folder", "hub"),
    )]  # fmt: skip
    return [word for setting in both for word in ("--set", setting)]


def test_what_overlaps_with_an_evaluation_set_is_dropped_from_both_sets_and_listed(
    mentored: list[str], tmp_path: Path
) -> None:
    evaluation = tmp_path / "test.jsonl"
    asked = [f"what is {number} plus  ONE?" for number in range(10)]
    evaluation.write_text(
        "".join(
            json.dumps({"id": f"e{n}", "question": text, "true_answer": "x"}) + "\n" for n, text in enumerate(asked)
        )
    )
    exact = ["--set", f"evaluation_sets=[{evaluation}]", "--set", "contamination.near=1.0"]
    used, listed = set(), []
    for script, name in (("SCoRe_SFT_llamafactory_format_convert", "sft"), ("SCoRe_RL_convert", "rl")):
        ran = run(script, *mentored, *exact)
        assert ran.returncode == 0, ran.stderr
        for found in json.loads((tmp_path / f"{name}.json").read_text()):
            used.add(normalised(found["conversations"][0]["value"] if name == "sft" else found["prompt"][0]["content"]))
        listed += [json.loads(line) for line in (tmp_path / f"{name}.json.contaminated.jsonl").read_text().splitlines()]
        assert (
            f"checked against 10 evaluation questions of 1 files: {sum(1 for _ in open(tmp_path / f'{name}.json.contaminated.jsonl'))} dropped"
            in ran.stdout
        )
    assert len(used) == 30 and not used & set(map(normalised, asked))
    assert sorted(found["evaluation_id"] for found in listed) == sorted(f"e{number}" for number in range(10))
    assert {found["how"] for found in listed} == {"same question"}


def test_a_missing_evaluation_set_stops_and_an_empty_pattern_is_said(mentored: list[str], tmp_path: Path) -> None:
    ran = run("SCoRe_RL_convert", *mentored, "--set", f"evaluation_sets=[{tmp_path}/absent.jsonl]")
    assert ran.returncode == 2 and "absent.jsonl does not exist" in ran.stderr
    ran = run("SCoRe_RL_convert", *mentored, "--set", f"evaluation_sets=[{tmp_path}/none/*.jsonl]")
    assert ran.returncode == 0 and "not checked against evaluation sets: none found" in ran.stdout
    assert f"no file matches {tmp_path}/none/*.jsonl" in ran.stdout
    (tmp_path / "test.jsonl").write_text(json.dumps({"id": "1", "question": "What else?"}) + "\n")
    both = f"evaluation_sets=[{tmp_path}/test*.jsonl, {tmp_path}/none/*.jsonl]"
    ran = run("SCoRe_RL_convert", *mentored, "--set", both)
    assert ran.returncode == 0 and "checked against 1 evaluation questions of 1 files" in ran.stdout
    assert f"dropped; no file matches {tmp_path}/none/*.jsonl\n" in ran.stdout


def questions_of(folder: Path) -> tuple[set[str], set[str]]:
    """The questions of SFT's file and of RL's; none of a file that is not there."""
    sft, rl = (
        json.loads(path.read_text()) if path.is_file() else [] for path in (folder / "sft.json", folder / "rl.json")
    )
    return {found["conversations"][0]["value"] for found in sft}, {found["prompt"][0]["content"] for found in rl}


def test_rl_refuses_what_sft_took_under_another_seed(mentored: list[str], tmp_path: Path) -> None:
    assert run("SCoRe_SFT_llamafactory_format_convert", *mentored, "--seed", "1").returncode == 0
    ran = run("SCoRe_RL_convert", *mentored, "--seed", "2")
    sft, rl = questions_of(tmp_path)
    assert "refused: SFT used the question" in ran.stdout and rl and not sft & rl
    assert f"held against SFT's questions in {tmp_path}/sft.json" in ran.stdout


def test_sft_refuses_what_rl_took_under_another_seed(mentored: list[str], tmp_path: Path) -> None:
    ran = run("SCoRe_RL_convert", *mentored, "--seed", "1")
    assert f"not held against SFT's questions: {tmp_path}/sft.json does not exist" in ran.stdout
    ran = run("SCoRe_SFT_llamafactory_format_convert", *mentored, "--seed", "2")
    sft, rl = questions_of(tmp_path)
    assert "refused: RL has the question" in ran.stdout and sft and not sft & rl
    (tmp_path / "rl.json").unlink()
    ran = run("SCoRe_SFT_llamafactory_format_convert", *mentored, "--seed", "2")
    assert f"not held against RL's questions: {tmp_path}/rl.json does not exist" in ran.stdout
    assert len(questions_of(tmp_path)[0]) > len(sft)


def test_the_dataset_folder_is_read_back_by_datasets(mentored: list[str], tmp_path: Path) -> None:
    from datasets import load_dataset

    for script in ("SCoRe_SFT_llamafactory_format_convert", "SCoRe_RL_convert"):
        assert run(script, *mentored).returncode == 0
    ran = run("hf_dataset", *mentored, "--license", "cc-by-4.0")
    assert ran.returncode == 0, ran.stderr
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "license: cc-by-4.0" in card and "self_solved_kept 0.5" in card and "bc" not in card.split("---")[1]
    assert str(tmp_path) not in card
    for name, key in (("sft", "conversations"), ("rl", "prompt")):
        rows = json.loads((tmp_path / f"{name}.json").read_text())
        read = load_dataset(str(tmp_path / "hub"), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert read[key] == [found[key] for found in rows]
    assert read["gt_answer"] == [[found["gt_answer"]] for found in rows]


def written(mentored: list[str], tmp_path: Path, *rows: dict[str, Any]) -> None:
    """These trajectories alone are the converters' input."""
    (tmp_path / "mps.jsonl").write_text("".join(json.dumps(found) + "\n" for found in rows))


def test_a_key_step_holds_whatever_its_recorded_prefix_was_written_with(mentored: list[str], tmp_path: Path) -> None:
    padded = row(1)
    padded["steps"][0]["thought"] = padded["repair_steps"][0]["prefix_plan"] = "\nFirst Thought: add one\n"
    written(mentored, tmp_path, padded)
    ran = run("SCoRe_RL_convert", *mentored, "--set", "sft_share=0")
    assert ran.returncode == 0 and "from a key step 1" in ran.stdout, ran.stdout + ran.stderr
    (found,) = json.loads((tmp_path / "rl.json").read_text())
    assert found["prompt"][1]["content"] == "<first_thought>add one</first_thought>" and found["correct_step"] == 2


def test_key_steps_called_valid_that_do_not_hold_are_counted(mentored: list[str], tmp_path: Path) -> None:
    lost = row(1)
    lost["repair_steps"][0]["prefix_plan"] = "another plan"
    written(mentored, tmp_path, lost, row(2))
    ran = run("SCoRe_RL_convert", *mentored, "--set", "sft_share=0", "--set", "rl.easy_kept=0")
    assert ran.returncode == 0, ran.stderr
    assert "from a key step 1" in ran.stdout
    assert "key steps called valid that their trajectory does not hold 1" in ran.stdout


def test_a_key_step_that_repeats_the_mistake_makes_no_rl_row_and_is_counted(
    mentored: list[str], tmp_path: Path
) -> None:
    same, replanned = row(1), row(2)
    key_step = same["repair_steps"][0]
    key_step["student_mistake"][0] |= {"thought": "I add.", "code": "print(1+1)  # two"}
    plan = replanned["steps"][0]
    replanned["repair_steps"][0] |= {
        "teacher_guided_step": plan, "student_mistake": [{**plan, "thought": " add\none"}], "mistake_step_index": 0
    }  # fmt: skip
    otherwise = row(3)
    otherwise["repair_steps"][0]["student_mistake"][0] |= {"code": "print(3 + 1)", "observation": "stopped"}
    written(mentored, tmp_path, same, replanned, otherwise)
    ran = run("SCoRe_RL_convert", *mentored, "--set", "sft_share=0", "--set", "rl.easy_kept=0")
    assert ran.returncode == 0, ran.stderr
    assert "from a key step 1" in ran.stdout and "key steps that repeat the mistake 2" in ran.stdout
    (found,) = json.loads((tmp_path / "rl.json").read_text())
    assert found["id"] == "t3"


def test_a_turn_that_nobody_wrote_is_not_trained_on(mentored: list[str], tmp_path: Path) -> None:
    """No empty plan where there was none, and no empty step where a reply could not be read."""
    unplanned, unreadable = row(1), row(2)
    unplanned["steps"][0]["thought"] = ""
    unreadable["steps"].insert(1, {"thought": "", "code": "", "observation": "Error: the reply held no block."})
    written(mentored, tmp_path, unplanned, unreadable, row(3))
    for script, name in (
        ("SCoRe_SFT_llamafactory_format_convert", "sft"),
        ("BC_init_llamafactory_format_convert", "bc"),
    ):
        ran = run(script, *mentored, "--set", "sft_share=1")
        assert ran.returncode == 0, ran.stderr
        assert "written 2" in ran.stdout and "left out: holds a turn without code 1" in ran.stdout
        first, second = [found["conversations"] for found in json.loads((tmp_path / f"{name}.json").read_text())]
        assert [turn["from"] for turn in first] == ["human", "gpt", "human", "gpt"]
        assert first[1]["value"].startswith("<thought>add</thought>") and first[2]["value"] == "Observation: 2"
        assert second[1]["value"] == "<first_thought>add one</first_thought>"


def messages(*turns: tuple[str, str]) -> list[Message]:
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    "dialogue, problem",
    [
        (messages(("user", "q"), ("assistant", "a")), None),
        (messages(("user", "q"), ("assistant", "a"), ("user", "o")), "does not end on the student's turn"),
        (messages(("user", "q"), ("user", "q"), ("user", "q"), ("assistant", "a")), "turns do not alternate"),
        (messages(("user", " \n"), ("assistant", "a")), "has an empty turn"),
        ([], "does not end on the student's turn"),
    ],
)
def test_what_llamafactory_would_drop_is_found(dialogue: list[Message], problem: str | None) -> None:
    assert check(dialogue) == problem


class TestLengths:
    @pytest.fixture(scope="class")
    def tokenizer(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        from transformers import AutoTokenizer

        from score.miniature.student import make_student
        from score.miniature.world import write_world

        folder = tmp_path_factory.mktemp("student")
        write_world(folder / "world", 0, {"bc": 30, "mps": 5, "validation": 5, "test": 5})
        make_student(folder / "world", folder / "student", seed=0)
        return AutoTokenizer.from_pretrained(folder / "student")

    DIALOGUES = [
        messages(*[("user", "how many pens " * size), ("assistant", "two")] * pairs)
        for size in (1, 9, 40)
        for pairs in (1, 2, 5)
    ]

    @pytest.mark.parametrize("follows", [True, False])
    @pytest.mark.parametrize("counted", [1.0, 0.3, 0.0])
    def test_the_limit_is_the_chat_templates_and_a_sample_decides_the_same(
        self, tokenizer: Any, follows: bool, counted: float
    ) -> None:
        true = [
            len(tokenizer.apply_chat_template(dialogue, add_generation_prompt=follows, return_dict=False))
            for dialogue in self.DIALOGUES
        ]
        for limit in (30, 60, 200, max(true), 100_000):
            lengths = DialogueLengths(tokenizer, limit, reply_follows=follows, counted=counted)
            assert lengths.fit(self.DIALOGUES) == [length <= limit for length in true]
            summary = lengths.summary()
            assert sum(summary["histogram"].values()) == summary["counted"] == len(true) - lengths.proven
            assert counted < 1 or (summary["counted"], summary["longest"]) == (len(true), max(true))
        assert counted == 1 or lengths.proven > 0

    def test_the_histogram_has_a_bar_for_each_tenth_and_for_what_is_over(self, tokenizer: Any) -> None:
        lengths = DialogueLengths(tokenizer, 60, reply_follows=False)
        over = lengths.fit(self.DIALOGUES).count(False)
        lines = lengths.report().splitlines()
        assert len(lines) == 12 and lines[-1].split()[:3] == ["over", "60", str(over)] and over


def test_parquet_has_the_declared_schema_and_the_order_of_its_seed(mentored: list[str], tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    from verl_parquet import SCHEMA

    assert run("SCoRe_RL_convert", *mentored, "--set", "sft_share=0").returncode == 0
    found = {}
    for seed in ("1", "1", "2"):
        made = subprocess.run(
            [sys.executable, "SCoRe_Script/data_preprocess/convert_parquet.py", "--input", f"{tmp_path}/rl.json",
             "--output", f"{tmp_path}/pq", "--seed", seed, "--set", "tokenizer=null", "--set", "validation_share=0.2"],
            cwd=ROOT / "RL", capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        tables = [pq.read_table(tmp_path / "pq" / f"{split}.parquet") for split in ("train", "val")]
        assert all(table.schema.equals(SCHEMA) for table in tables)
        asked = [[info["question"] for info in table["extra_info"].to_pylist()] for table in tables]
        assert len(asked[0]) + len(asked[1]) == 40 and not set(asked[0]) & set(asked[1])
        assert [info["index"] for info in tables[0]["extra_info"].to_pylist()] == list(range(len(asked[0])))
        if seed in found:
            assert found[seed] == asked
        found[seed] = asked
    assert found["1"] != found["2"]
