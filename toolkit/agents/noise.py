"""Noise added to the actions of a deterministic policy, in the policy's scale [-1, 1]."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
OU_THETA, OU_STEP = 0.15, 0.01  # pull to the mean, and seconds a step (Lillicrap et al., 2016; as Stable-Baselines3)


class ActionNoise(Protocol):
    """``draw`` gives noise [N, A]; the state is saved with the agent."""

    def draw(self, generator: np.random.Generator) -> Array: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class NormalNoise:
    """Independent normals."""

    def __init__(self, deviation: float, shape: tuple[int, int]) -> None:
        self.deviation, self.shape = deviation, shape

    def draw(self, generator: np.random.Generator) -> Array:
        return generator.standard_normal(self.shape, dtype=np.float32) * np.float32(self.deviation)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is kept between draws."""


class OrnsteinUhlenbeckNoise:
    """``x += theta * (0 - x) * dt + deviation * sqrt(dt) * normal`` (Uhlenbeck and Ornstein, 1930): noise that lasts."""

    def __init__(self, deviation: float, shape: tuple[int, int]) -> None:
        self.deviation, self.value = deviation, np.zeros(shape, np.float32)

    def draw(self, generator: np.random.Generator) -> Array:
        normal = generator.standard_normal(self.value.shape, dtype=np.float32)
        self.value = (self.value * (1.0 - OU_THETA * OU_STEP) + self.deviation * OU_STEP**0.5 * normal).astype(np.float32)
        return self.value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"].copy()


def make_noise(kind: str, deviation: float, shape: tuple[int, int]) -> ActionNoise:
    """``normal`` or ``ornstein-uhlenbeck`` noise for ``shape`` [N, A]."""
    return NormalNoise(deviation, shape) if kind == "normal" else OrnsteinUhlenbeckNoise(deviation, shape)
