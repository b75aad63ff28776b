"""Front ends that leave Python: the same numbers from real-valued products alone, for TorchScript and ONNX.

exportable   a module ``features = module(waveform)`` of one front end, [B, T] -> [B, F, bins], all clips whole
to_onnx      that module as an ONNX file with free batch and time
to_script    that module as a TorchScript file

A spectrum is the product of each frame with the windowed cosines and sines of the discrete Fourier transform, taken as a
strided convolution; no complex number, no FFT and no choice that depends on the samples is left. Clips are at least as
long as the padding beyond their ends plus one sample, as where torch mirrors.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.audio.frontends import stft
from toolkit.audio.frontends.framing import MODES
from toolkit.errors import MissingExtra, UsageError

OPSET = 18
EXPORTABLE = (stft.Spectrogram, stft.Mel, stft.LogMel, stft.MFCC, stft.LFCC)


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
        self.reflects: bool = MODES[spec.padding] == "reflect"
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
        samples = samples[:, None]  # [B, 1, T]
        if self.left > 0:
            samples = F.pad(samples, (self.left, self.left), "reflect" if self.reflects else "constant")
        parts = F.conv1d(samples, self.fourier, stride=self.hop).transpose(1, 2)  # type: ignore[arg-type]
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
            deviation = (centred.square().sum(dim=1, keepdim=True) / (values.shape[1] - 1)).clamp(min=1e-20).sqrt()
            values = centred / (deviation + 1e-5)
        return values @ self.cepstra if self.has_cepstra else values  # type: ignore[operator]


def exportable(frontend: Any, dtype: torch.dtype = torch.float32) -> RealFrontend:
    """The front end by real products. Raises UsageError for a kind that has no such form."""
    if type(frontend) not in EXPORTABLE:
        known = "spectrogram, mel, log-mel, mfcc, lfcc and the presets made of them"
        raise UsageError(f"{type(frontend).__name__} has no form without complex numbers; allowed: {known}")
    return RealFrontend(frontend, dtype).eval()


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
    shapes = {"waveform": {0: torch.export.Dim("batch"), 1: torch.export.Dim("time", min=2 * frontend.spec.n_fft)}}
    torch.onnx.export(module, (example,), os.fspath(Path(path)), dynamo=True, dynamic_shapes=shapes, opset_version=OPSET,
                      input_names=["waveform"], output_names=["features"], external_data=False, verbose=False)


def fourier_kernels(frontend: Any) -> np.ndarray:
    """Windowed cosines, then minus sines: [2 (n_fft // 2 + 1), 1, n_fft]."""
    length = frontend.spec.n_fft
    turns = np.arange(length // 2 + 1)[:, None] * np.arange(length) % length  # whole turns left out: exact for long frames
    angles = 2 * np.pi / length * turns
    kernels = np.concatenate([np.cos(angles), -np.sin(angles)]) * frontend.window.array("window")
    return kernels[:, None]


def log_factor(scale: Any) -> float:
    """What the natural logarithm is multiplied by."""
    if scale is None:
        return 1.0
    return (1.0 if scale.log == "natural" else 1 / math.log(10.0)) * scale.multiplier
