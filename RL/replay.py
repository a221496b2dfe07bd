"""verl's replay buffer with what SCoRe needs between rollout and update (`trainer.v1.sampler.custom_sampler`).

- Unscored rollouts get the mean of their group's scored ones: with GRPO's baseline their advantage is then zero.
  Above `unscored_limit` (a share of the step's rollouts) training stops instead of learning from noise. Rows whose
  prefix prints something else than recorded move no weight either; they are a matter of the data and do not stop it.
- With `credit: key_turn` and `two_parts` what a rollout's key turn earned is put at the end of that turn (`advantage`).
- With `filter_groups` a group is not replaced if the limit has to see an unscored rollout of it; the tokens of those
  that are replaced count.
- A rollout that failed with an unexpected error stops training: it is a bug, not a 0.
- Shares of tiers and deciding layers, key-step hits, final accuracy and tokens go into verl's loggers.
- verl polls every 2 s, which on a small model is longer than the step: `poll_interval` is a setting.

- The checkpoint with the best validation accuracy is kept under `best`, whatever verl deletes. A validation with more
  unscored rows than the limit is none: those that a rule decides are mostly right. Neither is one by a training row,
  which `convert_parquet.py` writes where there is no other.

`trainer.v1.sampler.sampler_kwargs` may hold `poll_interval`, `unscored_limit`, `filter_groups`, `train_batch_size`,
`checkpoints`, `credit`.
"""

import json
import logging
import os
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from advantage import at_turn  # its module registers `score_grpo` in the one process that computes advantages
from export_checkpoint import LORA, RECORD
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from score.errors import JudgeError, ScoreError

_log = logging.getLogger(__name__)
TIERS = ("correct", "same_as_teacher", "new_way", "nothing")
BY_KEY_STEP = ("same_as_teacher", "new_way")
FIELDS = ["rm_scores", "response_mask", "extra_fields"]


def uid_of(key: str) -> str:
    """The prompt of a rollout's key in the transfer queue, `{uid}_{session}_{index}`."""
    return key.rsplit("_", 2)[0]


def answers_in(data: TensorDict) -> list[dict[str, Any]]:
    """The reward function's answers (`reward.entry.compute_score`) in the queue's `extra_fields`."""
    return [getattr(fields, "data", fields)["reward_extra_info"] for fields in data["extra_fields"]]


def failed_to_score(info: dict[str, Any]) -> bool:
    """Is the rollout unscored for another reason than its data (a prefix that differs)?"""
    return bool(info["unscored"] and not info["prefix_differs"])


def group_means(uids: list[str], scores: np.ndarray, unscored: np.ndarray) -> np.ndarray:
    """Scores [N] with each unscored one replaced by the mean of its group's scored ones (0 if there is none: then the
    whole group has no advantage)."""
    filled = scores.astype(float).copy()
    groups: dict[str, list[int]] = defaultdict(list)
    for index, uid in enumerate(uids):
        groups[uid].append(index)
    for members in groups.values():
        scored = [index for index in members if not unscored[index]]
        mean = float(np.mean(filled[scored])) if scored else 0.0
        for index in members:
            if unscored[index]:
                filled[index] = mean
    return filled


def metrics_of(uids: list[str], infos: list[dict[str, Any]], scores: np.ndarray) -> dict[str, float]:
    """The step's figures from the reward function's answers (`reward.entry.compute_score`)."""

    def mean(key: str) -> float | None:
        values = [info[key] for info in infos if info.get(key) is not None]
        return float(np.mean(values)) if values else None

    figures: dict[str, float | None] = {
        "score/final_accuracy": mean("final_correct"),
        "score/key_step_hit": mean("key_step_hit"),
        "score/unscored": mean("unscored"),
        "score/answered": mean("answered"),
        "score/prefix_differs": mean("prefix_differs"),
        "score/prefix_executions": _prefix_executions(uids, infos),
        "score/reward": float(np.mean(scores)),
        "score/generated_tokens": float(sum(info["generated_tokens"] for info in infos)),
        "score/tokens_per_rollout": mean("generated_tokens"),
        "score/turns": mean("turns"),
        # Of the turns from the question on, the share that prefixes spared: 0 in `long_horizon`.
        "score/horizon_saved": _share(sum(i["skipped_turns"] for i in infos), sum(i["turns"] for i in infos)),
        "score/without_judge": mean("without_judge"),  # share of the scored whose score needed no model's verdict
        "score/judge_calls": float(sum(info["judge_calls"] for info in infos)),
        "score/judge_seconds": float(sum(info["judge_seconds"] for info in infos)),
    }
    scored = [info for info in infos if not info["unscored"]]
    for tier in TIERS:
        figures[f"score/tier/{tier}"] = sum(info["tier"] == tier for info in scored) / max(1, len(scored))
    for layer in {info["layer"] for info in scored}:
        figures[f"score/layer/{layer.replace(' ', '_')}"] = sum(i["layer"] == layer for i in scored) / len(scored)
    groups: dict[str, list[float]] = defaultdict(list)
    for uid, value in zip(uids, scores, strict=True):
        groups[uid].append(float(value))
    figures["score/groups_without_advantage"] = float(np.mean([len(set(values)) == 1 for values in groups.values()]))
    return {name: value for name, value in figures.items() if value is not None}


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest else 0.0


def key_rewards(uids: list[str], infos: list[dict[str, Any]], unscored: np.ndarray) -> np.ndarray:
    """What each rollout's key turn earned [N]; an unscored one the mean of those of its group that have a key turn."""
    absent = np.array([info["turns"] <= info["key_turn"] for info in infos])
    return group_means(uids, np.array([info["key_reward"] or 0.0 for info in infos]), unscored | absent)


def _prefix_executions(uids: list[str], infos: list[dict[str, Any]]) -> float | None:
    """How often a prompt's prefix was run in this step; None where no prompt has one."""
    with_prefix = {uid for uid, info in zip(uids, infos, strict=True) if info["has_prefix"]}
    return sum(info["ran_prefix"] for info in infos) / len(with_prefix) if with_prefix else None


def keep_best(checkpoints: Path, step: int, accuracy: float) -> bool:
    """Keep the checkpoint of `step`, if there is one, as `checkpoints/best` where `accuracy` is above all before.
    Its files are hard links: they cost nothing, and stay when verl deletes old checkpoints."""
    saved, best = checkpoints / f"global_step_{step}", checkpoints / "best"
    partial, former = checkpoints / "best.partial", checkpoints / "best.former"
    if not best.is_dir() and (partial / RECORD).is_file():
        partial.rename(best)  # a kill fell between the two renamings below
    before = json.loads((best / RECORD).read_text(encoding="utf-8"))["accuracy"] if best.is_dir() else -1.0
    if not (saved / "actor").is_dir() or accuracy <= before:
        return False
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(saved / "actor" / "huggingface", partial / "actor" / "huggingface", copy_function=_link)
    if (lora := saved / "actor" / LORA).is_file():
        _link(str(lora), str(partial / "actor" / LORA))
    (partial / RECORD).write_text(json.dumps({"step": step, "accuracy": accuracy}) + "\n", encoding="utf-8")
    shutil.rmtree(former, ignore_errors=True)
    if best.is_dir():
        best.rename(former)
    partial.rename(best)
    shutil.rmtree(former, ignore_errors=True)
    return True


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
    return target


class ScoreReplayBuffer(ReplayBuffer):  # type: ignore[misc]
    """See the module. Raises `JudgeError` above the limit of unscored rollouts, `ScoreError` for a failed one."""

    def __init__(self, *, sampler_kwargs: Any, **keywords: Any):
        own = dict(sampler_kwargs or {})
        self.unscored_limit = float(own.get("unscored_limit", 0.05))
        self.credit = own.get("credit", "rollout")
        self.checkpoints = Path(own["checkpoints"]) if own.get("checkpoints") else None
        filters: dict[str, Any] = {}
        if own.get("filter_groups"):
            filters = {
                "filter_groups_metric": "reward",
                "train_batch_size": own["train_batch_size"],
                "gen_batch_size": 1,
            }
        self._replaced_tokens = 0.0  # of groups that were filtered since the last batch
        super().__init__(
            sampler_kwargs=sampler_kwargs, poll_interval=float(own.get("poll_interval", 2.0)), **filters, **keywords
        )

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        failed = [uid for uids in self.failure_keys.values() for uid in uids]
        if failed:
            raise ScoreError(
                f"{len(failed)} prompts' rollouts failed with an unexpected error; the worker's log above has it "
                "(`Error in _run_prompt`)"
            )

    def _infos(self, keys: list[str], partition_id: str) -> list[dict[str, Any]]:
        """The reward function's answers for these rollouts."""
        if not keys:
            return []
        return answers_in(tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=["extra_fields"]))

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        uids, _ = super()._dapo_filtered_keys(partition_id)
        known = self._dapo_classification_cache[partition_id]
        keys = [key for key in self.partitions[partition_id] if uid_of(key) in uids]
        for key, info in zip(keys, self._infos(keys, partition_id), strict=True):
            if failed_to_score(info):
                known[uid_of(key)] = None  # verl's word for a group that stays
        left = {uid: known[uid] for uid in uids if known[uid] is not None}
        return set(left), Counter(left.values())

    def _clear_groups(self, partition_id: str, uids: set[str]) -> None:
        keys = [key for key in self.partitions[partition_id] if uid_of(key) in uids]
        self._replaced_tokens += sum(info["generated_tokens"] for info in self._infos(keys, partition_id))
        super()._clear_groups(partition_id, uids)

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict[str, Any]]:
        """verl's contract: a batch's keys, and metrics."""
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        data = tq.kv_batch_get(keys=batch.keys, partition_id=partition_id, select_fields=FIELDS)
        infos = answers_in(data)
        if partition_id != "train":
            # verl has saved this step before it validates it, and hands over all of validation at once where
            # data.val_batch_size is null (`run_manifest.check_best`).
            self._keep(global_steps, infos)
            return batch, metrics
        token_scores = list(data["rm_scores"].unbind())
        uids = [uid_of(key) for key in batch.keys]
        unscored = np.array([bool(info["unscored"]) for info in infos])
        scores = np.array([float(tokens.sum()) for tokens in token_scores])
        if unscored.any():
            self._check(np.array([failed_to_score(info) for info in infos]), infos)
            scores = group_means(uids, scores, unscored)
        if unscored.any() or self.credit != "rollout":
            by_key = key_rewards(uids, infos, unscored)
            for row, (mask, info) in enumerate(zip(data["response_mask"].unbind(), infos, strict=True)):
                if unscored[row]:
                    token_scores[row][-1] = float(scores[row])
                if self.credit == "key_turn" and info["tier"] in BY_KEY_STEP:
                    token_scores[row] = at_turn(token_scores[row], mask, int(info["key_turn"]))
                elif self.credit == "two_parts":
                    token_scores[row] = at_turn(token_scores[row], mask, int(info["key_turn"]), float(by_key[row]))
            placed = torch.nested.as_nested_tensor(token_scores, layout=torch.jagged)
            fields = TensorDict({"rm_scores": placed}, batch_size=len(batch.keys))
            tq.kv_batch_put(keys=batch.keys, partition_id=partition_id, fields=fields)
        figures = metrics_of(uids, infos, scores)
        figures["score/generated_tokens"] += self._replaced_tokens
        self._replaced_tokens = 0.0
        return batch, metrics | figures

    def _keep(self, step: int, infos: list[dict[str, Any]]) -> None:
        """Keep the checkpoint of a step with this validation, if it is the best so far."""
        infos = [info for info in infos if not info["prefix_differs"]]
        correct = [info["final_correct"] for info in infos if info["final_correct"] is not None]
        unscored = 1 - len(correct) / max(1, len(infos))
        if any(info.get("of_training") for info in infos):
            _log.warning(
                "step %d cannot become the best: val.parquet holds a row of training, for want of others", step
            )
        elif not correct or unscored > self.unscored_limit:
            _log.warning("step %d cannot become the best: %.0f %% of its validation is unscored", step, 100 * unscored)
        elif self.checkpoints is not None:
            keep_best(self.checkpoints, step, float(np.mean(correct)))

    def _check(self, unscored: np.ndarray, infos: list[dict[str, Any]]) -> None:
        share = float(unscored.mean())
        if share > self.unscored_limit:
            reason = next(i["unscored_reason"] for i, is_unscored in zip(infos, unscored, strict=True) if is_unscored)
            raise JudgeError(
                f"{share:.0%} of this step's rollouts could not be scored (limit {self.unscored_limit:.0%}, "
                f"trainer.v1.sampler.sampler_kwargs.unscored_limit); the first reason: {reason}"
            )
