"""The tasks of a benchmark: from a file in the data folder (task format or the hub's own keys), or from the hub.

A file is JSONL, JSON, CSV or parquet. `task_file` is what the scripts call.
"""

import ast
import base64
import binascii
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from registry import Answer, Benchmark, Encryption, Key, find, is_benchmark

from score.errors import DataError
from score.tasks import Task, problem_in, read_json_lines
from score.whole_file import write_whole

SAMPLE_SEED = 0
SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PYTHON_LIST = re.compile(rf"\[\s*{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?\s*\]")


def task_file(tasks: Path, data: Path, output: Path) -> Path:
    """The task file that the `tasks` setting stands for: itself, or a benchmark written in the task format beside the
    output (`OUTPUT.tasks.jsonl`), where one can see what was asked.

    Raises `DataError` if there is none to be had, with the way to get it; `SettingsError` for an unknown name.
    """
    if not is_benchmark(tasks):
        return tasks
    path = output.with_suffix(".tasks.jsonl")
    write_tasks(*load_benchmark(find(str(tasks)), data), path)
    return path


def write_tasks(tasks: Sequence[Task], problems: Sequence[DataError], source: str, path: Path) -> None:
    """Write tasks in the task format; rows of their source that were left out are named on stderr."""
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if problems:
        print(f"{len(problems)} rows of {source} were left out: the score is of the others", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, "".join(task.model_dump_json() + "\n" for task in tasks), shared=True)  # by all shards


def load_benchmark(benchmark: Benchmark, data: Path) -> tuple[list[Task], list[DataError], str]:
    """(tasks, problems, where they came from). Each task carries `benchmark` and `scorer`, so that its result row says
    how it is scored. Raises `DataError`."""
    path = local_file(benchmark, data)
    if path is not None:
        rows, source = read_rows(path), str(path)
    else:
        rows, source = hub_rows(benchmark, data), f"hub:{benchmark.hub}"
    tasks: dict[str, Task] = {}
    problems: list[DataError] = []
    for number, row in rows:
        try:
            if isinstance(row, DataError):
                raise row
            if not all(_value(row, key) == value for key, value in benchmark.where.items() if _has(row, key)):
                continue
            task = task_of(benchmark, number, row, in_csv=path is not None and path.suffix == ".csv")
            if task.id in tasks:
                raise DataError(f"id {task.id!r} occurred before")
            tasks[task.id] = task
        except DataError as error:
            problems.append(error if isinstance(row, DataError) else DataError(f"{source}:{number}: {error}"))
    if not tasks:
        detail = f"; first problem: {problems[0]}" if problems else ""
        raise DataError(f"benchmark {benchmark.name}: {source} holds no usable task{detail}")
    found = list(tasks.values())
    if path is None and benchmark.size is not None and len(found) > benchmark.size:
        chosen = random.Random(SAMPLE_SEED).sample(range(len(found)), benchmark.size)
        found = [found[index] for index in sorted(chosen)]
    return found, problems, source


def local_file(benchmark: Benchmark, data: Path) -> Path | None:
    """The benchmark's file: the one its YAML names, else one of its name in the data folder."""
    named = [benchmark.file, data / benchmark.file] if benchmark.file else []
    for path in [*named, *(data / f"{benchmark.name}{suffix}" for suffix in SUFFIXES)]:
        if path.is_file():
            return path
    return None


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(number, row) of a file; a line that cannot be read yields a `DataError` in place of its row."""
    if path.suffix == ".jsonl":
        yield from read_json_lines(path)
    elif path.suffix == ".json":
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not JSON ({error})") from None
        if not isinstance(rows, list):
            raise DataError(f"{path}: expected a list of rows")
        yield from enumerate(rows, 1)
    elif path.suffix in (".parquet", ".csv"):
        import pandas

        if path.suffix == ".parquet":
            frame = pandas.read_parquet(path)
        else:  # `None`, `NA` and `null` are answers, too
            frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
        yield from enumerate(frame.astype(object).where(frame.notna(), "").to_dict(orient="records"), 1)
    else:
        raise DataError(f"{path}: a benchmark file ends in {', '.join(SUFFIXES)}")


def hub_rows(benchmark: Benchmark, data: Path) -> Iterator[tuple[int, Any]]:
    """The rows of the hub's split. Raises `DataError` that says how to get a missing or gated one."""
    if benchmark.hub is None:
        raise DataError(how_to_get(benchmark, data, "it is in no file and its YAML names no `hub`"))
    import datasets

    configs = benchmark.config if isinstance(benchmark.config, list) else [benchmark.config]
    number = 0
    for config in configs:
        try:
            rows = datasets.load_dataset(benchmark.hub, config, split=benchmark.split)
        except (OSError, ValueError, RuntimeError) as error:  # what the hub's client raises for all that is not there
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            raise DataError(how_to_get(benchmark, data, reason)) from error
        for row in rows:
            number += 1
            yield number, row


def how_to_get(benchmark: Benchmark, data: Path, reason: str) -> str:
    """What to do about a benchmark that is not there."""
    places = " or ".join(str(data / name) for name in {str(benchmark.file or ""), f"{benchmark.name}.jsonl"} if name)
    lines = [f"benchmark {benchmark.name} cannot be had: {reason}"]
    if benchmark.hub:
        page = f"https://huggingface.co/datasets/{benchmark.hub}"
        if benchmark.gated:
            lines.append(f"- it is gated: accept its terms on {page}, then `hf auth login` (or set HF_TOKEN)")
        else:
            lines.append(f"- with a network it is loaded from {page} (check HF_HUB_OFFLINE)")
    lines.append(f"- or put it into {places}: with the hub's keys, or a line a task {{id, question, true_answer}}")
    return "\n".join(lines)


def task_of(benchmark: Benchmark, number: int, row: Any, *, in_csv: bool = False) -> Task:
    """The task of a row in the task format or with the benchmark's own keys. In a CSV a list of accepted answers is a
    text. Raises `DataError`."""
    if not isinstance(row, Mapping):
        raise DataError("expected a JSON object")
    if benchmark.encrypted and _has(row, benchmark.encrypted.key):
        row = decrypted(row, benchmark.encrypted)
    fields = benchmark.fields
    own = not ("question" in row and "true_answer" in row)
    answer_key: Key | Answer = fields.true_answer if own else "true_answer"
    made: dict[str, Any] = {
        "id": f"{benchmark.name}-{number}",
        "question": _value(row, fields.question if own else "question"),
        "true_answer": listed(_answer(row, answer_key)) if in_csv else _answer(row, answer_key),
        "benchmark": benchmark.name,
        "scorer": benchmark.scorer,
    }
    id_key: Key | None = fields.id if own else "id"
    if id_key is not None and _has(row, id_key):
        made["id"] = _value(row, id_key)
    group_key: Key | None = "group" if not own and _has(row, "group") else fields.group  # `write_tasks` calls it so
    if group_key is not None and _has(row, group_key):
        made["group"] = str(_value(row, group_key))
    try:
        return Task.model_validate(made)
    except ValidationError as error:
        raise DataError(problem_in(error)) from None


def listed(answer: Any) -> Any:
    """The answers that a CSV's cell lists, as JSON or as Python prints a list of texts; any other cell as it is, among
    them an interval such as `[1, 2]`. Raises `DataError` for a list of texts that cannot be read."""
    text = answer.strip() if isinstance(answer, str) else ""
    if not re.match(r"\[\s*['\"\]]", text):
        return answer
    try:
        return json.loads(text)
    except ValueError:
        try:
            if _PYTHON_LIST.fullmatch(text):  # not numpy's, without commas: Python would make one text of it
                return ast.literal_eval(text)
        except (SyntaxError, ValueError):  # `'\x'`
            pass
    raise DataError(f"the answers are no list that can be read ({text[:60]}): write them as JSON")


def _answer(row: Mapping[str, Any], key: Key | Answer) -> Any:
    if not isinstance(key, Answer):
        value = _value(row, key)
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    text, separator, answer = str(_value(row, key.key)).rpartition(key.after)
    if not separator:
        raise DataError(f"key {key.key!r} holds no {key.after!r}")
    return answer.strip()


def _has(row: Mapping[str, Any], key: Key) -> bool:
    return _find(row, key) is not None


def _value(row: Mapping[str, Any], key: Key) -> Any:
    found = _find(row, key)
    if found is None:
        raise DataError(f"key {key!r} is missing; there are {', '.join(map(str, row))}")
    return found[0]


def _find(row: Mapping[str, Any], key: Key) -> tuple[Any] | None:
    """The value of a key in a tuple, None if the row has none: the value itself may be None."""
    for name in [key] if isinstance(key, str) else key:
        if name in row:
            return (row[name],)
        value: Any = row
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            return (value,)
    return None


def decrypted(row: Mapping[str, Any], encryption: Encryption) -> dict[str, Any]:
    """The row in plain text. Raises `DataError` if a field is not what its encryption makes."""
    key = str(row[encryption.key]).encode()
    plain = dict(row)
    for field in encryption.fields:
        try:
            secret = base64.b64decode(str(row[field]), validate=True)
            plain[field] = bytes(a ^ b for a, b in zip(secret, cycle(key), strict=False)).decode()
        except (KeyError, binascii.Error, UnicodeDecodeError) as error:
            raise DataError(f"key {field!r} cannot be decrypted with {encryption.key!r} ({error})") from None
    return plain


def benchmark_hash(tasks: Sequence[Task]) -> str:
    """SHA-256 over the tasks' ids, questions and references, in any order: equal for equal benchmarks."""
    lines = sorted(json.dumps([task.id, task.question, task.references], ensure_ascii=False) for task in tasks)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
