"""Other sounds on top, at an exact ratio of powers.

The noise is scaled by sqrt(P_clip / (P_noise 10^(SNR / 10))), powers being mean squares over the clip's own
samples. Nothing is scaled or cut afterwards, so that the ratio is exact; a silent clip stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, below, check_bounds, decibels, normal, power_of, uniform
from toolkit.audio.transforms.blocks import Sound, power_of_units, unit_sizes
from toolkit.audio.transforms.sources import Recordings

SLOPES = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}  # exponent of frequency in the amplitude


class Noise(Transform):
    """Generated noise of one colour, or a stretch of a recording, at a drawn ratio."""

    def __init__(self, config: configs.NoiseConfig) -> None:
        check_bounds(snr=config.snr)
        super().__init__(config)
        self.recordings = Recordings(config.path, config.sample_rate) if config.path else None
        whole = config.colour != "white" and not config.path
        self.whole_clip = f"{config.colour} noise is one spectrum over the whole clip" if whole else ""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        ratio = uniform(self.config.snr, generator)
        if self.recordings is not None:
            return added(clip, self.recordings.stretch(len(clip), generator).to(clip.device), ratio)
        return added(clip, coloured(len(clip), self.config.colour, clip, generator), ratio)

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        ratio, samples = uniform(self.config.snr, generator), sound.samples
        noise = self.recorded(samples, generator) if self.recordings is not None else white(samples, generator)
        signal, disturbance = sound.power(), power_of_units(noise(), samples)
        if signal == 0 or disturbance == 0:
            return sound
        scale = scale_of(signal, disturbance, ratio)

        def read() -> Iterator[Tensor]:
            return ((unit.double() + other * scale).to(unit.dtype) for unit, other in zip(sound.units(), noise(), strict=True))

        return Sound(read, samples)

    def readings(self, samples: int) -> int:
        return 1

    def recorded(self, samples: int, generator: torch.Generator) -> Callable[[], Iterator[Tensor]]:
        """A stretch of a recording, in units, as often as it is asked for."""
        assert self.recordings is not None
        recording, start = self.recordings.place(samples, generator)

        def read() -> Iterator[Tensor]:
            position = start
            for size in unit_sizes(samples):
                yield recording[torch.arange(position, position + size) % len(recording)]
                position += size

        return read


class Mix(Transform):
    """Another clip of the same batch at a drawn ratio, repeated where it is shorter; a clip alone stays."""

    whole_clip = ""

    def __init__(self, config: configs.MixConfig) -> None:
        check_bounds(snr=config.snr)
        super().__init__(config)

    def changed(self, clips: Sequence[Tensor], generator: torch.Generator | None) -> list[Tensor]:
        source = generator if generator is not None else self.generator
        assert source is not None
        return [self.mixed(clips, index, source) for index in range(len(clips))]

    def in_blocks(self, sound: Sound, generator: torch.Generator) -> Sound:
        return sound  # which is alone

    def mixed(self, clips: Sequence[Tensor], index: int, generator: torch.Generator) -> Tensor:
        clip = clips[index]
        others = [other for place, other in enumerate(clips) if place != index and len(other)]
        if not others or not len(clip) or uniform((0.0, 1.0), generator) >= self.config.probability:
            return clip
        other = others[below(len(others), generator)]
        start = below(max(1, len(other) - len(clip) + 1), generator)
        other = other.repeat(len(clip) // len(other) + 1) if len(other) < len(clip) else other
        return added(clip, other[start:start + len(clip)], uniform(self.config.snr, generator))


def added(clip: Tensor, noise: Tensor, ratio: float) -> Tensor:
    """``clip`` [T] and ``noise`` [T], scaled in double precision to ``ratio`` dB below it."""
    signal, disturbance = power_of(clip), power_of(noise)
    if signal == 0 or disturbance == 0:
        return clip
    return (clip.double() + noise.double() * scale_of(signal, disturbance, ratio)).to(clip.dtype)


def scale_of(signal: float, disturbance: float, ratio: float) -> float:
    """The factor on amplitudes that brings the power of the ``disturbance`` to ``ratio`` dB below the signal's."""
    return float((signal / disturbance) ** 0.5 / decibels(ratio))


def white(samples: int, generator: torch.Generator) -> Callable[[], Iterator[Tensor]]:
    """White noise in units, the same as often as it is asked for; ``generator`` goes on behind it."""
    begin = generator.get_state()

    def drawn(source: torch.Generator) -> Iterator[Tensor]:
        return (torch.randn(size, generator=source).double() for size in unit_sizes(samples))

    for _ in drawn(generator):
        pass
    return lambda: drawn(torch.Generator().set_state(begin))


def coloured(samples: int, colour: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise [samples] whose power falls or rises with frequency: white, pink (-3 dB an octave), brown (-6), blue
    (+3), violet (+6). What is not white is drawn as a spectrum: that of Gaussian noise is Gaussian."""
    if colour == "white" or samples < 3:
        return normal(samples, like, generator)
    whole = fast_length(samples)  # a transform of a prime length takes ten times as long
    bins = whole // 2 + 1
    frequency = torch.arange(bins, dtype=torch.float32, device=like.device).clamp(min=1)
    spectrum = torch.view_as_complex(normal(2 * bins, like, generator).view(bins, 2)) * frequency ** SLOPES[colour]
    spectrum[0] = 0
    spectrum[-1] *= 2 ** 0.5  # half the sampling rate is real: all its power is in one number
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
