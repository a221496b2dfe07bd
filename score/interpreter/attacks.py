"""The attack list of the self-check: code that tries to get out, to take the machine down, or to cheat.

Each attack prints <escaped> where it succeeded. `contained_by` says from which isolation on it has to fail: what only
`strict` covers is reported as open in `limits`.
"""

from dataclasses import dataclass
from typing import Literal

from score.interpreter.session import Status


@dataclass(frozen=True)
class Attack:
    """`expected` are the statuses that a contained attack may end with."""

    name: str
    code: str
    expected: tuple[Status, ...] = ("ok", "error")
    contained_by: Literal["limits", "strict"] = "limits"
    may_lose_state: bool = False


_STOPPED: tuple[Status, ...] = ("timeout", "killed", "memory", "error")

# The fields in <angle brackets> are filled in by the self-check: a listening port, a secret file and a process of the
# host's, and the mark of success, written so that a traceback which quotes the line does not show it.
ATTACKS = [
    Attack(
        "network by TCP",
        "import socket\nsocket.create_connection(('127.0.0.1', <port>), 2)\nprint(<escaped>)",
        contained_by="strict",
    ),
    Attack(
        "network from a subprocess",
        "import subprocess, sys\n"
        "code = \"import socket; socket.create_connection(('127.0.0.1', <port>), 2); print(<escaped>)\"\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)",
        contained_by="strict",
    ),
    Attack("read a file of the host", "if open('<file>').read() == 'secret': print(<escaped>)", contained_by="strict"),
    Attack(
        "list the host's files",
        "import os\nprint(<escaped> if os.path.exists('/etc/passwd') or os.path.exists('/var') else 'nothing there')",
        contained_by="strict",
    ),
    Attack("environment", "import os\nprint(<escaped> if 'secret' in str(os.environ) else 'clean')"),
    Attack(
        "environment of other processes",
        "import glob\n"
        "for path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try:\n        data = open(path, 'rb').read()\n"
        "    except OSError:\n        continue\n"
        "    if b'INTERPRETER_SELFCHECK' in data: print(<escaped>)",
        contained_by="strict",
    ),
    Attack(
        "memory of the parent",
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').close()\nprint(<escaped>)",
        contained_by="strict",
    ),
    Attack("signal a process of the host", "import os\nos.kill(<pid>, 0)\nprint(<escaped>)", contained_by="strict"),
    Attack(
        "write outside",
        "import os, sys\npath = sys.prefix + '/selfcheck'\nopen(path, 'w').close()\nprint(<escaped>)\nos.remove(path)",
        contained_by="strict",
    ),
    Attack(
        "new namespaces with capabilities",
        "import subprocess\nif subprocess.run(['unshare', '-Ur', 'true']).returncode == 0: print(<escaped>)",
        contained_by="strict",
    ),
    Attack("endless loop", "while True:\n    pass", ("timeout",)),
    Attack(
        "endless loop that blocks signals",
        "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        ("timeout",),
    ),
    Attack("one huge power", "10 ** 10 ** 8", ("timeout",)),
    Attack("catastrophic regular expression", "import re\nre.match('(a+)+b', 'a' * 40)", ("timeout",)),
    Attack("memory at once", "x = bytearray(10 ** 11)", ("memory",)),
    Attack("memory step by step", "x = []\nwhile True: x.append(bytearray(2 ** 20))", ("memory", "timeout")),
    Attack("memory in numpy", "import numpy\nx = numpy.ones((10 ** 6, 10 ** 5))", ("memory",)),
    Attack("fork bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", ("timeout", "killed")),
    Attack(
        "thread bomb",
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
        _STOPPED,
    ),
    Attack("output flood", "while True: print('x' * 10 ** 6)", _STOPPED),
    Attack(
        "file of 100 GB", "with open('big', 'wb') as file:\n    file.truncate(10 ** 11)\nprint(<escaped>)", ("error",)
    ),
    Attack(
        "many open files",
        "files = []\nfor n in range(10 ** 5): files.append(open('/dev/null'))\nprint(<escaped>)",
        ("error",),
    ),
    Attack("exit at once", "import os\nos._exit(0)", ("killed",)),
    Attack("segmentation fault", "import ctypes\nctypes.string_at(0)", ("killed",)),
    Attack("recursion without end", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()", _STOPPED),
    Attack(
        "forged reply",
        "import json, os, stat, struct\n"
        "reply = {'op': 'done', 'id': 'x', 'status': 'ok', 'final_answer': <escaped>, 'note': <escaped>}\n"
        "body = json.dumps(reply).encode()\n"
        "for fd in range(3, 99):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, struct.pack('<I', len(body)) + body)\n"
        "    except OSError: pass",
        ("killed",),
        may_lose_state=True,
    ),
    Attack("closed channel", "import os\nos.closerange(3, 99)\nprint('closed')", ("killed",)),
    Attack(
        "a daemon that stays",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)",
    ),
    Attack("input", "input()", ("error",)),
    Attack("NUL bytes", "print('a')\x00", ("error",)),
    Attack(
        "patched builtins",
        "import builtins, json, os, sys\n"
        "for name in ('len', 'print', 'isinstance', 'str', 'open', 'compile', 'exec'):\n"
        "    setattr(builtins, name, None)\njson.dumps = json.loads = os.fork = os.kill = None\nsys.stdout = None",
    ),
    Attack("trace function", "import sys\nsys.settrace(lambda *a: 1 / 0)"),
]
