"""The policy and value networks of on-policy agents, and their forward and backward passes.

Letters: N environments, B steps in a minibatch, A outputs of the policy head, F features.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import Array
from toolkit.agents.distributions import Distribution
from toolkit.agents.gsde import Exposed, StateDependent
from toolkit.agents.networks.body import make_body
from toolkit.agents.networks.fast import AutogradPath, LinearPath, path_of
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.networks.stacked import StackedPath, stacked_path
from toolkit.config import Part

POLICY_GAIN, VALUE_GAIN, HIDDEN_GAIN = 0.01, 1.0, math.sqrt(2)


class ActorCritic(nn.Module):
    """A policy head and a value head, each on a body of its own, or both on one shared body."""

    def __init__(self, network: Part, observation_space: gymnasium.Space[Any], distribution: Distribution, *,
                 share: bool, orthogonal: bool, log_std_init: float, critic: bool = True) -> None:
        super().__init__()
        bodies = [make_body(network, observation_space) for _ in range(1 if share or not critic else 2)]
        self.shared = share and critic
        exposed = isinstance(distribution, StateDependent)
        self.actor = (Exposed if exposed else Headed)(bodies[0], distribution.outputs)
        self.critic = Headed(bodies[-1], 1) if critic else None
        shape = (self.actor.head.in_features, distribution.outputs) if exposed else (distribution.outputs,)
        self.log_std = nn.Parameter(torch.full(shape, log_std_init)) if distribution.has_log_std else None
        if orthogonal:
            self._initialise_orthogonally()

    def _initialise_orthogonally(self) -> None:
        """Orthogonal weights, zero biases ("37 implementation details of PPO", detail 2)."""
        for headed, gain in ((self.actor, POLICY_GAIN), (self.critic, VALUE_GAIN)):
            if headed is None:
                continue
            for module in headed.body.modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    orthogonal(module, HIDDEN_GAIN)
            orthogonal(headed.head, gain)

    def forward(self, observations: Tensor) -> Tensor:
        """Policy outputs and value side by side, [B, A + 1]."""
        features = self.actor.body(observations)
        if self.critic is None:
            values = features.new_zeros(len(features), 1)
        else:
            values = self.critic.head(features if self.shared else self.critic.body(observations))
        return torch.cat([self.actor.head(features), values], -1)  # [B, A + 1]

    def path(self, batch_size: int) -> PolicyPath:
        """Forward and backward for minibatches of at most ``batch_size`` steps."""
        if not self.shared:
            stackable = None if isinstance(self.actor, Exposed) else self.critic
            bodies = None if stackable is None else stacked_path([self.actor.body, stackable.body], batch_size)
            return SeparatePath(self, batch_size) if bodies is None else TwinPath(self, bodies, batch_size)
        own = getattr(self.actor.body, "fast_path", None)
        body = own(batch_size) if own is not None else None
        return JointPath(self) if body is None else SharedPath(self, body, batch_size)

    def values_of(self, observations: Array, piece: int = 4096) -> Array:
        """Values [k] of observations [k, ...], without gradients, in pieces that fit the cache."""
        if self.critic is None or not len(observations):
            return np.zeros(len(observations), np.float32)
        valued = self.critic.acting()
        pieces = [valued(observations[i:i + piece])[:, 0] for i in range(0, len(observations), piece)]
        return np.concatenate(pieces)


def orthogonal(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class PolicyPath(Protocol):
    """Forward gives policy outputs [B, A] and values [B]; backward takes the gradients by both."""

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]: ...

    def backward(self, by_outputs: Tensor, by_values: Tensor) -> None: ...


class SeparatePath:
    """Two bodies: two independent paths. Without a critic values are zero."""

    def __init__(self, module: ActorCritic, batch_size: int) -> None:
        self._actor = path_of(module.actor, batch_size)
        self._critic = None if module.critic is None else path_of(module.critic, batch_size)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self._actor.forward(observations)
        if self._critic is None:
            return outputs, outputs.new_zeros(len(outputs))
        return outputs, self._critic.forward(observations).squeeze(-1)

    def backward(self, by_outputs: Tensor, by_values: Tensor) -> None:
        self._actor.backward(by_outputs)
        if self._critic is not None:
            self._critic.backward(by_values.unsqueeze(-1))


class TwinPath:
    """Two bodies of one shape, stepped together, each with its head."""

    def __init__(self, module: ActorCritic, bodies: StackedPath, batch_size: int) -> None:
        assert module.critic is not None
        self._bodies, self._batch_size = bodies, batch_size
        features = module.actor.head.in_features
        self._by_features = module.actor.head.weight.detach().new_empty(2, batch_size, features)  # [2, B, F]
        self._actor = LinearPath(module.actor.head, batch_size, input_gradient=self._by_features[0])
        self._critic = LinearPath(module.critic.head, batch_size, input_gradient=self._by_features[1])

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        features = self._bodies.forward(observations)  # [2, B, F]
        return self._actor.forward(features[0]), self._critic.forward(features[1]).squeeze(-1)

    def backward(self, by_outputs: Tensor, by_values: Tensor) -> None:
        self._actor.backward(by_outputs)
        self._critic.backward(by_values.unsqueeze(-1))
        rows = len(by_outputs)
        self._bodies.backward(self._by_features if rows == self._batch_size else self._by_features[:, :rows])


class SharedPath:
    """One body by hand, two heads on its features."""

    def __init__(self, module: ActorCritic, body: Any, batch_size: int) -> None:
        assert module.critic is not None
        self._body = body
        self._actor, self._critic = LinearPath(module.actor.head, batch_size), LinearPath(module.critic.head, batch_size)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        features = self._body.forward(observations)
        return self._actor.forward(features), self._critic.forward(features).squeeze(-1)

    def backward(self, by_outputs: Tensor, by_values: Tensor) -> None:
        by_features = self._actor.backward(by_outputs)
        by_critic = self._critic.backward(by_values.unsqueeze(-1))
        if by_features is not None and by_critic is not None:
            self._body.backward(by_features.add_(by_critic))


class JointPath:
    """One shared body without a fast path: autograd over both heads at once."""

    def __init__(self, module: ActorCritic) -> None:
        self._path = AutogradPath(module)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        both = self._path.forward(observations)
        return both[:, :-1], both[:, -1]

    def backward(self, by_outputs: Tensor, by_values: Tensor) -> None:
        self._path.backward(torch.cat([by_outputs, by_values.unsqueeze(-1)], -1))
