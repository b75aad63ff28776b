"""What the array environments share: seeding, time limit, autoreset in the same step, exact state.

Letters: N copies, D numbers in a copy's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from toolkit.envs.base import Array, Final, Stepped
from toolkit.errors import ToolkitError


class Moved(NamedTuple):
    """What the dynamics give for one step of all copies."""

    rewards: NDArray[np.float64]  # [N]
    terminated: NDArray[np.bool_]  # [N]


class ArrayEnv:
    """Subclasses set the two spaces and write `draw`, `move` and, where needed, `observe` on ``self.state`` [D, N]."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    size = 0  # D
    masks: NDArray[np.bool_] | None = None

    def __init__(self, seeds: Sequence[int], max_episode_steps: int | None) -> None:
        self.n_envs, self._seeds, self.max_episode_steps = len(seeds), list(seeds), max_episode_steps
        self.state = np.zeros((self.size, self.n_envs))
        self._generators: list[np.random.Generator] = []
        self._steps = np.zeros(self.n_envs, np.int64)  # of the episode in progress
        self._never = np.zeros(self.n_envs, bool)

    # -- what an environment is

    def draw(self, generator: np.random.Generator) -> Array:
        """A first state [D], drawn as gymnasium's own environment draws it."""
        raise NotImplementedError

    def observe(self, state: Array) -> Array:
        """Observations [N, ...] of states [D, N]; the states themselves unless a subclass says otherwise."""
        return state.T.astype(np.float32)

    def observe_first(self, state: Array) -> Array:
        """The same right after a reset, where gymnasium's environment may compute in another precision."""
        return self.observe(state)

    def move(self, actions: Array) -> Moved:
        """Advance ``self.state`` by one step."""
        raise NotImplementedError

    # -- the interface of VectorEnv

    def reset(self) -> Array:
        self._generators = [seeding.np_random(seed)[0] for seed in self._seeds]
        return self._begin(np.arange(self.n_envs))

    def step(self, actions: Array) -> Stepped:
        moved = self.move(actions)
        self._steps += 1
        truncated = self._never
        if self.max_episode_steps is not None:
            truncated = (self._steps >= self.max_episode_steps) & ~moved.terminated
        observations, final = self.observe(self.state), None
        ended = np.flatnonzero(moved.terminated | truncated)
        if len(ended):
            final = Final(ended, observations[ended])
            observations[ended] = self._begin(ended)
        return Stepped(observations, moved.rewards, moved.terminated, truncated, None, final)

    def _begin(self, indices: Array) -> Array:
        """Begin new episodes; their first observations."""
        for index in indices:
            self.state[:, index] = self.draw(self._generators[index])
        self._steps[indices] = 0
        return self.observe_first(self.state[:, indices])

    def get_state(self) -> dict[str, Any]:
        return {"state": self.state.copy(), "steps": self._steps.copy(),
                "generators": [generator.bit_generator.state for generator in self._generators]}

    def set_state(self, state: dict[str, Any]) -> Array:
        if "generators" not in state:
            raise ToolkitError("the checkpoint's environments were saved by another vectorization or an older version, and "
                               "cannot be continued here. Take over the policy in a new run: toolkit run AGENT --env ID "
                               "--init-from RUN")
        self._generators = [seeding.np_random(seed)[0] for seed in self._seeds]
        for generator, kept in zip(self._generators, state["generators"], strict=True):
            generator.bit_generator.state = kept
        self.state, self._steps = state["state"].copy(), state["steps"].copy()
        observations, first = self.observe(self.state), np.flatnonzero(self._steps == 0)
        observations[first] = self.observe_first(self.state[:, first])
        return observations

    def close(self) -> None:
        """Nothing is open."""
