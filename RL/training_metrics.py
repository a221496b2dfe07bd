"""verl's log files as `metrics.jsonl`: a line per step with the figures that compare runs.

    cd RL && python training_metrics.py --log output/miniature/log --output output/miniature/metrics.jsonl

Every start of a run writes a log of its own (`verl_*.jsonl`, verl's `file` logger). A resumed run repeats the steps
after its checkpoint: from there on the later log counts.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from score import cli
from score.errors import DataError
from score.tasks import read_json_lines

EXAMPLE = "cd RL && python training_metrics.py --log output/miniature/log --output output/miniature/metrics.jsonl"
TIER, LAYER = "score/tier/", "score/layer/"
VALIDATION = "val-aux/agent_distill/{}/mean"
PLAIN = {  # our name: verl's
    "reward": "score/reward",
    "accuracy": "score/final_accuracy",
    "key_step_hit": "score/key_step_hit",
    "unscored": "score/unscored",
    "answered": "score/answered",
    "generated_tokens": "score/generated_tokens",
    "tokens_per_rollout": "score/tokens_per_rollout",
    "turns": "score/turns",
    "horizon_saved": "score/horizon_saved",
    "without_judge": "score/without_judge",
    "judge_calls": "score/judge_calls",
    "judge_seconds": "score/judge_seconds",
    "prefix_executions": "score/prefix_executions",
    "groups_without_advantage": "score/groups_without_advantage",
    "rollout_probs_diff_max": "training/rollout_probs_diff_max",
    "kl": "actor/kl_loss",
    "entropy": "actor/entropy",
    "grad_norm": "actor/grad_norm",
    "seconds": "timing_s/step",
}


def line(step: int, data: dict[str, Any]) -> dict[str, Any]:
    """One step's figures; shares of tiers and layers are nested. What a step did not measure is left out, but for the
    validation's accuracy (of the scored rows) and share of unscored rows, which are null then."""

    def validation(figure: str) -> float | None:
        return next((value for name, value in data.items() if name.startswith(VALIDATION.format(figure))), None)

    return {
        "step": step,
        **{ours: data[theirs] for ours, theirs in PLAIN.items() if theirs in data},
        "val_accuracy": validation("final_correct"),
        "val_unscored": validation("unscored"),
        "tiers": {name.removeprefix(TIER): value for name, value in data.items() if name.startswith(TIER)},
        "layers": {name.removeprefix(LAYER): value for name, value in data.items() if name.startswith(LAYER)},
    }


def joined(log: Path) -> list[dict[str, Any]]:
    """The steps of all starts, in order. Raises `DataError` where there are none."""
    steps: dict[int, dict[str, Any]] = {}
    for path in sorted(log.glob("verl_*.jsonl")):
        rows = [row for _, row in read_json_lines(path) if isinstance(row, dict)]  # a killed run may leave half a line
        if rows:  # what an earlier start did after this one's checkpoint is gone
            steps = {step: data for step, data in steps.items() if step <= rows[0]["step"]}
        for row in rows:
            # A start that validates first adds that to the step of its checkpoint; a step that was done again counts.
            before = steps.get(row["step"], {}) if set(row["data"]).isdisjoint(PLAIN.values()) else {}
            steps[row["step"]] = before | row["data"]
    if not steps:
        raise DataError(f"{log} holds no finished step of verl's `file` logger (trainer.logger has to name it)")
    return [line(step, steps[step]) for step in sorted(steps)]


def main() -> int:
    parser = cli.parser(__doc__ or "", EXAMPLE, None)
    parser.add_argument("--log", type=Path, required=True, help="folder of verl_*.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="metrics.jsonl")
    arguments = parser.parse_args()
    rows = joined(arguments.log)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(
        f"{arguments.output}: {len(rows)} steps, accuracy in training {rows[0].get('accuracy')} at the first, "
        f"{rows[-1].get('accuracy')} at the last"
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
