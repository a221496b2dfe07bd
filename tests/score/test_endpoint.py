"""What an endpoint does when its server has a bad day: retries, waiting as told, pausing during an outage."""

import asyncio
import email.utils
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest

from score.errors import ProviderError, TaskError
from score.llm import Completion, Endpoint, EndpointSettings
from score.llm.limits import RateLimit
from tests.conftest import free_port
from tests.moody_server import FINE, Mood, MoodyServer, completion

ASK: Any = [{"role": "user", "content": "?"}]


@pytest.fixture
def servers() -> Iterator[list[MoodyServer]]:
    started: list[MoodyServer] = []
    yield started
    for server in started:
        server.close()


def ask(address: str, calls: int = 1, **settings: Any) -> tuple[list[Completion | BaseException], Endpoint]:
    """Make calls at the same time; their results, or what they raised."""

    async def scene() -> tuple[list[Completion | BaseException], Endpoint]:
        endpoint = Endpoint("teacher", EndpointSettings(base_url=address, model="m", **settings))
        try:
            return await asyncio.gather(*(endpoint.chat(ASK) for _ in range(calls)), return_exceptions=True), endpoint
        finally:
            await endpoint.close()

    return asyncio.run(scene())


def serve(servers: list[MoodyServer], *moods: Mood) -> MoodyServer:
    servers.append(MoodyServer(moods or (FINE,)))
    return servers[-1]


BAD_DAYS = {
    "a 500": Mood(500, body=b'{"error": {"message": "oops"}}'),
    "a 408": Mood(408),
    "a 409": Mood(409),
    "a 429": Mood(429, body=b'{"error": {"message": "slow down"}}'),
    "a cut connection": Mood(cut=True),
    "truncated JSON": Mood(body=completion("yes")[:60]),
    "HTML": Mood(headers={"Content-Type": "text/html"}, body=b"<html><body>Bad gateway</body></html>"),
    "JSON that is no completion": Mood(body=b'{"status": "warming up"}'),
    "a reply without content": Mood(
        body=b'{"choices": [{"message": {"content": null}, "finish_reason": "tool_calls"}]}'
    ),
    "a hang": Mood(delay_s=1.5),
}


@pytest.mark.parametrize("mood", BAD_DAYS.values(), ids=BAD_DAYS)
def test_a_passing_failure_is_tried_again(servers: list[MoodyServer], mood: Mood) -> None:
    server = serve(servers, mood, FINE)
    (reply,), endpoint = ask(server.address, timeout_s=0.5)
    assert isinstance(reply, Completion) and reply.text == "yes"
    assert len(server.asked) == 2 and endpoint.usage.calls == 1 and endpoint.usage.retries == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_tried_again(servers: list[MoodyServer], status: int) -> None:
    server = serve(servers, Mood(status))
    (error,), _ = ask(server.address)
    assert isinstance(error, ProviderError) and error.fatal == (status != 400)
    assert len(server.asked) == 1


def test_a_dialogue_longer_than_the_context_is_the_tasks_failure(servers: list[MoodyServer]) -> None:
    body = b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'
    server = serve(servers, Mood(400, body=body))
    assert isinstance(ask(server.address)[0][0], TaskError) and len(server.asked) == 1


def test_attempts_end(servers: list[MoodyServer]) -> None:
    server = serve(servers, Mood(409))
    (error,), _ = ask(server.address, attempts=3)
    assert isinstance(error, ProviderError) and "409" in str(error) and len(server.asked) == 3


@pytest.mark.parametrize("form", ["seconds", "HTTP date"])
def test_retry_after_is_waited_for(servers: list[MoodyServer], form: str) -> None:
    # A date has whole seconds: two of them are at least one.
    asked = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
    server = serve(servers, Mood(503, headers={"Retry-After": asked}), FINE)
    (reply,), _ = ask(server.address)
    assert isinstance(reply, Completion)
    assert 0.9 < server.asked[1] - server.asked[0] < 4


def test_being_told_to_slow_down_uses_up_no_attempt(
    servers: list[MoodyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("score.llm.endpoint.FIRST_BACKOFF_S", 0.01)
    server = serve(servers, *[Mood(429, headers={"Retry-After": "0.01"})] * 6, FINE)
    (reply,), _ = ask(server.address, attempts=2)
    assert isinstance(reply, Completion) and len(server.asked) == 7


def test_a_server_that_says_slow_down_for_0_s_is_not_hammered(
    servers: list[MoodyServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("score.llm.endpoint.FIRST_BACKOFF_S", 0.05)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    server = serve(servers, *[Mood(429, headers={"Retry-After": "0"})] * 5, FINE)
    (reply,), _ = ask(server.address)
    assert isinstance(reply, Completion)
    pauses = [later - earlier for earlier, later in pairwise(server.asked)]
    assert all(pause > 0.049 * 2**number for number, pause in enumerate(pauses)) and sum(pauses) < 10


def test_the_check_does_not_wait_longer_than_give_up_after_s(servers: list[MoodyServer]) -> None:
    asked = Mood(429, headers={"Retry-After": "86400"})
    with pytest.raises(ProviderError, match="asks to wait 86400 s, and give_up_after_s is 1800") as raised:
        asked_after_a_check(servers, [], checked=asked)
    assert raised.value.fatal and len(servers[0].asked) == 1


def test_a_quota_that_is_used_up_stops_the_run(servers: list[MoodyServer]) -> None:
    server = serve(servers, Mood(429, body=b'{"error": {"message": "no money", "code": "insufficient_quota"}}'))
    (error,), _ = ask(server.address)
    assert isinstance(error, ProviderError) and error.fatal and len(server.asked) == 1


def test_concurrency_is_bounded(servers: list[MoodyServer]) -> None:
    server = serve(servers, Mood(delay_s=0.02))
    replies, _ = ask(server.address, calls=20, concurrency=3)
    assert len(replies) == 20 and server.most_at_once <= 3


def test_requests_per_minute_are_spread(servers: list[MoodyServer]) -> None:
    server = serve(servers)
    ask(server.address, calls=8, requests_per_minute=600)  # 10 a second, of which the first ten may go at once
    assert len(server.asked) == 8
    ask(server.address, calls=25, requests_per_minute=600)
    later = server.asked[8:]
    assert later[-1] - later[0] > 1.3  # 15 more than the bucket holds, at 10 a second


def test_tokens_per_minute_are_spread(servers: list[MoodyServer]) -> None:
    server = serve(servers)
    # A second's bucket holds 2000 tokens, and each call sets aside a thousand for a reply of unknown length.
    ask(server.address, calls=3, tokens_per_minute=120_000)
    assert server.asked[2] - server.asked[0] > 0.4


def test_tokens_beyond_a_bucket_are_waited_for_too() -> None:
    async def scene() -> list[float]:
        limit = RateLimit(None, 60_000)
        times = [time.monotonic()]
        set_aside = await limit.before(4_000)  # 1000 tokens and 1000 for the reply, of which the bucket holds 1000
        times.append(time.monotonic())
        limit.after(set_aside, tokens=2_500, written=500)
        await limit.before(0)  # 500 for the reply, and the 500 that were too few
        return [*times, time.monotonic()]

    began, first, second = asyncio.run(scene())
    assert first - began > 0.9 and second - first > 0.9


def test_a_long_prompt_is_not_overtaken_for_ever() -> None:
    async def scene() -> list[str]:
        limit, order = RateLimit(None, 600_000), list[str]()

        async def call(name: str, characters: int) -> None:
            await limit.before(characters)
            order.append(name)

        await asyncio.gather(call("long", 76_000), *(call("short", 0) for _ in range(2)))
        return order

    assert asyncio.run(scene()) == ["long", "short", "short"]


async def an_endpoint_that_went_down(port: int, **settings: Any) -> Endpoint:
    address = f"http://127.0.0.1:{port}/v1"
    endpoint = Endpoint("teacher", EndpointSettings(base_url=address, model="m", **settings))
    server = MoodyServer(port=port)
    try:
        await endpoint.check()
    finally:
        server.close()
    return endpoint


def test_an_outage_pauses_all_and_probes_one_at_a_time() -> None:
    port = free_port()

    async def scene() -> tuple[Sequence[Completion], Endpoint, MoodyServer, str]:
        endpoint = await an_endpoint_that_went_down(port, attempts=2)
        calls = [asyncio.ensure_future(endpoint.chat(ASK)) for _ in range(50)]
        while not endpoint.paused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.5)
        note = endpoint.note
        assert not any(call.done() for call in calls), "nothing fails while the server is down"
        server = MoodyServer(port=port)
        try:
            return await asyncio.gather(*calls), endpoint, server, note
        finally:
            await endpoint.close()
            server.close()

    replies, endpoint, server, note = asyncio.run(scene())
    assert len(replies) == 50 and endpoint.note == ""
    assert "DOWN" in note and endpoint.settings.base_url in note
    assert len(server.asked) == 51  # the probe, then each call once


def test_a_single_caller_waits_too() -> None:
    """It would use up its attempts long before `outage_after` failures in a row."""
    port = free_port()

    async def scene() -> Completion:
        endpoint = await an_endpoint_that_went_down(port, attempts=2)
        call = asyncio.ensure_future(endpoint.chat(ASK))
        while not endpoint.paused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        server = MoodyServer(port=port)
        try:
            return await call
        finally:
            await endpoint.close()
            server.close()

    assert asyncio.run(scene()).text == "yes"


def test_after_give_up_after_s_calls_fail_as_provider_errors() -> None:
    async def scene() -> list[Completion | BaseException]:
        endpoint = await an_endpoint_that_went_down(free_port(), attempts=2, give_up_after_s=0.5)
        try:
            return await asyncio.gather(*(endpoint.chat(ASK) for _ in range(5)), return_exceptions=True)
        finally:
            await endpoint.close()

    began = time.monotonic()
    errors = asyncio.run(scene())
    assert all(isinstance(error, ProviderError) and not error.fatal for error in errors)
    assert "give_up_after_s" in str(errors[0]) and time.monotonic() - began < 20


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    errors, _ = ask(f"http://127.0.0.1:{free_port()}/v1", calls=30, attempts=2)
    assert all(isinstance(error, ProviderError) and "base_url" in str(error) for error in errors)


def test_single_failures_among_many_calls_are_no_outage(servers: list[MoodyServer]) -> None:
    server = serve(servers, *[FINE, FINE, FINE, Mood(500)] * 50)
    replies, endpoint = ask(server.address, calls=60)
    assert all(isinstance(reply, Completion) for reply in replies)
    assert "check" not in endpoint.accounts, "no probe went out"


def test_a_prompt_that_the_server_always_chokes_on_fails_alone(servers: list[MoodyServer]) -> None:
    """With one caller its failures look like an outage; the probe shows that it is none."""
    error, server = asked_after_a_check(servers, [Mood(500), Mood(500), FINE, Mood(500)], attempts=2)
    assert isinstance(error, ProviderError) and "500" in str(error)
    assert len(server.asked) == 1 + 4  # the check, two attempts, the probe, one more attempt


def test_a_server_that_answers_only_probes_is_given_up(servers: list[MoodyServer]) -> None:
    """Each outage seems to end, and begins again with the next real call."""
    error, server = asked_after_a_check(servers, [Mood(500), FINE] * 20, attempts=1, outage_after=1)
    assert isinstance(error, ProviderError) and len(server.asked) < 8


def asked_after_a_check(
    servers: list[MoodyServer], moods: list[Mood], checked: Mood = FINE, **settings: Any
) -> tuple[Completion | BaseException, MoodyServer]:
    server = serve(servers, checked, *moods)

    async def scene() -> Completion | BaseException:
        endpoint = Endpoint("teacher", EndpointSettings(base_url=server.address, model="m", **settings))
        try:
            await endpoint.check()
            return (await asyncio.gather(endpoint.chat(ASK), return_exceptions=True))[0]
        finally:
            await endpoint.close()

    return asyncio.run(scene()), server


def test_a_streamed_reply_that_was_cut_is_tried_again(servers: list[MoodyServer]) -> None:
    def event(text: str, reason: str | None) -> bytes:
        choice = f'{{"index": 0, "delta": {{"content": "{text}"}}, "finish_reason": {f"{chr(34)}{reason}{chr(34)}" if reason else "null"}}}'
        return f'data: {{"model": "moody", "choices": [{choice}]}}\n\n'.encode()

    whole = event("ye", None) + event("s", "stop") + b"data: [DONE]\n\n"
    server = serve(servers, Mood(body=event("ye", None)), Mood(body=whole))
    (reply,), endpoint = ask(server.address, stream=True)
    assert isinstance(reply, Completion) and reply.text == "yes" and len(server.asked) == 2
    assert endpoint.usage.uncounted == 1 and endpoint.served == "moody" and not reply.cut
    server = serve(servers, Mood(body=event("ye", None) + event("s", "length")))
    (reply,), _ = ask(server.address, stream=True)
    assert isinstance(reply, Completion) and reply.cut


THOUGHT = b'{"role": "assistant", "content": null, "reasoning_content": "Hm"}, "finish_reason": "length"}]'
USED = b'"usage": {"prompt_tokens": 10, "completion_tokens": 4}}'


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_is_cut_while_it_thinks_has_answered(servers: list[MoodyServer], stream: bool) -> None:
    """With a reasoning parser vLLM sends no content then. The check's few tokens always end so."""
    whole = b'{"choices": [{"message": ' + THOUGHT + b", " + USED
    events = (
        b'data: {"choices": [{"delta": ' + THOUGHT + b'}\n\ndata: {"choices": [], ' + USED + b"\n\ndata: [DONE]\n\n"
    )
    cut = Mood(body=events if stream else whole)
    reply, server = asked_after_a_check(servers, [cut], checked=cut, stream=stream)
    assert isinstance(reply, Completion) and reply.cut and reply.text == ""
    assert reply.usage.tokens == 14 and len(server.asked) == 2
