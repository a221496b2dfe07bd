"""Unscored rollouts carry no advantage, and negative advantages can be scaled."""

import numpy as np
import pytest
import torch
from advantage import group_advantages
from replay import ScoreReplayBuffer, group_means

from score.errors import JudgeError

UIDS = ["a", "a", "a", "b", "b"]


def test_an_unscored_rollout_gets_its_groups_mean_and_so_no_advantage() -> None:
    unscored = np.array([False, False, True, True, True])
    filled = group_means(UIDS, np.array([1.0, 0.0, 0.0, 0.0, 0.0]), unscored)
    assert filled.tolist() == [1.0, 0.0, 0.5, 0.0, 0.0]
    advantages = group_advantages(torch.tensor(filled), np.array(UIDS), divide_by_std=False, negative_scale=1.0)
    assert advantages[2:].tolist() == pytest.approx([0.0, 0.0, 0.0])


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
