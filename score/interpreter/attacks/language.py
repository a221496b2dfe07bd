"""Attacks by what Python lets a program do to itself, and by code that is hard to read."""

from score.interpreter.attacks.attack import Attack

LANGUAGE = [
    Attack("input: ask for some", "input()", ("error",)),
    Attack(
        "input: read standard input", "import sys, os\nprint(repr(sys.stdin.read()), os.read(0, 10))", ("ok", "error")
    ),
    Attack(
        "python: builtins replaced",
        """
import builtins, json, os, sys
for name in ('len', 'print', 'isinstance', 'str', 'open', 'compile', 'exec'): setattr(builtins, name, None)
json.dumps = json.loads = os.fork = os.kill = None
sys.stdout = None
""",
    ),
    Attack(
        "python: builtins emptied",
        "import builtins\nbuiltins.__dict__.clear()",
        ("ok", "error", "killed"),
        may_lose_state=True,
    ),
    Attack("python: no builtins at all", "__builtins__ = None\ndel __builtins__", ("ok", "error")),
    Attack(
        "python: modules thrown away", "import sys\nsys.modules.clear()", ("ok", "error", "killed"), may_lose_state=True
    ),
    Attack(
        "python: modules broken",
        "import traceback, linecache, io\ntraceback.TracebackException = linecache.cache = io.FileIO = None\n1 / 0",
        ("ok", "error", "killed"),
        may_lose_state=True,
    ),
    Attack(
        "python: import broken",
        "import builtins\nbuiltins.__import__ = None\nimport os",
        ("error",),
        may_lose_state=True,
    ),
    Attack("python: trace function", "import sys\nsys.settrace(lambda *a: 1 / 0)"),
    Attack("python: profile function", "import sys\nsys.setprofile(lambda *a: 1 / 0)", ("ok", "error")),
    Attack("python: trace function of threads", "import threading\nthreading.settrace(lambda *a: 1 / 0)"),
    Attack(
        "python: audit hook",
        "import sys\ndef hook(*a): raise RuntimeError('no')\nsys.addaudithook(hook)",
        ("ok", "error", "killed"),
        may_lose_state=True,
    ),
    Attack(
        "python: a timer's signal between steps",
        "import signal as s\ns.signal(s.SIGALRM, lambda *a: 1 / 0)\ns.setitimer(s.ITIMER_REAL, 0.01, 0.01)",
        ("ok", "error", "killed"),
        may_lose_state=True,
    ),
    Attack(
        "python: SIGTERM ignored",
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.kill(os.getpid(), signal.SIGTERM)",
    ),
    Attack("python: garbage collector off, frozen", "import gc\ngc.disable()\ngc.freeze()\ngc.set_threshold(1, 1, 1)"),
    Attack("python: errors at the end of life", "class A:\n    def __del__(self): raise ValueError\nA()\na = A()"),
    Attack("python: code at the exit", "import atexit\natexit.register(lambda: 1 / 0)\nraise SystemExit"),
    Attack("python: an exit with a strange code", "import sys\nsys.exit({'a': 1})", ("error",)),
    Attack("python: interrupted", "raise KeyboardInterrupt", ("error",)),
    Attack(
        "python: an error that cannot be shown",
        "class E(Exception):\n    def __str__(self): 1 / 0\nraise E",
        ("error",),
    ),
    Attack(
        "python: an error that loops when shown",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        ("timeout",),
        timeout_s=0.4,
    ),
    Attack(
        "python: an error that is no text", "class E(Exception):\n    def __str__(self): return 5\nraise E", ("error",)
    ),
    Attack(
        "python: a chain of a thousand errors",
        "def f(n):\n    try: 1 / 0\n    except Exception:\n        if n: f(n - 1)\n        raise\nf(300)",
        ("error",),
    ),
    Attack(
        "python: a thread that prints for ever",
        """
import threading, time
def f():
    while True:
        print('noise')
        time.sleep(0.01)
threading.Thread(target=f, daemon=True).start()
""",
        ("ok",),
        may_lose_state=True,
    ),
    Attack(
        "python: a final answer that is no text",
        "class A:\n    def __str__(self): 1 / 0\nfinal_answer_print(A())",
        ("error",),
    ),
    Attack("code: NUL bytes", "print('a')\x00", ("error",)),
    Attack("code: lone surrogates", "x = '\ud800'\nprint(x)", ("ok", "error")),
    Attack("code: text that runs backwards", "x = 'a\u202e\u2066'  # \u202e\nprint(len(x))", ("ok",)),
    Attack("code: names in other scripts", "变量 = 1\nЖ = 变量\nprint(Ж, '🙂')", ("ok",)),
    Attack("code: a mark of the byte order", "\ufeffx = 1", ("ok", "error")),
    Attack("code: another encoding", "# -*- coding: utf-7 -*-\nx = '+AGE-'", ("ok", "error")),
    Attack("code: 10 MB in one string", "x = '" + "a" * 10_000_000 + "'", ("ok", "memory")),
    Attack("code: 10 MB of comments", "# comment\n" * 1_000_000, ("ok", "memory")),
    Attack("code: longer than any message", "x = '" + "a" * 33 * 2**20 + "'", ("error",)),
    Attack("code: deeply nested", "(" * 100_000 + ")" * 100_000, ("error", "memory")),
    Attack("code: a deep chain of operators", "x = " + "-" * 50_000 + "1", ("error", "memory", "killed")),
    Attack(
        "code: huge when compiled", "x = ((1 << 10000) ** 100, 'a' * 10 ** 9, [0] * 10 ** 9)", ("ok", "memory", "error")
    ),
    Attack("code: empty", "", ("ok",)),
    Attack("code: only comments", "# nothing\n", ("ok",)),
    Attack("code: only definitions", "def f():\n    return <escaped>\nclass A:\n    x = f()", ("ok",)),
    Attack("code: no code", "This is no Python, but a sentence.", ("error",)),
]
