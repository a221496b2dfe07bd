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
    """A row of `*_mps_rl.json`; more keys are kept out. The last four are set by the conversion: which of the rollout's
    turns is compared with the key step, the key step's own prompt where the rollout starts elsewhere, what the searches
    of the prefix returned (None: it has none), and whether a new way is paid."""

    prompt: list[Turn]
    gt_answer: str | list[str]
    chosen: str = ""
    chosen_observation: str = ""
    rejected: str = ""
    rejected_observation: str = ""
    key_turn: int = 0
    key_prefix: list[Turn] = []
    searches: list[list[str]] | None = None
    avoid: bool = True

    @property
    def question(self) -> str:
        return self.prompt[0].content

    @property
    def references(self) -> list[str]:
        given = [self.gt_answer] if isinstance(self.gt_answer, str) else self.gt_answer
        return [answer for answer in given if answer.strip()]


def problem_in_row(row: Row) -> str | None:
    """What makes a row useless for training, or None."""
    roles = [turn.role for turn in row.prompt]
    if len(roles) % 2 == 0 or roles[-1] != "user":
        return "prompt has to be a question, then pairs of a reply and its observation"
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return "the prompt's roles do not alternate user, assistant, ..., user"
    if not row.references:
        return "gt_answer is empty"
    if bool(row.chosen) != bool(row.rejected):
        return "chosen and rejected belong together: one of them is empty"
    return None


def read(path: Path, counts: Counter[str]) -> Iterator[Row]:
    """The usable rows; each malformed one is named on stderr."""
    if not path.is_file():
        raise DataError(f"{path} does not exist (looked from {Path.cwd()}); run MPS/format/SCoRe_RL_convert.py first")
    for number, value in read_json_array(path):
        try:
            row = msgspec.convert(value, Row)
            problem = problem_in_row(row)
        except msgspec.ValidationError as error:
            problem = str(error)
        if problem is None:
            yield row
        else:
            counts["malformed"] += 1
            print(f"{path}: row {number}: {problem}", file=sys.stderr)
