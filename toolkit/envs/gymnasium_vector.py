"""Gymnasium's own vector environments behind the toolkit's interface, in all three autoreset modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector import VectorEnv as GymnasiumVectorEnv

from toolkit.envs.base import Array, Final, Stepped
from toolkit.errors import ToolkitError

# The attributes that, with the random generator, are the whole state of an environment
# that gymnasium vectorises itself.
STATE_ATTRIBUTES = {
    "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv": ("state", "steps", "prev_done"),
}


def masks_of(infos: dict[str, Any]) -> Array | None:
    """The action masks [N, actions] that a vector environment's infos give; None where there are none."""
    masks = infos.get("action_mask")
    if masks is None:
        return None
    return np.stack([np.asarray(mask, bool) for mask in masks]) if masks.dtype == object else np.asarray(masks, bool)


class GymnasiumVector:
    """Adapts ``gymnasium.vector.VectorEnv``; reads its autoreset mode from its metadata."""

    def __init__(self, envs: GymnasiumVectorEnv[Any, Any, Any], seeds: Sequence[int]) -> None:
        self.envs = envs
        self.n_envs = envs.num_envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self.mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._seeds = list(seeds)
        self._ended = np.zeros(self.n_envs, dtype=bool)
        self._observations: Array = np.zeros(0)
        self.masks: Array | None = None

    def reset(self) -> Array:
        own = self._state_attributes() is not None
        self._ended = np.zeros(self.n_envs, dtype=bool)
        # Environments vectorised by hand share one generator; the others take a seed a copy.
        seed: Any = self._seeds[0] if own else self._seeds
        self._observations, infos = self.envs.reset(seed=seed)
        self.masks = masks_of(infos)
        return self._observations

    def step(self, actions: Array) -> Stepped:
        observations, rewards, terminated, truncated, infos = self.envs.step(actions)
        truncated = truncated & ~terminated
        ended = terminated | truncated
        valid, final = None, None
        if self.mode is AutoresetMode.NEXT_STEP:
            valid = ~self._ended if self._ended.any() else None
        elif ended.any():
            indices = np.flatnonzero(ended)
            if self.mode is AutoresetMode.SAME_STEP:
                finals = np.stack([infos["final_obs"][index] for index in indices])
            else:
                finals = observations[indices].copy()
                observations, infos = self.envs.reset(options={"reset_mask": ended})
            final = Final(indices, finals)
        self._ended, self._observations = ended, observations
        self.masks = masks_of(infos)
        return Stepped(observations, rewards, terminated, truncated, valid, final)

    def _state_attributes(self) -> tuple[str, ...] | None:
        kind = type(self.envs.unwrapped)
        return STATE_ATTRIBUTES.get(f"{kind.__module__}:{kind.__qualname__}")

    def get_state(self) -> dict[str, Any]:
        names = self._state_attributes()
        if names is None:
            # Sync and async vectors have no state of their own to give; the run says so when resumed.
            return {"approximate": True}
        bare = self.envs.unwrapped
        return {
            "attributes": {name: np.array(getattr(bare, name)) for name in names},
            "generator": bare.np_random.bit_generator.state,
            "ended": self._ended.copy(), "observations": self._observations.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> Array:
        observations = self.reset()
        if state.get("approximate"):
            import warnings

            warnings.warn("this vectorization keeps no state of unfinished episodes: they are dropped and new ones begin. "
                          "For exact resume use --vectorization in-process", stacklevel=2)
            return observations
        bare = self.envs.unwrapped
        names = self._state_attributes()
        if names is None:
            raise ToolkitError("the checkpoint holds the state of an environment vectorised by hand, and this one is not; "
                               "resume with the --vectorization that the run was started with")
        for name in names:
            setattr(bare, name, state["attributes"][name].copy())
        bare.np_random.bit_generator.state = state["generator"]
        self._ended, self._observations = state["ended"].copy(), state["observations"].copy()
        return self._observations

    def close(self) -> None:
        self.envs.close()
