"""What the rollouts of one agent-loop worker share: the interpreter, the search, and the prefixes' live states.

The n rollouts of a prompt start from the same verified prefix. Its code runs once, in a session that every rollout
then forks; the session is closed when the last rollout that came for it has its fork.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rl_settings import RLSettings

from score.interpreter import Interpreter, Session
from score.tools import make_tools
from score.trajectory import Step


@dataclass
class _Prefix:
    """A prompt's prefix: its session once it ran, and how many rollouts still want a fork."""

    steps: Sequence[Step]
    waiting: int = 0
    session: Session | None = None
    differs: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Workbench:
    """Opens rollouts' sessions, at most `limits.sessions` at a time. For one asyncio loop."""

    def __init__(self, settings: RLSettings):
        self.settings = settings
        self.prefixes_run = 0
        self._tools = make_tools(settings.search)
        self._interpreter = Interpreter(settings.interpreter)
        self._started: asyncio.Future[Interpreter] | None = None
        self._slots = asyncio.Semaphore(settings.limits.sessions)
        self._prefixes: dict[str, _Prefix] = {}

    @asynccontextmanager
    async def session(self, prompt: str, steps: Sequence[Step]) -> AsyncIterator[tuple[Session, bool]]:
        """A session in the state that `steps` leave behind, and whether that run printed something else than they
        record. `prompt` names the prefix: it is run once for all that ask for it before the first has its fork.
        Raises `InterpreterError`."""
        prefix = self._prefixes.setdefault(prompt, _Prefix(steps))
        prefix.waiting += 1  # before the first await: a prompt's rollouts all start in one turn of the event loop
        async with self._slots:
            try:
                session = await self._fork(prefix)
            finally:
                prefix.waiting -= 1
                if not prefix.waiting:
                    self._prefixes.pop(prompt, None)
                    if prefix.session is not None:
                        await prefix.session.close()
            try:
                yield session, prefix.differs
            finally:
                await session.close()

    async def _fork(self, prefix: _Prefix) -> Session:
        if not prefix.steps:
            return await (await self._ready()).open(self._tools)
        async with prefix.lock:  # a session does one thing at a time
            if prefix.session is None:
                prefix.session = await self._run(prefix)
            return await prefix.session.fork()

    async def _run(self, prefix: _Prefix) -> Session:
        session = await (await self._ready()).open(self._tools)
        self.prefixes_run += 1
        try:
            for step in prefix.steps:
                if step.code.strip():
                    result = await session.run(step.code)
                    prefix.differs |= result.observation.strip() != step.observation.strip()
        except BaseException:
            await session.close()
            raise
        return session

    async def _ready(self) -> Interpreter:
        """The interpreter, started once and off the event loop: it imports what the student may expect."""
        if self._started is None:
            self._started = asyncio.ensure_future(asyncio.to_thread(self._interpreter.start))
        return await asyncio.shield(self._started)
