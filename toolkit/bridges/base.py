"""What every bridged agent has, whichever library computes."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import torch

from toolkit.agents.base import Array
from toolkit.agents.checks import require_action_space, require_finite_observations
from toolkit.agents.continuous import bounds
from toolkit.bridges.randomness import OwnRandomness
from toolkit.core.clock import Clock
from toolkit.core.seeding import GeneratorState, Streams


class BridgedAgent:
    """Its place in a run, and its random numbers: NumPy's for acting, and torch's default ones, which libraries draw from."""

    name = ""
    library: ClassVar[str]  # names the stream of random numbers
    squashes: ClassVar[bool] = False  # whether its continuous actions are scaled to the bounds

    def __init__(self, config: Any, *, action_space: gymnasium.Space[Any], n_envs: int = 1, streams: Streams | None = None,
                 clock: Clock | None = None, device: torch.device | str = "cpu") -> None:
        require_action_space(self.name, action_space)
        if self.squashes and isinstance(action_space, gymnasium.spaces.Box):
            bounds(self.name, action_space)
        streams = streams or Streams(0)
        self.config, self.clock, self.n_envs = config, clock or Clock(budget=1), n_envs
        self.device, self.action_space = torch.device(device), action_space
        self.first_action: Any = getattr(action_space, "start", 0)  # libraries count choices from 0
        self.generator = streams.generator("acting")
        self.randomness = OwnRandomness(streams.seed(self.library))

    def finite(self, observations: Array) -> Array:
        """``observations`` [N, ...]; raises NonFinite where one is NaN or infinite."""
        require_finite_observations(observations, self.name, self.clock.step)
        return observations

    def random_state(self) -> dict[str, Any]:
        """Of both kinds of random numbers."""
        return {"generator": GeneratorState(self.generator).state_dict(), "randomness": self.randomness.state_dict()}

    def load_random_state(self, state: dict[str, Any]) -> None:
        GeneratorState(self.generator).load_state_dict(state["generator"])
        self.randomness.load_state_dict(state["randomness"])
