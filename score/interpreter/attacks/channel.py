"""Attacks on the way between a session and the host, and on what the host is told."""

from score.interpreter.attacks.attack import Attack

_FORGE = """
import json, os, stat, struct
reply = {'op': 'done', 'id': 'x', 'status': 'ok', 'final_answer': <escaped>, 'note': <escaped>}
body = json.dumps(reply).encode()
for fd in range(3, 99):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, struct.pack('<I', len(body)) + body)
    except OSError: pass
"""
_SOCKETS = """
import os, stat
def sockets():
    for fd in range(3, 99):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode): yield fd
        except OSError: pass
"""

CHANNEL = [
    Attack("channel: a forged reply", _FORGE, ("killed",), may_lose_state=True),
    Attack(
        "channel: a forged reply from a child",
        "import os\nif os.fork() == 0:\n    " + _FORGE.strip().replace("\n", "\n    ") + "\n    os._exit(0)\nos.wait()",
        ("ok", "killed"),
        may_lose_state=True,
    ),
    Attack("channel: closed", "import os\nos.closerange(3, 99)\nprint('closed')", ("killed",)),
    Attack(
        "channel: shut down",
        _SOCKETS + "import socket\nfor fd in sockets(): socket.socket(fileno=fd).shutdown(2)",
        ("killed",),
        may_lose_state=True,
    ),
    Attack(
        "channel: noise",
        _SOCKETS + "for fd in sockets(): os.write(fd, b'\\xff' * 1000)",
        ("killed",),
        may_lose_state=True,
    ),
    Attack(
        "channel: a message that never ends",
        _SOCKETS + "for fd in sockets(): os.write(fd, b'\\x00\\x00\\x00\\x01' + b' ' * 1000)",
        ("killed", "timeout"),
        may_lose_state=True,
        timeout_s=0.4,
    ),
    Attack(
        "channel: a flood",
        _SOCKETS + "for fd in sockets():\n    for _ in range(1000): os.write(fd, b'\\x02\\x00\\x00\\x00{}' * 1000)",
        ("killed", "timeout"),
        may_lose_state=True,
        timeout_s=0.4,
    ),
    Attack(
        "channel: a call of a tool that is none",
        _SOCKETS
        + """
import json, struct
body = json.dumps({'op': 'tool', 'id': 'x', 'name': 'os.system', 'args': ['true'], 'kwargs': {}}).encode()
for fd in sockets(): os.write(fd, struct.pack('<I', len(body)) + body)
""",
        ("killed",),
        may_lose_state=True,
    ),
    Attack(
        "channel: standard streams closed",
        "import os\nos.close(0)\nos.close(1)\nos.close(2)",
        ("ok", "error", "killed"),
    ),
    Attack("channel: standard streams redirected", "import os\nos.dup2(os.open('/dev/null', 1), 1)\nprint('lost')"),
    Attack("channel: another print", "import builtins\nbuiltins.print = lambda *a: 1 / 0\nprint = None"),
    Attack("channel: stdout replaced", "import io, sys\nsys.stdout = sys.stderr = sys.__stdout__ = io.StringIO()"),
    Attack("channel: stdout closed", "import sys\nsys.stdout.close()"),
    Attack(
        "objects: the loop's own, by the garbage collector",
        """
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == 'Worker':
        thing.note = thing.answer = None
        thing.step = 'forged'
""",
        ("killed", "ok"),
        may_lose_state=True,
    ),
    Attack(
        "objects: the loop's own, by frames",
        """
import sys
frame = sys._getframe()
while frame:
    frame.f_globals.pop('_pack', None)
    for name in list(frame.f_locals):
        if name == 'self': frame.f_locals[name].socket.close()
    frame = frame.f_back
""",
        ("killed", "error", "ok"),
        may_lose_state=True,
    ),
    Attack(
        "objects: secrets of the host or of other sessions, by the garbage collector",
        """
import gc
word = 'untou' + 'ched'
for thing in gc.get_objects():
    if isinstance(thing, dict):
        for value in list(thing.values()):
            if isinstance(value, str) and (word in value or value == 'sec' + 'ret'): print(<escaped>)
""",
    ),
    Attack(
        "objects: secrets in one's own memory",
        """
needle = bytes(b + 1 for b in b'HMSDQOQDSDQ^RDKEBGDBJ') + b'='
with open('/proc/self/mem', 'rb', 0) as memory:
    for line in open('/proc/self/maps'):
        span, rights = line.split()[:2]
        if 'w' not in rights: continue
        start, end = (int(n, 16) for n in span.split('-'))
        memory.seek(start)
        try:
            data = memory.read(min(end - start, 2 ** 26))
        except (OSError, MemoryError): continue
        place = data.find(needle)
        while place >= 0:  # never the two words side by side in here, or this would find itself
            if data[place + len(needle):][:6] == b'secret': print(<escaped>)
            place = data.find(needle, place + 1)
""",
    ),
    Attack(
        "objects: out by subclasses",
        """
for kind in ().__class__.__base__.__subclasses__():
    if kind.__name__ == 'Popen':
        said = kind('cat <file>', shell=True, stdout=-1).communicate()[0]
        if said == b'secret': print(<escaped>)
""",
        contained_by="strict",
    ),
]
