"""Gymnasium's own vector environments behind the toolkit's interface, in all three autoreset modes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from toolkit.envs.base import Array, Final, Stepped, later_seed
from toolkit.envs.masks import counts_of, row_of
from toolkit.envs.packing import pack, pack_batch


class GymnasiumVector:
    """Adapts ``gymnasium.vector.VectorEnv``; reads its autoreset mode from its metadata."""

    def __init__(self, envs: SyncVectorEnv | AsyncVectorEnv, seeds: Sequence[int]) -> None:
        self.envs = envs
        self.n_envs = envs.num_envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self.mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._seeds: list[int | None] = list(seeds)
        self._ended = np.zeros(self.n_envs, dtype=bool)
        self.masks: Array | None = None
        self.dropped: list[int] = []
        self._steps = 0

    def reset(self) -> Array:
        return self._begin(self._seeds)

    def _begin(self, seeds: Sequence[int | None]) -> Array:
        self._ended = np.zeros(self.n_envs, dtype=bool)
        observations, infos = self.envs.reset(seed=list(seeds))
        self.masks = self._masks_of(infos)
        return self._array(observations)

    def _masks_of(self, infos: dict[str, Any]) -> Array | None:
        """The action masks [N, actions] of infos: all is allowed where one copy gives none, and None stands for none at all."""
        given, actions = infos.get("action_mask"), sum(counts_of(self.action_space))
        if not actions or (given is None and self.masks is None):
            return None
        masks = np.ones((self.n_envs, actions), dtype=bool)
        if given is not None:
            for index in np.flatnonzero(infos["_action_mask"]):
                masks[index] = row_of(given[index], self.action_space, f"copy {index} of the environment: its")
        return masks

    def _array(self, observations: Any) -> Array:
        """Observations as gymnasium batches them (of a Dict, a dict of arrays) as one array [N, ...]."""
        return pack_batch(self.observation_space, observations, self.n_envs)

    def step(self, actions: Array) -> Stepped:
        self._steps += 1
        # A copy: an environment may change what it is given.
        found, rewards, terminated, truncated, infos = self.envs.step(actions.copy())
        observations = self._array(found)
        truncated = truncated & ~terminated
        ended = terminated | truncated
        valid, final, masks = None, None, self._masks_of(infos)
        if self.mode is AutoresetMode.NEXT_STEP:
            valid = ~self._ended if self._ended.any() else None
            if masks is not None:
                masks[ended] = True  # what is chosen there is not taken
        elif ended.any():
            indices = np.flatnonzero(ended)
            if self.mode is AutoresetMode.SAME_STEP:
                finals = np.stack([pack(self.observation_space, infos["final_obs"][index]) for index in indices])
            else:
                finals = observations[indices].copy()
                found, infos = self.envs.reset(options={"reset_mask": ended})
                observations, fresh = self._array(found), self._masks_of(infos)
                if masks is not None and fresh is not None:
                    masks[ended] = fresh[ended]
            final = Final(indices, finals)
        self._ended, self.masks = ended, masks
        return Stepped(observations, rewards, terminated, truncated, valid, final)

    def get_state(self) -> dict[str, Any]:
        """Gymnasium's vectors have no state of their own to give; the run says so when resumed."""
        return {"approximate": True, "steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> Array:
        warnings.warn("this vectorization keeps no state of unfinished episodes: they are dropped and new ones begin. "
                      "For exact resume use --vectorization in-process", stacklevel=2)
        self.dropped = list(range(self.n_envs))
        self._steps = state.get("steps", 1)  # checkpoints of earlier versions do not say
        return self._begin([None if seed is None else later_seed(seed, self._steps) for seed in self._seeds])

    def close(self) -> None:
        self.envs.close()
