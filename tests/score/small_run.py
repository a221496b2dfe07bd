"""The smallest script that `score.run` can run: one call a task, no interpreter. For the tests of what all scripts share.

python small_run.py --config FILE
"""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from score import cli, run  # noqa: E402
from score.journal import rows_of  # noqa: E402
from score.ledger import Ledger  # noqa: E402
from score.llm import Endpoint  # noqa: E402
from score.run_report import Findings  # noqa: E402
from score.tasks import Task  # noqa: E402


class SmallSettings(run.RunSettings):
    """`style` stands for any setting that the results depend on."""

    style: str = "plain"
    prompt: Path | None = None


@asynccontextmanager
async def workshop(settings: SmallSettings, endpoints: Mapping[str, Endpoint]) -> AsyncIterator[run.Worker]:
    async def work(task: Task, sample: int, seed: int | None) -> dict[str, Any]:
        overrides: dict[str, Any] = {} if seed is None else {"seed": seed}
        reply = await endpoints["student"].chat([{"role": "user", "content": task.question}], **overrides)
        return {**task.model_dump(), "answer": reply.text, "seed": seed}

    yield run.Worker(work, lambda: {"tolerated": {"nothing": 0}})


def findings(settings: SmallSettings, output: Path, ledger: Ledger) -> Findings:
    rows = sum(1 for _ in rows_of(output))
    return Findings(rows, kept=rows)


def main() -> int:
    parser = cli.parser(__doc__ or "", "python small_run.py --limit 3", "small.yaml")
    cli.add_run_options(parser)
    prompts = sorted(Path.cwd().glob("*.prompt.txt"))
    return run.main(
        run.Script(__file__, SmallSettings, "small", ["student"], workshop, findings, prompts), parser.parse_args()
    )


if __name__ == "__main__":
    cli.run(main)
