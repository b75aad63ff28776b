"""Level: gain, normalisation, clipping, and the loudness of ITU-R BS.1770-4."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, check_bounds, decibels, power_of, uniform
from toolkit.audio.transforms.blocks import Sound

BLOCK_SECONDS, STEP_SECONDS = 0.4, 0.1  # of loudness: blocks that overlap by three quarters
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS, and LU below the mean of what passes the first
OFFSET = -0.691  # makes 997 Hz at full scale -3.01 LUFS


class Gain(Transform):
    """Louder or quieter by decibels drawn for each clip."""

    whole_clip = ""

    def __init__(self, config: configs.GainConfig) -> None:
        check_bounds(gain=config.gain)
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return clip * decibels(uniform(self.config.gain, generator))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        factor = decibels(uniform(self.config.gain, generator))
        return sound.each(lambda block: block * factor)


class Normalize(Transform):
    """Each clip brought to one peak, root mean square or loudness; silence stays."""

    def __init__(self, config: configs.NormalizeConfig) -> None:
        super().__init__(config)
        self.whole_clip = "loudness is measured over the whole clip" if config.measure == "loudness" else ""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        if self.config.measure == "loudness":
            return clip * self.factor(loudness(clip, self.config.sample_rate))
        return clip * self.factor(self.level_of(float(clip.abs().max()) if self.config.measure == "peak" else power_of(clip)))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        factor = self.factor(self.level_of(sound.peak() if self.config.measure == "peak" else sound.power()))
        return sound.each(lambda block: block * factor)

    def readings(self, samples: int) -> int:
        return 1

    def level_of(self, size: float) -> float:
        """The level (dB below full scale) of a peak or a mean square."""
        return (20 if self.config.measure == "peak" else 10) * math.log10(size) if size > 0 else -math.inf

    def factor(self, level: float) -> float:
        """What brings a level (dB) to the one that is asked for; 1 for silence."""
        return decibels(self.config.level - level) if math.isfinite(level) else 1.0


class Clipping(Transform):
    """Samples beyond a share of the clip's peak are cut, or bent towards it."""

    whole_clip = ""

    def __init__(self, config: configs.ClippingConfig) -> None:
        check_bounds(threshold=config.threshold)
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return self.cut(clip, float(clip.abs().max()) * decibels(uniform(self.config.threshold, generator)))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        limit = sound.peak() * decibels(uniform(self.config.threshold, generator))
        return sound.each(lambda block: self.cut(block, limit))

    def readings(self, samples: int) -> int:
        return 1

    def cut(self, clip: Tensor, limit: float) -> Tensor:
        if limit == 0:
            return clip
        return limit * torch.tanh(clip / limit) if self.config.soft else clip.clamp(-limit, limit)


# -- loudness


def loudness(clip: Tensor, sample_rate: int) -> float:
    """Integrated loudness (LUFS) of a clip [T] after ITU-R BS.1770-4; -inf for silence.

    A clip shorter than a block of 0.4 s counts as one block.
    """
    samples = weighted(clip.detach().cpu().double().numpy(), sample_rate)
    block, step = max(1, round(BLOCK_SECONDS * sample_rate)), max(1, round(STEP_SECONDS * sample_rate))
    if len(samples) < block:
        energies = np.array([np.mean(samples ** 2)])
    else:
        total = np.concatenate([[0.0], np.cumsum(samples ** 2)])
        starts = np.arange(0, len(samples) - block + 1, step)
        energies = (total[starts + block] - total[starts]) / block
    heard = energies[energies > 10 ** ((ABSOLUTE_GATE - OFFSET) / 10)]
    if not len(heard):
        return -math.inf
    heard = heard[heard > np.mean(heard) * 10 ** (RELATIVE_GATE / 10)]
    return float(OFFSET + 10 * np.log10(np.mean(heard)))


def weighted(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The K-weighted samples: a shelf that stands for the head, and a high-pass."""
    from scipy.signal import lfilter

    for numerator, denominator in (shelf(sample_rate), high_pass(sample_rate)):
        samples = lfilter(numerator, denominator, samples)
    return samples


def shelf(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """High shelf of 4 dB above 1.68 kHz; at 48 kHz these are the coefficients that BS.1770 prints."""
    gain, quality, frequency = 10 ** (3.999843853973347 / 20), 0.7071752369554196, 1681.974450955533
    slope = gain ** 0.4996667741545416
    k = math.tan(math.pi * frequency / sample_rate)
    scale = 1 + k / quality + k * k
    numerator = np.array([gain + slope * k / quality + k * k, 2 * (k * k - gain), gain - slope * k / quality + k * k])
    return numerator / scale, np.array([1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale])


def high_pass(sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """High-pass at 38 Hz."""
    quality, frequency = 0.5003270373238773, 38.13547087602444
    k = math.tan(math.pi * frequency / sample_rate)
    scale = 1 + k / quality + k * k
    return np.array([1.0, -2.0, 1.0]), np.array([1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale])
