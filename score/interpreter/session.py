"""A session: one trajectory's live Python, and what the host does when a step goes wrong."""

import asyncio
import contextlib
import inspect
import os
import secrets
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from score.errors import InterpreterError
from score.interpreter import output, tools
from score.interpreter.channel import ChannelClosed
from score.interpreter.family import GRACE_S, Endpoints, Family
from score.interpreter.inside import wire
from score.interpreter.result import STOPPED, Status, StepResult, TooMuch, checked_status, ending
from score.interpreter.tools import Tool

_FIRST_WATCH_S, _WATCH_S = 0.05, 0.25  # a step that lasts longer has its processes counted, then ever again


class Session:
    """Live Python state. One step at a time; made by `Interpreter.open` and `Session.fork`."""

    def __init__(
        self,
        family: Family,
        number: int,
        ends: Endpoints,
        host_tools: Mapping[str, Tool],
        live: "set[Session]",
    ):
        self._family, self._number, self._ends = family, number, ends
        self._settings, self._tools, self._live = family.settings, dict(host_tools), live
        self._directory = f"{family.directory}-{number}"
        self._step = 0
        self._busy = self._closed = False
        self._lost: str | None = None
        self._tool_errors: list[str] = []
        self._tool_calls, self._waited_s = 0, 0.0  # of the step, and how long they took
        live.add(self)

    # --- steps ------------------------------------------------------------------------------------------------------

    async def run(self, code: str, timeout_s: float | None = None) -> StepResult:
        """Run one step.

        `timeout_s` replaces the setting. Raises `InterpreterError` where the sandbox fails, the session is closed, or
        its state was lost in a killed step with `snapshots: false`.
        """
        timeout_s = self._settings.step_timeout_s if timeout_s is None else timeout_s
        result = await self._alone(code, timeout_s, "run")
        assert result is not None  # only `hand_in` is declined
        return result

    async def hand_in(self, code: str) -> StepResult | None:
        """Run a step that does nothing but hand in an answer, which leaves the state as it was: as if it had run in a
        fork that was closed again, without the costs. None where it might do more; then nothing has happened.

        Raises `InterpreterError` as `run` does, and where such a step was killed: nothing that it does takes long.
        """
        if "final_answer_print" not in code:
            return None
        result = await self._alone(code, self._settings.step_timeout_s, "hand_in")
        self._step -= 1
        if result is not None and result.status in STOPPED:
            self._lost = f"a step that only hands in an answer ended with {result.status}"
            raise InterpreterError(f"the session's state is lost: {self._lost}")
        # Declined, or an error before the answer, which left nothing behind either.
        return result if result is not None and result.final_answer is not None else None

    async def _alone(self, code: str, timeout_s: float, op: Literal["run", "hand_in"]) -> StepResult | None:
        self._take()
        unfinished = True
        try:
            result = await self._run(code, timeout_s, op)
            unfinished = False
            return result
        finally:
            self._busy = False
            if unfinished and self._lost is None:
                self._lost = "an earlier step was cancelled or the sandbox failed in it"

    def _take(self) -> None:
        if self._closed:
            raise InterpreterError("the session is closed")
        if self._lost is not None:
            raise InterpreterError(f"the session's state is lost: {self._lost}; open a new session")
        if self._busy:
            raise InterpreterError("the session is busy: it does one thing at a time")
        self._busy = True

    async def _run(self, code: str, timeout_s: float, op: Literal["run", "hand_in"]) -> StepResult | None:
        self._step += 1
        self._tool_errors, self._tool_calls, self._waited_s = [], 0, 0.0
        name = secrets.token_hex(8)
        # Before the first step there is nothing to go back to but a fresh start.
        snapshot = self._settings.snapshots and self._step > 1 and op == "run"
        frame = wire.pack({"op": op, "id": name, "code": code, "number": self._step, "snapshot": snapshot})
        if len(frame) > wire.MAX_FRAME:
            return StepResult("error", f"The code is too long: {len(code)} characters.", None, 0.0)
        os.ftruncate(self._ends.output, 0)
        started = time.perf_counter()
        try:
            await self._ends.channel.send(frame)
            reply = await self._until_done(name, timeout_s, snapshot)
            if op == "hand_in" and reply.get("op") == "declined":
                return None
            status, note = checked_status(reply), str(reply.get("note") or "")
            answer = reply.get("final_answer")
        except TimeoutError:
            status, answer = "timeout", None
            note = f"TimeoutError: the step was stopped after {timeout_s:g} s."
        except ChannelClosed:
            status, note, answer = "killed", "", None
        except TooMuch as error:
            status, note, answer = error.status, str(error), None
        except wire.BrokenFrame:
            status, answer = "killed", None
            note = "The step was stopped: it wrote to the interpreter's own channel."
        seconds = time.perf_counter() - started - self._waited_s
        if status in STOPPED:
            status, note = await self._recover(status, note)
        text = output.read(self._ends.output, self._settings.max_output_chars)
        observation = "\n".join(part for part in (text, note) if part) or output.NOTHING_PRINTED
        if answer is not None:
            answer = output.cut(str(answer), self._settings.max_output_chars)
        return StepResult(status, observation, answer, seconds, tuple(self._tool_errors))

    async def _until_done(self, name: str, timeout_s: float, snapshot: bool) -> dict[str, Any]:
        """The step's last message. While a tool of the host works the step's clock stands still."""
        loop = asyncio.get_running_loop()
        if snapshot:
            try:
                begun = await self._ends.channel.receive(loop.time() + GRACE_S)
            except TimeoutError:
                raise InterpreterError("a snapshot before the step took too long: is the machine overloaded?") from None
            if begun != {"op": "begun", "id": name}:
                raise wire.BrokenFrame("not of this step")
        deadline, watch_at = loop.time() + timeout_s, loop.time() + _FIRST_WATCH_S
        while True:
            # At its time, whatever the step does meanwhile: one that keeps calling tools never lets us wait in vain.
            if loop.time() >= watch_at:
                await self._watch()
                watch_at = loop.time() + _WATCH_S
            try:
                message = await self._ends.channel.receive(min(deadline, watch_at))
            except TimeoutError:
                if loop.time() >= deadline:
                    raise
                continue
            if message.get("id") != name:
                raise wire.BrokenFrame("not of this step")
            if message.get("op") in ("done", "declined"):
                return message
            if (began := loop.time()) >= deadline:
                raise TimeoutError  # a step whose time is up gets no more tools
            self._tool_calls += 1
            answer = await tools.answer(
                self._tools, message, self._tool_errors, self._tool_calls, self._settings.tool_calls
            )
            took = loop.time() - began
            self._waited_s += took
            deadline += took
            await self._ends.channel.send(answer)

    async def _watch(self) -> None:
        """The kernel counts processes by user, not at all for root, and memory by process; so both are counted here."""
        counted = await self._family.call({"op": "count", "number": self._number})
        if (processes := counted["processes"]) > self._settings.processes:
            raise TooMuch("killed", f"The step was stopped: it had {processes} processes.")
        if (held := counted["memory_mb"]) > self._settings.memory_mb:
            raise TooMuch("memory", f"MemoryError: the step's processes together held {held} MB.")

    async def _recover(self, status: Status, note: str) -> tuple[Status, str]:
        """Kill what is left of the step and go back to the state before it."""
        report = await self._kill(forget=not self._settings.snapshots)
        ended = report["ended"]
        if status == "killed" and ended == -signal.SIGXCPU:
            status, note = "timeout", f"TimeoutError: the step used more than {self._settings.cpu_s} s of CPU time."
        elif status == "killed" and not note:
            note = f"The step ended its process ({ending(ended)})."
        if not self._settings.snapshots:
            self._lost = note or f"a step ended with {status}"
            return status, note
        revived = report["snapshot"] and await self._ends.revive()
        if report["snapshot"] and not revived:
            await self._kill(forget=True)
        if not revived:
            await self._start_afresh()
        if not revived and self._step > 1:
            note += " All variables are lost." if note else "All variables are lost."
        elif self._step > 1:
            note += " The variables are as before this step." if note else "The variables are as before this step."
        return status, note

    async def _kill(self, forget: bool) -> dict[str, Any]:
        """End the session's processes but for the snapshot; with `forget`, that and the private files too."""
        message = {"op": "kill", "number": self._number, "forget": forget, "directory": self._directory}
        return await self._family.call(message)

    async def _start_afresh(self) -> None:
        """A new process, with nothing of the old one but the private files."""
        self._ends.renew()
        try:
            start = {"op": "start", "number": self._number, "directory": self._directory}
            await self._family.call(start, self._ends.theirs)
        finally:
            self._ends.sent()
        await self.begin()

    # --- the start, copies, the end -----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Set up the fresh process at the other end. Raises `InterpreterError`."""
        described = {name: inspect.getdoc(tool) or "" for name, tool in self._tools.items()}
        try:
            message = {"op": "start", "directory": self._directory, "tools": described}
            await self._ends.channel.send(wire.pack(message))
        except ChannelClosed as error:
            raise InterpreterError(f"a session could not start: {error}") from None
        await self._ends.hear("ready")

    async def fork(self) -> "Session":
        """An independent copy of the live state, its private files included. Raises `InterpreterError`.

        The copy goes on at the same place in its own files. A path that the code wrote out in full, and a file that it
        has open, are still the original's.

        A fork that is cancelled is finished first and its copy closed, so that no reply of it is left for the session's
        next step; where it is cancelled once more, the session's state counts as lost.
        """
        self._take()
        copying = asyncio.ensure_future(self._copy())
        try:
            return await asyncio.shield(copying)
        except asyncio.CancelledError:
            with contextlib.suppress(InterpreterError):
                await (await copying).close()
            raise
        finally:
            self._busy = False

    async def _copy(self) -> "Session":
        try:
            ends = Endpoints()
        except OSError as error:
            raise InterpreterError(f"no file descriptors for a copy of the session: {error}") from None
        number = self._family.new_number()
        copy = Session(self._family, number, ends, self._tools, self._live)
        copy._step = self._step
        asked = answered = False
        try:
            request = {"op": "fork", "number": number, "directory": copy._directory}
            # Until it is registered nobody owns the new process, and a kill in the family would take it along.
            async with self._family.forking:
                asked = True
                await self._ends.channel.send(wire.pack(request), ends.theirs)
                ends.sent()
                refused = (await self._ends.hear("forked"))["error"]
                answered = True
                if refused:
                    raise InterpreterError(f"the session could not be forked: {refused}")
                await ends.hear("ready")
        except BaseException as error:
            self._family.members.discard(number)
            copy._closed = True
            self._live.discard(copy)
            ends.close()  # the new process, if there is one, ends with its socket
            if asked and not answered:
                self._lost = self._lost or "a fork of it was cancelled or the sandbox failed in it"
            if isinstance(error, InterpreterError | ChannelClosed):
                raise InterpreterError(str(error)) from None
            raise
        return copy

    async def close(self) -> None:
        """End the session's processes and remove its files. Closing twice is allowed."""
        await close_all([self])

    def abandon(self) -> None:
        """Close without an event loop: the keeper sees its socket closed and ends everything by itself."""
        self._closed = True
        self._ends.close()
        self._family.channel.close()

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


async def close_all(sessions: Iterable[Session]) -> None:
    """Close several sessions. A family of which none is left ends at once, not process by process."""
    families: dict[Family, list[Session]] = {}
    for session in sessions:
        if not session._closed:
            session._closed = True
            session._live.discard(session)
            session._family.members.discard(session._number)
            families.setdefault(session._family, []).append(session)
    for family, closed in families.items():
        try:
            if not family.members:
                await family.close()
                continue
            for session in closed:
                await session._kill(forget=True)
        finally:
            for session in closed:
                session._ends.close()
