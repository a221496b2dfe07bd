"""Which trajectory goes where: decided per question by a hash, so that no order, restart or shard changes it."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from score.errors import DataError
from score.questions import draw, normalised
from score.recorded import Recorded, read_recorded


def for_sft(question: str, share: float, seed: int) -> bool:
    """Does this mentored question belong to SFT? The others are RL's: no question is in both."""
    return draw(normalised(question), "sft or rl", seed) < share


def readable(path: Path, counts: Counter[str]) -> Iterator[Recorded]:
    """The trajectories of a file; an unreadable line is named on stderr and counted."""
    for trajectory in read_recorded(path):
        if isinstance(trajectory, DataError):
            counts["unreadable lines"] += 1
            print(f"left out: {trajectory}", file=sys.stderr)
        else:
            yield trajectory
