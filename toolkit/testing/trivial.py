"""Environments that anything which learns must learn within seconds.

The observation says which action is right; the reward is how right the action was, from 0 to 1. Each
answer stands alone: no action changes what comes next. Importing this module makes them known to
gymnasium, as ``toolkit.testing.trivial:Match-Discrete-v0`` and so on, one for each kind of action space; and
as ``Match-Discrete-numbered-v0`` one for each kind of countable actions, whose observations are Discrete.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 8  # steps of an episode: the best return, too
ACTION_SPACES: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(3), "MultiDiscrete": spaces.MultiDiscrete([2, 3]), "MultiBinary": spaces.MultiBinary(2),
    "Box": spaces.Box(-1.0, 1.0, (1,), np.float32),
}


class Match(gymnasium.Env[Any, Any]):
    """Give back the action that the observation shows."""

    metadata = {"render_modes": []}

    def __init__(self, action_space: spaces.Space[Any], numbered: bool = False) -> None:
        self.action_space = action_space
        self.observation_space: spaces.Space[Any] = (
            spaces.Discrete(int(np.prod(choices(action_space)))) if numbered
            else spaces.Box(-1.0, 1.0, (spaces.flatdim(action_space),), np.float32))
        self._left = 0
        self._wanted: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = LENGTH
        return self._ask(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self._rightness(action)
        self._left -= 1
        return self._ask(), reward, self._left == 0, False, {}

    def _ask(self) -> Any:
        space = self.action_space
        if isinstance(space, spaces.Box):
            self._wanted = self.np_random.uniform(space.low, space.high).astype(np.float32)
        elif isinstance(space, spaces.Discrete):
            self._wanted = int(self.np_random.integers(space.n))
        else:
            self._wanted = self.np_random.integers(choices(space)).astype(space.dtype)
        return self._shown()

    def _shown(self) -> Any:
        if isinstance(self.observation_space, spaces.Discrete):
            return int(np.ravel_multi_index(np.atleast_1d(self._wanted), choices(self.action_space)))
        return np.asarray(spaces.flatten(self.action_space, self._wanted), np.float32)

    def _rightness(self, action: Any) -> float:
        if isinstance(self.action_space, spaces.Box):
            return float(1.0 - np.abs(np.asarray(action) - self._wanted).mean() / 2)
        return float((np.asarray(action) == self._wanted).mean())

    def get_state(self) -> dict[str, Any]:
        """Everything needed to continue in mid-episode."""
        return {"left": self._left, "wanted": np.asarray(self._wanted), "generator": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> Any:
        """Continue from `get_state`; the observation to act on next."""
        self._left = state["left"]
        self._wanted = state["wanted"] if self.action_space.shape else int(state["wanted"])
        self.np_random.bit_generator.state = state["generator"]
        return self._shown()


def choices(space: Any) -> tuple[int, ...]:
    """How many values each part of a countable action has."""
    if isinstance(space, spaces.Discrete):
        return (int(space.n),)
    return tuple(map(int, space.nvec)) if isinstance(space, spaces.MultiDiscrete) else (2,) * int(np.prod(space.shape or (1,)))


def random_return(kind: str) -> float:
    """The mean return of actions drawn at random."""
    each = {"Discrete": 1 / 3, "MultiDiscrete": (1 / 2 + 1 / 3) / 2, "MultiBinary": 1 / 2, "Box": 1 - (2 / 3) / 2}
    return LENGTH * each[kind]


def is_one(env: str) -> bool:
    """Whether ``env`` is one of those here."""
    return any(env in names_of(kind) for kind in ACTION_SPACES)


def name_of(kind: str) -> str:
    """The environment id for actions of one kind of space."""
    return f"toolkit.testing.trivial:Match-{kind}-v0"


def names_of(kind: str) -> list[str]:
    """`name_of`, and where the actions can be counted the id of the environment that shows which by a number."""
    return [name_of(kind), *([f"toolkit.testing.trivial:Match-{kind}-numbered-v0"] if kind != "Box" else [])]


for _kind, _space in ACTION_SPACES.items():
    for _name in names_of(_kind):
        gymnasium.register(_name.partition(":")[2], entry_point="toolkit.testing.trivial:Match",
                           kwargs={"action_space": _space, "numbered": "numbered" in _name})
