"""One pass of the model over new tokens of some rows, with keys and values in a `RowCache`.

`HFForward` runs any Hugging Face causal LM with ordinary attention through its own forward: the reference.
`Qwen2Forward` computes the same for Qwen2 from the module's weights with a fraction of the calls: a tiny model's step
is otherwise mostly Python. Tokens are packed (no padding in the linear layers); a decode step is a pass with one
token a row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from score.errors import SettingsError
from score.serving.cache import RowCache

QUERY_BLOCK = 64


@dataclass
class Pass:
    """What is computed: N tokens of n neighbouring rows [first, first + n), at most S in a row; C is the longest row's
    length. positions [N] within the sequence; slots [N * 2 * kv heads] in the cache's flat view; places [N] within
    [n * S]; last [n]: where each row's last token is in [N]; mask [n, 1, S, C]: 0 where a query may look, else -inf."""

    first: int
    rows: int
    width: int
    columns: int
    longest_start: int  # the most positions that a row had before
    tokens: Tensor
    positions: Tensor
    slots: Tensor
    places: Tensor
    last: Tensor
    mask: Tensor

    @classmethod
    def make(cls, cache: RowCache, first: int, starts: np.ndarray, counts: np.ndarray) -> "Pass":
        """For rows first, first + 1, ...: the `counts[i]` tokens of the cache's table from position `starts[i]`."""
        n, width = len(starts), int(counts.max())
        columns = int((starts + counts).max())
        begins = np.cumsum(counts) - counts
        row = np.repeat(np.arange(n), counts)
        offset = np.arange(int(counts.sum())) - begins[row]
        positions = starts[row] + offset
        queries = torch.from_numpy(starts[:, None] + np.arange(width))  # [n, S]; beyond a row's count: padding
        hidden = torch.arange(columns) > queries[:, None, :, None]
        return cls(
            first=first,
            rows=n,
            width=width,
            columns=columns,
            longest_start=int(starts.max()),
            tokens=torch.from_numpy(cache.tokens[first + row, positions].astype(np.int64)),
            positions=torch.from_numpy(positions),
            slots=cache.slots(first + row, positions),
            places=torch.from_numpy(row * width + offset),
            last=torch.from_numpy(begins + counts - 1),
            mask=torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf),
        )


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """A layer of a `RowCache` in the shape that Hugging Face models write to and read from, for one pass."""

    def __init__(self, cache: RowCache, index: int, this: Pass):
        super().__init__()
        self.cache, self.index, self.this, self.is_initialized = cache, index, this, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        this = self.this
        both = torch.stack([key_states, value_states]).permute(1, 3, 0, 2, 4).flatten(0, 1)  # [n * S, 2, kv, head_size]
        self.cache.flat[self.index].index_copy_(0, this.slots, both[this.places].flatten(0, 2))
        return self.cache.seen(self.index, this.first, this.rows, this.columns)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.this.columns, 0

    def get_seq_length(self) -> int:
        return self.this.columns - self.this.width

    def get_max_cache_shape(self) -> int:
        return self.cache.columns


class HFForward:
    """Any Hugging Face causal LM whose layers all attend to the whole past; raises SettingsError for another."""

    def __init__(self, model: PreTrainedModel, cache: RowCache):
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"} or getattr(model.config, "sliding_window", None) is not None:
            raise SettingsError(
                f"the engine runs full attention only, and {type(model).__name__} here has other layers"
            )
        self.model, self.cache = model, cache

    def refresh(self) -> None:
        """Nothing to do: the module's weights are read at each pass."""

    def __call__(self, this: Pass) -> Tensor:
        """The logits [n, V] after each row's last token."""
        layers = [_Layer(self.cache, index, this) for index in range(len(self.cache.flat))]
        spread = torch.zeros(this.rows * this.width, 2, dtype=torch.long)
        spread[this.places] = torch.stack([this.tokens, this.positions], 1)
        ids, positions = spread.view(this.rows, this.width, 2).unbind(-1)
        out = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=this.mask,
            past_key_values=Cache(layers),
            use_cache=True,
        )
        return out.logits.flatten(0, 1)[this.places[this.last]]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear for [N, in] by way of oneDNN, on AMD processors twice as fast as MKL (but not for few rows)."""
    if x.shape[0] < 16 or not _HAS_ONEDNN:
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Qwen2Forward:
    """Qwen2 (full attention, default rotary embedding) on a CPU in float32, from fused copies of the weights."""

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        config = model.config
        return (
            type(model) is Qwen2ForCausalLM
            and set(config.layer_types) == {"full_attention"}
            and config.rope_parameters["rope_type"] == "default"
            and config.hidden_act == "silu"
        )

    def __init__(self, model: PreTrainedModel, cache: RowCache):
        self.model, self.cache = model, cache
        config = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_size, self.eps = cache.data.shape[-1], config.rms_norm_eps
        angles = torch.outer(torch.arange(cache.columns).float(), model.model.rotary_emb.inv_freq.float())
        self.turns = torch.polar(torch.ones_like(angles), angles)  # [T, head_size / 2] complex
        self.refresh()

    def _paired(self, weight: Tensor, heads: int) -> Tensor:
        """Rows of a head re-ordered from (all first, all second coordinates) to pairs, so that the rotary embedding is
        one complex product. Queries and keys are re-ordered alike, so their products stay the same."""
        return weight.unflatten(0, (heads, 2, self.head_size // 2)).transpose(1, 2).flatten(0, 2)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def refresh(self) -> None:
        """Read the module's weights again: call it after they change."""
        self.layers: list[dict[str, Tensor]] = []
        for layer in self.model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            kv = [self._paired(attention.k_proj.weight, self.kv_heads), attention.v_proj.weight]
            kv_bias = [self._paired(attention.k_proj.bias, self.kv_heads), attention.v_proj.bias]
            self.layers.append(
                {
                    "norm": layer.input_layernorm.weight.detach(),
                    "q": self._paired(attention.q_proj.weight, self.heads),
                    "q_bias": self._paired(attention.q_proj.bias, self.heads),
                    "kv": torch.cat(kv),
                    "kv_bias": torch.cat(kv_bias),
                    "o": attention.o_proj.weight.detach(),
                    "mlp_norm": layer.post_attention_layernorm.weight.detach(),
                    "gate_up": torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
                    "down": mlp.down_proj.weight.detach(),
                }
            )

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.eps)

    def __call__(self, this: Pass) -> Tensor:
        """The logits [n, V] after each row's last token."""
        model = self.model
        x = F.embedding(this.tokens, model.model.embed_tokens.weight)  # [N, hidden]
        turns = self.turns[this.positions][:, None]  # [N, 1, head_size / 2]
        width, mask, places = this.width, this.mask, this.places
        for index, layer in enumerate(self.layers):
            h = self._norm(x, layer["norm"])
            kv = _linear(h, layer["kv"], layer["kv_bias"]).view(-1, 2, self.kv_heads, self.head_size)
            torch.view_as_complex(kv[:, 0].unflatten(-1, (-1, 2))).mul_(turns)
            self.cache.flat[index].index_copy_(0, this.slots, kv.flatten(0, 2))
            if index == len(self.layers) - 1 and this.width > 1:
                # Beyond this point only each row's last token matters.
                x, h, turns, width = x[this.last], h[this.last], turns[this.last], 1
                mask = mask.squeeze(1)[torch.arange(this.rows), this.places[this.last] % this.width][:, None, None]
                places = torch.arange(this.rows)
            q = _linear(h, layer["q"], layer["q_bias"]).view(-1, self.heads, self.head_size)
            torch.view_as_complex(q.unflatten(-1, (-1, 2))).mul_(turns)
            x = x + _linear(self._attend(q, index, this, width, mask, places), layer["o"])
            gate, up = _linear(self._norm(x, layer["mlp_norm"]), layer["gate_up"]).chunk(2, -1)
            x = x + _linear(F.silu(gate).mul_(up), layer["down"])
        x = x if len(x) == this.rows else x[this.last]
        return _linear(self._norm(x, model.model.norm.weight), model.lm_head.weight)

    def _attend(self, q: Tensor, index: int, this: Pass, width: int, mask: Tensor, places: Tensor) -> Tensor:
        """q [N, heads, head_size] -> [N, heads * head_size], over the rows' cached keys and values."""
        n, group = this.rows, self.heads // self.kv_heads
        keys, values = self.cache.seen(index, this.first, n, this.columns)
        if width == 1:  # the heads that share keys become the queries: keys and values are read once
            out = F.scaled_dot_product_attention(q.view(n, self.kv_heads, group, -1), keys, values, attn_mask=mask)
            return out.reshape(n, -1)
        spread = q.new_zeros(n * width, *q.shape[1:]).index_copy_(0, places, q)
        spread = spread.view(n, width, *q.shape[1:]).transpose(1, 2)
        parts = []
        for begin in range(0, width, QUERY_BLOCK):  # early queries look at few columns: leave out the rest
            end = min(begin + QUERY_BLOCK, width)
            reach = this.columns if end == width else min(this.longest_start + end, this.columns)
            part = F.scaled_dot_product_attention(
                spread[:, :, begin:end],
                keys[:, :, :reach],
                values[:, :, :reach],
                attn_mask=mask[:, :, begin:end, :reach],
                enable_gqa=True,
            )
            parts.append(part.transpose(1, 2))
        return torch.cat(parts, 1).view(n * width, -1)[places]
