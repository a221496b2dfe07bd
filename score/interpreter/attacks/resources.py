"""Attacks that take time, memory, processes or output without end."""

from score.interpreter.attacks.attack import CONTAINED, Attack, endless

RESOURCES = [
    endless("time: endless loop", "while True:\n    pass"),
    endless(
        "time: endless loop that blocks signals",
        """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    ),
    endless(
        "time: signals masked",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    ),
    endless("time: one huge power", "10 ** 10 ** 8"),
    endless("time: a huge factorial", "import math\nmath.factorial(10 ** 8)"),
    Attack("time: a huge number as text", "x = 1 << (10 ** 8)\nprint(x)", ("error",)),
    endless("time: catastrophic regular expression", "import re\nre.match('(a+)+b', 'a' * 40)"),
    endless(
        "time: a solver that hangs",
        "from sympy import *\nx = symbols('x')\nprint(factorint(2**521 * 3 - 7), integrate(sin(x**x) * exp(x**5), x))",
    ),
    endless("time: one sum over a range", "sum(range(10 ** 12))"),
    endless("time: sleep", "import time\ntime.sleep(600)"),
    endless("time: sleep in C", "import ctypes\nctypes.PyDLL(None).sleep(600)"),
    endless("time: wait for a lock", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"),
    endless(
        "time: wait for a thread",
        "import threading, time\nt = threading.Thread(target=time.sleep, args=(600,))\nt.start()\nt.join()",
    ),
    endless("time: wait for a subprocess", "import subprocess\nsubprocess.run(['sleep', '600'])"),
    endless("time: a thread that never yields", "import sys\nsys.setswitchinterval(10 ** 6)\nwhile True: pass"),
    endless("time: an iterator without end", "import itertools\nlist(x for x in itertools.count() if x < 0)"),
    endless("time: a finally that goes on", "while True:\n    try:\n        while True: pass\n    finally: continue"),
    Attack("memory: at once", "x = bytearray(10 ** 11)", ("memory",)),
    Attack("memory: step by step", "x = []\nwhile True: x.append(bytearray(2 ** 20))", ("memory", "timeout")),
    Attack("memory: doubling a string", "x = 'x'\nwhile True: x += x", ("memory", "timeout")),
    Attack("memory: a list", "x = [0] * 10 ** 11", ("memory",)),
    Attack("memory: in numpy", "import numpy\nx = numpy.ones((10 ** 6, 10 ** 5))", ("memory",)),
    Attack(
        "memory: in numpy, step by step",
        "import numpy\nx = []\nwhile True: x.append(numpy.ones(10 ** 6))",
        ("memory", "timeout"),
    ),
    Attack("memory: a mapping", "import mmap\nx = mmap.mmap(-1, 10 ** 12)\nprint(<escaped>)", ("error", "memory")),
    Attack(
        "memory: by many processes",
        """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = b'x' * (200 * 2 ** 20)
        time.sleep(600)
time.sleep(600)
""",
        ("memory",),
    ),
    Attack(
        "memory: in files without a name",
        """
import os
files = []
for n in range(24):
    files.append(os.memfd_create(f'fill{n}'))
    for _ in range(32): os.write(files[-1], bytes(2 ** 20))
print(<escaped>)
""",
        contained_by="strict",
        needs_seccomp=True,
    ),
    Attack(
        "memory: in System V segments",
        """
import ctypes
libc = ctypes.CDLL(None)
number = libc.shmget(0, 2 ** 20, 0o1600)
if number >= 0:
    libc.shmctl(number, 0, None)
    print(<escaped>)
""",
        contained_by="strict",
        needs_seccomp=True,
    ),
    endless(
        "bomb: fork", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", ("timeout", "killed")
    ),
    Attack(
        "bomb: fork, each in a session of its own",
        """
import os
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass
""",
        ("timeout", "killed"),
        contained_by="strict",
        dangerous=True,
        timeout_s=0.4,
    ),
    endless(
        "bomb: threads",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
        CONTAINED,
    ),
    endless(
        "bomb: subprocesses",
        "import subprocess\nwhile True:\n    try: subprocess.Popen(['sleep', '99'])\n    except OSError: pass",
        ("timeout", "killed"),
    ),
    Attack(
        "bomb: the shell's",
        "import subprocess\nsubprocess.run(['bash', '-c', ':(){ :|:& };:; sleep 99'])",
        ("timeout", "killed", "ok"),
        contained_by="strict",
        dangerous=True,
        timeout_s=0.4,
    ),
    endless("output: flood", "while True: print('x' * 10 ** 6)", CONTAINED),
    endless("output: flood of errors", "import sys\nwhile True: sys.stderr.write('x' * 10 ** 6)", CONTAINED),
    endless(
        "output: flood from a subprocess", "import subprocess\nsubprocess.run(['yes'])", ("timeout", "ok", "error")
    ),
    endless("output: past the stream", "import os\nwhile True: os.write(1, b'x' * 10 ** 6)", CONTAINED),
    Attack("output: one line of 20 MB", "print('x' * 20_000_000)", ("ok",)),
    Attack("recursion: without end", "def f(): f()\nf()", ("error",)),
    endless(
        "recursion: with the limit taken away",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()",
        CONTAINED,
    ),
    Attack("recursion: in C", "x = []\nfor _ in range(10 ** 5): x = [x]\nrepr(x)", ("error", "killed")),
]
