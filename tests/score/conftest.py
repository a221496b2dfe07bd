"""Runs of a script against a slow and a quick server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.moody_server import Mood, MoodyServer
from tests.script_runs import Runs


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Runs]:
    server = MoodyServer([Mood(delay_s=0.3)])
    yield Runs(tmp_path, server)
    server.close()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Runs]:
    server = MoodyServer()
    yield Runs(tmp_path, server)
    server.close()
