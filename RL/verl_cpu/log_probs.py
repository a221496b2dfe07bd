"""A causal language model's forward as verl's fused kernels have it: log-probabilities out, no logits.

verl asks for it with `actor_rollout_ref.model.use_fused_kernels=true`; its own kernels are for GPUs. This one computes
what sequences share once (`packed.Shared`), trunk and logits, and gives each of them its log-probabilities.
"""

from dataclasses import dataclass
from types import MethodType
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from verl_cpu.packed import Shared


@dataclass
class LogProbs:
    """The two fields that verl's engine reads: [1, T] each. The entropy costs another softmax, and is computed only
    where it is asked for."""

    log_probs: Tensor
    logits: Tensor  # [K, V], of the computed tokens
    normaliser: Tensor  # [K], the logarithm of the sum of their exponentials
    place: Tensor  # [T]

    @property
    def entropy(self) -> Tensor:
        mean = (self.logits * (self.logits - self.normaliser[:, None]).exp()).sum(dim=-1)
        return (self.normaliser - mean)[self.place][None]


def forward(
    model: PreTrainedModel,
    input_ids: Tensor,
    position_ids: Tensor,
    temperature: float,
    shift_labels: Tensor,
    **rest: Any,
) -> LogProbs:
    """verl's contract: packed ids and their positions [1, T], the next tokens [1, T] -> log-probabilities [1, T] of
    those at this temperature. Raises `ValueError` for a padded batch."""
    if input_ids.shape[0] != 1 or rest.pop("attention_mask", None) is not None:
        raise ValueError("this forward is for packed sequences: set use_remove_padding=true")
    rest.pop("return_dict", None)
    shared = Shared.find(input_ids[0], position_ids[0])
    ids, positions = input_ids[:, shared.kept], position_ids[:, shared.kept]
    hidden = model.model(input_ids=ids, attention_mask=None, position_ids=positions, shared=shared, **rest)[0][0]
    logits = model.lm_head(hidden) / temperature
    normaliser = logits.logsumexp(dim=-1)
    chosen = logits[shared.place, shift_labels[0]] - normaliser[shared.place]
    return LogProbs(chosen[None], logits, normaliser, shared.place)


def fuse(model: PreTrainedModel) -> None:
    """Give this model that forward."""
    model.forward = MethodType(forward, model)
