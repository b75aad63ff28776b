"""Fully connected layers from columns to outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.core.configs import MLPModelConfig
from toolkit.core.layers.dropout import Dropout

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "elu": nn.ELU,
                                           "leaky-relu": nn.LeakyReLU}


class BatchNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` of rows [B, C]; one row alone, which deviates from nothing, is scaled by the running statistics."""

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) > 1:
            return super().forward(inputs)
        return functional.batch_norm(inputs, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class MLPModel(nn.Module):
    """``outputs = W_n(... act(norm(W_1 x)))``: inputs [B, inputs] to outputs [B, outputs]."""

    def __init__(self, config: MLPModelConfig, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = inputs
        for size in config.hidden_sizes:
            layers.append(nn.Linear(width, size))
            if config.norm != "none":
                layers.append(nn.LayerNorm(size) if config.norm == "layer" else BatchNorm(size))
            layers.append(ACTIVATIONS[config.activation]())
            layers += [Dropout(config.dropout)] if config.dropout else []
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))
        self.layers.apply(initialise)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self.layers(inputs), lengths


def initialise(module: nn.Module) -> None:
    """Weights as Glorot and Bengio (2010), equation 16, biases 0.

    He et al. (2015) look at the inputs alone: with few columns the first weights come out large, and so do the logits,
    and a short training on a small table does not undo what they say at random.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        with torch.no_grad():
            module.bias.zero_()
