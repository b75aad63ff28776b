"""An environment of any spaces, for tests and the worker processes that they start."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

OBSERVATIONS: dict[str, gymnasium.Space[Any]] = {
    "vector": spaces.Box(-1, 1, (3,), np.float32), "doubles": spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    "number": spaces.Box(-1, 1, (), np.float32), "whole numbers": spaces.Box(-5, 5, (3,), np.int64),
    "choice": spaces.Discrete(4, start=3), "choices": spaces.MultiDiscrete([3, 2], start=[4, -1]),
    "table": spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])), "bits": spaces.MultiBinary((2, 2)),
    "disordered": spaces.Dict(OrderedDict(b=spaces.MultiDiscrete([2, 3, 2], dtype=np.int32), a=spaces.Box(0, 9, (2,)))),
    "nested": spaces.Dict(a=spaces.Tuple((spaces.Box(0, 9, (2,)), spaces.MultiDiscrete([2, 3]))), b=spaces.MultiBinary(2)),
}
ACTIONS: dict[str, gymnasium.Space[Any]] = {
    "choice": spaces.Discrete(3, start=5), "one choice": spaces.Discrete(1),
    "choices": spaces.MultiDiscrete([2, 3], start=[5, -2]),
    "table": spaces.MultiDiscrete(np.array([[2, 3], [2, 2]])), "bits": spaces.MultiBinary((2, 2)),
    "number": spaces.Box(-1, 1, (), np.float32), "doubles": spaces.Box(-2, 3, (2, 2), np.float64),
    "uneven": spaces.Box(np.array([0, -5], np.float32), np.array([1, 7], np.float32)),
}


class Anything(gymnasium.Env[Any, Any]):
    """Shows a draw of its observation space, and insists on actions of its action space."""

    def __init__(self, sees: str = "vector", does: str = "choice") -> None:
        self.observation_space, self.action_space = OBSERVATIONS[sees], ACTIONS[does]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.steps += 1
        return self.observation_space.sample(), 1.0, self.steps == 7, False, {}


gymnasium.register("Anything-v0", Anything)
