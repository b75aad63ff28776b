"""From frames back to sound without parameters, under a FrameSpec.

Spectra        short-time Fourier transforms there and back
linear         mel bands before their logarithm
explained_by   a spectrum whose bands are the given ones
with_phases    a waveform whose magnitudes are the given ones

B clips, F frames, N = n_fft.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.audio.frontends import filters
from toolkit.audio.spec import CENTRED, FrameSpec
from toolkit.config import ConfigError

NOTHING = 1e-11  # below any square of a window that matters
TINY = 1e-16


class Spectra(nn.Module):
    """`analyse` waveforms to complex spectra [B, F, N // 2 + 1], `synthesise` the other way.

    Synthesis is the least-squares one: overlapping frames are windowed, added and divided by the
    added squares of the window (Griffin and Lim, 1984, equation 6).
    """

    window: Tensor

    def __init__(self, spec: FrameSpec) -> None:
        super().__init__()
        if spec.padding not in (*CENTRED, "same"):
            raise ConfigError(f"padding: got {spec.padding!r}; synthesis needs one of {', '.join((*CENTRED, 'same'))}.")
        if spec.n_fft < spec.hop_length:
            raise ConfigError(f"hop_length: got {spec.hop_length}, allowed: at most n_fft = {spec.n_fft}.")
        self.n_fft, self.hop, self.left = spec.n_fft, spec.hop_length, spec.left
        self.context = -(-spec.n_fft // spec.hop_length) + 1  # frames on both sides that a synthesised sample depends on
        self.centred = spec.padding in CENTRED
        self.mode = "constant" if spec.padding == "constant" else "reflect"
        window = filters.centred_window(spec.window, spec.win_length, spec.n_fft)
        self.register_buffer("window", torch.as_tensor(window).float(), persistent=False)

    def analyse(self, waveform: Tensor) -> Tensor:
        """Spectra [B, F, N // 2 + 1] of waveforms [B, T]."""
        right = self.n_fft - self.hop - self.left if not self.centred else self.left
        mode = self.mode if waveform.shape[1] > max(self.left, right) else "constant"
        padded = functional.pad(waveform[:, None], (self.left, right), mode=mode)[:, 0]
        return torch.fft.rfft(padded.unfold(1, self.n_fft, self.hop) * self.window)

    def synthesise(self, spectra: Tensor) -> Tensor:
        """Waveforms [B, T] of spectra [B, F, N // 2 + 1]."""
        frames = torch.fft.irfft(spectra, self.n_fft) * self.window  # [B, F, N]
        count = frames.shape[1]
        sound = self._overlapped(frames)
        weight = self._overlapped((self.window ** 2).expand(1, count, -1))
        length = (count - int(self.centred)) * self.hop
        return (sound / weight.clamp(min=NOTHING))[:, self.left:self.left + length]

    def _overlapped(self, frames: Tensor) -> Tensor:
        """Frames [B, F, N] added, each ``hop`` samples after the one before: [B, (F - 1) hop + N]."""
        clips, count, hops = len(frames), frames.shape[1], -(-self.n_fft // self.hop)  # that a frame lasts
        parts = functional.pad(frames, (0, hops * self.hop - self.n_fft)).unflatten(2, (hops, self.hop))
        sound = frames.new_zeros(clips, count + hops - 1, self.hop)
        for place in range(hops):
            sound[:, place:place + count] += parts[:, :, place]
        return sound.flatten(1)[:, :(count - 1) * self.hop + self.n_fft]


def linear(mel: Tensor, spec: FrameSpec) -> Tensor:
    """Mel bands before the logarithm, shift and scale of ``spec``."""
    details = dict(spec.details)
    values = mel / details.get("scale", 1.0) - details.get("shift", 0.0)
    if spec.log == "none":
        return values
    per_unit = {"natural": 1.0, "log10": math.log(10), "db": math.log(10) * spec.power / 20}[spec.log]
    return (values * per_unit).exp()


def explained_by(bands: Tensor, bank: Tensor, start: Tensor, updates: int) -> Tensor:
    """A spectrum [..., N // 2 + 1] whose bands by ``bank`` [N // 2 + 1, mels] are near ``bands`` [..., mels].

    Non-negative least squares by multiplicative updates (Lee and Seung, 2001), from ``bands @ start`` on.
    """
    spectrum = (bands @ start).clamp(min=TINY ** 0.5)
    above, gram = bands @ bank.T, bank @ bank.T
    for _ in range(updates):
        spectrum = spectrum * above / (spectrum @ gram).clamp(min=TINY)
    return spectrum


def with_phases(magnitudes: Tensor, spectra: Spectra, iterations: int, momentum: float, seed: int) -> Tensor:
    """The waveform [B, T] whose magnitudes come near the given ones [B, F, N // 2 + 1].

    Iterated projection from random phases (Griffin and Lim, 1984); fast with momentum (Perraudin et al., 2013).
    """
    generator = torch.Generator().manual_seed(seed)
    turns = torch.rand(magnitudes.shape[1:], generator=generator).to(magnitudes)  # each clip's alike
    current = torch.polar(magnitudes, (2 * math.pi * turns).expand_as(magnitudes))
    before = torch.zeros_like(current)
    for _ in range(iterations):
        rebuilt = spectra.analyse(spectra.synthesise(current))
        ahead = rebuilt + momentum * (rebuilt - before)
        before = rebuilt
        current = magnitudes * ahead / ahead.abs().clamp(min=TINY)
    return spectra.synthesise(current)
