"""SpecAugment and its parts, on features after the front end (Park et al., 2019, arXiv 1904.08779)."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Features, below


class TimeMask(Features):
    """Stretches of up to ``frames`` frames replaced."""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        config: configs.TimeMaskConfig = self.config
        return masked_in_time(clip, config.frames, config.masks, config.share, config.fill, generator)


class FrequencyMask(Features):
    """Bands of up to ``bins`` bins replaced."""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return masked_in_frequency(clip, self.config.bins, self.config.masks, self.config.fill, generator)


class TimeWarp(Features):
    """A drawn moment moved by up to ``frames`` frames, the rest stretched to fit."""

    @property
    def keeps_time(self) -> bool:
        return self.config.frames == 0

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return warped(clip, self.config.frames, generator)


class SpecAugment(Features):
    """Time warp, then frequency masks, then time masks."""

    @property
    def keeps_time(self) -> bool:
        return self.config.warp == 0

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        config: configs.SpecAugmentConfig = self.config
        clip = warped(clip, config.warp, generator)
        clip = masked_in_frequency(clip, config.frequency_mask, config.frequency_masks, config.fill, generator)
        return masked_in_time(clip, config.time_mask, config.time_masks, config.share, config.fill, generator)


def masked_in_time(clip: Tensor, longest: int, masks: int, share: float, fill: str, generator: torch.Generator) -> Tensor:
    """Features [F, bins] with ``masks`` stretches of 0 to ``longest`` frames replaced, each at most ``share`` of F."""
    hidden = drawn_mask(len(clip), min(longest, int(share * len(clip))), masks, generator).to(clip.device)
    return torch.where(hidden[:, None], filling(clip, fill), clip)


def masked_in_frequency(clip: Tensor, widest: int, masks: int, fill: str, generator: torch.Generator) -> Tensor:
    """Features [F, bins] with ``masks`` bands of 0 to ``widest`` bins replaced."""
    hidden = drawn_mask(clip.shape[1], min(widest, clip.shape[1]), masks, generator).to(clip.device)
    return torch.where(hidden, filling(clip, fill), clip)


def drawn_mask(size: int, longest: int, masks: int, generator: torch.Generator) -> Tensor:
    """True [size] within ``masks`` drawn intervals, each 0 to ``longest`` long."""
    hidden = torch.zeros(size, dtype=torch.bool)
    for _ in range(masks):
        length = below(longest + 1, generator)
        start = below(size - length + 1, generator)
        hidden[start:start + length] = True
    return hidden


def filling(clip: Tensor, fill: str) -> Tensor:
    """The number [] that stands in a mask."""
    if fill == "zero":
        return clip.new_zeros(())
    return clip.mean() if fill == "mean" else clip.min()


def warped(clip: Tensor, furthest: int, generator: torch.Generator) -> Tensor:
    """Features [F, bins] with one drawn frame moved by a drawn distance, all others interpolated linearly.

    Clips too short to move a frame by ``furthest`` are warped by less.
    """
    last = len(clip) - 1
    reach = min(furthest, (last - 1) // 2)
    if reach < 1:
        return clip
    point = reach + below(last - 2 * reach + 1, generator)
    moved = point + below(2 * reach - 1, generator) - (reach - 1)  # both parts keep a length
    target = torch.arange(len(clip), dtype=torch.float64)
    source = torch.where(target <= moved, target * (point / moved) if moved else target,
                         point + (target - moved) * ((last - point) / (last - moved)))
    before = source.floor().clamp(0, last - 1).long()
    share = (source - before).to(clip)[:, None]
    before = before.to(clip.device)
    return torch.lerp(clip[before], clip[before + 1], share)
