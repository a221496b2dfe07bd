"""An interpreter's session for each test, in every isolation that this machine has."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from score.interpreter import Interpreter, InterpreterSettings, Session
from score.interpreter.selfcheck import support

SUPPORT = support()
Play = Callable[..., Any]


@pytest.fixture(params=["limits", "strict"])
def isolation(request: pytest.FixtureRequest) -> str:
    if SUPPORT[request.param] != "yes":
        pytest.skip(f"isolation {request.param!r} does not work here: {SUPPORT[request.param]}")
    return request.param


@pytest.fixture
def play(isolation: str) -> Play:
    """`play(scene)` runs `await scene(session)` in a fresh session; settings and tools by keyword."""

    def run(scene: Callable[[Session], Awaitable[Any]], tools: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        async def whole() -> Any:
            given = {"preload": ["math"], "step_timeout_s": 20, **settings}
            async with Interpreter(InterpreterSettings(isolation=isolation, **given)) as interpreter:
                async with await interpreter.open(tools) as session:
                    return await scene(session)

        return asyncio.run(whole())

    return run


@pytest.fixture
def observe(play: Play) -> Callable[..., list[str]]:
    """`observe(code, code, ...)` runs the steps in one session: their observations."""

    def run(*steps: str, **options: Any) -> list[str]:
        async def scene(session: Session) -> list[str]:
            return [(await session.run(code)).observation for code in steps]

        return play(scene, **options)

    return run


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *args, **kwargs: None if name == "bwrap" else real(name))
