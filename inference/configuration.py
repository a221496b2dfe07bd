"""Settings of inference and evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from score.interpreter import InterpreterSettings
from score.llm import Endpoints
from score.search import SearchSettings
from score.settings import Strict

if TYPE_CHECKING:
    from scoring import Scored


class InferenceSettings(Strict):
    """Settings of `inference_api.py`.

    `tasks` is a task file, or a benchmark by name or YAML, looked for in `data` and then on the Hugging Face hub.
    `answerer` is the endpoint that answers, `style` the form in which it is asked; a task without an answer is tried
    `max_tries` times. `seed`, if given, is sent with every call: seed + number of the task's call.
    """

    tasks: Path
    data: Path = Path("data")
    answerer: Literal["student", "teacher"] = "student"
    style: Literal["student", "teacher", "chat"] = "student"
    max_tries: int = Field(default=1, gt=0, le=9)
    output: Path
    endpoints: Endpoints
    interpreter: InterpreterSettings = InterpreterSettings()
    search: SearchSettings = SearchSettings()
    max_steps: int = Field(default=8, gt=0)
    concurrency: int = Field(default=64, gt=0)
    seed: int | None = None
    limit: int | None = Field(default=None, gt=0)


class Prices(Strict):
    """What a million tokens cost, in whatever currency."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class EvaluationSettings(Strict):
    """Settings of `evaluate.py`: who judges what the rules leave open, and where a suite's runs go (`output`/NAME/)."""

    endpoints: Endpoints = Endpoints()
    inference: Path = Path("inference_config.yaml")
    output: Path = Path("output")
    math_workers: int = Field(default=2, gt=0)
    prices: Prices | None = None

    def cost(self, rows: Sequence["Scored"]) -> dict[str, float | None]:
        """`cost_per_task` of these answers: None without prices, or where a server did not report its tokens."""
        tokens = [(row.prompt_tokens, row.tokens) for row in rows]
        if self.prices is None:
            return {"cost_per_task": None}
        known = [(prompt, made) for prompt, made in tokens if prompt is not None and made is not None]
        if len(known) < len(tokens):
            return {"cost_per_task": None}
        total = sum(self.prices.prompt * prompt + self.prices.completion * made for prompt, made in known)
        return {"cost_per_task": total / 1_000_000 / len(tokens)}

    concurrency: int = Field(default=64, gt=0)
