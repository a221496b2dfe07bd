"""An endpoint's calls and what they cost."""

import asyncio

import pytest

from score.errors import ProviderError
from score.llm import Endpoint, EndpointSettings, Usage
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
