"""A session and its forks share a keeper, and families follow each other in one: what one does must not harm another."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from score.interpreter import Interpreter, InterpreterSettings, Session
from score.interpreter.inside.keeper import FAMILIES
from score.interpreter.inside.processes import FORKS
from score.interpreter.selfcheck import support


def test_closing_one_session_leaves_its_siblings_alive_while_they_fork_and_run(play: Callable[..., Any]) -> None:
    async def scene(base: Session) -> list[str]:
        await base.run("a = 3")
        forking = asyncio.Lock()  # a session does one thing at a time

        async def rollout() -> str:
            async with forking:
                fork = await base.fork()
            async with fork:
                await fork.run("b = a + 1")
                return (await fork.run("print(b)")).observation

        return await asyncio.gather(*(rollout() for _ in range(24)))

    assert play(scene) == ["4"] * 24


def test_a_whole_family_can_be_closed_at_once(play: Callable[..., Any]) -> None:
    async def scene(base: Session) -> None:
        chain = [base]
        for _ in range(4):
            chain.append(await chain[-1].fork())
        await asyncio.gather(*(session.close() for session in chain))

    for _ in range(3):
        play(scene)


def test_a_cancelled_close_leaves_no_reply_of_the_keeper_for_a_sibling(play: Callable[..., Any]) -> None:
    async def scene(session: Session) -> str:
        await _close_and_cancel(await session.fork())
        return (await session.run("import time\ntime.sleep(0.2)\nprint(1)")).observation  # long enough to be counted

    assert play(scene) == "1"


@pytest.mark.parametrize("isolation", ["limits"], indirect=True)  # where the host sees the files
def test_the_close_of_a_family_waits_for_its_end_after_a_cancelled_close_too(isolation: str) -> None:
    async def scene() -> list[str]:
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            session = await interpreter.open()
            await session.run("for number in range(1000): open(str(number), 'w').close()")
            await _close_and_cancel(await session.fork())
            await session.close()
            return interpreter.private_folders()

    assert asyncio.run(scene()) == []


BUSY = """
import threading
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(8)]
for thread in threads: thread.start()
stop.set()
x = 2
while True: pass
"""


def test_many_forks_leave_each_session_room_for_its_threads_and_its_snapshot(play: Callable[..., Any]) -> None:
    async def scene(session: Session) -> tuple[str, str]:
        await session.run("x = 1")
        forks = [await session.fork() for _ in range(FORKS)]
        for fork in [*forks, *forks]:  # its second step leaves a snapshot to be collected
            assert (await fork.run("print(x)")).observation == "1"
        stopped = await forks[0].run(BUSY, timeout_s=0.5)
        return stopped.status, (await forks[0].run("print(x)")).observation

    assert play(scene) == ("timeout", "1")


async def _close_and_cancel(session: Session) -> None:
    closing = asyncio.create_task(session.close())
    await asyncio.sleep(0)  # until it waits for the keeper's reply
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


LEAVE = """
import ctypes, os, subprocess
for folder in ("/tmp", "/dev/shm", os.getcwd()):
    open(f"{folder}/left", "w").write("x")
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mq_open(b"/left", os.O_CREAT | os.O_RDWR, 0o600, None) >= 0)
subprocess.Popen(["sleep", "600"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: os.getppid()
    os._exit(0)
"""
LOOK = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
files = [name for name in os.listdir("/tmp") if f"/tmp/{name}" != os.getcwd()]
print(others, files, os.listdir("/dev/shm"), os.listdir(), libc.mq_open(b"/left", os.O_RDWR))
print(len(open("/proc/self/mounts").readlines()), os.listdir("/dev/pts"))
import fcntl
def flags(folder):
    try:
        return fcntl.ioctl(os.open(folder, os.O_RDONLY), 0x80086601, bytes(8))  # FS_IOC_GETFLAGS
    except OSError:
        return None
print([(oct(os.stat(folder).st_mode), os.listxattr(folder), flags(folder)) for folder in ("/tmp", "/dev/shm")])
"""
# What a session can do to the folder itself, where the kernel's tmpfs has such things.
MODE = "import os\nprint(os.chmod('/dev/shm', 0o755))"
ATTRIBUTE = "import os\nprint(os.setxattr('/tmp', 'user.left', b'x'))"
ACCESS = """
import os, struct
entries = [(1, 7, -1), (2, 0, os.getuid()), (4, 0, -1), (16, 0, -1), (32, 0, -1)]  # one more entry than the mode has
print(os.setxattr("/tmp", "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)))
"""
NO_DUMP = (
    "import fcntl, os\nprint(fcntl.ioctl(os.open('/tmp', os.O_RDONLY), 0x40086602, (0x40).to_bytes(8, 'little'))[0])"
)
TERMINAL = "import os\nends = os.openpty()\nprint(os.write(ends[1], b'left'))"
NUMBER = "import os\nos.mkdir('/dev/shm/new')\nprint(os.stat('/dev/shm/new').st_ino)"  # counted from the mount on
WHO = "import os\nprint(os.stat('/proc/self/ns/pid').st_ino, open('/proc/1/stat').read().split()[21])"  # and since when


def _one_after_the_other(count: int, *steps: str) -> tuple[int, list[list[str]]]:
    """Run the steps in `count` sessions: how many keepers served them, and the observations of each session."""

    async def scene() -> tuple[int, list[list[str]]]:
        keepers, found = set(), []
        settings = InterpreterSettings(isolation="strict", preload=["math"], snapshots=False)
        async with Interpreter(settings) as interpreter:
            for _ in range(count):
                async with await interpreter.open() as session:
                    keepers.add((await session.run(WHO)).observation)
                    found.append([(await session.run(step)).observation for step in steps])
                await asyncio.sleep(0.1)  # its keeper comes back
        return len(keepers), found

    return asyncio.run(scene())


def _serving_again() -> None:
    if support()["seccomp"] != "yes":
        pytest.skip("libseccomp is not installed, without which no keeper serves again")


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
@pytest.mark.parametrize(
    ("leave", "said"),
    [(LEAVE, "False"), (MODE, "None"), (ATTRIBUTE, "None"), (ACCESS, "None"), (NO_DUMP, "64"), (TERMINAL, "4")],
)
def test_a_keeper_serves_again_and_its_next_session_finds_nothing_of_the_last_one(
    isolation: str, leave: str, said: str
) -> None:
    _serving_again()
    keepers, found = _one_after_the_other(12, LOOK, leave)
    assert {seen[0].splitlines()[0] for seen in found} == {"[] [] [] [] -1"}
    assert [seen for seen in found if seen != found[0]] == []  # nor a mount more than the first
    without = ("Operation not supported", "Inappropriate ioctl")  # what a kernel says that lacks it
    assert found[0][1] == said or any(error in found[0][1] for error in without)
    assert keepers <= 6


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
@pytest.mark.parametrize(("leave", "anew"), [("print()", False), (LEAVE, True)])
def test_private_files_are_mounted_anew_only_where_something_is_left(isolation: str, leave: str, anew: bool) -> None:
    _serving_again()
    keepers, found = _one_after_the_other(12, NUMBER, leave)
    numbers = {seen[0] for seen in found}
    assert keepers <= 6
    assert len(numbers) == 1 if anew else len(numbers) > 1


def test_sessions_go_on_when_their_keepers_have_served_long_enough(isolation: str) -> None:
    async def scene() -> list[str]:
        seen = []
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            for number in range(4 * FAMILIES):
                async with await interpreter.open() as session:
                    seen.append((await session.run(f"print({number})")).observation)
        return seen

    assert asyncio.run(scene()) == [str(number) for number in range(4 * FAMILIES)]


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
def test_a_keeper_whose_limits_a_session_has_changed_serves_no_other(isolation: str) -> None:
    look = "import resource\nprint(resource.prlimit(1, resource.RLIMIT_NOFILE))"
    harm = "resource.prlimit(1, resource.RLIMIT_NOFILE, (64, 64))"
    keepers, found = _one_after_the_other(6, look, harm, look)
    assert len({before for before, _, _ in found}) == 1
    assert all(before != after for before, _, after in found)
    assert keepers == 6


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
@pytest.mark.parametrize(
    "harm",
    [
        "setpriority(os.PRIO_PROCESS, 1, 19)",
        "setpriority(os.PRIO_USER, 0, 19)",
        "sched_setaffinity(1, os.sched_getaffinity(0))",
        "sched_setscheduler(1, os.SCHED_BATCH, os.sched_param(0))",
    ],
)
def test_a_session_cannot_slow_its_keeper_down(observe: Callable[..., list[str]], isolation: str, harm: str) -> None:
    (seen,) = observe(f"import os\nos.{harm}")
    assert "PermissionError" in seen
