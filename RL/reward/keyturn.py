"""The turn at the key step's place: what a parquet row says of the key step, and how a rollout's turn is compared."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefix import Prefix, split_prompt

from reward.effects import Effect
from reward.sameness import runnable, same_code, same_step
from reward.tiers import KeyStep, Sameness
from score.dialogue import render_plan, render_step
from score.trajectory import Step

Effects = Callable[[str], Awaitable[Effect | None]]  # code -> what it does; None: that cannot be told


@dataclass(frozen=True)
class Comparison:
    """What code and execution tell. `None` and "undecided" is left to a judge."""

    teacher: Sameness
    mistake: Sameness


@dataclass(frozen=True)
class KeyTurn:
    """`turn` is the place among the rollout's turns that is compared. `prefix` is where the key step was made, None
    where the rollout starts there; `start_results` are the recorded searches of the rollout's own prefix."""

    chosen: KeyStep
    rejected: KeyStep
    turn: int = 0
    prefix: Prefix | None = None
    start_results: list[list[str]] | None = None

    @property
    def is_there(self) -> bool:
        return bool(self.chosen.turn)

    async def compare(self, turn: Mapping[str, Any], ours: Effects, theirs: Effects) -> Comparison:
        """Compare one of a rollout's turns (`agent_loop.Turn` as a dictionary) with both recorded steps. `ours` and
        `theirs` run code where the rollout's turn and the key step began."""
        mine = rendered(turn)
        return Comparison(await _same(mine, self.chosen, ours, theirs), await _same(mine, self.rejected, ours, theirs))


async def _same(mine: KeyStep, recorded: KeyStep, ours: Effects, theirs: Effects) -> Sameness:
    found = same_code(mine, recorded)
    code, other = runnable(mine), runnable(recorded)
    if found.same is not None or code is None or other is None:
        return same_step(mine, recorded)
    effects = await ours(code), await theirs(other)
    if effects[0] is None or effects[1] is None:
        return same_step(mine, recorded)
    return same_step(mine, recorded, (effects[0], effects[1]))


def rendered(turn: Mapping[str, Any]) -> KeyStep:
    """A rollout's turn as it would stand in a file."""
    if turn["plan"] is not None:
        return KeyStep(render_plan(turn["plan"]), turn["observation"])
    return KeyStep(render_step(Step(thought=turn["thought"], code=turn["code"])), turn["observation"])


def key_turn_of(info: Mapping[str, Any]) -> KeyTurn:
    """From a parquet row's `extra_info`; a row without a key step gives empty steps."""
    turn = int(info.get("key_turn") or 0)
    kept = json.loads(info.get("key_prefix") or "null")
    results = json.loads(info.get("searches") or "null")
    prefix = Prefix(split_prompt(kept)[2], results) if kept and turn > 0 else None
    return KeyTurn(
        KeyStep(info.get("chosen_step") or "", info.get("chosen_step_obs") or ""),
        KeyStep(info.get("rejected_step") or "", info.get("rejected_step_obs") or ""),
        turn,
        prefix,
        None if prefix is not None else results,
    )
