"""The tiers of the key-step reward as a pure function (METHOD, section 1; paper, section on key-step rewards).

    its final answer is right                                             correct           1.0
    else it hands in no final answer, or what is none (guard.py)          nothing           0.0
    else its key turn does the same as the teacher's step                 same_as_teacher   0.5
    else its key turn does neither that nor the student's old mistake     new_way           0.1
    else (it repeats the mistake, or the row has no key step)             nothing           0.0

The paper's table leaves open what a rollout gets that does the teacher's step and never hands in an answer: here 0.0,
because otherwise running on without an end would be rewarded. A key turn that itself hands in a final answer counts
for the first row alone.
"""

from dataclasses import dataclass
from typing import Literal

from rl_settings import Reward

Tier = Literal["correct", "same_as_teacher", "new_way", "nothing"]


@dataclass(frozen=True)
class KeyStep:
    """A rendered turn and what it printed."""

    turn: str
    observation: str = ""


@dataclass(frozen=True)
class Sameness:
    """Whether two steps do the same; None: undecided. `layer` says what decided: ast, execution, judge, undecided."""

    same: bool | None
    layer: str


@dataclass(frozen=True)
class Evidence:
    """What is known about a rollout. `answer_right` is None if no final answer was handed in, and `answer_layer` then
    says so; `key_turn_is_answer`: the turn at the key step's place handed in the final answer; `has_key_turn`: there
    is such a turn."""

    answer_right: bool | None
    answer_layer: str = "no answer"
    has_key_step: bool = False
    has_key_turn: bool = False
    key_turn_is_answer: bool = False


@dataclass(frozen=True)
class Score:
    """`layer` names who decided the tier; `key_step_hit` is None where it was not looked at."""

    score: float
    tier: Tier
    layer: str
    key_step_hit: bool | None = None


def score(evidence: Evidence, settings: Reward, teacher: Sameness, mistake: Sameness) -> Score:
    """The rollout's score. `teacher`, `mistake`: whether its key turn does the same as these steps; unknown counts as
    different."""
    if evidence.answer_right:
        return Score(settings.correct, "correct", evidence.answer_layer)
    if evidence.answer_right is None:
        return Score(settings.nothing, "nothing", evidence.answer_layer)
    if not (settings.key_step and evidence.has_key_step):
        return Score(settings.nothing, "nothing", evidence.answer_layer)
    if not evidence.has_key_turn or evidence.key_turn_is_answer:
        return Score(settings.nothing, "nothing", "no key turn")
    if teacher.same:
        return Score(settings.same_as_teacher, "same_as_teacher", teacher.layer, True)
    if settings.avoid and not mistake.same:
        return Score(settings.new_way, "new_way", mistake.layer, False)
    return Score(settings.nothing, "nothing", mistake.layer, False)
