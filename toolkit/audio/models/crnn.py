"""``crnn``: convolutions, then recurrent layers both ways. Source: Shi et al. (2015), arXiv 1507.05717."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from toolkit.audio.models.base import Heard, Subsampling
from toolkit.audio.recognition_configs import CRNNConfig
from toolkit.core.layers.recurrent import CELLS
from toolkit.errors import UsageError


class CRNN(Heard):
    """Features [B, F, bins] to outputs [B, C] or [B, T, C], T = F over the product of ``time_strides``, rounded up."""

    def __init__(self, config: CRNNConfig, inputs: int, outputs: int, spec: Any = None) -> None:
        if len(config.channels) != len(config.time_strides):
            raise UsageError(f"crnn has {len(config.channels)} channels and {len(config.time_strides)} time_strides; allowed: as "
                             "many of one as of the other (--model.channels, --model.time-strides)")
        super().__init__(2 * config.hidden_size, outputs, config.dropout, spec)
        self.convolutions = Subsampling(inputs, config.channels, config.time_strides)
        self.recurrent = CELLS[config.cell](self.convolutions.width, config.hidden_size, config.layers, batch_first=True,
                                            bidirectional=True, dropout=config.dropout if config.layers > 1 else 0.0)

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        seen, counts = self.convolutions(inputs, lengths)
        return self.recurrent.read(seen, counts)[0], counts
