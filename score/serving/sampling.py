"""How the next token is drawn: temperature, top-k, top-p and repetition penalty as transformers define them.

Every request draws from its own stream of uniform numbers (one a token, inverse of the cumulative distribution), so
a seeded request gives the same tokens whatever else runs in the batch, as far as float rounding allows.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from score.errors import SettingsError


@dataclass(frozen=True)
class Sampling:
    """What a request asks for. temperature 0 is greedy; top_k 0, top_p 1 and repetition_penalty 1 are off; without
    a seed the draws are new each time. Raises SettingsError for a value out of range."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, right, wanted in (
            ("max_tokens", self.max_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < math.inf, "0 (greedy) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0"),
        ):
            if not right:
                raise SettingsError(f"sampling: {name} is {getattr(self, name)}, but has to be {wanted}")

    def uniforms(self, fallback: np.random.Generator) -> np.ndarray:
        """The request's draws, [max_tokens] float64 in [0, 1): from its seed, or from `fallback` without one."""
        # OpenAI's seeds may be negative, numpy's may not.
        generator = fallback if self.seed is None else np.random.default_rng(self.seed & (2**64 - 1))
        return generator.random(self.max_tokens)


@dataclass
class SamplingBatch:
    """The samplings of n rows as columns, ready for `draw`."""

    samplings: list[Sampling]
    temperature: Tensor = field(init=False)  # [n, 1]; 1 in greedy rows
    greedy: Tensor = field(init=False)  # [n] bool

    def __post_init__(self) -> None:
        values = [sampling.temperature for sampling in self.samplings]
        self.temperature = torch.tensor([[value or 1.0] for value in values])
        self.greedy = torch.tensor([value == 0 for value in values])
        self.all_greedy = all(value == 0 for value in values)
        self.any_greedy = any(value == 0 for value in values)
        self.any_temperature = any(value not in (0, 1) for value in values)
        self.any_penalty = any(sampling.repetition_penalty != 1 for sampling in self.samplings)
        # A greedy choice is the same before and after truncation.
        sampled = [sampling for sampling in self.samplings if sampling.temperature > 0]
        self.any_top_k = any(sampling.top_k > 0 for sampling in sampled)
        self.any_top_p = any(sampling.top_p < 1 for sampling in sampled)


def process(logits: Tensor, batch: SamplingBatch, seen: Tensor | None) -> Tensor:
    """Logits [n, V] -> the scores [n, V] whose softmax is sampled from, in the order of transformers' `generate`:
    penalty, temperature, top-k, top-p. `seen` [n, V] bool marks the tokens of prompt and reply so far (needed for
    the penalty only). Greedy rows get the penalty alone."""
    samplings = batch.samplings
    if batch.any_penalty:
        if seen is None:
            raise ValueError("a repetition penalty needs the tokens seen so far")
        penalty = torch.tensor([[sampling.repetition_penalty] for sampling in samplings])
        logits = torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)
    if batch.any_temperature:
        logits = logits / batch.temperature
    if batch.any_top_k:
        ks = [min(s.top_k, logits.shape[-1]) if s.temperature > 0 else 0 for s in samplings]
        best = logits.topk(max(ks)).values
        threshold = best.gather(1, torch.tensor([[max(k - 1, 0)] for k in ks]))
        on = torch.tensor([[k > 0] for k in ks])
        logits = logits.masked_fill(on & (logits < threshold), -torch.inf)
    if batch.any_top_p:
        ascending, order = logits.sort(dim=-1)
        mass = ascending.softmax(-1).cumsum(-1)
        drop = mass <= torch.tensor([[1 - s.top_p if s.temperature > 0 else -1.0] for s in samplings])
        drop[:, -1] = False
        logits = logits.masked_fill(torch.zeros_like(drop).scatter(1, order, drop), -torch.inf)
    return logits


def draw(logits: Tensor, batch: SamplingBatch, uniforms: list[float], seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """One token for each row: ids [n] and their log-probabilities [n] under the distribution drawn from (in greedy
    rows: under the untruncated distribution at temperature 1). `uniforms`: n numbers in [0, 1)."""
    log_probs = process(logits, batch, seen).log_softmax(-1)
    if batch.all_greedy:
        tokens = log_probs.argmax(-1)
    else:
        mass = log_probs.exp().cumsum(-1, dtype=torch.float64)  # float64: tails of large vocabularies stay exact
        level = torch.tensor(uniforms, dtype=torch.float64)[:, None] * mass[:, -1:]
        tokens = torch.searchsorted(mass, level, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)
        if batch.any_greedy:
            tokens = torch.where(batch.greedy, log_probs.argmax(-1), tokens)
    return tokens, log_probs.gather(1, tokens[:, None])[:, 0]
