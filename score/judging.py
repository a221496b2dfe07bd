"""Layered judging: rules decide what they can, a model the rest; no readable verdict means unscored, never wrong."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from score.answers import Equivalence
from score.answers.text import with_backslashes
from score.dialogue import Message
from score.errors import JudgeError, TaskError
from score.llm import Endpoint
from score.quoting import quoted
from score.trajectory import Verdict
from score.verdicts import Costs, Verdicts

PROMPT = Path(__file__).parent / "prompts" / "judge.txt"
ATTEMPTS = 2
SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "equivalent": {"type": "boolean"}},
    "required": ["reason", "equivalent"],
    "additionalProperties": False,
}
_ESCAPE = re.compile(r'\\(["\\/n]|u[0-9a-fA-F]{4})?')  # without the letters that begin commands of LaTeX
_OBJECT = re.compile(r'\{(?=\s*["}])')  # where an object may begin, unlike a set's `{1,2}`
_REMINDER = 'That could not be read. Reply with the JSON object alone: {"reason": "...", "equivalent": true or false}'


def json_object(text: str, tolerated: Counter[str] | None = None) -> dict[str, Any] | None:
    """The JSON object of a model's reply, None if there is none.

    Tolerated, and counted in `tolerated`: a `<think>` block before it, a fence or words around it, and backslashes of
    LaTeX that JSON would want doubled (models quote `\\frac` as it stands, which JSON reads as a form feed and `rac`).
    A reply that ends while it thinks, or says two objects, holds none.
    """
    reply = text.rsplit("</think>", 1)[-1]
    end = reply.rfind("}") + 1
    for begun in _OBJECT.finditer(reply, 0, end):
        if "<think>" in reply[: begun.start()]:
            return None
        candidate = reply[begun.start() : end]
        for attempt in (candidate, _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", candidate)):
            try:
                value = json.loads(attempt, strict=False)
            except (json.JSONDecodeError, RecursionError):
                continue
            read = {key: with_backslashes(said) if isinstance(said, str) else said for key, said in value.items()}
            if tolerated is not None:
                found = {
                    "<think> block": "</think>" in text,
                    "words around JSON": reply.strip() != candidate,
                    "single backslashes in JSON": attempt != candidate or read != value,
                }
                tolerated.update(what for what, was_there in found.items() if was_there)
            return read
        if _ends_early(candidate):
            return None
    return None


def _ends_early(text: str) -> bool:
    """Does an object that says something end before the text does? Of two objects nobody knows which one counts."""
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (json.JSONDecodeError, RecursionError):
        return False
    return bool(value)


class Judge:
    """Compares answers with references. `decided` counts who decided: a rule's name or the model; `tolerated` and
    `asked_again` count the model's replies that were not as asked. `sampling` goes over the endpoint's. What the model
    said is kept in `verdicts` and not asked again; `costs` counts both."""

    def __init__(
        self,
        equivalence: Equivalence,
        endpoint: Endpoint | None,
        sampling: Mapping[str, Any] | None = None,
        verdicts: Verdicts | None = None,
    ):
        self.equivalence = equivalence
        self.endpoint = endpoint
        self.sampling = dict(sampling or {})
        self.verdicts = verdicts
        self.costs = Costs()
        self.decided: Counter[str] = Counter()
        self.tolerated: Counter[str] = Counter()
        self.asked_again: Counter[str] = Counter()
        self._system: Message = {"role": "system", "content": PROMPT.read_text(encoding="utf-8").strip()}

    async def verdict(self, question: str, references: Sequence[str], answer: str) -> Verdict:
        """Is the answer right? Raises `JudgeError` without a readable verdict, `ProviderError` from the endpoint."""
        match = await self.equivalence.equal(list(references), answer, question)
        if match.equal is None:
            verdict = await self.by_model(question, references, answer)
        else:
            verdict = Verdict(correct=match.equal, by=match.by)
        self.decided[verdict.by] += 1
        return verdict.model_copy(update={"references": list(references), "answer": answer})

    async def by_model(
        self, question: str, references: Sequence[str], answer: str, costs: Costs | None = None
    ) -> Verdict:
        """The model's verdict, whatever the rules say; `costs` of the caller's own are counted in place of the judge's.
        Raises as `verdict` does."""
        if self.endpoint is None:
            raise JudgeError("only a model can decide this, and no judge endpoint is configured (endpoints.judge)")
        listed = references[0] if len(references) == 1 else "\n".join(f"- {reference}" for reference in references)
        prompt = f"Question:\n{question}\n\nReference answer:\n{listed}\n\nCandidate answer:\n{quoted(answer)}"
        if self.verdicts is None:
            return await self._ask(self.endpoint, prompt)
        asked = self.endpoint

        async def ask() -> dict[str, Any]:
            return (await self._ask(asked, prompt)).model_dump()

        depends_on = ("answer", asked.settings.model, json.dumps(self.sampling), self._system["content"], prompt)
        return Verdict.model_validate(await self.verdicts.once(depends_on, ask, costs or self.costs))

    async def _ask(self, endpoint: Endpoint, prompt: str) -> Verdict:
        messages: list[Message] = [self._system, {"role": "user", "content": prompt}]
        said = ""
        for _ in range(ATTEMPTS):
            try:
                completion = await endpoint.chat_json(messages, "verdict", SCHEMA, **self.sampling)
            except TaskError as error:
                raise JudgeError(f"there is no room for what was to be judged: {error}") from error
            said = completion.text
            read: Counter[str] = Counter()
            reply = None if completion.cut else json_object(said, read)
            self.tolerated.update({f"judge: {what}": count for what, count in read.items()})
            if reply is not None and isinstance(reply.get("equivalent"), bool):
                return Verdict(
                    correct=reply["equivalent"], by=endpoint.settings.model, evidence=str(reply.get("reason", ""))
                )
            self.asked_again["judge: cut off" if completion.cut else "judge: no verdict"] += 1
            messages = [
                *messages,
                {"role": "assistant", "content": said or "(nothing)"},
                {"role": "user", "content": _REMINDER},
            ]
        raise JudgeError(f"{endpoint} gave no readable verdict in {ATTEMPTS} replies; the last was {said[:200]!r}")
