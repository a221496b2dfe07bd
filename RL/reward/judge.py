"""A model's verdict on whether two steps do the same, for what code and execution leave open."""

from pathlib import Path

from reward.tiers import KeyStep
from score.dialogue import Message, render_observation
from score.errors import JudgeError, TaskError
from score.judging import json_object
from score.llm import Endpoint
from score.quoting import quoted

PROMPT = Path(__file__).with_name("same_step.txt")
ATTEMPTS = 2


class StepJudge:
    """Asks the reward endpoint."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint
        self._system: Message = {"role": "system", "content": PROMPT.read_text(encoding="utf-8").strip()}

    async def same(self, question: str, ours: KeyStep, theirs: KeyStep) -> bool:
        """Raises `JudgeError` without a readable verdict, `ProviderError` from the endpoint."""
        # A line between, so that each step is quoted as several lines, its end included.
        steps = [quoted(f"{step.turn}\n{render_observation(step.observation)}") for step in (theirs, ours)]
        prompt = f"Question:\n{question}\n\nStep A:\n{steps[0]}\n\nStep B:\n{steps[1]}"
        messages: list[Message] = [self._system, {"role": "user", "content": prompt}]
        for _ in range(ATTEMPTS):
            try:
                reply = json_object((await self.endpoint.chat(messages)).text)
            except TaskError as error:
                raise JudgeError(f"there is no room for the steps to be compared: {error}") from error
            if reply is not None and isinstance(reply.get("same"), bool):
                return bool(reply["same"])
        raise JudgeError(f"{self.endpoint} gave no readable verdict on a step in {ATTEMPTS} replies")
