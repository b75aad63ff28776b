"""Per-channel energy normalisation of mel bands (Wang et al., "Trainable frontend", 2017)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.configs import PCENConfig
from toolkit.audio.frontends.pieces import Constants
from toolkit.audio.frontends.stft import Bands, mel_bank, mel_spec

BLOCK = 64  # frames smoothed in one product


class PCEN(Bands):
    """Mel bands divided by their own smoothed past, then compressed; frames depend on the past only.

    The smoother begins as if energies of 1 had gone on forever, as ``librosa.pcen`` does.
    """

    def __init__(self, config: PCENConfig) -> None:
        names = ("gain", "bias", "root", "time_constant", "epsilon", "amplitude")
        details = tuple((name, getattr(config, name)) for name in names)
        super().__init__(config, mel_spec(config, "pcen", config.n_mels, details), mel_bank(config))
        self.settings = config
        self.smoothing = smoothing_of(config.time_constant * self.spec.frame_rate)
        # M_t = sum_k s (1 - s)^(t - k) E_k + (1 - s)^(t + 1) M_before, for the frames t of a block
        lag = np.arange(BLOCK)[:, None] - np.arange(BLOCK)
        weights = np.where(lag >= 0, self.smoothing * (1 - self.smoothing) ** np.maximum(lag, 0), 0.0)
        self.smoother = Constants(weights=weights, decay=(1 - self.smoothing) ** (np.arange(BLOCK)[:, None] + 1.0))

    def analyse(self, frames: Tensor) -> Tensor:
        return self.bands(frames) * self.settings.amplitude

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        config = self.settings
        smooth, state = self.smoothed(values, state)
        loudness = torch.exp(-config.gain * (math.log(config.epsilon) + torch.log1p(smooth / config.epsilon)))
        scaled = values * loudness
        if config.bias == 0:
            # The root's slope at 0 is infinite; a tiny floor keeps the gradient of silence finite.
            return scaled.clamp(min=torch.finfo(values.dtype).tiny) ** config.root, state
        return config.bias ** config.root * torch.expm1(config.root * torch.log1p(scaled / config.bias)), state

    def smoothed(self, values: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """The exponential average of values [B, F, bands] and its last frame [B, 1, bands]."""
        last = torch.ones_like(values[:, :1]) if before is None else before
        blocks = []
        for start in range(0, values.shape[1], BLOCK):
            block = values[:, start:start + BLOCK]
            size = block.shape[1]
            weights, decay = self.smoother.get("weights", values), self.smoother.get("decay", values)
            blocks.append(weights[:size, :size] @ block + decay[:size] * last)
            last = blocks[-1][:, -1:]
        return torch.cat(blocks, dim=1), last


def smoothing_of(frames: float) -> float:
    """The weight of the newest frame in an average with a time constant of ``frames`` frames."""
    return (math.sqrt(1 + 4 * frames ** 2) - 1) / (2 * frames ** 2)
