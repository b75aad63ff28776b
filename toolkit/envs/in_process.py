"""Copies of any gymnasium environment, stepped one after another in this process.

The least overhead there is for a few copies of a cheap environment. A copy's state in mid-episode
is its own ``get_state`` where the environment offers one; otherwise the state of its random
generator when the episode began and the actions since, which are played again on restore.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from toolkit.envs import packing
from toolkit.envs.base import Array, Final, Stepped, zeros


class InProcess:
    """``n_envs`` environments made by ``make``, one seed each; an ended copy is reset at once."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], seeds: Sequence[int]) -> None:
        self.envs = [make() for _ in seeds]
        self.n_envs = len(self.envs)
        self.observation_space = self.envs[0].observation_space
        self.action_space = self.envs[0].action_space
        self._packed = packing.is_packed(self.observation_space)
        self._scalar_actions = isinstance(self.action_space, gymnasium.spaces.Discrete)
        self._seeds = list(seeds)
        self._starts: list[Any] = [None] * self.n_envs
        self._actions: list[list[Any]] = [[] for _ in self.envs]
        self._observations = zeros(self.observation_space, self.n_envs)
        self._rewards = np.zeros(self.n_envs)
        self._terminated = np.zeros(self.n_envs, dtype=bool)
        self._truncated = np.zeros(self.n_envs, dtype=bool)

    def reset(self) -> Array:
        for index, env in enumerate(self.envs):
            self._starts[index] = {"seed": self._seeds[index]}
            self._actions[index] = []
            self._observations[index] = self._stored(env.reset(seed=self._seeds[index])[0])
        return self._observations

    def step(self, actions: Array) -> Stepped:
        observations, rewards = self._observations, self._rewards
        ended: list[int] = []
        finals: list[Any] = []
        plain = actions.tolist() if self._scalar_actions else actions
        for index, env in enumerate(self.envs):
            action = plain[index]
            self._actions[index].append(action)
            observation, reward, terminated, truncated, _ = env.step(action)
            if self._packed:
                observation = packing.pack(self.observation_space, observation)
            rewards[index] = reward
            self._terminated[index] = terminated
            self._truncated[index] = truncated and not terminated
            if terminated or truncated:
                ended.append(index)
                finals.append(observation)
                observation = self._begin(index)
            observations[index] = observation
        final = None
        if ended:
            final = Final(np.array(ended), np.asarray(finals, dtype=observations.dtype))
        return Stepped(observations, rewards, self._terminated, self._truncated, None, final)

    def _begin(self, index: int) -> Any:
        env = self.envs[index]
        self._starts[index] = {"generator": env.unwrapped.np_random.bit_generator.state}
        self._actions[index] = []
        return self._stored(env.reset()[0])

    def _stored(self, observation: Any) -> Any:
        """An observation as it is stored: packed where it is a Dict or Tuple."""
        return packing.pack(self.observation_space, observation) if self._packed else observation

    def get_state(self) -> dict[str, Any]:
        return {"copies": [self._copy_state(index) for index in range(self.n_envs)],
                "observations": self._observations.copy()}

    def _copy_state(self, index: int) -> dict[str, Any]:
        own = getattr(self.envs[index].unwrapped, "get_state", None)
        state: dict[str, Any] = {"start": self._starts[index], "actions": np.array(self._actions[index])}
        if callable(own):
            state["own"] = own()
        return state

    def set_state(self, state: dict[str, Any]) -> Array:
        for index, copy in enumerate(state["copies"]):
            observation = self._restore(index, copy)
            expected = state["observations"][index]
            if not np.array_equal(observation, expected, equal_nan=True):
                warnings.warn(
                    f"environment copy {index} did not come back to where it was (it draws randomness from outside its "
                    "np_random, or keeps state between episodes): its unfinished episode is dropped", stacklevel=2)
                observation = self._begin(index)
            self._observations[index] = observation
        return self._observations

    def _restore(self, index: int, copy: dict[str, Any]) -> Any:
        env, start = self.envs[index], copy["start"]
        actions = copy["actions"].tolist() if self._scalar_actions else list(copy["actions"])
        if "seed" in start:
            observation = env.reset(seed=start["seed"])[0]
        else:
            env.unwrapped.np_random.bit_generator.state = start["generator"]
            observation = env.reset()[0]
        own = getattr(env.unwrapped, "set_state", None)
        if "own" in copy and callable(own):
            observation = own(copy["own"])
        else:
            for action in actions:
                observation = env.step(action)[0]
        self._starts[index], self._actions[index] = start, actions
        return self._stored(observation)

    def close(self) -> None:
        for env in self.envs:
            env.close()
