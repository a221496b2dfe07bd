"""A session and its forks share a keeper: what one of them does must not end another."""

import asyncio
from collections.abc import Callable
from typing import Any

from score.interpreter import Session


def test_closing_one_session_leaves_its_siblings_alive_while_they_fork_and_run(play: Callable[..., Any]) -> None:
    async def scene(base: Session) -> list[str]:
        await base.run("a = 3")
        forking = asyncio.Lock()  # a session does one thing at a time

        async def rollout() -> str:
            async with forking:
                fork = await base.fork()
            async with fork:
                await fork.run("b = a + 1")
                return (await fork.run("print(b)")).observation

        return await asyncio.gather(*(rollout() for _ in range(24)))

    assert play(scene) == ["4"] * 24


def test_a_whole_family_can_be_closed_at_once(play: Callable[..., Any]) -> None:
    async def scene(base: Session) -> None:
        chain = [base]
        for _ in range(4):
            chain.append(await chain[-1].fork())
        await asyncio.gather(*(session.close() for session in chain))

    for _ in range(3):
        play(scene)
