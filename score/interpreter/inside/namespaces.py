"""A keeper's namespaces: made once, and their private files made as new for each further family."""

import ctypes
import errno
import fcntl
import os
from contextlib import suppress
from itertools import islice

NEW = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000  # mount, IPC, user, PID
FILES = 20_000  # in a session's private files: empty ones take memory too, which their size does not show

_READ_ONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_PRIVATE = {"/tmp": _NOSUID | _NODEV, "/dev/shm": _NOSUID | _NODEV | _NOEXEC}
_TERMINALS = "/dev/pts"
_OURS = 0o40700  # a folder's mode that only its owner may use
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS
_FEW = 64  # folders of sessions that are removed one by one

_libc = ctypes.PyDLL(None, use_errno=True)


def settle(uid: int, gid: int, disk_mb: int) -> None:
    """Make fresh namespaces a home of their own: identity, /proc, private files, terminals. Raises OSError.

    `uid` and `gid` are the ones from before the namespaces; they stay the same inside.
    """
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        _write(f"/proc/self/{name}", line)
    # No namespace of its own in which the student's code would have capabilities again.
    _write("/proc/sys/user/max_user_namespaces", "0")
    # Read-only: where the host's user is root, files below /proc/sys could be written otherwise.
    _mount("proc", "/proc", "proc", _READ_ONLY | _NOSUID | _NODEV | _NOEXEC)
    for folder in _PRIVATE:
        _mount_private(folder, disk_mb)
    _mount_terminals()


def renew(disk_mb: int) -> None:
    """Leave no file of a family whose processes have ended. Raises OSError.

    Where it left nothing the mounts stay: each unmounting makes all processors wait for each other, which a hundred
    sessions a second feel. There is nothing but files to leave behind: the filter of system calls forbids the rest.
    """
    for folder in _PRIVATE:
        if not _is_as_new(folder):
            if _libc.umount2(folder.encode(), 0) != 0:
                raise OSError(ctypes.get_errno(), f"unmounting {folder}")
            _mount_private(folder, disk_mb)


def _is_as_new(folder: str) -> bool:
    """Whether nothing is in it, once the sessions' own folders are gone if they are empty, nor said on it."""
    try:
        with os.scandir(folder) as entries:
            for entry in list(islice(entries, _FEW)):
                with suppress(OSError):
                    os.rmdir(entry.path)
        os.utime(folder, (0, 0))
        space, root = os.statvfs(folder), os.stat(folder)
        ours = (root.st_mode, root.st_uid, root.st_gid) == (_OURS, os.getuid(), os.getgid())
        return space.f_files - space.f_ffree == 1 and ours and not os.listxattr(folder) and not _flags(folder)
    except OSError:
        return False


def _flags(folder: str) -> int:
    """What `chattr` could have set on it; 0 where the kernel's tmpfs has no flags."""
    file = os.open(folder, os.O_RDONLY)
    try:
        return int.from_bytes(fcntl.ioctl(file, _GET_FLAGS, bytes(8)), "little")
    except OSError as error:
        if error.errno == errno.ENOTTY:
            return 0
        raise
    finally:
        os.close(file)


def _mount_private(folder: str, disk_mb: int) -> None:
    _mount("tmpfs", folder, "tmpfs", _PRIVATE[folder], f"size={disk_mb}m,nr_inodes={FILES},mode=700")


def _mount_terminals() -> None:
    """Terminals of our own: those that we came with are the same for all keepers.

    A terminal goes with the last process that has it open, so none is left for the next family. Read-only, so that
    nothing is left on the folder and its `ptmx` either; terminals are made and written to all the same.
    """
    common = _READ_ONLY | _NOSUID | _NOEXEC
    try:
        _mount("devpts", _TERMINALS, "devpts", common, "newinstance,ptmxmode=0666,mode=620")
    except OSError:  # a kernel that allows no set of our own: then there are none
        _mount("tmpfs", _TERMINALS, "tmpfs", common | _NODEV, "mode=755")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    if _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mounting {target}")


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    os.write(file, text.encode())
    os.close(file)
