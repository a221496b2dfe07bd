"""A task on its way through mentored solving: the student's episode, the interpreter's states, the key steps."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from roles import Diagnosis
from showing import all_steps, show_steps

from score.episode import Episode
from score.interpreter import Session, close_all
from score.tasks import Task
from score.trajectory import KeyStep, Step, Successes, Trajectory, Verdict, still_holds


@dataclass
class Attempt:
    """`sessions[i]` is the interpreter before `episode.steps[i]`, None a fresh one; the next step starts from the last.
    A step that only handed in an answer has the same one before and after it.
    `successes[i]` is what rollouts measured after the first i steps, the plan being step 1."""

    task: Task
    episode: Episode
    sessions: list[Session | None]
    key_steps: list[KeyStep] = field(default_factory=list)
    successes: list[Successes] = field(default_factory=list)
    seed: int | None = None
    turns: int = 0
    out_of_context: bool = False
    why_hard: str = ""

    @property
    def over(self) -> bool:
        return self.episode.over or self.out_of_context

    def next_seed(self) -> int | None:
        """A seed of its own for each of the student's turns, whatever other tasks do meanwhile."""
        self.turns += 1
        return None if self.seed is None else self.seed + self.turns

    def side_seed(self, *what: object) -> int | None:
        """A seed for what is beside the student's main line, which takes none of that line's seeds."""
        if self.seed is None:
            return None
        digest = hashlib.sha256(repr((self.seed, len(self.key_steps), *what)).encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 2

    def taught(self) -> dict[int, KeyStep]:
        """The steps that the teacher wrote: number -> the key step, where the attempt still holds it."""
        episode = self.episode
        held = [key_step for key_step in self.key_steps if still_holds(key_step, episode.plan, episode.steps)]
        return {key_step.mistake_step_index + 1: key_step for key_step in held}

    def prefix(self, number: int) -> tuple[Episode, Session | None]:
        """The first `number` steps (the plan is step 1) and the interpreter after them."""
        whole = self.episode
        plan, steps = whole.plan if number else None, whole.steps[: max(number - 1, 0)]
        return Episode(whole.question, whole.max_steps, plan, steps, whole.planned), self.sessions[len(steps)]

    async def cut(self, number: int) -> None:
        """Go back to before step `number` (1 is the plan): later steps and interpreter states are dropped."""
        kept = max(number - 2, 0)
        if number == 1:
            self.episode.plan = None
        del self.episode.steps[kept:]
        del self.successes[number:]
        dropped = self.sessions[kept + 1 :]
        del self.sessions[kept + 1 :]
        self.out_of_context = False
        await close_all(session for session in dropped if session is not None and session not in self.sessions)

    async def close(self) -> None:
        """End all of the attempt's sessions."""
        await close_all(session for session in self.sessions if session is not None)


def make_key_step(attempt: Attempt, diagnosis: Diagnosis, step: Step, localised_by: str) -> KeyStep:
    """The correction as it will be recorded; its observation comes when it has run."""
    episode = attempt.episode
    steps = all_steps(episode)
    index = diagnosis.step - 1
    # A step that the teacher wrote is not the student's mistake: then the mistakes made there before it count.
    earlier = attempt.taught().get(diagnosis.step)
    return KeyStep(
        teacher_guided_step=step,
        student_mistake=list(earlier.student_mistake) if earlier else [steps[index]],
        mistake_step_index=index,
        correction_suggestion=f"{diagnosis.diagnosis} {diagnosis.suggestion}",
        context_before_intervention=show_steps(steps[:index], quote=False) or "None",
        prefix_steps=list(steps[1:index]),
        prefix_plan=episode.plan if index > 0 else None,
        localised_by=localised_by,
    )


def make_trajectory(attempt: Attempt, verdict: Verdict) -> Trajectory:
    """The result: a key step is valid only if the final trajectory still holds it and ended correct."""
    episode = attempt.episode
    for key_step in attempt.key_steps:
        key_step.is_valid = verdict.correct and still_holds(key_step, episode.plan, episode.steps)
    extra: dict[str, Any] = {"out_of_context": True} if attempt.out_of_context else {}
    if not verdict.correct:
        extra["error_analysis"] = attempt.why_hard
    return Trajectory(
        task=attempt.task,
        plan=episode.plan,
        steps=episode.steps,
        verdict=verdict,
        key_steps=attempt.key_steps,
        is_hard=not verdict.correct,
        extra=extra,
    )
