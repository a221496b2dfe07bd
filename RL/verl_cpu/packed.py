"""Attention for packed sequences on a CPU, so that verl can leave padding out there too (`use_remove_padding`).

verl then feeds the sequences of a micro-batch one behind the other in a single row, with positions that start again at
0. On GPUs flash attention keeps them apart; here each sequence gets a causal `scaled_dot_product_attention` of its own.
Rollouts differ in length by a factor of five, so padding would be most of the work.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "packed_cpu"  # actor_rollout_ref.model.override_config.attn_implementation


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_ids: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' contract: query [1, heads, T, d], key and value [1, kv heads, T, d], position_ids [1, T] -> [1, T,
    heads, d]. Raises `ValueError` for a padded batch."""
    if attention_mask is not None or position_ids is None or query.shape[0] != 1:
        raise ValueError(f"{NAME} attention is for packed sequences: set use_remove_padding=true")
    starts = (position_ids[0] == 0).nonzero().flatten().tolist()
    lengths = [end - start for start, end in zip(starts, [*starts[1:], position_ids.shape[1]], strict=True)]
    parts = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
    attended = [
        scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling, is_causal=True, enable_gqa=True)
        for q, k, v in parts
    ]
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None


def _no_mask(*_: Any, **__: Any) -> None:
    """The sequences are kept apart by their positions."""


def register() -> None:
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
