"""The loudness of a few bands of equal width, in nepers: a front end that is quick to read and quick to compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.frontends.pieces import Constants
from toolkit.audio.spec import FrameSpec


class Component(Framewise):
    """Waveforms [B, T] to features [B, F, bands]; frames, lengths, padding and streams come with `Framewise`."""

    def __init__(self, config: Any) -> None:
        super().__init__(FrameSpec(
            values="spectrum", bins=config.bands, sample_rate=config.sample_rate, n_fft=config.n_fft, win_length=config.n_fft,
            hop_length=config.hop_length, window="hann", padding="reflect", power=2.0, log="natural",
            f_max=config.sample_rate / 2, details=(("floor", config.floor),)))
        bins = config.n_fft // 2 + 1
        places = np.minimum(np.arange(bins) * config.bands // bins, config.bands - 1)
        matrix = (places[:, None] == np.arange(config.bands)) / np.bincount(places, minlength=config.bands)  # [bins, bands]
        self.constants = Constants(window=np.hanning(config.n_fft + 1)[:-1], matrix=matrix)
        self.floor = config.floor

    def analyse(self, frames: Tensor) -> Tensor:
        """Values [..., F, bands] of frames [..., F, n_fft], each frame by itself."""
        spectrum = torch.fft.rfft(frames * self.constants.get("window", frames))
        powers = spectrum.real.square() + spectrum.imag.square()
        return torch.log((powers @ self.constants.get("matrix", powers)).clamp(min=self.floor))
