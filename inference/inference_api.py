"""Run a served student (any OpenAI-compatible server) on a task file or a benchmark and write its answers.

    cd inference && python inference_api.py                       (with inference_config.yaml)
    python inference_api.py --set tasks=aime24 --set output=output/aime24.jsonl

Writes one row a task: `{id, question, true_answer, messages, gen_answer, ended, ...}`; a second run goes on where the
first stopped. Failures of the endpoint, a tool or the interpreter are no answers: they go to
`<output>.failures.jsonl`, are tried again by the next run, and the exit code is 3 while any remain.
Score the file with `evaluate.py`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402

if TYPE_CHECKING:
    from configuration import InferenceSettings

    from score.tasks import Task


def main() -> int:
    parser = cli.parser(__doc__ or "", "python inference_api.py --limit 20 --set max_steps=10", "inference_config.yaml")
    parser.add_argument("--limit", type=int, help="only the first N tasks")
    options = parser.parse_args()

    # Heavy imports come after the arguments, so that --help answers at once.
    from configuration import InferenceSettings

    from score.settings import load_settings

    overrides = [*options.set, *([f"limit={options.limit}"] if options.limit else [])]
    settings = load_settings(InferenceSettings, options.config, overrides)
    return asyncio.run(infer(settings))


async def infer(settings: InferenceSettings) -> int:
    """Answer every task that has no row yet; returns the exit code."""
    from loop import solve
    from sources import benchmark_hash, task_file

    from score.errors import SettingsError
    from score.interpreter import Interpreter
    from score.journal import Journal
    from score.llm import Endpoint
    from score.manifest import write_manifest
    from score.runner import run_tasks
    from score.tasks import read_tasks
    from score.tools import make_tools

    file = task_file(settings.tasks, settings.data, settings.output)
    tasks, problems = read_tasks(file)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    tasks = tasks[: settings.limit]
    number = {task.id: index for index, task in enumerate(tasks)}
    endpoint = getattr(settings.endpoints, settings.answerer)
    if endpoint is None:
        raise SettingsError(f"key 'endpoints.{settings.answerer}' is missing: who answers the tasks?")
    student = Endpoint(settings.answerer, endpoint)
    tools = make_tools(settings.search)
    await student.check()
    async with Interpreter(settings.interpreter) as interpreter:
        with Journal(settings.output) as journal:

            async def work(task: Task) -> dict[str, Any]:
                # Each task has its own seeds, whatever order the tasks are finished in.
                seed = None if settings.seed is None else settings.seed + 1000 * number[task.id]
                return await solve(
                    task, student, interpreter, tools, settings.max_steps, seed,
                    style=settings.style, max_tries=settings.max_tries,
                )  # fmt: skip

            summary = await run_tasks(
                tasks, work, journal, concurrency=settings.concurrency, label=f"inference {settings.output.name}"
            )
    await student.close()
    counts = {
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": dict(summary.failed),
        "malformed": len(problems),
    }
    benchmark = {"tasks": str(settings.tasks), "n": len(tasks), "hash": benchmark_hash(tasks)}
    write_manifest(settings.output, settings, counts, inputs=[file], benchmark=benchmark)
    generated = student.usage.generated
    tokens = "the server reports no tokens" if generated is None else f"{generated} tokens generated"
    print(
        f"{settings.output}: {summary.done} answered now, {summary.skipped} before, {summary.failures} failed; "
        f"{tokens}, {summary.seconds:.0f} s"
    )
    return 3 if summary.failures or problems else 0


if __name__ == "__main__":
    cli.run(main)
