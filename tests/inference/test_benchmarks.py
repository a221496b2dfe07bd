"""The registry: real files load under their own names, an own benchmark is four lines, what is missing says how to get it."""

import base64
import json
import os
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import pandas
import pytest
from registry import ORDER, Benchmark, find, is_benchmark, names, suite
from sources import benchmark_hash, load_benchmark, task_file

from score.contamination import read_questions
from score.errors import DataError, SettingsError
from score.tasks import read_tasks

ROOT = Path(__file__).resolve().parents[2]
REAL = {"math500": 500, "aime24": 30, "aime25": 30, "olymmath": 200, "hotpotqa": 200, "2wikimultihopqa": 200,
        "musique": 200, "bamboogle": 125}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_loads_whole_with_its_scorer(name: str, shared_data: Path) -> None:
    tasks, problems, source = load_benchmark(find(name), shared_data / "benchmarks")
    assert (len(tasks), problems) == (REAL[name], []) and source.endswith(str(find(name).file))
    assert find(name).size == len(tasks)
    expected = "qa" if find(name).suite == "qa" else "math"
    assert {(task.model_extra or {})["scorer"] for task in tasks} == {expected}
    assert all(task.references and all(reference.strip() for reference in task.references) for task in tasks)


def test_the_suites_hold_the_papers_twelve_benchmarks() -> None:
    assert [len(suite(name)) for name in ("math", "qa", "deepsearch", "all")] == [4, 4, 4, 12]
    assert set(names()) == set(ORDER)
    for benchmark in suite("all"):
        assert benchmark.hub and benchmark.licence != "unknown"
        assert benchmark.scorer == {"math": "math", "qa": "qa", "deepsearch": "judge"}[benchmark.suite]


def test_four_lines_of_yaml_make_gsm8k_a_benchmark(shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "benchmarks"
    (tmp_path / "gsm8k.yaml").write_text(
        "title: GSM8K\nfile: gsm8k_test.jsonl\nscorer: math\nfields: {true_answer: {key: answer, after: '####'}}\n"
    )
    path = task_file(tmp_path / "gsm8k.yaml", data, tmp_path / "answers.jsonl")
    tasks, problems = read_tasks(path)
    assert (len(tasks), problems, path.name) == (1319, [], "answers.tasks.jsonl")
    assert tasks[0].true_answer == "18" and tasks[0].id == "gsm8k-1"
    assert (tasks[0].model_extra or {})["benchmark"] == "gsm8k"


def test_an_encrypted_benchmark_is_decoded_with_the_rows_own_key(tmp_path: Path) -> None:
    canary = "BENCHMARK-CANARY"

    def hidden(text: str) -> str:
        return base64.b64encode(bytes(a ^ b for a, b in zip(text.encode(), cycle(canary.encode())))).decode()

    row = {"id": "7", "prompt": hidden("谁写了《红楼梦》？"), "answer": hidden("曹雪芹"), "canary": canary}
    broken = {"id": "8", "prompt": "not base64!", "answer": hidden("x"), "canary": canary}
    (tmp_path / "xbench.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(broken)}\n")
    tasks, problems, _ = load_benchmark(find("xbench"), tmp_path)
    assert [(task.id, task.question, task.true_answer) for task in tasks] == [("7", "谁写了《红楼梦》？", "曹雪芹")]
    assert len(problems) == 1 and "xbench.jsonl:2: key 'prompt' cannot be decrypted" in str(problems[0])


def test_rows_with_the_hubs_keys_are_mapped_filtered_and_grouped(tmp_path: Path) -> None:
    rows = [
        {"task_id": "a", "Question": "How many?", "Level": 1, "Final answer": "3", "file_name": ""},
        {"task_id": "b", "Question": "What is in the picture?", "Level": 2, "Final answer": "x", "file_name": "b.png"},
    ]
    (tmp_path / "gaia.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks, problems, _ = load_benchmark(find("gaia"), tmp_path)
    assert [task.model_dump() for task in tasks] == [
        {"id": "a", "question": "How many?", "true_answer": "3", "benchmark": "gaia", "scorer": "judge", "group": "1"}
    ]
    nested = {"question": "q", "answer": "a", "info": {"difficulty_level": "hard"}}
    (tmp_path / "webwalkerqa.json").write_text(json.dumps([nested]))
    tasks, _, _ = load_benchmark(find("webwalkerqa"), tmp_path)
    assert (tasks[0].model_extra or {})["group"] == "hard" and not problems


def test_a_reference_that_looks_missing_is_one_and_an_empty_one_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "bamboogle.csv").write_text("id,question,true_answer\n1,How many?,None\n2,Which code?,NA\n3,Where?,\n")
    tasks, problems, _ = load_benchmark(find("bamboogle"), tmp_path)
    assert [task.true_answer for task in tasks] == ["None", "NA"]
    assert len(problems) == 1 and "bamboogle.csv:3: true_answer: the reference answer is empty" in str(problems[0])


def test_a_list_of_accepted_answers_is_read_from_a_csv(tmp_path: Path) -> None:
    names = ["New York", 'the "Big Apple"', "it's NYC"]
    cells = [
        json.dumps(names),
        str(names),
        "['a',]",
        "[1, 2]",
        "[3,\\infty)",
        "[sic] he said",
        "['a' 'b']",
        "['\\x']",
        "[]",
    ]
    rows = [{"id": str(n), "question": "Where?", "golden_answers": cell} for n, cell in enumerate(cells)]
    pandas.DataFrame(rows).to_csv(tmp_path / "musique.csv", index=False)
    tasks, problems, _ = load_benchmark(find("musique"), tmp_path)
    assert [task.references for task in tasks] == [names, names, ["a"], *([cell] for cell in cells[3:6])]
    numpys, escape, empty = map(str, problems)
    assert "musique.csv:7: the answers are no list that can be read (['a' 'b']): write them as JSON" in numpys
    assert (
        "musique.csv:8: the answers are no list" in escape
        and "csv:9: true_answer: the reference answer is empty" in empty
    )


def test_a_gated_benchmark_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:0] = ['inference', '.']; from pathlib import Path\n"
        "from registry import find; from sources import load_benchmark; from score.errors import DataError\n"
        f"try: load_benchmark(find('gaia'), Path('{tmp_path}'))\n"
        "except DataError as error: print(error)"
    )
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=offline, capture_output=True, text=True, timeout=120
    )
    for hint in (
        "gaia cannot be had",
        "https://huggingface.co/datasets/gaia-benchmark/GAIA",
        "auth login",
        "gaia.jsonl",
    ):
        assert hint in ran.stdout, ran.stderr
    with pytest.raises(DataError, match="names no `hub`"):
        load_benchmark(Benchmark(name="own"), tmp_path)
    with pytest.raises(SettingsError, match="there are 2wikimultihopqa, aime24"):
        find("aime26")


def test_a_names_spelling_tells_benchmarks_from_files() -> None:
    assert [is_benchmark(Path(text)) for text in ("aime24", "own/gsm8k.yaml", "data/tasks.jsonl", "./aime24.jsonl")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_the_hash_knows_content_but_not_order(shared_data: Path) -> None:
    tasks, _, _ = load_benchmark(find("aime24"), shared_data / "benchmarks")
    changed = [tasks[0].model_copy(update={"true_answer": "0"}), *tasks[1:]]
    assert benchmark_hash(tasks) == benchmark_hash(tasks[::-1]) != benchmark_hash(changed)


def test_fetched_benchmarks_lie_in_data_as_inference_would_have_asked_them(tmp_path: Path) -> None:
    repository, data = tmp_path / "repository", tmp_path / "data"
    repository.mkdir()
    rows = [{"problem": f"{n} + 1", "answer": n + 1, "level": n % 3} for n in range(40)]
    (repository / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yaml = tmp_path / "own.yaml"
    yaml.write_text(f"hub: {repository}\nsize: 5\nfields: {{question: problem, true_answer: answer, group: level}}\n")
    from_hub, _, source = load_benchmark(find(str(yaml)), data)
    assert source.startswith("hub:")
    command = [sys.executable, "fetch.py", str(yaml), "aime24", "--set", f"data={data}"]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    ran = subprocess.run(command, cwd=ROOT / "inference", env=offline, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 3 and "benchmark aime24 cannot be had" in ran.stderr, ran.stderr
    fetched, _, source = load_benchmark(find(str(yaml)), data)
    assert source == f"{data / 'own.jsonl'}" and fetched == from_hub
    assert {(task.model_extra or {})["group"] for task in fetched} <= {"0", "1", "2"}
    assert [question.text for question in read_questions([data / "own.jsonl"])] == [task.question for task in fetched]
    ran = subprocess.run(
        command[:3] + command[4:], cwd=ROOT / "inference", env=offline, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0 and "own.jsonl is there already" in ran.stdout


def test_a_hub_split_is_mapped_and_sampled_with_a_seed(tmp_path: Path) -> None:
    repository, data = tmp_path / "repository", tmp_path / "data"
    repository.mkdir()
    rows = [{"problem": f"{n} + 1", "answer": n + 1, "image": "" if n % 2 else "png"} for n in range(40)]
    (repository / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmark = Benchmark.model_validate(
        {"name": "own", "hub": str(repository), "size": 5, "where": {"image": ""},
         "fields": {"question": "problem", "true_answer": "answer"}}
    )  # fmt: skip
    first, problems, source = load_benchmark(benchmark, data)
    assert source.startswith("hub:") and len(first) == 5 and not problems
    assert all(int(task.question.split()[0]) % 2 for task in first)
    assert [task.id for task in first] == [task.id for task in load_benchmark(benchmark, data)[0]]
    wrong = benchmark.model_copy(update={"split": "dev"})
    with pytest.raises(DataError, match="own cannot be had"):
        load_benchmark(wrong, data)
