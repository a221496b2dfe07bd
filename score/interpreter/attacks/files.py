"""Attacks on the host's files: reading them, and writing outside the private directory."""

from score.interpreter.attacks.attack import Attack, outward

FILES = [
    outward("files: read one of the host", "if open('<file>').read() == 'secret': print(<escaped>)"),
    outward(
        "files: list the host's",
        """
import os
print(<escaped> if os.path.exists('/etc/passwd') or os.path.exists('/var') else 'nothing there')
""",
    ),
    outward("files: the users' passwords", "open('/etc/shadow')\nprint(<escaped>)"),
    outward(
        "files: home folders",
        """
import os, sys
shown = {sys.prefix, sys.base_prefix}  # Python may live there
for home in ('/root', '/home'):
    for folder, folders, names in os.walk(home):
        folders[:] = [n for n in folders if os.path.join(folder, n) not in shown and n != 'inside']
        if names:
            print(<escaped>)
            break
""",
    ),
    outward(
        "files: read one in a subprocess",
        """
import subprocess
if 'secret' in subprocess.run(['cat', '<file>'], capture_output=True, text=True).stdout: print(<escaped>)
""",
    ),
    outward(
        "files: through a symbolic link",
        "import os\nos.symlink('<file>', 'link')\nif open('link').read() == 'secret': print(<escaped>)",
    ),
    outward("files: through a hard link", "import os\nos.link('<file>', 'hard')\nprint(<escaped>)"),
    outward(
        "files: through the root of another process",
        """
import os
for pid in ['self', *filter(str.isdigit, os.listdir('/proc'))]:
    try:
        if open(f'/proc/{pid}/root<file>').read() == 'secret': print(<escaped>)
    except OSError: pass
""",
    ),
    outward(
        "files: through an inherited folder",
        """
import os
for fd in range(256):
    try:
        inside = os.open('../../../../../../../..<file>', os.O_RDONLY, dir_fd=fd)
    except OSError: continue
    if os.read(inside, 6) == b'secret': print(<escaped>)
""",
    ),
    Attack(
        "files: none is inherited open",
        """
import os
for fd in range(3, 256):
    try:
        target = os.readlink(f'/proc/self/fd/{fd}')
    except OSError: continue
    if target.startswith('/') and not target.startswith(('/proc', '/dev/null', '/memfd')): print(<escaped>, target)
""",
    ),
    outward(
        "files: by handle",
        """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
handle = (ctypes.c_uint * 40)(128)
mount = ctypes.c_int()
if libc.name_to_handle_at(-100, b'/', handle, ctypes.byref(mount), 0) == 0:
    folder = os.open('/', os.O_RDONLY)
    if libc.open_by_handle_at(folder, handle, os.O_RDONLY) >= 0: print(<escaped>)
""",
    ),
    outward(
        "files: leave by chroot",
        """
import os
os.mkdir('jail')
os.chroot('jail')
for _ in range(64): os.chdir('..')
os.chroot('.')
print(<escaped>)
""",
        dangerous=True,
    ),
    outward(
        "files: mount over the root",
        """
import ctypes
print(<escaped> if ctypes.CDLL(None).mount(b'none', b'/usr', b'tmpfs', 0, None) == 0 else 'no')
""",
        dangerous=True,
    ),
    outward(
        "files: make the root writable",
        """
import ctypes, sys
print(<escaped> if ctypes.CDLL(None).mount(b'none', sys.prefix.encode(), None, 32 | 4096, None) == 0 else 'no')
""",
        dangerous=True,
    ),
    outward(
        "files: take a mount away",
        """
import ctypes
libc = ctypes.CDLL(None)
if any(libc.umount2(path, 2) == 0 for path in (b'/tmp', b'/proc', b'/dev/shm')): print(<escaped>)
""",
        dangerous=True,
    ),
    outward(
        "files: write into Python's own",
        """
import os, sys
path = sys.prefix + '/selfcheck'
open(path, 'w').close()
print(<escaped>)
os.remove(path)
""",
    ),
    outward(
        "files: write into the libraries of others",
        """
import os, sympy
path = os.path.dirname(sympy.__file__) + '/selfcheck.py'
open(path, 'w').close()
print(<escaped>)
os.remove(path)
""",
    ),
    outward(
        "files: write beside the private directory",
        """
import os
for folder in ('/usr/local/bin', '/usr', '/etc', '/', '/dev', '/var/tmp', '/run', '/opt', os.path.dirname('<file>')):
    path = os.path.join(folder, 'selfcheck-interpreter')
    try:
        open(path, 'w').close()
    except OSError: continue
    print(<escaped>)
    os.remove(path)
""",
    ),
    outward(
        "files: change the kernel's settings",
        """
for name in ('/proc/sys/kernel/core_pattern', '/proc/sys/vm/overcommit_memory', '/proc/sys/kernel/hostname'):
    try:
        now = open(name).read()
        open(name, 'w').write(now)
    except OSError: continue
    print(<escaped>)
""",
    ),
    outward(
        "files: devices",
        """
import os, stat
for folder, _, names in os.walk('/dev'):
    for name in names:
        try:
            kind = os.stat(os.path.join(folder, name)).st_mode
        except OSError: continue
        if stat.S_ISBLK(kind) or name in ('mem', 'kmem', 'port', 'kmsg', 'kvm', 'fuse'): print(<escaped>)
""",
    ),
    outward(
        "files: make a device",
        "import os, stat\nos.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))\nprint(<escaped>)",
        dangerous=True,
    ),
    outward(
        "files: become root by a program",
        """
import os, subprocess
os.system('cp /usr/bin/id id && chmod 4755 id')
asked = [['su', '-c', 'id'], ['sudo', '-n', 'id'], ['./id']]
for command in asked:
    try:
        said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=2).stdout
        if 'uid=0' in said: print(<escaped>)
    except (OSError, subprocess.TimeoutExpired): pass
""",
    ),
    outward(
        "files: fill the disk",
        """
for n in range(12):
    with open(f'fill{n}', 'wb') as file:
        for _ in range(32): file.write(bytes(2 ** 20))
print(<escaped>)
""",
    ),
    outward(
        "files: fill the shared memory",
        """
import os
path = '/dev/shm' + os.getcwd().replace('/', '-')
os.mkdir(path)
try:
    for n in range(12):
        with open(f'{path}/{n}', 'wb') as file: file.write(bytes(32 * 2 ** 20))
    print(<escaped>)
finally:
    os.system(f'rm -r {path}')
""",
    ),
    outward(
        "files: tens of thousands of empty ones",
        """
import os
for n in range(30_000): os.close(os.open(f'empty{n}', os.O_CREAT | os.O_WRONLY))
print(<escaped>)
""",
    ),
    Attack(
        "files: one of 100 GB",
        "with open('big', 'wb') as file:\n    file.write(b'x' * 10 ** 8)\nprint(<escaped>)",
        ("error",),
    ),
    Attack(
        "files: a sparse one of 100 GB",
        "with open('big', 'wb') as file:\n    file.truncate(10 ** 11)\nprint(<escaped>)",
        ("error",),
    ),
    Attack(
        "files: many open ones",
        "files = []\nfor n in range(10 ** 5): files.append(open('/dev/null'))\nprint(<escaped>)",
        ("error",),
    ),
    Attack(
        "files: raise the limits again",
        """
import resource
for kind in ('AS', 'FSIZE', 'NOFILE', 'CORE'):
    number = getattr(resource, 'RLIMIT_' + kind)
    resource.setrlimit(number, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(<escaped>)
""",
        contained_by="strict",
    ),
    Attack("files: remove the private directory", "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)"),
]
