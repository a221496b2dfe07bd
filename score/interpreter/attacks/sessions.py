"""Attacks on another session; in `strict` they share an empty network and a read-only `/dev` with it."""

from score.interpreter.attacks.attack import Attack, outward

_LISTEN = """
import socket, threading
try:
    listener = socket.socket(<family>)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(<address>)
    listener.listen()
    def serve():
        while True: listener.accept()[0].sendall(b'secret')
    threading.Thread(target=serve, daemon=True).start()
except OSError as error:
    print(error)
"""
_READ = """
import socket
with socket.socket(<family>) as s:
    s.settimeout(2)
    s.connect(<address>)
    if s.recv(100) == b'secret': print(<escaped>)
"""
# A datagram socket of a pair is one like any other once its peer is gone; and the kernel names a socket that sends
# credentials and has no name yet.
_ORPHAN = """
import socket
try:
    orphan, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    <name>
    peer.close()
    try: orphan.send(b'x')
    except ConnectionRefusedError: pass
except OSError as error:
    print(error)
"""
_SEND = """
import re, socket
s, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
for name in <names>:
    try: sent = s.sendto(b'hello', '\\0' + name)
    except OSError: continue
    print(<escaped>)
"""
# What `inside/heap.py` made; where it could not, there is nothing to attack.
_HEAP = """
import ctypes, sys
lines = [line for line in open('/proc/self/maps') if 'memfd:heap' in line]
if not lines: sys.exit()
begin, end = (int(address, 16) for address in lines[-1].split()[0].split('-'))
libc = ctypes.CDLL(None)
"""


def _at(code: str, family: str, address: str) -> str:
    return code.replace("<family>", family).replace("<address>", address)


_TCP = "socket.AF_INET", "('127.0.0.1', <between>)"
_ABSTRACT = "socket.AF_UNIX", "'\\0score-selfcheck-<between>'"

SESSIONS = [
    outward("session: TCP to another's port", _at(_READ, *_TCP), needs_seccomp=True, victim=_at(_LISTEN, *_TCP)),
    outward(
        "session: another's abstract Unix name",
        _at(_READ, *_ABSTRACT),
        needs_seccomp=True,
        victim=_at(_LISTEN, *_ABSTRACT),
    ),
    outward(
        "session: a port that another holds",
        """
import errno, socket
try: socket.create_server(('127.0.0.1', <between>))
except OSError as error:
    if error.errno == errno.EADDRINUSE: print(<escaped>)
""",
        needs_seccomp=True,
        victim=_at(_LISTEN, *_TCP),
    ),
    outward(
        "session: an abstract name that another holds, by a socket of a pair",
        """
import errno, socket
s, _ = socket.socketpair()
try: s.bind('\\0score-selfcheck-<between>')
except OSError as error:
    if error.errno == errno.EADDRINUSE: print(<escaped>)
""",
        needs_seccomp=True,
        victim="import socket\nheld, _ = socket.socketpair()\n"
        "try: held.bind('\\0score-selfcheck-<between>')\nexcept OSError as error: print(error)",
    ),
    outward(
        "session: a datagram to another's socket of a pair",
        _SEND.replace("<names>", "['score-selfcheck-<between>']"),
        needs_seccomp=True,
        victim=_ORPHAN.replace("<name>", "orphan.bind('\\0score-selfcheck-<between>')"),
    ),
    outward(
        "session: a datagram to another's socket of a pair, which the kernel named",
        _SEND.replace("<names>", "re.findall(r'@([0-9a-f]{5})$', open('/proc/net/unix').read(), re.M)"),
        needs_seccomp=True,
        victim=_ORPHAN.replace("<name>", "orphan.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)"),
    ),
    outward(
        "session: another's terminal",
        """
import os
if set(os.listdir('/dev/pts')) - {'ptmx'}: print(<escaped>)
os.write(os.open('/dev/pts/0', os.O_RDWR | os.O_NOCTTY), b'hello')
print(<escaped>)
""",
        dangerous=True,  # they would be the host's
        victim="import os\ntry: ends = os.openpty()\nexcept OSError as error: print(error)",
    ),
    Attack(
        "session: the heap that all begin with, taken out of its file",
        _HEAP
        + "from ctypes import c_ulong\n"
        + "for advice in (9, 14, 21):\n"  # MADV_REMOVE, MADV_HUGEPAGE, MADV_PAGEOUT
        + "    libc.madvise(c_ulong(begin), c_ulong(end - begin), advice)\n"
        + "if libc.madvise(c_ulong(begin), c_ulong(end - begin), 9) == 0: print(<escaped>)",
    ),
    Attack(
        "session: the heap that all begin with, by its file",
        _HEAP
        + "with open(f'/proc/self/map_files/{begin:x}-{end:x}', 'r+b') as file: file.write(b'x')\nprint(<escaped>)",
    ),
    Attack(
        "session: the heap that all begin with, by a mapping that others share",
        _HEAP + "libc.remap_file_pages(ctypes.c_ulong(begin), ctypes.c_ulong(4096), 0, ctypes.c_ulong(1), 0)\n"
        "libc.mremap.restype = ctypes.c_long\n"
        "at = libc.mremap(ctypes.c_ulong(begin), ctypes.c_ulong(0), ctypes.c_ulong(4096), 1)\n"  # 0: one more mapping
        "shared = [line.split('-')[0] for line in open('/proc/self/maps') if 'rw-s' in line]\n"
        "if f'{at:x}' in shared: print(<escaped>)",
    ),
]
