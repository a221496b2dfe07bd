"""The warm server: imports the student's libraries once, then gives every message a family of sessions.

Inside the sandbox this folder is the package `inside`, and `main()` is called with the arguments FD CONFIG (see
`isolation.py`). Standard library only. It ends when the host does: its socket then reads as closed.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from typing import Any

from . import heap, keeper, namespaces, processes, warm, wire

SPARES = 2  # the keeper and the worker of one are forked while those of the other are handed over
KEPT = 64  # at most so many wait once more after a family; what more come back end
IDLE_S = 1.0  # after so long without a session's start or end only SPARES go on waiting


class Keepers:
    """The keepers that wait for a family and, where they may serve again, those that have one.

    Some always wait, so that no session's start waits for the forks: they are done between two starts.
    """

    def __init__(self, config: dict[str, Any], control: socket.socket):
        self.config, self.control = config, control
        self.waiting: list[socket.socket] = []
        self.serving: dict[int, socket.socket] = {}  # by file descriptor
        self.events = select.epoll()
        self.events.register(control, select.EPOLLIN)

    def refill(self) -> None:
        """Raises OSError where the machine has no room for one more."""
        while len(self.waiting) < SPARES:
            self.waiting.append(self._breed())

    def _breed(self) -> socket.socket:
        """Fork a keeper that waits for its family, namespaces and first worker made. Returns our end to it."""
        warm.random_from_now()
        ours, theirs = socket.socketpair()
        if processes.fork(namespaces.NEW if self.config["strict"] else 0, alone=self.config["alone"]):
            theirs.close()
            return ours
        # What no session may hold: the way to the host, and to the other keepers. The objects stay as they are.
        waiting = [one.fileno() for one in self.waiting]
        for fd in (self.control.fileno(), self.events.fileno(), ours.fileno(), *waiting, *self.serving):
            os.close(fd)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        keeper.run(theirs, self.config)
        raise AssertionError("a keeper never returns")

    def give(self, message: dict[str, Any], fds: list[int]) -> None:
        """Give a family to the keeper that has waited longest."""
        try:
            one = self.waiting.pop(0) if self.waiting else self._breed()
            self.serving[one.fileno()] = one
            self.events.register(one, select.EPOLLIN)
            socket.send_fds(one, [wire.pack(message)], fds)
        except OSError as error:
            print(f"a session could not start: {error}", file=sys.stderr, flush=True)
        for fd in fds:  # before the next fork: the end of a session shows by nobody's holding its sockets
            os.close(fd)

    def take_back(self, fd: int) -> None:
        """A keeper's family has ended, or the keeper itself."""
        one = self.serving.pop(fd)
        self.events.unregister(fd)
        with contextlib.suppress(OSError):
            if one.recv(1) and len(self.waiting) < KEPT:
                one.sendall(keeper.AGAIN)
                self.waiting.append(one)
                return
        one.close()

    def thin_out(self) -> None:
        """Let those end that are more than a start needs."""
        while len(self.waiting) > SPARES:
            self.waiting.pop().close()

    def end(self) -> None:
        for one in (*self.waiting, *self.serving.values()):
            one.close()


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    config = json.loads(sys.argv[2])
    if config["remove"]:
        os.mkdir(config["remove"], 0o700)
        os.chdir(config["remove"])
    if config["drop_root"]:
        processes.drop_root()
    if config["die_with_parent"]:  # after the change of identity, which takes it back
        processes.die_with_parent()
    warm.preload(config["preload"])
    kept = {"PATH", "HOME", "TMPDIR"}
    if "numpy" not in sys.modules:  # a session that imports it itself needs them still
        kept |= {name for name in os.environ if name.endswith("_NUM_THREADS")}
    for name in os.environ.keys() - kept:
        del os.environ[name]
    # None of our modules is left for the student's `import` to find.
    sys.path.remove(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for name in [name for name in sys.modules if name.partition(".")[0] == "inside"]:
        del sys.modules[name]
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, 0)
    os.close(devnull)
    processes.adopt_orphans()
    config["uid"], config["gid"] = os.getuid(), os.getgid()
    config["alone"] = processes.alone()
    config["seccomp"] = processes.prepare_filter(config["seccomp"])
    warm.settle()
    heap_shared = config["alone"] and heap.share()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Not without the filter: it takes away what a session could leave behind in a namespace besides files.
    config["again"] = config["strict"] and config["seccomp"] is not None
    keepers = Keepers(config, control)
    keepers.refill()
    told = {"op": "ready", "address_space_mb": processes.address_space_mb(), "heap_shared": heap_shared}
    with contextlib.suppress(BrokenPipeError):  # a host that is gone by now shows below, and we end as always
        control.sendall(wire.pack(told))
    while True:
        patience = IDLE_S if len(keepers.waiting) > SPARES else None
        if not (ready := {fd for fd, _ in keepers.events.poll(patience)}):
            keepers.thin_out()
        for fd in ready - {control.fileno()}:
            keepers.take_back(fd)
        if control.fileno() in ready:
            if (received := wire.receive(control, 4)) is None:
                break
            keepers.give(*received)
        # One that the machine has no room for is tried again at the next session, which says so where none is left.
        with contextlib.suppress(OSError):
            keepers.refill()
    keepers.end()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    processes.reap(set(processes.children(os.getpid())), timeout_s=2.0)  # the keepers, which clean up after themselves
    processes.reap(processes.kill_all({}, None, set()))
    if config["remove"]:
        shutil.rmtree(config["remove"], ignore_errors=True)
