"""Two critics Q(s, a), as SAC and TD3 use them (Fujimoto et al., 2018), and passes through both at once.

Letters: B batch, S encoded observation, A action, F features.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.networks.encode import Encoder, is_image, leaf_spaces
from toolkit.agents.networks.fast import LinearPath
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.networks.stacked import StackedPath, stacked_path
from toolkit.config import Part
from toolkit.errors import UsageError
from toolkit.registry import registry


class TwinCritics(nn.Module):
    """Two networks over the encoded observation beside the action: inputs [B, S + A] to values [2, B]."""

    def __init__(self, network: Part, observation_space: gymnasium.Space[Any], actions: int) -> None:
        super().__init__()
        self.encoder = Encoder(observation_space)
        space = gymnasium.spaces.Box(-np.inf, np.inf, (self.encoder.size + actions,), np.float32)
        self.critics = nn.ModuleList(
            Headed(registry.make("network", network.name, observation_space=space, **network.options), 1) for _ in range(2))

    @property
    def headed(self) -> list[Headed]:
        """The two networks, with their type."""
        return [critic for critic in self.critics if isinstance(critic, Headed)]

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([critic(inputs).squeeze(-1) for critic in self.critics])  # [2, B]

    def path(self, batch_size: int) -> CriticsPath:
        """Forward and backward for batches of ``batch_size``: by hand where both bodies allow it."""
        bodies = stacked_path([critic.body for critic in self.headed], batch_size, by_inputs=True)
        return AutogradCritics(self) if bodies is None else StackedCritics(self, bodies, batch_size)


def require_vectors(agent: str, space: gymnasium.Space[Any]) -> None:
    """Raise UsageError for pictures, which a critic beside an action cannot flatten sensibly."""
    if any(is_image(leaf) for leaf in leaf_spaces(space)):
        raise UsageError(f"{agent} takes vector observations; this environment's are {space}. "
                         "For pictures use ppo with --network nature-cnn")


class CriticsPath(Protocol):
    """Forward gives values [2, B]; backward takes the gradient by them [2, B]."""

    def forward(self, inputs: Tensor) -> Tensor: ...

    def backward(self, gradient: Tensor) -> None:
        """Write the gradients of the parameters."""

    def by_inputs(self, gradient: Tensor) -> Tensor:
        """The gradient by the inputs [B, S + A], summed over both critics; parameters are left alone."""


class StackedCritics:
    """Both critics as one batched product a layer."""

    def __init__(self, module: TwinCritics, bodies: StackedPath, batch_size: int) -> None:
        features = module.headed[0].head.in_features
        self._bodies = bodies
        self._by_features = module.headed[0].head.weight.detach().new_empty(2, batch_size, features)  # [2, B, F]
        self._heads = [LinearPath(critic.head, batch_size, input_gradient=self._by_features[index])
                       for index, critic in enumerate(module.headed)]
        self._weights = [critic.head.weight.detach() for critic in module.headed]  # each [1, F]

    def forward(self, inputs: Tensor) -> Tensor:
        features = self._bodies.forward(inputs)  # [2, B, F]
        return torch.stack([head.forward(features[index]).squeeze(-1) for index, head in enumerate(self._heads)])

    def backward(self, gradient: Tensor) -> None:
        for index, head in enumerate(self._heads):
            head.backward(gradient[index].unsqueeze(-1))
        self._bodies.backward(self._by_features)

    def by_inputs(self, gradient: Tensor) -> Tensor:
        for index, weight in enumerate(self._weights):
            torch.mm(gradient[index].unsqueeze(-1), weight, out=self._by_features[index])
        by_inputs = self._bodies.backward(self._by_features, parameters=False)  # [2, B, S + A]
        if by_inputs is None:
            raise ValueError("the path was made without the gradient by its inputs")
        return by_inputs.sum(0)


class AutogradCritics:
    """The same by autograd, for bodies without a fast path."""

    def __init__(self, module: TwinCritics) -> None:
        self._module = module
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._values: Tensor | None = None
        self._inputs: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            self._inputs = inputs.detach().requires_grad_()
            self._values = self._module(self._inputs)
        return self._values.detach()

    def backward(self, gradient: Tensor) -> None:
        if self._values is None:
            raise ValueError("backward was called before forward")
        gradients = torch.autograd.grad(self._values, self._parameters, gradient)
        for parameter, value in zip(self._parameters, gradients, strict=True):
            if parameter.grad is not None:
                parameter.grad.copy_(value)

    def by_inputs(self, gradient: Tensor) -> Tensor:
        if self._values is None or self._inputs is None:
            raise ValueError("by_inputs was called before forward")
        return torch.autograd.grad(self._values, self._inputs, gradient)[0]
