"""The interpreter for scripts without an event loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from score.interpreter.interpreter import Interpreter
from score.interpreter.result import StepResult
from score.interpreter.session import Session
from score.interpreter.settings import InterpreterSettings
from score.interpreter.tools import Tool

Result = TypeVar("Result")


class SyncSession:
    """A `Session` whose methods block. Made by `open_session` and `SyncSession.fork`."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop):
        self._session, self._loop = session, loop

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def run(self, code: str, timeout_s: float | None = None) -> StepResult:
        """See `Session.run`."""
        return self._wait(self._session.run(code, timeout_s))

    def fork(self) -> "SyncSession":
        """See `Session.fork`."""
        return SyncSession(self._wait(self._session.fork()), self._loop)

    def close(self) -> None:
        """See `Session.close`."""
        self._wait(self._session.close())


@contextmanager
def open_session(
    settings: InterpreterSettings | None = None, tools: Mapping[str, Tool] | None = None
) -> Iterator[SyncSession]:
    """One session with an interpreter of its own, which ends with the `with` block. Raises `InterpreterError`."""
    interpreter = Interpreter(settings).start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="interpreter", daemon=True)
    thread.start()
    try:
        session = asyncio.run_coroutine_threadsafe(interpreter.open(tools), loop).result()
        yield SyncSession(session, loop)
    finally:
        asyncio.run_coroutine_threadsafe(interpreter.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
