"""``tdnn``: dilated convolutions over time. Source: Peddinti et al. (2015), Interspeech."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.models.base import Heard, mask_of
from toolkit.audio.recognition_configs import TDNNConfig


class TDNN(Heard):
    """Features [B, F, bins] to outputs [B, C] or [B, T, C], T = F / ``subsampling``, rounded up."""

    def __init__(self, config: TDNNConfig, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__(config.channels, outputs, config.dropout, spec)
        self.stride = config.subsampling
        self.first = nn.Conv1d(inputs, config.channels, 5, stride=config.subsampling, padding=2)
        self.layers = nn.ModuleList(nn.Conv1d(config.channels, config.channels, 3, dilation=step, padding=step)
                                    for step in config.dilations)
        self.norms = nn.ModuleList(nn.LayerNorm(config.channels) for _ in range(len(config.dilations) + 1))

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        own = mask_of(lengths, inputs.shape[1]).unsqueeze(-1)
        counts = (lengths + self.stride - 1) // self.stride
        states = self.first((inputs * own).transpose(1, 2)).transpose(1, 2)  # (B, T, channels)
        own = mask_of(counts, states.shape[1]).unsqueeze(-1)
        states = F.relu(self.norms[0](states)) * own
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            states = states + F.relu(norm(layer(states.transpose(1, 2)).transpose(1, 2))) * own
        return states, counts
