"""A suite of the paper's table: inference on each of its benchmarks, then their result files."""

import sys
from collections.abc import Sequence
from pathlib import Path

from configuration import EvaluationSettings, InferenceSettings
from inference_api import answer as answer_tasks
from inference_api import require_search
from registry import suite

from score.errors import DataError
from score.run import INTERRUPTED
from score.settings import load_settings


def run_suite(
    name: str, run: str, settings: EvaluationSettings, overrides: Sequence[str], answer: bool
) -> tuple[list[Path], bool]:
    """(the result files `output/RUN/BENCHMARK.jsonl` of a suite, whether all of it is answered); with `answer`,
    inference first completes them.

    A benchmark that cannot be had is named on stderr and left out, so that the others are not lost. Raises `DataError`
    if none is left, `KeyboardInterrupt` if inference was interrupted, `SettingsError` before the first answer if a
    benchmark lacks its search.
    """
    files, complete = [], True
    wanted: dict[Path, InferenceSettings | None] = {}
    for benchmark in suite(name):
        path = settings.output / run / f"{benchmark.name}.jsonl"
        wanted[path] = None
        if answer:
            changes = [*overrides, f"tasks={benchmark.name}", f"output={path}"]
            wanted[path] = asked = load_settings(InferenceSettings, settings.inference, changes)
            require_search(benchmark, asked)
    for path, to_ask in wanted.items():
        if to_ask is not None:
            try:
                code = answer_tasks(to_ask)
            except DataError as error:
                print(f"left out: {error}", file=sys.stderr)
                code = 3
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            complete = complete and code == 0
        if path.is_file() and path.stat().st_size:
            files.append(path)
        elif to_ask is None:
            print(f"left out: {path} does not exist", file=sys.stderr)
            complete = False
    if not files:
        raise DataError(f"suite {name}: there is no result under {settings.output / run}")
    return files, complete
