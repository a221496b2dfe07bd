"""Who speaks in phases 1 and 2: the teacher in its four roles, and the student. Prompts lie in `prompts/`.

The teacher gets a system prompt and one user message that states the case in labelled sections; it answers in a chat
model's form. A reply that cannot be read is asked again with the reason; what was tolerated is counted. The student
speaks the dialogue of `score.dialogue`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from showing import all_steps, plan_step, show_outcome, show_step, show_steps
from unchanged import same_code, same_words

from score.dialogue import Message, parse_teacher
from score.episode import Episode
from score.errors import TaskError
from score.judging import json_object
from score.leakage import find_leak, redact
from score.llm import Endpoint, Sampling, Usage
from score.settings import Strict
from score.tasks import Task
from score.trajectory import Step

PROMPTS = Path(__file__).parent / "prompts"
BLAME = {
    "type": "object",
    "properties": {
        "step": {"type": "integer"},
        "evidence": {"type": "string"},
        "diagnosis": {"type": "string"},
        "suggestion": {"type": "string"},
    },
    "required": ["step", "evidence", "diagnosis", "suggestion"],
    "additionalProperties": False,
}
TOOLS = {
    "web_search": "web_search(query): searches and returns texts; print what it returns",
    "final_answer_print": "final_answer_print(answer): hands in the final answer and ends the work",
}
T = TypeVar("T")


class NotAsAsked(TaskError):
    """A teacher's reply that cannot be used; the message says why, in words that the teacher may read."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Diagnosis:
    """The first critical error: `step` counts from 1, and step 1 is the plan."""

    step: int
    evidence: str
    diagnosis: str
    suggestion: str


class RoleSampling(Strict):
    """What a role's calls set otherwise than its endpoint's own sampling; `rollout` is the student in rollouts."""

    plan: Sampling = Sampling()
    act: Sampling = Sampling()
    judge: Sampling = Sampling()
    localise: Sampling = Sampling()
    correct: Sampling = Sampling()
    student: Sampling = Sampling()
    rollout: Sampling = Sampling()

    def of(self, role: str) -> dict[str, Any]:
        """The arguments of this role's calls."""
        chosen: Sampling = getattr(self, role)
        return chosen.model_dump(exclude_none=True)


class Teacher:
    """The strong model as planner, actor, localiser and corrector; safe to use from many tasks at once.

    `usage` sums what each role cost, `tolerated` what was read although it was not as asked, `asked_again` the
    replies that could not be used, both by role and reason. `correcting` counts corrections "asked for", "leaked" (in
    one reply or more), "written", and "given up" by reason.
    """

    def __init__(
        self, endpoint: Endpoint, tools: Sequence[str], *, max_steps: int, sampling: RoleSampling | None = None
    ):
        self.endpoint = endpoint
        self.max_steps = max_steps
        self.usage: dict[str, Usage] = {}
        self.tolerated: Counter[str] = Counter()
        self.asked_again: Counter[str] = Counter()
        self.correcting: Counter[str] = Counter()
        self._sampling = sampling or RoleSampling()
        self._tools = "\n".join(f"- {TOOLS[name]}" for name in (*tools, "final_answer_print"))
        self._systems = {
            role: (PROMPTS / f"{role}.txt").read_text(encoding="utf-8").strip()
            for role in ("plan", "act", "localise", "correct")
        }

    async def plan(self, question: str, seed: int | None = None) -> str:
        """The plan. Raises `NotAsAsked`, `ProviderError`."""
        prompt = f"Question:\n{question}\n\nTools:\n{self._tools}\n\nWrite the plan."
        return await self._ask("plan", prompt, self._read_plan, retries=1, seed=seed)

    async def act(self, episode: Episode, seed: int | None = None) -> Step:
        """The next step, not yet run. Raises `NotAsAsked`, `ProviderError`."""
        steps = all_steps(episode)
        prompt = (
            f"Question:\n{episode.question}\n\nTools:\n{self._tools}\n\nSteps so far:\n{show_steps(steps)}\n\n"
            f"Write step {len(steps) + 1} of at most {self.max_steps + 1}."
        )
        return await self._ask("act", prompt, self._read_step, retries=1, seed=seed)

    async def localise(
        self,
        task: Task,
        episode: Episode,
        *,
        retries: int,
        out_of_context: bool = False,
        blamed: int | None = None,
        seed: int | None = None,
    ) -> Diagnosis:
        """The first critical error of an attempt that did not reach the reference answer; with `blamed`, the diagnosis
        of that step. Raises `NotAsAsked` when no reply names a step of the attempt (or that one) with evidence that is
        found in it, `ProviderError`."""
        steps = all_steps(episode)
        references = task.references
        listed = references[0] if len(references) == 1 else "\n".join(f"- {reference}" for reference in references)
        prompt = (
            f"Question:\n{task.question}\n\nTools:\n{self._tools}\n\nReference answer:\n{listed}\n\n"
            f"Steps so far:\n{show_steps(steps)}\n\n"
            f"Outcome:\n{show_outcome(episode, out_of_context=out_of_context)}"
        )
        if blamed is not None:
            prompt += f"\n\nDiagnose step {blamed}."
        numbers = range(1 if episode.planned else 2, len(steps) + 1) if blamed is None else [blamed]
        if not numbers:
            raise NotAsAsked("the attempt holds no step that could be blamed", "no step")

        def read(text: str) -> Diagnosis:
            return read_diagnosis(text, steps, numbers, self._tolerate("localise"))

        return await self._ask("localise", prompt, read, retries=retries, seed=seed, schema=BLAME)

    async def correct(
        self, task: Task, episode: Episode, diagnosis: Diagnosis, *, retries: int, seed: int | None = None
    ) -> Step:
        """The blamed step written anew, not yet run (for step 1: the plan, without code). `episode` is the whole
        attempt. The prompt holds no reference answer; a reply that leaks it is asked again, and so is one
        that repeats the student's step. Raises `NotAsAsked`, `ProviderError`."""
        number = diagnosis.step
        steps = all_steps(episode)
        before = steps[: number - 1]
        told = [
            redact(text, task.references, task.question, before) for text in (diagnosis.diagnosis, diagnosis.suggestion)
        ]
        mistake = steps[number - 1]
        wrong = show_step(number, mistake).partition("\n")[2]
        prompt = (
            f"Question:\n{task.question}\n\nTools:\n{self._tools}\n\n"
            f"Steps so far:\n{show_steps(before) or '(none)'}\n\n"
            f"Step {number} as the student wrote it:\n{wrong}\n\n"
            f"Diagnosis:\n{told[0]}\n\nSuggestion:\n{told[1]}\n\nWrite step {number}."
        )
        leaks: list[str] = []

        def read(text: str) -> Step:
            step = plan_step(self._read_plan(text, "correct")) if number == 1 else self._read_step(text, "correct")
            if same_words(step.thought, mistake.thought) if number == 1 else same_code(step.code, mistake.code):
                said = f"This repeats step {number} as the student wrote it; write what has to be done instead."
                raise NotAsAsked(said, "unchanged plan" if number == 1 else "unchanged")
            leak = find_leak(step, task.references, task.question, before)
            if leak:
                leaks.append(leak)
                raise NotAsAsked(f"This step cannot be used: {leak}.", "leak")
            return step

        self.correcting["asked for"] += 1
        try:
            step = await self._ask("correct", prompt, read, retries=retries, seed=seed)
        except NotAsAsked as problem:
            self.correcting[f"given up: {problem.reason}"] += 1
            raise
        finally:
            if leaks:
                self.correcting["leaked"] += 1
        self.correcting["written"] += 1
        return step

    def _tolerate(self, role: str) -> Callable[[Iterable[str]], None]:
        """Counts what was tolerated in a reply of this role."""
        return lambda found: self.tolerated.update(f"{role}: {what}" for what in found)

    def _read_plan(self, text: str, role: str = "plan") -> str:
        reply = parse_teacher(text)
        if not reply.thought:
            raise NotAsAsked("The reply holds no plan.", "no plan")
        self._tolerate(role)(reply.tolerated)
        return reply.thought

    def _read_step(self, text: str, role: str = "act") -> Step:
        reply = parse_teacher(text)
        if reply.code is None or not reply.code.strip():
            raise NotAsAsked("The reply holds no Python block after `Code:`.", "no code")
        self._tolerate(role)(reply.tolerated)
        return Step(thought=reply.thought, code=reply.code)

    async def _ask(
        self,
        role: str,
        prompt: str,
        read: Callable[[str], T],
        *,
        retries: int,
        seed: int | None = None,
        schema: dict[str, Any] | None = None,
    ) -> T:
        """Ask until the reply can be read. Raises the last `NotAsAsked` after `retries` repetitions."""
        messages: list[Message] = [
            {"role": "system", "content": self._systems[role]},
            {"role": "user", "content": prompt},
        ]
        overrides: dict[str, Any] = ({} if seed is None else {"seed": seed}) | self._sampling.of(role)
        while True:
            if schema is None:
                completion = await self.endpoint.chat(messages, purpose=role, **overrides)
            else:
                completion = await self.endpoint.chat_json(messages, role, schema, purpose=role, **overrides)
            self.usage.setdefault(role, Usage()).add(completion.usage)
            try:
                if completion.cut:
                    raise NotAsAsked("The reply was cut off at the limit of tokens; be brief.", "cut off")
                return read(completion.text)
            except NotAsAsked as problem:
                self.asked_again[f"{role}: {problem.reason}"] += 1
                if retries == 0:
                    said = f"teacher ({role}): {problem} The last reply was {completion.text[:200]!r}"
                    raise NotAsAsked(said, problem.reason) from None
                retries -= 1
                messages += [
                    {"role": "assistant", "content": completion.text or "(nothing)"},
                    {"role": "user", "content": f"{problem} Reply again, in the form asked for."},
                ]


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def read_diagnosis(
    text: str, steps: Sequence[Step], numbers: Sequence[int], tolerate: Callable[[Iterable[str]], None]
) -> Diagnosis:
    """The localiser's JSON, checked against the attempt: the step is one of `numbers`, and the evidence stands in it
    (up to white space). Raises `NotAsAsked`."""
    tolerated: Counter[str] = Counter()
    reply = json_object(text, tolerated)
    if reply is None:
        raise NotAsAsked("The reply is not one JSON object.", "not JSON")
    number = reply.get("step")
    if isinstance(number, bool) or not isinstance(number, int) or number not in numbers:
        wanted = f"a number from {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
        raise NotAsAsked(f'"step" must be {wanted}.', "no such step")
    texts = {key: reply.get(key) for key in ("evidence", "diagnosis", "suggestion")}
    missing = [key for key, value in texts.items() if not isinstance(value, str) or not value.strip()]
    if missing:
        raise NotAsAsked(f'"{missing[0]}" is missing or empty.', "incomplete")
    evidence = _squeezed(str(texts["evidence"])).strip("`")
    shown = [_squeezed(show_step(number, steps[number - 1], quote=quote)) for quote in (True, False)]
    if not any(evidence in text for text in shown):
        raise NotAsAsked(f'"evidence" is not found in step {number}; copy a passage of it exactly.', "no evidence")
    tolerate(tolerated)
    return Diagnosis(number, evidence, str(texts["diagnosis"]), str(texts["suggestion"]))


class Student:
    """The small model, served: it writes the dialogue's next turn. `role` names its account in `usage`."""

    def __init__(self, endpoint: Endpoint, sampling: Mapping[str, Any] | None = None, role: str = "student"):
        self.endpoint = endpoint
        self.usage: dict[str, Usage] = {role: Usage()}
        self._sampling, self._role = dict(sampling or {}), role

    async def reply(self, episode: Episode, seed: int | None = None) -> str:
        """The student's next turn. Raises `ProviderError`, and `TaskError` if the dialogue outgrew its context."""
        overrides: dict[str, Any] = ({} if seed is None else {"seed": seed}) | self._sampling
        completion = await self.endpoint.chat(episode.messages(), purpose=self._role, **overrides)
        self.usage[self._role].add(completion.usage)
        return completion.text
