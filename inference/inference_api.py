"""Run a served student (any OpenAI-compatible server) on a task file and write its answers.

    cd inference && python inference_api.py                       (with inference_config.yaml)

Writes one row a task: `{id, question, true_answer, messages, gen_answer, ended, ...}`; a second run goes on where the
first stopped. Failures of the endpoint, a tool or the interpreter are no answers: they go to
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

    from score.ledger import Ledger
    from score.llm import Endpoint
    from score.run import Worker
    from score.run_report import Findings
    from score.tasks import Task


def main() -> int:
    parser = cli.parser(__doc__ or "", "python inference_api.py --limit 20 --set max_steps=10", "inference_config.yaml")
    cli.add_run_options(parser)
    options = parser.parse_args()

    # Heavy imports come after the arguments, so that --help answers at once.
    from configuration import InferenceSettings

    from score import run

    script = run.Script(__file__, InferenceSettings, "inference", ["student"], workshop, findings)
    return run.main(script, options)


@asynccontextmanager
async def workshop(settings: InferenceSettings, endpoints: Mapping[str, Endpoint]) -> AsyncIterator[Worker]:
    """The student, ready for tasks."""
    from loop import solve

    from score.interpreter import Interpreter
    from score.run import Worker
    from score.tools import make_tools

    tools = make_tools(settings.search)
    async with Interpreter(settings.interpreter) as interpreter:

        async def work(task: Task, sample: int, seed: int | None) -> dict[str, Any]:
            return await solve(task, endpoints["student"], interpreter, tools, settings.max_steps, seed)

        yield Worker(work)


def findings(settings: InferenceSettings, output: Path, ledger: Ledger) -> Findings:
    """How the rows of the file ended."""
    from score.journal import rows_of
    from score.run_report import Findings, listed

    ended = Counter(str(row.get("ended")) for _, row in rows_of(output))
    return Findings(ended.total(), [("ended", listed(ended) or "none")], {"ended": dict(ended)})


if __name__ == "__main__":
    cli.run(main)
