"""Which trajectory goes where: decided per question by a hash, so that no order, restart or shard changes it."""

from collections.abc import Iterator
from pathlib import Path

from score.errors import DataError
from score.questions import draw, normalised
from score.trajectory import Trajectory, read_trajectories


def for_sft(question: str, share: float, seed: int) -> bool:
    """Does this mentored question belong to SFT? The others are RL's: no question is in both."""
    return draw(normalised(question), "sft or rl", seed) < share


def readable(path: Path) -> Iterator[Trajectory | None]:
    """The trajectories of a file; an unreadable line is named on stderr and yields None."""
    import sys

    for trajectory in read_trajectories(path):
        if isinstance(trajectory, DataError):
            print(f"left out: {trajectory}", file=sys.stderr)
            yield None
        else:
            yield trajectory
