"""Messages between the host and the processes of the sandbox: a length (4 bytes, little endian), then JSON.

Used on both sides; standard library only, because the inside of the sandbox sees nothing else of this project.
"""

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("<I")
MAX_FRAME = 32 * 2**20  # bytes

# Bound once: a session's code may patch the json module, and still has to be able to send its reply.
_encode = json.JSONEncoder(default=str).encode
_decode = json.JSONDecoder().decode


class BrokenFrame(Exception):
    """The other side sent something that is no message."""


def pack(message: dict[str, Any]) -> bytes:
    """One message as bytes."""
    body = _encode(message).encode()
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> dict[str, Any]:
    """The message in `body` (without its length). Raises `BrokenFrame`."""
    try:
        message = _decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise BrokenFrame(str(error)) from None
    if not isinstance(message, dict):
        raise BrokenFrame("not an object")
    return message


def length(header: bytes) -> int:
    """The length that a header announces. Raises `BrokenFrame` where it is beyond all sense."""
    size: int = HEADER.unpack(header)[0]
    if size > MAX_FRAME:
        raise BrokenFrame(f"a message of {size} bytes")
    return size


def receive(sock: socket.socket, max_fds: int = 0) -> tuple[dict[str, Any], list[int]] | None:
    """Block for the next message and the file descriptors that came with it; None where the other side is gone."""
    try:
        return _receive(sock, max_fds)
    except ConnectionResetError:  # gone before it read all that we had sent
        return None


def _receive(sock: socket.socket, max_fds: int) -> tuple[dict[str, Any], list[int]] | None:
    fds: list[int] = []
    if max_fds:
        header, fds, _, _ = socket.recv_fds(sock, HEADER.size, max_fds)
    else:
        header = sock.recv(HEADER.size)
    data = bytearray(header)
    while len(data) < HEADER.size:
        if not (part := sock.recv(HEADER.size - len(data))):
            return None
        data += part
    size = length(bytes(data))
    body = bytearray()
    while len(body) < size:
        if not (part := sock.recv(min(size - len(body), 2**20))):
            return None
        body += part
    return unpack(bytes(body)), fds
