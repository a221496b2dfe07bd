"""Process handling inside the sandbox: clone with flags, and the tree of a process's descendants."""

import ctypes
import os
import resource
import signal
import time
from collections.abc import Set
from typing import Any

SIBLING = 0x00008000  # CLONE_PARENT: the new process is a child of our parent

_SET_TID, _CLEAR_TID = 0x01000000, 0x00200000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_PR_SET_NO_NEW_PRIVS, _PR_GET_TID_ADDRESS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 40, 22, 2
_SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220}.get(os.uname().machine)

_NOBODY = 65534
_PAGE = os.sysconf("SC_PAGESIZE")
_WCLONE = -(2**31)  # the flag's bits as a signed int
_ANY_CHILD = 0x40000000  # __WALL: those that were forked with another exit signal as well
_LIMITS = 16
FORKS = 32  # of a session; for so many the limit of processes leaves room, and not for a larger fork bomb
_OF_EACH = 3  # the worker, a snapshot, and the one before it until it is collected

# PyDLL keeps the interpreter lock during the call, as os.fork does.
_libc = ctypes.PyDLL(None, use_errno=True)
_python = ctypes.pythonapi
_stat = os.stat  # bound early: a session may patch it for itself
# For capset(2), made once: what a fork makes anew is memory that every session has for itself.
_CAPABILITY_HEADER, _NO_CAPABILITIES = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()


def fork(flags: int = 0, exit_signal: int = signal.SIGCHLD, alone: bool = False) -> int:
    """`os.fork` with clone flags. Raises OSError.

    `alone` says that this process has one thread only: then there is nothing that Python would have to repair in the
    child, and leaving out its handlers saves the child some hundred copied pages.

    Python's own fork takes no flags. Without them a namespace costs a second fork, and a snapshot (forked with
    `exit_signal=0`, collected with `collect`) would be a child that the student's `os.wait()` waits for.
    """
    if _SYS_CLONE is None:
        raise OSError(f"no clone on {os.uname().machine}")
    tid_address = ctypes.c_ulong(0)
    # The C library keeps the thread's id in its own memory; the kernel has to write the child's there.
    tid_flags = 0
    if _libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(tid_address), 0, 0, 0) == 0:
        tid_flags = _SET_TID | _CLEAR_TID
    tid = ctypes.c_ulong(tid_address.value)
    zero = ctypes.c_ulong(0)
    # On x86 the order is (flags, stack, parent tid, child tid, tls), elsewhere the last two are swapped.
    last = (tid, zero) if _SYS_CLONE == 56 else (zero, tid)
    if not alone:
        _python.PyOS_BeforeFork()
    pid: int = _libc.syscall(_SYS_CLONE, ctypes.c_ulong(flags | tid_flags | exit_signal), zero, zero, *last)
    if pid == 0:
        if not alone:
            _python.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    if not alone:
        _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, os.strerror(error))
    return pid


def alone() -> bool:
    """Whether this process has one thread only, those that C libraries started included."""
    return _stat("/proc/self/task").st_nlink == 3  # as of a folder with one folder in it


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process. Raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def die_with_parent(with_signal: int = signal.SIGKILL) -> None:
    prctl(_PR_SET_PDEATHSIG, with_signal)


def adopt_orphans() -> None:
    """Descendants whose parent ends become our children, so that none is lost from the tree."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def no_new_privileges() -> None:
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability in the own user namespace. Raises OSError."""
    if _libc.capset(_CAPABILITY_HEADER, _NO_CAPABILITIES) != 0:
        raise OSError(ctypes.get_errno(), "capset")


class _Program(ctypes.Structure):
    """The kernel's `struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def prepare_filter(instructions: str) -> _Program | None:
    """A seccomp filter from its hexadecimal form, None from an empty one."""
    program = bytes.fromhex(instructions)
    return _Program(len(program) // 8, program) if program else None


def filter_system_calls(program: _Program) -> None:
    """Install a seccomp filter for this process and all that it starts, for good. Raises OSError."""
    if _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def limit(config: dict[str, Any]) -> None:
    """Take the limits of `config` for this process and all that it starts, for good. Raises OSError."""

    def both(kind: int, value: int) -> None:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))

    both(resource.RLIMIT_AS, config["memory_mb"] * 2**20)
    both(resource.RLIMIT_FSIZE, config["file_size_mb"] * 2**20)
    both(resource.RLIMIT_NOFILE, config["open_files"])
    both(resource.RLIMIT_CORE, 0)
    if config["strict"]:
        # Counted in the family's own user namespace, for all its sessions together; the host counts each one's own. In
        # `limits` the count would be of all that the user runs.
        both(resource.RLIMIT_NPROC, config["processes"] + 8 + _OF_EACH * FORKS)
    no_new_privileges()
    if config["seccomp"]:
        filter_system_calls(config["seccomp"])


def end_all_others() -> None:
    """Kill all processes of our PID namespace, whose first we are, and wait until none is left."""
    while True:
        send(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, _ANY_CHILD)  # they all become our children when their parents end
        except ChildProcessError:
            return


def attributes() -> tuple[Any, ...]:
    """What another process of our user could change about us: limits, priority, scheduling. (Its kinds of input and
    output are the filter's to keep: Python cannot ask for them.)"""
    limits = [resource.getrlimit(kind) for kind in range(_LIMITS)]
    scheduling = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority, os.sched_getaffinity(0)
    return limits, os.getpriority(os.PRIO_PROCESS, 0), *scheduling


def children(pid: int) -> list[int]:
    """The child processes of `pid` (of all its threads); none where it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def address_space_mb() -> int:
    """This process's own, which is what the limit of memory counts."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * _PAGE // 2**20


def resident_mb(pid: int) -> float:
    """The memory of `pid` that belongs to no file, as far as it is in RAM; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            _, resident, of_files, *_ = map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (resident - of_files) * _PAGE / 2**20


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself


def drop_root() -> None:
    """Become nobody where we are the host's root: the kernel exempts root from the limit of processes.

    Raises OSError, where a user namespace leaves root no other identity to take.
    """
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        prctl(_PR_SET_DUMPABLE, 1)  # else our own files in /proc stay root's, and no namespace can be set up


def owned(root: int, owners: dict[int, int], enough: int = 2**31) -> dict[int, int | None]:
    """The descendants of `root` with their owners: the nearest ancestor (or self) named in `owners`, or None.

    All of them, unless there are more than `enough`: then the look ends, because a fork bomb outgrows it.
    """
    found: dict[int, int | None] = {}
    todo: list[tuple[int, int | None]] = [(root, None)]
    while todo and len(found) <= enough:
        pid, owner = todo.pop()
        for child in children(pid):
            if child not in found:
                found[child] = owners.get(child, owner)
                todo.append((child, found[child]))
    return found


def kill_all(
    owners: dict[int, int], victim: int | None, spare: set[int], group: int = 0, own_namespace: bool = False
) -> set[int]:
    """Kill our descendants that `victim` owns and those that nobody owns, but for the ones in `spare`.

    First stop them, because a stopped process cannot fork away from the list: in a PID namespace of our own all
    processes at once, else the process group `group` at once and then, until a look finds no new one, whoever left it.
    Returns whom it killed.
    """
    root = os.getpid()
    if own_namespace:
        send(-1, signal.SIGSTOP)
    elif group:
        send(-group, signal.SIGSTOP)
    stopped: set[int] = set()
    for _ in range(1000):
        tree = owned(root, owners)
        targets = {pid for pid, owner in tree.items() if owner in (victim, None)} - spare
        if not (new := targets - stopped):
            break
        for pid in new:
            send(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        send(pid, signal.SIGKILL)
    if own_namespace:
        send(-1, signal.SIGCONT)
    else:
        for pid in spare:
            send(pid, signal.SIGCONT)
    return stopped


def reap(wait_for: Set[int] = frozenset(), timeout_s: float = 5.0) -> dict[int, int]:
    """Collect ended children: pid -> wait status. Waits (a little) until none of `wait_for` is left."""
    ended: dict[int, int] = {}
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid:
            ended[pid] = status
        elif time.monotonic() > deadline or not any(os.path.exists(f"/proc/{waiting}") for waiting in wait_for):
            return ended
        else:
            time.sleep(0.0005)


def collect(pid: int) -> None:
    """Wait for a child that was forked with `exit_signal=0`."""
    try:
        os.waitpid(pid, _WCLONE)
    except ChildProcessError:
        pass  # no longer ours


def is_live_child(pid: int) -> bool:
    """Whether `pid` is a child of ours that has not ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and int(parent) == os.getpid()
