"""``nature-cnn``: the convolutions of Mnih et al. (2015), for pictures, alone or inside a Dict.

Letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from toolkit.agents.configs import NatureCNNConfig
from toolkit.agents.networks.encode import BYTE, encode_leaf, is_image, leaf_spaces, leaves, width
from toolkit.errors import UsageError

SMALLEST = 36  # pixels a side below which the third convolution has nothing left


class NatureCNN(nn.Module):
    """Pictures through three convolutions and a linear layer, other elements flat beside them.

    Observations [B, ...] to features [B, features]. The channel axis is the smallest one, first or
    last; a grey picture [H, W] has one channel, and those of stacked pictures are side by side.
    """

    def __init__(self, config: NatureCNNConfig, *, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__()
        self.space = observation_space
        found = leaf_spaces(observation_space)
        pictures = [leaf for leaf in found if is_image(leaf)]
        if not pictures:
            raise UsageError(f"nature-cnn needs a picture (uint8, two to four dimensions) in the observations; "
                             f"this environment's are {observation_space}. Use --network mlp")
        self.pictures = nn.ModuleList(Convolutions(leaf.shape or (), config.features) for leaf in pictures)
        self.features = config.features * len(pictures) + sum(width(leaf) for leaf in found if not is_image(leaf))

    def forward(self, observations: Tensor) -> Tensor:
        encoded, pictures = [], iter(self.pictures)
        for space, values in leaves(self.space, observations):
            encoded.append(next(pictures)(values) if is_image(space) else encode_leaf(space, values))
        return encoded[0] if len(encoded) == 1 else torch.cat(encoded, -1)  # [B, features]


class Convolutions(nn.Module):
    """Bytes [B, H, W, C], [B, C, H, W] or [B, H, W], the first two also stacked [B, L, ...], to features [B, features]."""

    def __init__(self, shape: tuple[int, ...], features: int) -> None:
        super().__init__()
        self.flat_picture, self.stacked = len(shape) == 2, len(shape) == 4
        picture = shape[-3:]
        self.channels_last = not self.flat_picture and picture[2] == min(picture)
        channels = 1 if self.flat_picture else min(picture) * (shape[0] if self.stacked else 1)
        sides = picture if self.flat_picture else picture[:2] if self.channels_last else picture[1:]
        if min(sides) < SMALLEST:
            raise UsageError(f"nature-cnn needs pictures of at least {SMALLEST}x{SMALLEST}, got {shape}. Use --network mlp")
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten())
        with torch.no_grad():
            size = self.convolutions(torch.zeros(1, channels, *sides)).shape[1]
        self.linear = nn.Sequential(nn.Linear(size, features), nn.ReLU())

    def forward(self, pictures: Tensor) -> Tensor:
        if self.flat_picture:
            pictures = pictures.unsqueeze(1)  # [B, 1, H, W]
        elif self.channels_last:
            pictures = pictures.movedim(-1, -3)  # [B, C, H, W] or [B, L, C, H, W]
        if self.stacked:
            pictures = pictures.flatten(1, 2)  # [B, L * C, H, W]
        features: Tensor = self.linear(self.convolutions(pictures.float() / BYTE))
        return features

