"""Unscored rollouts carry no advantage, negative advantages can be scaled, the best checkpoint is kept."""

import json
import shutil
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import replay
import torch
from advantage import at_turn, credited, group_advantages, in_two_parts
from replay import ScoreReplayBuffer, group_means, keep_best, key_rewards

from score.errors import JudgeError

UIDS = ["a", "a", "a", "b", "b"]


def test_an_unscored_rollout_gets_its_groups_mean_and_so_no_advantage() -> None:
    unscored = np.array([False, False, True, True, True])
    filled = group_means(UIDS, np.array([1.0, 0.0, 0.0, 0.0, 0.0]), unscored)
    assert filled.tolist() == [1.0, 0.0, 0.5, 0.0, 0.0]
    advantages = group_advantages(torch.tensor(filled), np.array(UIDS), divide_by_std=False, negative_scale=1.0)
    assert advantages[2:].tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_an_unscored_rollouts_key_turn_counts_as_the_other_key_turns_of_its_group() -> None:
    """The second was right before it came to the key turn, so it says nothing about key turns."""
    rewards, turns, unscored = [0.5, 1.0, None], [4.0, 2.0, 4.0], np.array([False, False, True])
    infos = [
        {"key_reward": reward, "turns": number, "key_turn": 2.0} for reward, number in zip(rewards, turns, strict=True)
    ]
    found = key_rewards(["a"] * 3, infos, unscored)
    assert (found[0], found[2]) == (0.5, 0.5)


def test_negative_advantages_are_scaled_and_the_division_is_optional() -> None:
    scores, groups = torch.tensor([1.0, 0.0]), np.array(["a", "a"])
    assert group_advantages(scores, groups, divide_by_std=False, negative_scale=0.5).tolist() == [0.5, -0.25]
    divided = group_advantages(scores, groups, divide_by_std=True, negative_scale=1.0)
    assert divided.tolist() == pytest.approx([0.7071, -0.7071], abs=1e-3)


def test_too_many_unscored_rollouts_stop_training() -> None:
    buffer = ScoreReplayBuffer.__new__(ScoreReplayBuffer)
    buffer.unscored_limit = 0.05
    infos = [{"unscored": 1.0, "unscored_reason": "judge: timed out"}, {"unscored": 0.0, "unscored_reason": ""}]
    with pytest.raises(JudgeError, match="50%.*timed out"):
        buffer._check(np.array([True, False]), infos)


def validated(buffer: ScoreReplayBuffer, step: int, right: int, wrong: int, unscored: int) -> None:
    save_checkpoint(buffer.checkpoints, step)
    found = [1.0] * right + [0.0] * wrong + [None] * unscored
    buffer._keep(step, [{"final_correct": value, "prefix_differs": 0.0} for value in found])


def test_a_validation_that_is_mostly_unscored_crowns_no_checkpoint(tmp_path: Path) -> None:
    buffer = ScoreReplayBuffer.__new__(ScoreReplayBuffer)
    buffer.unscored_limit, buffer.checkpoints = 0.05, tmp_path
    validated(buffer, 2, right=6, wrong=4, unscored=0)
    validated(buffer, 4, right=6, wrong=0, unscored=4)  # the judge is down: what the rules decide is right
    validated(buffer, 6, right=0, wrong=0, unscored=10)
    assert best_weights(tmp_path) == "weights of step 2"
    validated(buffer, 8, right=69, wrong=30, unscored=1)
    assert best_weights(tmp_path) == "weights of step 8"
    save_checkpoint(tmp_path, 10)  # a prefix that prints something else than recorded is a matter of the data
    rows = [{"final_correct": 1.0, "prefix_differs": 0.0}, {"final_correct": None, "prefix_differs": 1.0}]
    buffer._keep(10, rows)
    assert best_weights(tmp_path) == "weights of step 10"


def test_a_validation_by_a_training_row_crowns_no_checkpoint(tmp_path: Path) -> None:
    buffer = ScoreReplayBuffer.__new__(ScoreReplayBuffer)
    buffer.unscored_limit, buffer.checkpoints = 0.05, tmp_path
    save_checkpoint(tmp_path, 2)
    buffer._keep(2, [{"final_correct": 1.0, "prefix_differs": 0.0, "of_training": 1.0}])
    assert not (tmp_path / "best").exists()
    buffer._keep(2, [{"final_correct": 1.0, "prefix_differs": 0.0, "of_training": 0.0}])
    assert best_weights(tmp_path) == "weights of step 2"


def test_replaced_groups_cost_tokens_and_none_with_an_unscored_rollout_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """verl's own filter, over a store that is a dictionary in place of its transfer queue."""
    rollouts = {  # score, unscored, prefix_differs
        "same": [(1.0, 0, 0), (1.0, 0, 0)],
        "mixed": [(1.0, 0, 0), (0.0, 0, 0)],
        "judge-down": [(0.0, 1, 0), (0.0, 1, 0)],
        "other-prefix": [(0.0, 1, 1), (0.0, 1, 1)],
    }
    stored = {
        f"{uid}_{number}_0": {
            "rm_scores": torch.tensor([0.0, score]),
            "extra_fields": {
                "reward_extra_info": {"unscored": unscored, "prefix_differs": differs, "generated_tokens": 10.0}
            },
        }
        for uid, group in rollouts.items()
        for number, (score, unscored, differs) in enumerate(group)
    }

    def get(keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, list[object]]:
        return {name: [stored[key][name] for key in keys] for name in select_fields}

    cleared: list[str] = []
    monkeypatch.setattr(replay.tq, "kv_batch_get", get)
    monkeypatch.setattr(replay.tq, "kv_clear", lambda partition_id, keys: cleared.extend(keys))
    buffer = ScoreReplayBuffer.__new__(ScoreReplayBuffer)
    buffer.filter_groups_metric, buffer._replaced_tokens = "reward", 0.0
    for name in ("partitions", "prompt_global_steps", "_dapo_classification_cache"):
        setattr(buffer, name, defaultdict(dict))
    for name in ("pending_keys", "running_keys", "finished_keys", "failure_keys"):
        setattr(buffer, name, defaultdict(set))
    buffer.partitions["train"] = {key: {} for key in stored}
    buffer.finished_keys["train"] = set(rollouts)
    for _ in range(2):  # classified once, remembered afterwards
        assert buffer._dapo_filtered_keys("train") == ({"same", "other-prefix"}, {1.0: 1, 0.0: 1})
    buffer._clear_groups("train", {"same", "other-prefix"})
    assert buffer._replaced_tokens == 40.0 and len(cleared) == 6
    assert buffer._dapo_filtered_keys("train") == (set(), {})


def test_what_a_key_step_earned_can_be_credited_to_its_turn_alone() -> None:
    mask = torch.tensor([[1, 1, 0, 0, 1, 0]] * 4)
    rewards = torch.zeros(4, 6)
    rewards[:3, -1] = torch.tensor([1.0, 0.5, 0.5])
    rewards[1], rewards[2] = at_turn(rewards[1], mask[1], 0), at_turn(rewards[2], mask[2], 1)
    advantages = torch.tensor([2.0, 1.0, 1.0, -3.0])
    assert credited(advantages, rewards, mask, key_turn=False).tolist() == [
        [2, 2, 0, 0, 2, 0], [1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 1, 0], [-3, -3, 0, 0, -3, 0]
    ]  # fmt: skip
    assert credited(advantages, rewards, mask, key_turn=True).tolist() == [
        [2, 2, 0, 0, 2, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0], [-3, -3, 0, 0, -3, 0]
    ]  # fmt: skip


def test_a_key_steps_reward_stands_at_the_end_of_its_turn() -> None:
    rewards, mask = torch.tensor([0.0, 0, 0, 0, 0, 0.5]), torch.tensor([0, 1, 1, 0, 1, 0])
    assert at_turn(rewards, mask, 0).tolist() == [0, 0, 0.5, 0, 0, 0]
    assert at_turn(rewards, mask, 1).tolist() == [0, 0, 0, 0, 0.5, 0]
    assert at_turn(rewards, mask, 2).tolist() == rewards.tolist()  # the rollout has no such turn


def two_parts(mask: torch.Tensor, turn: int, rewards: list[tuple[float, float]]) -> list[list[float]]:
    """The advantages of one group of rollouts with these rewards of their key turns and of the rest."""
    placed = torch.zeros(mask.shape)
    for row, (by_key, rest) in enumerate(rewards):
        placed[row, -1] = by_key + rest
        placed[row] = at_turn(placed[row], mask[row], turn, by_key)
    plain = partial(group_advantages, divide_by_std=False, negative_scale=1.0)
    found = in_two_parts(placed, mask, np.array(["a"] * len(rewards)), plain)
    return [[round(value, 4) for value in row] for row in found.tolist()]


def test_a_key_turn_is_held_against_key_turns_and_the_rest_against_those_who_took_the_same_way() -> None:
    mask = torch.tensor([[1, 1, 0, 1, 0]] * 4)
    found = two_parts(mask, 0, [(0.5, 0.5), (0.5, 0.0), (0.1, 0.0), (0.0, 0.0)])
    assert [row[0] for row in found] == [row[1] for row in found] == [0.225, 0.225, -0.175, -0.275]
    assert [row[3] for row in found] == [0.25, -0.25, 0.0, 0.0]  # the last two took ways of their own
    assert [row[2] for row in found] == [row[4] for row in found] == [0.0] * 4


def test_turns_before_the_key_turn_have_the_rollouts_own_advantage() -> None:
    mask = torch.tensor([[1, 0, 1, 0, 1]] * 2 + [[1, 0, 1, 1, 1]])
    found = two_parts(mask, 1, [(0.5, 0.5), (0.1, 0.0), (0.0, 0.0)])
    assert [row[0] for row in found] == pytest.approx([1 - 1.1 / 3, 0.1 - 1.1 / 3, -1.1 / 3], abs=1e-3)
    assert [row[2] for row in found] == pytest.approx([0.3, -0.1, -0.2], abs=1e-3)
    assert found[0][4] == 0.0  # nobody else's key turn earned as much


def test_a_rollout_that_ended_before_the_key_turn_says_nothing_about_key_turns() -> None:
    mask = torch.tensor([[1, 0, 1, 0, 1]] * 2 + [[1, 1, 1, 1, 0]])
    found = two_parts(mask, 1, [(0.5, 0.5), (0.0, 0.0), (0.5, 0.5)])
    assert [row[2] for row in found[:2]] == [0.25, -0.25]
    assert found[2] == [0.3333, 0.3333, 0.3333, 0.3333, 0.0]


def test_without_a_key_step_every_turn_has_the_rollouts_advantage() -> None:
    mask = torch.tensor([[1, 1, 0, 1, 0]] * 2)
    assert two_parts(mask, 0, [(0.0, 1.0), (0.0, 0.0)]) == [[0.5, 0.5, 0.0, 0.5, 0.0], [-0.5, -0.5, 0.0, -0.5, 0.0]]


def save_checkpoint(checkpoints: Path, step: int) -> None:
    folder = checkpoints / f"global_step_{step}" / "actor" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(f"weights of step {step}")
    (folder.parent / "lora_train_meta.json").write_text("{}")  # of a run with LoRA: the export needs it


def best_weights(checkpoints: Path) -> str:
    return (checkpoints / "best" / "actor" / "huggingface" / "model.safetensors").read_text()


def test_the_best_checkpoint_by_validation_outlives_verls_own_deletions(tmp_path: Path) -> None:
    kept = []
    for step, accuracy in ((2, 0.4), (4, 0.6), (6, 0.5)):
        save_checkpoint(tmp_path, step)
        kept.append(keep_best(tmp_path, step, accuracy))
        shutil.rmtree(tmp_path / f"global_step_{step}")
    assert kept == [True, True, False]
    assert not keep_best(tmp_path, 8, 0.9)  # validated, but not saved
    assert best_weights(tmp_path) == "weights of step 4"
    assert (tmp_path / "best" / "actor" / "lora_train_meta.json").is_file()
    assert json.loads((tmp_path / "best" / "best.json").read_text()) == {"step": 4, "accuracy": 0.6}
    assert {path.name for path in tmp_path.iterdir()} == {"best"}


@pytest.mark.parametrize(("renamed", "stays"), [(0, 2), (1, 4)])
def test_a_kill_while_the_best_checkpoint_is_replaced_leaves_one_with_its_own_accuracy(
    renamed: int, stays: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 2)
    save_checkpoint(tmp_path, 4)
    assert keep_best(tmp_path, 2, 0.4)
    rename, calls = Path.rename, iter([True] * renamed)

    def killed(path: Path, target: Path) -> Path:
        if not next(calls, False):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            keep_best(tmp_path, 4, 0.6)
    assert not keep_best(tmp_path, 4, 0.3)
    assert best_weights(tmp_path) == f"weights of step {stays}"
    assert keep_best(tmp_path, 4, 0.5) == (stays == 2)
