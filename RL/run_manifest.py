"""What an RL run was made with: checked before it goes on from a checkpoint, written down beside what it exports.

    cd RL && python run_manifest.py begin --config-name miniature_cpu --output OUTPUT [KEY=VALUE ...]
    cd RL && python run_manifest.py end --output OUTPUT --export EXPORT

The launchers call both. `begin` composes the config as verl will and writes OUTPUT/checkpoints.manifest.json: which
student, which data and which settings the run has. Where OUTPUT has a checkpoint already, verl would go on from it
whatever the student and the data are now: a change is refused, key by key, unless --accept-changes (ACCEPT_CHANGES=1
in front of a launcher) says that it is meant; then it is written down. Not counted are the `trainer` section (how long,
how often, on what), places of files, and the endpoints of judge and tools. Settings that would crown a wrong best
checkpoint are refused, too, and rows that search where there is no search. `end` writes EXPORT.manifest.json with all
that.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from export_checkpoint import EXPORTED, last_step
from prefix import SEARCH, split_prompt
from rl_settings import RLSettings

from score import cli
from score.dialogue import parse_student
from score.errors import DataError, SettingsError
from score.fingerprint import changes, fingerprint, refuse
from score.llm import Endpoint
from score.manifest import file_hash, git_revision, manifest_path, read_manifest, write_manifest
from score.settings import environment, load_settings

EXAMPLE = "cd RL && python run_manifest.py begin --config-name miniature_cpu --output OUTPUT algorithm.gamma=1.0"
COUNTED = ("actor_rollout_ref", "algorithm", "data", "reward")
WEIGHTS = ("*.safetensors", "*.bin")
PLACES = ("actor_rollout_ref.model.path", "data.train_files", "data.val_files")


def composed(name: str, overrides: list[str]) -> DictConfig:
    """The config that verl's `main_ppo` composes from RL/configs with these Hydra overrides."""
    with initialize_config_dir(str(Path(__file__).resolve().parent / "configs"), version_base=None):
        return compose(name, ["hydra.searchpath=[pkg://verl.trainer.config]", *overrides])


def weights(model: str) -> dict[str, str]:
    """Hashes of a model folder's weights, by file name; a name on a hub stands for itself. Raises `DataError`."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return {"name": model}
    found = {file.name: file_hash(file) for kind in WEIGHTS for file in sorted(folder.glob(kind))}
    if not found:
        raise DataError(f"{folder} holds no {' or '.join(WEIGHTS)}: it is no student")
    return found


def student_of(found: dict[str, str]) -> str:
    """One hash of what `weights` gives, whatever the files are called; a hub's name stays."""
    if found.keys() == {"name"}:
        return found["name"]
    return hashlib.sha256("\n".join(sorted(found.values())).encode()).hexdigest()


def contents(file: str) -> str:
    """The hash of a file's contents; an address stands for itself. Raises `DataError`."""
    if "://" in file:
        return file
    if not Path(file).is_file():
        raise DataError(
            f"{file} does not exist: SCoRe_Script/data_preprocess/convert_parquet.py makes it (DATA is its folder)"
        )
    return file_hash(Path(file))


def state(config: DictConfig) -> dict[str, Any]:
    """What the run's result depends on, key by key: settings as written (a place inside a value stays a reference),
    the settings of reward and tools, hashes of the student's weights and of the data. Raises `DataError`."""
    plain = OmegaConf.to_container(config, resolve=False)
    found = {key: value for section in COUNTED for key, value in flat(plain[section], f"{section}.")}
    for key in PLACES:
        found.pop(key, None)
    settings = load_settings(RLSettings, config.reward.custom_reward_function.reward_kwargs.settings)
    found |= {f"settings.{key}": value for key, value in fingerprint(settings, [], []).items()}
    found["student"] = student_of(weights(config.actor_rollout_ref.model.path))
    for key in ("train_files", "val_files"):
        files = config.data[key]
        found[f"data.{key}"] = [contents(file) for file in ([files] if isinstance(files, str) else files)]
    return json.loads(json.dumps(found, default=str))  # type: ignore[no-any-return]


def with_one_student(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a manifest, also of one that an earlier version wrote, which had a key for each file of weights
    (`student.model.safetensors`)."""
    files = {key.removeprefix("student."): value for key, value in settings.items() if key.startswith("student.")}
    rest = {key: value for key, value in settings.items() if not key.startswith("student.")}
    return rest | {"student": student_of(files)} if files else rest


def flat(value: Any, prefix: str) -> list[tuple[str, Any]]:
    """The leaves of a nested mapping, with their dotted keys."""
    if not isinstance(value, dict) or not value:
        return [(prefix.removesuffix("."), value)]
    return [leaf for key, inner in value.items() for leaf in flat(inner, f"{prefix}{key}.")]


def check_judge(config: DictConfig) -> None:
    """Raises `SettingsError` where the address or the key of the reward's judge is not set: here, and not after the
    models are loaded. The workers of a cluster that runs already may have a key of their own."""
    judge = load_settings(RLSettings, config.reward.custom_reward_function.reward_kwargs.settings).endpoints.reward
    if judge is not None and environment().get("RAY_ADDRESS"):
        judge = judge.model_copy(update={"api_key_env": None})
    if judge is not None:
        Endpoint("reward", judge)


def check_best(config: DictConfig) -> None:
    """Raises `SettingsError` where `best` (`replay.keep_best`) would be chosen by a part of the validation, or would
    hold no weights."""
    trainer = config.trainer
    if not trainer.v1.sampler.sampler_kwargs.get("checkpoints") or min(trainer.test_freq, trainer.save_freq) <= 0:
        return
    without = "; to keep no best checkpoint: trainer.v1.sampler.sampler_kwargs.checkpoints=null"
    if config.data.val_batch_size is not None:
        raise SettingsError(
            f"data.val_batch_size is {config.data.val_batch_size}: verl then hands over validation in parts, and the "
            f"best checkpoint would be chosen by one of them. Leave it null{without}"
        )
    saved = config.actor_rollout_ref.actor.checkpoint.save_contents
    if "hf_model" not in saved:
        raise SettingsError(
            f"actor_rollout_ref.actor.checkpoint.save_contents is {list(saved)}, without hf_model: the best checkpoint "
            f"would hold no weights. Add hf_model{without}"
        )


def searches(row: Mapping[str, Any]) -> bool:
    """Did the prefix of a parquet row, or the teacher's step, search?"""
    info = row["extra_info"]
    if json.loads(info.get("searches") or "null"):
        return True
    dialogues = [row["prompt"], json.loads(info.get("key_prefix") or "[]")]
    codes = [step.code for messages in dialogues if messages for step in split_prompt(messages)[2]]
    return any(SEARCH in code for code in [*codes, parse_student(info["chosen_step"]).code or ""])


def check_search(config: DictConfig) -> None:
    """Raises `SettingsError` for rows that search where there is no search: all that their rollouts could learn is that
    searching fails."""
    import pyarrow.parquet as pq

    place = config.reward.custom_reward_function.reward_kwargs.settings
    settings = load_settings(RLSettings, place)
    if settings.search.backend != "none" or settings.without_search:
        return
    for key in ("train_files", "val_files"):
        files = config.data[key]
        for file in [files] if isinstance(files, str) else files:
            if "://" in file:
                continue  # verl fetches it
            with pq.ParquetFile(file) as parquet:
                batches = parquet.iter_batches(1000, columns=["prompt", "extra_info"])
                found = sum(searches(row) for batch in batches for row in batch.to_pylist())
                total = parquet.metadata.num_rows
            if found:
                raise SettingsError(
                    f"{found} of {total} rows of {file} call {SEARCH} in their prefix or in the teacher's step, but "
                    f"search.backend is `none` in {place}: every search of a rollout would fail. Choose a back end "
                    "(configs/tools.yaml lists them), convert rows that were made without search alone "
                    "(convert_parquet.py --input), or say without_search: true there to train without search"
                )


def begin(output: Path, now: dict[str, Any], *, accept: bool) -> dict[str, dict[str, Any]]:
    """Write the manifest of a run's checkpoints; of a run that goes on from one, return what changed since. Raises
    `SettingsError` for changes that are not accepted, and writes nothing then."""
    checkpoints = output / "checkpoints"
    try:
        last_step(checkpoints)
        before = read_manifest(checkpoints)  # empty: of an older version
    except DataError:  # nothing to go on from
        before = {}
    changed = changes(with_one_student(before.get("settings", {})), now)
    if not accept:
        refuse(
            changed,
            f"{checkpoints} is of a run that began",
            "start over in another OUTPUT or after removing this one (train_miniature.sh: FRESH=1), or go on from its "
            "checkpoint with ACCEPT_CHANGES=1 (the manifest will tell)",
        )
    history = list(before.get("changes", []))
    if changed:
        history.append({"when": time.strftime("%FT%T%z"), "git": git_revision(), "changed": changed})
    output.mkdir(parents=True, exist_ok=True)
    write_manifest(checkpoints, now, {}, changes=history)
    return changed


def end(output: Path, export: Path) -> Path:
    """Write EXPORT.manifest.json of a run that is over; returns its path. `steps` of its counts are the run's,
    `exported` says which of them the student is of. Raises `DataError`."""
    began = read_manifest(output / "checkpoints")
    if not began:
        raise DataError(
            f"{manifest_path(output / 'checkpoints')} does not exist: the launchers write it at the beginning"
        )
    rows = [json.loads(line) for line in (export / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    counts = {
        "steps": rows[-1]["step"],
        "generated_tokens": sum(row.get("generated_tokens", 0) for row in rows),
        "judge_calls": sum(row.get("judge_calls", 0) for row in rows),
        "seconds": sum(row.get("seconds", 0) for row in rows),
    }
    exported = json.loads((export / EXPORTED).read_text(encoding="utf-8"))
    return write_manifest(
        export, began["settings"], counts, student=weights(str(export)), exported=exported, changes=began["changes"]
    )


def main() -> int:
    parser = cli.parser(__doc__ or "", EXAMPLE, None)
    parser.add_argument("when", choices=("begin", "end"))
    parser.add_argument("--output", type=Path, required=True, help="the run's folder, which holds checkpoints/")
    parser.add_argument("--config-name", help="begin: a config of RL/configs")
    parser.add_argument("--export", type=Path, help="end: the exported student, with metrics.jsonl in it")
    parser.add_argument("--accept-changes", action="store_true", help="begin: go on although something changed")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="begin: Hydra overrides")
    arguments = parser.parse_intermixed_args()
    if arguments.when == "end":
        print(end(arguments.output, arguments.export))
        return 0
    config = composed(arguments.config_name, arguments.overrides)
    check_judge(config)
    check_best(config)
    now = state(config)
    check_search(config)
    changed = begin(arguments.output, now, accept=arguments.accept_changes)
    if changed:
        print(f"goes on although these changed: {', '.join(changed)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    cli.run(main)
