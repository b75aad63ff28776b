"""A corridor: walk to its end in as few steps as possible."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

LONGEST = 100  # steps after which an episode is cut


class Component(gymnasium.Env[Any, Any]):
    """Observations are place and time, each as a share; actions are left and right; every step costs 1."""

    metadata = {"render_modes": []}

    def __init__(self, config: Any, render_mode: str | None = None) -> None:
        self.length = config.length
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.place = self.time = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.time = int(self.np_random.integers(self.length)), 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = max(0, self.place + (1 if action else -1))
        self.time += 1
        return self._seen(), -1.0, self.place >= self.length, self.time >= LONGEST, {}

    def _seen(self) -> Any:
        return np.array([self.place / self.length, self.time / LONGEST], np.float32)
