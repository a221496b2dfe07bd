"""Settings of inference and evaluation."""

from pydantic import Field

from score.llm import Endpoints
from score.run import RunSettings
from score.settings import Strict


class InferenceSettings(RunSettings):
    """Settings of `inference_api.py`. `max_steps` counts actions; the plan is not among them."""

    max_steps: int = Field(default=8, gt=0)


class EvaluationSettings(Strict):
    """Settings of `evaluate.py`: who judges what the rules leave open."""

    endpoints: Endpoints = Endpoints()
    concurrency: int = Field(default=64, gt=0)
