"""What a run's figures say: intervals, pass@k, F1, categories of failure; and what two runs' comparison says."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comparability import hash_of, warnings
from figures import compare, summarise
from intervals import bootstrap, clustered, mcnemar, paired_bootstrap, paired_difference, pass_at_k, wilson
from report import axis_label, print_table
from scoring import Scored, score_rows
from squad import exact_match, normalise, token_f1
from tables import paper_table

from runs import grouped, read_runs, report_on, require_judge, result_files, score_files, unanswered
from score.answers import Equivalence
from score.errors import DataError, SettingsError
from score.judging import Judge
from score.llm import Endpoint, EndpointSettings
from tests.chat_server import ChatServer

ROOT = Path(__file__).resolve().parents[2]


def row(number: int, answer: str | None, sample: int = 0, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "x"}]
    return {"id": str(number), "sample": sample, "question": f"q{number}", "true_answer": "4", "messages": messages,
            "gen_answer": answer, "ended": "answered", "completion_tokens": 10, "prompt_tokens": 5, "seconds": 1.0,
            "step_status": ["ok"]} | more  # fmt: skip


def scored(rows: list[dict[str, Any]], judge: Endpoint | None = None, **options: Any) -> list[Scored]:
    async def work(equivalence: Equivalence) -> list[Scored]:
        found = await score_rows(rows, Judge(equivalence, judge), 4, "test", **options)
        if judge is not None:
            await judge.close()
        return found

    with Equivalence(workers=1) as equivalence:
        return asyncio.run(work(equivalence))


def test_f1_and_exact_match_are_squads() -> None:
    assert normalise("The  Beatles' \\boxed{U.S. tour}!") == normalise("us Tour")
    assert exact_match(["New York City", "NYC"], "the n.y.c.")
    f1, reference = token_f1(["Big Apple", "New York City"], "in New York")
    assert f1 == pytest.approx(2 * 2 / (3 + 3)) and reference == "New York City"
    assert token_f1(["the"], "a") == (1.0, "the") and token_f1(["x"], "the") == (0.0, "x")


def test_the_plots_axis_names_the_score_and_the_interval_that_it_shows() -> None:
    single, sampled = {"metric": "accuracy", "n": 9, "rows": 9}, {"metric": "accuracy", "n": 9, "rows": 36}
    assert axis_label([single, single]) == "accuracy %, 95 % interval (Wilson)"
    assert axis_label([sampled]) == "accuracy %, 95 % interval (clustered by task)"
    assert axis_label([single, sampled]) == "accuracy %, 95 % interval (Wilson or clustered by task)"
    assert axis_label([{"metric": "f1", "n": 9, "rows": 9}]) == "F1 %, 95 % interval (bootstrap)"


def test_pass_at_k_is_the_share_of_sets_of_k_that_hold_a_right_sample() -> None:
    from itertools import combinations

    samples = [True, True, False, False, False]
    for k in (1, 2, 3, 4):
        sets = list(combinations(samples, k))
        assert pass_at_k(5, 2, k) == pytest.approx(sum(any(chosen) for chosen in sets) / len(sets))
    with pytest.raises(ValueError, match="pass@3"):
        pass_at_k(2, 1, 3)


def test_samples_of_one_task_count_as_one_witness() -> None:
    # four samples a task that always agree say no more than one sample a task
    agreeing = {str(task): [float(task < 30)] * 4 for task in range(100)}
    single = {task: values[:1] for task, values in agreeing.items()}
    assert clustered(agreeing) == pytest.approx(clustered(single))
    independent = {str(task): [float(task % 4 == n) for n in range(4)] for task in range(100)}
    assert clustered(independent)[1] - clustered(independent)[0] < 1e-9  # each task has the same mean


def test_no_right_answer_is_no_proof_of_zero() -> None:
    assert clustered({str(task): [0.0] * 4 for task in range(30)}) == wilson(0, 30)
    assert clustered({str(task): [1.0, 1.0] for task in range(30)}) == wilson(30, 30)
    assert bootstrap([0.0] * 30) == wilson(0, 30) and bootstrap([1.0] * 30) == wilson(30, 30)


@pytest.mark.parametrize("total", [7, 30, 64, 125, 500, 1008])
def test_an_interval_ends_where_nothing_or_all_was_right(total: int) -> None:
    assert wilson(0, total)[0] == 0.0 and wilson(total, total)[1] == 1.0


def test_equal_differences_are_no_certainty_and_no_interval_leaves_its_range() -> None:
    mean, low, high = paired_difference([False] * 30, [False] * 30)
    assert mean == 0 and -0.12 < low < -0.11 and 0.11 < high < 0.12
    assert paired_bootstrap([0.0] * 30, [0.0] * 30) == pytest.approx((low, high))
    mean, low, high = paired_difference([False] * 4, [True, True, True, False])
    assert (mean, high) == (0.75, 1.0) and low > 0
    assert paired_difference([False] * 2, [True] * 2)[2] == 1.0


def test_the_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    import numpy

    random = numpy.random.default_rng(7)
    hits = 0
    for _ in range(100):
        low, high = bootstrap(list(random.beta(0.5, 0.5, 60)))
        hits += low <= 0.5 <= high
    assert 88 <= hits <= 100
    assert bootstrap([0.2, 0.9, 0.4]) == bootstrap([0.2, 0.9, 0.4])  # seeded
    assert bootstrap([0.5]) == (0.0, 1.0)


def test_mcnemar_is_the_exact_binomial_test_of_discordant_tasks() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)
    low, high = paired_bootstrap([0.0] * 40 + [1.0] * 60, [1.0] * 100)
    assert 0.25 < low < 0.4 < high < 0.55


def test_a_run_of_samples_gives_pass_at_k_and_counts_tasks_once() -> None:
    rows = [row(task, "4" if sample <= task else "5", sample) for task in range(3) for sample in range(4)]
    figures = summarise(scored(rows))
    assert (figures.n, figures.rows, figures.right) == (3, 12, 6)
    assert figures.mean == pytest.approx(0.5) and figures.pass_at[4] == 1.0
    assert figures.pass_at[1] == pytest.approx(0.5)
    assert figures.pass_at[2] == pytest.approx((1 - 3 / 6 + 1 - 1 / 6 + 1) / 3)


def test_every_failure_has_its_category() -> None:
    rows = [
        row(1, "4"), row(2, "5"), row(3, None, ended="out of steps"), row(4, " "),
        row(5, None, ended="out of steps", step_status=["ok", "error"]), row(6, None, ended="out of context"),
    ]  # fmt: skip
    found = scored(rows)
    assert [one.category for one in found] == [
        None, "wrong answer", "out of steps", "no answer", "code error", "out of context",
    ]  # fmt: skip
    assert summarise(found).failed == {key: 1 for key in
                                       ("wrong answer", "out of steps", "no answer", "code error", "out of context")}  # fmt: skip


def test_pass_at_1_uses_the_first_try_and_the_tries_are_paid_for() -> None:
    second = {"gen_answer": "4", "ended": "answered", "completion_tokens": 30, "prompt_tokens": 1, "seconds": 2.0}
    rows = [row(1, None, ended="out of steps", more_tries=[second]), row(2, "4")]
    figures = summarise(scored(rows))
    assert figures.pass_at == {1: 0.5} and figures.mean == 0.5 and figures.last_try == 1.0
    assert figures.tokens == (10 + 30 + 10) / 2 and figures.tries == 1.5


def test_qa_rows_are_scored_by_f1_with_exact_match_beside_it() -> None:
    rows = [
        row(1, "New York", true_answer=["New York City", "NYC"], scorer="qa", benchmark="hotpotqa"),
        row(2, "nyc", true_answer=["New York City", "NYC"], scorer="qa", benchmark="hotpotqa"),
        row(3, None, true_answer=["x"], scorer="qa", benchmark="hotpotqa"),
    ]
    figures = summarise(scored(rows)).as_json()
    assert figures["metric"] == "f1" and figures["score"] == pytest.approx((0.8 + 1 + 0) / 3)
    assert figures["exact_match"] == pytest.approx(1 / 3)
    low, high = figures["ci95"]
    assert low < figures["score"] < high


def test_the_judge_scores_beside_the_scorer_and_both_are_kept() -> None:
    server = ChatServer(['{"reason": "the same city", "equivalent": true}'])
    settings = EndpointSettings(base_url=server.address, model="judge-72b", attempts=1)
    rows = [row(1, "New York", true_answer=["New York City"], scorer="qa"), row(2, "5")]
    found = scored(rows, Endpoint("judge", settings), rejudge=True)
    server.close()
    assert [(one.mark.scorer, one.mark.correct) for one in found] == [("qa", False), ("math", False)]
    assert [(one.judged.correct, one.judged.by, one.judged.evidence) for one in found if one.judged] == [
        (True, "judge-72b", "the same city")
    ] * 2
    judged = summarise(found).as_json()["judge"]
    assert judged["accuracy"] == 1.0 and judged["only_judge_right"] == 2


def test_what_the_judge_said_is_not_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from configuration import EvaluationSettings

    from runs import score_files
    from score.llm import Endpoints

    rows = [row(1, "in the north of it", true_answer="Oslo"), row(2, "the capital of Norway", true_answer="Oslo")]
    path = tmp_path / "student.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    verdicts, said = tmp_path / "kept" / "verdicts.sqlite", []
    for reply in ('{"reason": "no", "equivalent": false}', '{"reason": "yes", "equivalent": true}'):
        server = ChatServer([reply])
        judge = EndpointSettings(base_url=server.address, model="judge-72b", attempts=1)
        settings = EvaluationSettings(endpoints=Endpoints(judge=judge), verdicts=verdicts, math_workers=1)
        found = asyncio.run(score_files({"student": [path]}, settings, scorer="judge"))
        server.close()
        said.append([(one.correct, one.by, one.mark.evidence) for one in found["student"]])
    assert said == [[(False, "judge-72b", "no")] * 2] * 2
    printed = capsys.readouterr().out
    assert "judge: 2 questions, 2 asked now" in printed and "judge: 2 questions, 0 asked now" in printed


def test_deep_search_without_a_judge_is_unscored_and_says_why() -> None:
    found = scored([row(1, "4", scorer="judge"), row(2, None, scorer="judge")])
    assert [one.correct for one in found] == [None, False]
    assert "endpoints.judge" in found[0].by and summarise(found).unscored == 1


def test_gaias_levels_have_figures_of_their_own(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    rows = [row(n, "4" if n < 3 else "5", benchmark="gaia", group=str(1 + n // 2)) for n in range(6)]
    report = report_on({"a": scored(rows)}, {"a": [tmp_path / "a.jsonl"]}, EvaluationSettings())
    assert {level: figures["right"] for level, figures in report["groups"]["gaia"]["a"].items()} == {
        "1": 2, "2": 1, "3": 0,
    }  # fmt: skip


def test_wins_and_losses_are_paired_by_task() -> None:
    first = scored([row(n, "4" if n < 5 else "5") for n in range(10)])
    second = scored([row(n, "4" if 1 <= n < 9 else "5") for n in reversed(range(10))])
    found = compare(first, second)
    assert (found["wins"], found["losses"], found["n"]) == (4, 1, 10)
    assert found["difference"] == pytest.approx(0.3) and found["mcnemar_p"] == pytest.approx(mcnemar(1, 4))
    assert hash_of(first) == hash_of(second) != hash_of(first[1:])


def write(path: Path, rows: list[dict[str, Any]], temperature: float) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows))
    settings = {"answerer": "student", "endpoints": {"student": {"sampling": {"temperature": temperature}}}}
    Path(f"{path}.manifest.json").write_text(json.dumps({"settings": settings}))


def test_compare_lists_wins_warns_of_other_samplings_and_writes_the_papers_table(tmp_path: Path) -> None:
    for name, right, temperature in (("bc", 3, 0.6), ("rl", 9, 1.0)):
        (tmp_path / name).mkdir()
        rows = [row(n, "4" if n < right else "5", benchmark="aime24") for n in range(10)]
        write(tmp_path / name / "aime24.jsonl", rows, temperature)
        changed = [item | {"question": "another"} for item in rows] if name == "rl" else rows
        write(tmp_path / name / "aime25.jsonl", [item | {"benchmark": "aime25"} for item in changed], temperature)
    (tmp_path / "config.yaml").write_text("concurrency: 4\n")
    ran = subprocess.run(
        [sys.executable, "compare.py", f"{tmp_path}/bc", f"{tmp_path}/rl", "--config", f"{tmp_path}/config.yaml",
         "--list", f"{tmp_path}/list.jsonl", "--latex", f"{tmp_path}/t.tex", "--markdown", f"{tmp_path}/t.md",
         "--json", f"{tmp_path}/r.json"],
        cwd=ROOT / "inference", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "bc and rl differ in sampling: temperature 0.6 and 1.0" in ran.stderr
    assert "aime25: bc and rl answered different tasks" in ran.stderr and "aime24: bc" not in ran.stderr
    listed = [json.loads(line) for line in (tmp_path / "list.jsonl").read_text().splitlines()]
    assert len(listed) == 12 and {item["outcome"] for item in listed} == {"rl wins"}
    assert (tmp_path / "t.md").read_text().splitlines()[0] == "|  | AIME24 | AIME25 | Avg. |"
    assert r"\textbf{90.0}$_{\pm" in (tmp_path / "t.tex").read_text()
    pairs = json.loads((tmp_path / "r.json").read_text())["pairs"]
    assert [(pair["wins"], pair["losses"]) for pair in pairs] == [(6, 0), (6, 0)]


def test_each_file_of_a_run_is_compared_in_how_it_was_asked(tmp_path: Path) -> None:
    runs: dict[str, list[Path]] = {"a": [], "b": []}
    for run, files in runs.items():
        (tmp_path / run).mkdir()
        for name, temperature in (("aime24", 0.6), ("hotpotqa", 0.6 if run == "a" else 1.0)):
            files.append(tmp_path / run / f"{name}.jsonl")
            write(files[-1], [row(1, "4", benchmark=name)], temperature)
    answers = scored([row(1, "4", benchmark=name) for name in ("aime24", "hotpotqa")])
    assert warnings(grouped({"a": answers, "b": answers}), runs) == [
        "a and b differ in sampling: temperature 0.6 and 1.0 (hotpotqa.jsonl)"
    ]


def test_overlapping_test_items_are_marked_and_the_table_is_given_without_them(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    questions = ["How many eggs do the seven ducks of Janet lay on a Sunday in May?", "What is 2 + 2 in base three?"]
    rows = [row(n, "4" if n == 0 else "5", question=text) for n, text in enumerate(questions)]
    (tmp_path / "train.jsonl").write_text(json.dumps({"id": "t", "question": questions[0].upper(), "true_answer": "4"}))
    report = report_on(
        {"a": scored(rows)}, {"a": [tmp_path / "a.jsonl"]}, EvaluationSettings(), [str(tmp_path / "train.jsonl")]
    )
    assert list(report["overlapping"]["all"]) == ["0"] and report["overlapping"]["all"]["0"]["how"] == "same question"
    assert report["kinds"]["all"]["a"]["score"] == 0.5 and report["kinds_without"]["all"]["a"]["score"] == 0.0


def test_a_pattern_of_training_files_that_matches_nothing_is_named(tmp_path: Path, capsys: Any) -> None:
    from configuration import EvaluationSettings

    (tmp_path / "train.jsonl").write_text(json.dumps({"id": "t", "question": "How many?", "true_answer": "4"}))
    train = [f"{tmp_path}/train.jsonl", f"{tmp_path}/trian_*.jsonl"]
    answers = {"a": scored([row(0, "4")])}
    report = report_on(answers, {"a": [tmp_path / "a.jsonl"]}, EvaluationSettings(), train)
    print_table(report | {"title": "t"})
    assert f"--train: no file matches {train[1]}" in capsys.readouterr().out
    with pytest.raises(DataError, match="--train names no file: nothing matches"):
        report_on(answers, {"a": [tmp_path / "a.jsonl"]}, EvaluationSettings(), train[1:])


def test_a_run_without_a_column_has_no_average(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    both = scored([row(1, "4", benchmark="aime24"), row(1, "5", benchmark="aime25")])
    runs = {"whole": both, "part": both[:1]}
    report = report_on(runs, {name: [tmp_path / name] for name in runs}, EvaluationSettings())
    lines = paper_table(report, "markdown").splitlines()
    assert lines[2].endswith("| 50.0 |") and lines[3].endswith("| – | – |")


def test_a_folder_is_a_run_without_what_lies_beside_its_results(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.scores.jsonl", "a.failures.jsonl", "a.tasks.jsonl"):
        (tmp_path / name).write_text("{}\n")
    assert [path.name for path in result_files(tmp_path)] == ["a.jsonl"]
    (tmp_path / "Qwen2.5-7B").mkdir()
    (tmp_path / "Qwen2.5-7B" / "a.jsonl").write_text("{}\n")
    assert list(read_runs([f"{tmp_path}/Qwen2.5-7B", f"{tmp_path}/a.jsonl"], names_needed=False)) == ["Qwen2.5-7B", "a"]
    with pytest.raises(SettingsError, match="two runs are called"):
        read_runs([str(tmp_path), str(tmp_path)], names_needed=False)


def test_shards_count_until_they_are_merged_and_then_the_merged_file_does(tmp_path: Path) -> None:
    shards = [f"x.shard-{number}-of-2.jsonl" for number in (1, 2)]
    for name in (*shards, "y.jsonl"):
        (tmp_path / name).write_text("{}\n")
    assert [path.name for path in result_files(tmp_path)] == [*shards, "y.jsonl"]
    (tmp_path / "x.jsonl").write_text("{}\n")
    assert [path.name for path in result_files(tmp_path)] == ["x.jsonl", "y.jsonl"]


def test_scores_of_runs_whose_files_have_one_name_lie_apart(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    from runs import score_files

    for run, name, answer in (("bc", "aime24", "5"), ("rl", "aime24", "4"), ("rl", "gaia", "4")):
        (tmp_path / run).mkdir(exist_ok=True)
        (tmp_path / run / f"{name}.jsonl").write_text(json.dumps(row(1, answer, benchmark=name)) + "\n")

    def written(folder: str, **files: list[Path]) -> dict[str, bool]:
        asyncio.run(score_files(files, EvaluationSettings(math_workers=1), folder=tmp_path / folder))
        paths = (tmp_path / folder).rglob("*.jsonl")
        return {str(path.relative_to(tmp_path / folder)): json.loads(path.read_text())["correct"] for path in paths}

    bc, rl = result_files(tmp_path / "bc"), result_files(tmp_path / "rl")
    assert written("both", bc=bc, rl=rl) == {
        "bc/aime24.scores.jsonl": False, "rl/aime24.scores.jsonl": True, "rl/gaia.scores.jsonl": True,
    }  # fmt: skip
    assert written("one", rl=rl) == {"aime24.scores.jsonl": True, "gaia.scores.jsonl": True}


def test_what_inference_wrote_is_read_whatever_characters_it_holds(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row(1, "4\ud83d")) + "\n")
    settings = EvaluationSettings(math_workers=1)
    (answer,) = asyncio.run(score_files({"a": [path]}, settings))["a"]
    assert answer.answer == "4\ud83d" and json.loads((tmp_path / "a.scores.jsonl").read_text())["answer"] == "4\ud83d"
    failure = {"id": "2", "kind": "tool", "message": "no\u2028such\x85page"}
    (tmp_path / "a.failures.jsonl").write_text(json.dumps(failure, ensure_ascii=False) + '\n{"id": "3", "ki')
    assert unanswered([path]) == {"tool": 1}


def test_a_judge_is_needed_before_inference_and_only_where_somebody_asks_it(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    nowhere = {"judge": {"base_url": "${NO_SUCH_JUDGE}", "model": "m", "api_key_env": None}}
    settings = EvaluationSettings.model_validate({"math_workers": 1, "endpoints": nowhere})
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row(1, "4", scorer="qa")) + "\n")
    assert asyncio.run(score_files({"a": [path]}, settings))["a"][0].mark.score == 1.0
    for work in (require_judge(settings), score_files({"a": [path]}, settings, rejudge=True)):
        with pytest.raises(SettingsError, match=r"NO_SUCH_JUDGE.*--set endpoints\.judge=null"):
            asyncio.run(work)


def test_a_run_that_holds_an_answer_twice_is_refused_and_both_files_are_named(tmp_path: Path) -> None:
    from configuration import EvaluationSettings

    from runs import score_files

    files = {"a.jsonl": row(1, "4"), "b.jsonl": row(1, "4", sample=1), "c.jsonl": row(1, "5", benchmark="aime24")}
    for name, one in files.items():
        (tmp_path / name).write_text(json.dumps(one) + "\n")
    settings = EvaluationSettings(math_workers=1)
    found = asyncio.run(score_files({"run": result_files(tmp_path)}, settings))
    assert len(found["run"]) == 3  # other samples and other benchmarks are other answers
    (tmp_path / "copy.jsonl").write_text(json.dumps(row(1, "4")) + "\n")
    with pytest.raises(DataError, match=r"task '1', sample 0 is in .*a\.jsonl and in .*copy\.jsonl"):
        asyncio.run(score_files({"run": result_files(tmp_path)}, settings))
