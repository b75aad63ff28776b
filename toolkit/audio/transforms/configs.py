"""Every knob of the transforms on one page.

A setting that may be drawn for each clip is one number (always that) or two (drawn evenly between them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.config import setting

CODECS = ("mp3", "vorbis", "opus", "mu-law", "a-law", "gsm", "adpcm")
COLOURS = ("white", "pink", "brown", "blue", "violet")


def rate_setting() -> Any:
    return setting(16000, "rate of the waveforms", unit="Hz", minimum=1)


def drawn(default: float | tuple[float, float], help: str, **facts: Any) -> Any:
    """A setting of one number, or of two between which one is drawn for each clip."""
    return setting(default if isinstance(default, tuple) else (default,), help + "; two numbers: drawn between them", **facts)


@dataclass(frozen=True)
class RandomConfig:
    """What every random transform has."""

    probability: float = setting(1.0, "share of the clips that are changed", minimum=0, maximum=1)
    seed: int = setting(0, "of the transform's own generator, used when none is given with the call", minimum=0)


def fill_setting() -> Any:
    return setting("mean", "what stands in a mask: the clip's mean, its smallest value, or 0", choices=("mean", "min", "zero"))


# -- level


@dataclass(frozen=True)
class GainConfig(RandomConfig):
    """Louder or quieter."""

    gain: tuple[float, ...] = drawn((-6.0, 6.0), "change of level", unit="dB")


@dataclass(frozen=True)
class NormalizeConfig:
    """Each clip to one level."""

    level: float = setting(-3.0, "level afterwards: dB below full scale (peak, rms) or LUFS (loudness)", unit="dB", maximum=0)
    measure: str = setting("peak", "what is brought to the level; loudness is ITU-R BS.1770-4's",
                           choices=("peak", "rms", "loudness"))
    sample_rate: int = rate_setting()


@dataclass(frozen=True)
class ClippingConfig(RandomConfig):
    """Overdriven recording."""

    threshold: tuple[float, ...] = drawn((-12.0, -3.0), "level at which samples are cut, relative to the clip's peak", unit="dB",
                                         maximum=0)
    soft: bool = setting(False, "bend towards the threshold (tanh) instead of cutting at it")


# -- silence


@dataclass(frozen=True)
class TrimConfig:
    """Silence at both ends is left out."""

    top_db: float = setting(40.0, "quieter than this below the loudest frame is silence", unit="dB", above=0)
    frame_length: int = setting(512, "samples in a frame", minimum=1)
    hop_length: int = setting(128, "samples from one frame to the next", minimum=1)


@dataclass(frozen=True)
class VADConfig:
    """Voice activity by energy above the clip's own noise floor."""

    sample_rate: int = rate_setting()
    threshold: float = setting(6.0, "speech is this far above the noise floor", unit="dB", above=0)
    range: float = setting(45.0, "and at most this far below the loudest frame", unit="dB", above=0)
    f_min: float = setting(80.0, "energy is counted from here", unit="Hz", minimum=0)
    f_max: float = setting(4000.0, "to here", unit="Hz", above=0)
    hangover: float = setting(0.1, "kept before and after what is speech", unit="s", minimum=0)
    action: str = setting("remove", "remove leaves the rest out, mute makes it silent", choices=("remove", "mute"))


# -- spectrum


@dataclass(frozen=True)
class PreEmphasisConfig:
    """y[t] = x[t] - c x[t-1]."""

    coefficient: float = setting(0.97, "c; higher weakens low frequencies more", minimum=0, maximum=1)


@dataclass(frozen=True)
class CutoffConfig(RandomConfig):
    """A Butterworth filter with one edge."""

    cutoff: tuple[float, ...] = drawn(1000.0, "frequency at -3 dB", unit="Hz", above=0)
    order: int = setting(4, "slope: 6 dB an octave for each", minimum=1, maximum=16)
    sample_rate: int = rate_setting()


@dataclass(frozen=True)
class BandConfig(RandomConfig):
    """A Butterworth filter with two edges."""

    low: tuple[float, ...] = drawn(300.0, "lower edge", unit="Hz", above=0)
    high: tuple[float, ...] = drawn(3400.0, "upper edge", unit="Hz", above=0)
    order: int = setting(4, "slope: 6 dB an octave for each", minimum=1, maximum=16)
    sample_rate: int = rate_setting()


# -- other sounds


@dataclass(frozen=True)
class NoiseConfig(RandomConfig):
    """Noise at an exact ratio."""

    snr: tuple[float, ...] = drawn((5.0, 30.0), "power of the clip over that of the noise", unit="dB")
    colour: str = setting("white", "spectrum of generated noise", choices=COLOURS)
    path: str = setting("", "take the noise from this file, folder or manifest instead of generating it")
    sample_rate: int = rate_setting()


@dataclass(frozen=True)
class MixConfig(RandomConfig):
    """Another clip of the batch on top."""

    snr: tuple[float, ...] = drawn((0.0, 10.0), "power of the clip over that of the other", unit="dB")


@dataclass(frozen=True)
class ReverbConfig(RandomConfig):
    """A room."""

    rt60: tuple[float, ...] = drawn((0.2, 0.8), "time in which a generated room decays by 60 dB", unit="s", above=0)
    drr: tuple[float, ...] = drawn((0.0, 12.0), "energy of the direct sound over that of the room", unit="dB")
    path: str = setting("", "take impulse responses from this file, folder or manifest instead of generating them")
    tail: bool = setting(False, "let the clip grow by the room's decay")
    sample_rate: int = rate_setting()


# -- time


@dataclass(frozen=True)
class SpeedConfig(RandomConfig):
    """Faster and higher, or slower and lower, by resampling."""

    factors: tuple[float, ...] = setting((0.9, 1.0, 1.1), "one of these is drawn for each clip", above=0)


@dataclass(frozen=True)
class StretchConfig(RandomConfig):
    """Faster or slower at the same pitch (phase vocoder)."""

    factor: tuple[float, ...] = drawn((0.8, 1.25), "speed; above 1 is shorter", minimum=0.1, maximum=10)
    n_fft: int = setting(1024, "samples that one spectrum is taken of", minimum=16)


@dataclass(frozen=True)
class PitchConfig(RandomConfig):
    """Higher or lower at the same length."""

    semitones: tuple[float, ...] = drawn((-2.0, 2.0), "change of pitch", unit="semitones", minimum=-24, maximum=24)
    n_fft: int = setting(1024, "samples that one spectrum is taken of", minimum=16)


@dataclass(frozen=True)
class CropConfig(RandomConfig):
    """One length for all."""

    seconds: float = setting(1.0, "length afterwards; shorter clips are followed by silence", unit="s", above=0)
    place: str = setting("random", "where the stretch is taken", choices=("random", "start", "middle"))
    sample_rate: int = rate_setting()


@dataclass(frozen=True)
class ShiftConfig(RandomConfig):
    """Earlier or later; silence moves in."""

    seconds: tuple[float, ...] = drawn((-0.1, 0.1), "later (above 0) or earlier", unit="s")
    sample_rate: int = rate_setting()


@dataclass(frozen=True)
class CodecConfig(RandomConfig):
    """Encoded and decoded again."""

    codecs: tuple[str, ...] = setting(("mp3", "vorbis", "opus"), "one of these is drawn for each clip", choices=CODECS)
    compression: tuple[float, ...] = drawn((0.3, 0.9), "of mp3, vorbis, opus; higher is smaller and worse", minimum=0, maximum=1)
    sample_rate: int = rate_setting()


# -- denoising


@dataclass(frozen=True)
class DenoiseConfig:
    """What both denoisers share."""

    sample_rate: int = rate_setting()
    adaptive: bool = setting(False, "estimate the noise around each moment instead of once for the clip")
    window: float = setting(2.5, "stretch of sound that the adaptive estimate looks at", unit="s", above=0)
    reduction: float = setting(25.0, "most that anything is weakened", unit="dB", above=0)


@dataclass(frozen=True)
class SpectralGateConfig(DenoiseConfig):
    """Spectral gating."""

    threshold: float = setting(4.5, "the gate opens this far above the noise", unit="dB", above=0)
    slope: float = setting(2.5, "width of the gate's transition", unit="dB", above=0)


@dataclass(frozen=True)
class WienerConfig(DenoiseConfig):
    """Wiener filter."""

    smoothing: float = setting(0.96, "of the decision-directed estimate; higher gives less musical noise", minimum=0, below=1)


# -- features


@dataclass(frozen=True)
class TimeMaskConfig(RandomConfig):
    """Stretches of frames replaced."""

    frames: int = setting(100, "longest mask (T in the paper)", unit="frames", minimum=0)
    masks: int = setting(2, "masks for each clip", minimum=0)
    share: float = setting(1.0, "a mask covers at most this share of a clip (p in the paper)", minimum=0, maximum=1)
    fill: str = fill_setting()


@dataclass(frozen=True)
class FrequencyMaskConfig(RandomConfig):
    """Bands of bins replaced."""

    bins: int = setting(27, "widest mask (F in the paper)", unit="bins", minimum=0)
    masks: int = setting(2, "masks for each clip", minimum=0)
    fill: str = fill_setting()


@dataclass(frozen=True)
class TimeWarpConfig(RandomConfig):
    """A moment of the clip moved, the rest stretched to fit."""

    frames: int = setting(80, "furthest move (W in the paper)", unit="frames", minimum=0)


@dataclass(frozen=True)
class SpecAugmentConfig(RandomConfig):
    """SpecAugment (Park et al., 2019); the defaults are the policy LD."""

    warp: int = setting(80, "W: furthest move of the time warp; 0 is none", unit="frames", minimum=0)
    frequency_mask: int = setting(27, "F: widest frequency mask", unit="bins", minimum=0)
    frequency_masks: int = setting(2, "frequency masks", minimum=0)
    time_mask: int = setting(100, "T: longest time mask", unit="frames", minimum=0)
    time_masks: int = setting(2, "time masks", minimum=0)
    share: float = setting(1.0, "a time mask covers at most this share of a clip (p)", minimum=0, maximum=1)
    fill: str = fill_setting()
