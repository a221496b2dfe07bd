"""The process in which a session's code runs: it holds the state, runs a step, and says how the step ended.

What is printed goes to a file in memory that the host made and reads (file descriptors 1 and 2), so that it survives
the death of this process and keeps its order with the output of subprocesses and C code. The socket carries only steps,
tool calls and the end of a step. Every frame of a step carries the step's random name: what does not is not ours.

Names are bound early: a session may patch `print`, `os` or `json` for itself, and the next step still has to arrive.
"""

import builtins
import contextlib
import io
import linecache
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import traceback
import types
from typing import Any

from . import answers, calls, processes, wire

NAME = "<step {}>"
LOOP_FAILED = 70  # exit code where the session's code broke the loop itself
_close, _dup2, _exit, _getpid, _kill = os.close, os.dup2, os._exit, os.getpid, os.kill
_print, _compile, _exec, _isinstance, _str = print, compile, exec, isinstance, str
_receive, _pack, _fork, _collect = wire.receive, wire.pack, processes.fork, processes.collect
_only_hands_in, _finish = answers.only_hands_in, calls.finish
_setitimer, _CLOCKS = signal.setitimer, (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

# A copy, so that code which patches builtins patches its own and not the ones that the loop runs on. Made before any
# fork: what a process writes to for the first time after its fork costs a copied page.
_own_builtins = types.ModuleType("builtins")
_own_builtins.__dict__.update(builtins.__dict__)
_main = types.ModuleType("__main__")
_main.__dict__["__builtins__"] = _own_builtins


class Worker:
    """One session's state and its loop. It never returns: the process ends with it."""

    def __init__(self, birth: socket.socket, registry: memoryview, number: int, config: dict[str, Any]):
        self.registry, self.number, self.config = registry, number, config
        self.forking = False
        self.spent_snapshot: int | None = None  # of a step that went well
        self.dead_snapshot: int | None = None  # killed, and still to be collected
        self.step: str | None = None
        self.answer: str | None = None
        self.note = ""
        self.timers: list[tuple[int, float, float]] = []  # that a step has left: clock, rest and interval in seconds
        # Of the calls of tools: how many there were, and what of the messages is still to be sent and to be completed.
        self.called, self.outbox, self.inbox = 0, bytearray(), bytearray()
        self.main = _main
        sys.modules["builtins"], sys.modules["__main__"] = _own_builtins, _main
        sys.argv = [""]
        os.register_at_fork(after_in_child=self._forked_by_student)
        processes.limit(config)
        _, fds, _, _ = socket.recv_fds(birth, 2, 3)
        birth.close()
        if not fds:
            _exit(0)  # the keeper ended before there was a session for us
        self._attach(fds)

    def _attach(self, fds: list[int]) -> None:
        """Take this process's own sockets and output file; used at the start and after a fork."""
        os.setpgid(0, 0)  # the keeper stops the group in one call, faster than a fork bomb grows
        self.pid = _getpid()
        self.lock, self.held = threading.Lock(), False
        self.socket, self.rescue = socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1])
        self.printed = fds[2]
        for fd in fds:
            os.set_inheritable(fd, False)
        self._open_output()
        self.registry[2 * self.number] = self.pid
        self.registry[2 * self.number + 1] = 0

    def _open_output(self) -> None:
        _dup2(self.printed, 1)
        _dup2(self.printed, 2)
        raw = io.FileIO(1, "w", closefd=False)
        self.output = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = self.output  # type: ignore[misc]

    def _forked_by_student(self) -> None:
        """A process that the student forks is no session: it has no channel, and its death is not ours."""
        if not self.forking:
            self.socket.close()
            self.rescue.close()
            self.step = None

    # --- the loop ---------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer the host until it closes the socket."""
        handlers = {"start": self._start, "run": self._run, "hand_in": self._hand_in, "fork": self._fork}
        while True:
            try:
                received = _receive(self.socket, 3)
            except (OSError, wire.BrokenFrame):
                _exit(1)
            if received is None:
                _exit(0)
            message, fds = received
            if "op" not in message:
                continue  # the answer to a call of a tool that an exception has ended
            reply = handlers[message["op"]](message, fds)
            self.socket.sendall(_pack(reply))
            if self.spent_snapshot is not None:  # only now: a step that cannot reply is one to go back from
                self.registry[2 * self.number + 1] = 0
                _kill(self.spent_snapshot, signal.SIGKILL)
                self.dead_snapshot, self.spent_snapshot = self.spent_snapshot, None
            if self.held:
                self.held = False
                self.lock.release()

    def _start(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self._enter(message["directory"])
        os.chdir(self.directory)
        scope = self.main.__dict__
        scope["final_answer_print"] = self.final_answer_print = calls.final_answer_tool(self)
        for name, description in message["tools"].items():
            scope[name] = calls.host_tool(self, name, description)
        return {"op": "ready"}

    def _enter(self, directory: str) -> None:
        """Take a folder as our private one."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory)
        os.environ["HOME"] = os.environ["TMPDIR"] = directory
        self.directory = directory

    def _hand_in(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Run the step if it does nothing but hand in an answer."""
        if self._only_hands_in(message["code"]):
            return self._run(message, fds)
        return {"op": "declined", "id": message["id"]}

    def _only_hands_in(self, code: str) -> bool:
        plain = not self.output.closed and sys.stdout is self.output
        return plain and _only_hands_in(code, self.main.__dict__, _own_builtins.__dict__, self.final_answer_print)

    def _run(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        if message["snapshot"]:
            try:
                snapshot = None if self._only_hands_in(message["code"]) else self._snapshot()
            except OSError:
                snapshot = None  # its own processes fill the limit: a killed step then loses the state, and says so
            if snapshot == 0:
                return {"op": "ready"}  # much later: the step was killed, and we are the session now
            self.socket.sendall(_pack({"op": "begun", "id": message["id"]}))  # the step's clock starts now
        else:
            snapshot = None
        self.step, self.answer, self.note = message["id"], None, ""
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + 1 + self.config["cpu_s"]
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        if self.output.closed or sys.stdout is not self.output:
            self._open_output()
        else:
            _dup2(self.printed, 1)  # an earlier step may have closed or redirected it
            _dup2(self.printed, 2)
        status = self._execute(message["code"], NAME.format(message["number"]))
        sys.settrace(None)
        sys.setprofile(None)
        if _getpid() != self.pid:
            _exit(0)  # a child that the student's code forked and let run on to its end
        self.held = (
            self.lock.acquire()
        )  # a thread's tool call has its answer before the step ends; the loop releases it
        if self.outbox or self.inbox:
            _finish(self)
        step, self.step = self.step, None
        self.spent_snapshot = None if status == "memory" else snapshot  # after a memory error the host goes back to it
        return {"op": "done", "id": step, "status": status, "final_answer": self.answer, "note": self.note}

    def _execute(self, source: str, name: str) -> str:
        status = "ok"
        try:
            try:
                for clock, rest, interval in self.timers:
                    _setitimer(clock, rest, interval)
                linecache.cache[name] = (len(source), None, source.splitlines(True), name)
                _exec(_compile(source, name, "exec", dont_inherit=True), self.main.__dict__)
            except SystemExit as stop:
                if stop.code not in (None, 0):
                    status = "error"
                    _print(stop.code if _isinstance(stop.code, _str) else f"SystemExit: {stop.code}", file=self.output)
            except BaseException as error:  # noqa: BLE001 - whatever the student's code raised is its observation
                status = _status_of(error)
                if _getpid() == self.pid:
                    self._show(error)
            if not self.output.closed:
                self.output.flush()
            self._stop_timers()
        except BaseException as error:  # noqa: BLE001 - the output file is full, the error cannot be shown, an alarm
            self.note = f"{type(error).__name__}: {error}"
            self._open_output()  # what the old stream still holds must not turn up in the next step
            self._stop_timers()
            return _status_of(error)
        return status

    def _stop_timers(self) -> None:
        """The student's timers stand still until the next step: what the host takes until then is not the step's."""
        now = [(clock, *_setitimer(clock, 0)) for clock in _CLOCKS]
        self.timers = [timer for timer in now if timer[1]]

    def _show(self, error: BaseException) -> None:
        """Print a short traceback: the student's own lines, none of ours and none of the libraries'."""
        shown = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        shown.__cause__ = shown.__context__ = None
        shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if f.filename.startswith("<step ")])
        if not shown.stack:
            lines = list(shown.format_exception_only())
        else:
            lines = list(shown.format(chain=False))
        self.output.write("".join(lines))

    # --- copies -----------------------------------------------------------------------------------------------------

    def _copy(self, flags: int, exit_signal: int) -> int:
        """Fork this process; the copy keeps the state of `random`. Raises OSError."""
        if not self.output.closed:
            self.output.flush()
        alone = processes.alone()
        # Of what Python does in a forked child when there are threads, we want all but the new seed.
        random = None if alone else sys.modules.get("random")
        state = random.getstate() if random else None
        self.forking = True
        try:
            pid: int = _fork(flags, exit_signal, alone)
        finally:
            self.forking = False
        if pid == 0 and random:
            random.setstate(state)
        return pid

    def _snapshot(self) -> int:
        """The snapshot's pid; in the snapshot itself, 0, once the host has called it back to life."""
        if self.dead_snapshot is not None:  # the last one; it had all the time since then to end
            _collect(self.dead_snapshot)
            self.dead_snapshot = None
        pid = self._copy(0, 0)
        if pid:
            self.registry[2 * self.number + 1] = pid
            os.setpgid(pid, pid)  # out of the step's group, so that what stops or kills the group spares it
            return pid
        self.registry[2 * self.number + 1] = _getpid()
        self.socket.close()  # else the host could not see the death of the process that runs the step
        message, fds, _, _ = socket.recv_fds(self.rescue, 16, 1)
        if not message:
            _exit(0)
        self.socket, self.pid = socket.socket(fileno=fds[0]), _getpid()
        self.lock, self.held = threading.Lock(), False
        self.dead_snapshot = None
        self.registry[2 * self.number] = self.pid
        self.registry[2 * self.number + 1] = 0
        return 0

    def _fork(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        try:
            pid = self._copy(processes.SIBLING, signal.SIGCHLD)
        except OSError as error:
            for fd in fds:
                _close(fd)
            return {"op": "forked", "error": str(error)}
        if pid:
            for fd in fds:
                _close(fd)
            return {"op": "forked", "error": None}
        self.socket.close()
        self.rescue.close()
        _close(self.printed)
        self.number, self.dead_snapshot = message["number"], None
        self._attach(fds)
        self._move(message["directory"])
        return {"op": "ready"}

    def _move(self, directory: str) -> None:
        """Copy the private folder, and go on at the same place in the copy; outside of it, where we are."""
        old, root = self.directory, os.path.realpath(self.directory)
        try:
            here = os.getcwd()
        except FileNotFoundError:  # removed
            here = root
        if os.path.isdir(old) and os.listdir(old):
            shutil.copytree(old, directory, symlinks=True, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        self._enter(directory)
        if f"{here}/".startswith(f"{root}/"):
            os.chdir(directory + here[len(root) :])
        tempfile: Any = sys.modules.get("tempfile")  # it remembers the folder that it found first
        if getattr(tempfile, "tempdir", None) == old:
            tempfile.tempdir = directory


def _status_of(error: BaseException) -> str:
    if _isinstance(error, MemoryError):
        return "memory"
    return "tool_error" if _isinstance(error, calls.ToolFailed) else "error"
