"""What the tests share: where the real data lies, and servers on free ports."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

# The phases are folders of scripts: their modules are importable as in the scripts themselves.
# `benchmarks` comes last on the path: it has a `generation` too.
for folder in ("benchmarks", "", "MPS", "inference", "RL"):
    path = str(ROOT / folder)
    if path not in sys.path:
        sys.path.insert(0, path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real data is not beside the project ({SHARED})")
    return SHARED


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_server(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return
        except OSError:
            assert process.poll() is None, f"the server ended with {process.returncode}"
            time.sleep(0.1)
    raise AssertionError("the server did not answer in time")


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., str]]:
    """Start `python <arguments> --port P` and return its OpenAI address; all are stopped at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> str:
        port = free_port()
        process = subprocess.Popen([sys.executable, *arguments, "--port", str(port)], cwd=ROOT)
        running.append(process)
        wait_for_server(port, process)
        return f"http://127.0.0.1:{port}/v1"

    yield start
    for process in running:
        process.kill()
        process.wait()
