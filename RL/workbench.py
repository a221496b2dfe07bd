"""What the rollouts of one agent-loop worker share: the interpreter, the search, and the prefixes' live states.

The n rollouts of a prompt start from the same verified prefix. Its code runs once, in a session that every rollout
then forks; all of them are closed when the last rollout is done.
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
    """A prompt's prefix: the session in which it ran, the forks of it, and how many rollouts use them."""

    steps: Sequence[Step]
    users: int = 0
    session: Session | None = None
    forks: list[Session] = field(default_factory=list)
    differs: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Workbench:
    """Opens rollouts' sessions, for at most `limits.sessions` rollouts at a time. For one asyncio loop."""

    def __init__(self, settings: RLSettings):
        self.prefixes_run = 0
        self._tools = make_tools(settings.search)
        self._interpreter = Interpreter(settings.interpreter)
        self._started: asyncio.Future[Interpreter] | None = None
        self._slots = asyncio.Semaphore(settings.limits.sessions)
        self._prefixes: dict[str, _Prefix] = {}

    @asynccontextmanager
    async def session(self, prompt: str, steps: Sequence[Step]) -> AsyncIterator[tuple[Session, bool]]:
        """A session in the state that `steps` leave behind, and whether that run printed something else than they
        record. `prompt` names the prefix: it is run once for all that ask for it before the last of them is done.
        Raises `InterpreterError`."""
        prefix = self._prefixes.setdefault(prompt, _Prefix(steps))
        prefix.users += 1  # before the first await: a prompt's rollouts all start in one turn of the event loop
        try:
            async with self._slots:
                yield await self._fork(prefix), prefix.differs
        finally:
            prefix.users -= 1
            if not prefix.users:
                # All at once, when none of them works any more: one kill instead of n.
                self._prefixes.pop(prompt, None)
                for session in [*prefix.forks, prefix.session]:
                    if session is not None:
                        await session.close()

    async def _fork(self, prefix: _Prefix) -> Session:
        if not prefix.steps:
            fresh = await (await self._ready()).open(self._tools)
            prefix.forks.append(fresh)
            return fresh
        async with prefix.lock:  # a session does one thing at a time
            if prefix.session is None:
                prefix.session = await self._run(prefix)
            prefix.forks.append(await prefix.session.fork())
            return prefix.forks[-1]

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
