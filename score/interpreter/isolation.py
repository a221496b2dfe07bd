"""Starting the server in the isolation that was asked for, or in the best that this machine has."""

import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from score.errors import InterpreterError
from score.interpreter.inside import wire
from score.interpreter.seccomp import syscall_filter
from score.interpreter.settings import InterpreterSettings

_INSIDE = Path(__file__).parent / "inside"
_PRIVATE = "/tmp"  # where `strict` mounts a session's private tmpfs
_START = f"import sys; sys.path.insert(0, {str(_INSIDE.parent)!r}); from inside import server; server.main()"
# Started as ../.venv/bin/python, the path would lead through a folder that the sandbox does not have.
_SERVER = [os.path.abspath(sys.executable), "-s", "-c", _START]
_ROOM_MB = 64  # of address space, at least, for what a step makes itself
_log = logging.getLogger(__name__)

NOT_COVERED = (
    "model-written code runs with isolation 'limits': it can reach the network, read the files of this user (the "
    "/proc entries of this user's processes included) and signal this user's processes. "
    "For isolation 'strict', install bubblewrap (Debian: apt-get install bubblewrap) and allow user namespaces"
)

NO_SECCOMP = (
    "isolation 'strict' runs without its filter of system calls: libseccomp.so.2 is not installed "
    "(Debian: apt-get install libseccomp2). Sessions then share a loopback network: model-written code can reach "
    "what another session listens on, or take its port. Namespaces and limits hold all the same"
)


@dataclass
class Server:
    """A running server. `directory` is where sessions keep their files, as seen from inside; with `heap_shared` they
    all begin with the pages of one file (`inside/heap.py`), which makes their forks quicker."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket
    isolation: Literal["strict", "limits"]
    directory: str
    remove: str | None
    errors: IO[bytes]
    heap_shared: bool = False

    def stop(self) -> None:
        """End it and everything in it; it ends by itself when its socket closes."""
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        if self.remove:
            shutil.rmtree(self.remove, ignore_errors=True)


def start_server(settings: InterpreterSettings) -> Server:
    """Start the server, and wait until it can open sessions. Raises `InterpreterError`."""
    if settings.isolation == "strict":
        return _start_strict(settings)
    if settings.isolation == "auto":
        try:
            return _start_strict(settings)
        except InterpreterError as error:
            _log.warning("%s. (strict does not work here: %s)", NOT_COVERED, error)
    # The server makes it and removes it, since it outlives a kill of this process at any moment.
    directory = os.path.join(tempfile.gettempdir(), f"score-interpreter-{secrets.token_hex(8)}")
    return _launch(_SERVER, _environment(directory), "limits", directory, directory, settings)


def _start_strict(settings: InterpreterSettings) -> Server:
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        raise InterpreterError(
            "isolation 'strict' needs bubblewrap, and there is no `bwrap` on the PATH: install it "
            "(Debian: apt-get install bubblewrap), or choose isolation 'limits' or 'auto'"
        )
    if hidden := [path for path in (sys.prefix, str(_INSIDE)) if path.startswith(f"{_PRIVATE}/")]:
        raise InterpreterError(
            f"isolation 'strict' mounts its private files over {_PRIVATE}, and {hidden[0]} lies there: "
            "put the project elsewhere, or choose isolation 'limits' or 'auto'"
        )
    # As root, the namespaces need no user namespace, and the server can become nobody; in a container that takes
    # root's rights away, only the way of ordinary users is left.
    reasons = []
    for as_root in (True, False) if os.getuid() == 0 else (False,):
        try:
            server = _launch(
                _bubblewrap(bubblewrap, as_root), _environment(_PRIVATE), "strict", _PRIVATE, None, settings, as_root
            )
        except InterpreterError as error:
            reasons.append(str(error))
            continue
        try:
            _probe(server)
            return server
        except InterpreterError as error:
            server.stop()
            reasons.append(str(error))
    raise InterpreterError(f"isolation 'strict' does not work on this machine: {'; '.join(reasons)}")


def _bubblewrap(program: str, as_root: bool) -> list[str]:
    """The command that starts the server with no network and nothing of the host's files but Python, read-only."""
    command = [program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if as_root:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        # Not the host's uid inside: a namespace inside this one may not map root.
        command += ["--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    command += ["--new-session"]
    if _in_main_thread():
        command += ["--die-with-parent"]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/lib", "/lib64"):
        if os.path.islink(name):
            command += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            command += ["--ro-bind", name, name]
    for path in dict.fromkeys((sys.base_prefix, sys.prefix, str(_INSIDE))):
        if not path.startswith("/usr/"):
            for parent in reversed(Path(path).parents[:-1]):
                command += ["--dir", str(parent)]  # readable for all, which the ones that bubblewrap makes are not
            command += ["--ro-bind", path, path]
    # The host's /proc is for the server alone: the kernel lets a session mount its own only over a whole one.
    command += ["--bind", "/proc", "/proc", "--dev", "/dev", "--tmpfs", _PRIVATE]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    return [*command, "--", *_SERVER]


def _probe(server: Server) -> None:
    """Open one session's namespaces, as every session will. Raises `InterpreterError` with the kernel's reason."""
    ours, theirs = socket.socketpair()
    rescue = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = socket.socketpair()
    with ours, theirs, rescue[0], rescue[1], worker[0], worker[1], open(os.devnull, "w") as output:
        message = wire.pack({"number": 0, "directory": f"{_PRIVATE}/probe"})
        fds = [theirs.fileno(), worker[1].fileno(), rescue[1].fileno(), output.fileno()]
        socket.send_fds(server.control, [message], fds)
        theirs.close()
        worker[1].close()
        worker[0].settimeout(10)
        worker[0].sendall(wire.pack({"op": "start", "directory": f"{_PRIVATE}/probe", "tools": {}}))
        try:
            received = wire.receive(worker[0])
        except OSError as error:
            received = None
            reason = str(error)
        else:
            reason = "no reply"
        if received is None:
            said = _last_words(server.errors) or reason
            raise InterpreterError(said)


def _environment(home: str) -> dict[str, str]:
    """All that the sandbox sees of the environment: no variable of the host comes along."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the same order of sets in every session, so that a trajectory can be replayed
        "PYTHONDONTWRITEBYTECODE": "1",
        # One thread for linear algebra: threads do not survive the fork, and sessions share few cores.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _launch(
    command: list[str],
    environment: dict[str, str],
    isolation: Literal["strict", "limits"],
    directory: str,
    remove: str | None,
    settings: InterpreterSettings,
    drop_root: bool = False,
) -> Server:
    ours, theirs = socket.socketpair()
    config = {
        "preload": settings.preload,
        "memory_mb": settings.memory_mb,
        "file_size_mb": settings.file_size_mb,
        "open_files": settings.open_files,
        "processes": settings.processes,
        "disk_mb": settings.disk_mb,
        "cpu_s": settings.cpu_s,
        "strict": isolation == "strict",
        "seccomp": _filter().hex() if isolation == "strict" else "",
        # Where there are files to remove, the closed socket alone tells the server that we are gone. And the kernel's
        # "parent" is a thread: one that starts us may end before the process does.
        "die_with_parent": remove is None and _in_main_thread(),
        "drop_root": drop_root,
        "remove": remove,
    }
    errors = tempfile.TemporaryFile()  # a pipe that nobody reads would fill up, and block the server
    process = subprocess.Popen(
        [*command, str(theirs.fileno()), json.dumps(config)],
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
    )
    theirs.close()
    ours.settimeout(settings.start_timeout_s)
    server = Server(process, ours, isolation, directory, remove, errors)
    try:
        ready = wire.receive(ours)
    except TimeoutError:
        process.kill()
        server.stop()
        raise InterpreterError(f"the interpreter's server was not ready after {settings.start_timeout_s:g} s") from None
    if ready is None:
        process.wait()
        said = _last_words(errors) or f"exit code {process.returncode}"
        server.stop()
        raise InterpreterError(f"the interpreter's server ended at its start: {said}")
    server.heap_shared = ready[0]["heap_shared"]
    taken = ready[0]["address_space_mb"]
    if taken + _ROOM_MB > settings.memory_mb:
        server.stop()
        raise InterpreterError(
            f"memory_mb is {settings.memory_mb}, but the preloaded libraries ({', '.join(settings.preload)}) take "
            f"{taken} MB of address space already: set it to {taken + _ROOM_MB} or more, or preload less"
        )
    return server


def _filter() -> bytes:
    """The filter of system calls, empty where there is none. Raises `InterpreterError`."""
    try:
        program = syscall_filter()
    except OSError as error:
        raise InterpreterError(f"no filter of system calls: {error}") from None
    if program is None:
        _log.warning("%s", NO_SECCOMP)
    return program or b""


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
