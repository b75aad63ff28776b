"""Other sounds on top, at an exact ratio of powers.

The noise is scaled by sqrt(P_clip / (P_noise 10^(SNR / 10))), powers being mean squares over the clip's own
samples. Nothing is scaled or cut afterwards, so that the ratio is exact; a silent clip stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, below, check_bounds, decibels, normal, power_of, uniform
from toolkit.audio.transforms.sources import Recordings

SLOPES = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}  # exponent of frequency in the amplitude


class Noise(Transform):
    """Generated noise of one colour, or a stretch of a recording, at a drawn ratio."""

    def __init__(self, config: configs.NoiseConfig) -> None:
        check_bounds(snr=config.snr)
        super().__init__(config)
        self.recordings = Recordings(config.path, config.sample_rate) if config.path else None

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        ratio = uniform(self.config.snr, generator)
        if self.recordings is not None:
            return added(clip, self.recordings.stretch(len(clip), generator).to(clip.device), ratio)
        return added(clip, coloured(len(clip), self.config.colour, clip, generator), ratio)


class Mix(Transform):
    """Another clip of the same batch at a drawn ratio, repeated where it is shorter; a clip alone stays."""

    def __init__(self, config: configs.MixConfig) -> None:
        check_bounds(snr=config.snr)
        super().__init__(config)

    def changed(self, clips: Sequence[Tensor], generator: torch.Generator | None) -> list[Tensor]:
        source = generator if generator is not None else self.generator
        assert source is not None
        return [self.mixed(clips, index, source) for index in range(len(clips))]

    def mixed(self, clips: Sequence[Tensor], index: int, generator: torch.Generator) -> Tensor:
        clip = clips[index]
        others = [other for place, other in enumerate(clips) if place != index and len(other)]
        if not others or not len(clip) or uniform((0.0, 1.0), generator) >= self.config.probability:
            return clip
        other = others[below(len(others), generator)]
        start = below(max(1, len(other) - len(clip) + 1), generator)
        other = other.repeat(len(clip) // len(other) + 1) if len(other) < len(clip) else other
        return added(clip, other[start:start + len(clip)].double(), uniform(self.config.snr, generator))


def added(clip: Tensor, noise: Tensor, ratio: float) -> Tensor:
    """``clip`` [T] and ``noise`` [T] double, scaled to ``ratio`` dB below it."""
    signal, disturbance = power_of(clip), power_of(noise)
    if signal == 0 or disturbance == 0:
        return clip
    return (clip.double() + noise * ((signal / disturbance) ** 0.5 / decibels(ratio))).to(clip.dtype)


def coloured(samples: int, colour: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise [samples] in double precision whose power falls or rises with frequency: white, pink (-3 dB an
    octave), brown (-6), blue (+3), violet (+6)."""
    if colour == "white" or samples < 3:
        return normal(samples, like, generator)
    whole = fast_length(samples)  # a transform of a prime length takes ten times as long
    spectrum = torch.fft.rfft(normal(whole, like, generator))
    frequency = torch.arange(len(spectrum), dtype=torch.float64, device=like.device).clamp(min=1)
    spectrum = spectrum * frequency ** SLOPES[colour]
    spectrum[0] = 0
    return torch.fft.irfft(spectrum, whole)[:samples]


def fast_length(samples: int) -> int:
    """The smallest even number of at least ``samples`` without a prime factor above 5."""
    length = samples + samples % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2
