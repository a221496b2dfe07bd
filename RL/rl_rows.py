"""The rows of `*_mps_rl.json`, checked while they are read."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from score.errors import DataError
from score.json_stream import read_json_array


class Turn(msgspec.Struct, gc=False):
    role: str
    content: str


class Row(msgspec.Struct, gc=False):
    """A row of `*_mps_rl.json`; more keys are kept out."""

    prompt: list[Turn]
    gt_answer: str | list[str]
    chosen: str = ""
    chosen_observation: str = ""
    rejected: str = ""
    rejected_observation: str = ""
    key_turn: int = 0  # which of the rollout's turns is compared with the key step; set by the mode

    def __post_init__(self) -> None:
        if len(self.prompt) % 2 == 0 or self.prompt[-1].role != "user":
            raise ValueError("prompt has to be a question, then pairs of a reply and its observation")
        if any(turn.role != ("user", "assistant")[place % 2] for place, turn in enumerate(self.prompt)):
            raise ValueError("the prompt's roles do not alternate user, assistant, ..., user")
        if not self.references:
            raise ValueError("gt_answer is empty")
        if bool(self.chosen) != bool(self.rejected):
            raise ValueError("chosen and rejected belong together: one of them is empty")

    @property
    def question(self) -> str:
        return self.prompt[0].content

    @property
    def references(self) -> list[str]:
        given = [self.gt_answer] if isinstance(self.gt_answer, str) else self.gt_answer
        return [answer for answer in given if answer.strip()]


def read(path: Path, counts: Counter[str]) -> Iterator[Row]:
    """The usable rows; each malformed one is named on stderr."""
    if not path.is_file():
        raise DataError(f"{path} does not exist (looked from {Path.cwd()}); run MPS/format/SCoRe_RL_convert.py first")
    for number, value in read_json_array(path):
        try:
            yield msgspec.convert(value, Row)
        except msgspec.ValidationError as error:
            counts["malformed"] += 1
            print(f"{path}: row {number}: {error}", file=sys.stderr)
