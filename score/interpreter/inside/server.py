"""The warm server: imports the student's libraries once, then gives every message a family of sessions.

Inside the sandbox this folder is the package `inside`, and `main()` is called with the arguments FD CONFIG (see
`isolation.py`). Standard library only. It ends when the host does: its socket then reads as closed.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from typing import Any

from . import keeper, processes, warm, wire

SPARES = 2  # the keeper and the worker of one are forked while those of the other are handed over


def breed(config: dict[str, Any], ours_alone: list[socket.socket]) -> socket.socket:
    """Fork a keeper that waits for its family, namespaces and first worker made. Returns our end to it. Raises OSError.

    Some are always ready, so that no session's start waits for the forks: they are done between two starts.
    `ours_alone` is what no session may hold: the way to the host, and to the other keepers.
    """
    warm.random_from_now()
    ours, theirs = socket.socketpair()
    if processes.fork(processes.NEW_NAMESPACES if config["strict"] else 0, alone=config["alone"]):
        theirs.close()
        return ours
    for other in (ours, *ours_alone):
        other.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper.run(theirs, config)
    raise AssertionError("a keeper never returns")


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    config = json.loads(sys.argv[2])
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
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    config["uid"], config["gid"] = os.getuid(), os.getgid()
    config["alone"] = processes.alone()
    config["seccomp"] = processes.prepare_filter(config["seccomp"])
    warm.settle()
    spares: list[socket.socket] = []
    while len(spares) < SPARES:
        spares.append(breed(config, [control, *spares]))
    control.sendall(wire.pack({"op": "ready", "address_space_mb": processes.address_space_mb()}))
    while received := wire.receive(control, 4):
        message, fds = received
        try:
            if not spares:
                spares.append(breed(config, [control, *spares]))
            with spares.pop(0) as spare:
                socket.send_fds(spare, [wire.pack(message)], fds)
        except OSError as error:
            print(f"a session could not start: {error}", file=sys.stderr, flush=True)
        for fd in fds:  # before the next fork: the end of a session shows by nobody's holding its sockets
            os.close(fd)
        # One that the machine has no room for is tried again at the next session, which says so where none is left.
        with contextlib.suppress(OSError):
            while len(spares) < SPARES:
                spares.append(breed(config, [control, *spares]))
    for spare in spares:
        spare.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    processes.reap(set(processes.children(os.getpid())), timeout_s=2.0)  # the keepers, which clean up after themselves
    processes.reap(processes.kill_all({}, None, set()))
    if config["remove"]:
        shutil.rmtree(config["remove"], ignore_errors=True)
