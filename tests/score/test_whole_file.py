"""A file that is written as a whole is never seen half-written, whatever ends the writer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from score.whole_file import replacing, write_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from score.whole_file import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_new_contents_take_the_old_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for shared in (False, True):
        path.write_text("old")
        write_whole(path, "größer", shared=shared)
        assert path.read_text(encoding="utf-8") == "größer"
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_an_error_leaves_the_old_contents_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.writelines(b"half" * (1 // left) for left in (1, 0))
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["rows.jsonl"]


def test_a_kill_leaves_the_old_contents_and_the_next_writer_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"
    write_whole(path, "new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["rows.jsonl"]


def test_two_writers_of_a_shared_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    with replacing(path, shared=True) as ours:
        ours.write(b"ours")
        other = "import sys; from pathlib import Path; from score.whole_file import write_whole; "
        other += "write_whole(Path(sys.argv[1]), 'theirs', shared=True)"
        subprocess.run([sys.executable, "-c", other, str(path)], check=True)
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours"
