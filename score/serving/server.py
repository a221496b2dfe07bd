"""An OpenAI-compatible chat server over `AsyncEngine`: /v1/chat/completions, /v1/models, /health.

For the small students of the CPU road. Replies keep every tag and every space: they are decoded with special tokens and
without clean-up, and cut at the end of the turn. What is left out: several choices (n > 1), log-probabilities, tools.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from score.errors import ScoreError, SettingsError, TaskError
from score.serving.asynchronous import AsyncEngine
from score.serving.engine import Completion, Engine
from score.serving.sampling import Sampling


class ChatMessage(BaseModel):
    role: str
    content: str


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of OpenAI's request that is understood, with vLLM's additions (top_k, repetition_penalty). Other keys
    are let through unread, as clients send many. None: the model's generation_config.json decides."""

    model_config = ConfigDict(extra="ignore")

    messages: list[ChatMessage] = Field(min_length=1)
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


@dataclass
class Student:
    """A served model: its engine, its tokenizer and its defaults. `snapshot` is what replies call the model: its name
    and which weights it has, so that a run whose student was trained again notices (score/fingerprint.py)."""

    name: str
    snapshot: str
    engine: AsyncEngine
    tokenizer: PreTrainedTokenizerBase
    defaults: dict[str, Any]  # of Sampling, from generation_config.json
    end_of_turn: frozenset[int]

    @classmethod
    def load(cls, folder: str, name: str, max_batch: int) -> "Student":
        """From a Hugging Face folder; raises SettingsError if it holds no model or no chat template."""
        transformers_logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError) as error:
            raise SettingsError(f"--model {folder}: no model that can be loaded: {error}") from error
        if not tokenizer.chat_template:
            raise SettingsError(f"--model {folder}: its tokenizer has no chat template")
        config = model.generation_config
        ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        ends += [tokenizer.eos_token_id, tokenizer.get_vocab().get("<|im_end|>")]
        end_of_turn = frozenset(token for token in ends if token is not None)
        keys = ("temperature", "top_p", "top_k", "repetition_penalty")
        defaults = {key: value for key in keys if (value := getattr(config, key)) is not None}
        if config.max_new_tokens is not None:
            defaults["max_tokens"] = config.max_new_tokens
        pad = tokenizer.pad_token_id or 0
        engine = Engine(model, end_of_turn, pad, model.config.max_position_embeddings, max_batch)
        # The first calls of each kernel are slow: make them before anybody waits.
        engine.generate([[pad] * 8] * 2, [Sampling(max_tokens=4)] * 2)
        engine.reset()
        return cls(name, f"{name}-{_weights(model)}", AsyncEngine(engine), tokenizer, defaults, end_of_turn)

    def prompt(self, request: ChatRequest) -> list[int]:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def sampling(self, request: ChatRequest, prompt_tokens: int) -> Sampling:
        """The request's values, then the model's defaults; without a limit the reply may fill the context."""
        asked = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": max(request.top_k, 0) if request.top_k is not None else None,  # -1 is vLLM's "off"
            "repetition_penalty": request.repetition_penalty,
            "max_tokens": request.max_completion_tokens or request.max_tokens,
            "seed": request.seed,
        }
        room = max(self.engine.engine.max_context - prompt_tokens, 1)
        values = {"max_tokens": room} | self.defaults | {key: v for key, v in asked.items() if v is not None}
        if asked["max_tokens"] is None:
            values["max_tokens"] = min(values["max_tokens"], room)
        return Sampling(**values)

    def text(self, ids: list[int]) -> str:
        """The reply as it was written, without the end of the turn."""
        ids = ids[:-1] if ids and ids[-1] in self.end_of_turn else ids
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def _weights(model: PreTrainedModel) -> str:
    """A short hash of a model's weights on the CPU."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:8]


def first_stop(text: str, stops: list[str]) -> int | None:
    """Where the earliest stop string begins, or None."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


def reply_json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status_code=status, media_type="application/json")


def error_json(status: int, message: str, code: str | None = None, param: str | None = None) -> Response:
    """An error as OpenAI's clients expect it."""
    kind = {401: "authentication_error", 500: "server_error"}.get(status, "invalid_request_error")
    return reply_json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def usage(prompt: int, reply: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def create_app(student: Student, api_key: str | None = None) -> FastAPI:
    """The server's routes; with `api_key`, /v1 asks for it as a bearer token."""
    app = FastAPI(title="score.serving", docs_url=None, redoc_url=None, openapi_url=None)
    created = int(time.time())

    def unauthorised(http: Request) -> Response | None:
        given = http.headers.get("authorization", "").removeprefix("Bearer ")
        if api_key is None or secrets.compare_digest(given.encode(), api_key.encode()):
            return None
        return error_json(401, "the API key is missing or wrong", "invalid_api_key")

    @app.get("/health")
    async def health() -> Response:
        return reply_json({"status": "ok", "model": student.name})

    @app.get("/v1/models")
    async def models(http: Request) -> Response:
        entry = {"id": student.name, "object": "model", "created": created, "owned_by": "score"}
        return unauthorised(http) or reply_json({"object": "list", "data": [entry]})

    @app.post("/v1/chat/completions")
    async def chat(http: Request) -> Response:
        if (refused := unauthorised(http)) is not None:
            return refused
        try:
            request = ChatRequest.model_validate_json(await http.body())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return error_json(400, f"{where}: {first['msg']}", "invalid_value", where)
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": student.snapshot}
        try:
            prompt = student.prompt(request)
            sampling = student.sampling(request, len(prompt))
            if request.stream:
                student.engine.engine.prepare(prompt, sampling)  # refuse before the stream begins
                stream = stream_reply(student, request, prompt, sampling, head)
                return StreamingResponse(stream, media_type="text/event-stream")
            completion, text = await whole_reply(student, request, prompt, sampling)
        except TaskError as error:
            return error_json(400, str(error), "context_length_exceeded", "messages")
        except SettingsError as error:
            return error_json(400, str(error), "invalid_value")
        except ScoreError as error:
            return error_json(500, str(error))
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}
        counts = usage(len(prompt), len(completion.token_ids))
        return reply_json(head | {"object": "chat.completion", "choices": [choice], "usage": counts})

    return app


def stops_of(request: ChatRequest) -> list[str]:
    """The stop strings; an empty one, which every text holds, is none."""
    asked = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return [stop for stop in asked if stop]


async def whole_reply(
    student: Student, request: ChatRequest, prompt: list[int], sampling: Sampling
) -> tuple[Completion, str]:
    """The completion and its text, cut before the first stop string."""
    stops = stops_of(request)
    watch: Callable[[list[int]], bool] | None = None
    if stops:
        watch = lambda ids: first_stop(student.text(ids), stops) is not None  # noqa: E731
    completion = await student.engine.generate(prompt, sampling, watch)
    text = student.text(completion.token_ids)
    return completion, text[: first_stop(text, stops)]


async def stream_reply(
    student: Student, request: ChatRequest, prompt: list[int], sampling: Sampling, head: dict[str, Any]
) -> AsyncIterator[str]:
    """Server-sent events: the text as it grows, the reason it ended, the usage if asked for, [DONE]."""
    loop, texts, stops = asyncio.get_running_loop(), asyncio.Queue[str | None](), stops_of(request)

    def watch(ids: list[int]) -> bool:
        text = student.text(ids)
        loop.call_soon_threadsafe(texts.put_nowait, text)
        return first_stop(text, stops) is not None

    def event(delta: dict[str, str], reason: str | None = None, **more: Any) -> str:
        choices = [] if more else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        body = head | {"object": "chat.completion.chunk", "choices": choices} | more
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    running = asyncio.ensure_future(student.engine.generate(prompt, sampling, watch))
    running.add_done_callback(lambda _: texts.put_nowait(None))
    # Text that a stop string or an unfinished character might still change is held back.
    held, sent = max((len(stop) - 1 for stop in stops), default=0), 0
    try:
        yield event({"role": "assistant", "content": ""})
        while (text := await texts.get()) is not None:
            ready = text[: first_stop(text, stops)] if stops else text
            ready = ready[: len(ready) - held].rstrip("\ufffd")
            if len(ready) > sent:
                yield event({"content": ready[sent:]})
                sent = len(ready)
        completion = await running
        text = student.text(completion.token_ids)
        text = text[: first_stop(text, stops)]
        if len(text) > sent:
            yield event({"content": text[sent:]})
        yield event({}, completion.finish_reason)
        if request.stream_options and request.stream_options.include_usage:
            yield event({}, usage=usage(len(prompt), len(completion.token_ids)))
    except ScoreError as error:
        yield f"data: {json.dumps({'error': {'message': str(error), 'type': 'server_error', 'code': None}})}\n\n"
    finally:
        running.cancel()  # the client may have gone
    yield "data: [DONE]\n\n"
