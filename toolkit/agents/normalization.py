"""Running normalisation of observations and rewards; its statistics are part of the policy.

Moments are merged rollout by rollout (Chan, Golub and LeVeque, 1979). They belong to the agent's
checkpoint, so that a policy can never be loaded without them, and evaluation never changes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CLIP = 10.0
EPSILON = 1e-8


class RunningMoments:
    """Mean and variance of all rows seen so far."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean = np.zeros(shape)
        self.variance = np.ones(shape)
        self.count = 0.0

    def update(self, rows: Array) -> None:
        """Merge ``rows`` [k, *shape]."""
        if not len(rows):
            return
        mean, variance, count = rows.mean(0, dtype=np.float64), rows.var(0, dtype=np.float64), float(len(rows))
        total = self.count + count
        delta = mean - self.mean
        squares = self.variance * self.count + variance * count + delta**2 * self.count * count / total
        self.mean, self.variance, self.count = self.mean + delta * count / total, squares / total, total

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "variance": self.variance, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean, self.variance = np.array(state["mean"]), np.array(state["variance"])
        self.count = state["count"]


class ObservationNormalizer:
    """``(observation - mean) / std``, cut to [-10, 10]; the identity until the first rollout is in."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.moments = RunningMoments(shape)
        self._refresh()

    def _refresh(self) -> None:
        self._mean = self.moments.mean.astype(np.float32)
        self._scale = (1.0 / np.sqrt(self.moments.variance + EPSILON)).astype(np.float32)

    def __call__(self, observations: Array) -> Array:
        normal: Array = np.clip((observations - self._mean) * self._scale, -CLIP, CLIP)
        return normal

    def update(self, rows: Array) -> None:
        self.moments.update(rows)
        self._refresh()

    def state_dict(self) -> dict[str, Any]:
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moments.load_state_dict(state)
        self._refresh()


class RewardNormalizer:
    """Divides rewards by the standard deviation of the discounted return, as Stable-Baselines3's VecNormalize does."""

    def __init__(self, n_envs: int, gamma: float) -> None:
        self.gamma = gamma
        self.moments = RunningMoments(())
        self.returns = np.zeros(n_envs)

    def __call__(self, rewards: Array, ended: Array, valid: Array) -> Array:
        """Scaled rewards [T, N]; the statistics take in this rollout first."""
        seen = np.empty_like(rewards)
        for t in range(len(rewards)):
            self.returns = self.returns * self.gamma + rewards[t]
            seen[t] = self.returns
            self.returns = np.where(ended[t] | ~valid[t], 0.0, self.returns)
        self.moments.update(seen[valid])
        scaled: Array = np.clip(rewards / np.sqrt(self.moments.variance + EPSILON), -CLIP, CLIP)
        return scaled

    def state_dict(self) -> dict[str, Any]:
        return {**self.moments.state_dict(), "returns": self.returns}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moments.load_state_dict(state)
        self.returns = state["returns"].copy()
