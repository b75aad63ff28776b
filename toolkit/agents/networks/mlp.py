"""``mlp``: fully connected layers over flat observations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from toolkit.agents.base import ActingFunction, Array, FastPath
from toolkit.agents.configs import MLPConfig
from toolkit.agents.networks.encode import Encoder
from toolkit.agents.networks.fast import ChainPath, LinearPath, NormPath

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Observations [B, ...], encoded as flat inputs, to features [B, hidden_sizes[-1]].

    Weights start as `torch.nn.Linear` sets them.
    """

    def __init__(self, config: MLPConfig, *, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(observation_space)
        widths = [self.encoder.size, *config.hidden_sizes]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in config.hidden_sizes) if config.layer_norm else None
        self.activation = ACTIVATIONS[config.activation]()
        self.features = widths[-1]

    def forward(self, observations: Tensor) -> Tensor:
        hidden = self.encoder(observations)
        for index, layer in enumerate(self.layers):
            sums = layer(hidden)
            hidden = self.activation(sums if self.norms is None else self.norms[index](sums))
        return hidden

    @property
    def linear(self) -> list[nn.Linear]:
        """The layers, with their type."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    @property
    def normal(self) -> list[nn.LayerNorm]:
        """The norms that follow the layers, with their type; none where there are none."""
        return [norm for norm in self.norms or () if isinstance(norm, nn.LayerNorm)]

    def fast_path(self, batch_size: int) -> FastPath | None:
        """The layers by hand."""
        layers: list[FastPath] = []
        for index, layer in enumerate(self.linear):
            layers.append(LinearPath(layer, batch_size, "" if self.normal else self.config.activation, first=index == 0))
            if self.normal:
                layers.append(NormPath(self.normal[index], self.config.activation))
        return ChainPath(layers if self.encoder.plain else [EncodePath(self.encoder), *layers])

    def acting(self) -> ActingFunction | None:
        """The layers in NumPy, on views of the parameters' memory; None off the CPU."""
        if any(layer.weight.device.type != "cpu" for layer in self.linear):
            return None
        weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in self.linear]
        norms = [normaliser(norm) for norm in self.normal]
        relu, encoder = self.config.activation == "relu", self.encoder

        def features(observations: Array) -> Array:
            hidden = observations if encoder.plain else encoder(torch.from_numpy(observations)).numpy()  # [N, D]
            for index, (weight, bias) in enumerate(weights):
                hidden = hidden @ weight
                hidden += bias
                if norms:
                    hidden = norms[index](hidden)
                hidden = np.maximum(hidden, 0, out=hidden) if relu else np.tanh(hidden, out=hidden)
            return hidden

        return features


def normaliser(norm: nn.LayerNorm) -> Callable[[Array], Array]:
    """A layer norm in NumPy: sums [N, O] to the normalised ones."""
    weight, bias, eps = norm.weight.detach().numpy(), norm.bias.detach().numpy(), norm.eps

    def normalised(sums: Array) -> Array:
        centred = sums - sums.mean(1, keepdims=True)
        centred *= weight / np.sqrt(np.square(centred).mean(1, keepdims=True) + eps)
        centred += bias
        return centred

    return normalised


class EncodePath:
    """The step from stored observations to float inputs; it has no parameters and no gradient."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def forward(self, inputs: Tensor) -> Tensor:
        return self._encoder(inputs)

    def backward(self, gradient: Tensor) -> Tensor | None:
        return None


class Headed(nn.Module):
    """A body and a linear head: observations [B, ...] to outputs [B, outputs]."""

    def __init__(self, body: nn.Module, outputs: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(int(getattr(body, "features")), outputs)  # noqa: B009 (a Module's attributes have no type)

    def forward(self, observations: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(observations))
        return outputs

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
            outputs: Array = self(inputs).cpu().numpy()
        return outputs
