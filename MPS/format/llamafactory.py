"""LLaMA-Factory's ShareGPT files: validated, written as a stream, and named in its dataset_info.json."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from format.settings import Lengths, ToLlamaFactory

from score.dialogue import render
from score.errors import DataError
from score.trajectory import Trajectory

SPEAKERS = {"user": "human", "assistant": "gpt"}


def conversation(trajectory: Trajectory) -> list[dict[str, str]]:
    """The turns of a trajectory: question, plan, and each step with its observation, ending on the student's turn."""
    messages = render(trajectory.task.question, trajectory.plan, trajectory.steps)
    return [{"from": SPEAKERS[message["role"]], "value": message["content"]} for message in messages]


def check(turns: list[dict[str, str]]) -> str | None:
    """What is wrong with a conversation, or None: LLaMA-Factory drops these with no more than a warning."""
    if len(turns) < 2 or turns[-1]["from"] != "gpt":
        return "does not end on the student's turn"
    if any(turn["from"] != ("human", "gpt")[index % 2] for index, turn in enumerate(turns)):
        return "turns do not alternate"
    if any(not turn["value"].strip() for turn in turns):
        return "has an empty turn"
    return None


def token_counter(lengths: Lengths) -> Callable[[list[dict[str, str]]], int]:
    """Counts a conversation's tokens with the student's tokenizer (its chat template included)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lengths.tokenizer)
    roles = {speaker: role for role, speaker in SPEAKERS.items()}

    def count(turns: list[dict[str, str]]) -> int:
        messages = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in turns]
        return len(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False))

    return count


def write(selected: Iterable[Trajectory], settings: ToLlamaFactory, dataset_info: Path) -> Counter[str]:
    """Write the conversations and name the file in dataset_info.json. Returns counts of what was written or left out.

    Raises `DataError` if nothing is left: training on nothing must not look like training.
    """
    count_tokens = token_counter(settings.lengths) if settings.lengths else None
    counts: Counter[str] = Counter()
    settings.output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = settings.output.with_name(settings.output.name + ".part")
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write("[")
        for trajectory in selected:
            turns = conversation(trajectory)
            problem = check(turns)
            if problem is None and count_tokens is not None and settings.lengths is not None:
                if count_tokens(turns) > settings.lengths.cutoff_len:
                    problem = f"is longer than cutoff_len ({settings.lengths.cutoff_len} tokens)"
            if problem is not None:
                counts[f"left out: {problem}"] += 1
                continue
            file.write(",\n" if counts["written"] else "\n")
            json.dump({"conversations": turns}, file, ensure_ascii=False)
            counts["written"] += 1
        file.write("\n]\n")
    if not counts["written"]:
        unfinished.unlink()
        raise DataError(
            f"{settings.input}: no trajectory fit for training was left ({dict(counts) or 'the file is empty'})"
        )
    unfinished.replace(settings.output)
    _name_dataset(settings, dataset_info)
    return counts


def _name_dataset(settings: ToLlamaFactory, dataset_info: Path) -> None:
    """Enter the file in dataset_info.json, with a path relative to that file, as LLaMA-Factory reads it."""
    import os

    known: dict[str, Any] = json.loads(dataset_info.read_text(encoding="utf-8")) if dataset_info.is_file() else {}
    known[settings.dataset] = {
        "file_name": os.path.relpath(settings.output.resolve(), dataset_info.parent.resolve()),
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
    }
    dataset_info.parent.mkdir(parents=True, exist_ok=True)
    dataset_info.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
