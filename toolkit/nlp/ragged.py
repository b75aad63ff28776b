"""Many sequences of ids in one flat array, and batches of them, padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


class Ragged:
    """``values`` holds all sequences one after the other; sequence i is ``offsets[i]:offsets[i + 1]``."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.sizes = np.array([len(row) for row in rows], np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        self.values = np.fromiter((value for row in rows for value in row), np.int64, int(self.offsets[-1]))

    def __len__(self) -> int:
        return len(self.sizes)

    def row(self, index: int) -> Array:
        return np.asarray(self.values[self.offsets[index]:self.offsets[index + 1]])

    def pad(self, indices: Array, fill: int) -> tuple[Tensor, Tensor]:
        """Rows ``indices`` as [B, T], ``fill`` past their ends, and their lengths [B]."""
        lengths = self.sizes[indices]
        longest = int(lengths.max()) if len(lengths) else 0
        places = np.arange(longest)
        valid = places < lengths[:, None]  # [B, T]
        source = np.minimum(self.offsets[indices][:, None] + places, max(0, len(self.values) - 1))  # [B, T]
        filled = np.where(valid, self.values[source], fill) if len(self.values) else np.full(valid.shape, fill)
        return torch.from_numpy(filled), torch.from_numpy(lengths)
