"""Run a served student (any OpenAI-compatible server) on a task file or a benchmark and write its answers.

    cd inference && python inference_api.py                       (with inference_config.yaml)
    python inference_api.py --set tasks=aime24 --set output=output/aime24.jsonl --set samples=4

Writes one row a task and sample: `{id, question, true_answer, messages, gen_answer, ended, ...}`; a second run goes on
where the first stopped. Failures of the endpoint, a tool or the interpreter are no answers: they go to
`<output>.failures.jsonl`, are tried again by the next run, and the exit code is 3 while any remain.
Score the file with `evaluate.py`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402

if TYPE_CHECKING:
    from configuration import InferenceSettings
    from registry import Benchmark

    from score.ledger import Ledger
    from score.llm import Endpoint
    from score.run import Script, Worker
    from score.run_report import Findings
    from score.tasks import Task


def main() -> int:
    parser = cli.parser(__doc__ or "", "python inference_api.py --limit 20 --set max_steps=10", "inference_config.yaml")
    cli.add_run_options(parser)
    options = parser.parse_args()

    # Heavy imports come after the arguments, so that --help answers at once.
    from configuration import InferenceSettings

    from score import run
    from score.settings import load_settings

    settings = load_settings(InferenceSettings, options.config, cli.overrides(options))
    options.set.append(f"tasks={tasks_of(settings)}")
    return run.main(script(settings), options)


def script(settings: InferenceSettings) -> Script[InferenceSettings]:
    """This script, as `score.run` runs it, for whoever answers."""
    from styles import prompts

    from score.run import Script

    return Script(
        __file__, type(settings), "inference", [settings.answerer], workshop, findings, prompts(settings.style)
    )


def answer(settings: InferenceSettings) -> int:
    """Answer what has no row yet, without a command line. Returns the exit code; raises what stops it."""
    import uvloop

    from score.run import run

    settings = settings.model_copy(update={"tasks": tasks_of(settings)})
    return uvloop.run(run(script(settings), settings))


def tasks_of(settings: InferenceSettings) -> Path:
    """The task file of these settings, written first where `tasks` names a benchmark. Raises `DataError` for one that
    cannot be had, `SettingsError` for one that lacks its search."""
    from registry import find, is_benchmark
    from sources import task_file

    if is_benchmark(settings.tasks):
        require_search(find(str(settings.tasks)), settings)
    return task_file(settings.tasks, settings.data, settings.output)


def require_search(benchmark: Benchmark, settings: InferenceSettings) -> None:
    """Raises `SettingsError` for an agent without search on a benchmark that is made for it: its code would call a
    function that is not there, and the score would say nothing of the student."""
    from score.errors import SettingsError

    searches = settings.search.backend != "none" or settings.style == "chat" or settings.without_search
    if benchmark.made_for_search and not searches:
        raise SettingsError(
            f"benchmark {benchmark.name} is made for search, but search.backend is `none`: set it (configs/tools.yaml "
            "lists the back ends; evaluate.py: --set inference.search.backend=...), or say without_search=true to "
            "measure the agent without search"
        )


@asynccontextmanager
async def workshop(settings: InferenceSettings, endpoints: Mapping[str, Endpoint]) -> AsyncIterator[Worker]:
    """Who answers, ready for tasks."""
    from loop import solve

    from score.interpreter import Interpreter
    from score.run import Worker
    from score.tools import make_tools

    tools = make_tools(settings.search)
    async with Interpreter(settings.interpreter) as interpreter:

        async def work(task: Task, sample: int, seed: int | None) -> dict[str, Any]:
            return await solve(
                task, endpoints[settings.answerer], interpreter, tools, settings.max_steps, seed,
                style=settings.style, max_tries=settings.max_tries,
            )  # fmt: skip

        yield Worker(work)


def findings(settings: InferenceSettings, output: Path, ledger: Ledger) -> Findings:
    """How the rows of the file ended, and the hash of what was asked."""
    from sources import benchmark_hash

    from score.journal import rows_of
    from score.run_report import Findings, listed
    from score.tasks import read_tasks

    tasks, _ = read_tasks(settings.tasks)
    names = {str((task.model_extra or {}).get("benchmark", "")) for task in tasks}
    benchmark = {"name": ", ".join(sorted(names)) or None, "tasks": len(tasks), "hash": benchmark_hash(tasks)}
    ended = Counter(str(row.get("ended")) for _, row in rows_of(output))
    figures: dict[str, Any] = {"ended": dict(ended), "benchmark": benchmark}
    return Findings(ended.total(), [("ended", listed(ended) or "none")], figures)


if __name__ == "__main__":
    cli.run(main)
