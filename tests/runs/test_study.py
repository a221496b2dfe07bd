"""The learning study: the order of its jobs, equal tokens, and the figures that it reports."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "runs"), str(ROOT / "inference")]

import study  # noqa: E402
import study_record  # noqa: E402
import study_report  # noqa: E402
from study_marker import read_marker, write_marker  # noqa: E402

PLAN = study.Plan("try", steps={"easy": 2, "hard": 4}, validate_every=2, seeds=(0,))


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCORE_OUTPUT", str(tmp_path))
    return tmp_path


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def a_run(folder: Path, arm: str, right: int, tokens: float, validation: list[float]) -> None:
    """An RL run of four steps, and its scores on ten test tasks, the first `right` of which are right."""
    steps = [{"step": 0, "val_accuracy": validation[0]}]
    for step in range(1, 5):
        steps.append({
            "step": step, "generated_tokens": tokens, "horizon_saved": 0.5, "accuracy": 0.1 * step, "seconds": 2.0,
            "val_accuracy": validation[step // 2] if step % 2 == 0 else None,
        })  # fmt: skip
    write_lines(folder / f"rl_try_{arm}" / "metrics.jsonl", steps)
    scores(folder, f"try_{arm}_test", right)


def scores(folder: Path, name: str, right: int) -> None:
    rows = [{"id": str(n), "kind": "word", "correct": n < right} for n in range(10)]
    lookup = {"id": "x", "kind": "lookup", "correct": False}
    write_lines(folder / "scores_try" / f"{name}.scores.jsonl", [*rows, lookup])


def write_all(outputs: Path) -> Path:
    folder = outputs / "miniature" / "hard_seed0"
    a_run(folder, "standard", right=6, tokens=100, validation=[0.1, 0.4, 0.5])
    a_run(folder, "sparse_reward", right=4, tokens=100, validation=[0.1, 0.2, 0.2])
    a_run(folder, "long_horizon", right=5, tokens=200, validation=[0.1, 0.2, 0.3])
    for name in ("try_sft_test", "try_sft_longer_test", "try_sft_all_test", "try_sampled"):
        scores(folder, name, right=3)
    write_json(folder / "data" / "mps_llamafactory.json.manifest.json", {"settings": {"sft_share": 0.25}})
    write_json(folder / "sft" / "trainer_state.json", {"num_train_epochs": 8})
    return folder


def test_jobs_wait_for_what_they_need_and_are_not_done_twice(outputs: Path) -> None:
    log = outputs / "log"
    every = [
        study.Job("hard 0 second", lambda: f"echo second >> {log}", ("hard 0 first",)),
        study.Job("hard 0 first", lambda: f'echo "first in $RUN" >> {log}'),
    ]
    assert study.do_all(PLAN, every, lanes=2) == []
    assert study.do_all(PLAN, every, lanes=2) == []
    assert log.read_text().splitlines() == [f"first in {outputs}/miniature/hard_seed0", "second"]


def test_what_another_recipe_did_is_refused_by_name(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study.run_folder("hard", 0)
    every = [study.Job("hard 0 job", lambda: "echo once >> $RUN/log_of_job")]
    assert study.do_all(PLAN, every, lanes=1) == []
    assert study.do_all(replace(PLAN, steps={"hard": 8}), every, lanes=1) == ["hard 0 job"]
    said = capsys.readouterr().out
    assert "steps: was 4, is 8" in said and f"delete {folder}" in said and "says why" not in said
    (folder / "done" / "try_job").write_text("12\n")  # an older study does not say
    assert study.do_all(replace(PLAN, steps={"hard": 8}), every, lanes=1) == []
    assert (folder / "log_of_job").read_text() == "once\n"


def test_a_record_says_what_its_run_was_made_with_and_not_what_is_done_by_now(outputs: Path) -> None:
    write_all(outputs)
    done = study.marker(PLAN, "hard", 0, "standard")
    done.parent.mkdir()
    then = {"recipe": study.recipe(PLAN, "hard") | {"credit": "rollout"}, "revision": "abc", "date": "2026-01-02"}
    write_marker(done, 12.3, then)
    assert read_marker(done)["seconds"] == 12
    record = study_record.read_run(PLAN, "hard", 0)
    assert record.recipe == then["recipe"] | {"sft_epochs": 8}
    assert (record.revision, record.date) == ("abc", "2026-01-02")
    done.write_text("12\n")  # an older study does not say
    record = study_record.read_run(PLAN, "hard", 0)
    assert record.recipe["credit"] == study.CREDIT and record.revision != "abc"


def test_what_depends_on_a_failure_is_not_tried_and_the_rest_is(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [
        study.Job("easy 0 broken", lambda: "echo why; false; touch $RUN/went_on"),
        study.Job("easy 0 after it", lambda: "touch $RUN/after", ("easy 0 broken",)),
        study.Job("easy 1 other", lambda: "touch $RUN/other"),
    ]
    assert study.do_all(PLAN, every, lanes=1) == ["easy 0 broken"]
    folder = outputs / "miniature"
    assert not (folder / "easy_seed0" / "went_on").exists() and not (folder / "easy_seed0" / "after").exists()
    assert (folder / "easy_seed1" / "other").exists()
    assert "easy 0 broken: failed" in capsys.readouterr().out
    assert (folder / "easy_seed0" / "log" / "try_broken.log").read_text() == "why\n"


def test_a_study_does_not_let_each_job_start_over(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESH", "1")
    monkeypatch.setattr(sys, "argv", ["study.py", "--seeds", "2", "--regimes", "easy"])
    with pytest.raises(SystemExit):
        study.main()
    assert str(study.run_folder("easy", 2)) in capsys.readouterr().err and not (outputs / "study").exists()


@pytest.mark.parametrize("regime", study.REGIMES)
def test_the_folder_of_a_run_is_the_one_of_the_shell_scripts(outputs: Path, regime: str) -> None:
    script = f"source runs/miniature.sh; run_folder {regime} 3; echo $RUN"
    said = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == str(study.run_folder(regime, 3)) != str(outputs / "miniature" / "seed3")


def test_the_shell_scripts_name_the_regimes_that_there_are(outputs: Path) -> None:
    script = "source runs/miniature.sh; run_folder harder 0"
    said = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 2 and "demo, easy, hard or quick" in said.stderr
    assert not (outputs / "miniature").exists()


def test_all_arms_get_the_tokens_that_standard_generated(outputs: Path) -> None:
    write_all(outputs)
    jobs = {job.name.removeprefix("hard 0 "): job for job in study.jobs(PLAN, "hard", 0)}
    assert "STEPS=4 " in jobs["standard"].commands()
    assert "STEPS=4 " in jobs["sparse_reward"].commands()
    assert "STEPS=2 " in jobs["long_horizon"].commands()  # half of the turns are spared
    assert {name for name in jobs if name.startswith("answers of ")} == {f"answers of {arm}" for arm in study.ARMS}


def test_some_arms_can_run_first_and_the_others_later(outputs: Path) -> None:
    write_all(outputs)
    some = {job.name.removeprefix("hard 0 "): job for job in study.jobs(PLAN, "hard", 0, ["long_horizon"])}
    assert {name for name in some if name.startswith("answers of ")} == {
        "answers of sft", "answers of standard", "answers of long_horizon"
    }  # fmt: skip
    assert not {"sparse_reward", "sft_longer", "sft_all", "scores"} & some.keys()
    last = some["scores of sft standard long_horizon"]
    assert "sparse_reward" not in last.commands() and "try_long_horizon_test" in last.commands()
    later = {job.name.removeprefix("hard 0 "): job for job in study.jobs(PLAN, "hard", 0)}
    assert some.keys() - later.keys() == {"scores of sft standard long_horizon"}  # all else is not done again
    assert set(later["scores"].after) > set(last.after)


def test_the_report_compares_by_task_and_finds_when_a_curve_gets_there(outputs: Path) -> None:
    write_all(outputs)
    saved = study_record.read_run(PLAN, "hard", 0).save(outputs / "records")
    found = study_report.figures([study_record.load(saved)])
    assert found["arms"]["standard"][0]["accuracy"] == 0.6 and found["arms"]["standard"][0]["n"] == 10
    assert found["minus_sft"]["standard"]["pooled"]["difference"] == pytest.approx(0.3)
    assert found["standard_minus"]["long_horizon"]["pooled"]["difference"] == pytest.approx(0.1)
    assert found["generated_tokens"]["long_horizon"] == {0: 800}
    assert found["curves"]["standard"][0] == [(0.0, 0.1), (200.0, 0.4), (400.0, 0.5)]
    # 0.3, long_horizon's last, is reached by step 2: 200 of 800 tokens
    reached = {"accuracy": 0.3, "tokens": 200.0, "of": 800.0, "own": 800.0}
    assert found["tokens_of_standard_to_reach_long_horizon"] == {0: reached, "mean": reached}
    table = "\n".join(study_report.table("hard", found))
    assert "after\n25 % of its tokens; by seed: 25 %." in table and "| SCoRe-RL (`standard`) | 60.0 | +30.0 (" in table
    study_report.plot({"hard": found}, outputs / "study.png")
    assert (outputs / "study.png").stat().st_size > 10_000


def test_curves_whose_ends_are_steps_apart_are_one_curve() -> None:
    longer = [(0.0, 0.1), (20.0, 0.3), (40.0, 0.4), (41.0, 0.5)]
    shorter = [(0.0, 0.3), (30.0, 0.5), (39.0, 0.7)]
    mean = study_report.mean_curve([longer, shorter])
    assert mean == [(0.0, pytest.approx(0.2)), (25.0, pytest.approx(0.4)), (40.0, pytest.approx(0.6))]
    assert study_report.tokens_until_end_of(shorter, longer) == {
        "accuracy": 0.7,
        "tokens": None,
        "of": 39.0,
        "own": 39.0,
    }


def test_a_study_that_is_not_finished_is_reported_as_far_as_it_is(outputs: Path) -> None:
    folder = write_all(outputs)
    for arm in ("long_horizon", "sft_all"):
        (folder / "scores_try" / f"try_{arm}_test.scores.jsonl").unlink()
    record = study_record.read_run(PLAN, "hard", 0)
    found = study_report.figures([record])
    table = "\n".join(study_report.table("hard", found))
    assert list(found["arms"]) == ["sft", "sft_longer", "standard", "sparse_reward"]
    assert "long_horizon" not in table and "`standard` minus SFT by seed: +30.0" in table
    study_report.plot({"hard": found}, outputs / "study.png")
    whole = replace(record, seed=1, right=record.right | {"sft_all": "1" * 10})
    both = study_report.figures([record, whole])
    assert list(both["minus_sft"]["sft_all"]) == [1, "pooled"] and both["minus_sft"]["sft_all"]["pooled"]["n"] == 10
    table = "\n".join(study_report.table("hard", both))
    assert "| SFT goes on, with RL's data too |  | 100.0 | +70.0 (" in table
    study_report.plot({"hard": both}, outputs / "study.png")
    without = replace(record, seed=1, right={"sft": record.right["sft"]})
    with pytest.raises(ValueError, match="hard_seed1"):
        study_report.figures([record, without])


def test_the_plot_says_which_seeds_an_arm_is_of_where_it_is_not_all() -> None:
    assert study_report.label("standard", [0, 1], [0, 1]) == "standard"
    assert study_report.label("sft_all", [1], [0, 1]) == "sft_all (seed 1)"


def test_an_unscored_answer_is_not_taken_for_a_wrong_one(outputs: Path) -> None:
    path = outputs / "x.scores.jsonl"
    write_lines(path, [{"id": "1", "kind": "word", "correct": None}])
    with pytest.raises(ValueError, match="unscored"):
        study_record.read_scores(path)


def test_seeds_of_several_machines_are_put_together_if_their_recipe_is_the_same(outputs: Path) -> None:
    write_all(outputs)
    here = study_record.read_run(PLAN, "hard", 0)
    assert (here.sft_share, here.recipe["sft_epochs"]) == (0.25, 8)
    there = replace(here, seed=1, right=here.right | {"standard": "1" * 10})
    found = study_report.figures([here, there])
    assert found["minus_sft"]["standard"][1]["difference"] == pytest.approx(0.7)
    assert found["minus_sft"]["standard"]["pooled"]["difference"] == pytest.approx(0.5)
    assert found["minus_sft"]["standard"]["pooled"]["n"] == 20
    assert found["minus_sft"]["standard"]["pooled"]["over_seeds"] == pytest.approx(0.2)  # of 0.3 and 0.7
    assert "±20.0)" in "\n".join(study_report.table("hard", found))
    with pytest.raises(ValueError, match="not of one recipe: hard_seed0 .* hard_seed1"):
        study_report.figures([here, replace(there, recipe=here.recipe | {"steps": 5})])
    with pytest.raises(ValueError, match="comes twice"):
        study_report.figures([here, here])


def test_a_file_that_is_no_record_is_named(outputs: Path) -> None:
    path = outputs / "x.json"
    path.write_text('{"regime": "hard"}')
    with pytest.raises(ValueError, match="x.json is no record of the study"):
        study_record.load(path)
