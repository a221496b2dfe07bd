"""The attack list of the self-check: code that tries to get out, to take the machine down, or to cheat.

Each attack prints ESCAPED where it succeeded. `contained_by` says from which isolation on it has to fail: what only
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


_STOPPED: tuple[Status, ...] = ("timeout", "killed", "memory", "error")

# The fields in <angle brackets> are filled in by the self-check: a listening port, a secret file and a process of the
# host's, all of them made for the purpose.
ATTACKS = [
    Attack(
        "network by TCP",
        "import socket\nsocket.create_connection(('127.0.0.1', <port>), 2)\nprint('ESCAPED')",
        contained_by="strict",
    ),
    Attack(
        "network from a subprocess",
        "import subprocess, sys\n"
        "code = \"import socket; socket.create_connection(('127.0.0.1', <port>), 2); print('ESC' + 'APED')\"\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)",
        contained_by="strict",
    ),
    Attack(
        "read a file of the host", "print(open('<file>').read().replace('secret', 'ESCAPED'))", contained_by="strict"
    ),
    Attack(
        "list the host's files",
        "import os\nprint('ESCAPED' if os.path.exists('/etc/passwd') or os.path.exists('/var') else 'nothing there')",
        contained_by="strict",
    ),
    Attack("environment", "import os\nprint('ESCAPED' if 'secret' in str(os.environ) else 'clean')"),
    Attack(
        "environment of other processes",
        "import glob\n"
        "for path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try:\n        data = open(path, 'rb').read()\n"
        "    except OSError:\n        continue\n"
        "    if b'INTERPRETER_SELFCHECK' in data: print('ESCAPED')",
        contained_by="strict",
    ),
    Attack(
        "memory of the parent",
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').close()\nprint('ESCAPED')",
        contained_by="strict",
    ),
    Attack("signal a process of the host", "import os\nos.kill(<pid>, 0)\nprint('ESCAPED')", contained_by="strict"),
    Attack(
        "write outside",
        "import sys\nopen(sys.prefix + '/selfcheck', 'w').close()\nprint('ESCAPED')\nimport os\nos.remove(sys.prefix + '/selfcheck')",
        contained_by="strict",
    ),
    Attack(
        "new namespaces with capabilities",
        "import subprocess\nif subprocess.run(['unshare', '-Ur', 'true']).returncode == 0: print('ESCAPED')",
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
        "file of 100 GB", "with open('big', 'wb') as file:\n    file.truncate(10 ** 11)\nprint('ESCAPED')", ("error",)
    ),
    Attack(
        "many open files",
        "files = []\nfor n in range(10 ** 5): files.append(open('/dev/null'))\nprint('ESCAPED')",
        ("error",),
    ),
    Attack("exit at once", "import os\nos._exit(0)", ("killed",)),
    Attack("segmentation fault", "import ctypes\nctypes.string_at(0)", ("killed",)),
    Attack("recursion without end", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()", _STOPPED),
    Attack(
        "forged reply",
        "import json, os, stat, struct\n"
        "body = json.dumps({'op': 'done', 'id': 'x', 'status': 'ok', 'final_answer': 'ESCAPED', 'note': 'ESCAPED'}).encode()\n"
        "for fd in range(3, 99):\n"
        "    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode): os.write(fd, struct.pack('<I', len(body)) + body)\n"
        "    except OSError: pass",
        ("killed",),
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
        "import builtins, json, os, sys\nfor name in ('len', 'print', 'isinstance', 'str', 'open', 'compile', 'exec'):\n"
        "    setattr(builtins, name, None)\njson.dumps = json.loads = os.fork = os.kill = None\nsys.stdout = None",
    ),
    Attack("trace function", "import sys\nsys.settrace(lambda *a: 1 / 0)"),
]
