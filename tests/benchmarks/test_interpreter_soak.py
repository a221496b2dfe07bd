"""A small soak in every isolation that this machine has; the whole one is `python benchmarks/interpreter_soak.py`."""

import asyncio
import dataclasses

import interpreter_soak
import psutil
import pytest

from score.interpreter.selfcheck import support


@pytest.mark.parametrize("isolation", ["limits", "strict"])
def test_sessions_with_faults_leave_nothing(isolation, monkeypatch, tmp_path):
    if (answer := support()[isolation]) != "yes":
        pytest.skip(f"isolation {isolation!r} does not work here: {answer}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(interpreter_soak, "FAULT_SHARE", 0.25)
    before = interpreter_soak.count(0)
    counts, faults = asyncio.run(interpreter_soak.soak(isolation, steps=200, sessions=20, timeout_s=0.3))
    assert faults >= 20 and [count.sessions for count in counts] == [2 * n for n in range(1, 11)]
    assert interpreter_soak.leaks(counts) == []
    after = interpreter_soak.count(20)
    assert (after.processes, after.temporary) == (before.processes, 0) and after.files <= before.files


@pytest.mark.parametrize("key, amount", [("processes", 1), ("files", 1), ("temporary", 1), ("server_mb", 21.0)])
def test_a_leak_is_reported(key, amount):
    first = interpreter_soak.Count(1, 2, psutil.Process().num_fds(), 0, 40.0, 100.0)
    last = dataclasses.replace(first, **{key: getattr(first, key) + amount})
    assert len(interpreter_soak.leaks([first, last])) == 1
    assert interpreter_soak.leaks([first, first]) == []
