"""A role's model behind its limits: retries with back-off, rate limits, and a pause while the server is down."""

import asyncio
import logging
import random
import re
import time
from typing import Any

from score.dialogue import Message
from score.errors import ProviderError, SettingsError, TaskError
from score.llm.breaker import Breaker, GaveUp
from score.llm.client import ChatClient, Refused, Transient
from score.llm.limits import RateLimit
from score.llm.settings import EndpointSettings
from score.llm.usage import Account, Completion, Usage, charge, charge_current
from score.settings import secret

UNKNOWN_PARAMETER = (400, 422)  # what servers answer to a parameter that they do not take
# How servers say that prompt and reply do not fit: vLLM, SGLang, OpenAI and our own (by its code). The last is vLLM's
# answer to a prompt that fills the context to the last token.
TOO_LONG = re.compile(r"context length|max_tokens must be at least 1, got 0")
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
_log = logging.getLogger(__name__)


class Endpoint:
    """A role's model: `chat` is safe to call from many tasks of one event loop. `usage` sums what all calls cost,
    `accounts` the same by purpose; `served` is the model id as the server reports it, None before the first reply.

    Raises `SettingsError` if the address or the key is not set.
    """

    def __init__(self, role: str, settings: EndpointSettings):
        self.role = role
        self.settings = settings
        self.usage = Usage()
        self.accounts: Account = {}
        self.served: str | None = None
        self.schema_refusals = 0  # calls that were repeated without a JSON schema
        for name in re.findall(r"\$\{(\w+)", settings.base_url):
            raise SettingsError(
                f"endpoints.{role}.base_url: the variable {name} is not set; put {name}=http://.../v1 into .env"
            )
        key = secret(settings.api_key_env, f"the endpoint of the {role}") if settings.api_key_env else "EMPTY"
        self._client = ChatClient(settings.base_url, key, settings.timeout_s)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._rate = RateLimit(settings.requests_per_minute, settings.tokens_per_minute)
        self._breaker = Breaker(str(self), settings.outage_after, settings.give_up_after_s, self._probe)
        self._body: dict[str, Any] = {"model": settings.model, **settings.sampling.model_dump(exclude_none=True)}
        if settings.stream:
            self._body |= {"stream": True, "stream_options": {"include_usage": True}}

    def __str__(self) -> str:
        return f"{self.role} ({self.settings.model} at {self.settings.base_url})"

    @property
    def paused(self) -> bool:
        """Is everybody waiting for the server to come back?"""
        return self._breaker.open

    @property
    def note(self) -> str:
        """For the progress line: empty while all is well."""
        if not self._breaker.open:
            return ""
        minutes, seconds = divmod(int(self._breaker.down_s), 60)
        return f"{self.role} DOWN for {minutes}:{seconds:02}, waiting for {self.settings.base_url}"

    async def chat(self, messages: list[Message], *, purpose: str | None = None, **overrides: Any) -> Completion:
        """One reply. `purpose` says to whom the call is charged (default: the role); `overrides` go over the
        configured sampling (`seed=3`, `response_format={...}`), the contents of `extra_body` too. Where the context has
        no room for `max_tokens`, the reply may fill what is left of it (`Usage.shortened`).

        Raises `ProviderError` after the configured attempts, at once for refusals (400, 401, 403, 404 and the like);
        `TaskError` if the dialogue alone is longer than the model's context. While the server is down it waits.
        """
        overrides |= overrides.pop("extra_body", {})
        body = {**self._body, "messages": messages, **overrides}
        purpose = purpose or self.role
        try:
            return await self._persist(body, purpose)
        except TaskError:
            if body.pop("max_tokens", None) is None:
                raise
        # Without a limit servers give what is left, which is less than max_tokens. It cannot be reckoned from what they
        # say: vLLM stops counting the prompt where it no longer fits ("at least 4097 input tokens").
        completion = await self._persist(body, purpose)
        self._charge(purpose, Usage(shortened=1))
        return completion

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
            refused = isinstance(error.__cause__, Refused) and error.__cause__.status in UNKNOWN_PARAMETER
            if mode == "on" or not refused:
                raise
        completion = await self.chat(messages, **overrides)
        self.schema_refusals += 1
        return completion

    async def check(self) -> None:
        """One small call, so that a wrong address or key stops a run before its first task. Raises a fatal
        `ProviderError`, also where the server asks to wait too long; it does not wait for a server that is down."""
        for attempt in range(1, self.settings.attempts + 1):
            try:
                await self._probe()
                self._breaker.succeeded()
                return
            except Refused as error:
                raised = self._as_error(error)
                raise ProviderError(str(raised), fatal=True) from error
            except Transient as error:
                if self._asks_too_much(error):
                    raise ProviderError(self._asks_too_much(error), fatal=True) from error
                if attempt == self.settings.attempts:
                    raise ProviderError(str(self._exhausted(error, attempt)), fatal=True) from error
                pause = _backoff(error, attempt)
                if pause > LONGEST_BACKOFF_S:
                    _log.warning("%s asks to wait %.0f s (%s): nothing starts before", self, pause, error)
                await asyncio.sleep(pause)

    def answered(self, served: str | None) -> None:
        """Its server was checked for another role, and reported this model id."""
        self.served = served
        self._breaker.succeeded()

    async def close(self) -> None:
        await self._breaker.close()
        await self._client.close()

    async def _persist(self, body: dict[str, Any], purpose: str) -> Completion:
        """Try until there is a reply. What does not use up an attempt: to be told to slow down and for how long, and
        (a limited number of times) an attempt during an outage; both end after `give_up_after_s`."""
        attempts, throttled, spared = 0, 0, 0
        began = time.monotonic()
        while True:
            try:
                return await self._attempt(body, purpose)
            except GaveUp as error:
                limit = f"give_up_after_s is {self.settings.give_up_after_s:g}"
                raise ProviderError(f"{self} cannot be reached ({error}; {limit})") from error
            except Refused as error:
                raise self._as_error(error) from error
            except Transient as error:
                self._charge(purpose, Usage(retries=1))
                if self._asks_too_much(error):
                    raise ProviderError(self._asks_too_much(error)) from error
                patient = time.monotonic() - began < self.settings.give_up_after_s
                if error.throttled and error.retry_after is not None and patient:
                    throttled += 1
                    spared_now = True
                else:
                    attempts += 1
                    if error.outage and attempts >= self.settings.attempts:
                        self._breaker.failed_for_good(began)
                    spared_now = (
                        attempts >= self.settings.attempts and self._breaker.open and spared < self.settings.attempts
                    )
                    spared += spared_now
                if not spared_now and attempts >= self.settings.attempts:
                    raise self._exhausted(error, attempts) from error
                if not self._breaker.open:
                    await asyncio.sleep(_backoff(error, attempts + throttled))

    async def _attempt(self, body: dict[str, Any], purpose: str) -> Completion:
        """One attempt in its turn. Raises `Transient`, `Refused`, `GaveUp`."""
        characters = sum(len(message["content"]) for message in body["messages"])
        while True:
            await self._breaker.passage()
            set_aside = await self._rate.before(characters)
            async with self._slots:
                if self._breaker.open:  # meanwhile
                    continue
                try:
                    completion = await self._client.call(body)
                except Transient as error:
                    if error.outage:
                        self._breaker.failed(str(error))
                    raise
                except Refused:
                    self._breaker.succeeded()
                    raise
                self._breaker.succeeded()
            self._charge(purpose, completion.usage)
            self.served = completion.model or self.served
            self._rate.after(set_aside, completion.usage.tokens, completion.usage.generated)
            return completion

    def _charge(self, purpose: str, usage: Usage) -> None:
        self.usage.add(usage)
        charge(self.accounts, purpose, usage)
        charge_current(purpose, usage)

    def _probe_body(self) -> dict[str, Any]:
        messages: list[Message] = [{"role": "user", "content": "Say OK."}]
        return {**self._body, "messages": messages, "max_tokens": 4}

    async def _probe(self) -> None:
        completion = await self._client.call(self._probe_body())
        self.usage.add(completion.usage)
        charge(self.accounts, "check", completion.usage)
        self.served = completion.model or self.served

    def _asks_too_much(self, error: Transient) -> str:
        """Says so where the server asks to wait longer than anybody would; else empty."""
        limit = self.settings.give_up_after_s
        if error.retry_after is None or error.retry_after <= limit:
            return ""
        return f"{self} asks to wait {error.retry_after:.0f} s, and give_up_after_s is {limit:g}: {error}"

    def _exhausted(self, error: Transient, attempts: int) -> ProviderError:
        if str(error).startswith("HTTP "):
            return ProviderError(f"{self} answered {error} ({attempts} attempts)")
        return ProviderError(
            f"{self} cannot be reached, or does not answer as a chat server ({error}; {attempts} attempts): "
            f"is the server running, and is endpoints.{self.role}.base_url right?"
        )

    def _as_error(self, error: Refused) -> ProviderError | TaskError:
        if error.code == "context_length_exceeded" or TOO_LONG.search(str(error)):
            return TaskError(f"the dialogue no longer fits the context of the {self.role}: {error}")
        if error.status in (401, 403):
            variable = self.settings.api_key_env or "api_key_env (none is set)"
            return ProviderError(f"{self} refused the key ({error.status}): check {variable}", fatal=True)
        if error.status == 404:
            return ProviderError(
                f"{self}: not found (404): check base_url (it usually ends in /v1) and model: {error}", fatal=True
            )
        if error.code == "insufficient_quota":
            return ProviderError(f"{self}: the account's quota is used up: {error}", fatal=True)
        return ProviderError(f"{self} answered {error.status}: {error}")


def _backoff(error: Transient, attempt: int) -> float:
    """Seconds to wait after the attempt of this number (from 1): exponential with full jitter
    (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), or what the server asks for where that is longer
    (and up to a tenth more, so that not all come back at once). Some ask for 0 s, however often they are asked."""
    own = random.uniform(0, min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempt - 1, 30)))
    return own if error.retry_after is None else max(own, error.retry_after * random.uniform(1, 1.1))
