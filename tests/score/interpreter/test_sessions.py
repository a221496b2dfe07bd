"""Copies of sessions, many of them at once, and what is left when they are closed."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from score.errors import InterpreterError
from score.interpreter import Interpreter, InterpreterSettings, Session, open_session

DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
"""
# With a thread, so that the handlers of forks are called; the next fork's answer takes its time.
SLOW_TO_FORK = """
import os, threading, time
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
os.register_at_fork(before=lambda: time.sleep(0.5))
"""


def test_a_fork_is_independent_in_state_and_files(play):
    async def scene(session: Session):
        await session.run("x = [1]\nf = lambda: x\nopen('note', 'w').write('old')")
        copy = await session.fork()
        await copy.run("x.append(2)\nopen('note', 'w').write('new')")
        return [(await s.run("print(f(), open('note').read())")).observation for s in (session, copy)]

    assert play(scene) == ["[1] old", "[1, 2] new"]


AT_WORK = """
import os, tempfile
open("data", "w").write("1")
os.mkdir("sub")
open("sub/note", "w").write("2")
tempfile.gettempdir()
os.chdir("sub")
"""
OUTSIDE = os.path.realpath(os.path.dirname(json.__file__))  # the sandbox has it too


def test_a_fork_goes_on_at_the_same_place_in_its_own_files(play):
    async def scene(session: Session):
        await session.run(AT_WORK)
        copy = await session.fork()
        await copy.run("open('note', 'w').write('3')")
        look = "print(open('../data').read(), open('note').read(), os.getcwd() == os.environ['HOME'] + '/sub')"
        seen = [(await s.run(look)).observation for s in (session, copy)]
        await session.close()
        home = "with tempfile.NamedTemporaryFile() as file: print(os.path.dirname(file.name) == os.environ['HOME'])"
        return [*seen, (await copy.run(home)).observation]

    assert play(scene) == ["1 2 True", "1 3 True", "True"]


@pytest.mark.parametrize(
    ("leave", "where"),
    [
        (f"os.chdir({OUTSIDE!r})", OUTSIDE),
        ("os.mkdir('sub')\nos.chdir('sub')\nos.rmdir('../sub')", "home"),
    ],
    ids=["outside", "removed"],
)
def test_a_fork_of_a_session_that_has_left_its_files_copies_those_and_nothing_else(play, leave, where):
    async def scene(session: Session):
        await session.run(f"import os\nopen('note', 'w').write('1')\n{leave}")
        copy = await session.fork()
        look = "home = os.environ['HOME']\nprint(os.getcwd().replace(home, 'home'), os.listdir(home))"
        return (await copy.run(look)).observation

    assert play(scene) == f"{where} ['note']"


def test_a_fork_outlives_its_original_and_its_own_time_out(play):
    async def scene(session: Session):
        await session.run("x = 1")
        copy = await session.fork()
        await session.close()
        await copy.run("x = 2\nwhile True: pass", timeout_s=0.3)
        second = await copy.fork()
        return [(await s.run("print(x)")).observation for s in (copy, second)]

    assert play(scene) == ["1", "1"]


def test_a_cancelled_fork_leaves_no_copy_and_the_session_goes_on(isolation):
    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            session = await interpreter.open()
            await session.run("x = [1]\nopen('note', 'w').write('old')")
            await (await session.fork()).close()
            before = len(os.listdir("/proc/self/fd")), len(psutil.Process().children(recursive=True))
            for pause in (0, 0, 0.0003, 0.001, 0.01):
                forking = asyncio.create_task(session.fork())
                await asyncio.sleep(pause)
                forking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await (await forking).close()
            assert interpreter._sessions == {session}
            assert len(os.listdir("/proc/self/fd")) == before[0]
            await asyncio.sleep(0.5)  # until the server has its next keepers ready
            assert len(psutil.Process().children(recursive=True)) <= before[1]
            copy = await session.fork()
            await copy.run("x.append(2)")
            return [(await s.run("print(x, open('note').read())")).observation for s in (session, copy)]

    assert asyncio.run(scene()) == ["[1] old", "[1, 2] old"]


def test_a_fork_that_is_cancelled_twice_leaves_no_copy_and_a_session_that_says_so(isolation):
    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            session = await interpreter.open()
            before = len(os.listdir("/proc/self/fd"))
            sibling = await session.fork()
            # It takes long to answer, so that the second cancellation comes before the reply.
            await session.run(SLOW_TO_FORK)
            forking = asyncio.create_task(session.fork())
            for _ in range(2):
                await asyncio.sleep(0.05)
                forking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await forking
            assert interpreter._sessions == {session, sibling}
            with pytest.raises(InterpreterError, match="fork of it was cancelled"):
                await session.run("print(1)")
            await session.close()
            observation = (await sibling.run("print('on')")).observation
            await sibling.close()
            return observation, len(os.listdir("/proc/self/fd")) <= before

    assert asyncio.run(scene()) == ("on", True)


def test_a_time_out_leaves_the_other_forks_alone(play):
    async def scene(session: Session):
        await session.run("x = 1")
        copy = await session.fork()
        slow = asyncio.create_task(copy.run("import time\ntime.sleep(1.2)\nprint('slept', x)"))
        stopped = await session.run("while True: pass", timeout_s=0.3)
        return stopped.status, (await slow).observation, (await session.run("print(x)")).observation

    assert play(scene) == ("timeout", "slept 1", "1")


def test_sixty_four_sessions_run_at_once(isolation):
    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            sessions = await asyncio.gather(*(interpreter.open() for _ in range(64)))
            await asyncio.gather(*(s.run(f"x = {n}") for n, s in enumerate(sessions)))
            stopped = asyncio.create_task(sessions[0].run("while True: pass", timeout_s=0.5))
            seen = await asyncio.gather(*(s.run("print(x * x)") for s in sessions[1:]))
            assert (await stopped).status == "timeout"
            return [int(result.observation) for result in seen]

    assert asyncio.run(scene()) == [n * n for n in range(1, 64)]


def test_too_few_file_descriptors_are_an_error_that_says_so_and_harm_no_open_session():
    script = (
        "import asyncio, resource\nfrom score.errors import InterpreterError\nfrom score.interpreter import *\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "async def main():\n"
        "    async with Interpreter(InterpreterSettings(isolation='limits', preload=['math'])) as interpreter:\n"
        "        first = await interpreter.open()\n"
        "        try:\n"
        "            for _ in range(40): await interpreter.open()\n"
        "        except InterpreterError as error:\n"
        "            print(error)\n"
        "        print((await first.run('print(6 * 7)')).observation)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert "no file descriptors for session" in done.stdout and done.stdout.endswith("42\n"), done.stdout + done.stderr


def test_nothing_is_left_after_the_close(isolation, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = psutil.Process()
    before, files = {child.pid for child in mine.children(recursive=True)}, len(os.listdir("/proc/self/fd"))
    started: set[int] = set()

    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            session = await interpreter.open()
            await session.run("open('file', 'w').write('x')")
            await session.run(DAEMON)
            await session.fork()
            await session.run("while True: pass", timeout_s=0.3)
            started.update(child.pid for child in mine.children(recursive=True))

    asyncio.run(scene())
    deadline = time.monotonic() + 5
    while any(psutil.pid_exists(pid) for pid in started - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(started - before) >= 3
    assert not [pid for pid in started - before if psutil.pid_exists(pid)]
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) <= files


def test_the_server_ends_with_a_host_that_is_killed(isolation, tmp_path):
    script = (
        "import asyncio, sys\nfrom score.interpreter import *\n"
        "async def main():\n"
        f"    interpreter = Interpreter(InterpreterSettings(isolation={isolation!r}, preload=['math'])).start()\n"
        "    session = await interpreter.open()\n"
        "    print('ready', flush=True)\n"
        "    await session.run('while True: pass', timeout_s=60)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)}
    host = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
    try:
        assert host.stdout is not None and host.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        started = [child.pid for child in psutil.Process(host.pid).children(recursive=True)]
    finally:
        host.send_signal(signal.SIGKILL)
        host.communicate()
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started and not [pid for pid in started if psutil.pid_exists(pid)]
    assert os.listdir(tmp_path) == []


def test_a_host_that_is_killed_while_its_server_starts_leaves_no_file(tmp_path):
    script = (
        "from score.interpreter import *\n"
        "Interpreter(InterpreterSettings(isolation='limits', preload=['numpy'])).start()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TMPDIR": str(tmp_path)}
    host = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        # Not just any entry: Python's tempfile tries the folder with a file of its own, and may be killed at that.
        while not list(tmp_path.glob("score-interpreter-*")):
            assert host.poll() is None
            time.sleep(0.001)
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
    deadline = time.monotonic() + 20
    while os.listdir(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert os.listdir(tmp_path) == []


def test_a_session_does_one_thing_at_a_time_and_nothing_after_its_close(play):
    async def scene(session: Session):
        running = asyncio.create_task(session.run("import time\ntime.sleep(0.5)"))
        await asyncio.sleep(0.1)
        with pytest.raises(InterpreterError, match="busy"):
            await session.run("print(1)")
        await running
        await session.close()
        with pytest.raises(InterpreterError, match="closed"):
            await session.run("print(1)")

    play(scene)


def test_a_sandbox_that_dies_is_an_error_and_never_an_observation(isolation):
    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            session = await interpreter.open()
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):  # it may have died with one before it
                    child.kill()
            with pytest.raises(InterpreterError):
                await session.run("print(1)")
            with pytest.raises(InterpreterError):
                await interpreter.open()

    asyncio.run(scene())


def test_a_script_needs_no_event_loop(isolation):
    settings = InterpreterSettings(isolation=isolation, preload=["math"])
    with open_session(settings, {"double": lambda n: 2 * n}) as session:
        session.run("x = double(21)")
        copy = session.fork()
        copy.run("x = 0")
        assert session.run("print(x)").observation == "42"
