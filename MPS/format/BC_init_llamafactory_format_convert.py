"""Phase 1, last part: the teacher's correct trajectories become LLaMA-Factory data for the BC student.

    cd MPS && python format/BC_init_llamafactory_format_convert.py

Reads our files and those of the original release. Trajectories that ended wrong, unscored or unfinished are left
out and counted.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from format.convert import convert  # noqa: E402
from format.selection import readable  # noqa: E402
from format.settings import FormatSettings  # noqa: E402

from score.recorded import Recorded  # noqa: E402


def select(settings: FormatSettings, counts: Counter[str]) -> Iterator[Recorded]:
    """Every trajectory that ended with a right answer."""
    for trajectory in readable(settings.bc.input, counts):
        if trajectory.correct is None:
            counts["left out: unscored"] += 1
        elif not trajectory.correct or not trajectory.answered:
            counts["left out: not correct"] += 1
        else:
            yield trajectory


if __name__ == "__main__":
    convert("bc", select, __doc__ or "", "python format/BC_init_llamafactory_format_convert.py --seed 1")
