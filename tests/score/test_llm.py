"""An endpoint's calls and what they cost."""

import asyncio

import pytest

from score.errors import ProviderError, TaskError
from score.llm import Completion, Endpoint, EndpointSettings, Sampling, Usage
from tests.chat_server import ChatServer


def used(server: ChatServer, calls: int = 2) -> Usage:
    async def scene() -> Usage:
        endpoint = Endpoint("teacher", EndpointSettings(base_url=server.address, model="scripted", attempts=1))
        try:
            for _ in range(calls):
                await endpoint.chat([{"role": "user", "content": "?"}])
        finally:
            await endpoint.close()
        return endpoint.usage

    try:
        return asyncio.run(scene())
    finally:
        server.close()


def test_calls_and_the_servers_counts_are_summed() -> None:
    usage = used(ChatServer(["yes"]))
    assert (usage.calls, usage.prompt_tokens, usage.generated, usage.uncounted) == (2, 20, 10, 0)


def test_calls_without_counts_are_unknown_and_not_0() -> None:
    usage = used(ChatServer(["yes"], counts=False))
    assert (usage.calls, usage.generated, usage.uncounted) == (2, None, 2)


def test_a_refusal_is_a_provider_error_and_costs_nothing() -> None:
    with pytest.raises(ProviderError, match="teacher"):
        used(ChatServer([], status=403))


NO_ROOM = {
    "vLLM": "This model's maximum context length is 8192 tokens. However, you requested 4096 output tokens and your prompt "
    "contains at least 4097 input tokens, for a total of at least 8193 tokens. Please reduce the length of the input "
    "prompt or the number of requested output tokens.",
    "vLLM, by characters": "This model's maximum context length is 8192 tokens. However, you requested 4096 output tokens "
    "and your prompt contains 99999 characters (more than 81920 characters, which is the upper bound for 4096 input "
    "tokens). Please reduce the length of the input prompt or the number of requested output tokens.",
    "SGLang": "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of "
    "9096 tokens: 5000 tokens from the input messages and 4096 tokens for the completion. Please reduce the number of "
    "tokens in the input messages or the completion to fit within the limit.",
    "OpenAI": "This model's maximum context length is 8192 tokens. However, you requested 9096 tokens (5000 in the "
    "messages, 4096 in the completion). Please reduce the length of the messages or completion.",
}
NO_ROOM_AT_ALL = {
    "vLLM": "This model's maximum context length is 8192 tokens. However, you requested 0 output tokens and your prompt "
    "contains at least 8193 input tokens, for a total of at least 8193 tokens. Please reduce the length of the input "
    "prompt or the number of requested output tokens.",
    "vLLM, full to the last token": "max_tokens must be at least 1, got 0.",
    "SGLang": "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
}
LIMITED = Sampling(temperature=0.6, max_tokens=4096)


def asked(server: ChatServer) -> tuple[Completion | BaseException, Endpoint]:
    """The reply to one call with `max_tokens`, or what it raised."""

    async def scene() -> tuple[Completion | BaseException, Endpoint]:
        endpoint = Endpoint("student", EndpointSettings(base_url=server.address, model="scripted", sampling=LIMITED))
        try:
            call = endpoint.chat([{"role": "user", "content": "?"}], seed=3)
            return (await asyncio.gather(call, return_exceptions=True))[0], endpoint
        finally:
            await endpoint.close()

    try:
        return asyncio.run(scene())
    finally:
        server.close()


@pytest.mark.parametrize("refusal", NO_ROOM.values(), ids=NO_ROOM)
def test_a_dialogue_with_less_room_than_max_tokens_gets_what_is_left(refusal: str) -> None:
    server = ChatServer(["yes"], refuses="max_tokens", refusal=refusal)
    reply, endpoint = asked(server)
    assert isinstance(reply, Completion) and reply.text == "yes"
    first, second = server.bodies
    assert second == {key: value for key, value in first.items() if key != "max_tokens"}
    assert (endpoint.usage.calls, endpoint.usage.shortened) == (1, 1)


@pytest.mark.parametrize("refusal", NO_ROOM_AT_ALL.values(), ids=NO_ROOM_AT_ALL)
def test_a_dialogue_that_does_not_fit_by_itself_is_out_of_context(refusal: str) -> None:
    server = ChatServer([], refuses="model", refusal=refusal)
    reply, endpoint = asked(server)
    assert isinstance(reply, TaskError) and len(server.bodies) == 2 and endpoint.usage.shortened == 0
