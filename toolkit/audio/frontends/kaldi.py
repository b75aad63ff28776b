"""Kaldi's front ends: filter banks and cepstra as `compute-fbank-feats` and `compute-mfcc-feats` define them.

Waveforms are in [-1, 1] like everywhere; they are scaled to 16 bits here. Each frame is by itself:
dither, mean, energy, pre-emphasis (the first sample stands before itself), window, zeros to n_fft, power
spectrum, mel triangles linear in mel, logarithm of at least the float's epsilon.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.audio.configs import KaldiConfig, KaldiFbankConfig, KaldiMFCCConfig
from toolkit.audio.frontends import filters
from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.frontends.pieces import BandedProduct, Constants, magnitudes, squares
from toolkit.audio.frontends.stft import check_cepstra
from toolkit.audio.spec import FrameSpec

FULL_SCALE = 32768.0
EPSILON = 1.1920928955078125e-07  # of a 32-bit float: Kaldi's floor under the logarithm
WINDOWS = {"hanning": "hann-symmetric", "hamming": "hamming-symmetric", "povey": "povey", "rectangular": "rectangular",
           "blackman": "blackman-symmetric"}


class Kaldi(Framewise):
    """What both front ends share: from frames to mel energies and the frame's own log energy."""

    def __init__(self, config: KaldiConfig, values: str, bins: int, power: float, log: str,
                 details: tuple[tuple[str, Any], ...]) -> None:
        spec = kaldi_spec(config, values, bins, power, log, details)
        super().__init__(spec)
        self.config = config
        self.power = power
        self.zeros = spec.n_fft - spec.win_length
        self.window = Constants(window=filters.window(WINDOWS[config.window], spec.win_length) * FULL_SCALE)

        def bank(count: int) -> Any:
            return filters.kaldi_filters(config.sample_rate, spec.n_fft, count, spec.f_min, spec.f_max)

        self.bank = filters.check_filters(bank, config.n_mels, config.empty_filters)
        self.product = BandedProduct(self.bank.repeat(2, axis=0) if power == 2.0 else self.bank)
        self.ordered = self.prepares = config.dither > 0
        self.noise = torch.Generator().manual_seed(config.dither_seed)

    def prepare(self, clips: Tensor, lengths: Tensor, before: Tensor | None = None) -> Tensor:
        if before is None:  # the same noise for every clip, so that features depend on nothing that went before
            self.noise.manual_seed(self.config.dither_seed)
        return clips

    def mels(self, frames: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mel energies [..., F, n_mels] and, where it is used, the log energy [..., F, 1]."""
        config = self.config
        if config.dither:
            noise = torch.randn(frames.shape[-2:], generator=self.noise, dtype=frames.dtype).to(frames.device)
            frames = frames + noise * (config.dither / FULL_SCALE)
        if config.remove_dc:
            frames = frames - frames.mean(dim=-1, keepdim=True)
        energy = self.log_energy(frames * FULL_SCALE) if config.use_energy and config.raw_energy else None
        if config.pre_emphasis:
            frames = frames - config.pre_emphasis * torch.cat((frames[..., :1], frames[..., :-1]), dim=-1)
        frames = frames * self.window.get("window", frames)
        if config.use_energy and energy is None:
            energy = self.log_energy(frames)
        spectrum = torch.fft.rfft(F.pad(frames, (0, self.zeros)))
        return self.product(squares(spectrum) if self.power == 2.0 else magnitudes(spectrum, self.power)), energy

    def log_energy(self, frames: Tensor) -> Tensor:
        floor = max(EPSILON, self.config.energy_floor)
        return frames.square().sum(dim=-1, keepdim=True).clamp(min=floor).log()


class KaldiFbank(Kaldi):
    """Log mel energies; with ``use_energy`` the log energy stands before them."""

    def __init__(self, config: KaldiFbankConfig) -> None:
        super().__init__(config, "log-mel" if config.log else "mel", config.n_mels + int(config.use_energy), config.power,
                         "natural" if config.log else "none", ())

    def analyse(self, frames: Tensor) -> Tensor:
        mels, energy = self.mels(frames)
        values = mels.clamp(min=EPSILON).log() if self.spec.log == "natural" else mels
        return values if energy is None else torch.cat((energy, values), dim=-1)


class KaldiMFCC(Kaldi):
    """Liftered cepstra; with ``use_energy`` the first is the log energy."""

    def __init__(self, config: KaldiMFCCConfig) -> None:
        check_cepstra("n_mfcc", config.n_mfcc, "n_mels", config.n_mels)
        super().__init__(config, "cepstra", config.n_mfcc, 2.0, "natural", (("lifter", config.lifter),))
        matrix = filters.dct_matrix(config.n_mels, config.n_mfcc) * filters.lifter_weights(config.n_mfcc, config.lifter, first=0)
        self.cepstra = Constants(matrix=matrix)

    def analyse(self, frames: Tensor) -> Tensor:
        mels, energy = self.mels(frames)
        values = mels.clamp(min=EPSILON).log() @ self.cepstra.get("matrix", mels)
        return values if energy is None else torch.cat((energy, values[..., 1:]), dim=-1)


def kaldi_spec(config: KaldiConfig, values: str, bins: int, power: float, log: str,
               details: tuple[tuple[str, Any], ...]) -> FrameSpec:
    """The spec of Kaldi's frames: lengths in whole samples, n_fft the next power of two."""
    win_length = int(config.sample_rate * config.frame_length * 0.001)
    hop_length = int(config.sample_rate * config.frame_shift * 0.001)
    n_fft = 1 << (win_length - 1).bit_length() if config.round_to_power_of_two else win_length + win_length % 2
    f_max = config.f_max if config.f_max > 0 else config.sample_rate / 2 + config.f_max
    names = ("pre_emphasis", "remove_dc", "dither", "use_energy", "raw_energy", "energy_floor")
    details = (("scaled_to", 16), *((name, getattr(config, name)) for name in names), *details)
    return FrameSpec(values, bins, config.sample_rate, n_fft, win_length, hop_length, config.window,
                     "snip" if config.snip_edges else "mirror", False, config.n_mels, config.f_min, f_max, "kaldi", "none",
                     power, log, details)
