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
    """The two fields that verl's engine reads: [1, T] each. The entropy costs another pass over the vocabulary, and is
    computed only where it is asked for."""

    log_probs: Tensor
    distributions: Tensor  # [K, V], of the computed tokens, as logarithms
    place: Tensor  # [T]

    @property
    def entropy(self) -> Tensor:
        return -(self.distributions * self.distributions.exp()).sum(dim=-1)[self.place][None]


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
    logits = model.lm_head(hidden)
    distributions = (logits if temperature == 1 else logits / temperature).log_softmax(dim=-1)
    return LogProbs(distributions[shared.place, shift_labels[0]][None], distributions, shared.place)


def fuse(model: PreTrainedModel) -> None:
    """Give this model that forward."""
    model.forward = MethodType(forward, model)
