"""Front ends that leave Python: the same numbers from real-valued products alone, for TorchScript and ONNX.

exportable   a module ``features = module(waveform)`` of one front end, [B, T] -> [B, F, bins], all clips whole
to_onnx      that module as an ONNX file with free batch and time
to_script    that module as a TorchScript file

A spectrum is the product of each frame with the windowed cosines and sines of the discrete Fourier transform, taken as a
strided convolution; no complex number, no FFT and no choice that depends on the samples is left. What else is linear in a
frame's samples (Kaldi's mean and pre-emphasis, the kernels of constant-Q and wavelets) is part of the convolution's
kernels. A clip gives at least one frame: it is `FrameSpec.shortest` samples long, or longer.

RealFrontend   short-time Fourier spectra, and the bands, logarithms and cepstra made of them
RealChroma     the same with each frame divided by its norm
RealPCEN       the same divided by its smoothed past
RealKaldi      Kaldi's frames, each by itself
RealKernels    magnitudes of products with complex kernels
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.frontends import kaldi, kernels, pcen, stft
from toolkit.audio.frontends.framing import MODES, source_positions
from toolkit.errors import MissingExtra, UsageError

OPSET = 18
FORGOTTEN = 1e-10  # share of a smoother's weight that lies before the frames it looks back on


def extended(clips: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Clips [B, T] of one length with ``left`` and ``right`` samples beyond their ends, as `extend_batch` has them."""
    if left == 0 and right == 0:
        return clips
    if mode == "constant":
        return F.pad(clips, (left, right))
    length = torch.full([1], clips.shape[1], dtype=torch.int64, device=clips.device)
    position = torch.arange(left + clips.shape[1] + right, device=clips.device) - left
    return clips[:, source_positions(position, length, mode)]


class RealFrontend(nn.Module):
    """``features [B, F, bins]`` of clips ``[B, T]`` by products of real numbers; every attribute is a constant."""

    def __init__(self, frontend: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        spec, config = frontend.spec, frontend.config
        self.n_fft: int = spec.n_fft
        self.bins: int = spec.n_fft // 2 + 1
        self.hop: int = spec.hop_length
        self.left: int = spec.left
        self.drop_last: bool = spec.drop_last
        self.mode: str = MODES[spec.padding]
        self.pre_emphasis: float = config.pre_emphasis
        self.power: float = spec.power
        self.added: float = float(getattr(frontend, "magnitude_floor", 0.0))
        self.register_buffer("fourier", torch.tensor(fourier_kernels(frontend), dtype=dtype))
        bank = getattr(frontend, "bank", None)
        self.has_bank: bool = bank is not None
        self.register_buffer("bank", torch.tensor(np.zeros((1, 1)) if bank is None else bank, dtype=dtype))
        scale = getattr(frontend, "scale", None)
        self.has_log: bool = scale is not None
        self.floor: float = scale.floor if scale is not None else 0.0
        self.floor_adds: bool = bool(scale is not None and scale.adds)
        self.log_factor: float = log_factor(scale)
        self.cut: float = float(getattr(frontend, "cut", None) or 0.0)
        shift, factor = getattr(frontend, "affine", (0.0, 1.0))
        self.shift: float = float(shift)
        self.factor: float = float(factor)
        self.normalizes: bool = bool(getattr(frontend, "normalize", False))
        cepstra = getattr(frontend, "cepstra", None)
        self.has_cepstra: bool = cepstra is not None
        matrix = np.zeros((1, 1)) if cepstra is None else cepstra.array("matrix")
        self.register_buffer("cepstra", torch.tensor(matrix, dtype=dtype))

    def forward(self, waveform: Tensor) -> Tensor:
        """Features [B, F, bins] of clips [B, T], all of T samples."""
        samples = waveform
        if self.pre_emphasis != 0.0:
            samples = torch.cat((samples[:, :1], samples[:, 1:] - self.pre_emphasis * samples[:, :-1]), dim=1)
        samples = extended(samples, self.left, self.left, self.mode)
        parts = F.conv1d(samples[:, None], self.fourier, stride=self.hop).transpose(1, 2)  # type: ignore[arg-type]
        if self.drop_last:
            parts = parts[:, :-1]
        values = parts[..., :self.bins].square() + parts[..., self.bins:].square() + self.added
        if self.power != 2.0:
            values = values.sqrt() if self.power == 1.0 else values ** (self.power / 2)
        return self.finish(values @ self.bank if self.has_bank else values)  # type: ignore[operator]

    def finish(self, values: Tensor) -> Tensor:
        """What follows the bands [B, F, bands]: logarithm, cut, shift, normalisation, cepstra."""
        if self.has_log:
            values = values + self.floor if self.floor_adds else values.clamp(min=self.floor)
            values = values.log() * self.log_factor
        if self.cut > 0.0:
            values = torch.maximum(values, values.amax(dim=(1, 2), keepdim=True) - self.cut)
        values = (values + self.shift) * self.factor
        if self.normalizes:
            centred = values - values.mean(dim=1, keepdim=True)
            deviation = (centred.square().sum(dim=1, keepdim=True) / max(1, values.shape[1] - 1)).clamp(min=1e-20).sqrt()
            values = centred / (deviation + 1e-5)
        return values @ self.cepstra if self.has_cepstra else values  # type: ignore[operator]


class RealChroma(RealFrontend):
    """Pitch classes, each frame divided by its norm; silent frames stay 0."""

    def __init__(self, frontend: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(frontend, dtype)
        self.norm: float = frontend.norm
        self.tiny: float = torch.finfo(dtype).tiny

    def finish(self, values: Tensor) -> Tensor:
        """Classes [B, F, classes] over their norm."""
        if self.norm == 0.0:
            return values
        if self.norm == math.inf:
            size = values.amax(dim=2, keepdim=True)
        else:
            size = values.sum(dim=2, keepdim=True) if self.norm == 1.0 else values.square().sum(dim=2, keepdim=True).sqrt()
        return values / torch.where(size > self.tiny, size, torch.ones_like(size))


class RealPCEN(RealFrontend):
    """Mel bands divided by their own smoothed past: the recursion as a weighted sum of as many frames as still count."""

    def __init__(self, frontend: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(frontend, dtype)
        settings = frontend.settings
        self.amplitude: float = settings.amplitude
        self.gain: float = settings.gain
        self.bias: float = settings.bias
        self.root: float = settings.root
        self.epsilon: float = settings.epsilon
        self.tiny: float = torch.finfo(dtype).tiny
        self.decay: float = math.log1p(-frontend.smoothing)
        past = np.arange(math.ceil(math.log(FORGOTTEN) / self.decay))
        weights = frontend.smoothing * np.exp(self.decay * past[::-1])
        self.back: int = len(past) - 1
        self.register_buffer("weights", torch.tensor(weights[None, None], dtype=dtype))

    def finish(self, values: Tensor) -> Tensor:
        """Bands [B, F, bands] over what their smoothed past [B, F, bands] makes of them."""
        values = values * self.amplitude
        bands = F.pad(values.transpose(1, 2).flatten(0, 1)[:, None], (self.back, 0))  # [B bands, 1, back + F]
        smooth = F.conv1d(bands, self.weights).view(values.shape[0], values.shape[2], -1)  # type: ignore[arg-type]
        frame = torch.arange(values.shape[1], device=values.device, dtype=values.dtype)
        smooth = smooth.transpose(1, 2) + (self.decay * (frame + 1.0)).exp()[:, None]  # as if energies of 1 had gone before
        scaled = values * torch.exp(-self.gain * (math.log(self.epsilon) + torch.log1p(smooth / self.epsilon)))
        if self.bias == 0.0:
            return scaled.clamp(min=self.tiny) ** self.root
        return self.bias ** self.root * torch.expm1(self.root * torch.log1p(scaled / self.bias))


class RealKaldi(nn.Module):
    """``features [B, F, bins]`` of clips ``[B, T]`` as Kaldi makes them, without dither."""

    def __init__(self, frontend: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        spec, config = frontend.spec, frontend.config
        if config.dither:
            raise UsageError(f"dither: got {config.dither:g}, allowed in a file: 0 (noise would differ from call to call)")
        self.length: int = spec.win_length
        self.hop: int = spec.hop_length
        self.bins: int = spec.n_fft // 2 + 1
        self.left: int = spec.left
        # As many mirrored samples as make the convolution's frames those of the spec, whatever the clip's length.
        self.right: int = spec.win_length - spec.hop_length - spec.left + spec.hop_length // 2
        self.mirrors: bool = spec.padding == "mirror"
        self.power: float = frontend.power
        self.has_log: bool = spec.log != "none"
        self.uses_energy: bool = config.use_energy
        self.floor: float = kaldi.EPSILON
        self.energy_floor: float = max(kaldi.EPSILON, config.energy_floor)
        frames = kaldi_steps(frontend)  # [win_length, win_length]
        self.register_buffer("fourier", torch.tensor((kaldi_fourier(frontend) @ frames)[:, None], dtype=dtype))
        shaped = centring(frontend) * kaldi.FULL_SCALE if config.raw_energy else frames
        self.register_buffer("shaped", torch.tensor(shaped.T if config.use_energy else np.zeros((1, 1)), dtype=dtype))
        self.register_buffer("bank", torch.tensor(frontend.bank, dtype=dtype))
        cepstra = getattr(frontend, "cepstra", None)
        self.has_cepstra: bool = cepstra is not None
        matrix = np.zeros((1, 1)) if cepstra is None else cepstra.array("matrix")
        self.register_buffer("cepstra", torch.tensor(matrix, dtype=dtype))

    def forward(self, waveform: Tensor) -> Tensor:
        """Features [B, F, bins] of clips [B, T], all of T samples."""
        samples = extended(waveform, self.left, self.right, "mirror") if self.mirrors else waveform
        parts = F.conv1d(samples[:, None], self.fourier, stride=self.hop).transpose(1, 2)  # type: ignore[arg-type]
        values = parts[..., :self.bins].square() + parts[..., self.bins:].square()
        if self.power != 2.0:
            values = values.sqrt() if self.power == 1.0 else values ** (self.power / 2)
        values = values @ self.bank  # type: ignore[operator]
        if self.has_log:
            values = values.clamp(min=self.floor).log()
        if self.has_cepstra:
            values = values @ self.cepstra  # type: ignore[operator]
        if self.uses_energy:
            shaped = samples.unfold(1, self.length, self.hop) @ self.shaped  # type: ignore[operator]
            energy = shaped.square().sum(dim=2, keepdim=True).clamp(min=self.energy_floor).log()
            values = torch.cat((energy, values[..., 1:] if self.has_cepstra else values), dim=2)
        return values


class RealKernels(nn.Module):
    """``magnitudes [B, F, bins]`` of clips ``[B, T]`` under complex kernels, real and imaginary parts apart."""

    def __init__(self, frontend: Any, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        spec = frontend.spec
        self.hop: int = spec.hop_length
        self.left: int = spec.left
        self.drop_last: bool = spec.drop_last
        self.mode: str = MODES[spec.padding]
        products = time_kernels(frontend.product.matrix, spec.n_fft)  # [2 bins, n_fft]
        self.register_buffer("real", torch.tensor(products[::2][:, None], dtype=dtype))
        self.register_buffer("imaginary", torch.tensor(products[1::2][:, None], dtype=dtype))

    def forward(self, waveform: Tensor) -> Tensor:
        """Magnitudes [B, F, bins] of clips [B, T], all of T samples."""
        samples = extended(waveform, self.left, self.left, self.mode)[:, None]
        real = F.conv1d(samples, self.real, stride=self.hop)  # type: ignore[arg-type]
        imaginary = F.conv1d(samples, self.imaginary, stride=self.hop)  # type: ignore[arg-type]
        values = (real.square() + imaginary.square()).sqrt().transpose(1, 2)
        return values[:, :-1] if self.drop_last else values


FORMS: dict[type, type[nn.Module]] = {
    **dict.fromkeys((stft.Spectrogram, stft.Mel, stft.LogMel, stft.MFCC, stft.LFCC), RealFrontend),
    stft.Chroma: RealChroma, pcen.PCEN: RealPCEN, kaldi.KaldiFbank: RealKaldi, kaldi.KaldiMFCC: RealKaldi,
    kernels.CQT: RealKernels, kernels.Wavelet: RealKernels}


def exportable(frontend: Any, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The front end by real products. Raises UsageError for a kind that has no such form, and for dither."""
    form = FORMS.get(type(frontend))
    if form is None:
        known = ("spectrogram, mel, log-mel, mfcc, lfcc and the presets made of them, chroma, pcen, cqt, wavelet, kaldi-fbank, "
                 "kaldi-mfcc")
        raise UsageError(f"{type(frontend).__name__} has no form of real products alone; allowed: {known}")
    return form(frontend, dtype).eval()


def to_script(frontend: Any, path: str | os.PathLike[str]) -> None:
    """Write the front end as a TorchScript file. Raises UsageError as `exportable`."""
    torch.jit.script(exportable(frontend)).save(os.fspath(path))


def to_onnx(frontend: Any, path: str | os.PathLike[str]) -> None:
    """Write the front end as an ONNX file: ``waveform`` [batch, time] to ``features`` [batch, frames, bins].

    Raises UsageError as `exportable`, and MissingExtra without onnx and onnxscript.
    """
    try:
        import onnx  # noqa: F401 (torch imports both when it exports)
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtra(f"ONNX files need onnx and onnxscript ({error}). Install them: pip install onnx onnxscript") from error
    module = exportable(frontend)
    example = torch.zeros(2, max(4 * frontend.spec.n_fft, frontend.spec.sample_rate // 4))
    shapes = {"waveform": {0: torch.export.Dim("batch"), 1: torch.export.Dim("time", min=2)}}
    with without_remarks():
        torch.onnx.export(module, (example,), os.fspath(Path(path)), dynamo=True, dynamic_shapes=shapes, opset_version=OPSET,
                          input_names=["waveform"], output_names=["features"], external_data=False, verbose=False)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Leaves out what torch's exporter says of torch itself: a deprecated class of its own, and torchvision that is not there."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*treespec", FutureWarning)
            yield
    finally:
        log.setLevel(level)


def fourier_kernels(frontend: Any) -> np.ndarray:
    """Windowed cosines, then minus sines: [2 (n_fft // 2 + 1), 1, n_fft]."""
    length = frontend.spec.n_fft
    turns = np.arange(length // 2 + 1)[:, None] * np.arange(length) % length  # whole turns left out: exact for long frames
    angles = 2 * np.pi / length * turns
    kernels = np.concatenate([np.cos(angles), -np.sin(angles)]) * frontend.window.array("window")
    return kernels[:, None]


def centring(frontend: Any) -> np.ndarray:
    """What subtracts a Kaldi frame's mean, where it is subtracted: [win_length, win_length]."""
    length = frontend.spec.win_length
    return np.eye(length) - (1 / length if frontend.config.remove_dc else 0.0)


def kaldi_steps(frontend: Any) -> np.ndarray:
    """Mean, pre-emphasis, window and the scale of 16 bits as one product: [win_length, win_length] on a frame's samples."""
    length = frontend.spec.win_length
    emphasis = np.eye(length) - frontend.config.pre_emphasis * np.eye(length, k=-1)
    emphasis[0, 0] -= frontend.config.pre_emphasis  # the first sample stands before itself
    return frontend.window.array("window")[:, None] * (emphasis @ centring(frontend))


def kaldi_fourier(frontend: Any) -> np.ndarray:
    """Cosines, then minus sines, of a frame that zeros follow up to n_fft: [2 (n_fft // 2 + 1), win_length]."""
    length = frontend.spec.n_fft
    angles = 2 * np.pi / length * (np.arange(length // 2 + 1)[:, None] * np.arange(frontend.spec.win_length) % length)
    return np.concatenate([np.cos(angles), -np.sin(angles)])


def time_kernels(matrix: np.ndarray, n_fft: int) -> np.ndarray:
    """The products [2 bins, n_fft] with samples that a matrix [n_fft + 2, 2 bins] on half spectra (re, im, ...) stands for.

    X(f) = sum_t x(t) exp(-2 pi i f t / n) makes sum_f Re X(f) r(f) + Im X(f) s(f) the sum over t of x(t) times the real
    part of sum_f (r(f) + i s(f)) exp(2 pi i f t / n).
    """
    spectra = matrix[::2] + 1j * matrix[1::2]  # [n_fft // 2 + 1, 2 bins]
    return np.ascontiguousarray(np.fft.ifft(spectra, n_fft, axis=0).real.T * n_fft)


def log_factor(scale: Any) -> float:
    """What the natural logarithm is multiplied by."""
    if scale is None:
        return 1.0
    return (1.0 if scale.log == "natural" else 1 / math.log(10.0)) * scale.multiplier
