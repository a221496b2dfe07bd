"""verl's custom reward function: `reward.custom_reward_function.path=pkg://reward.entry`, `name=compute_score`.

verl's `naive` reward manager hands over the parquet row's `extra_info` with the agent loop's extra fields laid over
it, so the rollout arrives as `extra_info["episode"]` (`agent_loop.Outcome`): nothing is parsed out of decoded text.

A verdict that cannot be had leaves the rollout unscored: `unscored` is 1 and the score is meaningless until
`replay.ScoreReplayBuffer` has put the group's mean in its place.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_settings import RLSettings

from reward.guard import refused
from reward.judge import StepJudge
from reward.keyturn import key_turn_of, rendered
from reward.sameness import same_step
from reward.tiers import Evidence, KeyStep, Sameness, Score, score
from score.answers import Equivalence
from score.errors import JudgeError, ProviderError
from score.judging import Judge
from score.llm import Endpoint
from score.settings import load_settings
from score.verdicts import Costs, Verdicts

_log = logging.getLogger(__name__)
UNKNOWN = Sameness(None, "undecided")


@dataclass
class Scored:
    """A rollout's score, and what its judge cost. `key_reward`: what of the score its key turn earned, where a right
    answer says as much for it as the teacher's step; it and `key_step_hit` are None where the row has no key step, and
    `key_step_hit` too where nobody was asked whether the key turn does the same."""

    score: Score
    key_step_hit: bool | None
    key_reward: float | None
    costs: Costs = field(default_factory=Costs)


class Scorer:
    """Scores rollouts, many at once; a question to the judge is asked once. Call `close` at the end."""

    def __init__(self, settings: RLSettings):
        self.settings = settings.reward
        endpoint = Endpoint("reward", settings.endpoints.reward) if settings.endpoints.reward else None
        self.equivalence = Equivalence()
        self.verdicts = Verdicts(settings.reward.cache)
        self.judge = Judge(self.equivalence, endpoint, verdicts=self.verdicts)
        self.step_judge = StepJudge(endpoint) if endpoint and settings.reward.judge_steps else None
        self._model = endpoint.settings.model if endpoint else ""
        self._by_rule: dict[tuple[str, tuple[str, ...], str], tuple[bool | None, str]] = {}

    async def close(self) -> None:
        self.equivalence.close()
        self.verdicts.close()
        if self.judge.endpoint is not None:
            await self.judge.endpoint.close()

    async def answer(self, question: str, references: list[str], answer: str, costs: Costs) -> tuple[bool | None, str]:
        """Whether the answer is right (None: it is no answer) and the layer that decided.
        Raises `JudgeError` or `ProviderError`."""
        if (why := refused(references, answer)) is not None:
            return None, f"no answer: {why}"
        key = (question, tuple(references), answer)
        if key not in self._by_rule:
            match = await self.equivalence.equal(references, answer, question)
            if len(self._by_rule) > 50_000:
                self._by_rule.clear()
            self._by_rule[key] = match.equal, match.by
        equal, by = self._by_rule[key]
        if equal is not None:
            return equal, by
        return (await self.judge.by_model(question, references, answer, costs)).correct, "judge"

    async def same(self, question: str, ours: KeyStep, theirs: KeyStep, costs: Costs) -> Sameness:
        """The step judge's word. Raises `JudgeError` or `ProviderError`."""
        judge = self.step_judge
        if judge is None:
            return UNKNOWN

        async def ask() -> dict[str, Any]:
            return {"same": await judge.same(question, ours, theirs)}

        steps = (ours.turn, ours.observation, theirs.turn, theirs.observation)
        return Sameness(
            bool((await self.verdicts.once(("step", self._model, question, *steps), ask, costs))["same"]), "judge"
        )

    async def score(self, info: Mapping[str, Any]) -> Scored:
        """Raises `JudgeError` or `ProviderError` where a judge is needed and gives no verdict."""
        episode, question, costs = info["episode"], info["question"], Costs()
        right, layer = None, "no answer"
        if episode["answer"] is not None:
            right, layer = await self.answer(question, list(info["references"]), episode["answer"], costs)
        settings = self.settings if info.get("avoid", True) else self.settings.model_copy(update={"avoid": False})
        key = key_turn_of(info)
        turns = episode["turns"]
        turn = turns[key.turn] if key.turn < len(turns) else None
        evidence = Evidence(
            answer_right=right,
            answer_layer=layer,
            has_key_step=key.is_there,
            has_key_turn=turn is not None,
            key_turn_is_answer=bool(turn and turn["is_finished"]),
        )
        teacher = mistake = UNKNOWN
        if turn is not None and key.is_there:
            ours, compared = rendered(turn), episode.get("key")
            # The agent loop has compared by code and execution; without it the recorded prints have to do.
            teacher = Sameness(**compared["teacher"]) if compared else same_step(ours, key.chosen)
            mistake = Sameness(**compared["mistake"]) if compared else same_step(ours, key.rejected)
            # Only what is left open is asked of a model, and only where the tier depends on it.
            if right is False and not turn["is_finished"] and settings.key_step:
                if teacher.same is None:
                    teacher = await self.same(question, ours, key.chosen, costs)
                if not teacher.same and mistake.same is None and settings.avoid:
                    mistake = await self.same(question, ours, key.rejected, costs)
        made = score(evidence, settings, teacher, mistake)
        by_key = settings.same_as_teacher if right and turn is not None else made.score
        return Scored(
            made,
            key_step_hit=(teacher.same if turn is not None else False) if key.is_there else None,
            key_reward=by_key if key.is_there and settings.key_step else None,
            costs=costs,
        )


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
    hit = made.key_step_hit if made else None
    return {
        "score": made.score.score if made else 0.0,
        "unscored": float(made is None),
        "unscored_reason": reason or "",
        "tier": made.score.tier if made else "unscored",
        "layer": made.score.layer if made else "unscored",
        "final_correct": float(made.score.tier == "correct") if made else None,
        "key_step_hit": None if hit is None else float(hit),
        "key_turn": float(extra_info.get("key_turn") or 0),
        "key_reward": made.key_reward if made else None,
        "of_training": float(extra_info.get("split") == "train"),
        "answered": float(episode["answer"] is not None),
        "generated_tokens": float(episode["generated_tokens"]),
        "turns": float(len(episode["turns"])),
        "skipped_turns": float(episode.get("skipped_turns", 0)),
        "prefix_differs": float(episode["prefix_differs"]),
        "ran_prefix": float(episode.get("ran_prefix", False)),
        "has_prefix": float(episode.get("has_prefix", False)),
        "without_judge": float(made.costs.questions == 0) if made else None,
        "judge_calls": float(made.costs.calls) if made else 0.0,
        "judge_seconds": made.costs.seconds if made else 0.0,
    }
