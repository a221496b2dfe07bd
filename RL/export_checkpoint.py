"""A checkpoint of an RL run as a Hugging Face folder that serving and inference configs can point at: the last one, or
with `--which best` the one with the best validation accuracy (`replay.keep_best` keeps it).

    cd RL && python export_checkpoint.py --checkpoints output/qwen2.5-7b/checkpoints --output output/qwen2.5-7b/SCoRe_RL

verl writes weights, tokenizer and configs under `actor/huggingface` where `hf_model` is among
`actor.checkpoint.save_contents`, as our configs say. Without it verl's own merger joins the training shards. Of a run
with LoRA verl keeps adapter and base side by side under names that no model has: they are merged here.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from score import cli
from score.errors import DataError

LORA = "lora_train_meta.json"  # verl's, in `actor`
RECORD = "best.json"  # of the best checkpoint, in its folder: step and accuracy
EXPORTED = "exported.json"  # in the exported folder: `which` checkpoint it is of, its step, and best's accuracy
EXAMPLE = "cd RL && python export_checkpoint.py --checkpoints output/qwen2.5-7b/checkpoints --output output/SCoRe_RL"


def last_step(checkpoints: Path) -> Path:
    """The folder of the last finished step, or a single step's folder itself. Raises `DataError`."""
    if (checkpoints / "actor").is_dir():
        return checkpoints
    tracker = checkpoints / "latest_checkpointed_iteration.txt"  # written after the checkpoint is complete
    if not tracker.is_file():
        raise DataError(f"{checkpoints} holds no finished checkpoint ({tracker.name} is missing)")
    return checkpoints / f"global_step_{tracker.read_text().strip()}"


def export(checkpoints: Path, output: Path, which: str = "last") -> Path:
    """Write the folder `output`, replacing it as a whole; returns the folder it was made from. `which`: last, best."""
    step = checkpoints / "best" if which == "best" else last_step(checkpoints)
    if not step.is_dir():
        raise DataError(
            f"{step} does not exist: no step was both saved and validated on rows of its own (trainer.save_freq, "
            "test_freq; convert_parquet.py says how many rows val.parquet has)"
        )
    source = step / "actor" / "huggingface"
    if not source.is_dir():
        raise DataError(f"{source} does not exist: the checkpoint is not one of verl's FSDP engine")
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, partial)
    if not list(partial.glob("*.safetensors")):
        merger = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
        subprocess.run([*merger, "--local_dir", str(step / "actor"), "--target_dir", str(partial)], check=True)
    correct_config(partial)
    if (step / "actor" / LORA).is_file():
        merge_adapter(partial, json.loads((step / "actor" / LORA).read_text(encoding="utf-8")))
    check_names(partial)
    (partial / EXPORTED).write_text(json.dumps({"which": which, **origin(step)}) + "\n", encoding="utf-8")
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    return step


def origin(checkpoint: Path) -> dict[str, Any]:
    """The step of a checkpoint's folder, None where it does not say; of the best one also its accuracy."""
    if (checkpoint / RECORD).is_file():
        return dict(json.loads((checkpoint / RECORD).read_text(encoding="utf-8")))
    number = checkpoint.resolve().name.removeprefix("global_step_")
    return {"step": int(number) if number.isdecimal() else None}


def merge_adapter(folder: Path, lora: dict[str, Any]) -> None:
    """Replace a folder's weights, which have a `peft` model's names, by those of the model with its adapter merged.
    `lora` is verl's `lora_train_meta.json` (`r`, `lora_alpha`). Raises `DataError` where they do not fit together."""
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    files = sorted(folder.glob("*.safetensors"))
    state = {name: tensor for file in files for name, tensor in load_file(file).items()}
    targets = sorted(
        {name.removeprefix("base_model.model.").split(".lora_A.")[0] for name in state if ".lora_A." in name}
    )
    if not targets:
        raise DataError(f"{folder} has no adapter: LoRA needs hf_model among actor.checkpoint.save_contents")
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config, dtype=config.dtype)
    adapted = get_peft_model(model, LoraConfig(r=lora["r"], lora_alpha=lora["lora_alpha"], target_modules=targets))
    unknown = adapted.load_state_dict(state, strict=False).unexpected_keys
    missing = {name for name, _ in adapted.named_parameters()} - state.keys()  # tied ones once
    if unknown or missing:
        raise DataError(f"{folder}: the adapter does not fit: {sorted({*unknown, *missing})[:3]}")
    merged = adapted.merge_and_unload()
    if (folder / "generation_config.json").is_file():
        merged.generation_config = GenerationConfig.from_pretrained(folder)
    for file in [*files, *folder.glob("*.safetensors.index.json")]:
        file.unlink()
    merged.save_pretrained(folder)


def check_names(folder: Path) -> None:
    """Raises `DataError` where a folder lacks weights of its architecture: `from_pretrained` would draw them at random
    and go on."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    missing = {name for name, _ in model.named_parameters()}  # tied ones once
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            missing -= set(file.keys())
    if missing:
        raise DataError(
            f"{folder} lacks weights of its model: {', '.join(sorted(missing)[:3])} ({len(missing)} in all)"
        )


def correct_config(folder: Path) -> None:
    """verl's config.json says bfloat16 whatever the weights are, and keeps the training's attention: put both right."""
    from safetensors import safe_open

    weights = next(iter(sorted(folder.glob("*.safetensors"))))
    with safe_open(weights, framework="pt") as file:
        dtype = str(file.get_tensor(next(iter(file.keys()))).dtype).removeprefix("torch.")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("attn_implementation", None)
    path.write_text(json.dumps(config | {"dtype": dtype}, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    parser = cli.parser(__doc__ or "", EXAMPLE, None)
    parser.add_argument("--checkpoints", type=Path, required=True, help="trainer.default_local_dir or a step's folder")
    parser.add_argument("--output", type=Path, required=True, help="folder for the Hugging Face checkpoint")
    parser.add_argument("--which", choices=("last", "best"), default="last")
    arguments = parser.parse_args()
    step = export(arguments.checkpoints, arguments.output, arguments.which)
    print(f"{arguments.output}: the student of step {origin(step)['step']} ({step.name})")
    return 0


if __name__ == "__main__":
    cli.run(main)
