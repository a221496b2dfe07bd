"""LLaMA-Factory's ShareGPT files: validated, written as a stream, and named in its dataset_info.json."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from format.settings import Lengths, ToLlamaFactory

from score.dialogue import Message, render
from score.errors import DataError
from score.json_stream import JsonArrayWriter
from score.lengths import DialogueLengths
from score.recorded import Recorded
from score.whole_file import write_whole

SPEAKERS = {"user": "human", "assistant": "gpt"}
BATCH = 256  # conversations tokenized at once


class Turn(msgspec.Struct, gc=False):
    """A turn as ShareGPT has it: `from` is `human` or `gpt`."""

    speaker: str = msgspec.field(name="from")
    value: str


class Conversation(msgspec.Struct, gc=False):
    conversations: list[Turn]


def check(dialogue: list[Message]) -> str | None:
    """What is wrong with a conversation, or None: LLaMA-Factory drops these with no more than a warning."""
    if len(dialogue) < 2 or dialogue[-1]["role"] != "assistant":
        return "does not end on the student's turn"
    if any(message["role"] != "user" for message in dialogue[::2]) or any(
        message["role"] != "assistant" for message in dialogue[1::2]
    ):
        return "turns do not alternate"
    if not all(message["content"] and not message["content"].isspace() for message in dialogue):
        return "has an empty turn"
    return None


def as_json(dialogue: list[Message]) -> bytes:
    """One row of the file, spaced as `json.dumps` does."""
    turns = [Turn(SPEAKERS[message["role"]], message["content"]) for message in dialogue]
    return msgspec.json.format(msgspec.json.encode(Conversation(turns)), indent=0)


def length_check(settings: Lengths) -> DialogueLengths:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer)
    return DialogueLengths(tokenizer, settings.cutoff_len, reply_follows=False, counted=settings.counted)


def batches(dialogues: Iterator[list[Message]]) -> Iterator[list[list[Message]]]:
    while batch := list(islice(dialogues, BATCH)):
        yield batch


def write(
    selected: Iterable[Recorded], settings: ToLlamaFactory, dataset_info: Path, counts: Counter[str]
) -> DialogueLengths | None:
    """Write the conversations and name the file in dataset_info.json; count what was written or left out. Returns the
    lengths in tokens, if they were asked for.

    Raises `DataError` if nothing is left: training on nothing must not look like training.
    """
    lengths = length_check(settings.lengths) if settings.lengths else None

    def sound() -> Iterator[list[Message]]:
        for trajectory in selected:
            dialogue = render(trajectory.task.question, trajectory.plan, trajectory.steps)
            problem = check(dialogue)
            if problem is None and not all(step.code.strip() for step in trajectory.steps):
                # An unreadable reply is recorded as an empty turn, which nobody wrote and nobody should learn.
                problem = "holds a turn without code"
            if problem is None:
                yield dialogue
            else:
                counts[f"left out: {problem}"] += 1

    def fitting() -> Iterator[list[Message]]:
        if lengths is None:
            yield from sound()
            return
        for batch in batches(sound()):
            for dialogue, fits in zip(batch, lengths.fit(batch), strict=True):
                if fits:
                    yield dialogue
                else:
                    counts[f"left out: is longer than cutoff_len ({lengths.limit} tokens)"] += 1

    with JsonArrayWriter(settings.output) as rows:
        for dialogue in fitting():
            rows.write(as_json(dialogue))
    if not rows.rows:
        raise DataError(
            f"{settings.input}: no trajectory fit for training was left ({dict(counts) or 'the file is empty'})"
        )
    counts["written"] += rows.rows
    _name_dataset(settings, dataset_info)
    return lengths


def _name_dataset(settings: ToLlamaFactory, dataset_info: Path) -> None:
    """Enter the file in dataset_info.json, with a path relative to that file, as LLaMA-Factory reads it."""
    known: dict[str, Any] = json.loads(dataset_info.read_text(encoding="utf-8")) if dataset_info.is_file() else {}
    known[settings.dataset] = {
        "file_name": os.path.relpath(settings.output.resolve(), dataset_info.parent.resolve()),
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
    }
    dataset_info.parent.mkdir(parents=True, exist_ok=True)
    write_whole(dataset_info, json.dumps(known, indent=2, ensure_ascii=False) + "\n")
