"""Attention for packed sequences on a CPU, in which a beginning that two sequences share is computed once.

verl feeds the sequences of a micro-batch one behind the other in a single row, with positions that start again at 0
(`use_remove_padding`). On GPUs flash attention keeps them apart; here each gets a `scaled_dot_product_attention` of its
own. Rollouts differ in length by a factor of five, so padding would be most of the work; and the n rollouts of a prompt
begin with the same tokens, the prompt, which are most of what is left (`Shared`).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

NAME = "packed_cpu"  # actor_rollout_ref.model.override_config.attn_implementation


@dataclass(frozen=True)
class Shared:
    """Which of T packed tokens are computed, and for whom: what a sequence has in common with the one before it is not
    computed again. `kept` [K] are the computed tokens' places in the row; `place` [T] says where each token is among
    them; `paths` are, for each sequence, the places among them of its tokens [L], of which the last `new` are its own;
    `masks` are for those, [new, L]: 0 where a token may look, else -inf."""

    kept: Tensor
    place: Tensor
    paths: list[Tensor]
    new: list[int]
    masks: list[Tensor]

    @classmethod
    def find(cls, ids: Tensor, positions: Tensor, *, share: bool = True) -> "Shared":
        """From token ids [T] and their positions [T], which are 0 where a sequence begins; without `share` every token
        is computed."""
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(ids)]
        kept: list[Tensor] = []
        paths: list[Tensor] = []
        masks: list[Tensor] = []
        new: list[int] = []
        count = 0
        before = ids[:0]
        for start, end in zip(starts, starts[1:], strict=False):
            sequence = ids[start:end]
            both = min(len(before), len(sequence)) if share else 0
            same = int((before[:both] == sequence[:both]).long().cumprod(0).sum())
            own = torch.arange(start + same, end)
            kept.append(own)
            new.append(len(own))
            paths.append(torch.cat([paths[-1][:same] if same else own[:0], torch.arange(count, count + len(own))]))
            hidden = torch.arange(len(sequence)) > torch.arange(same, len(sequence))[:, None]
            masks.append(torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf))
            count += len(own)
            before = sequence
        return cls(torch.cat(kept), torch.cat(paths), paths, new, masks)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_ids: Tensor | None = None,
    shared: Shared | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' contract: query [1, heads, K, d], key and value [1, kv heads, K, d], position_ids [1, K] -> [1, K,
    heads, d]. `shared` describes the K tokens; without it they are packed sequences that share nothing. Raises
    `ValueError` for a padded batch."""
    if attention_mask is not None or position_ids is None or query.shape[0] != 1:
        raise ValueError(f"{NAME} attention is for packed sequences: set use_remove_padding=true")
    if shared is None:
        shared = Shared.find(position_ids[0], position_ids[0], share=False)
    groups = query.shape[1] // key.shape[1]
    attended = []
    for own, path, mask in zip(query.split(shared.new, dim=2), shared.paths, shared.masks, strict=True):
        if own.shape[2]:
            keys, values = (t.index_select(2, path).repeat_interleave(groups, dim=1) for t in (key, value))
            attended.append(scaled_dot_product_attention(own, keys, values, mask, dropout_p=dropout, scale=scaling))
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None


def _no_mask(*_: Any, **__: Any) -> None:
    """The sequences are kept apart by their positions."""


def register() -> None:
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
