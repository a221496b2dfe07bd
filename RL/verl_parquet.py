"""verl's parquet files: the schema of METHOD.md, section 3, written in groups of rows.

`references`, `key_turn`, `avoid`, `key_prefix` and `searches` in `extra_info` are ours (the last two as JSON, for
reward/keyturn.py). The columns are built with the schema's types, so that a value
that does not fit it stops the conversion instead of a training run.
"""

from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from rl_rows import Row

from score.dialogue import OBSERVATION

SOURCE = "agent_distill"
GROUP_CHARACTERS = 8 << 20  # of text in a group of rows; what memory holds
TURN = pa.struct([("role", pa.string()), ("content", pa.string())])
NONE = pa.struct([("none", pa.string())])  # parquet knows no empty structure
EXTRA = pa.struct(
    [
        ("split", pa.string()),
        ("index", pa.int64()),
        ("answer", pa.string()),
        ("references", pa.list_(pa.string())),
        ("question", pa.string()),
        ("prefix", pa.string()),
        ("chosen_step", pa.string()),
        ("chosen_step_obs", pa.string()),
        ("rejected_step", pa.string()),
        ("rejected_step_obs", pa.string()),
        ("key_turn", pa.int64()),
        ("avoid", pa.bool_()),
        ("key_prefix", pa.string()),
        ("searches", pa.string()),
        ("need_tools_kwargs", pa.bool_()),
        ("tools_kwargs", NONE),
        ("interaction_kwargs", NONE),
    ]
)
SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("agent_name", pa.string()),
        ("prompt", pa.list_(TURN)),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", EXTRA),
    ]
)


class ParquetFile:
    """`<folder>/<split>.parquet`, row by row; it appears under its name when it is complete."""

    def __init__(self, folder: Path, split: str):
        self.path, self.split, self.rows = folder / f"{split}.parquet", split, 0
        self._part = folder / f"{split}.parquet.part"
        self._waiting: list[Row] = []
        self._characters = 0
        self._writer: Any = None

    def __enter__(self) -> "ParquetFile":
        return self

    def write(self, row: Row) -> None:
        self.rows += 1
        self._waiting.append(row)
        self._characters += 200 + len(row.chosen_observation) + sum([len(turn.content) for turn in row.prompt])
        if self._characters > GROUP_CHARACTERS:
            self._write_group()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._waiting:
            self._write_group()
        if self._writer is not None:
            self._writer.close()
            if kind is None:
                self._part.replace(self.path)
            else:
                self._part.unlink()

    def _write_group(self) -> None:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Hardly a text occurs twice: dictionaries cost time and save nothing that the compression does not.
            self._writer = pq.ParquetWriter(self._part, SCHEMA, use_dictionary=False)
        self._writer.write_table(group(self._waiting, self.split, self.rows - len(self._waiting)))
        self._waiting, self._characters = [], 0


def as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode("utf-8")


def group(rows: list[Row], split: str, start: int) -> pa.Table:
    """The rows as columns; `start` is the first one's index. Column by column: ten times faster than a dict a row."""

    def texts(values: list[str]) -> pa.Array:
        return pa.array(values, pa.string())

    def same(value: Any, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), len(rows))

    turns = [turn for row in rows for turn in row.prompt]
    messages = pa.StructArray.from_arrays(
        [texts([turn.role for turn in turns]), texts([turn.content for turn in turns])], fields=list(TURN)
    )
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row.prompt))
    references = [row.references for row in rows]
    answers = texts([accepted[0] for accepted in references])
    prefixes = ["\n".join([f"{turn.role}: {turn.content}" for turn in row.prompt[1:]]) for row in rows]
    nothing = pa.StructArray.from_arrays([same("", pa.string())], fields=list(NONE))
    extra = {
        "split": same(split, pa.string()),
        "index": pa.array(range(start, start + len(rows)), pa.int64()),
        "answer": answers,
        "references": pa.array(references, pa.list_(pa.string())),
        "question": texts([row.question for row in rows]),
        "prefix": texts(prefixes),
        "chosen_step": texts([row.chosen for row in rows]),
        "chosen_step_obs": texts([row.chosen_observation.removeprefix(OBSERVATION) for row in rows]),
        "rejected_step": texts([row.rejected for row in rows]),
        "rejected_step_obs": texts([row.rejected_observation.removeprefix(OBSERVATION) for row in rows]),
        "key_turn": pa.array([row.key_turn for row in rows], pa.int64()),
        "avoid": pa.array([row.avoid for row in rows], pa.bool_()),
        "key_prefix": texts([as_json(row.key_prefix) for row in rows]),
        "searches": texts([as_json(row.searches) for row in rows]),
        "need_tools_kwargs": same(False, pa.bool_()),
        "tools_kwargs": nothing,
        "interaction_kwargs": nothing,
    }
    columns = {
        "data_source": same(SOURCE, pa.string()),
        "agent_name": same(SOURCE, pa.string()),
        "prompt": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), messages, type=SCHEMA.field("prompt").type),
        "ability": same("agent", pa.string()),
        "reward_model": pa.StructArray.from_arrays(
            [same("rule", pa.string()), answers], fields=list(SCHEMA.field("reward_model").type)
        ),
        "extra_info": pa.StructArray.from_arrays([extra[field.name] for field in EXTRA], fields=list(EXTRA)),
    }
    return pa.Table.from_arrays([columns[field.name] for field in SCHEMA], schema=SCHEMA)
