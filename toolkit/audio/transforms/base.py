"""What all transforms share: clips one by one, lengths, draws.

Transform   waveforms [B, T] to waveforms [B, T']; subclasses define `apply` on one clip
Features    features [B, F, bins] to features; subclasses define `apply` on one clip's features
uniform     a number drawn between the bounds of a setting

A clip is changed by itself, from its own samples and the next draws of the generator, so that a batch equals
its clips one after another with the same generator, and padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from toolkit.audio.frontends.framewise import checked_clips
from toolkit.audio.transforms.blocks import Sound
from toolkit.config import ConfigError
from toolkit.errors import UsageError


class Transform:
    """Waveforms [B, T] to waveforms [B, T'], clip by clip.

    ``domain`` is waveform or features; ``keeps_length`` says that T' is T. Random transforms draw from the
    generator given with the call, else from their own, which begins with ``config.seed``.
    ``whole_clip`` says why a clip must be held whole; where it is empty, and `over` is not older than
    `apply` (a subclass that changes `apply` alone is asked for whole clips), `in_blocks` does without.
    """

    domain = "waveform"
    keeps_length = True
    whole_clip = "it is made for whole clips"

    def __init__(self, config: Any) -> None:
        self.config = config
        self.random = hasattr(config, "seed")
        self.generator = torch.Generator().manual_seed(config.seed) if self.random else None

    @property
    def keeps_time(self) -> bool:
        """Whether what is heard stays where it was, so that times of it still hold."""
        return self.keeps_length

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """What becomes of one clip [T], T >= 1."""
        raise NotImplementedError

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        """What `apply` makes of a long clip that is read in blocks, with the same draws; may read it to measure it."""
        raise NotImplementedError

    def readings(self, samples: int) -> int:
        """How often `over` reads a clip of ``samples`` samples to measure it."""
        return 0

    def __call__(self, waveform: Tensor, lengths: Tensor | None = None,
                 generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Waveforms [B, T'] and lengths [B] of waveforms [B, T] with lengths [B]; one clip [T] gives [T'].

        Raises UsageError for wrong shapes, types and lengths.
        """
        clips, sizes = checked_clips(waveform, lengths)
        changed = self.changed([clip[:size] for clip, size in zip(clips, sizes.tolist())], generator)
        new_sizes = torch.tensor([len(clip) for clip in changed], dtype=torch.int64, device=clips.device)
        longest = clips.shape[1] if self.keeps_length else max([len(clip) for clip in changed], default=0)
        padded = clips.new_zeros(len(clips), longest)
        for row, clip in zip(padded, changed):
            row[:len(clip)] = clip
        return padded if waveform.dim() == 2 else padded[0], new_sizes

    def changed(self, clips: Sequence[Tensor], generator: torch.Generator | None) -> list[Tensor]:
        """Every clip after the transform; empty ones stay."""
        return [self.maybe(clip, generator) if len(clip) else clip for clip in clips]

    def maybe(self, clip: Tensor, generator: torch.Generator | None) -> Tensor:
        """The clip, changed with the configured probability."""
        source = generator if generator is not None else self.generator
        if source is None:
            source = torch.Generator()  # of a transform that draws nothing
        return clip if self.passed_over(source) else self.apply(clip, source)

    def in_blocks(self, sound: Sound, generator: torch.Generator) -> Sound:
        """A mono clip on the CPU, changed with the configured probability, in blocks: what a call makes of the whole."""
        return sound if self.passed_over(generator) else self.over(sound, generator)

    def passed_over(self, generator: torch.Generator) -> bool:
        """Whether the draw leaves a clip as it is."""
        return self.random and self.config.probability < 1.0 and uniform((0.0, 1.0), generator) >= self.config.probability


class Features(Transform):
    """Features [B, F, bins] with their frames [B] to features of the same shape, clip by clip."""

    domain = "features"

    def __call__(self, waveform: Tensor, lengths: Tensor | None = None,
                 generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, F, bins] and frames [B]; one clip [F, bins] is accepted.

        Raises UsageError for wrong shapes.
        """
        if waveform.dim() not in (2, 3) or not waveform.is_floating_point():
            raise UsageError(f"features are float [F, bins] or [B, F, bins]; got {waveform.dtype} of shape "
                             f"{tuple(waveform.shape)}. This transform comes after the front end")
        features = waveform if waveform.dim() == 3 else waveform[None]
        counts = [features.shape[1]] * len(features) if lengths is None else torch.as_tensor(lengths).tolist()
        if len(counts) != len(features) or any(not 0 <= count <= features.shape[1] for count in counts):
            raise UsageError(f"lengths are {len(features)} frame counts of at most {features.shape[1]}; got {counts}")
        changed = self.changed([clip[:count] for clip, count in zip(features, counts)], generator)
        padded = torch.zeros_like(features)
        for row, clip in zip(padded, changed):
            row[:len(clip)] = clip
        return padded if waveform.dim() == 3 else padded[0], torch.tensor(counts, device=features.device)


# -- draws


def uniform(bounds: Sequence[float], generator: torch.Generator) -> float:
    """A number between ``bounds``, or the one that they are."""
    if len(bounds) == 1:
        return bounds[0]
    share = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device).item()
    return bounds[0] + (bounds[1] - bounds[0]) * share


def below(count: int, generator: torch.Generator) -> int:
    """A whole number from 0 to ``count`` - 1."""
    return int(torch.randint(count, (), generator=generator, device=generator.device)) if count > 1 else 0


def normal(samples: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise [samples] of deviation 1, float on the device of ``like``: doubles take five times as long to draw."""
    return torch.randn(samples, generator=generator, device=generator.device).to(like.device)


def check_bounds(**settings: Sequence[float]) -> None:
    """Raise ConfigError for a drawn setting that is not one number or two ascending ones."""
    for name, bounds in settings.items():
        if len(bounds) not in (1, 2) or bounds[0] > bounds[-1]:
            raise ConfigError(f"{name}: got {', '.join(f'{bound:g}' for bound in bounds) or 'nothing'}, allowed: one number, "
                              "or two of which the first is not the larger")


def power_of(clip: Tensor) -> float:
    """The mean square, in double precision."""
    return float(clip.double().square().mean())


def decibels(ratio: float) -> float:
    """The factor on amplitudes that is ``ratio`` dB."""
    return float(10.0 ** (ratio / 20.0))
