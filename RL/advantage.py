"""GRPO's advantage with the settings that a small student needed, registered with verl as `score_grpo`.

`replay` imports it, and so it is there in the process that computes advantages. Settings under `algorithm`:
`norm_adv_by_std_in_grpo` (paper: true; ours: false, because dividing by the standard deviation makes "wrong in a new
way" as strong as "right" in a group without a right answer), `score_grpo.negative_scale` (paper: 1; ours: 0.5) and
`score_grpo.credit`:

- `rollout` (paper): every sampled token gets the rollout's advantage.
- `key_turn`: what a rollout earned by its key step alone, below the pay for a right answer, goes to the turn that made
  it; the turns after it were wrong.
- `two_parts`: the key turn and what follows it are each held against their like (`in_two_parts`).

For the last two `replay` has put rewards at the end of the turn that earned them (`at_turn`).
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from verl.trainer.ppo.core_algos import register_adv_est

NAME = "score_grpo"
CREDITS = ("rollout", "key_turn", "two_parts")


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


def at_turn(rewards: torch.Tensor, mask: torch.Tensor, turn: int, part: float | None = None) -> torch.Tensor:
    """A rollout's token rewards [T] with `part` of their sum (all of it by default) at the last sampled token of a turn
    (counted from 0) and the rest at their last token; as they are where the rollout has no such turn."""
    places = ((turns_of(mask) == turn + 1) & (mask == 1)).nonzero()
    if not len(places):
        return rewards
    total = rewards.sum()
    moved = torch.zeros_like(rewards)
    moved[-1] = 0.0 if part is None else total - part
    moved[places[-1]] += total if part is None else part
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


def in_two_parts(
    rewards: torch.Tensor,
    mask: torch.Tensor,
    groups: np.ndarray,
    advantages: Callable[[torch.Tensor, np.ndarray], torch.Tensor],
) -> torch.Tensor:
    """Advantages [N, T] of rollouts whose key turn has a reward of its own (`rewards` [N, T], `at_turn`); `advantages`
    is `group_advantages` with its settings.

    The key turn is held against the group's other key turns. The turns after it share what the rest earned, held
    against those of the group whose key turn earned as much: who took another way there says nothing about them. The
    turns before it have the rollout's own advantage, and so has all of a group without a key turn, whose rewards stand
    at the rollouts' ends."""
    turns, scores = turns_of(mask), rewards.sum(dim=-1)
    last = turns.max(dim=-1).values
    never = int(turns.max()) + 1
    first = torch.where(rewards != 0, turns, never).min(dim=-1).values  # the first turn with a reward
    of_group = {group: never for group in groups}
    for row, group in enumerate(groups):
        if first[row] < last[row]:
            of_group[group] = min(int(first[row]), of_group[group])
    key = torch.tensor([of_group[group] for group in groups], device=rewards.device).unsqueeze(-1)
    by_key = (rewards * (turns == key)).sum(dim=-1)
    there = (last >= key.squeeze(-1)).tolist()
    with_key = np.array([f"{group} {reached}" for group, reached in zip(groups, there, strict=True)])
    alike = np.array([f"{group} {earned:.6f}" for group, earned in zip(with_key, by_key.tolist(), strict=True)])
    before = advantages(scores, groups).unsqueeze(-1)
    at_key = advantages(by_key, with_key).unsqueeze(-1)
    after = advantages(scores - by_key, alike).unsqueeze(-1)
    return torch.where(turns < key, before, torch.where(turns == key, at_key, after)) * mask


@register_adv_est(NAME)  # type: ignore[untyped-decorator]
def compute_score_grpo(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, config: Any = None, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """verl's contract: rewards and mask [N, T], `index` names each row's group; gives advantages, returns [N, T].
    Raises `ValueError` for a credit that there is not."""
    own = (config.get("score_grpo") if config is not None else None) or {}
    credit = own.get("credit", "rollout")
    if credit not in CREDITS:
        raise ValueError(f"algorithm.score_grpo.credit is one of {', '.join(CREDITS)}, not {credit!r}")
    grouped = partial(
        group_advantages,
        divide_by_std=bool(config.get("norm_adv_by_std_in_grpo", True)) if config is not None else True,
        negative_scale=float(own.get("negative_scale", 1.0)),
    )
    with torch.no_grad():
        if credit == "two_parts":
            spread = in_two_parts(token_level_rewards, response_mask, index, grouped)
        else:
            advantages = grouped(token_level_rewards.sum(dim=-1), index)
            spread = credited(advantages, token_level_rewards, response_mask, key_turn=credit == "key_turn")
    return spread, spread
