"""Front ends whose bins each have a window of their own length: constant-Q and Morlet wavelets.

Every bin is the product of the signal with a complex kernel around the frame's centre. The products are
taken between spectra (Brown and Puckette, 1992), where a kernel is zero but for a narrow band; for real
signals they are exact up to what `NEGLIGIBLE` leaves out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.configs import CQTConfig, WaveletConfig
from toolkit.audio.frontends import filters
from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.frontends.pieces import BandedProduct
from toolkit.audio.spec import FrameSpec
from toolkit.config import ConfigError

NEGLIGIBLE = 1e-6  # of a kernel's largest spectral value
MORLET_SPREAD = 4.5  # standard deviations of the envelope kept on either side


class Kernels(Framewise):
    """Magnitudes of products with complex kernels [bins, n_fft], centred in the frame."""

    def __init__(self, spec: FrameSpec, kernels: np.ndarray) -> None:
        super().__init__(spec)
        self.product = BandedProduct(spectral_matrix(kernels))

    def analyse(self, frames: Tensor) -> Tensor:
        spectrum = torch.view_as_real(torch.fft.rfft(frames.contiguous())).flatten(-2)  # [..., F, n_fft + 2]
        return torch.view_as_complex(self.product(spectrum).unflatten(-1, (-1, 2))).abs()


class CQT(Kernels):
    """Constant-Q magnitudes; a bin's window holds Q cycles, and magnitudes are scaled as librosa scales them."""

    def __init__(self, config: CQTConfig) -> None:
        frequencies = config.f_min * 2.0 ** (np.arange(config.n_bins) / config.bins_per_octave)
        squared = 4.0 ** (1.0 / config.bins_per_octave)
        quality = config.filter_scale * (squared + 1) / (squared - 1)
        lengths = quality * config.sample_rate / frequencies
        check_highest("n_bins", config.n_bins, float(frequencies[-1] * (1 + 0.5 / quality)), config.sample_rate)
        n_fft = 1 << int(np.ceil(np.log2(lengths[0] + 1)))
        kernels = np.stack([self.kernel(config, frequency, length, n_fft) for frequency, length in zip(frequencies, lengths)])
        details = (("bins_per_octave", config.bins_per_octave), ("filter_scale", config.filter_scale))
        spec = kernel_spec(config, "cqt", config.n_bins, n_fft, config.window, float(frequencies[-1]), details)
        super().__init__(spec, kernels)
        self.frequencies = frequencies

    @staticmethod
    def kernel(config: CQTConfig, frequency: float, length: float, n_fft: int) -> np.ndarray:
        """A windowed exponential of about ``length`` samples, its absolute sum the root of its length."""
        time = np.arange(-int(length // 2), int(length // 2) + (1 if int(length) % 2 else 0))
        shape = filters.window(config.window, len(time))
        kernel = shape * np.exp(2j * np.pi * frequency / config.sample_rate * time) * (np.sqrt(length) / shape.sum())
        return placed(kernel, -int(time[0]), n_fft)


class Wavelet(Kernels):
    """Morlet scalogram: Gaussian envelopes of ``cycles`` / 2 pi periods' deviation, log-spaced in frequency."""

    def __init__(self, config: WaveletConfig) -> None:
        if config.f_max <= config.f_min and config.n_bins > 1:
            raise ConfigError(f"f_max: got {config.f_max:g}, allowed: above f_min = {config.f_min:g} Hz.")
        frequencies = np.geomspace(config.f_min, config.f_max, config.n_bins)
        check_highest("f_max", config.f_max, float(frequencies[-1]), config.sample_rate)
        spreads = config.cycles / (2 * np.pi * frequencies) * config.sample_rate  # samples
        n_fft = 1 << int(np.ceil(np.log2(2 * MORLET_SPREAD * spreads[0] + 1)))
        kernels = np.stack([self.kernel(config, frequency, spread, n_fft) for frequency, spread in zip(frequencies, spreads)])
        spec = kernel_spec(config, "scalogram", config.n_bins, n_fft, "rectangular", config.f_max, (("cycles", config.cycles),))
        super().__init__(spec, kernels)
        self.frequencies = frequencies

    @staticmethod
    def kernel(config: WaveletConfig, frequency: float, spread: float, n_fft: int) -> np.ndarray:
        """A Gaussian times an exponential without mean; a sine of amplitude 1 at ``frequency`` gives 1."""
        half = int(MORLET_SPREAD * spread)
        time = np.arange(-half, half + 1)
        envelope = np.exp(-0.5 * (time / spread) ** 2)
        carrier = np.exp(2j * np.pi * frequency / config.sample_rate * time)
        kernel = envelope * carrier
        kernel -= envelope * (kernel.sum() / envelope.sum())  # admissible: a constant gives 0
        return placed(kernel * (2.0 / abs((kernel * carrier.conj()).sum())), half, n_fft)


def placed(kernel: np.ndarray, origin: int, n_fft: int) -> np.ndarray:
    """The kernel in ``n_fft`` samples, its sample ``origin`` at the middle."""
    frame = np.zeros(n_fft, dtype=np.complex128)
    start = n_fft // 2 - origin
    frame[start:start + len(kernel)] = kernel
    return frame


def spectral_matrix(kernels: np.ndarray) -> np.ndarray:
    """The real matrix [n_fft + 2, 2 bins] that maps a half spectrum (real, imaginary, ...) to products (real, imaginary, ...).

    The product of a real signal x with a kernel k is sum x conj(k) = sum_f X(f) conj(K(f)) / n over all
    frequencies; X at negative ones is the conjugate, so the sum is linear in Re X and Im X of the others.
    """
    bins, n_fft = kernels.shape
    spectra = np.fft.fft(kernels).conj() / n_fft
    half = n_fft // 2 + 1
    positive = spectra[:, :half]
    negative = np.zeros_like(positive)
    negative[:, 1:n_fft - half + 1] = spectra[:, :half - 1:-1]
    matrix = np.zeros((half, 2, bins, 2))
    for part, factor in ((0, positive + negative), (1, 1j * (positive - negative))):
        factor = np.where(np.abs(factor) < NEGLIGIBLE * np.abs(spectra).max(axis=1, keepdims=True), 0, factor)
        matrix[:, part, :, 0], matrix[:, part, :, 1] = factor.real.T, factor.imag.T
    return matrix.reshape(2 * half, 2 * bins)


def kernel_spec(config: Any, values: str, bins: int, n_fft: int, window: str, f_max: float,
                details: tuple[tuple[str, Any], ...]) -> FrameSpec:
    return FrameSpec(values, bins, config.sample_rate, n_fft, n_fft, config.hop_length, window, config.padding,
                     f_min=config.f_min, f_max=f_max, power=1.0, details=details)


def check_highest(name: str, value: float, highest: float, sample_rate: int) -> None:
    if highest > sample_rate / 2:
        raise ConfigError(f"{name}: got {value:g}, which reaches {highest:.0f} Hz; allowed: at most half the sample rate, "
                          f"{sample_rate / 2:g} Hz.")
