"""The warm server: imports the student's libraries once, then forks a family of sessions for every message.

Inside the sandbox this folder is the package `inside`, and `main()` is called with the arguments FD CONFIG (see
`isolation.py`). Standard library only. It ends when the host does: its socket then reads as closed.
"""

import gc
import importlib
import json
import os
import shutil
import signal
import socket
import sys
from typing import Any

from . import keeper, processes, wire


def preload(names: list[str]) -> None:
    """Import the libraries, and do once what they put off to the first use (0.1 s in sympy's case)."""
    for name in names:
        importlib.import_module(name)
    if "sympy" in names:
        import sympy  # type: ignore[import-untyped]

        x, y = sympy.symbols("x y")
        sympy.solve(x**2 - 2, x)
        sympy.solve([x + y - 3, x - y - 1], [x, y])
        sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
        sympy.integrate(x * sympy.exp(x), x)
        str(sympy.factor(x**2 - 1)), sympy.sympify("2*x + 1").subs(x, 3).evalf(), sympy.factorint(360)
    if "numpy" in names:
        importlib.import_module("numpy.random")


def open_family(control: socket.socket, fds: list[int], message: dict[str, Any], config: dict[str, Any]) -> None:
    """Fork a keeper, which forks the session's worker. Raises OSError."""
    if processes.fork(processes.NEW_NAMESPACES) if config["strict"] else os.fork():
        return
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper.run(socket.socket(fileno=fds[0]), fds[1:], message, config)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    config = json.loads(sys.argv[2])
    if config["drop_root"]:
        processes.drop_root()
    if config["die_with_parent"]:  # after the change of identity, which takes it back
        processes.die_with_parent()
    preload(config["preload"])
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
    gc.collect()
    gc.freeze()
    control.sendall(wire.pack({"op": "ready"}))
    while received := wire.receive(control, 4):
        message, fds = received
        try:
            open_family(control, fds, message, config)
        except OSError as error:
            print(f"a session could not start: {error}", file=sys.stderr, flush=True)
        for fd in fds:
            os.close(fd)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    processes.reap(set(processes.children(os.getpid())), timeout_s=2.0)  # the keepers, which clean up after themselves
    processes.reap(processes.kill_all({}, None, set()))
    if config["remove"]:
        shutil.rmtree(config["remove"], ignore_errors=True)
