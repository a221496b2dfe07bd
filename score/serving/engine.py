"""Text generation on a CPU for small models: token ids in, token ids and log-probabilities out, many rows at once.

Made for students of a few million parameters, where a server built for GPUs spends its time on overhead. New requests
join between two token steps, finished ones leave at once, and what a prompt shares with an earlier sequence is not
computed again. Departures from a general engine: float32 on a CPU only, no beam search, no sliding windows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from score.errors import DataError, ProviderError, SettingsError, TaskError
from score.serving.cache import RowCache
from score.serving.forward import HFForward, Pass, Qwen2Forward
from score.serving.sampling import Sampling, SamplingBatch, draw

PREFILL_TOKENS = 1024  # in one pass: more falls out of a core's caches, fewer cost more calls
WORTH_COPYING = 8  # a shared prefix shorter than this is computed again
WORTH_WAITING = 16  # a request waits one pass for a prefix that another one is about to compute


@dataclass
class Completion:
    """A finished request: the new ids (with the stop token, if it ended on one), a log-probability for each under the
    distribution that it was drawn from, and "stop" or "length"."""

    token_ids: list[int]
    log_probs: list[float]
    finish_reason: str


@dataclass(eq=False)
class Request:
    """A request on its way. `watch` is called with the ids so far after each token; True ends the request ("stop"),
    and so does an exception, which becomes `failure`. Setting `cancelled` from any thread ends it at the next step."""

    prompt: list[int]
    sampling: Sampling
    uniforms: list[float]
    watch: Callable[[list[int]], bool] | None = None
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    finish_reason: str | None = None
    failure: Exception | None = None  # what `watch` raised
    cancelled: bool = False

    def completion(self) -> Completion:
        if self.finish_reason is None:
            raise ValueError("the request has not finished")
        return Completion(self.token_ids, self.log_probs, self.finish_reason)


class Engine:
    """One model and its running batch; for one thread (`AsyncEngine` serves many callers).

    `max_context`: tokens of prompt and reply together; `max_batch`: rows that run at once; `kept_rows`: finished
    sequences kept for prefix reuse (default 2 * max_batch, 0 turns reuse of them off); `fast` False takes the Hugging
    Face forward for Qwen2 too. Raises SettingsError for a model that is not float32 on a CPU.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        eos_token_ids: Iterable[int],
        pad_id: int,
        max_context: int,
        max_batch: int = 128,
        *,
        kept_rows: int | None = None,
        fast: bool = True,
        seed: int | None = None,
    ):
        if model.device.type != "cpu" or model.dtype != torch.float32:
            raise SettingsError(f"the engine runs float32 models on a CPU, not {model.dtype} on {model.device}")
        limit = getattr(model.config, "max_position_embeddings", max_context)
        if max_context > limit:
            raise SettingsError(f"max_context is {max_context}, but the model knows positions up to {limit}")
        self.model = model.eval()
        self.eos_token_ids = frozenset(eos_token_ids)
        self.pad_id = pad_id
        self.max_context, self.max_batch = max_context, max_batch
        self.cache = RowCache(model.config, max_batch, 2 * max_batch if kept_rows is None else kept_rows, max_context)
        kind = Qwen2Forward if fast and Qwen2Forward.fits(model) else HFForward
        self.forward: Qwen2Forward | HFForward = kind(model, self.cache)
        self.waiting: list[Request] = []
        self.live: list[Request] = []  # self.live[i] is row i of the cache
        self._finished: list[Request] = []
        self._generator = np.random.default_rng(seed)
        self._batch: SamplingBatch | None = None  # of self.live; None: to be made again

    def generate(self, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]) -> list[Completion]:
        """A completion for each prompt, in order. Raises TaskError (nothing is run) if a prompt does not fit."""
        requests = [self.prepare(p, s) for p, s in zip(prompts, samplings, strict=True)]
        self.waiting.extend(requests)
        try:
            while self.busy:
                self.step()
        except BaseException:
            self.reset()
            raise
        finally:
            self.take_finished()
        return [request.completion() for request in requests]

    def prepare(
        self, prompt: Sequence[int], sampling: Sampling, watch: Callable[[list[int]], bool] | None = None
    ) -> Request:
        """A checked request, to be appended to `waiting`. Raises TaskError if prompt and reply do not fit."""
        if not prompt:
            raise TaskError("the prompt is empty: there is nothing to continue")
        if len(prompt) + sampling.max_tokens > self.max_context:
            raise TaskError(
                f"the prompt has {len(prompt)} tokens and the reply may have {sampling.max_tokens}, "
                f"but the context holds {self.max_context}: shorten the prompt or lower max_tokens"
            )
        return Request(list(prompt), sampling, sampling.uniforms(self._generator).tolist(), watch)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.live)

    def reset(self) -> list[Request]:
        """Drop all requests (returned) and all that is cached."""
        dropped = self.live + self.waiting
        self.live, self.waiting, self._batch = [], [], None
        self.cache.clear()
        return dropped

    def load_state(self, named_tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Copy weights into the model in place (names as in its state dict; a part of them may come alone) and forget
        what was computed with the old ones. Raises DataError for an unknown name or another shape, ValueError while
        requests run."""
        if self.live:
            raise ValueError("weights cannot change while requests run")
        own = self.model.state_dict()
        with torch.no_grad():
            for name, tensor in named_tensors:
                if name not in own:
                    raise DataError(f"the model has no weight named {name!r}")
                if own[name].shape != tensor.shape:
                    raise DataError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(own[name].shape)}")
                own[name].copy_(tensor)
        self.refresh()

    def refresh(self) -> None:
        """The module's weights were changed from outside: use the new ones from here on."""
        self.forward.refresh()
        self.cache.clear()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """Let waiting requests in and compute one token for every running one."""
        self._retire()  # cancelled since the last step
        while self.waiting and len(self.live) < self.max_batch:
            self._prefill()
            self._retire()
        if self.live:
            rows = len(self.live)
            self.cache.append(rows, [request.token_ids[-1] for request in self.live])
            counts = np.ones(rows, dtype=np.int64)
            self._extend(self.forward(Pass.make(self.cache, 0, self.cache.lengths[:rows] - 1, counts)), 0)
            self._retire()

    def take_finished(self) -> list[Request]:
        """The requests that have finished since the last call, cancelled ones among them."""
        finished, self._finished = self._finished, []
        return finished

    def _prefill(self) -> None:
        """Let in as many waiting requests as one pass should hold, and draw their first tokens."""
        first = len(self.live)
        starts: list[int] = []
        counts: list[int] = []
        left: list[Request] = []
        for number, request in enumerate(self.waiting):
            row = len(self.live)
            if row == self.max_batch or sum(counts) >= PREFILL_TOKENS:
                left += self.waiting[number:]
                break
            ids = request.prompt
            agrees = self.cache.shared_with(ids[:-1])  # the last token has to be computed
            coming = int(agrees[first:row].max(initial=0))  # shared with a request of this pass: not there yet
            agrees[first:row] = 0
            source = int(agrees.argmax())
            shared = int(agrees[source])
            if coming - shared >= WORTH_WAITING:
                left.append(request)
                continue
            shared = shared if shared >= WORTH_COPYING else 0
            self.cache.start(row, ids, source, shared)
            self.live.append(request)
            starts.append(shared)
            counts.append(len(ids) - shared)
        self.waiting = left
        self._batch = None
        if counts:
            self._extend(self.forward(Pass.make(self.cache, first, np.array(starts), np.array(counts))), first)

    def _extend(self, logits: Tensor, first: int) -> None:
        """Draw a token for each of the rows from `first` on, given their logits [n, V]."""
        rows = self.live[first:]
        if self._batch is None or len(self._batch.samplings) != len(rows):
            self._batch = SamplingBatch([request.sampling for request in rows])
        batch = self._batch
        seen = None
        if batch.any_penalty:
            seen = torch.zeros(logits.shape, dtype=torch.bool)
            for mark, request in zip(seen, rows, strict=True):
                mark[request.prompt + request.token_ids] = True
        tokens, log_probs = draw(logits, batch, [r.uniforms[len(r.token_ids)] for r in rows], seen)
        if not bool(log_probs.isfinite().all()):
            raise ProviderError("the model's logits are not finite: its weights are broken", fatal=True)
        for request, token, log_prob in zip(rows, tokens.tolist(), log_probs.tolist(), strict=True):
            request.token_ids.append(token)
            request.log_probs.append(log_prob)
            if token in self.eos_token_ids or token in request.sampling.stop_token_ids:
                request.finish_reason = "stop"
            if request.watch is not None:
                try:
                    stop = request.watch(request.token_ids)
                except Exception as error:  # noqa: BLE001 - the caller's code: it fails that request, not the batch
                    request.failure, stop = error, True
                if stop:
                    request.finish_reason = "stop"
            if request.finish_reason is None and len(request.token_ids) == request.sampling.max_tokens:
                request.finish_reason = "length"
        if first:
            self._batch = None

    def _retire(self) -> None:
        """Take finished and cancelled requests out of the batch; the last rows fill their places."""
        for request in self.live + self.waiting:
            if request.cancelled:
                request.finish_reason = "stop"
        for row in range(len(self.live) - 1, -1, -1):
            request = self.live[row]
            if request.finish_reason is not None:
                self.cache.finish(row, len(self.live) - 1)
                self.live[row] = self.live[-1]
                self.live.pop()
                self._finished.append(request)
                self._batch = None
        self._finished += [request for request in self.waiting if request.finish_reason is not None]
        self.waiting = [request for request in self.waiting if request.finish_reason is None]
