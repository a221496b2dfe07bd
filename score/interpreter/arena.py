"""Where attacks are tried: a host with things to attack, a session for each, and a neighbour that must not notice."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from score.errors import InterpreterError
from score.interpreter.attacks import Attack
from score.interpreter.interpreter import Interpreter
from score.interpreter.result import StepResult
from score.interpreter.seccomp import syscall_filter
from score.interpreter.settings import InterpreterSettings, Isolation

_MARK = "INTERPRETER_SELFCHECK"
_ESCAPED = "'ESC' 'APED'"  # in code; printed, it is one word
_LONGEST_WAIT_S = 5.0  # of the neighbour, for a step of its own


@dataclass(frozen=True)
class Row:
    """How one attack ended. `why` is empty unless the verdict is "failed"."""

    attack: str
    status: str
    verdict: Literal["contained", "open", "not tried", "failed"]
    why: str = ""


class Arena:
    """An async context manager around one interpreter; `attack` runs one attack. Raises `InterpreterError` at entry."""

    def __init__(self, isolation: Isolation):
        settings = InterpreterSettings(isolation=isolation, memory_mb=1024, step_timeout_s=10)
        self._interpreter = Interpreter(settings)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Arena":
        async with AsyncExitStack() as stack:
            secret = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "file"
            secret.write_text("secret")
            abstract = f"score-selfcheck-{secrets.token_hex(4)}"
            port = await _servers(stack, secret.parent / "socket", abstract)
            # Its first environment is what /proc shows of a process.
            victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={_MARK: "secret"})  # noqa: ASYNC220
            stack.callback(victim.communicate)
            stack.callback(victim.kill)
            os.environ[_MARK] = "secret"
            stack.callback(os.environ.pop, _MARK, None)
            self._filled = {
                "<escaped>": _ESCAPED,
                "<port>": str(port),
                "<file>": str(secret),
                "<unix>": str(secret.parent / "socket"),
                "<abstract>": abstract,
                "<pid>": str(victim.pid),
                "<between>": str(_free_port()),
            }
            await stack.enter_async_context(self._interpreter)
            self._neighbour = await self._interpreter.open()
            await self._neighbour.run("import os\nx = 1\nopen('mine', 'w').write('untouched')")
            await self._neighbour.run("x")  # from now on it has a spent snapshot, as it will have at every later look
            self._has_seccomp = self._interpreter.isolation == "strict" and syscall_filter() is not None
            async with await self._interpreter.open():
                pass  # its keeper may come back, and then is one more that waits
            await asyncio.sleep(0.3)  # until the server has its next keeper ready
            self._usual = len(_descendants())
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    async def attack(self, attack: Attack) -> Row:
        """Run one attack and look at everything that it must not have changed."""
        strict = self._interpreter.isolation == "strict"
        is_open = (attack.contained_by == "strict" and not strict) or (attack.needs_seccomp and not self._has_seccomp)
        if is_open and attack.dangerous:
            return Row(attack.name, "", "not tried")
        try:
            why, status, escaped = await self._run(attack)
        except InterpreterError as error:
            why, status, escaped = f"the sandbox failed: {error}", "", False
        if escaped:
            return Row(attack.name, status, "open") if is_open else Row(attack.name, status, "failed", "it succeeded")
        why = why or await self._what_is_left()
        return Row(attack.name, status, "failed" if why else "contained", why)

    def _fill_in(self, code: str) -> str:
        for field, value in self._filled.items():
            code = code.replace(field, value)
        return code

    async def _run(self, attack: Attack) -> tuple[str, str, bool]:
        """What is wrong, the status, and whether the attack got out."""
        async with AsyncExitStack() as stack:
            if attack.victim:
                victim = await stack.enter_async_context(await self._interpreter.open())
                await victim.run(self._fill_in(attack.victim))
            session = await stack.enter_async_context(await self._interpreter.open())
            await session.run("kept = 'kept'")
            running = asyncio.create_task(session.run(self._fill_in(attack.code), attack.timeout_s))
            longest = await self._longest_wait_during(running)
            result = await running
            after = await session.run("import builtins, os\nos.write(1, kept.encode())")
        escaped = "ESCAPED" in result.observation or "ESCAPED" in (result.final_answer or "")
        return _what_is_wrong(attack, result, after, longest), result.status, escaped

    async def _longest_wait_during(self, running: "asyncio.Task[StepResult]") -> float:
        longest = 0.0
        while not running.done():
            began = time.monotonic()
            await self._neighbour.run("x")
            longest = max(longest, time.monotonic() - began)
            await asyncio.wait([running], timeout=0.05)
        return longest

    async def _what_is_left(self) -> str:
        seen = await self._neighbour.run("print(x, os.listdir(), open('mine').read())")
        if seen.observation != "1 ['mine'] untouched":
            return f"another session saw {seen.observation!r}"
        deadline = time.monotonic() + 5
        while len(left := _descendants()) > self._usual:
            if time.monotonic() > deadline:
                return f"{len(left)} processes are left where {self._usual} were before"
            await asyncio.sleep(0.02)
        if len(folders := self._interpreter.private_folders()) > 1:
            return f"files are left in {folders}"
        return ""


def _what_is_wrong(attack: Attack, result: StepResult, after: StepResult, longest_wait_s: float) -> str:
    if attack.contained_by == "limits" and result.status not in attack.expected:
        return f"it ended with {result.status}: {result.observation[-200:]!r}"
    if after.observation != "kept" and not attack.may_lose_state and attack.contained_by == "limits":
        return f"the session did not go on: {after.observation[-200:]!r}"
    if longest_wait_s > _LONGEST_WAIT_S:
        return f"another session waited {longest_wait_s:.1f} s"
    return ""


def _descendants() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.is_running()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _servers(stack: AsyncExitStack, path: Path, name: str) -> int:
    """The host's servers, on one port for TCP (it speaks a little HTTP) and UDP (an echo), and on two Unix sockets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        writer.close()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data, addr)

    loop = asyncio.get_running_loop()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{name}")
    tcp = await asyncio.start_server(answer, "127.0.0.1", 0)
    port: int = tcp.sockets[0].getsockname()[1]
    for server in (
        tcp,
        await asyncio.start_unix_server(answer, path),
        await asyncio.start_unix_server(answer, sock=abstract),
    ):
        stack.callback(server.close)
    transport, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", port))
    stack.callback(transport.close)
    return port
