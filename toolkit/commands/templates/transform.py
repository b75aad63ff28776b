"""Sound with an echo: the same again, later and quieter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.audio.transforms.base import Transform, check_bounds, decibels, uniform


class Component(Transform):
    """Changes one clip; batches, lengths, probability and the generator come with `Transform`."""

    def __init__(self, config: Any) -> None:
        check_bounds(delay=config.delay, level=config.level)
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """The clip [T] and its echo, [T]."""
        later = round(uniform(self.config.delay, generator) * self.config.sample_rate)  # samples
        echo = functional.pad(clip, (later, 0))[:len(clip)]
        return clip + echo * decibels(uniform(self.config.level, generator))
