"""Front ends of one value a frame (contrast: one a band) that describe sound, by librosa's definitions.

Spectral centroid, bandwidth, rolloff, flatness and contrast; zero-crossing rate; root mean square; onset strength.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio import configs
from toolkit.audio.frontends.filters import frequency_axis
from toolkit.audio.frontends.pieces import Constants, magnitudes
from toolkit.audio.frontends.stft import Bands, Stft, mel_bank, mel_spec, stft_spec
from toolkit.config import ConfigError

CROSSING_THRESHOLD = 1e-10  # samples nearer to 0 count as 0, which is positive


class Analysis(Stft):
    """Values of magnitude spectra; ``name`` stands in the spec."""

    name = ""

    def __init__(self, config: configs.AnalysisConfig, bins: int = 1, details: tuple[tuple[str, Any], ...] = ()) -> None:
        super().__init__(config, stft_spec(config, self.name, bins, details))
        self.axis = Constants(hz=frequency_axis(config.sample_rate, config.n_fft))

    def analyse(self, frames: Tensor) -> Tensor:
        spectra = magnitudes(self.spectrum(frames), self.power)  # [..., F, n_fft // 2 + 1]
        return self.describe(spectra, self.axis.get("hz", spectra))

    def describe(self, spectra: Tensor, hz: Tensor) -> Tensor:
        """Values [..., F, bins] of magnitudes at the frequencies ``hz``."""
        raise NotImplementedError


class Centroid(Analysis):
    """The mean frequency, weighted by magnitude; 0 for silence."""

    name = "spectral-centroid"

    def describe(self, spectra: Tensor, hz: Tensor) -> Tensor:
        return (shares(spectra) * hz).sum(dim=-1, keepdim=True)


class Bandwidth(Analysis):
    """The standard deviation of frequency around the centroid, weighted by magnitude."""

    name = "spectral-bandwidth"

    def describe(self, spectra: Tensor, hz: Tensor) -> Tensor:
        weights = shares(spectra)
        centroid = (weights * hz).sum(dim=-1, keepdim=True)
        return root((weights * (hz - centroid).square()).sum(dim=-1, keepdim=True))


class Rolloff(Analysis):
    """The frequency below which a share of the magnitudes lies. It moves in steps: its derivative is 0."""

    name = "spectral-rolloff"

    def __init__(self, config: configs.RolloffConfig) -> None:
        super().__init__(config, details=(("share", config.share),))
        self.share = config.share

    def describe(self, spectra: Tensor, hz: Tensor) -> Tensor:
        below = spectra.cumsum(dim=-1)
        missing = below - self.share * below[..., -1:]
        # The steps up to the first bin that is not below, as differences of signs, which autograd knows to be flat.
        step = hz[1] - hz[0]
        return ((1 - torch.sign(missing)) / 2).round().sum(dim=-1, keepdim=True) * step * (below[..., -1:] > 0)


class Flatness(Analysis):
    """Geometric over arithmetic mean: 1 for white noise, near 0 for tones."""

    name = "spectral-flatness"

    def __init__(self, config: configs.FlatnessConfig) -> None:
        super().__init__(config, details=(("floor", config.floor),))
        self.floor = config.floor

    def describe(self, spectra: Tensor, hz: Tensor) -> Tensor:
        floored = spectra.clamp(min=self.floor)
        return floored.log().mean(dim=-1, keepdim=True).exp() / floored.mean(dim=-1, keepdim=True)


class Contrast(Analysis):
    """In each octave the strongest bins over the weakest, in dB; without librosa's cut at 80 dB over the clip."""

    name = "spectral-contrast"

    def __init__(self, config: configs.ContrastConfig) -> None:
        details = (("f_min", config.f_min), ("n_bands", config.n_bands), ("quantile", config.quantile), ("floor", config.floor))
        super().__init__(config, config.n_bands + 1, details)
        self.floor = config.floor
        self.octaves = octaves_of(self.axis.array("hz"), config)

    def describe(self, spectra: Tensor, hz: Tensor) -> Tensor:
        found = []
        for low, high, count in self.octaves:
            ordered = spectra[..., low:high].sort(dim=-1).values
            valley, peak = ordered[..., :count].mean(dim=-1), ordered[..., -count:].mean(dim=-1)
            found.append(10 * (peak.clamp(min=self.floor).log10() - valley.clamp(min=self.floor).log10()))
        return torch.stack(found, dim=-1)


class ZeroCrossings(Analysis):
    """Changes of sign a sample. It moves in steps: its derivative is 0."""

    name = "zero-crossing-rate"

    def analyse(self, frames: Tensor) -> Tensor:
        negative = (1 - torch.sign(frames + CROSSING_THRESHOLD)) / 2
        return (negative[..., 1:] - negative[..., :-1]).abs().round().sum(dim=-1, keepdim=True) / frames.shape[-1]


class RootMeanSquare(Analysis):
    """The root of the mean square of each frame's samples."""

    name = "rms"

    def analyse(self, frames: Tensor) -> Tensor:
        return root(frames.square().mean(dim=-1, keepdim=True))


class OnsetStrength(Bands):
    """The mean rise of mel bands (dB) since the frame before; 0 in the first (Böck and Widmer, 2013)."""

    def __init__(self, config: configs.OnsetConfig) -> None:
        spec = mel_spec(config, "onset-strength", 1, (("floor", config.floor),), "db")
        super().__init__(config, spec, mel_bank(config))
        self.floor = config.floor

    def analyse(self, frames: Tensor) -> Tensor:
        return self.bands(frames).clamp(min=self.floor).log10() * (20.0 / self.power)

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        before = torch.cat((values[:, :1] if state is None else state, values[:, :-1]), dim=1)
        return (values - before).clamp(min=0).mean(dim=-1, keepdim=True), values[:, -1:]


def shares(spectra: Tensor) -> Tensor:
    """Magnitudes divided by their sum; silence stays 0."""
    total = spectra.sum(dim=-1, keepdim=True)
    return spectra / torch.where(total > torch.finfo(spectra.dtype).tiny, total, torch.ones_like(total))


def root(squared: Tensor) -> Tensor:
    """The square root, with a finite slope at 0."""
    tiny = torch.finfo(squared.dtype).tiny
    return torch.where(squared > tiny, squared.clamp(min=tiny).sqrt(), torch.zeros_like(squared))


def octaves_of(hz: np.ndarray, config: configs.ContrastConfig) -> list[tuple[int, int, int]]:
    """First bin, end bin and the count of extreme bins of each band.

    Raises ConfigError where bands pass the highest bin, and where one lies between two bins.
    """
    edges = np.concatenate([[0.0], config.f_min * 2.0 ** np.arange(config.n_bands + 1)])
    if edges[-2] >= hz[-1]:
        most = int(np.ceil(np.log2(hz[-1] / config.f_min)))
        raise ConfigError(f"n_bands: got {config.n_bands}, which reach past {hz[-1]:g} Hz; allowed: at most {max(most, 0)}.")
    found = []
    for number, (below, above) in enumerate(pairwise(edges)):
        inside = np.flatnonzero((hz >= below) & (hz <= above))
        if not len(inside) or (number < config.n_bands and inside[-1] <= max(inside[0] - (number > 0), 0)):
            raise ConfigError(f"n_fft: got {config.n_fft}, of which no bin belongs to the band from {below:g} to {above:g} Hz at "
                              f"{config.sample_rate} Hz; allowed: as many as fill each band, such as "
                              f"{math.ceil(2 * config.sample_rate / config.f_min)}.")
        low = max(inside[0] - (number > 0), 0)
        high = len(hz) if number == config.n_bands else inside[-1] + 1
        count = max(1, int(np.rint(config.quantile * (high - low))))
        found.append((int(low), int(high if number == config.n_bands else high - 1), count))
    return found
