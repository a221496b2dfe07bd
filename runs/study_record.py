"""What one regime and seed of the study left, in one small file: enough for every figure of the report.

Seeds may run on different days and machines: their records are put together by study_report.py. A record holds which
test tasks each student solved, and a line for each of an RL run's steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from study import ARMS, RL_ARMS, Plan, marker, read_lines, read_metrics, recipe, run_folder
from study_marker import made_now, read_marker

from score.manifest import manifest_path

KEPT = ("step", "generated_tokens", "accuracy", "val_accuracy", "seconds", "key_step_hit")  # of metrics.jsonl


@dataclass(frozen=True)
class Record:
    """`right`: by arm that has been scored a 1 or 0 for each word problem of test, in the order of `tasks`; `sampled`:
    the same for the SFT student on validation, from the question at temperature 1. `steps`: of each RL arm, with the
    keys of `KEPT`. `recipe`: what records that are put together have in common. `revision` and `date`: of `standard`'s
    training. `sft_share`: what runs/regime.sh found for the seed."""

    regime: str
    seed: int
    recipe: dict[str, Any]
    sft_share: float
    revision: str
    date: str
    tasks: list[str]
    right: dict[str, str]
    sampled: str
    steps: dict[str, list[dict[str, Any]]]

    @property
    def name(self) -> str:
        return f"{self.regime}_seed{self.seed}"

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), separators=(",", ":")) + "\n", encoding="utf-8")
        return path


def load(path: Path) -> Record:
    """Raises `ValueError` for a file that is no record."""
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is no record of the study: {error}") from None


def read_scores(path: Path, kind: str = "word") -> dict[str, bool]:
    """The verdicts of a scores file (inference/evaluate.py). Raises `ValueError` for a task without."""
    found = {row["id"]: row["correct"] for row in read_lines(path) if row["kind"] == kind}
    if open_ones := [task for task, correct in found.items() if correct is None]:
        raise ValueError(f"{path}: {len(open_ones)} tasks are unscored, as {open_ones[0]}")
    return found


def sft_share(folder: Path) -> float:
    """Which share of the trajectories a run's SFT student was made of. Raises `OSError` where there is none."""
    manifest = json.loads(manifest_path(folder / "data" / "mps_llamafactory.json").read_text(encoding="utf-8"))
    return float(manifest["settings"]["sft_share"])


def sft_epochs(folder: Path) -> int:
    """Raises `OSError` where there is no SFT student."""
    return int(json.loads((folder / "sft" / "trainer_state.json").read_text(encoding="utf-8"))["num_train_epochs"])


def bits(right: Mapping[str, bool], tasks: list[str]) -> str:
    """Raises `KeyError` for a task that was not answered."""
    return "".join("1" if right[task] else "0" for task in tasks)


def read_run(plan: Plan, regime: str, seed: int) -> Record:
    """The record of what has been scored of a run. Raises `OSError` where `sft` has not, and `ValueError`."""
    folder = run_folder(regime, seed)
    scores = folder / f"scores_{plan.name}"
    files = {arm: scores / f"{plan.name}_{arm}_test.scores.jsonl" for arm in ARMS}
    right = {arm: read_scores(path) for arm, path in files.items() if arm == "sft" or path.is_file()}
    sampled = read_scores(scores / f"{plan.name}_sampled.scores.jsonl")
    tasks = sorted(right["sft"])
    # An older marker does not say: then what is done now stands for it.
    made = made_now(recipe(plan, regime)) | read_marker(marker(plan, regime, seed, "standard"))
    return Record(
        regime=regime,
        seed=seed,
        recipe=made["recipe"] | {"sft_epochs": sft_epochs(folder)},
        sft_share=sft_share(folder),
        revision=made["revision"],
        date=made["date"],
        tasks=tasks,
        right={arm: bits(answers, tasks) for arm, answers in right.items()},
        sampled=bits(sampled, sorted(sampled)),
        steps={
            arm: [
                {key: step[key] for key in KEPT if key in step}
                for step in read_metrics(folder / f"rl_{plan.name}_{arm}")
            ]
            for arm in RL_ARMS
            if arm in right
        },
    )
