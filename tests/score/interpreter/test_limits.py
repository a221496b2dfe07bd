"""Steps that have to be stopped, and what the session is afterwards."""

import asyncio
import time

import pytest
import uvloop

from score.errors import InterpreterError
from score.interpreter import Interpreter, InterpreterSettings, Session

IGNORES_SIGNALS = (
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nx = 'changed'\nprint('begun')\n"
    "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
)


@pytest.mark.parametrize(
    "code", [IGNORES_SIGNALS, "x = 'changed'\n10**10**8", "import re\nx = 'changed'\nre.match('(a+)+b', 'a' * 40)"]
)
def test_a_time_out_stops_the_step_and_the_session_goes_on_from_before_it(play, code):
    async def scene(session: Session):
        await session.run("x = 'before'\nf = lambda: x")
        started = time.monotonic()
        stopped = await session.run(code, timeout_s=0.4)
        return stopped, time.monotonic() - started, await session.run("print(f())")

    stopped, seconds, after = play(scene)
    assert stopped.status == "timeout" and seconds < 5
    assert "stopped after 0.4 s" in stopped.observation
    assert after.observation == "before"


def test_a_step_that_was_done_in_time_is_no_time_out_where_the_host_was_busy(isolation):
    """On uvloop, whose clock comes before its sockets, as the long runs have it."""

    async def whole():
        settings = InterpreterSettings(isolation=isolation, preload=["math"])
        async with Interpreter(settings) as interpreter, await interpreter.open() as session:
            await session.run("import time")
            step = asyncio.create_task(session.run("time.sleep(0.1)\nprint('done')", timeout_s=0.5))
            await asyncio.sleep(0.05)
            asyncio.get_running_loop().call_soon(time.sleep, 0.6)
            return await step

    assert uvloop.run(whole()).observation == "done"


def test_a_step_that_calls_tools_without_end_is_stopped(play):
    async def scene(session: Session):
        return await session.run("while True: echo(1)", timeout_s=0.4)

    assert play(scene, tools={"echo": lambda x: x}, tool_calls=10**9).status == "timeout"


def test_a_time_out_shows_what_was_printed_before_it(play):
    async def scene(session: Session):
        return await session.run(IGNORES_SIGNALS, timeout_s=0.4)

    assert play(scene).observation.startswith("begun\nTimeoutError")


@pytest.mark.parametrize("code", ["import os\nos._exit(3)", "import ctypes\nctypes.string_at(0)"])
def test_a_step_that_ends_its_process_is_killed_and_undone(play, code):
    async def scene(session: Session):
        await session.run("x = 1")
        return await session.run("x = 2\n" + code), await session.run("print(x)")

    killed, after = play(scene)
    assert killed.status == "killed" and after.observation == "1"


def test_how_a_process_ended_is_known_also_where_the_host_hears_of_it_late(play):
    """A child that Python did not fork keeps the way to the host open, and processes are counted meanwhile."""
    code = "import ctypes, os, time\nif ctypes.CDLL(None).fork() == 0:\n    time.sleep(0.6)\n    os._exit(0)\nos._exit(251)"

    async def scene(session: Session):
        await session.run("x = 1")
        return [(await session.run(code)).observation for _ in range(2)]

    assert all(observation.startswith("The step ended its process (exit code 251).") for observation in play(scene))


@pytest.mark.parametrize("code", ["y = bytearray(10**11)", "y = []\nwhile True: y.append(bytearray(2**20))"])
def test_too_much_memory_is_its_own_status_and_undone(play, code):
    async def scene(session: Session):
        await session.run("x = 1")
        return await session.run(code), await session.run("print(x, 'y' in globals())")

    stopped, after = play(scene, memory_mb=512)
    assert stopped.status == "memory" and "MemoryError" in stopped.observation
    assert after.observation == "1 False"


def test_too_much_cpu_time_is_a_time_out(play):
    async def scene(session: Session):
        return await session.run("while True: pass", timeout_s=60)

    result = play(scene, cpu_s=1)
    assert result.status == "timeout" and "CPU" in result.observation


def test_too_many_processes_end_the_step(play):
    async def scene(session: Session):
        code = "import os, time\nfor _ in range(7):\n    try: os.fork()\n    except OSError: pass\ntime.sleep(20)"
        return await session.run(code), await session.run("print('on')")

    stopped, after = play(scene, processes=16)
    assert stopped.status == "killed" and after.observation == "on"


FORKS = """
import os, time
for _ in range(<count>):
    if os.fork() == 0:
        held = b"x" * (<mb> * 2**20)
        time.sleep(60)
        os._exit(0)
end = time.monotonic() + 4
while time.monotonic() < end: echo(1)
"""


@pytest.mark.parametrize(("count", "mb", "status"), [(20, 0, "killed"), (4, 150, "memory")])
def test_the_processes_of_a_step_that_keeps_calling_a_tool_are_counted(play, count, mb, status):
    async def scene(session: Session):
        return await session.run(FORKS.replace("<count>", str(count)).replace("<mb>", str(mb)))

    tools = {"echo": lambda x: x}
    assert play(scene, tools=tools, tool_calls=10**9, processes=16, memory_mb=400).status == status


def test_a_file_larger_than_the_limit_cannot_be_written(observe):
    (seen,) = observe("open('big', 'wb').truncate(10**9)", file_size_mb=1)
    assert seen.endswith("OSError: [Errno 27] File too large")


def test_an_output_flood_ends_and_does_not_leak_into_the_next_step(observe):
    flood, after = observe("while True: print('x' * 10000)", "print('clean')", file_size_mb=1)
    assert "characters left out" in flood and "File too large" in flood
    assert after == "clean"


def test_without_snapshots_a_killed_step_ends_the_session(play):
    async def scene(session: Session):
        assert (await session.run("print(1)")).observation == "1"
        assert (await session.run("while True: pass", timeout_s=0.3)).status == "timeout"
        with pytest.raises(InterpreterError, match="state is lost"):
            await session.run("print(1)")

    play(scene, snapshots=False)


def test_a_forged_reply_is_not_believed(play):
    code = """
import json, os, stat, struct
reply = {'op': 'done', 'id': 'x', 'status': 'ok', 'final_answer': 'forged', 'note': 'forged'}
body = json.dumps(reply).encode()
for fd in range(3, 50):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.write(fd, struct.pack('<I', len(body)) + body)
    except OSError:
        pass
"""

    async def scene(session: Session):
        return await session.run(code), await session.run("print('on')")

    forged, after = play(scene)
    assert forged.status == "killed" and forged.final_answer is None and "forged" not in forged.observation
    assert after.observation == "on"


def test_patched_builtins_do_not_stop_the_session(observe):
    code = "import builtins, sys\nbuiltins.len = builtins.isinstance = builtins.str = None\nsys.stdout = None"
    assert observe(code, "print(len is None)")[1] == "True"


def test_a_child_that_the_code_forks_does_not_answer_for_the_session(observe):
    code = "import os\npid = os.fork()\nif pid == 0:\n    print('child')\nelse:\n    os.wait()\n    print('parent')"
    assert observe(code, "print('next')") == ["child\nparent", "next"]


def test_a_cancelled_step_leaves_a_session_that_says_so(play):
    async def scene(session: Session):
        running = asyncio.create_task(session.run("while True: pass"))
        await asyncio.sleep(0.3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(InterpreterError, match="cancelled"):
            await session.run("print(1)")

    play(scene)
