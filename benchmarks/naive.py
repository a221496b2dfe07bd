"""What the interpreter is compared with: a naive one, and the machine's own floors."""

import contextlib
import io
import mmap
import os
import pickle
import socket
import time
import types
from collections.abc import Callable
from statistics import median
from typing import Any


class Session:
    """A process for each step; the scope is pickled back, so lambdas, classes, generators and modules are lost."""

    def __init__(self, scope: dict[str, Any] | None = None):
        self.scope = scope or {}

    def run(self, code: str) -> str:
        """The step's output. Raises `EOFError` where the step's process ended before it answered."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reader)
                with open(writer, "wb") as file:
                    file.write(_step(code, self.scope))
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:
            data = file.read()
        os.waitpid(pid, 0)
        self.scope, output = pickle.loads(data)
        return str(output)

    def fork(self) -> "Session":
        return Session(pickle.loads(pickle.dumps(self.scope)))


def _step(code: str, scope: dict[str, Any]) -> bytes:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(code, scope)
    kept = {}
    for name, value in scope.items():
        if not name.startswith("__") and not isinstance(value, types.ModuleType | types.FunctionType | type):
            with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
                pickle.dumps(value)
                kept[name] = value
    return pickle.dumps((kept, output.getvalue()))


def bare_fork_ms(repetitions: int) -> float:
    """Fork, exit and wait in this process."""
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        times.append(time.perf_counter() - began)
    return median(times) * 1e3


def page_copies_ms(pages: int) -> float:
    """Write to `pages` inherited pages in a forked process: the kernel copies each."""
    with mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for page in range(pages):
            memory[page * mmap.PAGESIZE] = 1
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            began = time.perf_counter()
            for page in range(pages):
                memory[page * mmap.PAGESIZE] = 2
            os.write(writer, str((time.perf_counter() - began) * 1e3).encode())
            os._exit(0)
        os.waitpid(pid, 0)
    spent = float(os.read(reader, 100))
    os.close(reader)
    os.close(writer)
    return spent


def socket_fds() -> tuple[int, int]:
    """The two ends of a socket pair, one direction used."""
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def round_trip_ms(channel: Callable[[], tuple[int, int]], repetitions: int) -> float:
    """A byte to another process and back, both blocking; `channel` gives (read end, write end)."""
    there, back = channel(), channel()
    pid = os.fork()
    if pid == 0:
        os.close(there[1])
        os.close(back[0])
        while byte := os.read(there[0], 1):
            os.write(back[1], byte)
        os._exit(0)
    os.close(there[0])
    os.close(back[1])
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        os.write(there[1], b"x")
        os.read(back[0], 1)
        times.append(time.perf_counter() - began)
    os.close(there[1])
    os.close(back[0])
    os.waitpid(pid, 0)
    return median(times) * 1e3
