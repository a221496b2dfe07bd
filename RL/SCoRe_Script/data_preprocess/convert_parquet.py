"""RL rows become verl's parquet files: question + prefix as the prompt, the key step beside it.

    cd RL && python SCoRe_Script/data_preprocess/convert_parquet.py --input ../MPS/output/math_mps_rl.json

Modes: `standard` starts rollouts from the verified prefix; `long_horizon` from the question, where the turn at the key
step's place is the one that is compared; `sparse_reward` from the prefix without a key step (1.0 or 0.0 alone);
`long_horizon_sparse` is both; `no_avoid` is standard without the tier for a new way. Each prefix is run once
(`check_prefixes`): one that prints something else than its record is left out, and so are rows whose prompt is too long
for the limit or whose question SFT's file (`sft`) or `validation_tasks` holds; all are counted and listed in
`left_out.jsonl`. Malformed rows are named (exit code 3), and an empty
result stops. Departure from the paper: `whole_question_share` of the rows with a key step start from the question
without it, because RL from failed prefixes alone forgets how to start. Validation is a share of the rows, each from
where its rollouts start, or with `validation_tasks` the whole questions of a task file, the same in every mode. Where
that leaves none a row of training stands in, since verl wants a file; launchers choose no best checkpoint by it.
"""

import asyncio
import json
import os
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any, Literal, get_args

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "RL")]

import msgspec  # noqa: E402
from prefix import Prefix, replay, split_prompt  # noqa: E402
from pydantic import Field  # noqa: E402
from rl_rows import Row, Turn, read  # noqa: E402

from score import cli  # noqa: E402
from score.errors import DataError, SettingsError  # noqa: E402
from score.interpreter import Interpreter, InterpreterSettings  # noqa: E402
from score.question_files import read_questions  # noqa: E402
from score.questions import draw, fingerprint  # noqa: E402
from score.settings import Strict, load_settings  # noqa: E402
from score.tasks import read_tasks  # noqa: E402

Mode = Literal["standard", "long_horizon", "sparse_reward", "long_horizon_sparse", "no_avoid"]
ASKED = "validation asks the question"
DEFAULT = ROOT / "RL" / "configs" / "parquet.yaml"
EXAMPLE = "cd RL && python SCoRe_Script/data_preprocess/convert_parquet.py --input ../MPS/output/math_mps_rl.json"


class ParquetSettings(Strict):
    """`tokenizer` (a model's folder or name) counts the prompts' tokens; null counts none. `counted`: the share of the
    prompts that are tokenized for the histogram; of the others those that their bytes do not clear. `check_prefixes`
    needs no network: searches are answered from the record."""

    input: Path
    output: Path = Field(description="folder for train.parquet and val.parquet")
    sft: Path | None = Field(default=None, description="what SFT was trained on, in LLaMA-Factory's format")
    mode: Mode = "standard"
    seed: int = 42
    tokenizer: str | None = None
    max_prompt_length: int = Field(default=2048, gt=0)
    counted: float = Field(default=1.0, ge=0, le=1)
    validation_share: float = Field(default=0.02, ge=0, lt=1)
    validation_rows: int | None = Field(default=None, gt=0, description="at most so many; further ones are trained on")
    validation_tasks: Path | None = Field(default=None, description="a task file, in place of a share of the rows")
    whole_question_share: float = Field(default=0.0, ge=0, le=1)
    check_prefixes: bool = True
    interpreter: InterpreterSettings = InterpreterSettings()


def as_mode(row: Row, settings: ParquetSettings, counts: Counter[str]) -> Row:
    """The row as the mode wants it."""
    if row.chosen and draw(row.question, "whole question", settings.seed) < settings.whole_question_share:
        counts["started from the question instead"] += 1
        row.prompt, row.searches = row.prompt[:1], None
        drop_key_step(row)
        return row
    row.avoid = settings.mode != "no_avoid"
    if settings.mode.startswith("long_horizon"):
        row.key_turn, row.key_prefix = len(row.prompt) // 2, row.prompt
        row.prompt = row.prompt[:1]
    if settings.mode.endswith("sparse") or settings.mode == "sparse_reward":
        drop_key_step(row)
    counts["with a key step" if row.chosen else "without a key step"] += 1
    return row


def drop_key_step(row: Row) -> None:
    row.chosen = row.chosen_observation = row.rejected = row.rejected_observation = ""


class LeftOut:
    """The rows that are left out and why: counted, and listed in a file, which is there only if there are any."""

    def __init__(self, path: Path, counts: Counter[str]):
        self.path, self.counts = path, counts
        self._file: IO[str] | None = None
        path.unlink(missing_ok=True)

    def add(self, row: Row, why: str, **more: Any) -> None:
        self.counts[f"left out: {why}"] += 1
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "w", encoding="utf-8")
        self._file.write(json.dumps({"why": why, "question": row.question, **more}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def taken(settings: ParquetSettings, validation: list[Row]) -> dict[bytes, str]:
    """Questions that training may not have, and why, by their fingerprints."""
    found = {fingerprint(row.question): ASKED for row in validation}
    if settings.sft is not None and settings.sft.is_file():
        found |= {fingerprint(one.text): "SFT used the question" for one in read_questions([settings.sft])}
    elif settings.sft is not None:
        print(f"sft: {settings.sft} does not exist, so nothing is held against it", file=sys.stderr)
    return found


def untaken(rows: Iterator[Row], taken: dict[bytes, str], left_out: LeftOut) -> Iterator[Row]:
    for row in rows:
        if why := taken.get(fingerprint(row.question)):
            left_out.add(row, why)
        else:
            yield row


def reproduced(rows: Iterator[Row], settings: InterpreterSettings, left_out: LeftOut) -> Iterator[Row]:
    """The rows whose prefix prints what it printed when it was recorded, with its searches' results."""
    at_once = 16
    interpreter = Interpreter(settings)

    async def one(row: Row) -> Row | None:
        _, _, steps = split_prompt([{"role": turn.role, "content": turn.content} for turn in row.prompt])
        if not steps:
            return row
        done = await replay(interpreter.start().open, {}, Prefix(steps))
        await done.session.close()
        if (found := done.difference) is not None:
            left_out.add(row, "prefix not reproduced", step=found.step, recorded=found.recorded, printed=found.printed)
            return None
        row.searches = done.results if any(done.results) else None
        return row

    async def several(batch: list[Row]) -> list[Row | None]:
        return await asyncio.gather(*map(one, batch))

    with asyncio.Runner() as runner:  # one event loop for all, which the interpreter is bound to
        try:
            while batch := list(islice(rows, at_once)):
                yield from (row for row in runner.run(several(batch)) if row is not None)
        finally:
            interpreter.close()


class PromptLimit:
    """Leaves out the rows whose prompt is over the limit, and keeps the lengths for the report."""

    BATCH = 256

    def __init__(self, settings: ParquetSettings):
        from transformers import AutoTokenizer
        from turns import Turns

        from score.lengths import DialogueLengths

        tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer)
        Turns(tokenizer)  # refuses a chat template that the rollouts could not follow
        self.limit = settings.max_prompt_length
        self.lengths = DialogueLengths(tokenizer, self.limit, reply_follows=True, counted=settings.counted)

    def fitting(self, rows: Iterator[Row], left_out: LeftOut) -> Iterator[Row]:
        while batch := list(islice(rows, self.BATCH)):
            prompts = [[{"role": turn.role, "content": turn.content} for turn in row.prompt] for row in batch]
            for row, fits in zip(batch, self.lengths.fit(prompts), strict=True):  # type: ignore[arg-type]
                if fits:
                    yield row
                else:
                    left_out.add(row, f"prompt over {self.limit} tokens")


class Shuffled:
    """Rows in the order that the seed gives their questions, whatever their number: they wait in a temporary file that
    has no name, memory holds 16 bytes for each."""

    def __init__(self, rows: Iterator[Row], seed: int, folder: Path):
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)
        self._keys, self._ends = array("d"), array("Q", [0])
        encode = msgspec.msgpack.Encoder().encode
        end = 0
        for row in rows:
            end += self._file.write(encode(row))
            self._keys.append(draw(row.question, "order", seed))
            self._ends.append(end)
        self._file.flush()

    def __iter__(self) -> Iterator[Row]:
        import numpy as np

        decode = msgspec.msgpack.Decoder(Row).decode
        ends, number = self._ends, self._file.fileno()

        def load(place: int) -> Row:
            return decode(os.pread(number, ends[place + 1] - ends[place], ends[place]))

        order = array("q")
        if self._keys:
            order.frombytes(np.argsort(np.frombuffer(self._keys), kind="stable").tobytes())
        for _, places in groupby(order, key=self._keys.__getitem__):  # a question's rows have one key
            same_question = list(map(load, places))
            if len(same_question) > 1:
                same_question.sort(key=lambda row: row.prompt[-1].content)
            yield from same_question


def whole_questions(settings: ParquetSettings) -> Iterator[Row]:
    """Rows from the question of `validation_tasks`. Raises `DataError` if the file is missing or has a bad line."""
    if settings.validation_tasks is None:
        return
    tasks, problems = read_tasks(settings.validation_tasks)
    if problems:
        raise problems[0]
    for task in tasks[: settings.validation_rows]:
        yield Row(prompt=[Turn("user", task.question)], gt_answer=task.true_answer)


def convert(settings: ParquetSettings) -> tuple[Counter[str], dict[str, Any]]:
    """Write both files; returns what happened to the rows, and the prompts' lengths in tokens if they were counted.
    Raises `DataError` if nothing is left to train on."""
    from verl_parquet import ParquetFile

    counts: Counter[str] = Counter()
    limit = PromptLimit(settings) if settings.tokenizer is not None else None
    left_out = LeftOut(settings.output / "left_out.jsonl", counts)
    asked = whole_questions(settings)
    questions = list(limit.fitting(asked, left_out) if limit else asked)  # first: a bad file stops before the long work
    if settings.validation_tasks and not questions:
        raise DataError(f"validation_tasks: {settings.validation_tasks} holds no question that fits ({dict(counts)})")
    rows = untaken(read(settings.input, counts), taken(settings, questions), left_out)
    if settings.check_prefixes:
        rows = reproduced(rows, settings.interpreter, left_out)
    rows = (as_mode(row, settings, counts) for row in rows)
    if limit:
        rows = limit.fitting(rows, left_out)
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    shuffled = Shuffled(rows, settings.seed, settings.output.parent)
    share = 0.0 if settings.validation_tasks else settings.validation_share
    first: Row | None = None
    last: str | None = None  # validation's last question
    with ParquetFile(settings.output, "train") as training, ParquetFile(settings.output, "val") as held_out:
        for row in shuffled:
            drawn = draw(row.question, "validation", settings.seed) < share
            if drawn and held_out.rows != settings.validation_rows:
                held_out.write(row)
                last = row.question
            elif row.question == last:  # a question's rows stand together
                left_out.add(row, ASKED)
            else:
                training.write(row)
                first = first or row
        left_out.close()
        for row in questions:
            held_out.write(row)
        if first is None:
            raise DataError(f"{settings.input}: no row was left to train on ({dict(counts)})")
        if not held_out.rows:  # verl wants a validation file in any case
            held_out.split = training.split
            held_out.write(first)
            counts["of training in place of a validation row"] = 1
    counts["train rows"], counts["val rows"] = training.rows, held_out.rows
    if limit:
        print(limit.lengths.report())
    return counts, {"tokens": limit.lengths.summary()} if limit else {}


def main() -> int:
    parser = cli.parser(__doc__ or "", EXAMPLE, str(DEFAULT))
    parser.add_argument("--input", help="the JSON file of MPS/format/SCoRe_RL_convert.py")
    parser.add_argument("--output", help="folder for train.parquet and val.parquet")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mode", choices=get_args(Mode))
    arguments = parser.parse_args()
    named = ("input", "output", "seed", "mode")
    given = [f"{name}={getattr(arguments, name)}" for name in named if getattr(arguments, name) is not None]
    settings = load_settings(ParquetSettings, arguments.config, [*arguments.set, *given])
    if settings.output.suffix:
        raise SettingsError(f"output is a folder for train.parquet and val.parquet, not a file ({settings.output})")
    counts, lengths = convert(settings)
    from score.manifest import write_manifest

    write_manifest(settings.output / "train.parquet", settings, {**counts, **lengths}, inputs=[settings.input])
    print(f"{settings.output}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return 3 if counts["malformed"] else 0


if __name__ == "__main__":
    cli.run(main)
