"""How Stable-Baselines3 sees the toolkit's observations and actions.

Dict and Tuple elements, which are rows of bytes here, are dictionaries there; pictures have their
channels first; choices begin at 0; several choices, and actions, lie in one row.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

from toolkit.agents.base import Array
from toolkit.agents.distributions import float_bounds
from toolkit.envs import packing
from toolkit.errors import UsageError

SMALLEST = 36  # pixels: what the library's convolutions 8/4, 4/2 and 3/1 make one of


class Sight:
    """``space`` is the observation space for the library; calling it turns observations [B, ...] into its tensors."""

    def __init__(self, observation_space: gymnasium.Space[Any], device: torch.device) -> None:
        self.given, self.device = observation_space, device
        self._leaves: dict[str, tuple[str, gymnasium.Space[Any]]] = {}
        if packing.is_packed(observation_space):
            # Modules are named by these keys, and torch allows no dot in them.
            self._leaves = {leaf.path: (leaf.path.replace(".", "_"), leaf.space)
                            for leaf in packing.layout(observation_space).leaves}
            self.space: gymnasium.Space[Any] = spaces.Dict({name: seen_space(space) for name, space in self._leaves.values()})
        else:
            self.space = seen_space(observation_space)
        for leaf in packing.layout(observation_space).leaves:
            require_size(seen_space(leaf.space))

    @property
    def policy(self) -> str:
        """The name of the policy for such observations."""
        if self._leaves:
            return "MultiInputPolicy"
        return "CnnPolicy" if is_image_space(self.space) else "MlpPolicy"

    def __call__(self, observations: Array) -> Any:
        if not self._leaves:
            return self._tensor(self.given, observations)
        parts = packing.unpack(self.given, observations)
        return {name: self._tensor(space, parts[path]) for path, (name, space) in self._leaves.items()}

    def _tensor(self, space: gymnasium.Space[Any], array: Array) -> torch.Tensor:
        if isinstance(space, spaces.Discrete):
            array = array - space.start
        elif isinstance(space, spaces.MultiDiscrete):
            array = array.reshape(len(array), -1) - space.start.reshape(-1)
        elif not space.shape:
            array = array.reshape(len(array), 1)
        if channels_last(space):
            array = np.ascontiguousarray(np.moveaxis(array, -1, -3))
        return torch.as_tensor(array, device=self.device)


def channels_last(space: gymnasium.Space[Any]) -> bool:
    """Whether elements are pictures [H, W, C]."""
    return is_image_space(space) and not is_image_space_channels_first(space)  # type: ignore[arg-type]


def require_size(space: gymnasium.Space[Any]) -> None:
    """Raise UsageError for pictures [C, H, W] that are too small for the library's own convolutions."""
    sides = (space.shape or ())[1:]
    if is_image_space(space) and min(sides) < SMALLEST:
        raise UsageError(f"Stable-Baselines3 takes pictures of {SMALLEST} x {SMALLEST} pixels or more; these are of "
                         f"{' x '.join(map(str, sides))}. Allowed: the toolkit's own agents, which take "
                         "smaller ones, or a wrapper that makes them larger, such as gymnasium's ResizeObservation")


def seen_space(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """An elementary space of observations as the library is to see it."""
    if isinstance(space, spaces.Box) and channels_last(space):
        return spaces.Box(np.moveaxis(space.low, -1, -3), np.moveaxis(space.high, -1, -3), dtype=space.dtype.type)
    if isinstance(space, spaces.MultiDiscrete) or not space.shape:
        return row_space(space)
    return space


def acting_space(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """A space of actions in one row, with choices from 0; whole numbers in a range are continuous to the library."""
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer):
        low, high = (bound.reshape(-1) for bound in float_bounds(space))
        return spaces.Box(low, high, dtype=low.dtype.type)
    return row_space(space)


def row_space(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """An elementary space in one row, with choices from 0."""
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec.reshape(-1))
    if isinstance(space, spaces.MultiBinary):
        return spaces.MultiBinary(int(np.prod(space.shape)))
    assert isinstance(space, spaces.Box)
    return spaces.Box(space.low.reshape(-1), space.high.reshape(-1), dtype=space.dtype.type)
