"""Settings of endpoints: who answers, with which sampling, how much at once, and what happens when it does not."""

from typing import ClassVar, Literal

from pydantic import Field

from score.settings import Strict


class Sampling(Strict):
    """What is sent with each call; None leaves a value to the server. top_k, repetition_penalty and
    skip_special_tokens are extensions that vLLM, SGLang and our own server understand; LLaMA-Factory's reads none of
    them, nor the seed, and serves what its own configuration says."""

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = None
    repetition_penalty: float | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, gt=0)
    skip_special_tokens: bool | None = None
    seed: int | None = None


class EndpointSettings(Strict):
    """Who answers: an OpenAI-compatible server. `api_key_env` names the variable that holds the key (no variable:
    the server needs no key). `stream` is for servers whose whole replies are edited (LLaMA-Factory's API).

    `concurrency` calls are in flight at most; `requests_per_minute` and `tokens_per_minute` (prompt and completion) are
    the account's limits, None for a server of one's own. A call is tried `attempts` times. When the server does not
    answer any more (`outage_after` failures in a row, or all attempts of a call while nobody got through) everybody
    waits until it does again, for `give_up_after_s` at most.
    `json_schema`: is a reply in JSON asked for with its schema? `auto` stops to where a server refuses it.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    sampling: Sampling = Sampling()
    concurrency: int = Field(default=64, gt=0)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    timeout_s: float = Field(default=300, gt=0)
    attempts: int = Field(default=5, gt=0)
    outage_after: int = Field(default=20, gt=0)
    give_up_after_s: float = Field(default=1800, ge=0)
    stream: bool = False
    json_schema: Literal["auto", "on", "off"] = "auto"

    operational: ClassVar[frozenset[str]] = frozenset(
        {
            "base_url", "api_key_env", "concurrency", "requests_per_minute", "tokens_per_minute", "timeout_s",
            "attempts", "outage_after", "give_up_after_s", "stream",
        }
    )  # fmt: skip


class Endpoints(Strict):
    """The roles of `configs/endpoints.yaml`; each script uses some of them."""

    teacher: EndpointSettings | None = None
    student: EndpointSettings | None = None
    judge: EndpointSettings | None = None
    reward: EndpointSettings | None = None
