"""The critics of HiFi-GAN (Kong et al., 2020): of several periods and of several scales, and their losses.

B clips, T samples. A critic gives its scores [B, n] and the features of each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

SLOPE = 0.1
LARGEST_GROUPS = 16  # channels stay multiples of it


class Opinion(NamedTuple):
    """Scores [B, n] of a critic, and its layers' features."""

    scores: Tensor
    features: list[Tensor]


def width_of(channels: int, share: float) -> int:
    return max(LARGEST_GROUPS, round(channels * share / LARGEST_GROUPS) * LARGEST_GROUPS)


class PeriodCritic(nn.Module):
    """Sees the sound in rows of ``period`` samples, and convolves along the columns."""

    def __init__(self, period: int, share: float = 1.0) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(width_of(count, share) for count in (32, 128, 512, 1024, 1024))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(channels[place], channels[place + 1], (5, 1), (3 if place < 4 else 1, 1), (2, 0)))
            for place in range(5))
        self.last = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, sound: Tensor) -> Opinion:
        short = -sound.shape[1] % self.period
        x = functional.pad(sound[:, None], (0, short), mode="reflect") if short else sound[:, None]
        return judged(x.unflatten(2, (-1, self.period)), self.layers, self.last)


class ScaleCritic(nn.Module):
    """Grouped convolutions along the sound."""

    SHAPES = ((128, 15, 1, 1), (128, 41, 2, 4), (256, 41, 2, 16), (512, 41, 4, 16), (1024, 41, 4, 16), (1024, 41, 1, 16),
              (1024, 5, 1, 1))  # channels, kernel, stride, groups

    def __init__(self, share: float = 1.0, spectral: bool = False) -> None:
        super().__init__()
        norm = spectral_norm if spectral else weight_norm
        self.layers, inputs = nn.ModuleList(), 1
        for channels, kernel, stride, groups in self.SHAPES:
            outputs = width_of(channels, share)
            self.layers.append(norm(nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)))
            inputs = outputs
        self.last = norm(nn.Conv1d(inputs, 1, 3, padding=1))

    def forward(self, sound: Tensor) -> Opinion:
        return judged(sound[:, None], self.layers, self.last)


def judged(x: Tensor, layers: nn.ModuleList, last: nn.Module) -> Opinion:
    features = []
    for layer in layers:
        x = functional.leaky_relu(layer(x), SLOPE)
        features.append(x)
    x = last(x)
    return Opinion(x.flatten(1), [*features, x])


class Critics(nn.Module):
    """All critics: one for each period, and one for each scale, each scale half the rate of the one before."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), scales: int = 3, share: float = 1.0) -> None:
        super().__init__()
        self.periods = nn.ModuleList(PeriodCritic(period, share) for period in periods)
        self.scales = nn.ModuleList(ScaleCritic(share, spectral=place == 0) for place in range(scales))

    def forward(self, sound: Tensor) -> list[Opinion]:
        """Opinions of waveforms [B, T]."""
        opinions = [critic(sound) for critic in self.periods]
        for place, critic in enumerate(self.scales):
            if place:
                sound = functional.avg_pool1d(sound[:, None], 4, 2, padding=2)[:, 0]
            opinions.append(critic(sound))
        return opinions


def critics_loss(real: Sequence[Opinion], made: Sequence[Opinion]) -> Tensor:
    """Least squares: real sound scores 1, made sound 0, over all critics (equation 1).

    Source: Mao et al. (2017).
    """
    return torch.stack([((1 - one.scores) ** 2).mean() + (two.scores ** 2).mean()
                        for one, two in zip(real, made, strict=True)]).sum()


def deception_loss(made: Sequence[Opinion]) -> Tensor:
    """Least squares: made sound is to score 1 (equation 2)."""
    return torch.stack([((1 - opinion.scores) ** 2).mean() for opinion in made]).sum()


def feature_distance(real: Sequence[Opinion], made: Sequence[Opinion]) -> Tensor:
    """Mean absolute difference of each layer's features, added up over layers and critics (equation 4)."""
    return torch.stack([(a.detach() - b).abs().mean() for one, two in zip(real, made, strict=True)
                        for a, b in zip(one.features, two.features, strict=True)]).sum()
