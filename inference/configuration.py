"""Settings of inference and evaluation."""

from pathlib import Path

from pydantic import Field

from score.interpreter import InterpreterSettings
from score.llm import Endpoints
from score.search import SearchSettings
from score.settings import Strict


class InferenceSettings(Strict):
    """Settings of `inference_api.py`. `seed`, if given, is sent with every call: seed + number of the task's call."""

    tasks: Path
    output: Path
    endpoints: Endpoints
    interpreter: InterpreterSettings = InterpreterSettings()
    search: SearchSettings = SearchSettings()
    max_steps: int = Field(default=8, gt=0)
    concurrency: int = Field(default=64, gt=0)
    seed: int | None = None
    limit: int | None = Field(default=None, gt=0)


class EvaluationSettings(Strict):
    """Settings of `evaluate.py`: who judges what the rules leave open."""

    endpoints: Endpoints = Endpoints()
    concurrency: int = Field(default=64, gt=0)
