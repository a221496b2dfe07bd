"""The heap that sessions share: nothing of it is lost or seen by another, and a fork copies little of it."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from score.interpreter.selfcheck import support

INTERPRETER = Path(__file__).parents[3] / "score/interpreter"

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap is shared")


def alone(program: str) -> str:
    """What a program of its own process prints that may import `inside`."""
    start = f"import sys; sys.path.insert(0, {str(INTERPRETER)!r})\nfrom inside import heap\n"
    done = subprocess.run([sys.executable, "-c", start + program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


MAPPED = "mapped = sum('memfd:heap' in line for line in open('/proc/self/maps'))\n"


def test_this_machine_shares_the_heap():
    assert support()["shared heap"] == "yes"


def test_a_session_begins_with_pages_of_the_file_and_holds_no_way_to_it(observe):
    code = (
        "import os\n"
        + MAPPED
        + "links = [os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 9) if os.path.exists(f'/proc/self/fd/{fd}')]\n"
    )
    (seen,) = observe(code + "print(mapped > 0, any('heap' in link for link in links))", preload=["math", "numpy"])
    assert seen == "True False"


def test_a_fresh_session_maps_a_fraction_of_what_its_libraries_take(observe):
    code = "print(int(open('/proc/self/statm').read().split()[1]) * 4096 // 2**20)"
    (seen,) = observe(code, preload=["math", "numpy", "sympy"])
    assert int(seen) < 35  # 60 to 70 MB are in use once numpy and sympy are imported


def test_nothing_of_the_heap_is_lost_and_copies_stay_apart():
    program = """
import hashlib, os
table = {str(number): [number, float(number)] for number in range(200_000)}
text = os.urandom(3_000_000)
def digest():
    return hashlib.sha256(repr(table).encode() + text).hexdigest()
before = digest()
print(heap.share(), digest() == before)
pid = os.fork()
if pid == 0:
    for value in table.values():
        value.append(0)
    os._exit(digest() == before)
print(os.waitpid(pid, 0)[1], digest() == before)
"""
    assert alone(program).split() == ["True", "True", "0", "True"]


def test_what_was_there_before_can_grow_and_memory_comes_and_goes():
    # The lists lie in mappings of their own; one that grew within the file would show another's memory, or end us.
    program = """
lists = [list(range(size)) for size in (10_000, 20_000, 50_000, 200_000, 1_000_000)]
print(heap.share())
for one in lists:
    size = len(one)
    for _ in range(5):
        one.extend(range(len(one), 2 * len(one)))
    assert one == list(range(32 * size))
for _ in range(5):
    pieces = [bytes([number % 256]) * size for number in range(300) for size in (600, 5_000, 90_000, 300_000)]
    assert all(piece == piece[:1] * len(piece) for piece in pieces)
    del pieces
print("done")
"""
    assert alone(program).split() == ["True", "done"]


def test_where_the_first_try_dies_the_heap_stays_as_it_is():
    program = (
        """
import os, signal
heap._replace = lambda *_: os.kill(os.getpid(), signal.SIGSEGV)
"""
        + "print(heap.share())\n"
        + MAPPED
        + "print(mapped)"
    )
    assert alone(program).split() == ["False", "0"]


def test_where_the_machine_has_no_room_for_the_file_the_heap_stays_as_it_is():
    program = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))\nprint(heap.share())\n"
    assert alone(program + MAPPED + "print(mapped)").split() == ["False", "0"]
