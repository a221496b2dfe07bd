"""The server's heap as a sealed file that it maps privately: a fork then copies hardly any page table.

A fork copies the page tables of a process entry by entry, which for numpy and sympy takes longer than all else that a
session's start does. Pages of a file it leaves out: a process finds them in the file when it needs them, sixteen at a
time, and has its own copy of those that it writes to, as it would have of any other memory.

A region's memory has to be put into the file, and the file in the region's place, without a single write between the
two, and every line of Python writes to the heap. So the two calls of the C library are chained by `makecontext(3)`: the
first goes on with the second by itself, on stacks that lie elsewhere. (Doing it from another process would need the
right to trace this one, which containers often refuse.)
"""

import ctypes
import fcntl
import mmap
import os

_MIN = 2**20  # smaller regions are not worth a mapping; the threads' own memory is in such
_ROOM = 2**16  # for a context and its stack; the C library's largest context has 4.5 KB
_ZEROS = bytes(mmap.PAGESIZE)
_MAP_FIXED = 0x10

_libc = ctypes.PyDLL(None, use_errno=True)
_Words = ctypes.c_size_t * 2


class _Context(ctypes.Structure):
    """The beginning of `ucontext_t` on 64-bit Linux; the C library keeps the rest."""

    _fields_ = [
        ("flags", ctypes.c_ulong),
        ("link", ctypes.c_void_p),
        ("stack", ctypes.c_void_p),
        ("stack_flags", ctypes.c_int),
        ("stack_size", ctypes.c_size_t),
    ]


def share() -> bool:
    """Put this process's heap into a file that nobody can write to. False where that is not possible: all is as before.

    Only for a process with one thread. Tried in a fork first: where the C library's contexts are not what is assumed
    here, that one dies and not this one.
    """
    try:
        if ctypes.sizeof(ctypes.c_void_p) != 8 or not hasattr(_libc, "makecontext"):
            return False
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if _share(_regions()[:1]) else 1)  # one is enough to tell, and to copy all takes time
            finally:
                os._exit(1)
        return os.waitpid(pid, 0)[1] == 0 and _share(_regions())
    except OSError:
        return False


def _share(regions: list[tuple[int, int]]) -> bool:
    """Raises OSError; what was shared until then stays so, and nothing is lost."""
    size = sum(length for _, length in regions)
    file = os.memfd_create("heap", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(file, 0, size)  # here it may fail, but not in the copying
        room = mmap.mmap(-1, 3 * _ROOM)
        with mmap.mmap(file, size) as view:
            offset = 0
            for begin, length in regions:
                _replace(begin, length, view, file, offset, room)
                offset += length
            _leave_out_zeros(view)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    finally:
        os.close(file)
    return set(regions).isdisjoint(_regions())


def _regions() -> list[tuple[int, int]]:
    """This process's private memory that is of no file: begin and length in bytes.

    Without stacks, and without what the C library has mapped for one object each: such an object grows by its mapping,
    and would grow into the file's next region, or past the file's end.
    """
    found = []
    with open("/proc/self/maps") as file:
        for line in file:
            span, rights, _, _, inode, *name = line.split(maxsplit=5)
            if rights != "rw-p" or inode != "0" or (name and name[0].strip() != "[heap]"):
                continue
            begin, end = (int(address, 16) for address in span.split("-"))
            for single, length in _single_objects(begin, end) if end - begin >= _MIN else ():
                found.append((begin, single - begin))
                begin = single + length
            found.append((begin, end - begin))
    return [(begin, length) for begin, length in found if length >= _MIN]


def _single_objects(begin: int, end: int) -> list[tuple[int, int]]:
    """The mappings that glibc's `malloc` made for one object: at their first word, what is before it, a whole number of
    pages, and then the length with three bits, of which the second says so. (What only looks like one stays as it is.)
    """
    found = []
    page = begin
    while page < end:
        before, length = _Words.from_address(page)
        size = length & ~7
        if length & 7 == 2 and not before % mmap.PAGESIZE and not size % mmap.PAGESIZE and 0 < size <= end - page:
            found.append((page, size))
            page += size
        else:
            page += mmap.PAGESIZE
    return found


def _replace(begin: int, length: int, view: mmap.mmap, file: int, offset: int, room: mmap.mmap) -> None:
    """Copy a region into `view` at `offset`, and map that part of the file in its place."""
    anchor = ctypes.c_char.from_buffer(view, offset)
    target = ctypes.addressof(anchor)
    del anchor
    rights, how = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
    _in_turn(room, (_libc.memcpy, target, begin, length), (_libc.mmap, begin, length, rights, how, file, offset))


def _in_turn(room: mmap.mmap, *calls: tuple[object, *tuple[int, ...]]) -> None:
    """Call functions of the C library one after the other, with nothing between them. Raises OSError.

    `room` has `_ROOM` bytes for each and for the place to come back to.
    """
    contexts = [_Context.from_buffer(room, number * _ROOM) for number in range(len(calls) + 1)]
    here = contexts[-1]
    for context, following, (function, *arguments) in zip(contexts, contexts[1:], calls, strict=False):
        if _libc.getcontext(ctypes.byref(context)) != 0:
            raise OSError(ctypes.get_errno(), "getcontext")
        context.link = ctypes.addressof(following)
        context.stack, context.stack_size = ctypes.addressof(context) + _ROOM // 2, _ROOM // 2
        pointer = ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        _libc.makecontext(ctypes.byref(context), pointer, len(arguments), *map(ctypes.c_ulong, arguments))
    if _libc.swapcontext(ctypes.byref(here), ctypes.byref(contexts[0])) != 0:
        raise OSError(ctypes.get_errno(), "swapcontext")


def _leave_out_zeros(view: mmap.mmap) -> None:
    """Give back the file's pages that hold nothing: memory that was never written to is in the regions, too."""
    begin = None
    for offset in range(0, len(view) + 1, mmap.PAGESIZE):
        if view[offset : offset + mmap.PAGESIZE] == _ZEROS:
            begin = offset if begin is None else begin
        elif begin is not None:
            view.madvise(mmap.MADV_REMOVE, begin, offset - begin)
            begin = None
