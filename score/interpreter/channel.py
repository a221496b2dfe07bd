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

    async def send(self, frame: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send one packed message, file descriptors with its first byte. Raises `ChannelClosed`."""
        view = memoryview(frame)
        while view:
            try:
                sent = socket.send_fds(self.socket, [view], fds) if fds else self.socket.send(view)
                view, fds = view[sent:], ()
            except BlockingIOError:
                await self._wait(writing=True)
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
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._wait(writing=False)
                except TimeoutError:
                    # A loop that was busy may hear of its clock before it hears of what had come in time.
                    late = True
                continue
            except OSError as error:
                raise ChannelClosed(str(error)) from None
            if not data:
                raise ChannelClosed("end of file")
            self._buffer += data

    async def _wait(self, writing: bool) -> None:
        loop = asyncio.get_running_loop()
        if self.socket.fileno() < 0:
            raise ChannelClosed("closed on this side")
        ready = loop.create_future()
        add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        fd = self.socket.fileno()
        add(fd, _set, ready)
        try:
            await ready
        finally:
            remove(fd)

    def close(self) -> None:
        self.socket.close()


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
