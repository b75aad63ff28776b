"""Running normalisation of observations and rewards; its statistics are part of the policy.

Moments are merged rollout by rollout (Chan, Golub and LeVeque, 1979). They belong to the agent's
checkpoint, so that a policy can never be loaded without them, and evaluation never changes them.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toolkit.agents.base import Steps
from toolkit.agents.networks.encode import is_image
from toolkit.envs import packing
from toolkit.errors import UsageError

Array = NDArray[Any]
CLIP = 10.0
EPSILON = 1e-8


def is_amount(space: gymnasium.Space[Any]) -> bool:
    """Whether elements are numbers of some size: a Box that is no picture."""
    return isinstance(space, spaces.Box) and not is_image(space)


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
    """``(observation - mean) / std``, cut to [-10, 10]; the identity until the first rollout is in.

    Of a Dict or Tuple, whose elements are rows of bytes, the float Boxes are normalised; everything else is left as it is.
    Raises UsageError where there is nothing to normalise: pictures are scaled by what sees them, and choices are no amounts.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.leaves: list[packing.Leaf] | None = None
        if packing.is_packed(space):
            self.leaves = [leaf for leaf in packing.layout(space).leaves
                           if is_amount(leaf.space) and np.issubdtype(leaf.dtype, np.floating)]
        if not (is_amount(space) if self.leaves is None else self.leaves):
            raise UsageError(f"normalize_observations: there is nothing to normalise in {space}; allowed: Box, and Dict or Tuple "
                             "with a Box of floats in it. Leave out --normalize-observations")
        self.moments = RunningMoments((sum(leaf.size for leaf in self.leaves),) if self.leaves else space.shape or ())
        self._refresh()

    def _refresh(self) -> None:
        self._mean = self.moments.mean.astype(np.float32)
        self._scale = (1.0 / np.sqrt(self.moments.variance + EPSILON)).astype(np.float32)

    def __call__(self, observations: Array) -> Array:
        """Observations [..., *shape], or [..., nbytes] of a Dict or Tuple."""
        normal: Array = np.clip((self._numbers(observations) - self._mean) * self._scale, -CLIP, CLIP)
        if self.leaves is None:
            return normal
        packed, begin = observations.copy(), 0
        for leaf in self.leaves:
            packing.write(leaf, packed, normal[..., begin:begin + leaf.size])
            begin += leaf.size
        return packed

    def _numbers(self, observations: Array) -> Array:
        """What is normalised, [..., numbers] of a Dict or Tuple."""
        if self.leaves is None:
            return observations
        found = [packing.read(leaf, observations).reshape(*observations.shape[:-1], leaf.size) for leaf in self.leaves]
        return np.concatenate(found, -1, dtype=np.float64)

    def update(self, rows: Array) -> None:
        """Take in ``rows`` [k, ...]."""
        self.moments.update(self._numbers(rows))
        self._refresh()

    def state_dict(self) -> dict[str, Any]:
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moments.load_state_dict(state)
        self._refresh()


class Sight:
    """What an agent sees of observations: themselves, or normalised where that is asked for.

    Buffers keep them as they are, so that all that is learned from at one time has been normalised alike.
    """

    def __init__(self, config: Any, space: gymnasium.Space[Any]) -> None:
        self.normalizer = ObservationNormalizer(space) if config.normalize_observations else None

    def __call__(self, observations: Array) -> Array:
        """Observations [..., *shape] as they are acted on and learned from."""
        return observations if self.normalizer is None else self.normalizer(observations)

    def take_in(self, steps: Steps) -> None:
        """Let the statistics take in what was collected."""
        if self.normalizer is not None:
            self.normalizer.update(steps.observations[:-1][steps.valid])

    def state_dict(self) -> dict[str, Any]:
        """What is saved beside the networks; nothing where nothing is normalised."""
        return {} if self.normalizer is None else {"observation_normalizer": self.normalizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take the statistics of an agent's ``state``. Raises UsageError where only one of the two normalises."""
        if (self.normalizer is None) != ("observation_normalizer" not in state):
            saw, add = ("as they are", "Leave out") if self.normalizer else ("normalised", "Add")
            raise UsageError(f"--init-from: its networks saw observations {saw}, and here they would see others. "
                             f"{add} --normalize-observations")
        if self.normalizer is not None:
            self.normalizer.load_state_dict(state["observation_normalizer"])


class RewardNormalizer:
    """Divides rewards by the standard deviation of the discounted return, as Stable-Baselines3's VecNormalize does."""

    def __init__(self, n_envs: int, gamma: float) -> None:
        self.gamma = gamma
        self.moments = RunningMoments(())
        self.returns = np.zeros(n_envs)

    def __call__(self, steps: Steps) -> Array:
        """Scaled rewards [T, N]; the statistics take in this rollout first."""
        rewards, valid, ended = steps.rewards, steps.valid, steps.terminated | steps.truncated
        self.returns[steps.broken_copies] = 0.0
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
