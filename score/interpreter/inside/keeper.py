"""The keeper of a family (a session and the sessions forked from it): it starts, kills and counts their processes.

It is forked from the server before any of the student's code runs, so nothing that code does to its own process
reaches it; in `strict` it is the first process of the family's PID namespace, which dies with it. There it serves one
family after the other: a fork and the namespaces cost more than all else that a session needs. Nothing of a family is
left for the next one (`clear`), and a keeper that a session could have changed ends (`processes.attributes`).
"""

import mmap
import os
import shutil
import signal
import socket
import sys
from collections.abc import Set
from typing import Any

from . import namespaces, processes, warm, wire, worker

SLOTS = 4096  # sessions in one family at the same time
FAMILIES = 100  # one after the other; then the keeper ends, whatever may have gathered in it
CLEAR, AGAIN = b"c", b"a"  # what a keeper says when it could serve again, and the server's reply


class Keeper:
    """A keeper and the family that it has."""

    def __init__(self, birth: socket.socket, config: dict[str, Any]):
        self.birth, self.config = birth, config
        self.socket = birth  # to the host, once there is a family
        processes.adopt_orphans()
        self._renew()

    def _renew(self) -> None:
        # Which process is which session (its worker, its snapshot), written by the workers themselves. A session that
        # scribbles in here only harms its own family.
        self.registry = memoryview(mmap.mmap(-1, 2 * SLOTS * 4)).cast("i")
        self.directories: dict[int, str] = {}
        self.ended: dict[int, int] = {}  # how workers ended that were collected before the host asked

    def live(self) -> bool:
        """Serve a family, from its first session to its end. False where the server has none for us. Raises OSError."""
        warm.random_from_now()
        prepared = self.prepare(0)
        received = wire.receive(self.birth, 4)
        if received is None:
            return False
        message, fds = received
        self.socket = socket.socket(fileno=fds[0])
        self.begin(prepared, message["number"], message["directory"], fds[1:])
        self.serve()
        return True

    def prepare(self, number: int) -> socket.socket:
        """Fork a fresh worker, which waits for its file descriptors. Returns the socket that they go to."""
        ours, theirs = socket.socketpair()
        pid = processes.fork(alone=self.config["alone"])
        if pid == 0:
            for sock in (ours, self.socket, self.birth):
                sock.close()
            processes.die_with_parent()
            if self.config["strict"]:
                processes.drop_capabilities()
            try:
                worker.Worker(theirs, self.registry, number, self.config).serve()
            finally:
                os._exit(worker.LOOP_FAILED)
        theirs.close()
        self.registry[2 * number] = pid
        return ours

    def begin(self, prepared: socket.socket, number: int, directory: str, fds: list[int]) -> None:
        """Make a waiting worker a session."""
        self.directories[number] = directory
        with prepared:
            socket.send_fds(prepared, [b"go"], fds)
        for fd in fds:
            os.close(fd)

    def serve(self) -> None:
        """Do what the host says until it closes the socket."""
        handlers = {"start": self._start, "kill": self._kill, "count": self._count}
        while True:
            try:
                received = wire.receive(self.socket, 3)
            except (OSError, wire.BrokenFrame):
                break
            if received is None:
                break
            message, fds = received
            self.socket.sendall(wire.pack(handlers[message["op"]](message, fds)))

    def end(self) -> None:
        """End the family's processes, leave nothing, and end."""
        if not self.config["strict"]:  # there the namespace's processes and files end with its first process
            groups = [pid for pid in self.registry.tolist() if pid]
            for pid in groups:
                processes.send(-pid, signal.SIGSTOP)
            processes.reap(processes.kill_all({}, None, set()))
            for directory in self.directories.values():
                shutil.rmtree(directory, ignore_errors=True)
        os._exit(0)

    def clear(self) -> None:
        """End the family's processes and leave nothing of what it did. Raises OSError."""
        processes.end_all_others()
        self.socket.close()  # the host waits for this
        self.socket = self.birth
        namespaces.renew(self.config["disk_mb"])
        self._renew()

    def _owners(self) -> tuple[dict[int, int], dict[int, int]]:
        slots = self.registry.tolist()
        workers = {pid: number for number, pid in enumerate(slots[::2]) if pid}
        snapshots = {pid: number for number, pid in enumerate(slots[1::2]) if pid}
        return workers, snapshots

    def _collect(self, workers: dict[int, int], wait_for: Set[int] = frozenset()) -> None:
        self.ended |= {pid: status for pid, status in processes.reap(wait_for).items() if pid in workers}

    def _start(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        warm.random_from_now()
        self.begin(self.prepare(message["number"]), message["number"], message["directory"], fds)
        return {}

    def _kill(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Kill a session's processes but for its snapshot; with `forget`, that and its directory too."""
        number = message["number"]
        workers, snapshots = self._owners()
        spare = {pid for pid, owner in snapshots.items() if owner != number or not message["forget"]}
        worker_pid = self.registry[2 * number]
        killed = processes.kill_all(workers | snapshots, number, spare, worker_pid, self.config["strict"])
        self._collect(workers, killed)
        self.registry[2 * number] = 0
        snapshot_pid = self.registry[2 * number + 1]
        if message["forget"]:
            self.registry[2 * number + 1] = 0
            shutil.rmtree(message["directory"], ignore_errors=True)
        alive = bool(snapshot_pid) and processes.is_live_child(snapshot_pid)
        status = self.ended.pop(worker_pid, None)
        return {"snapshot": alive, "ended": None if status is None else os.waitstatus_to_exitcode(status)}

    def _count(self, message: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """How many processes a session has, the snapshot left out, and the memory that they hold together in MB.

        What they share with us since the fork is counted out; what they share among each other counts for each.
        """
        workers, snapshots = self._owners()
        self._collect(workers)
        enough = 2 * (len(workers) + len(snapshots)) + 2 * self.config["processes"]
        tree = processes.owned(os.getpid(), workers | snapshots, enough)
        if len(tree) > enough:
            return {"processes": len(tree), "memory_mb": 0}
        mine = [pid for pid, owner in tree.items() if owner in (message["number"], None) and pid not in snapshots]
        inherited = processes.resident_mb(os.getpid())
        held = sum(max(0.0, processes.resident_mb(pid) - inherited) for pid in mine)
        return {"processes": len(mine), "memory_mb": round(held)}


def run(birth: socket.socket, config: dict[str, Any]) -> None:
    """The life of a keeper, from a fresh fork of the server: over `birth` come its families."""
    try:
        if config["strict"]:
            namespaces.settle(config["uid"], config["gid"], config["disk_mb"])
        keeper = Keeper(birth, config)
        untouched = processes.attributes()
        for number in range(FAMILIES):
            if number:
                birth.sendall(CLEAR)
                if birth.recv(1) != AGAIN:
                    break
            if not keeper.live():
                break  # the server needs no more sessions of us
            if not config["again"]:
                keeper.end()
            keeper.clear()
            if processes.attributes() != untouched:
                break
    except OSError as error:
        print(f"a session could not start: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
