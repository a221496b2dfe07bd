"""Settings of inference and evaluation."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from score.ledger import PRICES
from score.llm import Endpoints
from score.run import RunSettings
from score.settings import Strict


class InferenceSettings(RunSettings):
    """Settings of `inference_api.py`.

    `tasks` is a task file, or a benchmark by name or YAML, looked for in `data` and then on the Hugging Face hub.
    `answerer` is the endpoint that answers, `style` the form in which it is asked; a task without an answer is tried
    `max_tries` times. `max_steps` counts actions; the plan is not among them. `without_search`: an agent without search
    may answer a benchmark that is made for it.
    """

    data: Path = Path("data")
    answerer: Literal["student", "teacher"] = "student"
    style: Literal["student", "teacher", "chat"] = "student"
    max_tries: int = Field(default=1, gt=0, le=9)
    max_steps: int = Field(default=8, gt=0)
    without_search: bool = False

    operational: ClassVar[frozenset[str]] = RunSettings.operational | {"without_search"}


class EvaluationSettings(Strict):
    """Settings of `evaluate.py`: who judges what the rules leave open, where what it said is kept (`verdicts`; None: it
    is asked again each time), and where a suite's runs go (`output`/NAME/)."""

    endpoints: Endpoints = Endpoints()
    inference: Path = Path("inference_config.yaml")
    output: Path = Path("output")
    verdicts: Path | None = None
    math_workers: int = Field(default=2, gt=0)
    prices: Path = PRICES
    concurrency: int = Field(default=64, gt=0)
