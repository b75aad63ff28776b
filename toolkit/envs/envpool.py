"""EnvPool's C++ environments (Weng et al., 2022) behind the toolkit's interface.

EnvPool resets an ended copy in the step after (gymnasium's NEXT_STEP). It gives no access to its
copies' state: a resumed run begins new episodes, and says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from toolkit.envs import packing
from toolkit.envs.base import Array, EnvSpec, Stepped, later_seed
from toolkit.errors import MissingExtra, UsageError, nearest

INT31 = 2**31 - 1  # EnvPool's seeds are C ints


class EnvPool:
    """``len(seeds)`` copies in EnvPool's own threads; copy i is seeded with ``seeds[i]``."""

    def __init__(self, spec: EnvSpec, seeds: Sequence[int]) -> None:
        envpool = imported()
        if spec.frame_stack > 1:
            raise UsageError("EnvPool stacks frames in its own way, in which no evaluation would see them. Leave out "
                             "--frame-stack, or --vectorization envpool")
        if spec.atari:
            raise UsageError("EnvPool prepares pictures of Atari games in its own way, in which no evaluation would see them. "
                             "Leave out --vectorization envpool")
        name = spec.id.rpartition(":")[2].rpartition("/")[2]
        known = envpool.list_all_envs()
        if name not in known:
            meant = " or ".join(map(repr, nearest(name, known, 3)))
            raise UsageError(f"EnvPool has no environment {name!r}.{f' Did you mean {meant}?' if meant else ''} "
                             "Leave out --vectorization envpool")
        options = dict(spec.options)
        if spec.max_episode_steps is not None:
            options["max_episode_steps"] = spec.max_episode_steps
        self.n_envs, self._seeds = len(seeds), [seed % INT31 for seed in seeds]
        self._make = partial(envpool.make, name, env_type="gymnasium", num_envs=self.n_envs, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the precision of its bounds
            try:
                self.envs = self._make(seed=self._seeds)
            except TypeError as error:  # of C++, about options by place
                given = ", ".join(f"--env.{key} {value}" for key, value in spec.options.items()) or "what it was given"
                raise UsageError(f"EnvPool's {name} does not accept {given}. Its options are EnvPool's own; gymnasium's go with "
                                 "--vectorization auto") from error
            self.observation_space, self.action_space = self.envs.observation_space, self.envs.action_space
        self._steps = 0
        self.masks: Array | None = None
        self.dropped: list[int] = []
        self._ended = np.zeros(self.n_envs, bool)

    def reset(self) -> Array:
        self._ended = np.zeros(self.n_envs, bool)
        return self._stored(self.envs.reset()[0])

    def step(self, actions: Array) -> Stepped:
        self._steps += 1
        observations, rewards, terminated, truncated, _ = self.envs.step(actions)
        terminated, truncated = terminated.astype(bool), truncated.astype(bool) & ~terminated.astype(bool)
        valid = ~self._ended if self._ended.any() else None
        self._ended = terminated | truncated
        return Stepped(self._stored(observations), rewards.astype(np.float64), terminated, truncated, valid, None)

    def _stored(self, observations: Any) -> Array:
        return packing.pack_batch(self.observation_space, observations, self.n_envs)

    def get_state(self) -> dict[str, Any]:
        return {"approximate": True, "steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> Array:
        warnings.warn("EnvPool keeps no state of unfinished episodes: they are dropped and new ones begin. For exact resume "
                      "use --vectorization in-process or --workers", stacklevel=2)
        self.dropped = list(range(self.n_envs))
        self._steps = state.get("steps", 1)  # checkpoints of earlier versions do not say
        self.envs.close()
        self.envs = self._make(seed=[later_seed(seed, self._steps) % INT31 for seed in self._seeds])  # its seeds are for good
        return self.reset()

    def close(self) -> None:
        self.envs.close()


def imported() -> Any:
    try:
        import envpool
    except ImportError as error:
        raise MissingExtra(f"--vectorization envpool needs EnvPool ({error}). Install it: pip install envpool") from error
    return envpool
