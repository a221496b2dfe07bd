"""Compare answers from the command line: `python -m score.answers FILE.jsonl`."""

import asyncio
import json
import sys
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, field_validator

from score import cli
from score.answers.pool import Equivalence, Match
from score.errors import DataError
from score.tasks import read_rows

MALFORMED = Match(None, "malformed")
AT_ONCE = 256  # rows compared before their lines are printed

_ABOUT = """Is each answer equal to its reference?

FILE.jsonl holds rows {"question"?, "reference", "answer"}: `reference` is a text or a list of accepted ones, numbers
are read as texts, an `answer` of null is an empty answer. For each row, in order, one line is printed:
{"equal": true | false | null, "by": the rule that decided}. null: neither a rule nor math-verify can tell, a judge
has to. A malformed row gives {"equal": null, "by": "malformed"} and is named on stderr; then the exit code is 3. Blank
lines are passed over."""


class Row(BaseModel):
    """One comparison. `reference` becomes a list of accepted answers."""

    question: str = ""
    reference: list[str]
    answer: str

    @field_validator("question", mode="before")
    @classmethod
    def _no_question(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("reference", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        accepted = value if isinstance(value, list) else [value]
        if not accepted:
            raise ValueError("an empty list accepts no answer")
        return [_as_text(one) for one in accepted]

    @field_validator("answer", mode="before")
    @classmethod
    def _answer_as_text(cls, value: object) -> object:
        return "" if value is None else _as_text(value)


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


async def compare_all(path: Path, equivalence: Equivalence) -> int:
    """Print a line for each row; returns how many were malformed."""
    malformed = 0

    async def match(row: Row | DataError) -> Match:
        if isinstance(row, DataError):
            return MALFORMED
        return await equivalence.equal(row.reference, row.answer, row.question)

    waiting = (row for _, row in read_rows(path, Row))
    while batch := list(islice(waiting, AT_ONCE)):
        for row in batch:
            if isinstance(row, DataError):
                malformed += 1
                print(f"malformed: {row}", file=sys.stderr)
        for found in await asyncio.gather(*(match(row) for row in batch)):
            print(json.dumps({"equal": found.equal, "by": found.by}), flush=True)
    return malformed


def main() -> int:
    parser = cli.parser(_ABOUT, "python -m score.answers answers.jsonl", None)
    parser.prog = "python -m score.answers"
    parser.add_argument("file", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--workers", type=int, default=2, help="processes of math-verify; default: 2")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        raise DataError(f"{arguments.file} does not exist (looked from {Path.cwd()})")
    with Equivalence(workers=arguments.workers) as equivalence:
        malformed = asyncio.run(compare_all(arguments.file, equivalence))
    return 3 if malformed else 0


if __name__ == "__main__":
    cli.run(main)
