"""What a fixed first part of a network makes of observations before they are stored.

A network whose target has ``perception(config, observation_space)`` may answer with a `Perception`: it is
applied once to every observation, to all environments at once, and what it gives is what buffers keep and
the network gets. The agent is then made for the perceived space; whoever gives it observations asks
`perceived` first.

Perception      from stored observations to what is kept of them
Features        a Box inside the perceived space that holds a front end's frames
PerceivingEnvs  a vector environment seen through a perception
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from toolkit.agents.base import Array
from toolkit.config import Part, build
from toolkit.envs.base import Final, Stepped, VectorEnv
from toolkit.errors import UsageError
from toolkit.registry import registry


class Features(spaces.Box):
    """Frames of a front end, [F, bins], in the place of the sound that they were made of; ``spec`` is the front end's."""

    def __init__(self, shape: tuple[int, int], spec: Any = None) -> None:
        super().__init__(-np.inf, np.inf, shape, np.float32)
        self.spec: Any = spec


class Perception(Protocol):
    """Stored observations [N, ...] of one space to stored observations [N, ...] of ``space``."""

    space: gymnasium.Space[Any]

    def __call__(self, observations: Array) -> Array: ...


def perception_of(network: Part, observation_space: gymnasium.Space[Any],
                  open_run: Callable[[str], Any] | None = None) -> Perception | None:
    """The perception that ``network`` asks for; None where it takes observations as they are.

    Where the network's ``init_from`` names a run, ``perception`` also gets as ``recogniser`` what ``open_run`` makes
    of it: the run's problem and its trained model.
    """
    entry = registry.get("network", network.name)
    make = getattr(entry.load(), "perception", None)
    config = entry.config_class()
    if make is None or config is None:
        return None
    settings: Any = build(config, dict(network.options))
    run, more = getattr(settings, "init_from", ""), {}
    if run:
        if open_run is None:
            raise UsageError(f"network.init_from {run}: nothing here can open a run")
        more["recogniser"] = open_run(run)
    found: Perception | None = make(settings, observation_space, **more)
    return found


def perceived(envs: VectorEnv, agent: Any) -> VectorEnv:
    """``envs`` as ``agent`` needs to see them."""
    perception = getattr(agent, "perception", None)
    return envs if perception is None else PerceivingEnvs(envs, perception)


class PerceivingEnvs:
    """``envs`` with every observation perceived; their state is their own."""

    def __init__(self, envs: VectorEnv, perception: Perception) -> None:
        self.envs, self.perception = envs, perception
        self.n_envs = envs.n_envs
        self.raw_observation_space, self.observation_space = envs.observation_space, perception.space
        self.action_space = envs.action_space

    def reset(self) -> Array:
        return self.perception(self.envs.reset())

    def step(self, actions: Array) -> Stepped:
        stepped, final = self.envs.step(actions), None
        if stepped.final is not None:
            final = Final(stepped.final.indices, self.perception(stepped.final.observations))
        return stepped._replace(observations=self.perception(stepped.observations), final=final)

    def get_state(self) -> dict[str, Any]:
        return self.envs.get_state()

    def set_state(self, state: dict[str, Any]) -> Array:
        return self.perception(self.envs.set_state(state))

    def close(self) -> None:
        self.envs.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.envs, name)  # masks, measures, lost episodes
