"""A run that goes on from a checkpoint has the student, the data and the settings that it began with, or says so."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from export_checkpoint import export
from replay import keep_best
from rl_rows import Row, Turn
from run_manifest import begin, check_best, check_judge, check_search, composed, end, main, state, student_of, weights
from verl_parquet import ParquetFile

from score.errors import DataError, SettingsError

RL = Path(__file__).resolve().parents[2] / "RL"


@pytest.fixture
def run(tmp_path: Path, tiny_student: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a student, data, settings, and the output of a run that has a checkpoint."""
    shutil.copytree(tiny_student, tmp_path / "sft")
    for name in ("train", "val"):
        (tmp_path / f"{name}.parquet").write_bytes(name.encode())
    (tmp_path / "RL.yaml").write_text("limits: {tokens_per_turn: 12}\n")
    monkeypatch.setenv("SCORE_RL_ROOT", str(RL))
    monkeypatch.setenv("SCORE_RL_SETTINGS", str(tmp_path / "RL.yaml"))
    start(tmp_path)
    finish_a_step(tmp_path)
    return tmp_path


def finish_a_step(folder: Path) -> None:
    (folder / "output" / "checkpoints").mkdir()
    (folder / "output" / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("16")


def start(folder: Path, *more: str, accept: bool = False) -> list[str]:
    """What changed since the run began, as the launchers ask."""
    places = {
        "actor_rollout_ref.model.path": folder / "sft",
        "data.train_files": folder / "train.parquet",
        "data.val_files": folder / "val.parquet",
        "trainer.default_local_dir": folder / "output" / "checkpoints",
    }
    config = composed("miniature_cpu", [*(f"{key}={place}" for key, place in places.items()), *more])
    return list(begin(folder / "output", state(config), accept=accept))


def test_the_same_command_goes_on(run: Path) -> None:
    assert start(run) == []


@pytest.mark.parametrize(
    "file, key",
    [("sft/model.safetensors", "student"), ("train.parquet", "data.train_files")],
    ids=["a retrained student", "other data"],
)
def test_another_beginning_in_the_same_place_is_refused(run: Path, file: str, key: str) -> None:
    (run / file).write_bytes(b"another")
    with pytest.raises(SettingsError, match=f"  {key}: was"):
        start(run)


def test_another_student_is_refused_whatever_its_weight_files_are_called(run: Path) -> None:
    model = run / "sft" / "model.safetensors"
    model.rename(run / "sft" / "model-00001-of-00001.safetensors")
    assert start(run) == []  # the same contents
    (run / "sft" / "model-00001-of-00001.safetensors").write_bytes(b"another")
    with pytest.raises(SettingsError, match="student: was"):
        start(run)


@pytest.mark.parametrize("retrained", [False, True])
def test_a_run_of_an_earlier_version_goes_on_with_its_own_student_alone(run: Path, retrained: bool) -> None:
    path = run / "output" / "checkpoints.manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]["student"]
    manifest["settings"] |= {f"student.{name}": value for name, value in weights(str(run / "sft")).items()}
    path.write_text(json.dumps(manifest))
    if not retrained:
        assert start(run) == []
        return
    (run / "sft" / "model.safetensors").unlink()
    (run / "sft" / "other.safetensors").write_bytes(b"another")
    with pytest.raises(SettingsError, match="student: was"):
        start(run)


@pytest.mark.parametrize(
    "override", ["algorithm.score_grpo.credit=two_parts", "actor_rollout_ref.actor.optim.lr=1e-3", "data.seed=7"]
)
def test_a_changed_setting_is_refused_by_its_name(run: Path, override: str) -> None:
    with pytest.raises(SettingsError, match=override.split("=")[0]):
        start(run, override)


def test_a_changed_setting_of_the_reward_is_refused(run: Path) -> None:
    (run / "RL.yaml").write_text("limits: {tokens_per_turn: 12}\nreward: {avoid: false}\n")
    with pytest.raises(SettingsError, match="settings.reward.avoid: was True, is False"):
        start(run)


def test_a_judge_without_an_address_or_a_key_is_noticed_before_the_models_are_loaded(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_judge(composed("miniature_cpu", []))  # no judge, nothing to check
    (run / "RL.yaml").write_text("endpoints: {reward: {base_url: '${NOWHERE}', model: m}}\n")
    with pytest.raises(SettingsError, match="the variable NOWHERE is not set"):
        check_judge(composed("miniature_cpu", []))
    (run / "RL.yaml").write_text("endpoints: {reward: {base_url: 'http://a/v1', model: m, api_key_env: NO_KEY}}\n")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(SettingsError, match="the variable NO_KEY is not set"):
        check_judge(composed("miniature_cpu", []))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")  # its workers may have the key
    check_judge(composed("miniature_cpu", []))


def test_a_best_checkpoint_by_a_part_of_validation_or_without_weights_is_refused_by_name(run: Path) -> None:
    def check(*overrides: str, name: str = "miniature_cpu") -> None:
        check_best(composed(name, ["trainer.default_local_dir=o", *overrides]))

    check()
    check(name="score_grpo")
    in_parts = "data.val_batch_size=64"
    without = "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra]"
    with pytest.raises(SettingsError, match="data.val_batch_size is 64"):
        check(in_parts)
    with pytest.raises(SettingsError, match="save_contents is .*without hf_model"):
        check(without)
    for no_best in ("trainer.v1.sampler.sampler_kwargs.checkpoints=null", "trainer.test_freq=-1"):
        check(in_parts, without, no_best)


def said(code: str, thought: str = "t") -> str:
    return f"<thought>{thought}</thought><code>{code}</code>"


SEARCHED = [Turn("assistant", said("print(web_search('x'))")), Turn("user", "Observation: A page")]
ROWS = {
    "a search in the prefix": ({"prompt": SEARCHED, "searches": [["A page"]]}, True),
    "one that was not looked up": ({"prompt": SEARCHED}, True),
    "the prefix of a long horizon": ({"key_prefix": [Turn("user", "q"), *SEARCHED]}, True),
    "the teacher's step": ({"chosen": said("print(web_search('x'))"), "rejected": said("print(1)")}, True),
    "the old mistake": ({"chosen": said("print(1)"), "rejected": said("print(web_search('x'))")}, False),
    "words about searching": ({"chosen": said("print(1)", "web_search is not there"), "rejected": said("2")}, False),
}


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("row, searches", ROWS.values(), ids=ROWS)
def test_rows_that_search_are_refused_where_there_is_no_search(
    run: Path, split: str, row: dict[str, Any], searches: bool
) -> None:
    for name in ("train", "val"):
        with ParquetFile(run, name) as file:
            file.write(Row(prompt=[Turn("user", "q")], gt_answer="1"))
            if name == split:
                file.write(Row(**{**row, "prompt": [Turn("user", "q"), *row.get("prompt", [])]}, gt_answer="1"))
    config = composed("miniature_cpu", [f"data.{name}_files={run}/{name}.parquet" for name in ("train", "val")])
    if not searches:
        check_search(config)
        return
    with pytest.raises(SettingsError, match=f"1 of 2 rows of .*{split}.parquet call web_search .*backend is `none`"):
        check_search(config)
    for more in ("search: {backend: wikipedia}", "without_search: true"):
        (run / "RL.yaml").write_text(more)
        check_search(config)


def test_a_run_on_rows_that_search_does_not_begin_without_a_search(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ParquetFile(run, "train") as file:
        file.write(Row(prompt=[Turn("user", "q"), *SEARCHED], gt_answer="1"))
    files = [f"data.{name}_files={run}/train.parquet" for name in ("train", "val")]
    places = [f"actor_rollout_ref.model.path={run}/sft", f"trainer.default_local_dir={run}/new/checkpoints"]
    arguments = ["begin", "--config-name", "miniature_cpu", "--output", str(run / "new"), *files, *places]
    monkeypatch.setattr(sys, "argv", ["run_manifest.py", *arguments])
    with pytest.raises(SettingsError, match="backend is `none`"):
        main()
    assert not (run / "new").exists()
    (run / "RL.yaml").write_text("without_search: true")
    assert main() == 0 and (run / "new" / "checkpoints.manifest.json").is_file()


def test_more_steps_another_place_and_other_devices_are_no_change(
    run: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = run.rename(tmp_path_factory.mktemp("elsewhere") / "run")
    monkeypatch.setenv("SCORE_RL_SETTINGS", str(moved / "RL.yaml"))
    assert start(moved, "trainer.total_training_steps=500", "trainer.nnodes=2") == []


def test_an_accepted_change_is_told_once_and_is_what_the_run_goes_on_with(run: Path) -> None:
    more = "actor_rollout_ref.actor.optim.lr=1e-3"
    assert start(run, more, accept=True) == ["actor_rollout_ref.actor.optim.lr"]
    assert start(run, more) == []
    with pytest.raises(SettingsError, match="lr: was 0.001, is 0.00015"):
        start(run)


def test_without_a_checkpoint_a_run_begins_anew(run: Path) -> None:
    shutil.rmtree(run / "output" / "checkpoints")
    (run / "sft" / "model.safetensors").write_bytes(b"another")
    assert start(run) == []
    finish_a_step(run)
    assert start(run) == []


def test_missing_data_is_said_before_anything_starts(run: Path) -> None:
    (run / "val.parquet").unlink()
    with pytest.raises(DataError, match=r"val.parquet does not exist: .*convert_parquet"):
        start(run)


@pytest.mark.parametrize("which", ["last", "best"])
def test_the_manifest_has_what_the_run_began_with_what_changed_and_which_step_is_exported(
    run: Path, which: str
) -> None:
    start(run, "data.seed=7", accept=True)
    student, checkpoints = run / "rl", run / "output" / "checkpoints"
    for step in (12, 16):
        shutil.copytree(run / "sft", checkpoints / f"global_step_{step}" / "actor" / "huggingface")
    keep_best(checkpoints, 12, 0.6)
    export(checkpoints, student, which)
    rows = [{"step": 0, "val_accuracy": 0.1}, {"step": 1, "generated_tokens": 50, "seconds": 2.5, "judge_calls": 1}]
    (student / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = json.loads(end(run / "output", student).read_text())
    assert manifest["counts"] == {"steps": 1, "generated_tokens": 50, "judge_calls": 1, "seconds": 2.5}
    assert (
        manifest["exported"]
        == {
            "last": {"which": "last", "step": 16},
            "best": {"which": "best", "step": 12, "accuracy": 0.6},
        }[which]
    )
    assert manifest["settings"]["algorithm.score_grpo.negative_scale"] == 0.5
    assert manifest["settings"]["student"] == student_of(manifest["student"])
    assert manifest["changes"][0]["changed"] == {"data.seed": {"was": 42, "is": 7}}
