"""Functions that describe or rebuild whole clips: what needs the clip's past and future at once.

pitch          fundamental frequency of each frame by pYIN, with the probability of a voice
tempo          beats a minute
separate       the harmonic and the percussive part of a clip
deltas         slopes of features over time
invert_mel     a magnitude spectrogram whose mel bands are the given features
griffin_lim    a waveform whose magnitude spectrogram is the given one

librosa does the first four; the last two follow a `FrameSpec`.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from toolkit.audio.frontends import filters
from toolkit.audio.vocoders.spectra import Spectra, explained_by, linear, with_phases
from toolkit.errors import MissingExtra, UsageError
from toolkit.files import cache_directory

if TYPE_CHECKING:
    from toolkit.audio.spec import FrameSpec

UPDATES = 200  # of the spectrogram that explains the mel bands
MOMENTUM = 0.99  # Perraudin, Balazs and Sondergaard (2013)


def librosa() -> Any:
    try:
        import librosa as imported
    except (ImportError, OSError) as error:
        raise MissingExtra(f'this analysis needs librosa ({error}). Install it: pip install "librosa<1.0"') from error
    return imported


@functools.cache
def pyin() -> Any:
    """librosa's ``pyin`` with everything that numba compiles for it.

    Processes take turns: those that compile the same functions at once can leave a cache in which they crash (numba issue
    10128); from a complete one they only read.
    """
    kept = os.environ.get("NUMBA_CACHE_DIR")  # else beside librosa, which all of this user's processes share
    lock = (Path(kept) if kept else cache_directory()) / "compiling.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).standard_normal(4096)
    with FileLock(lock):
        found = librosa().pyin
        for dtype in (np.float32, np.float64):
            found(noise.astype(dtype), fmin=65.0, fmax=800.0, sr=16000)
    return found


def clip_of(waveform: Tensor) -> Any:
    """One clip [T] as an array. Raises UsageError for other shapes."""
    if waveform.dim() != 1 or not waveform.is_floating_point() or not len(waveform):
        raise UsageError(f"one clip [T] of float samples is needed; got {waveform.dtype} of shape {tuple(waveform.shape)}")
    return waveform.detach().cpu().float().numpy()


def pitch(waveform: Tensor, sample_rate: int, f_min: float = 65.0, f_max: float = 800.0, frame_length: int = 2048,
          hop_length: int = 512) -> tuple[Tensor, Tensor]:
    """Fundamental frequency (Hz, 0 where no voice is) and probability of a voice [F] of a clip [T] (Mauch and Dixon, 2014)."""
    frequency, voiced, probability = pyin()(clip_of(waveform), fmin=f_min, fmax=f_max, sr=sample_rate,
                                             frame_length=frame_length, hop_length=hop_length, fill_na=0.0)
    return torch.from_numpy(frequency * voiced).float(), torch.from_numpy(probability).float()


def tempo(waveform: Tensor, sample_rate: int) -> float:
    """Beats a minute of a clip [T], from the autocorrelation of its onsets."""
    return float(librosa().feature.tempo(y=clip_of(waveform), sr=sample_rate)[0])


def separate(waveform: Tensor, margin: float = 1.0) -> tuple[Tensor, Tensor]:
    """The harmonic and the percussive part [T] of a clip [T] (Fitzgerald, 2010)."""
    parts = librosa().effects.hpss(clip_of(waveform), margin=margin)
    return torch.from_numpy(parts[0]), torch.from_numpy(parts[1])


def deltas(features: Tensor, order: int = 1, width: int = 9) -> Tensor:
    """Slopes [F, bins] of features [F, bins] over ``width`` frames (odd, at most F), or slopes of slopes."""
    if features.dim() != 2 or not 3 <= width <= len(features) or width % 2 == 0:
        raise UsageError(f"deltas need features [F, bins] and an odd width from 3 to F; got shape {tuple(features.shape)} "
                         f"and width {width}")
    found = librosa().feature.delta(features.detach().cpu().numpy(), width=width, order=order, axis=0)
    return torch.from_numpy(found).to(features.dtype)


def invert_mel(mel: Tensor, spec: FrameSpec) -> Tensor:
    """Magnitudes [F, n_fft // 2 + 1] whose mel bands are near ``mel`` [F, mels] made under ``spec``.

    Raises UsageError for a spec whose values are not mel bands, or are normalised over the clip.
    """
    details = dict(spec.details)
    if spec.values not in ("mel", "log-mel") or spec.n_mels != spec.bins or details.get("normalize", "none") != "none" or (
            spec.mel_scale not in ("htk", "slaney")):
        raise UsageError(f"only mel bands can be inverted; this front end gives {spec.values} ({spec.mel_scale or 'no'} scale)")
    bank = torch.from_numpy(filters.mel_filters(spec.sample_rate, spec.n_fft, spec.n_mels, spec.f_min, spec.f_max,
                                                spec.mel_scale, spec.mel_norm))  # [n_fft // 2 + 1, mels]
    start = torch.linalg.pinv(bank).to(mel)
    return explained_by(linear(mel, spec).clamp(min=0), bank.to(mel), start, UPDATES) ** (1 / spec.power)


def griffin_lim(magnitude: Tensor, spec: FrameSpec, iterations: int = 32, seed: int = 0) -> Tensor:
    """A waveform [T] whose spectra under ``spec`` have near the magnitudes [F, n_fft // 2 + 1] (Griffin and Lim, 1984).

    The phases begin at random from ``seed``. Raises UsageError for another shape, ConfigError for a spec that is not padded.
    """
    if magnitude.dim() != 2 or magnitude.shape[1] != spec.n_fft // 2 + 1:
        raise UsageError(f"Griffin-Lim needs magnitudes [F, {spec.n_fft // 2 + 1}]; got shape {tuple(magnitude.shape)}")
    return with_phases(magnitude[None], Spectra(spec).to(magnitude.device), iterations, MOMENTUM, seed)[0]
