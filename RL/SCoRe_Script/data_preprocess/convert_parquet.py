"""RL rows become verl's parquet files: question + prefix as the prompt, the key step beside it.

    cd RL && python SCoRe_Script/data_preprocess/convert_parquet.py --input ../MPS/output/math_mps_rl.json

Modes: `standard` starts rollouts from the verified prefix; `long_horizon` from the question, where the turn at the key
step's place is the one that is compared; `sparse_reward` from the prefix without a key step (1.0 or 0.0 alone);
`long_horizon_sparse` is both; `no_avoid` is standard without the tier for a new way. Each prefix is run once
(`check_prefixes`): one that prints something else than its record is left out, and so are rows whose prompt is too long
for the limit; both are counted and listed in `left_out.jsonl`. Malformed rows are named (exit code 3), and an empty
result stops. Departure from the paper: `whole_question_share` of the rows with a key step start from the question
without it, because RL from failed prefixes alone forgets how to start.
"""

import asyncio
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "RL")]

from prefix import Prefix, Results, replay, split_prompt  # noqa: E402
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator  # noqa: E402

from score import cli  # noqa: E402
from score.dialogue import OBSERVATION  # noqa: E402
from score.errors import DataError, SettingsError  # noqa: E402
from score.interpreter import Interpreter, InterpreterSettings  # noqa: E402
from score.runner import bounded_gather  # noqa: E402
from score.settings import Strict, load_settings  # noqa: E402
from score.tasks import problem_in  # noqa: E402

DEFAULT = ROOT / "RL" / "configs" / "parquet.yaml"
EXAMPLE = "cd RL && python SCoRe_Script/data_preprocess/convert_parquet.py --input ../MPS/output/math_mps_rl.json"
SOURCE = "agent_distill"
Mode = Literal["standard", "long_horizon", "sparse_reward", "long_horizon_sparse", "no_avoid"]


class ParquetSettings(Strict):
    """`tokenizer` (a model's folder or name) counts the prompts' tokens; null counts none. `check_prefixes` needs no
    network: searches are answered from the record."""

    input: Path
    output: Path = Field(description="folder for train.parquet and val.parquet")
    mode: Mode = "standard"
    seed: int = 42
    tokenizer: str | None = None
    max_prompt_length: int = Field(default=2048, gt=0)
    validation_share: float = Field(default=0.02, ge=0, lt=1)
    validation_rows: int | None = Field(default=None, gt=0, description="at most so many rows in val.parquet")
    whole_question_share: float = Field(default=0.0, ge=0, le=1)
    check_prefixes: bool = True
    interpreter: InterpreterSettings = InterpreterSettings()


class Turn(BaseModel):
    role: str
    content: str


class Row(BaseModel):
    """A row of `*_mps_rl.json`; more keys are kept out."""

    model_config = ConfigDict(extra="ignore")

    prompt: list[Turn]
    chosen: str = ""
    chosen_observation: str = ""
    rejected: str = ""
    rejected_observation: str = ""
    correct_step: int | None = None
    gt_answer: str | list[str]
    key_prefix: list[Turn] = []  # in long horizons: the prompt of the key step
    searches: Results | None = None  # what the prefix's searches returned, by `checked`

    @model_validator(mode="after")
    def _sound(self) -> "Row":
        if not self.prompt or self.prompt[-1].role != "user" or len(self.prompt) % 2 == 0:
            raise ValueError("prompt has to be a question, then pairs of a reply and its observation")
        if [turn.role for turn in self.prompt] != ["user", "assistant"] * (len(self.prompt) // 2) + ["user"]:
            raise ValueError("the prompt's roles do not alternate user, assistant, ..., user")
        if not self.references:
            raise ValueError("gt_answer is empty")
        if bool(self.chosen) != bool(self.rejected):
            raise ValueError("chosen and rejected belong together: one of them is empty")
        return self

    @property
    def question(self) -> str:
        return self.prompt[0].content

    @property
    def references(self) -> list[str]:
        given = [self.gt_answer] if isinstance(self.gt_answer, str) else self.gt_answer
        return [answer for answer in given if answer.strip()]

    @property
    def prefix_turns(self) -> int:
        """How many of the assistant's turns the prompt holds."""
        return len(self.prompt) // 2


def drawn(question: str, purpose: str, seed: int) -> float:
    """A number in [0, 1) that depends on the question alone, so that all of its rows share one fate."""
    digest = hashlib.sha256(f"{seed}|{purpose}|{question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def as_mode(row: Row, settings: ParquetSettings, counts: Counter[str]) -> tuple[Row, int]:
    """The row as the mode wants it, and which of the rollout's turns is compared with the key step."""
    without_key_step = {"chosen": "", "chosen_observation": "", "rejected": "", "rejected_observation": ""}
    key_turn = 0
    if row.chosen and drawn(row.question, "whole question", settings.seed) < settings.whole_question_share:
        counts["started from the question instead"] += 1
        return row.model_copy(update=without_key_step | {"prompt": row.prompt[:1]}), 0
    if settings.mode.startswith("long_horizon"):
        key_turn = row.prefix_turns
        row = row.model_copy(update={"prompt": row.prompt[:1], "key_prefix": row.prompt})
    if settings.mode.endswith("sparse") or settings.mode == "sparse_reward":
        row = row.model_copy(update=without_key_step)
    counts["with a key step" if row.chosen else "without a key step"] += 1
    return row, key_turn


def parquet_row(row: Row, split: str, index: int, key_turn: int, mode: Mode) -> dict[str, Any]:
    """The schema of METHOD, section 3; `references`, `key_turn`, `avoid`, `key_prefix` and `searches` are ours (the
    last two as JSON, for reward/keyturn.py, since parquet wants one shape for all rows)."""
    messages = [turn.model_dump() for turn in row.prompt]
    prefix = "\n".join(f"{turn.role}: {turn.content}" for turn in row.prompt[1:])
    return {
        "data_source": SOURCE,
        "agent_name": SOURCE,
        "prompt": messages,
        "ability": "agent",
        "reward_model": {"style": "rule", "ground_truth": row.references[0]},
        "extra_info": {
            "split": split,
            "index": index,
            "answer": row.references[0],
            "references": row.references,
            "question": row.question,
            "prefix": prefix,
            "chosen_step": row.chosen,
            "chosen_step_obs": row.chosen_observation.removeprefix(OBSERVATION),
            "rejected_step": row.rejected,
            "rejected_step_obs": row.rejected_observation.removeprefix(OBSERVATION),
            "key_turn": key_turn,
            "avoid": mode != "no_avoid",
            "key_prefix": json.dumps([turn.model_dump() for turn in row.key_prefix], ensure_ascii=False),
            "searches": json.dumps(row.searches, ensure_ascii=False),
            "need_tools_kwargs": False,
            "tools_kwargs": {"none": ""},  # parquet knows no empty structure
            "interaction_kwargs": {"none": ""},
        },
    }


def read(path: Path, counts: Counter[str]) -> list[Row]:
    """The usable rows; each malformed one is named on stderr."""
    if not path.is_file():
        raise DataError(f"{path} does not exist (looked from {Path.cwd()}); run MPS/format/SCoRe_RL_convert.py first")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(values, list):
        raise DataError(f"{path}: expected a list of rows")
    rows = []
    for number, value in enumerate(values, 1):
        try:
            rows.append(Row.model_validate(value))
        except ValidationError as error:
            counts["malformed"] += 1
            print(f"{path}: row {number}: {problem_in(error)}", file=sys.stderr)
    return rows


class LeftOut:
    """The rows that are left out and why: counted, and listed in a file."""

    def __init__(self, counts: Counter[str]):
        self.counts = counts
        self.rows: list[dict[str, Any]] = []

    def add(self, row: Row, why: str, **more: Any) -> None:
        self.counts[f"left out: {why}"] += 1
        self.rows.append({"why": why, "question": row.question, **more})

    def write(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if self.rows:
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows), encoding="utf-8")


async def checked(rows: list[Row], settings: InterpreterSettings, left_out: LeftOut) -> list[Row]:
    """The rows whose prefix prints what it printed when it was recorded, with its searches' results."""

    async def one(row: Row) -> Row | None:
        _, _, steps = split_prompt([turn.model_dump() for turn in row.prompt])  # type: ignore[misc]
        done = await replay(interpreter.open, {}, Prefix(steps))
        await done.session.close()
        if (found := done.difference) is not None:
            left_out.add(row, "prefix not reproduced", step=found.step, recorded=found.recorded, printed=found.printed)
            return None
        return row.model_copy(update={"searches": done.results if any(done.results) else None})

    async with Interpreter(settings) as interpreter:
        return [row for row in await bounded_gather([one(row) for row in rows], 16) if row is not None]


def fitting(rows: list[tuple[Row, int]], settings: ParquetSettings, left_out: LeftOut) -> list[tuple[Row, int]]:
    """Without the rows whose prompt is over the limit."""
    if settings.tokenizer is None:
        return rows
    from transformers import AutoTokenizer
    from turns import Turns

    turns = Turns(AutoTokenizer.from_pretrained(settings.tokenizer))
    kept = []
    for row, key_turn in rows:
        if len(turns.prompt([turn.model_dump() for turn in row.prompt])) <= settings.max_prompt_length:  # type: ignore[misc]
            kept.append((row, key_turn))
        else:
            left_out.add(row, f"prompt over {settings.max_prompt_length} tokens")
    return kept


def convert(settings: ParquetSettings) -> Counter[str]:
    """Write both files; returns what happened to the rows. Raises `DataError` if nothing is left to train on."""
    import pandas as pd

    counts: Counter[str] = Counter()
    left_out = LeftOut(counts)
    found = read(settings.input, counts)
    if settings.check_prefixes and any(row.prefix_turns for row in found):
        found = asyncio.run(checked(found, settings.interpreter, left_out))
    rows = fitting([as_mode(row, settings, counts) for row in found], settings, left_out)
    rows.sort(key=lambda row: (drawn(row[0].question, "order", settings.seed), row[0].prompt[-1].content))
    held_out = [row for row in rows if drawn(row[0].question, "validation", settings.seed) < settings.validation_share]
    training = [row for row in rows if row not in held_out]
    settings.output.mkdir(parents=True, exist_ok=True)
    left_out.write(settings.output / "left_out.jsonl")
    if not training:
        raise DataError(f"{settings.input}: no row was left to train on ({dict(counts)})")
    held_out = (held_out or training[:1])[: settings.validation_rows]  # verl wants a validation file in any case
    for split, chosen in (("train", training), ("val", held_out)):
        frame = pd.DataFrame(
            [parquet_row(row, split, index, turn, settings.mode) for index, (row, turn) in enumerate(chosen)]
        )
        frame.to_parquet(settings.output / f"{split}.parquet")
        counts[f"{split} rows"] = len(frame)
    return counts


def main() -> int:
    parser = cli.parser(__doc__ or "", EXAMPLE, str(DEFAULT))
    parser.add_argument("--input", help="the JSON file of MPS/format/SCoRe_RL_convert.py")
    parser.add_argument("--output", help="folder for train.parquet and val.parquet")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mode", choices=list(Mode.__args__))  # type: ignore[attr-defined]
    arguments = parser.parse_args()
    named = ("input", "output", "seed", "mode")
    given = [f"{name}={getattr(arguments, name)}" for name in named if getattr(arguments, name) is not None]
    settings = load_settings(ParquetSettings, arguments.config, [*arguments.set, *given])
    if settings.output.suffix:
        raise SettingsError(f"output is a folder for train.parquet and val.parquet, not a file ({settings.output})")
    counts = convert(settings)
    print(f"{settings.output}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return 3 if counts["malformed"] else 0


if __name__ == "__main__":
    cli.run(main)
