"""What the agents on TorchRL's losses share: learning rate, gradient steps, saving.

Networks are the registry's; losses, advantages and target updates are the library's; environments, buffers,
budget, evaluation and checkpoints are the toolkit's.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from torch import Tensor, nn

from toolkit.agents.base import Array
from toolkit.agents.checks import require_action_space, require_finite
from toolkit.agents.networks.mlp import Headed
from toolkit.bridges.randomness import OwnRandomness
from toolkit.core.clock import Clock
from toolkit.core.seeding import GeneratorState, Streams
from toolkit.core.torch_optimizers import OptimizerState, set_learning_rate
from toolkit.registry import registry


class TorchRLAgent:
    """Subclasses set ``loss`` (the library's module), ``learned`` (the modules that have parameters) and act."""

    name = ""
    loss: Any
    learned: dict[str, nn.Module]
    optimizer: torch.optim.Optimizer

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any],
                 n_envs: int = 1, streams: Streams | None = None, clock: Clock | None = None,
                 device: torch.device | str = "cpu") -> None:
        require_action_space(self.name, action_space)
        streams = streams or Streams(0)
        self.config, self.clock, self.n_envs = config, clock or Clock(budget=1), n_envs
        self.device, self.action_space = torch.device(device), action_space
        self.first_action = int(action_space.start) if isinstance(action_space, spaces.Discrete) else 0
        self.generator = streams.generator("acting")
        self.randomness = OwnRandomness(streams.seed("torchrl"))
        self.schedule = registry.make("scheduler", config.learning_rate_schedule.name)
        self.updates = 0
        with self.randomness.drawing():
            self.build(observation_space)

    def build(self, observation_space: gymnasium.Space[Any]) -> None:
        """Make networks, loss and optimizer."""
        raise NotImplementedError

    def body(self, observation_space: gymnasium.Space[Any], outputs: int) -> Headed:
        """The network named in the config, with a linear layer of ``outputs`` on its features."""
        part = self.config.network
        network = registry.make("network", part.name, observation_space=observation_space, **part.options)
        return Headed(network, outputs).to(self.device)

    def learning_rate(self) -> float:
        return float(self.config.learning_rate * self.schedule(self.clock.fraction))

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizer down the gradient of ``loss``, clipped; raises NonFinite before a bad one."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        parameters = [value for module in self.learned.values() for value in module.parameters()]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm))
        require_finite(norm, self.name, self.clock.step, self.updates)
        set_learning_rate(self.optimizer, self.learning_rate())
        self.optimizer.step()
        self.updates += 1

    def tensor(self, array: Array) -> Tensor:
        return torch.as_tensor(array, device=self.device)

    # -- saving

    def parameters(self) -> dict[str, Tensor]:
        return {f"{part}.{name}": value.detach() for part, module in self.learned.items()
                for name, value in module.named_parameters()}

    def initialise(self, state: dict[str, Any]) -> None:
        """Take the networks of another run of the same agent, and nothing else of it."""
        for name, module in self.learned.items():
            module.load_state_dict(state["learned"][name])

    def state_dict(self) -> dict[str, Any]:
        return {"learned": {name: dict(module.state_dict()) for name, module in self.learned.items()},
                "optimizer": OptimizerState(self.optimizer).state_dict(), "updates": self.updates,
                "generator": GeneratorState(self.generator).state_dict(), "randomness": self.randomness.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.initialise(state)
        OptimizerState(self.optimizer).load_state_dict(state["optimizer"])
        GeneratorState(self.generator).load_state_dict(state["generator"])
        self.randomness.load_state_dict(state["randomness"])
        self.updates = state["updates"]
