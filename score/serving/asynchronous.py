"""Many callers, one engine: requests from asyncio join the running batch, which one worker thread turns."""

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from score.errors import ProviderError
from score.serving.engine import Completion, Engine, Request
from score.serving.sampling import Sampling


@dataclass
class _Job:
    """A caller that waits: `future` belongs to its `loop`."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def result(self) -> Completion | None:
        return None

    def settle(self, error: Exception | None) -> None:
        """In the caller's loop: hand over the result or the error, unless the caller has gone."""
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result())


@dataclass
class _Generation(_Job):
    request: Request

    def settle(self, error: Exception | None) -> None:
        super().settle(error or self.request.failure)

    def result(self) -> Completion:
        return self.request.completion()


@dataclass
class _Exclusive(_Job):
    """A call that has to have the engine to itself."""

    call: Callable[[], None]


class AsyncEngine:
    """`generate` from any event loop. An error in a step reaches the callers of the requests it stopped; the engine
    goes on with the next ones."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._inbox: queue.SimpleQueue[_Generation | _Exclusive | None] = queue.SimpleQueue()
        self._running: dict[Request, _Generation] = {}
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, watch: Callable[[list[int]], bool] | None = None
    ) -> Completion:
        """The completion of one prompt. `watch` is called in the worker thread with the ids so far after each token;
        True ends the reply. Raises TaskError if prompt and reply do not fit. A cancelled call leaves the batch."""
        request = self.engine.prepare(prompt_ids, sampling, watch)
        loop = self._loop()
        job = _Generation(loop, loop.create_future(), request)
        self._inbox.put(job)
        try:
            await job.future
        except asyncio.CancelledError:
            request.cancelled = True
            raise
        return request.completion()

    async def load_state(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """`Engine.load_state` once the running requests are done; later ones wait for it."""
        loop = self._loop()
        job = _Exclusive(loop, loop.create_future(), lambda: self.engine.load_state(named_tensors))
        self._inbox.put(job)
        await job.future

    def close(self) -> None:
        """End the worker; requests on their way fail with ProviderError."""
        self._inbox.put(None)
        self._thread.join()

    def _loop(self) -> asyncio.AbstractEventLoop:
        if not self._thread.is_alive():
            raise ProviderError("the engine has been closed", fatal=True)
        return asyncio.get_running_loop()

    def _work(self) -> None:
        engine = self.engine
        exclusive: _Exclusive | None = None
        while True:
            # A job that wants the engine alone stops the intake until the batch has run empty.
            while exclusive is None and (not engine.busy or not self._inbox.empty()):
                job = self._inbox.get()
                if isinstance(job, _Generation):
                    self._running[job.request] = job
                    engine.waiting.append(job.request)
                elif isinstance(job, _Exclusive):
                    exclusive = job
                else:
                    self._settle(list(self._running.values()), ProviderError("the engine was closed", fatal=True))
                    return
            # Whatever fails below belongs to the callers: the worker itself has to live on.
            if exclusive is not None and not engine.busy:
                failure: Exception | None = None
                try:
                    exclusive.call()
                except Exception as error:  # noqa: BLE001
                    failure = error
                self._settle([exclusive], failure)
                exclusive = None
                continue
            try:
                engine.step()
            except Exception as error:  # noqa: BLE001
                self._settle([self._running.pop(request) for request in engine.reset()], error)
            self._settle([self._running.pop(request) for request in engine.take_finished()], None)

    @staticmethod
    def _settle(jobs: Sequence[_Job], error: Exception | None) -> None:
        """One wake-up for each event loop, however many of its requests finished."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
        for job in jobs:
            by_loop[job.loop].append(job)
        for loop, ours in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle_all, ours, error)


def _settle_all(jobs: list[_Job], error: Exception | None) -> None:
    for job in jobs:
        job.settle(error)
