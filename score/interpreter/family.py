"""What the host holds of a session's processes: the keeper of its family, and the ends of its own sockets."""

import asyncio
import fcntl
import os
import socket
from typing import Any

from score.errors import InterpreterError
from score.interpreter.channel import Channel, ChannelClosed
from score.interpreter.inside import wire
from score.interpreter.settings import InterpreterSettings

GRACE_S = 30.0  # for the sandbox's own work (a fork, a kill) on a busy machine before the sandbox counts as broken


class Family:
    """A session and its forks: they share one keeper process, which ends with the last of them."""

    def __init__(self, keeper: socket.socket, directory: str, settings: InterpreterSettings):
        self.channel = Channel(keeper)
        self.directory = directory
        self.settings = settings
        self.members: set[int] = set()
        self.forking = asyncio.Lock()  # held while a session forks; kills wait for it
        self._lock = asyncio.Lock()
        self._owed = 0  # replies that the keeper still has to give, those to cancelled calls included

    def new_number(self) -> int:
        number = next(n for n in range(len(self.members) + 1) if n not in self.members)
        self.members.add(number)
        return number

    async def call(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> dict[str, Any]:
        """Have the keeper do something. Raises `InterpreterError` where it is gone or stuck."""
        async with self.forking, self._lock:
            try:
                await self.channel.send(wire.pack(message), fds)
                self._owed += 1
                deadline = asyncio.get_running_loop().time() + GRACE_S
                while True:
                    reply = await self.channel.receive(deadline)
                    self._owed -= 1
                    if self._owed == 0:  # the last one is ours
                        return reply
            except (ChannelClosed, TimeoutError, wire.BrokenFrame) as error:
                raise InterpreterError(f"the sandbox's keeper did not {message['op']}: {error or 'no reply'}") from None

    async def close(self) -> None:
        """End the keeper and with it every process of the family."""
        async with self.forking, self._lock:
            try:
                self.channel.socket.shutdown(socket.SHUT_WR)
                deadline = asyncio.get_running_loop().time() + GRACE_S
                while True:  # replies to cancelled calls come before the end
                    await self.channel.receive(deadline)
            except (OSError, ChannelClosed, TimeoutError, wire.BrokenFrame):
                pass  # gone is what was asked for
            finally:
                self.channel.close()


class Endpoints:
    """The three things that the host shares with a session's process: its socket, the one that calls a snapshot back
    to life, and the file in memory that it prints to."""

    def __init__(self) -> None:
        self._pair()
        self.output = os.memfd_create("output", os.MFD_CLOEXEC)
        fcntl.fcntl(self.output, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)

    def _pair(self) -> None:
        main, self._main = socket.socketpair()
        self.rescue, self._rescue = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(main)
        self.rescue.setblocking(False)

    @property
    def theirs(self) -> tuple[int, ...]:
        """The file descriptors to send over."""
        return self._main.fileno(), self._rescue.fileno(), self.output

    def sent(self) -> None:
        """Close our copies of their ends, so that we notice when they are gone."""
        self._main.close()
        self._rescue.close()

    def renew(self) -> None:
        """New sockets, to be sent to a new process; nothing that the old one still sends can arrive."""
        self.channel.close()
        self.rescue.close()
        self._pair()

    async def revive(self) -> bool:
        """Give the snapshot a new socket, so that nothing that the old one still sends can arrive. False where the
        step had harmed the snapshot."""
        ours, theirs = socket.socketpair()
        self.channel.close()
        self.channel = Channel(ours)
        try:
            with theirs:
                socket.send_fds(self.rescue, [b"live"], [theirs.fileno()])
            await self.hear("ready")
        except (OSError, InterpreterError):
            return False
        return True

    async def hear(self, op: str) -> dict[str, Any]:
        """A message of the sandbox itself. Raises `InterpreterError` where another comes, or none."""
        try:
            message = await self.channel.receive(asyncio.get_running_loop().time() + GRACE_S)
        except (ChannelClosed, TimeoutError, wire.BrokenFrame) as error:
            raise InterpreterError(f"the session's process is gone or silent: {error or 'no reply'}") from None
        if message.get("op") != op:
            raise InterpreterError(f"the session's process said {message.get('op')!r}, not {op!r}")
        return message

    def close(self) -> None:
        self.sent()
        self.channel.close()
        self.rescue.close()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
