"""What is exported is the student that was trained, whole, in a form that `from_pretrained` reads as it is."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from export_checkpoint import export
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from score.errors import DataError

IDS = torch.arange(20)[None]


def checkpoint(folder: Path, student: Path, state: dict[str, Any] | None = None) -> Path:
    """A finished step as verl leaves it, with these weights under `huggingface`."""
    actor = folder / "checkpoints" / "global_step_3" / "actor"
    shutil.copytree(student, actor / "huggingface")
    if state is not None:
        save_file(
            {name: tensor.contiguous() for name, tensor in state.items()}, actor / "huggingface" / "model.safetensors"
        )
    (folder / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("3")
    return actor


def adapted(student: Path) -> Any:
    """The student with an adapter that does something."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(student)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def state_of(model: Any) -> dict[str, Any]:
    """Its weights, the tied ones once."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("lm_head.weight")}


def test_an_adapter_is_merged_into_the_exported_student(tmp_path: Path, tiny_student: Path) -> None:
    model = adapted(tiny_student)
    actor = checkpoint(tmp_path, tiny_student, state_of(model))
    (actor / "lora_train_meta.json").write_text(json.dumps({"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}))
    export(tmp_path / "checkpoints", tmp_path / "out")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        wanted, found = model(IDS).logits, exported(IDS).logits
        base = AutoModelForCausalLM.from_pretrained(tiny_student).eval()(IDS).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert (base - wanted).abs().max() > 1e-2
    assert (
        load_file(tmp_path / "out" / "model.safetensors").keys() == load_file(tiny_student / "model.safetensors").keys()
    )
    generation = json.loads((tiny_student / "generation_config.json").read_text())
    assert exported.generation_config.eos_token_id == generation["eos_token_id"]


def test_weights_under_other_names_are_refused_and_the_last_export_stays(tmp_path: Path, tiny_student: Path) -> None:
    checkpoint(tmp_path, tiny_student, state_of(adapted(tiny_student)))  # as a LoRA run's, but nothing says so
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(DataError, match=r"lacks weights of its model: .*embed_tokens"):
        export(tmp_path / "checkpoints", tmp_path / "out")
    assert (tmp_path / "out" / "kept").is_file()


def test_a_run_with_lora_that_kept_no_adapter_is_refused(tmp_path: Path, tiny_student: Path) -> None:
    actor = checkpoint(tmp_path, tiny_student)
    (actor / "lora_train_meta.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    with pytest.raises(DataError, match="hf_model"):
        export(tmp_path / "checkpoints", tmp_path / "out")
