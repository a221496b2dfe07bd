"""Many tasks at once: bounded concurrency, a progress line, typed failures, resume, Ctrl-C that keeps what is done."""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from score.errors import ProviderError, ScoreError
from score.journal import Journal
from score.progress import ProgressLine
from score.tasks import Task

Result = TypeVar("Result")


@dataclass
class RunSummary:
    """What a run did: tasks written now, skipped because an earlier run wrote them, failed (by kind)."""

    done: int = 0
    skipped: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        return sum(self.failed.values())


async def run_tasks(
    tasks: Sequence[Task],
    work: Callable[[Task], Awaitable[dict[str, Any]]],
    journal: Journal,
    *,
    concurrency: int,
    label: str,
) -> RunSummary:
    """Run `work` on every task that the journal does not hold yet and append the rows that it returns.

    A `ScoreError` fails its task only (recorded by kind, tried again by the next run); a fatal `ProviderError`
    and anything that is no `ScoreError` stop the run after recording. Ctrl-C cancels what is in flight; rows
    already written stay.
    """
    summary = RunSummary(skipped=sum(task.id in journal.done for task in tasks))
    waiting = iter([task for task in tasks if task.id not in journal.done])
    progress = ProgressLine(label, total=len(tasks), done=summary.skipped)
    began = time.monotonic()

    async def worker() -> None:
        for task in waiting:
            try:
                row = await work(task)
            except ScoreError as error:
                summary.failed[error.kind] += 1
                journal.fail(task.id, error.kind, str(error))
                if isinstance(error, ProviderError) and error.fatal:
                    raise
            else:
                journal.append(row)
                summary.done += 1
            progress.update(summary.skipped + summary.done + summary.failures, note=_note(summary))

    try:
        workers = [asyncio.ensure_future(worker()) for _ in range(max(1, min(concurrency, len(tasks))))]
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        if main is not None and sys.platform != "win32":
            loop.add_signal_handler(signal.SIGINT, main.cancel)
        try:
            await asyncio.gather(*workers)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            if sys.platform != "win32":
                loop.remove_signal_handler(signal.SIGINT)
            for running in workers:
                running.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    finally:
        summary.seconds = time.monotonic() - began
        progress.close()
    return summary


def _note(summary: RunSummary) -> str:
    return f"{summary.failures} failed" if summary.failures else ""


async def bounded_gather(work: Sequence[Awaitable[Result]], concurrency: int) -> list[Result]:
    """Results in the order of `work`, with at most `concurrency` of them in flight."""
    slots = asyncio.Semaphore(concurrency)

    async def one(item: Awaitable[Result]) -> Result:
        async with slots:
            return await item

    return await asyncio.gather(*(one(item) for item in work))
