"""The system calls that strict sessions cannot make, as a filter that the kernel runs.

libseccomp writes the filter (the library itself, which Debian maintains and apt depends on: PyPI's pyseccomp, a wrapper
of the same calls, had its last release in 2021, and bubblewrap's `--seccomp` would also bind the server, which needs
namespaces and mounts). The namespaces hold without it; it takes away what most kernel exploits begin with, sockets,
by which the sessions of one server could reach each other (they share its network namespace: one for each is dear to
make and to take down), and memory that no limit counts.
"""

import ctypes
import errno
import os

_DENIED = (
    # other processes' memory, and the kernel's own debugging
    "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd perf_event_open bpf userfaultfd syslog "
    # keys, modules, other kernels, clocks, swap, accounting
    "add_key request_key keyctl init_module finit_module delete_module kexec_load kexec_file_load reboot "
    "settimeofday clock_settime clock_adjtime adjtimex swapon swapoff acct quotactl personality iopl ioperm vhangup "
    # mounts and namespaces
    "mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr unshare setns "
    "name_to_handle_at open_by_handle_at "
    # other processes' scheduling and memory policy, by which a session could harm the next one of its keeper
    "sched_setattr ioprio_set migrate_pages move_pages "
    # io_uring works around filters; memfd and System V memory around the limits of memory and disk; what is left in
    # queues and semaphores would be there for the next session of the keeper
    "io_uring_setup io_uring_enter io_uring_register memfd_create memfd_secret shmget msgget semget mq_open"
).split()
# No socket but a connected pair (asyncio, multiprocessing), and of these no datagrams: such a socket serves any sender
# as soon as its peer is gone. A name would show in the other sessions, as taken.
_SOCKETS = "socket bind connect".split()
_UNIX, _PAIRS, _KINDS = 1, (1, 5), 0xF  # stream, sequenced packets; the bits that hold the kind
_NAMESPACES = (0x00000080, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _MASKED = 1, 7


class _Comparison(ctypes.Structure):
    """libseccomp's `struct scmp_arg_cmp`."""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


def syscall_filter() -> bytes | None:
    """The filter as the kernel takes it (8 bytes an instruction), or None where libseccomp is not installed.

    Raises OSError where libseccomp fails.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))

    def deny(name: str, *comparison: int, error: int = errno.EPERM) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return  # newer than the library
        array = _Comparison(*comparison) if comparison else None
        pointer = ctypes.byref(array) if array is not None else None
        action = ctypes.c_uint32(_ERRNO | error)
        failed = library.seccomp_rule_add_array(context, action, number, ctypes.c_uint(bool(comparison)), pointer)
        if failed:
            raise OSError(-failed, f"libseccomp has no rule for {name}: {os.strerror(-failed)}")

    try:
        for name in _DENIED:
            deny(name)
        for name in _SOCKETS:
            deny(name, error=errno.EACCES)
        deny("socketpair", 0, _NOT_EQUAL, _UNIX, 0, error=errno.EACCES)
        for kind in range(_KINDS + 1):
            if kind not in _PAIRS:
                deny("socketpair", 1, _MASKED, _KINDS, kind, error=errno.EACCES)
        for flag in _NAMESPACES:
            deny("clone", 0, _MASKED, flag, flag)
        deny("clone3", error=errno.ENOSYS)  # its flags are out of a filter's sight; the C library then uses clone
        file = os.memfd_create("filter", os.MFD_CLOEXEC)
        try:
            if failed := library.seccomp_export_bpf(context, file):
                raise OSError(-failed, f"libseccomp cannot write its filter: {os.strerror(-failed)}")
            return os.pread(file, os.fstat(file).st_size, 0)
        finally:
            os.close(file)
    finally:
        library.seccomp_release(context)
