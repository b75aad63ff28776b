"""The fixed numbers of front ends: windows, filter banks, cosine transforms. All float64 NumPy.

Sources: HTK and Slaney mel scales as in the HTK Book and the Auditory Toolbox; Kaldi's banks as in its
``mel-computations``; the chroma map after Ellis, "Chroma feature analysis and synthesis" (2007).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from toolkit.config import ConfigError

SLANEY_BREAK_HZ = 1000.0
SLANEY_HZ_PER_MEL = 200.0 / 3.0
SLANEY_STEP = np.log(6.4) / 27.0  # natural logarithm of the ratio of two neighbours above the break


# -- windows


def window(name: str, length: int) -> np.ndarray:
    """A window of ``length`` samples: periodic, or symmetric where the name says so (povey always is)."""
    if length == 1 or name == "rectangular":
        return np.ones(length)
    periodic = name in ("hann", "hamming", "blackman")
    phase = 2 * np.pi * np.arange(length) / (length if periodic else length - 1)
    base = name.removesuffix("-symmetric")
    if base == "hamming":
        return 0.54 - 0.46 * np.cos(phase)
    if base == "blackman":
        return 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase)
    hann = 0.5 - 0.5 * np.cos(phase)
    return np.maximum(hann, 0.0) ** 0.85 if base == "povey" else hann


def centred_window(name: str, win_length: int, n_fft: int) -> np.ndarray:
    """A window of ``win_length`` in the middle of ``n_fft`` samples, zeros around it."""
    left = (n_fft - win_length) // 2
    return np.pad(window(name, win_length), (left, n_fft - win_length - left))


# -- mel


def hz_to_mel(frequency: np.ndarray | float, scale: str) -> np.ndarray:
    """Mel of Hz on the ``htk``, ``slaney`` or ``kaldi`` scale."""
    hz = np.asarray(frequency, dtype=np.float64)
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    if scale == "kaldi":
        return 1127.0 * np.log(1.0 + hz / 700.0)
    corner = SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL
    return np.where(hz < SLANEY_BREAK_HZ, hz / SLANEY_HZ_PER_MEL,
                    corner + np.log(np.maximum(hz, SLANEY_BREAK_HZ) / SLANEY_BREAK_HZ) / SLANEY_STEP)


def mel_to_hz(mel: np.ndarray | float, scale: str) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mels = np.asarray(mel, dtype=np.float64)
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    if scale == "kaldi":
        return 700.0 * (np.exp(mels / 1127.0) - 1.0)
    corner = SLANEY_BREAK_HZ / SLANEY_HZ_PER_MEL
    return np.where(mels < corner, mels * SLANEY_HZ_PER_MEL,
                    SLANEY_BREAK_HZ * np.exp(SLANEY_STEP * (np.maximum(mels, corner) - corner)))


def triangles(axis: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Triangular filters [axis, bands] with corners at consecutive triples of ``points`` [bands + 2]."""
    rising = (axis[:, None] - points[:-2]) / np.diff(points)[:-1]
    falling = (points[2:] - axis[:, None]) / np.diff(points)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


def frequency_axis(sample_rate: int, n_fft: int, exact: bool = True) -> np.ndarray:
    """Hz of each bin [n_fft // 2 + 1]; not exact, it ends at ``sample_rate // 2`` as torchaudio's does."""
    bins = n_fft // 2 + 1
    return np.arange(bins) * (sample_rate / n_fft) if exact else np.linspace(0, sample_rate // 2, bins)


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float, scale: str, norm: str,
                exact_axis: bool = True) -> np.ndarray:
    """Mel filter bank [n_fft // 2 + 1, n_mels]; triangles are linear in Hz. ``norm`` is slaney or none."""
    points = mel_to_hz(np.linspace(hz_to_mel(f_min, scale), hz_to_mel(f_max, scale), n_mels + 2), scale)
    bank = triangles(frequency_axis(sample_rate, n_fft, exact_axis), points)
    return bank * (2.0 / (points[2:] - points[:-2])) if norm == "slaney" else bank


def kaldi_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Kaldi's bank [n_fft // 2 + 1, n_mels]: triangles linear in mel; the highest bin counts for nothing."""
    points = np.linspace(hz_to_mel(f_min, "kaldi"), hz_to_mel(f_max, "kaldi"), n_mels + 2)
    bank = triangles(hz_to_mel(frequency_axis(sample_rate, n_fft), "kaldi"), points)
    bank[n_fft // 2:] = 0.0
    return bank


def linear_filters(sample_rate: int, n_fft: int, n_filters: int, f_min: float, f_max: float) -> np.ndarray:
    """Triangles [n_fft // 2 + 1, n_filters] evenly spaced in Hz."""
    return triangles(frequency_axis(sample_rate, n_fft), np.linspace(f_min, f_max, n_filters + 2))


def check_filters(build: Callable[[int], np.ndarray], bands: int, policy: str, name: str = "n_mels") -> np.ndarray:
    """The bank ``build(bands)``; refuses or warns when a filter is empty, with the largest count that works.

    Raises ConfigError under the policy ``refuse``.
    """
    bank = build(bands)
    empty = np.flatnonzero(~bank.any(axis=0))
    if not len(empty):
        return bank
    works = largest_that_works(build, bands)
    said = (f"{name}: {bands} bands leave {len(empty)} empty (the first is band {empty[0]}): they are narrower than the "
            f"spectrum's resolution. The largest {name} that works here is {works}; a larger n_fft allows more.")
    if policy == "refuse":
        raise ConfigError(said)
    warnings.warn(said, stacklevel=3)
    return bank


def largest_that_works(build: Callable[[int], np.ndarray], bands: int) -> int:
    """The largest count below ``bands`` whose bank has no empty filter; 0 when none has.

    Found by halving, then by trying the counts just above, as a few of those may work by the way bins fall.
    """
    works, fails = 0, bands
    while fails - works > 1:
        middle = (works + fails) // 2
        works, fails = (middle, fails) if build(middle).any(axis=0).all() else (works, middle)
    nearby = range(min(bands - 1, works + max(8, works // 4)), works, -1)
    return next((count for count in nearby if build(count).any(axis=0).all()), works)


# -- cepstra


def dct_matrix(inputs: int, outputs: int) -> np.ndarray:
    """Orthonormal DCT-II [inputs, outputs]."""
    phase = np.pi / inputs * (np.arange(inputs)[:, None] + 0.5) * np.arange(outputs)
    matrix = np.sqrt(2.0 / inputs) * np.cos(phase)
    matrix[:, 0] = np.sqrt(1.0 / inputs)
    return matrix


def lifter_weights(count: int, lifter: float, first: int) -> np.ndarray:
    """Sine lifter 1 + L/2 sin(pi n / L), n from ``first``: 0 in HTK and Kaldi, 1 in librosa."""
    if lifter <= 0:
        return np.ones(count)
    return 1.0 + lifter / 2.0 * np.sin(np.pi * (np.arange(count) + first) / lifter)


# -- chroma


def chroma_filters(sample_rate: int, n_fft: int, n_chroma: int, tuning: float) -> np.ndarray:
    """Map [n_fft // 2 + 1, n_chroma] from spectrum to pitch classes, the first C.

    Each frequency falls on the circle of classes as a Gaussian as wide as the spectrum's resolution there,
    has unit length over classes, and counts most around octave 5 (a Gaussian of two octaves).
    """
    reference = 440.0 * 2.0 ** (tuning / n_chroma) / 16.0
    frequencies = np.arange(1, n_fft) * (sample_rate / n_fft)
    position = n_chroma * np.log2(frequencies / reference)  # in classes above A0
    # A frequency of 0 has no octave: it is put an octave and a half below the first bin.
    position = np.concatenate([[position[0] - 1.5 * n_chroma], position])
    width = np.concatenate([np.maximum(np.diff(position), 1.0), [1.0]])
    half = round(n_chroma / 2)
    distance = np.remainder(position[:, None] - np.arange(n_chroma) + half + 10 * n_chroma, n_chroma) - half
    weights = np.exp(-0.5 * (2.0 * distance / width[:, None]) ** 2)
    weights /= np.maximum(np.sqrt((weights ** 2).sum(axis=1, keepdims=True)), np.finfo(np.float64).tiny)
    weights *= np.exp(-0.5 * ((position / n_chroma - 5.0) / 2.0) ** 2)[:, None]
    weights = np.roll(weights, -3 * (n_chroma // 12), axis=1)  # the circle begins at A; ours begins at C
    return weights[: n_fft // 2 + 1]
