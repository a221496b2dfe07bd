"""Keys and values of the running rows, and of finished ones whose tokens may begin a later prompt.

A conversation's next prompt starts with the tokens of its last turn, and the samples of one task share the whole
prompt: both find their prefix here and compute only what is new.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig


class RowCache:
    """A table of rows. Rows [0, live) run, always without gaps so that a batch is a slice; the last `kept` rows
    hold finished sequences and are overwritten oldest first.

    data [layers, 2, rows, kv_heads, T, head_size] float32: keys and values of each position. Those of a head lie one
    behind the other, as attention reads them: with a position's heads side by side it took three times as long;
    tokens [rows, T] int32: the ids they belong to, -1 beyond the row's length; lengths [rows].
    """

    def __init__(self, config: PreTrainedConfig, live_rows: int, kept_rows: int, columns: int):
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        rows, self.kv_heads = live_rows + kept_rows, config.num_key_value_heads
        shape = (config.num_hidden_layers, 2, rows, self.kv_heads, columns, head_size)
        # numpy's zeros take memory only where they are written to; torch.zeros would take all of it at once.
        self.data: Tensor = torch.from_numpy(np.zeros(shape, dtype=np.float32))
        self.flat: list[Tensor] = [layer.view(-1, head_size) for layer in self.data]
        self.columns = columns
        self.live_rows = live_rows
        self.tokens = np.full((rows, columns), -1, dtype=np.int32)
        self.lengths = np.zeros(rows, dtype=np.int64)
        self.used = np.zeros(rows, dtype=np.int64)  # when a kept row was last of use, in ticks
        self.tick = 0

    def clear(self) -> None:
        """Forget everything: the weights have changed, or a batch failed half-way."""
        self.tokens.fill(-1)
        self.lengths.fill(0)
        self.used.fill(0)

    def slots(self, rows: np.ndarray, positions: np.ndarray) -> Tensor:
        """Where keys and values of these N positions lie in `flat`: [N * 2 * kv_heads], a position's keys first."""
        parts = np.arange(2)[:, None] * len(self.lengths) * self.kv_heads + np.arange(self.kv_heads)
        return torch.from_numpy(
            ((rows * self.kv_heads)[:, None, None] + parts) * self.columns + positions[:, None, None]
        ).flatten()

    def seen(self, layer: int, first: int, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Keys and values [rows, kv_heads, columns, head_size] of neighbouring rows, as views."""
        keys, values = self.data[layer, :, first : first + rows, :, :columns]
        return keys, values

    def shared_with(self, ids: Sequence[int] | np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """How many of its first tokens each of the rows shares with `ids`: [rows]."""
        different = self.tokens[rows, : len(ids)] != np.asarray(ids, dtype=np.int32)
        if not len(ids):  # argmax knows no first of none
            return np.zeros(len(different), dtype=np.int64)
        return np.where(different.any(1), different.argmax(1), len(ids))

    def start(self, row: int, ids: Sequence[int], source: int, shared: int) -> None:
        """Begin `ids` in `row` with the first `shared` positions copied from row `source`. The others are counted
        as present at once: the caller writes their keys and values next."""
        if shared:
            self._copy(source, row, 0, shared)
            self._touch(source)
        self.tokens[row, : len(ids)] = ids
        self.tokens[row, len(ids) :] = -1
        self.lengths[row] = len(ids)

    def append(self, rows: int, ids: Sequence[int]) -> None:
        """One more token in each of the rows [0, rows)."""
        self.tokens[np.arange(rows), self.lengths[:rows]] = ids
        self.lengths[:rows] += 1

    def finish(self, row: int, last: int) -> None:
        """Keep the finished `row` for later prompts, and move row `last`, the last that runs, into its place."""
        if self.live_rows < len(self.lengths):
            self._keep(row)
        if row != last:
            self._move(last, row)
        self.tokens[last] = -1
        self.lengths[last] = 0

    def _keep(self, row: int) -> None:
        length = int(self.lengths[row])
        kept = slice(self.live_rows, None)
        agrees = self.shared_with(self.tokens[row, :length], kept)
        target = self.live_rows + int(agrees.argmax())
        shared = int(agrees.max())
        if shared == length:  # already there
            self._touch(target)
            return
        if shared < self.lengths[target] or shared == 0:
            target, shared = self.live_rows + int(self.used[kept].argmin()), 0
        # Otherwise the kept row is an earlier turn of the same conversation: extend it.
        self._copy(row, target, shared, length)
        self.tokens[target] = self.tokens[row]
        self.lengths[target] = length
        self._touch(target)

    def _move(self, source: int, target: int) -> None:
        self._copy(source, target, 0, int(self.lengths[source]))
        self.tokens[target] = self.tokens[source]
        self.lengths[target] = self.lengths[source]

    def _copy(self, source: int, target: int, begin: int, end: int) -> None:
        if source != target:
            self.data[:, :, target, :, begin:end] = self.data[:, :, source, :, begin:end]

    def _touch(self, row: int) -> None:
        self.tick += 1
        self.used[row] = self.tick
