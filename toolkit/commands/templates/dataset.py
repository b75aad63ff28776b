"""Two spirals, each winding around the other: a table that no straight line divides (Lang and Witbrock, 1988)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.core.base import Example

SPLITS = ("train", "validation", "test")


class Component:
    """Points ``x`` and ``y``, and the spiral that each is of; nothing is read and nothing downloaded."""

    target = "spiral"

    def __init__(self, config: Any) -> None:
        self.config = config

    def splits(self) -> Mapping[str, Sequence[Example]]:
        """Points by split, every split drawn by itself."""
        return {name: self.points(np.random.default_rng([self.config.seed, place])) for place, name in enumerate(SPLITS)}

    def points(self, generator: np.random.Generator) -> list[Example]:
        """As many points of one spiral as of the other, in turn."""
        radii = np.sqrt(generator.random(self.config.count))
        names = np.resize(["one", "other"], self.config.count)
        angles = 2 * math.pi * self.config.turns * radii + np.where(names == "one", 0, math.pi)
        points = radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)  # [count, 2]
        points += self.config.noise * generator.standard_normal(points.shape)
        return [{"x": x, "y": y, self.target: str(name)} for (x, y), name in zip(points.tolist(), names, strict=True)]
