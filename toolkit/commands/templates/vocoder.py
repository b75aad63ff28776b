"""A vocoder: convolutions over mel frames give each frame's magnitudes and phases, one inverse transform makes them sound."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.audio.vocoders.base import Neural
from toolkit.audio.vocoders.spectra import Spectra

KERNEL = 7  # frames
QUIET, LOUDEST = -4.0, 100.0  # log magnitude to begin at; magnitude at most


class Component(Neural):
    """The front end, checks of frames and streams come with `Neural`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config, "component")
        self.spectra = Spectra(self.spec)
        self.first = nn.Conv1d(self.spec.bins, config.channels, KERNEL, padding=KERNEL // 2)
        self.layers = nn.ModuleList(nn.Conv1d(config.channels, config.channels, KERNEL, padding=KERNEL // 2)
                                    for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(config.channels) for _ in range(config.layers))
        self.last = nn.Linear(config.channels, self.spec.n_fft + 2)
        nn.init.constant_(self.last.bias[:self.spec.n_fft // 2 + 1], QUIET)
        self.context = (config.layers + 1) * (KERNEL // 2) + self.spectra.context  # frames on both sides that a sample hears

    def synthesise(self, mel: Tensor) -> Tensor:
        """Waveforms [B, T] of [B, F, mels]."""
        states = self.first(mel.transpose(1, 2)).transpose(1, 2)  # [B, F, channels]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            states = states + functional.gelu(layer(norm(states).transpose(1, 2)).transpose(1, 2))
        magnitude, phase = self.last(states).float().chunk(2, dim=-1)  # [B, F, n_fft // 2 + 1]
        return self.spectra.synthesise(torch.polar(magnitude.exp().clamp(max=LOUDEST), phase))
