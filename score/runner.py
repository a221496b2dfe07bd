"""Many tasks at once: bounded concurrency, a time limit, a progress line, typed failures, resume, Ctrl-C that keeps
what is done."""

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from score.errors import ProviderError, ScoreError, TaskError
from score.journal import Journal, unit_key
from score.progress import ProgressLine
from score.tasks import Task

Result = TypeVar("Result")
TICK_S = 1.0


@dataclass
class RunSummary:
    """What a run did: units (a task, or one sample of it) written now, skipped because an earlier run wrote them,
    failed (by kind). `interrupted`: Ctrl-C ended it, after what was in flight."""

    done: int = 0
    skipped: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def failures(self) -> int:
        return sum(self.failed.values())


class Watch:
    """What the runner looks at once a second: is work paused (then the tasks' clocks stand still), what the progress
    line should say, what is to be saved. This one has nothing to say."""

    def paused(self) -> bool:
        return False

    def note(self) -> str:
        return ""

    def save(self) -> None:
        return None


async def run_tasks(
    tasks: Sequence[Task],
    work: Callable[[Task, int], Awaitable[dict[str, Any]]],
    journal: Journal,
    *,
    concurrency: int,
    label: str,
    samples: int = 1,
    task_timeout_s: float | None = None,
    watch: Watch | None = None,
) -> RunSummary:
    """Run `work(task, sample)` on every unit that the journal does not hold yet and append the rows that it returns.

    A `ScoreError` fails its unit only (recorded by kind, tried again by the next run), and so does a unit that takes
    longer than `task_timeout_s` (kind `task`); a fatal `ProviderError` and anything that is no `ScoreError` stop the
    run after recording. Ctrl-C lets what is in flight finish and starts nothing new; a second one stops now and
    raises `KeyboardInterrupt`. Rows already written stay; after a run that was not interrupted they stand in the order
    of the tasks.
    """
    units = [(task, sample) for task in tasks for sample in range(samples)]
    waiting = [(task, sample) for task, sample in units if unit_key(task.id, sample) not in journal.done]
    summary = RunSummary(skipped=len(units) - len(waiting))
    watch = watch or Watch()
    progress = ProgressLine(label, total=len(units), done=summary.skipped)
    deadlines: set[asyncio.Timeout] = set()
    queue = iter(waiting)
    running = 0
    began = time.monotonic()

    def note() -> str:
        notes = [f"{summary.failures} failed" if summary.failures else "", watch.note()]
        if summary.interrupted:
            notes.insert(0, f"stopping: {running} in flight")
        return ", ".join(note for note in notes if note)

    def show() -> None:
        progress.update(summary.skipped + summary.done + summary.failures, note)

    async def one(task: Task, sample: int) -> dict[str, Any]:
        limit = asyncio.timeout(task_timeout_s)
        try:
            async with limit:
                deadlines.add(limit)
                return await work(task, sample)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TaskError(f"took longer than task_timeout_s = {task_timeout_s:g}") from None
        finally:
            deadlines.discard(limit)

    async def worker() -> None:
        nonlocal running
        for task, sample in queue:
            running += 1
            try:
                row = await one(task, sample)
            except ScoreError as error:
                summary.failed[error.kind] += 1
                journal.fail(task.id, error.kind, str(error), sample)
                if isinstance(error, ProviderError) and error.fatal:
                    raise
            else:
                journal.append(row)
                summary.done += 1
            finally:
                running -= 1
            if summary.interrupted:
                return
            show()

    async def tick() -> None:
        warned = False
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            if watch.paused():
                for deadline in deadlines:
                    due = deadline.when()
                    if due is not None and not deadline.expired():
                        deadline.reschedule(due + time.monotonic() - before)
            try:
                watch.save()
            except OSError as error:  # a disk that is full for a moment; without this loop no clock would stand still
                if not warned:
                    print(f"\nwarning: the run's costs cannot be saved ({error}); trying on", file=sys.stderr)
                warned = True
            show()

    workers = [asyncio.ensure_future(worker()) for _ in range(max(1, min(concurrency, len(waiting))))]
    ticker = asyncio.ensure_future(tick())

    def interrupt() -> None:
        if summary.interrupted:
            for busy in workers:
                busy.cancel()
            return
        summary.interrupted = True
        print(
            f"\nstopping: {running} tasks in flight are finished, none is started; Ctrl-C again stops now",
            file=sys.stderr,
            flush=True,
        )

    try:
        with _on_interrupt(interrupt), _few_collections():
            await asyncio.gather(*workers)
        if not summary.interrupted:
            journal.arrange(unit_key(task.id, sample) for task, sample in units)
    except asyncio.CancelledError:
        if not summary.interrupted:
            raise
        raise KeyboardInterrupt from None
    finally:
        for busy in [*workers, ticker]:
            busy.cancel()
        await asyncio.gather(*workers, ticker, return_exceptions=True)
        summary.seconds = time.monotonic() - began
        watch.save()
        show()
        progress.close()
    return summary


@contextlib.contextmanager
def _on_interrupt(handler: Callable[[], None]) -> Iterator[None]:
    """Call the handler for each Ctrl-C in here, where the platform and the thread allow that."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, handler)
    except (NotImplementedError, RuntimeError, ValueError):
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """With hundreds of tasks in flight Python's collector looks at them all again and again: a third of a generator's
    CPU time (2.0 ms a call with 512 in flight, 1.3 so). What is here already is left out, and it looks less often."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def bounded_gather(work: Sequence[Awaitable[Result]], concurrency: int) -> list[Result]:
    """Results in the order of `work`, with at most `concurrency` of them in flight."""
    slots = asyncio.Semaphore(concurrency)

    async def one(item: Awaitable[Result]) -> Result:
        async with slots:
            return await item

    return await asyncio.gather(*(one(item) for item in work))
