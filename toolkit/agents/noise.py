"""Noise added to the actions of a deterministic policy, in the policy's scale [-1, 1]."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
OU_THETA, OU_STEP = 0.15, 0.01  # pull to the mean, and seconds a step (Lillicrap et al., 2016; as Stable-Baselines3)


class ActionNoise(Protocol):
    """Noise [N, A], of which the next may depend on the last one: then it ``lasts``.

    What lasts is the agent's recurrent state, so that it is saved, and begins again at zero, with each copy's episode.
    """

    lasts: bool

    def draw(self, last: Array, generator: np.random.Generator) -> Array:
        """The noise [N, A] that follows on ``last`` [N, A], which is zero at an episode's beginning."""


class NormalNoise:
    """Independent normals."""

    lasts = False

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def draw(self, last: Array, generator: np.random.Generator) -> Array:
        return generator.standard_normal(last.shape, dtype=np.float32) * np.float32(self.deviation)


class OrnsteinUhlenbeckNoise:
    """``x += theta * (0 - x) * dt + deviation * sqrt(dt) * normal`` (Uhlenbeck and Ornstein, 1930): noise that lasts."""

    lasts = True

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def draw(self, last: Array, generator: np.random.Generator) -> Array:
        normal = generator.standard_normal(last.shape, dtype=np.float32)
        following: Array = (last * (1.0 - OU_THETA * OU_STEP) + self.deviation * OU_STEP**0.5 * normal).astype(np.float32)
        return following


def make_noise(kind: str, deviation: float) -> ActionNoise:
    """``normal`` or ``ornstein-uhlenbeck`` noise."""
    return NormalNoise(deviation) if kind == "normal" else OrnsteinUhlenbeckNoise(deviation)
