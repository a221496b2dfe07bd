"""Which trajectory goes where: decided per question by a hash, so that no order, restart or shard changes it."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from format.settings import FormatSettings

from score.errors import DataError
from score.question_files import read_questions
from score.questions import draw, fingerprint, normalised
from score.recorded import Recorded, read_recorded


def for_sft(question: str, share: float, seed: int) -> bool:
    """Does this mentored question belong to SFT? The others are RL's: no question is in both."""
    return draw(normalised(question), "sft or rl", seed) < share


def taken_by_sft(settings: FormatSettings) -> set[bytes]:
    """Questions that these settings give to RL and that SFT's file holds all the same, from another seed or share;
    none, if both were made with one config. So memory does not grow with SFT's file."""
    return _misplaced(settings, settings.sft.output, is_sfts=True)


def taken_by_rl(settings: FormatSettings) -> set[bytes]:
    """Questions that these settings give to SFT and that RL's file holds all the same."""
    return _misplaced(settings, settings.rl.output, is_sfts=False)


def _misplaced(settings: FormatSettings, path: Path, is_sfts: bool) -> set[bytes]:
    """The fingerprints of a file's questions that these settings give to the other phase; none without the file."""
    if not path.is_file():
        return set()
    asked = (question.text for question in read_questions([path]))
    return {fingerprint(text) for text in asked if for_sft(text, settings.sft_share, settings.seed) != is_sfts}


def held_against(other: Literal["SFT", "RL"], path: Path, refused: int) -> str:
    """One line for the report: what the other phase's file said of the questions."""
    if not path.is_file():
        return f"not held against {other}'s questions: {path} does not exist (yet)"
    said = f"held against {other}'s questions in {path}: {refused} refused"
    return f"{said}; if {other}'s file is to be made again, delete it first" if refused else said


def readable(path: Path, counts: Counter[str]) -> Iterator[Recorded]:
    """The trajectories of a file; an unreadable line is named on stderr and counted."""
    for trajectory in read_recorded(path):
        if isinstance(trajectory, DataError):
            counts["unreadable lines"] += 1
            print(f"left out: {trajectory}", file=sys.stderr)
        else:
            yield trajectory
