"""``mlp``: fully connected layers over flat observations."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import ActingFunction, Array, FastPath
from toolkit.agents.configs import MLPConfig
from toolkit.agents.networks.fast import ChainPath, LinearPath

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Observations [B, ...], flattened, to features [B, hidden_sizes[-1]].

    A Discrete observation is one-hot encoded. Weights start as `torch.nn.Linear` sets them.
    """

    def __init__(self, config: MLPConfig, *, observation_space: gymnasium.Space) -> None:
        super().__init__()
        self.config = config
        self.classes = int(observation_space.n) if isinstance(observation_space, gymnasium.spaces.Discrete) else 0
        self.first = int(getattr(observation_space, "start", 0))
        widths = [self.classes or int(np.prod(observation_space.shape or (1,))), *config.hidden_sizes]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(widths, widths[1:], strict=False))
        self.activation = ACTIVATIONS[config.activation]()
        self.inputs, self.features = widths[0], widths[-1]
        # Float vectors go into the first layer as they are.
        self.plain = observation_space.dtype == np.float32 and observation_space.shape == (self.inputs,)

    def encode(self, observations: Tensor) -> Tensor:
        """Observations [B, ...] as float inputs [B, inputs]."""
        if self.classes:
            return nn.functional.one_hot(observations.long() - self.first, self.classes).float()  # [B, classes]
        return observations.reshape(len(observations), -1).float()  # [B, inputs]

    def forward(self, observations: Tensor) -> Tensor:
        hidden = self.encode(observations)
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
        return hidden

    def fast_path(self, batch_size: int) -> FastPath | None:
        """The layers by hand."""
        layers = [LinearPath(layer, batch_size, self.config.activation, first=index == 0)
                  for index, layer in enumerate(self.layers)]
        return ChainPath(layers if self.plain else [EncodePath(self), *layers])

    def acting(self) -> ActingFunction | None:
        """The layers in NumPy, on views of the parameters' memory; None off the CPU."""
        if any(layer.weight.device.type != "cpu" for layer in self.layers):
            return None
        weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in self.layers]
        relu, classes, first = self.config.activation == "relu", self.classes, self.first
        one_hot = np.eye(classes, dtype=np.float32)

        def features(observations: Array) -> Array:
            if classes:
                hidden = one_hot[observations - first]  # [N, classes]
            else:
                hidden = observations.reshape(len(observations), -1).astype(np.float32, copy=False)  # [N, inputs]
            for weight, bias in weights:
                hidden = hidden @ weight
                hidden += bias
                hidden = np.maximum(hidden, 0, out=hidden) if relu else np.tanh(hidden, out=hidden)
            return hidden

        return features


class EncodePath:
    """The step from stored observations to float inputs; it has no parameters and no gradient."""

    def __init__(self, body: MLP) -> None:
        self._body = body

    def forward(self, inputs: Tensor) -> Tensor:
        return self._body.encode(inputs)

    def backward(self, gradient: Tensor) -> Tensor | None:
        return None


class Headed(nn.Module):
    """A body and a linear head: observations [B, ...] to outputs [B, outputs]."""

    def __init__(self, body: nn.Module, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.features, outputs)

    def forward(self, observations: Tensor) -> Tensor:
        return self.head(self.body(observations))

    def fast_path(self, batch_size: int) -> FastPath | None:
        own = getattr(self.body, "fast_path", None)
        path = own(batch_size) if own is not None else None
        return None if path is None else ChainPath([path, LinearPath(self.head, batch_size)])

    def acting(self) -> ActingFunction:
        """Outputs for arrays of observations, without autograd; NumPy where the body offers it."""
        own = getattr(self.body, "acting", None)
        body = own() if own is not None else None
        if body is None:
            return self._module_acting
        weight, bias = self.head.weight.detach().numpy().T, self.head.bias.detach().numpy()
        return lambda observations: body(observations) @ weight + bias

    def _module_acting(self, observations: Array) -> Array:
        with torch.no_grad():
            inputs = torch.from_numpy(np.ascontiguousarray(observations)).to(self.head.weight.device)
            return self(inputs).cpu().numpy()
