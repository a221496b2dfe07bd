"""The host's end of a socket to a process of the sandbox, for one asyncio loop."""

import asyncio
import socket
from typing import Any

from score.interpreter.inside import wire


class ChannelClosed(Exception):
    """The process at the other end is gone."""


class Channel:
    """Messages over one non-blocking stream socket. Data is read only when asked for, so a timed-out or cancelled
    wait loses nothing."""

    def __init__(self, sock: socket.socket):
        sock.setblocking(False)
        self.socket = sock
        self._buffer = bytearray()
        self._waiting: asyncio.Future[bool] | None = None
        self._watching: asyncio.AbstractEventLoop | None = None

    async def send(self, frame: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send one packed message, file descriptors with its first byte. Raises `ChannelClosed`."""
        view = memoryview(frame)
        while view:
            try:
                sent = socket.send_fds(self.socket, [view], fds) if fds else self.socket.send(view)
                view, fds = view[sent:], ()
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                raise ChannelClosed(str(error)) from None

    async def receive(self, deadline: float | None = None) -> dict[str, Any]:
        """The next message. `deadline` is in the loop's time.

        Raises `TimeoutError`, `ChannelClosed`, and `wire.BrokenFrame` for what is no message.
        """
        late = False
        while True:
            if len(self._buffer) >= wire.HEADER.size:
                end = wire.HEADER.size + wire.length(bytes(self._buffer[: wire.HEADER.size]))
                if len(self._buffer) >= end:
                    body = bytes(self._buffer[wire.HEADER.size : end])
                    del self._buffer[:end]
                    return wire.unpack(body)
            try:
                data = self.socket.recv(2**16)
            except BlockingIOError:
                if late:
                    raise TimeoutError from None
                # A loop that was busy may hear of its clock before it hears of what had come in time.
                late = not await self._readable(deadline)
                continue
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not data:
                raise ChannelClosed("end of file")
            self._buffer += data

    async def _readable(self, deadline: float | None) -> bool:
        """Wait for data. False where the deadline came first."""
        loop = asyncio.get_running_loop()
        if (fd := self.socket.fileno()) < 0:
            raise ChannelClosed("closed on this side")
        if self._watching is not loop:
            self._stop_watching()
            loop.add_reader(fd, self._has_data)
            self._watching = loop
        waiting: asyncio.Future[bool] = loop.create_future()
        self._waiting = waiting
        clock = None if deadline is None else loop.call_at(deadline, _set, waiting, False)
        try:
            return await waiting
        finally:
            self._waiting = None
            if clock is not None:
                clock.cancel()

    def _has_data(self) -> None:
        """The loop goes on watching the socket from one wait to the next, until data comes that nobody waits for."""
        if self._waiting is None:
            self._stop_watching()
        else:
            _set(self._waiting, True)

    def _stop_watching(self) -> None:
        if self._watching is not None and not self._watching.is_closed():
            self._watching.remove_reader(self.socket.fileno())
        self._watching = None

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        if (fd := self.socket.fileno()) < 0:
            raise ChannelClosed("closed on this side")
        ready: asyncio.Future[bool] = loop.create_future()
        loop.add_writer(fd, _set, ready, True)
        try:
            await ready
        finally:
            loop.remove_writer(fd)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._stop_watching()
        self.socket.close()


def _set(waiting: "asyncio.Future[bool]", value: bool) -> None:
    if not waiting.done():
        waiting.set_result(value)
