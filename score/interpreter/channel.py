"""The host's end of a socket to a process of the sandbox, for one asyncio loop."""

import asyncio
import socket
from typing import Any

from score.interpreter.inside import wire


class ChannelClosed(Exception):
    """The process at the other end is gone."""


class Channel:
    """Messages over one non-blocking stream socket. Data is read only when asked for, so a timed-out or cancelled
    wait loses nothing, and who floods the socket fills no memory of ours."""

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
        while (body := self._next_body()) is None:
            if not late:
                late = not await self._more(deadline)
            # A loop that was busy may hear of its clock before it hears of what had come in time.
            elif not self._read():
                raise TimeoutError
        return wire.unpack(body)

    def _next_body(self) -> bytes | None:
        """A message's bytes, if the buffer holds all of them. Raises `wire.BrokenFrame`."""
        start = wire.HEADER.size
        if len(self._buffer) < start:
            return None
        end = start + wire.length(bytes(self._buffer[:start]))
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[start:end])
        del self._buffer[:end]
        return body

    def _read(self) -> bool:
        """Take what the socket holds. False where that is nothing. Raises `ChannelClosed`."""
        try:
            data = self.socket.recv(2**16)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ChannelClosed(str(error)) from None
        if not data:
            raise ChannelClosed("end of file")
        self._buffer += data
        return True

    async def _more(self, deadline: float | None) -> bool:
        """Wait until the buffer has grown. False where the deadline came first. Raises `ChannelClosed`."""
        loop = asyncio.get_running_loop()
        fd = self._open_fd()
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
        """Read at once, else the loop would call again before the one who waits has its turn. The loop goes on watching
        the socket from one wait to the next, until data comes that nobody waits for."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            self._stop_watching()
            return
        try:
            if self._read():
                waiting.set_result(True)
        except ChannelClosed:
            waiting.set_result(False)  # who waits reads once more, and hears of it there

    def _stop_watching(self) -> None:
        if self._watching is not None and not self._watching.is_closed():
            self._watching.remove_reader(self.socket.fileno())
        self._watching = None

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        fd = self._open_fd()
        ready: asyncio.Future[bool] = loop.create_future()
        loop.add_writer(fd, _set, ready, True)
        try:
            await ready
        finally:
            loop.remove_writer(fd)

    def _open_fd(self) -> int:
        if (fd := self.socket.fileno()) < 0:
            raise ChannelClosed("closed on this side")
        return fd

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._stop_watching()
        self.socket.close()


def _set(waiting: "asyncio.Future[bool]", value: bool) -> None:
    if not waiting.done():
        waiting.set_result(value)
