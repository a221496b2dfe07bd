"""The shipped training configurations, through LLaMA-Factory's own argument parser."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TRAIN = sorted((ROOT / "SFT" / "configs" / "train").glob("*.yaml")) + [
    ROOT / "configs" / "miniature" / name for name in ("pretraining.yaml", "BC_init.yaml", "SCoRe_SFT.yaml")
]
MERGE = sorted((ROOT / "SFT" / "configs" / "merge").glob("*.yaml"))


def values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.fixture(autouse=True)
def no_version_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DISABLE_VERSION_CHECK", "1")


@pytest.mark.parametrize("path", TRAIN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_llamafactory_accepts_every_key_and_reads_it_as_meant(path: Path, tmp_path: Path) -> None:
    from llamafactory.hparams import get_train_args

    given = values(path)
    there = {
        "output_dir": str(tmp_path),
        "model_name_or_path": given.get("model_name_or_path", "student"),
        "use_cpu": True,
    }
    # DeepSpeed and bitsandbytes are not for CPUs: their keys are looked at below.
    asked = {key: value for key, value in given.items() if key not in ("deepspeed", "quantization_bit")}
    model, data, training, finetuning, _ = get_train_args(asked | there)
    assert (finetuning.stage, finetuning.finetuning_type) == ("sft", given["finetuning_type"])
    assert (data.cutoff_len, data.template) == (given["cutoff_len"], "qwen")
    assert training.learning_rate == given["learning_rate"] and training.num_train_epochs == given["num_train_epochs"]
    assert training.overwrite_output_dir and training.get_warmup_steps(1000) == round(1000 * given["warmup_ratio"])
    if "add_tokens" in given:
        assert model.add_tokens == [
            "<code>",
            "</code>",
            "<thought>",
            "</thought>",
            "<first_thought>",
            "</first_thought>",
        ]
        assert model.resize_vocab


@pytest.mark.parametrize("name, cutoff", [("BC_init", 4096), ("SCoRe_SFT", 15000)])
def test_the_8_gpu_settings_are_those_of_the_original_runs(name: str, cutoff: int) -> None:
    given = values(ROOT / "SFT" / "configs" / "train" / f"{name}.yaml")
    assert given["cutoff_len"] == cutoff and given["learning_rate"] == 7e-6 and given["bf16"] is True
    assert (given["per_device_train_batch_size"], given["gradient_accumulation_steps"]) == (2, 8)
    assert (given["num_train_epochs"], given["lr_scheduler_type"], given["warmup_ratio"]) == (3, "cosine", 0.1)
    deepspeed = json.loads((ROOT / "SFT" / given["deepspeed"]).read_text())
    assert deepspeed["zero_optimization"]["stage"] == 3


@pytest.mark.parametrize(
    "name", ["README.md", "SFT/README.md", "SFT/configs/train/BC_init.yaml", "SFT/configs/train/SCoRe_SFT.yaml"]
)
def test_the_commands_that_train_with_deepspeed_start_torchrun_on_one_gpu_too(name: str) -> None:
    commands = re.findall(r"(.*)llamafactory-cli train (configs/train/\w+\.yaml)", (ROOT / name).read_text())
    with_deepspeed = [before for before, config in commands if "deepspeed" in values(ROOT / "SFT" / config)]
    assert with_deepspeed and all(before.endswith("FORCE_TORCHRUN=1 ") for before in with_deepspeed)


@pytest.mark.parametrize("path", MERGE, ids=lambda path: path.name)
def test_a_merge_takes_up_where_its_training_ended(path: Path) -> None:
    from llamafactory.hparams import get_infer_args

    given, trained = values(path), values(ROOT / "SFT" / "configs" / "train" / path.name)
    assert given["adapter_name_or_path"] == trained["output_dir"]
    assert given["model_name_or_path"] == trained["model_name_or_path"] and given["template"] == trained["template"]
    model, _, finetuning, _ = get_infer_args(given)
    assert model.export_dir and model.adapter_name_or_path == [given["adapter_name_or_path"]]
    assert finetuning.finetuning_type == "lora"


def test_the_sft_adapter_starts_from_the_merged_bc_student() -> None:
    merged = values(ROOT / "SFT" / "configs" / "merge" / "BC_init_lora.yaml")["export_dir"]
    assert values(ROOT / "SFT" / "configs" / "train" / "SCoRe_SFT_lora.yaml")["model_name_or_path"] == merged


def test_the_datasets_of_the_configs_are_named_in_dataset_info() -> None:
    named = json.loads((ROOT / "SFT" / "data" / "dataset_info.json").read_text())
    for path in TRAIN:
        if path.is_relative_to(ROOT / "SFT"):
            assert values(path)["dataset"] in named
