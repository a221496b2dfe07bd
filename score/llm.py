"""An endpoint with its sampling: async chat calls with retries and usage. Only this module talks to models."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
)
from openai.types.chat import ChatCompletion
from pydantic import Field
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from score.dialogue import Message
from score.errors import ProviderError, SettingsError, TaskError
from score.settings import Strict, secret

EXTENSIONS = ("top_k", "repetition_penalty", "skip_special_tokens")
REFUSED = (400, 422)  # what servers answer to a parameter that they do not take


class Sampling(Strict):
    """What is sent with each call; None leaves a value to the server. top_k, repetition_penalty and
    skip_special_tokens are extensions that vLLM, SGLang, LLaMA-Factory's and our own server understand."""

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
    `json_schema`: is a reply in JSON asked for with its schema? `auto` stops to where a server refuses it."""

    base_url: str
    model: str
    api_key_env: str | None = None
    sampling: Sampling = Sampling()
    concurrency: int = Field(default=64, gt=0)
    timeout_s: float = Field(default=300, gt=0)
    attempts: int = Field(default=5, gt=0)
    stream: bool = False
    json_schema: Literal["auto", "on", "off"] = "auto"


class Endpoints(Strict):
    """The roles of `configs/endpoints.yaml`; each script uses some of them."""

    teacher: EndpointSettings | None = None
    student: EndpointSettings | None = None
    judge: EndpointSettings | None = None
    reward: EndpointSettings | None = None


@dataclass
class Usage:
    """What calls cost: counts, tokens as the server reports them, seconds of waiting.

    `uncounted` calls came without the server's counts (a stream of `llamafactory-cli api`, for one): then the tokens
    are those of the other calls only, and `generated` is None.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    uncounted: int = 0

    @property
    def generated(self) -> int | None:
        """The tokens generated, None where they are not known."""
        return None if self.uncounted else self.completion_tokens

    def add(self, other: "Usage") -> None:
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.seconds += other.seconds
        self.uncounted += other.uncounted


@dataclass(frozen=True)
class Completion:
    """A model's reply. `finish_reason` is the server's (`stop`, `length` ...)."""

    text: str
    finish_reason: str
    usage: Usage = field(default_factory=Usage)


def _worth_retrying(error: BaseException) -> bool:
    if isinstance(error, APIStatusError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return isinstance(error, APIConnectionError | APITimeoutError)


def _wait(state: RetryCallState) -> float:
    """Jittered exponential back-off, or what the server asks for in `Retry-After` (at most a minute)."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, APIStatusError):
        asked = error.response.headers.get("retry-after", "")
        if asked.replace(".", "", 1).isdigit():
            return min(float(asked), 60.0)
    return wait_random_exponential(multiplier=0.5, max=30)(state)


class Endpoint:
    """A role's model: `chat` is safe to call from many tasks of one event loop; `usage` sums what they cost.

    Raises `SettingsError` if the address or the key is not set.
    """

    def __init__(self, role: str, settings: EndpointSettings):
        self.role = role
        self.settings = settings
        self.usage = Usage()
        for name in re.findall(r"\$\{(\w+)", settings.base_url):
            raise SettingsError(
                f"endpoints.{role}.base_url: the variable {name} is not set; put {name}=http://.../v1 into .env"
            )
        key = secret(settings.api_key_env, f"the endpoint of the {role}") if settings.api_key_env else "EMPTY"
        self._client = AsyncOpenAI(base_url=settings.base_url, api_key=key, timeout=settings.timeout_s, max_retries=0)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._arguments: dict[str, Any] = settings.sampling.model_dump(exclude_none=True)
        self.schema_refusals = 0  # calls that were repeated without a JSON schema

    def __str__(self) -> str:
        return f"{self.role} ({self.settings.model} at {self.settings.base_url})"

    async def chat(self, messages: list[Message], **overrides: Any) -> Completion:
        """One reply. `overrides` go over the configured sampling (`seed=3`, `temperature=0`).

        Raises `ProviderError` after the configured attempts, at once for refusals (400, 401, 403, 404); `TaskError` if
        the dialogue is longer than the model's context.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.settings.attempts),
            wait=_wait,
            retry=retry_if_exception(_worth_retrying),
            reraise=True,
        )
        try:
            async with self._slots:
                async for attempt in retrying:
                    with attempt:
                        return await self._call(messages, {**self._arguments, **overrides})
        except (AuthenticationError, PermissionDeniedError) as error:
            variable = self.settings.api_key_env or "api_key_env (none is set)"
            raise ProviderError(
                f"{self} refused the key ({error.status_code}): check {variable}", fatal=True
            ) from error
        except NotFoundError as error:
            raise ProviderError(
                f"{self}: not found (404): check base_url (it usually ends in /v1) and model: {error.message}",
                fatal=True,
            ) from error
        except (APIConnectionError, APITimeoutError) as error:
            raise ProviderError(
                f"{self} cannot be reached ({type(error).__name__} after {self.settings.attempts} attempts): "
                f"is the server running, and is endpoints.{self.role}.base_url right?"
            ) from error
        except APIStatusError as error:
            if error.code == "context_length_exceeded" or "maximum context length" in error.message:
                raise TaskError(
                    f"the dialogue no longer fits the context of the {self.role}: {error.message}"
                ) from error
            raise ProviderError(f"{self} answered {error.status_code}: {error.message}") from error
        raise AssertionError("unreachable: tenacity re-raises")

    async def chat_json(
        self, messages: list[Message], name: str, schema: dict[str, Any], **overrides: Any
    ) -> Completion:
        """`chat` for a reply in JSON, in the server's JSON mode with this schema where it has one. With `auto`, a call
        that is refused with the schema and answered without settles that this server has none."""
        mode = self.settings.json_schema
        if mode == "off" or (mode == "auto" and self.schema_refusals):
            return await self.chat(messages, **overrides)
        form = {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
        try:
            return await self.chat(messages, response_format=form, **overrides)
        except ProviderError as error:
            refused = isinstance(error.__cause__, APIStatusError) and error.__cause__.status_code in REFUSED
            if mode == "on" or not refused:
                raise
        completion = await self.chat(messages, **overrides)
        self.schema_refusals += 1
        return completion

    async def check(self) -> None:
        """One small call, so that a wrong address or key stops a run before its first task. Raises `ProviderError`."""
        probe: list[Message] = [{"role": "user", "content": "Say OK."}]
        try:
            await self.chat(probe, max_tokens=4)
        except ProviderError as error:
            raise ProviderError(str(error), fatal=True) from error

    async def close(self) -> None:
        await self._client.close()

    async def _call(self, messages: list[Message], arguments: dict[str, Any]) -> Completion:
        began = asyncio.get_running_loop().time()
        if self.settings.stream:
            text, reason, counts = await self._streamed(messages, arguments)
        else:
            # `post` is the client's public way around the transformation of messages, a third of a call's CPU time.
            body = {"model": self.settings.model, "messages": messages, **arguments}
            reply = await self._client.post("/chat/completions", cast_to=ChatCompletion, body=body)
            if not reply.choices or reply.choices[0].message.content is None:
                raise ProviderError(f"{self} answered without content")
            text, reason = reply.choices[0].message.content, reply.choices[0].finish_reason or ""
            counts = (reply.usage.prompt_tokens, reply.usage.completion_tokens) if reply.usage else None
        # A server that decodes special tokens also sends the end of turn: the turn ends there.
        text = text.split("<|im_end|>", 1)[0]
        seconds = asyncio.get_running_loop().time() - began
        usage = Usage(1, *counts, seconds) if counts else Usage(calls=1, seconds=seconds, uncounted=1)
        self.usage.add(usage)
        return Completion(text, reason, usage)

    async def _streamed(
        self, messages: list[Message], arguments: dict[str, Any]
    ) -> tuple[str, str, tuple[int, int] | None]:
        """Text, finish reason, and the counts of prompt and completion tokens where the server sends them."""
        parts: list[str] = []
        reason, counts = "", None
        own = {name: arguments.pop(name) for name in EXTENSIONS if name in arguments}
        create: Any = self._client.chat.completions.create  # its overloads want message types of its own
        stream = await create(
            model=self.settings.model,
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=own,
            **arguments,
        )
        async for chunk in stream:
            if chunk.usage:
                counts = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                parts.append(choice.delta.content or "")
                reason = choice.finish_reason or reason
        return "".join(parts), reason, counts
