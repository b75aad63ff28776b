"""Environments that fail in training, for test_faults: ``sick:CartPole-v0`` and ``sick:Pendulum-v0``.

Options: ``what`` goes wrong (nan-reward, infinite-reward, nan-observation, raise) from the ``after``-th step of a copy on.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class Sick(gymnasium.Wrapper[Any, Any, Any, Any]):
    def __init__(self, inner: str, what: str, after: int) -> None:
        super().__init__(gymnasium.make(inner))
        self.what, self.after, self.taken = what, after, 0

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.taken += 1
        if self.taken >= self.after:
            if self.what == "raise":
                raise RuntimeError("the spring broke")
            if self.what == "nan-reward":
                reward = float("nan")
            if self.what == "infinite-reward":
                reward = float("inf")
            if self.what == "nan-observation":
                observation = np.full_like(observation, np.nan)
        return observation, reward, terminated, truncated, info


gymnasium.register("sick/CartPole-v0", lambda **options: Sick("CartPole-v1", **options))
gymnasium.register("sick/Pendulum-v0", lambda **options: Sick("Pendulum-v1", **options))
