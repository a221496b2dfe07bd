"""Attacks on other processes, on their memory, and on the walls between them."""

from score.interpreter.attacks.attack import Attack, outward

# By number, and so on one architecture only: the C library has no functions for these.
_SYSCALL = """
import ctypes, os
call = ctypes.CDLL(None).syscall if os.uname().machine == 'x86_64' else lambda *a: -1
"""

PROCESSES = [
    Attack("processes: the environment", "import os\nprint(<escaped> if 'secret' in str(os.environ) else 'clean')"),
    Attack(
        "processes: the environment of a subprocess",
        """
import subprocess
print(<escaped> if 'secret' in subprocess.run('env', capture_output=True, text=True).stdout else 'clean')
""",
    ),
    outward(
        "processes: the environment of others",
        """
import glob
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        data = open(path, 'rb').read()
    except OSError: continue
    if b'INTERPRETER_SELFCHECK' in data: print(<escaped>)
""",
    ),
    outward(
        "processes: the command lines of others",
        """
import os
if os.path.exists('/proc/<pid>/cmdline'): print(<escaped>)
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        if b'pytest' in (line := open(f'/proc/{pid}/cmdline', 'rb').read()) or b'selfcheck' in line: print(<escaped>)
    except OSError: pass
""",
    ),
    outward(
        "processes: the memory of the parent",
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb').close()\nprint(<escaped>)",
    ),
    outward(
        "processes: the memory of the parent, by system call",
        """
import ctypes, os
line = next(line for line in open('/proc/self/maps') if 'heap' in line)
class Piece(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(16)
ours, theirs = Piece(ctypes.addressof(buffer), 16), Piece(int(line.split('-')[0], 16), 16)
read = ctypes.CDLL(None).process_vm_readv
if read(os.getppid(), ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) > 0: print(<escaped>)
""",
    ),
    outward(
        "processes: debug the parent",
        """
import ctypes, os
if ctypes.CDLL(None).ptrace(0x4206, os.getppid(), 0, 0) == 0: print(<escaped>)
""",
        dangerous=True,
    ),
    outward(
        "processes: signal one of the host",
        "import os\nos.kill(<pid>, 0)\nprint(<escaped>)",
    ),
    outward(
        "processes: kill everything",
        "import os, time\nos.kill(-1, 9)\ntime.sleep(0.1)\nprint('still there')",
        dangerous=True,
    ),
    outward(
        "processes: kill the parent",
        "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(0.1)\nprint('still there')",
        dangerous=True,
    ),
    outward(
        "processes: go before all others",
        "import os\nos.setpriority(os.PRIO_PROCESS, 0, -10)\nprint(<escaped>)",
    ),
    outward(
        "processes: schedule in real time",
        "import os\nos.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))\nprint(<escaped>)",
        dangerous=True,
    ),
    outward(
        "processes: other users' identity",
        """
import os
for user in (0, 1, 1000):
    if user == os.getuid(): continue
    try:
        os.setuid(user)
    except OSError: continue
    print(<escaped>)
    break
""",
        dangerous=True,
    ),
    outward(
        "namespaces: new ones with capabilities",
        "import subprocess\nif subprocess.run(['unshare', '-Ur', 'true']).returncode == 0: print(<escaped>)",
    ),
    outward(
        "namespaces: new ones by system call",
        """
import ctypes
libc = ctypes.CDLL(None)
if any(libc.unshare(flag) == 0 for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000)): print(<escaped>)
""",
        dangerous=True,
    ),
    outward(
        "namespaces: enter another process's",
        """
import ctypes, os
libc = ctypes.CDLL(None)
for pid in {1, os.getppid()}:
    for kind in ('user', 'mnt', 'net', 'pid'):
        try:
            fd = os.open(f'/proc/{pid}/ns/{kind}', os.O_RDONLY)
        except OSError: continue
        if libc.setns(fd, 0) == 0: print(<escaped>)
""",
        dangerous=True,
    ),
    outward(
        "kernel: load a program into it (bpf)",
        _SYSCALL + "if call(321, 5, ctypes.create_string_buffer(128), 128) >= 0: print(<escaped>)",
    ),
    outward(
        "kernel: keys of the host's session",
        _SYSCALL + "if call(250, 0, -3, 0) >= 0: print(<escaped>)",
        needs_seccomp=True,
    ),
    outward(
        "kernel: io_uring",
        _SYSCALL + "if call(425, 4, ctypes.create_string_buffer(120)) >= 0: print(<escaped>)",
        needs_seccomp=True,
    ),
    outward(
        "kernel: change the time or the name of the host",
        """
import socket, time
try:
    socket.sethostname(socket.gethostname())
    print(<escaped>)
except OSError: pass
time.clock_settime(time.CLOCK_REALTIME, time.time())
print(<escaped>)
""",
        dangerous=True,
    ),
    Attack(
        "processes: a daemon that stays",
        """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(600)
    os._exit(0)
""",
    ),
    Attack(
        "processes: a daemon that leaves its group and ignores signals",
        """
import os, signal, time
if os.fork() == 0:
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    os.setsid()
    os.closerange(0, 99)
    time.sleep(600)
""",
    ),
    Attack(
        "processes: zombies",
        """
import os
for _ in range(40):
    if os.fork() == 0: os._exit(0)
""",
    ),
    Attack("processes: a subprocess that outlives the step", "import subprocess\nsubprocess.Popen(['sleep', '600'])"),
    Attack("processes: replace the program", "import os\nos.execv('/bin/true', ['true'])", ("killed",)),
    Attack("processes: exit at once", "import os\nos._exit(0)", ("killed",)),
    Attack("processes: kill oneself", "import os\nos.kill(os.getpid(), 9)", ("killed",)),
    Attack("processes: kill the group", "import os\nos.killpg(0, 9)", ("killed",)),
    Attack("processes: stop oneself", "import os\nos.kill(os.getpid(), 19)", ("timeout",), timeout_s=0.4),
    Attack("processes: segmentation fault", "import ctypes\nctypes.string_at(0)", ("killed",)),
    Attack("processes: abort", "import os\nos.abort()", ("killed",)),
]
