"""Many callers, one engine: requests from asyncio join the running batch, which one worker thread turns."""

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from score.errors import ProviderError
from score.serving.engine import Completion, Engine, Request
from score.serving.sampling import Sampling


@dataclass
class _Job:
    """A request to generate, or (without one) a call that has to have the engine to itself."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future
    request: Request | None = None
    call: Callable[[], None] | None = None

    def settle(self, error: Exception | None) -> None:
        """In the caller's loop: hand over the result."""
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.request.completion() if self.request else None)


class AsyncEngine:
    """`generate` from any event loop. An error in a step reaches the callers of the requests it stopped; the engine
    goes on with the next ones."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._running: dict[Request, _Job] = {}
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, watch: Callable[[list[int]], bool] | None = None
    ) -> Completion:
        """The completion of one prompt. `watch` is called in the worker thread with the ids so far after each token;
        True ends the reply. Raises TaskError if prompt and reply do not fit. A cancelled call leaves the batch."""
        request = self.engine.prepare(prompt_ids, sampling, watch)
        try:
            return await self._submit(request=request)
        except asyncio.CancelledError:
            request.cancelled = True
            raise

    async def load_state(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """`Engine.load_state` once the running requests are done; later ones wait for it."""
        await self._submit(call=lambda: self.engine.load_state(named_tensors))

    def close(self) -> None:
        """End the worker; requests on their way fail with ProviderError."""
        self._inbox.put(None)
        self._thread.join()

    async def _submit(self, request: Request | None = None, call: Callable[[], None] | None = None) -> Completion:
        if not self._thread.is_alive():
            raise ProviderError("the engine has been closed", fatal=True)
        loop = asyncio.get_running_loop()
        job = _Job(loop, loop.create_future(), request, call)
        self._inbox.put(job)
        return await job.future

    def _work(self) -> None:
        engine, exclusive = self.engine, None
        while True:
            # A job that wants the engine alone stops the intake until the batch has run empty.
            while exclusive is None and (not engine.busy or not self._inbox.empty()):
                job = self._inbox.get()
                if job is None:
                    self._settle([*self._running.values()], ProviderError("the engine was closed", fatal=True))
                    return
                if job.request is None:
                    exclusive = job
                else:
                    self._running[job.request] = job
                    engine.waiting.append(job.request)
            # Whatever fails here belongs to the callers: the worker itself has to live on.
            if exclusive is not None and not engine.busy:
                job, exclusive = exclusive, None
                try:
                    job.call()
                except Exception as error:
                    self._settle([job], error)
                else:
                    self._settle([job], None)
                continue
            try:
                finished, failure = engine.step(), None
            except Exception as error:
                finished, failure = engine.reset(), error
            self._settle([self._running.pop(request) for request in finished], failure)

    @staticmethod
    def _settle(jobs: list[_Job], error: Exception | None) -> None:
        """One wake-up for each event loop, however many of its requests finished."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
        for job in jobs:
            by_loop[job.loop].append(job)
        for loop, ours in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda ours=ours: [job.settle(error) for job in ours])
