"""The interpreter: one warm server and the sessions that it opens."""

import asyncio
import os
import resource
import secrets
import socket
from collections.abc import Mapping
from typing import Literal

from score.errors import InterpreterError
from score.interpreter.channel import Channel, ChannelClosed
from score.interpreter.family import Endpoints, Family
from score.interpreter.inside import wire
from score.interpreter.isolation import Server, start_server
from score.interpreter.session import Session
from score.interpreter.settings import InterpreterSettings
from score.interpreter.tools import Tool


class Interpreter:
    """Opens sessions. Use it as an async context manager, or call `start()` and `close()`; from one asyncio loop.

    async with Interpreter() as interpreter:
        async with await interpreter.open({"web_search": search}) as session:
            print((await session.run("print(1 + 1)")).observation)
    """

    def __init__(self, settings: InterpreterSettings | None = None):
        self.settings = settings or InterpreterSettings()
        self._server: Server | None = None
        self._channel: Channel | None = None
        self._sessions: set[Session] = set()
        self._sending = asyncio.Lock()
        self._opened = 0

    @property
    def isolation(self) -> Literal["strict", "limits"]:
        """The isolation in force. Raises `InterpreterError` before the start."""
        return self._running().isolation

    @property
    def heap_shared(self) -> bool:
        """Whether sessions begin with pages of one file, which makes a fork of them two to three times as quick.

        Raises `InterpreterError` before the start.
        """
        return self._running().heap_shared

    def start(self) -> "Interpreter":
        """Start the server (0.5 to 3 s with sympy). Raises `InterpreterError`. Starting twice is allowed."""
        if self._server is None:
            # A session takes four of this process's file descriptors, and 1024 are often the most that are allowed
            # without asking.
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            self._server = start_server(self.settings)
            self._channel = Channel(self._server.control)
        return self

    def close(self) -> None:
        """End every session and the server; no process and no file of theirs is left."""
        for session in list(self._sessions):
            session.abandon()
        self._sessions.clear()
        if self._server is not None:
            self._server.stop()
        self._server = self._channel = None

    def _running(self) -> Server:
        if self._server is None:
            raise InterpreterError("the interpreter is not started: call start() or use `async with`")
        return self._server

    def private_folders(self) -> list[str]:
        """The sessions' private folders that the host can see: those of `limits`."""
        server = self._running()
        return sorted(os.listdir(server.directory)) if server.isolation == "limits" else []

    async def open(self, tools: Mapping[str, Tool] | None = None) -> Session:
        """A fresh session, in which the host's `tools` are plain functions by their names.

        Tools may be ordinary or async callables, and return text. Raises `InterpreterError`.
        """
        server, tools = self._running(), tools or {}
        if bad := [name for name in tools if not name.isidentifier() or name == "final_answer_print"]:
            raise InterpreterError(f"not usable as the name of a tool: {', '.join(map(repr, bad))}")
        self._opened += 1
        # The random part keeps a session from guessing its neighbours' directories in `limits`.
        family_directory = f"{server.directory}/{self._opened}-{secrets.token_hex(4)}"
        try:
            ours, theirs = socket.socketpair()
            ends = Endpoints()
        except OSError as error:
            raise InterpreterError(f"no file descriptors for session {len(self._sessions) + 1}: {error}") from None
        family = Family(ours, family_directory, self.settings)
        session = Session(family, family.new_number(), ends, tools, self._sessions)
        try:
            message = {"number": 0, "directory": f"{family_directory}-0"}
            async with self._sending:
                assert self._channel is not None
                await self._channel.send(wire.pack(message), (theirs.fileno(), *ends.theirs))
            theirs.close()
            ends.sent()
            await session.begin()
        except BaseException as error:
            theirs.close()
            self._sessions.discard(session)
            session.abandon()
            if isinstance(error, ChannelClosed):
                raise InterpreterError(f"the interpreter's server is gone: {error}") from None
            raise
        return session

    async def __aenter__(self) -> "Interpreter":
        return self.start()

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(session.close() for session in list(self._sessions)), return_exceptions=True)
        self.close()
