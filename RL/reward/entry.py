"""verl's custom reward function: `reward.custom_reward_function.path=pkg://reward.entry`, `name=compute_score`.

verl's `naive` reward manager hands over the parquet row's `extra_info` with the agent loop's extra fields laid over
it, so the rollout arrives as `extra_info["episode"]` (`agent_loop.Outcome`): nothing is parsed out of decoded text.

A verdict that cannot be had leaves the rollout unscored: `unscored` is 1 and the score is meaningless until
`replay.ScoreReplayBuffer` has put the group's mean in its place.
"""

import asyncio
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

from rl_settings import RLSettings

from reward.judge import StepJudge
from reward.sameness import same_step
from reward.tiers import Evidence, KeyStep, Sameness, Score, score
from score.answers import Equivalence
from score.dialogue import render_plan, render_step
from score.errors import JudgeError, ProviderError
from score.judging import Judge
from score.llm import Endpoint
from score.settings import load_settings
from score.trajectory import Step, Verdict

_log = logging.getLogger(__name__)
_REMEMBERED = 50_000


class Scorer:
    """Scores rollouts, many at once; identical answers to a question are judged once."""

    def __init__(self, settings: RLSettings):
        self.settings = settings.reward
        endpoint = Endpoint("reward", settings.endpoints.reward) if settings.endpoints.reward else None
        self.judge = Judge(Equivalence(), endpoint)
        self.step_judge = StepJudge(endpoint) if endpoint and settings.reward.judge_steps else None
        self._verdicts: OrderedDict[tuple[str, str], asyncio.Future[Verdict]] = OrderedDict()

    async def verdict(self, question: str, references: list[str], answer: str) -> Verdict:
        """Raises `JudgeError` or `ProviderError`; a failure is not remembered."""
        key = (question, answer)
        if key not in self._verdicts:
            asked = asyncio.ensure_future(self.judge.verdict(question, references, answer))
            self._verdicts[key] = asked
            if len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)
        try:
            return await asyncio.shield(self._verdicts[key])
        except (JudgeError, ProviderError):
            self._verdicts.pop(key, None)
            raise

    async def score(self, info: dict[str, Any]) -> Score:
        """Raises `JudgeError` or `ProviderError` where a judge is needed and gives no verdict."""
        episode = info["episode"]
        question, answer = info["question"], episode["answer"]
        right, layer = None, ""
        if answer is not None:
            verdict = await self.verdict(question, list(info["references"]), answer)
            right, layer = verdict.correct, verdict.by
        turns, place = episode["turns"], int(info.get("key_turn") or 0)
        turn = turns[place] if place < len(turns) else None
        evidence = Evidence(
            answer_right=right,
            answer_layer=layer,
            has_key_step=bool(info["chosen_step"]),
            has_key_turn=turn is not None,
            key_turn_is_answer=bool(turn and turn["is_finished"]),
        )
        chosen = KeyStep(info["chosen_step"], info["chosen_step_obs"])
        rejected = KeyStep(info["rejected_step"], info["rejected_step_obs"])
        if turn is None or not evidence.has_key_step:
            unknown = Sameness(None, "undecided")
            return score(evidence, self.settings, lambda: unknown, lambda: unknown)
        ours = KeyStep(_rendered(turn), turn["observation"])
        # Only what the rules leave open is asked of a model, and only where the tier depends on it.
        teacher = same_step(ours, chosen)
        mistake = same_step(ours, rejected)
        if right is False and not turn["is_finished"] and self.step_judge is not None:
            if teacher.same is None:
                teacher = await self.step_judge.same(question, ours, chosen)
            if not teacher.same and mistake.same is None:
                mistake = await self.step_judge.same(question, ours, rejected)
        made = score(evidence, self.settings, lambda: teacher, lambda: mistake)
        return Score(made.score, made.tier, made.layer, bool(teacher.same))


def _rendered(turn: dict[str, Any]) -> str:
    if turn["plan"] is not None:
        return render_plan(turn["plan"])
    return render_step(Step(thought=turn["thought"], code=turn["code"]))


_scorers: dict[str, Scorer] = {}


def _scorer(settings: str) -> Scorer:
    if settings not in _scorers:
        _scorers[settings] = Scorer(load_settings(RLSettings, Path(settings)))
    return _scorers[settings]


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any],
    settings: str,
    **_: Any,
) -> dict[str, Any]:
    """verl's entry. The values beside `score` are what `replay` turns into metrics; None means that it does not apply.
    `settings` is the path of the YAML, from `reward.custom_reward_function.reward_kwargs`."""
    episode = extra_info["episode"]
    reason = episode["unscored"]
    made = None
    if reason is None:
        try:
            made = await _scorer(settings).score(extra_info)
        except (JudgeError, ProviderError) as error:
            reason = f"{error.kind}: {error}"
    if reason is not None:
        _log.warning("a rollout is unscored: %s", reason)
    has_key_step = bool(extra_info["chosen_step"])
    return {
        "score": made.score if made else 0.0,
        "unscored": float(made is None),
        "unscored_reason": reason or "",
        "tier": made.tier if made else "unscored",
        "layer": made.layer if made else "unscored",
        "final_correct": float(made.tier == "correct") if made else None,
        "key_step_hit": float(bool(made.key_step_hit)) if made and has_key_step else None,
        "answered": float(episode["answer"] is not None),
        "generated_tokens": float(episode["generated_tokens"]),
        "prefix_differs": float(episode["prefix_differs"]),
    }
