"""Settings of the rollout's tools and of the reward; verl's own settings are Hydra's (`configs/score_grpo.yaml`)."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from score.interpreter import InterpreterSettings
from score.llm import Endpoints
from score.search import SearchSettings
from score.settings import Strict


class Limits(Strict):
    """What a rollout may use beside verl's own limits (`multi_turn.max_assistant_turns`, `data.max_response_length`).
    `tokens_per_turn` None: what is left of the response length."""

    tokens_per_turn: int | None = Field(default=None, gt=0)
    sessions: int = Field(default=256, gt=0, description="interpreter sessions at a time in one agent-loop worker")
    code_seconds: float = Field(default=120, gt=0, description="of one episode's steps together, searches not counted")


class Reward(Strict):
    """The four tiers (METHOD: the key-step reward). `avoid: false` drops the third, `key_step: false` the second
    and the third; `judge_steps` asks the reward endpoint where code and execution do not tell whether two steps do
    the same; `cache` is the file of its verdicts (None: they are kept in memory)."""

    correct: float = 1.0
    same_as_teacher: float = 0.5
    new_way: float = 0.1
    nothing: float = 0.0
    key_step: bool = True
    avoid: bool = True
    judge_steps: bool = False
    cache: Path | None = None


class RLSettings(Strict):
    """What our agent loop and reward need beside verl's settings. `without_search`: rows that search may be trained on
    without a search back end."""

    endpoints: Endpoints = Endpoints()
    interpreter: InterpreterSettings = InterpreterSettings()
    search: SearchSettings = SearchSettings()
    limits: Limits = Limits()
    reward: Reward = Reward()
    without_search: bool = False

    operational: ClassVar[frozenset[str]] = frozenset({"without_search"})
