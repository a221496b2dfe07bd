"""A channel waits for what comes and loses nothing, on both kinds of event loop that the scripts run on."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from score.interpreter.channel import Channel, ChannelClosed
from score.interpreter.inside import wire

Run = Callable[[Coroutine[Any, Any, Any]], Any]
LONG_S = 20.0


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def soon() -> float:
    return asyncio.get_running_loop().time() + 0.05


def test_both_ends_talk_in_turn(run: Run) -> None:
    async def whole() -> None:
        ours, theirs = map(Channel, socket.socketpair())

        async def echo() -> None:
            for _ in range(20):
                await theirs.send(wire.pack(await theirs.receive()))

        answering = asyncio.create_task(echo())
        for n in range(20):
            await ours.send(wire.pack({"n": n}))
            assert await ours.receive(asyncio.get_running_loop().time() + LONG_S) == {"n": n}
        await answering

    run(whole())


def test_a_wait_that_ended_too_early_or_was_cancelled_loses_nothing(run: Run) -> None:
    async def whole() -> None:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        half = wire.pack({"n": 1})
        theirs.sendall(half[:5])
        with pytest.raises(TimeoutError):
            await channel.receive(soon())
        waiting = asyncio.create_task(channel.receive())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        theirs.sendall(half[5:] + wire.pack({"n": 2}))
        assert await channel.receive() == {"n": 1}
        assert await channel.receive() == {"n": 2}
        theirs.close()
        with pytest.raises(ChannelClosed):
            await channel.receive()

    run(whole())


def test_what_nobody_waits_for_keeps_no_loop_busy(run: Run) -> None:
    """The loop goes on watching the socket after a message; the next one lies there unread, as long as we like."""

    async def whole() -> float:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        first = asyncio.create_task(channel.receive())
        await asyncio.sleep(0.05)
        theirs.sendall(wire.pack({"n": 1}))
        assert await first == {"n": 1}
        theirs.sendall(wire.pack({"n": 2}))
        began = time.process_time()
        await asyncio.sleep(0.5)
        spent = time.process_time() - began
        assert await channel.receive() == {"n": 2}
        return spent

    assert run(whole()) < 0.1  # of CPU; a loop that is called for it again and again takes all of the half second


def test_who_floods_the_socket_is_held_back_and_fills_no_memory(run: Run) -> None:
    async def whole() -> int:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        theirs.sendall(wire.pack({"n": 1}))
        assert await channel.receive() == {"n": 1}
        theirs.setblocking(False)
        taken = 0
        for _ in range(50):
            with contextlib.suppress(BlockingIOError):
                while taken < 2**26:
                    taken += theirs.send(bytes(2**16))
            await asyncio.sleep(0.005)
        return taken

    assert run(whole()) < 2**23  # what the kernel's buffers hold, of the 64 MB that were tried


def test_an_end_that_comes_during_a_wait_is_told_to_the_one_who_waits(run: Run) -> None:
    async def whole() -> None:
        for begun in (b"", wire.pack({"n": 1})[:-2]):
            ours, theirs = socket.socketpair()
            waiting = asyncio.create_task(Channel(ours).receive())
            await asyncio.sleep(0.02)
            theirs.sendall(begun)
            await asyncio.sleep(0.02)
            theirs.close()
            with pytest.raises(ChannelClosed):
                await asyncio.wait_for(waiting, LONG_S)

    run(whole())


def test_what_came_in_time_is_heard_by_a_loop_that_was_too_busy_to_look(run: Run) -> None:
    async def whole() -> None:
        ours, theirs = socket.socketpair()
        deadline = soon()
        waiting = asyncio.create_task(Channel(ours).receive(deadline))
        await asyncio.sleep(0.01)
        theirs.sendall(wire.pack({"n": 1}))
        time.sleep(0.1)  # noqa: ASYNC251 - the whole loop stands
        assert await waiting == {"n": 1}

    run(whole())


def test_a_socket_that_takes_the_number_of_a_closed_one_is_heard(run: Run) -> None:
    async def whole() -> None:
        for _ in range(3):
            ours, theirs = socket.socketpair()  # the same two numbers each time
            channel = Channel(ours)
            waiting = asyncio.create_task(channel.receive())
            await asyncio.sleep(0.02)
            theirs.sendall(wire.pack({"fd": ours.fileno()}))
            assert await asyncio.wait_for(waiting, LONG_S) == {"fd": ours.fileno()}
            channel.close()
            theirs.close()
            with pytest.raises(ChannelClosed):
                await channel.receive()

    run(whole())


def test_a_channel_goes_on_in_the_next_loop(run: Run) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)

    async def hear(n: int) -> Any:
        waiting = asyncio.create_task(channel.receive())
        await asyncio.sleep(0.02)
        theirs.sendall(wire.pack({"n": n}))
        return await asyncio.wait_for(waiting, LONG_S)

    assert [run(hear(n)) for n in (1, 2)] == [{"n": 1}, {"n": 2}]
    channel.close()  # without a loop
    assert ours.fileno() < 0
