"""A body for any agent's policy: two layers with a way around each (He et al., 2016)."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from toolkit.agents.networks.encode import Encoder


class Component(nn.Module):
    """Observations [B, ...] to features [B, features]."""

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__()
        self.encoder = Encoder(observation_space)  # any space as flat numbers [B, size]
        self.features = config.width
        self.first = nn.Linear(self.encoder.size, config.width)
        self.blocks = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.blocks))

    def forward(self, observations: Tensor) -> Tensor:
        features = torch.relu(self.first(self.encoder(observations)))
        for block in self.blocks:
            features = features + torch.relu(block(features))
        return features
