"""Which trajectory goes where: decided per question by a hash, so that no order, restart or shard changes it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from score.errors import DataError
from score.trajectory import Trajectory, read_trajectories


def normalised(question: str) -> str:
    """A question as it is compared between data sets: lower case, single spaces."""
    return " ".join(question.casefold().split())


def draw(question: str, purpose: str, seed: int) -> float:
    """A number in [0, 1) that depends on the question, the purpose and the seed alone."""
    digest = hashlib.sha256(f"{seed}|{purpose}|{normalised(question)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def for_sft(question: str, share: float, seed: int) -> bool:
    """Does this mentored question belong to SFT? The others are RL's: no question is in both."""
    return draw(question, "sft or rl", seed) < share


def readable(path: Path) -> Iterator[Trajectory | None]:
    """The trajectories of a file; an unreadable line is named on stderr and yields None."""
    import sys

    for trajectory in read_trajectories(path):
        if isinstance(trajectory, DataError):
            print(f"left out: {trajectory}", file=sys.stderr)
            yield None
        else:
            yield trajectory
