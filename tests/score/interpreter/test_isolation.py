"""What a session cannot see or reach, and how isolation is chosen."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from score.errors import InterpreterError
from score.interpreter import Interpreter, InterpreterSettings
from score.interpreter.isolation import NO_SECCOMP
from score.interpreter.selfcheck import support

ROOT = Path(__file__).parents[3]


@pytest.fixture
def strict() -> str:
    if (answer := support()["strict"]) != "yes":
        pytest.skip(f"isolation 'strict' does not work here: {answer}")
    return "strict"


def test_no_key_of_the_environment_is_visible(observe, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    code = (
        "import os, subprocess\nprint(dict(os.environ), subprocess.run('env', capture_output=True, text=True).stdout)"
    )
    (seen,) = observe(code)
    assert "sk-very-secret" not in seen and "PATH" in seen


def test_the_environment_has_three_variables(observe):
    code = "import os, subprocess\nprint(sorted(os.environ), subprocess.run(['env'], capture_output=True, text=True).stdout.count('='))"
    assert observe(code, preload=["numpy"]) == ["['HOME', 'PATH', 'TMPDIR'] 3"]


def test_a_session_holds_the_two_sockets_of_its_own_and_none_of_another_session_or_of_the_server(isolation):
    code = (
        "import os, stat\ncount = 0\nfor fd in range(128):\n    try: count += stat.S_ISSOCK(os.fstat(fd).st_mode)\n"
        "    except OSError: pass\nprint(count)"
    )

    async def counts() -> list[str]:
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            sessions = [await interpreter.open() for _ in range(4)]
            return [(await session.run(code)).observation for session in sessions]

    assert asyncio.run(counts()) == ["2"] * 4


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
def test_strict_has_no_network_and_none_of_the_hosts_files_and_processes(observe, tmp_path):
    (tmp_path / "secret").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        network, file, processes, write = observe(
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)",
            f"open({str(tmp_path / 'secret')!r})",
            "import os\nprint(sorted(int(n) for n in os.listdir('/proc') if n.isdigit())[-1] < 20)",
            "import sys\nopen(sys.prefix + '/x', 'w')",
        )
    assert any(error in network for error in ("PermissionError", "ConnectionRefusedError", "OSError"))
    assert "FileNotFoundError" in file and processes == "True" and "Read-only file system" in write


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
def test_strict_sessions_do_not_see_each_other(isolation):
    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            one, other = await interpreter.open(), await interpreter.open()
            await one.run("open('/tmp/shared', 'w').write('x')\nopen('/dev/shm/shared', 'w').write('x')")
            result = await other.run("import os\nprint(os.path.exists('/tmp/shared'), os.listdir('/dev/shm'))")
            return result.observation

    assert asyncio.run(scene()) == "False []"


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
def test_strict_sessions_have_terminals_of_their_own(isolation):
    use = "import os\nmine, other = os.openpty()\nos.write(other, b'said')\nprint(os.ttyname(other), os.read(mine, 9))"
    look = "print(sorted(os.listdir('/dev/pts')))\nos.chmod('/dev/pts/ptmx', 0)"

    async def scene():
        async with Interpreter(InterpreterSettings(isolation=isolation, preload=["math"])) as interpreter:
            sessions = [await interpreter.open() for _ in range(2)]
            used = [(await session.run(use)).observation for session in sessions]
            return used, (await sessions[0].run(look)).observation

    used, looked = asyncio.run(scene())
    assert used == ["/dev/pts/0 b'said'"] * 2
    assert looked.startswith("['0', 'ptmx']\n") and "Read-only file system" in looked


def test_auto_falls_back_to_limits_with_one_warning(no_bubblewrap, caplog):
    with caplog.at_level(logging.WARNING):
        logging.getLogger("score.interpreter.isolation").setLevel(logging.NOTSET)
        interpreter = Interpreter(InterpreterSettings(preload=["math"])).start()
    try:
        assert interpreter.isolation == "limits"
    finally:
        interpreter.close()
    assert len(caplog.records) == 1
    assert "network" in caplog.text and "install bubblewrap" in caplog.text


def test_strict_without_bubblewrap_says_what_to_install(no_bubblewrap):
    with pytest.raises(InterpreterError, match="install it"):
        Interpreter(InterpreterSettings(isolation="strict", preload=["math"])).start()


def test_auto_takes_strict_where_it_works(strict):
    interpreter = Interpreter(InterpreterSettings(preload=["math"])).start()
    try:
        assert interpreter.isolation == "strict"
    finally:
        interpreter.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"isolation": "none"},
        {"isolation": None},
        {"step_timeout_s": -1},
        {"step_timeout_s": float("inf")},
        {"step_timeout_s": float("nan")},
        {"cpu_s": 0},
        {"tool_calls": 0},
        {"open_files": 3},
        {"file_size_mb": 0},
        {"disk_mb": -5},
        {"max_output_chars": 0},
        {"step_timeout_s": 0},
        {"memory_mb": 1},
        {"processes": 0},
        {"preload": ["no_such_module"]},
        {"preload": ["os; import sys"]},
        {"colour": "red"},
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(wrong):
    with pytest.raises(ValidationError):
        InterpreterSettings(**wrong)


def test_a_memory_limit_below_the_preloaded_libraries_is_refused_at_the_start(isolation):
    settings = InterpreterSettings(isolation=isolation, memory_mb=256, preload=["numpy", "pandas"])
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(InterpreterError, match=r"memory_mb is 256, but .*pandas.* take \d+ MB"):
        Interpreter(settings).start()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_strict_works_with_a_python_that_was_started_by_a_relative_path(strict):
    here = Path(__file__).parent
    program = "from score.interpreter.selfcheck import support; print(support()['strict'])"
    python = os.path.relpath(sys.executable, here)
    ran = subprocess.run([python, "-c", program], cwd=here, capture_output=True, text=True, check=True)
    assert ran.stdout == "yes\n"


def test_strict_without_libseccomp_works_and_says_what_is_missing(strict, monkeypatch, caplog):
    monkeypatch.setattr("score.interpreter.isolation.syscall_filter", lambda: None)

    async def scene():
        async with Interpreter(InterpreterSettings(isolation="strict", preload=["math"])) as interpreter:
            async with await interpreter.open() as session:
                return await session.run("print(open('/proc/self/status').read().split('Seccomp:')[1].split()[0])")

    with caplog.at_level(logging.WARNING):
        logging.getLogger("score.interpreter.isolation").setLevel(logging.NOTSET)
        assert asyncio.run(scene()).observation == "0"
    assert [record.getMessage() for record in caplog.records] == [NO_SECCOMP] and "libseccomp2" in NO_SECCOMP
    assert "another session listens" in NO_SECCOMP


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
def test_strict_sessions_cannot_make_the_calls_that_the_filter_names(observe):
    if support()["seccomp"] != "yes":
        pytest.skip("libseccomp is not installed")
    seen = observe(
        "import socket\nsocket.socket(socket.AF_VSOCK)",
        "import os\nos.memfd_create('x')",
        "import socket, threading, subprocess\nsocket.socketpair()\nthreading.Thread(target=print, args=(1,)).start()\n"
        "print(subprocess.run(['echo', '2'], capture_output=True, text=True).stdout)",
    )
    assert "PermissionError" in seen[0] and "PermissionError" in seen[1] and seen[2].split() == ["1", "2"]


@pytest.mark.parametrize("isolation", ["strict"], indirect=True)
def test_strict_sessions_make_no_socket_but_connected_pairs_and_see_an_ordinary_exception(observe):
    if support()["seccomp"] != "yes":
        pytest.skip("libseccomp is not installed")
    kinds = [(f"AF_{family}", kind) for family in ("INET", "UNIX", "NETLINK") for kind in ("SOCK_STREAM", "SOCK_DGRAM")]
    *refused, datagrams, bound, urllib, works = observe(
        *(f"import socket\nsocket.socket(socket.{family}, socket.{kind})" for family, kind in kinds),
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "socket.socketpair()[0].bind('\\0name')",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/', timeout=2)",
        "import asyncio, multiprocessing\nasync def three(): return 3\nprint(asyncio.run(three()))\n"
        "one, other = multiprocessing.Pipe()\none.send(4)\nprint(other.recv())",
    )
    assert all("PermissionError" in seen for seen in (*refused, datagrams, bound))
    assert urllib.endswith("urllib.error.URLError: <urlopen error [Errno 13] Permission denied>")
    assert works.split() == ["3", "4"]


def test_an_interpreter_that_is_not_started_says_so():
    with pytest.raises(InterpreterError, match="start"):
        asyncio.run(Interpreter().open())


def test_a_server_that_is_not_ready_in_time_is_an_error_and_leaves_nothing():
    settings = InterpreterSettings(isolation="limits", start_timeout_s=0.001)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(InterpreterError, match="not ready"):
        Interpreter(settings).start()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_the_command_line_runs_steps(isolation, tmp_path):
    steps = [("a", "x = 1"), ("b", "print('x' in globals())"), ("a", "print(x)"), ("a", "1 / 0")]
    lines = "".join(json.dumps({"session": session, "code": code}) + "\n" for session, code in steps)
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "score.interpreter", "run", "--isolation", isolation, "--json", str(out)]
    subprocess.run(command, input=lines, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["session"], row["status"]) for row in rows] == [("a", "ok"), ("b", "ok"), ("a", "ok"), ("a", "error")]
    assert [row["observation"] for row in rows[1:3]] == ["False", "1"]
    assert rows[3]["observation"].endswith("ZeroDivisionError: division by zero")


def test_the_command_line_names_a_bad_line():
    command = [sys.executable, "-m", "score.interpreter", "run"]
    done = subprocess.run(command, input='{"session": 1}\n', text=True, capture_output=True, cwd=ROOT)
    assert done.returncode == 2 and "line 1" in done.stderr
