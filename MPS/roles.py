"""Who speaks in phases 1 and 2: the teacher in its four roles, and the student. Prompts lie in `prompts/`.

The teacher gets a system prompt and one user message that states the case in labelled sections; it answers in a chat
model's form. A reply that cannot be read is asked again with the reason; what was tolerated is counted. The student
speaks the dialogue of `score.dialogue`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from score.dialogue import Message, parse_teacher
from score.episode import Episode
from score.errors import TaskError
from score.judging import json_object
from score.leakage import find_leak, redact
from score.llm import Endpoint, Usage
from score.tasks import Task
from score.trajectory import NO_CODE, Step

PROMPTS = Path(__file__).parent / "prompts"
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


def show_step(number: int, step: Step) -> str:
    """A step as teachers see it. Step 1 is the plan."""
    if number == 1:
        return f"Step 1:\nFirst Thought: {step.thought or '(no plan)'}"
    code = f"\nCode:\n```python\n{step.code}\n```" if step.code else ""
    outcome = "Final answer" if step.is_finished else "Observation"
    return f"Step {number}:\nThought: {step.thought}{code}\n{outcome}: {step.observation.strip()}"


def show_steps(steps: Sequence[Step]) -> str:
    return "\n".join(show_step(number, step) for number, step in enumerate(steps, 1))


def plan_step(plan: str | None) -> Step:
    """The plan as step 1."""
    return Step(thought=plan or "", observation=NO_CODE)


def all_steps(episode: Episode) -> list[Step]:
    """The steps as they are numbered: the plan, then the actions."""
    return [plan_step(episode.plan), *episode.steps]


class Teacher:
    """The strong model as planner, actor, localiser and corrector; safe to use from many tasks at once.

    `usage` sums what each role cost, `tolerated` what was read although it was not as asked, `asked_again` the
    replies that could not be used, by role and reason.
    """

    def __init__(self, endpoint: Endpoint, tools: Sequence[str], *, max_steps: int):
        self.endpoint = endpoint
        self.max_steps = max_steps
        self.usage: dict[str, Usage] = {}
        self.tolerated: Counter[str] = Counter()
        self.asked_again: Counter[str] = Counter()
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

    async def localise(self, task: Task, episode: Episode, *, retries: int) -> Diagnosis:
        """The first critical error of an attempt that did not reach the reference answer. Raises `NotAsAsked` when no
        reply names a step of the attempt with evidence that is found in it, `ProviderError`."""
        steps = all_steps(episode)
        references = task.references
        listed = references[0] if len(references) == 1 else "\n".join(f"- {reference}" for reference in references)
        outcome = (
            "The final answer is wrong." if episode.finished else "No final answer was handed in within the limit."
        )
        prompt = (
            f"Question:\n{task.question}\n\nTools:\n{self._tools}\n\nReference answer:\n{listed}\n\n"
            f"Steps so far:\n{show_steps(steps)}\n\nOutcome:\n{outcome}"
        )

        def read(text: str) -> Diagnosis:
            return read_diagnosis(text, steps)

        return await self._ask("localise", prompt, read, retries=retries)

    async def correct(self, task: Task, episode: Episode, diagnosis: Diagnosis, *, retries: int) -> Step:
        """The blamed step written anew, not yet run (for step 1: the plan, without code). `episode` is the whole
        attempt. The prompt holds no reference answer; a reply that leaks it is asked again. Raises `NotAsAsked`,
        `ProviderError`."""
        number = diagnosis.step
        steps = all_steps(episode)
        before = steps[: number - 1]
        seen = f"{task.question}\n{show_steps(before)}"
        wrong = show_step(number, steps[number - 1]).partition("\n")[2]
        prompt = (
            f"Question:\n{task.question}\n\nTools:\n{self._tools}\n\n"
            f"Steps so far:\n{show_steps(before) or '(none)'}\n\n"
            f"Step {number} as the student wrote it:\n{wrong}\n\n"
            f"Diagnosis:\n{redact(diagnosis.diagnosis, task.references, seen)}\n\n"
            f"Suggestion:\n{redact(diagnosis.suggestion, task.references, seen)}\n\nWrite step {number}."
        )

        def read(text: str) -> Step:
            step = plan_step(self._read_plan(text)) if number == 1 else self._read_step(text)
            leak = find_leak(step, task.references, task.question, before)
            if leak:
                raise NotAsAsked(f"This step cannot be used: {leak}.", "leak")
            return step

        return await self._ask("correct", prompt, read, retries=retries)

    def _read_plan(self, text: str) -> str:
        reply = parse_teacher(text)
        if not reply.thought:
            raise NotAsAsked("The reply holds no plan.", "no plan")
        return reply.thought

    def _read_step(self, text: str) -> Step:
        reply = parse_teacher(text)
        self.tolerated.update(reply.tolerated)
        if reply.code is None or not reply.code.strip():
            raise NotAsAsked("The reply holds no Python block after `Code:`.", "no code")
        return Step(thought=reply.thought, code=reply.code)

    async def _ask(
        self, role: str, prompt: str, read: Callable[[str], T], *, retries: int, seed: int | None = None
    ) -> T:
        """Ask until the reply can be read. Raises the last `NotAsAsked` after `retries` repetitions."""
        messages: list[Message] = [
            {"role": "system", "content": self._systems[role]},
            {"role": "user", "content": prompt},
        ]
        overrides: dict[str, Any] = {} if seed is None else {"seed": seed}
        while True:
            completion = await self.endpoint.chat(messages, purpose=role, **overrides)
            self.usage.setdefault(role, Usage()).add(completion.usage)
            try:
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


def read_diagnosis(text: str, steps: Sequence[Step]) -> Diagnosis:
    """The localiser's JSON, checked against the attempt: the step exists, and the evidence stands in it (up to white
    space). Raises `NotAsAsked`."""
    reply = json_object(text)
    if reply is None:
        raise NotAsAsked("The reply is not one JSON object.", "not JSON")
    number = reply.get("step")
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(steps):
        raise NotAsAsked(f'"step" must be a number from 1 to {len(steps)}.', "no such step")
    texts = {key: reply.get(key) for key in ("evidence", "diagnosis", "suggestion")}
    missing = [key for key, value in texts.items() if not isinstance(value, str) or not value.strip()]
    if missing:
        raise NotAsAsked(f'"{missing[0]}" is missing or empty.', "incomplete")
    evidence = _squeezed(str(texts["evidence"])).strip("`")
    if evidence not in _squeezed(show_step(number, steps[number - 1])):
        raise NotAsAsked(f'"evidence" is not found in step {number}; copy a passage of it exactly.', "no evidence")
    return Diagnosis(number, evidence, str(texts["diagnosis"]), str(texts["suggestion"]))


class Student:
    """The small model, served: it writes the dialogue's next turn."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint
        self.usage: dict[str, Usage] = {"student": Usage()}

    async def reply(self, episode: Episode, seed: int | None = None) -> str:
        """The student's next turn. Raises `ProviderError`, and `TaskError` if the dialogue outgrew its context."""
        overrides: dict[str, Any] = {} if seed is None else {"seed": seed}
        completion = await self.endpoint.chat(episode.messages(), **overrides)
        self.usage["student"].add(completion.usage)
        return completion.text
