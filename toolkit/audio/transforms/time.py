"""Time and pitch: speed, stretch, pitch shift, crop, shift.

The stretch is a phase vocoder (Flanagan and Golden, 1966; Dolson, 1986): spectra are read faster or slower, and
each spectral peak's phase goes on by what it advanced in the original, the bins around a peak keeping their
phases relative to it (Laroche and Dolson, 1999). Resampling is soxr's, on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, below, check_bounds, uniform
from toolkit.audio.transforms.blocks import Sound, span
from toolkit.config import ConfigError


class Speed(Transform):
    """Played faster or slower: length and pitch change together (Ko et al., "Audio augmentation", 2015)."""

    keeps_length = False
    whole_clip = ""

    def __init__(self, config: configs.SpeedConfig) -> None:
        if not config.factors:
            raise ConfigError("factors: got none, allowed: at least one number above 0")
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        factor = self.config.factors[below(len(self.config.factors), generator)]
        return clip if factor == 1.0 else resampled(clip, factor, max(1, round(len(clip) / factor)))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        factor = self.config.factors[below(len(self.config.factors), generator)]
        if factor == 1.0:
            return sound
        samples = max(1, round(sound.samples / factor))
        return Sound(lambda: span(resampled_blocks(sound.read(), factor), 0, samples), samples)


class Stretch(Transform):
    """Faster or slower at the same pitch."""

    keeps_length = False

    def __init__(self, config: configs.StretchConfig) -> None:
        check_bounds(factor=config.factor)
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return stretched(clip, uniform(self.config.factor, generator), self.config.n_fft)


class Pitch(Transform):
    """Higher or lower at the same length: stretched, then resampled."""

    def __init__(self, config: configs.PitchConfig) -> None:
        check_bounds(semitones=config.semitones)
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        ratio = 2.0 ** (uniform(self.config.semitones, generator) / 12.0)
        if ratio == 1.0:
            return clip
        return resampled(stretched(clip, 1.0 / ratio, self.config.n_fft), ratio, len(clip))


class Crop(Transform):
    """A stretch of one length; shorter clips are followed by silence."""

    keeps_length = False
    whole_clip = ""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        start, samples = self.place(len(clip), generator)
        return fitted(clip[start:], samples)

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        start, samples = self.place(sound.samples, generator)
        return Sound(lambda: span(sound.read(), start, samples), samples)

    def place(self, length: int, generator: torch.Generator) -> tuple[int, int]:
        """The first sample of a clip of ``length`` that is kept, and how many are."""
        samples = max(1, round(self.config.seconds * self.config.sample_rate))
        spare = max(0, length - samples)
        start = {"start": 0, "middle": spare // 2}.get(self.config.place, -1)
        return below(spare + 1, generator) if start < 0 else start, samples


class Shift(Transform):
    """Moved in time within its length; silence moves in."""

    whole_clip = ""

    def __init__(self, config: configs.ShiftConfig) -> None:
        check_bounds(seconds=config.seconds)
        super().__init__(config)

    @property
    def keeps_time(self) -> bool:
        return False

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        samples = self.move(len(clip), generator)
        return F.pad(clip, (samples, -samples))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        samples = self.move(sound.samples, generator)
        return Sound(lambda: span(sound.read(), -samples, sound.samples), sound.samples)

    def move(self, length: int, generator: torch.Generator) -> int:
        """The samples by which a clip of ``length`` comes later."""
        samples = round(uniform(self.config.seconds, generator) * self.config.sample_rate)
        return max(-length, min(length, samples))


def fitted(clip: Tensor, samples: int) -> Tensor:
    """A clip cut to ``samples``, or followed by zeros up to them."""
    return F.pad(clip, (0, samples - len(clip)))


def resampled(clip: Tensor, factor: float, samples: int) -> Tensor:
    """A clip [T] played ``factor`` times as fast, cut or padded to ``samples``."""
    import soxr

    faster = soxr.resample(clip.detach().cpu().numpy(), factor, 1.0)
    return fitted(torch.from_numpy(faster).to(clip), samples)


def resampled_blocks(blocks: Iterable[Tensor], factor: float) -> Iterator[Tensor]:
    """Blocks [T] of a clip played ``factor`` times as fast."""
    import soxr

    stream = soxr.ResampleStream(factor, 1.0, 1, dtype="float32")
    for block in chain(blocks, [torch.zeros(0)]):
        faster = stream.resample_chunk(block.float().numpy(), last=not len(block))
        if len(faster):
            yield torch.from_numpy(faster)


def stretched(clip: Tensor, factor: float, n_fft: int) -> Tensor:
    """A clip [T] in 1 / ``factor`` of its time at the same pitch: [round(T / factor)]."""
    samples = max(1, round(len(clip) / factor))
    if factor == 1.0:
        return clip
    hop = n_fft // 4
    window = torch.hann_window(n_fft, dtype=clip.dtype, device=clip.device)
    spectrum = torch.stft(clip, n_fft, hop, window=window, pad_mode="constant", return_complex=True)  # [bins, F]
    return fitted(torch.istft(vocoded(spectrum, factor, hop), n_fft, hop, window=window, length=samples), samples)


def vocoded(spectrum: Tensor, factor: float, hop: int) -> Tensor:
    """Spectra [bins, F] read at ``factor`` times their speed: [bins, ceil(F / factor)]."""
    bins, frames = spectrum.shape
    position = torch.arange(0, frames, factor, dtype=torch.float64, device=spectrum.device)
    before = position.floor().long()
    share = (position - before).to(spectrum.real.dtype)
    following = F.pad(spectrum, (0, 2))
    first, second = following[:, before], following[:, before + 1]
    magnitude = torch.lerp(first.abs(), second.abs(), share)
    expected = math.pi * hop * torch.arange(bins, dtype=torch.float64, device=spectrum.device)[:, None] / (bins - 1)
    advance = second.angle().double() - first.angle().double() - expected
    advance = advance - 2 * math.pi * torch.round(advance / (2 * math.pi)) + expected
    start = spectrum[:, :1].angle().double()
    phase = torch.cat((start, start + torch.cumsum(advance[:, :-1], dim=1)), dim=1)
    peak = nearest_peaks(magnitude)
    original = first.angle().double()
    phase = phase.gather(0, peak) + original - original.gather(0, peak)
    return torch.polar(magnitude, phase.remainder(2 * math.pi).to(magnitude.dtype))


def nearest_peaks(magnitude: Tensor) -> Tensor:
    """For each bin of magnitudes [bins, F] the nearest bin of that frame that is a local maximum."""
    bins = len(magnitude)
    index = torch.arange(bins, device=magnitude.device)[:, None].expand_as(magnitude)
    largest = F.max_pool1d(magnitude.T[None], 5, 1, 2)[0].T
    is_peak = magnitude >= largest
    below_it = torch.where(is_peak, index, -bins).cummax(dim=0).values
    above_it = torch.where(is_peak, index, 3 * bins).flip(0).cummin(dim=0).values.flip(0)
    return torch.where(index - below_it <= above_it - index, below_it, above_it)
