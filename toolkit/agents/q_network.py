"""The network of the DQN family: a body, one or two streams, and what the agents call its outputs.

Letters: B batch, F features, A actions, Z atoms or quantiles of each action's value (1 for plain DQN).

Plain     outputs = Linear(F, A * Z)
Dueling   value stream (Z) and advantage stream (A * Z); outputs = value + advantage - mean advantage
Noisy     each stream has a noisy hidden layer of width F and a noisy output layer
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import Array, FastPath
from toolkit.agents.networks.fast import ChainPath, LinearPath

NOISY_SIGMA = 0.5  # Fortunato et al. (2018), section 3.2


class NoisyLinear(nn.Module):
    """A linear layer with factorised Gaussian parameter noise (Fortunato et al., 2018, section 3).

    The noise is a buffer: it is drawn by `resample` and saved with the network. Unless ``noisy``
    is set the layer uses its means alone.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), NOISY_SIGMA * bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), NOISY_SIGMA * bound))
        self.noise_in: Tensor
        self.noise_out: Tensor
        self.register_buffer("noise_in", torch.zeros(inputs))
        self.register_buffer("noise_out", torch.zeros(outputs))
        self.noisy = False

    def resample(self, generator: np.random.Generator) -> None:
        """Draw new noise, used from now on: ``f(x) = sign(x) * sqrt(|x|)`` of standard normals, one vector a side."""
        self.noisy = True
        for buffer in (self.noise_in, self.noise_out):
            normal = torch.from_numpy(generator.standard_normal(len(buffer), dtype=np.float32))
            buffer.copy_(normal.sign() * normal.abs().sqrt())

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.noisy:
            return nn.functional.linear(inputs, self.weight, self.bias)
        weight = self.weight + self.weight_sigma * torch.outer(self.noise_out, self.noise_in)
        return nn.functional.linear(inputs, weight, self.bias + self.bias_sigma * self.noise_out)


class QNetwork(nn.Module):
    """Observations [B, ...] to outputs [B, A, Z]."""

    def __init__(self, body: nn.Module, actions: int, atoms: int = 1, dueling: bool = False, noisy: bool = False) -> None:
        super().__init__()
        self.body, self.actions, self.atoms = body, actions, atoms
        self.dueling, self.noisy = dueling, noisy
        self.features = features = int(getattr(body, "features"))  # noqa: B009 (a Module's attributes have no type)
        self.advantage = stream(features, actions * atoms, noisy)
        self.value = stream(features, atoms, noisy) if dueling else None

    def forward(self, observations: Tensor) -> Tensor:
        features = self.body(observations)
        advantage = self.advantage(features).unflatten(-1, (self.actions, self.atoms))  # [B, A, Z]
        if self.value is None:
            return advantage
        value = self.value(features).unflatten(-1, (1, self.atoms))  # [B, 1, Z]
        return value + advantage - advantage.mean(-2, keepdim=True)

    def resample(self, generator: np.random.Generator) -> None:
        """New noise for every noisy layer, which they use from now on."""
        for layer in self.noisy_layers:
            layer.resample(generator)

    def use_noise(self, noisy: bool) -> None:
        """Whether the noisy layers use their noise, or their means alone."""
        for layer in self.noisy_layers:
            layer.noisy = noisy

    @property
    def noisy_layers(self) -> list[NoisyLinear]:
        return [module for module in self.modules() if isinstance(module, NoisyLinear)]

    def fast_path(self, batch_size: int) -> FastPath | None:
        """By hand where the body has a fast path and the streams are plain linear layers."""
        own = getattr(self.body, "fast_path", None)
        body = own(batch_size) if own is not None and not self.noisy else None
        if body is None or not isinstance(self.advantage, nn.Linear):
            return None
        value = LinearPath(self.value, batch_size) if isinstance(self.value, nn.Linear) else None
        head = StreamsPath(LinearPath(self.advantage, batch_size), value, self.actions, self.atoms)
        return ChainPath([body, head])

    def acting(self) -> Callable[[Array], Array]:
        """Outputs [N, A, Z] for arrays of observations, without autograd; in NumPy where the body offers it."""
        own = getattr(self.body, "acting", None)
        body = own() if own is not None else None
        if body is None or not isinstance(self.advantage, nn.Linear):
            return self._module_acting
        weight, bias = self.advantage.weight.detach().numpy().T, self.advantage.bias.detach().numpy()
        shape = (-1, self.actions, self.atoms)
        if not isinstance(self.value, nn.Linear):
            return lambda observations: (body(observations) @ weight + bias).reshape(shape)
        value_weight, value_bias = self.value.weight.detach().numpy().T, self.value.bias.detach().numpy()

        def outputs(observations: Array) -> Array:
            features = body(observations)
            advantage = (features @ weight + bias).reshape(shape)  # [N, A, Z]
            value = (features @ value_weight + value_bias)[:, None]  # [N, 1, Z]
            both: Array = value + advantage - advantage.mean(1, keepdims=True)
            return both

        return outputs

    def _module_acting(self, observations: Array) -> Array:
        device = next(self.parameters()).device
        with torch.no_grad():
            outputs: Array = self(torch.from_numpy(np.ascontiguousarray(observations)).to(device)).cpu().numpy()
        return outputs


def stream(features: int, outputs: int, noisy: bool) -> nn.Module:
    if not noisy:
        return nn.Linear(features, outputs)
    return nn.Sequential(NoisyLinear(features, features), nn.ReLU(), NoisyLinear(features, outputs))


class StreamsPath:
    """The output layers by hand: features [B, F] to outputs [B, A, Z]."""

    def __init__(self, advantage: LinearPath, value: LinearPath | None, actions: int, atoms: int) -> None:
        self._advantage, self._value = advantage, value
        self._shape = (actions, atoms)

    def forward(self, inputs: Tensor) -> Tensor:
        advantage = self._advantage.forward(inputs).unflatten(-1, self._shape)  # [B, A, Z]
        if self._value is None:
            return advantage
        return self._value.forward(inputs).unsqueeze(-2) + advantage - advantage.mean(-2, keepdim=True)

    def backward(self, gradient: Tensor) -> Tensor | None:
        if self._value is None:
            return self._advantage.backward(gradient.flatten(-2))
        by_features = self._advantage.backward((gradient - gradient.mean(-2, keepdim=True)).flatten(-2))
        by_value = self._value.backward(gradient.sum(-2))
        if by_features is None or by_value is None:
            return None
        return by_features.add_(by_value)
