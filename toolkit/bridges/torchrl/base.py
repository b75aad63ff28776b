"""What the agents on TorchRL's losses share: learning rate, gradient steps, saving.

Networks are the registry's; losses, advantages and target updates are the library's; environments, buffers,
budget, evaluation and checkpoints are the toolkit's.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from toolkit.agents.base import Array
from toolkit.agents.checks import require_finite
from toolkit.agents.networks.mlp import Headed
from toolkit.bridges.base import BridgedAgent
from toolkit.core.torch_optimizers import OptimizerState, set_learning_rate
from toolkit.envs.base import zeros
from toolkit.registry import registry


class HeadedAnywhere(Headed):
    """A body and a linear head for observations [..., *shape], as the library's estimators give them."""

    def __init__(self, body: nn.Module, outputs: int, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__(body, outputs)
        self.dimensions = zeros(observation_space).ndim

    def forward(self, observations: Tensor) -> Tensor:
        lead = observations.shape[:observations.dim() - self.dimensions]
        return super().forward(observations.reshape(-1, *observations.shape[len(lead):])).reshape(*lead, -1)


class TorchRLAgent(BridgedAgent):
    """Subclasses set ``loss`` (the library's module), ``learned`` (the modules that have parameters) and act."""

    library = "torchrl"
    loss: Any
    learned: dict[str, nn.Module]
    optimizer: torch.optim.Optimizer

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any], **context: Any) -> None:
        super().__init__(config, **context)
        self.schedule = registry.make("scheduler", config.learning_rate_schedule)
        self.updates = 0
        with self.randomness.drawing():
            self.build(observation_space)

    def build(self, observation_space: gymnasium.Space[Any]) -> None:
        """Make networks, loss and optimizer."""
        raise NotImplementedError

    def body(self, observation_space: gymnasium.Space[Any], outputs: int) -> Headed:
        """The network named in the config, with a linear layer of ``outputs`` on its features."""
        network = registry.make("network", self.config.network, observation_space=observation_space)
        return HeadedAnywhere(network, outputs, observation_space).to(self.device)

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
                **self.random_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.initialise(state)
        OptimizerState(self.optimizer).load_state_dict(state["optimizer"])
        self.load_random_state(state)
        self.updates = state["updates"]
