"""GRPO's advantage with the two settings that a small student needed, registered with verl as `score_grpo`.

`replay` imports it, and so it is there in the process that computes advantages. Settings under `algorithm`:
`norm_adv_by_std_in_grpo` (paper: true; ours: false, because dividing by the standard deviation makes "wrong in a new
way" as strong as "right" in a group without a right answer), `score_grpo.negative_scale` (paper: 1; ours: 0.5) and
`score_grpo.credit`: `rollout` (paper: every sampled token gets the rollout's advantage) or `key_turn` (what a rollout
earned by its key step alone, below the pay for a right answer, goes to the turn that made it; the turns after it were
wrong). `replay` has then put such a reward at the end of its turn (`at_turn`).
"""

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from verl.trainer.ppo.core_algos import register_adv_est

NAME = "score_grpo"


def group_advantages(
    scores: torch.Tensor, groups: np.ndarray, *, divide_by_std: bool, negative_scale: float
) -> torch.Tensor:
    """Advantages [N] of scores [N]: score minus the mean of its group, over the group's standard deviation if asked.
    Negative ones are multiplied by `negative_scale`. A group of one has no baseline, and so no advantage."""
    members: dict[Any, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    advantages = torch.zeros_like(scores)
    for rows in members.values():
        if len(rows) > 1:
            centred = scores[rows] - scores[rows].mean()
            advantages[rows] = centred / (scores[rows].std() + 1e-6) if divide_by_std else centred
    return torch.where(advantages < 0, advantages * negative_scale, advantages)


def turns_of(mask: torch.Tensor) -> torch.Tensor:
    """The number of each token's turn [..., T], from 1: a run of sampled tokens (1 in `mask`) and what follows it up
    to the next."""
    before = torch.nn.functional.pad(mask, (1, 0))[..., :-1]
    return ((mask == 1) & (before == 0)).cumsum(dim=-1)


def at_turn(rewards: torch.Tensor, mask: torch.Tensor, turn: int) -> torch.Tensor:
    """A rollout's token rewards [T] with their sum at the last sampled token of a turn (counted from 0); as they are
    where the rollout has no such turn."""
    places = ((turns_of(mask) == turn + 1) & (mask == 1)).nonzero()
    if not len(places):
        return rewards
    moved = torch.zeros_like(rewards)
    moved[places[-1]] = rewards.sum()
    return moved


def credited(advantages: torch.Tensor, rewards: torch.Tensor, mask: torch.Tensor, *, key_turn: bool) -> torch.Tensor:
    """Advantages [N] spread over the sampled tokens of `mask` [N, T]; with `key_turn`, those of scores strictly between
    the lowest and the highest reward over the turn alone that holds the reward (`rewards`, [N, T])."""
    spread = advantages.unsqueeze(-1) * mask
    if not key_turn:
        return spread
    turns, scores = turns_of(mask), rewards.sum(dim=-1)
    rewarded = turns.gather(-1, (rewards != 0).long().argmax(dim=-1, keepdim=True))
    by_key_step = ((scores > 0) & (scores < 1)).unsqueeze(-1)
    return torch.where(by_key_step, spread * (turns == rewarded), spread)


@register_adv_est(NAME)  # type: ignore[untyped-decorator]
def compute_score_grpo(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's contract: rewards and mask [N, T], `index` names each row's group; gives advantages, returns [N, T]."""
    own = (config.get("score_grpo") if config is not None else None) or {}
    with torch.no_grad():
        scores = token_level_rewards.sum(dim=-1)
        advantages = group_advantages(
            scores,
            index,
            divide_by_std=bool(config.get("norm_adv_by_std_in_grpo", True)) if config is not None else True,
            negative_scale=float(own.get("negative_scale", 1.0)),
        )
        spread = credited(
            advantages, token_level_rewards, response_mask, key_turn=own.get("credit", "rollout") == "key_turn"
        )
    return spread, spread
