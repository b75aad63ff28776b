"""Replay that prefers what is new: the newer a step, the more often it is drawn, after an idea of Wang and Ross (2019)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.agents.buffers.uniform import UniformBuffer


class Component(UniformBuffer):
    """Which steps are drawn is said here; the ring, episodes' ends, n-step returns and states come with `UniformBuffer`."""

    config: Any

    def draw(self, held: int, count: int) -> NDArray[np.int64]:
        """Positions [count] below ``held``, the oldest step's being 0."""
        ages = self.generator.random(count) ** self.config.emphasis  # shares of the way from the newest step to the oldest
        return held - 1 - (held * ages).astype(np.int64)
