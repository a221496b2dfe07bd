"""What the rollouts of one agent-loop worker share: the interpreter, the tools, and the prefixes' live states.

The n rollouts of a prompt start from the same verified prefix. Its code runs once, in a session that every rollout
then forks. What the teacher's step and the old mistake do is looked at in forks of it too, once per prompt. All of
them are closed when the last rollout is done.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prefix import Difference, Prefix, Tool, replay
from reward.effects import Effect, Variables, effect, variables
from rl_settings import RLSettings

from score.interpreter import Interpreter, Session
from score.tools import make_tools


@dataclass
class _State:
    """A prefix's live state: the session in which it ran, its variables, and what steps do from there, by code."""

    prefix: Prefix
    session: Session | None = None
    difference: Difference | None = None
    known: Variables | None = None
    effects: dict[str, Effect] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # a session does one thing at a time


@dataclass
class _Prompt:
    """A prompt's states: where its rollouts start, and where its key step was made (the same, but in long horizons)."""

    start: _State
    key: _State
    users: int = 0
    forks: list[Session] = field(default_factory=list)


class Place:
    """A rollout's own session, opened when it is first needed; `difference` and `ran_prefix` are known after that."""

    def __init__(self, bench: "Workbench", prompt: _Prompt):
        self._bench, self._prompt = bench, prompt
        self.ran_prefix = False
        self._session: asyncio.Future[Session] | None = None

    def session(self) -> "asyncio.Future[Session]":
        """The session, in the state that the prefix leaves behind. Raises `InterpreterError` or `ToolError`."""
        if self._session is None:
            self._session = asyncio.ensure_future(self._bench._fork(self))
        return self._session

    @property
    def difference(self) -> Difference | None:
        """Where the prefix printed something else than recorded."""
        return self._prompt.start.difference

    async def key_effect(self, code: str) -> Effect | None:
        """What `code` does where the key step was made; None where that prefix differs from its record.
        Raises `InterpreterError` or `ToolError`, and keeps nothing then."""
        return await self._bench._effect(self._prompt.key, code)

    async def own_effect(self, before: Session, code: str) -> Effect:
        """What `code` does from this rollout's own state `before`. Raises `InterpreterError` or
        `ToolError`."""
        return await effect(before, await variables(before), code)


class Workbench:
    """Opens rollouts' sessions, for at most `limits.sessions` rollouts at a time. For one asyncio loop.

    `extra` are tools beside `web_search` (verl's `tool_config`), by name. `prefixes_run` counts executions.
    """

    def __init__(self, settings: RLSettings, extra: Mapping[str, Tool] | None = None):
        self.prefixes_run = 0
        self._tools = {**make_tools(settings.search), **(extra or {})}
        self._interpreter = Interpreter(settings.interpreter)
        self._started: asyncio.Future[Interpreter] | None = None
        self._slots = asyncio.Semaphore(settings.limits.sessions)
        self._prompts: dict[str, _Prompt] = {}

    @asynccontextmanager
    async def place(self, name: str, start: Prefix, key: Prefix | None = None) -> AsyncIterator[Place]:
        """A place to work from the state that `start` leaves behind. `name` says which prompt it is: its prefix runs
        once for all that ask for it before the last of them is done. `key` is the prefix of the key step, where that
        is another one."""
        if (prompt := self._prompts.get(name)) is None:
            state = _State(start)
            prompt = self._prompts[name] = _Prompt(state, _State(key) if key is not None else state)
        prompt.users += 1  # before the first await: a prompt's rollouts all start in one turn of the event loop
        place = Place(self, prompt)
        try:
            async with self._slots:
                yield place
        finally:
            if place._session is not None:
                await asyncio.gather(place._session, return_exceptions=True)
            prompt.users -= 1
            if not prompt.users:
                # All at once, when none of them works any more: one kill instead of n.
                self._prompts.pop(name, None)
                for session in [*prompt.forks, prompt.start.session, prompt.key.session]:
                    if session is not None:
                        await session.close()

    async def close(self) -> None:
        """End the interpreter and every session of it."""
        if self._started is not None:
            await (await self._started).__aexit__()

    async def _fork(self, place: Place) -> Session:
        state, forks = place._prompt.start, place._prompt.forks
        if not state.prefix.steps:
            forks.append(await (await self._ready()).open(self._tools))
            return forks[-1]
        async with state.lock:
            place.ran_prefix = await self._ensure(state)
            assert state.session is not None
            forks.append(await state.session.fork())
            return forks[-1]

    async def _effect(self, state: _State, code: str) -> Effect | None:
        async with state.lock:
            await self._ensure(state)
            if state.difference is not None:
                return None
            assert state.session is not None
            if code not in state.effects:
                if not state.effects:
                    state.known = await variables(state.session)
                state.effects[code] = await effect(state.session, state.known, code)
            return state.effects[code]

    async def _ensure(self, state: _State) -> bool:
        """Run the prefix unless its session is there; says whether it ran. The caller holds the lock."""
        if state.session is not None:
            return False
        interpreter = await self._ready()
        done = await replay(interpreter.open, self._tools, state.prefix)
        state.session, state.difference = done.session, done.difference
        self.prefixes_run += bool(state.prefix.steps)
        return bool(state.prefix.steps)

    async def _ready(self) -> Interpreter:
        """The interpreter, started once and off the event loop: it imports what the student may expect."""
        if self._started is None:
            self._started = asyncio.ensure_future(asyncio.to_thread(self._interpreter.start))
        return await asyncio.shield(self._started)
