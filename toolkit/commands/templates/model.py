"""A model of sound: convolutions over the frames of any front end, for tasks that answer a clip or a position."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from toolkit.audio.models.base import Heard, mask_of


class Component(Heard):
    """Features [B, F, bins] to outputs [B, C], or [B, F, C] where every position is answered."""

    def __init__(self, config: Any, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__(config.channels, outputs, config.dropout, spec)
        self.first = nn.Conv1d(inputs, config.channels, 5, padding=2)
        self.layers = nn.ModuleList(nn.Conv1d(config.channels, config.channels, 3, padding=1) for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(config.channels) for _ in range(config.layers))

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, T, channels], and how many of them are each clip's own [B]."""
        own = mask_of(lengths, inputs.shape[1]).unsqueeze(-1)  # padding is 0 before every layer that looks around
        states = self.first((inputs * own).transpose(1, 2)).transpose(1, 2) * own
        for layer, norm in zip(self.layers, self.norms, strict=True):
            states = states + functional.relu(norm(layer(states.transpose(1, 2)).transpose(1, 2))) * own
        return states, lengths
