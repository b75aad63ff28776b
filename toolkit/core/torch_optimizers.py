"""Optimizers over any module's parameters, by name, in the fastest exact form torch has for the device.

``fused`` is one kernel for all parameters and exists for SGD, Adam and AdamW on CPU and CUDA;
``foreach`` (RMSprop) batches the arithmetic over parameters. All take the parameters, of any shape, and
the learning rate, in the parameters' unit over the gradients' (SGD) or in the parameters' own unit a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from toolkit.config import Part
from toolkit.core.configs import AdamConfig, AdamWConfig, RMSpropConfig, SGDConfig
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry

Parameters = Iterable[nn.Parameter]


def sgd(config: SGDConfig, parameters: Parameters, learning_rate: float = 0.01) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum: ``v = momentum v + g; p -= learning_rate v``.

    Source: Sutskever et al. (2013), equations 1-2, in torch's form. Parameters have any shape. Raises ValueError (torch) for
    ``nesterov`` without momentum, and for no parameters at all.

    >>> p = nn.Parameter(torch.tensor([1.0])); p.grad = torch.tensor([2.0])
    >>> sgd(SGDConfig(), [p], 0.1).step(); round(float(p.detach()), 4)
    0.8
    """
    return torch.optim.SGD(list(parameters), lr=learning_rate, momentum=config.momentum, nesterov=config.nesterov,
                           weight_decay=config.weight_decay, fused=True)


def adam(config: AdamConfig, parameters: Parameters, learning_rate: float = 1e-3) -> torch.optim.Optimizer:
    """Adam: steps of the mean gradient over the root of the mean square. Source: Kingma and Ba (2015), algorithm 1.

    Parameters have any shape. The first step is ``learning_rate`` long in each direction. Raises ValueError (torch) for
    no parameters.

    >>> p = nn.Parameter(torch.tensor([1.0])); p.grad = torch.tensor([5.0])
    >>> adam(AdamConfig(), [p], 0.1).step(); round(float(p.detach()), 4)
    0.9
    """
    return torch.optim.Adam(list(parameters), lr=learning_rate, betas=(config.beta1, config.beta2), eps=config.eps,
                            weight_decay=config.weight_decay, fused=True)


def adamw(config: AdamWConfig, parameters: Parameters, learning_rate: float = 1e-3) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay, on matrices only: biases and norms (one dimension) do not decay.

    Source: Loshchilov and Hutter (2019), algorithm 2. Parameters have any shape: those of two dimensions
    or more decay. Raises ValueError (torch) for no parameters.

    >>> p = nn.Parameter(torch.tensor([[1.0]])); p.grad = torch.tensor([[5.0]])
    >>> adamw(AdamWConfig(weight_decay=0.5), [p], 0.1).step(); round(float(p.detach()), 4)  # 1 - 0.1 * 0.5 * 1 - 0.1
    0.85
    """
    every = list(parameters)
    groups = [{"params": [p for p in every if p.dim() > 1], "weight_decay": config.weight_decay},
              {"params": [p for p in every if p.dim() <= 1], "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate,
                             betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def rmsprop(config: RMSpropConfig, parameters: Parameters, learning_rate: float = 1e-3) -> torch.optim.Optimizer:
    """Gradients over the root of their running mean square. Source: Tieleman and Hinton (2012), lecture 6e.

    Parameters have any shape. Raises ValueError (torch) for no parameters.

    >>> p = nn.Parameter(torch.tensor([1.0])); p.grad = torch.tensor([5.0])
    >>> rmsprop(RMSpropConfig(), [p], 0.01).step(); round(float(p.detach()), 4)  # 1 - 0.01 * 5 / sqrt(0.01 * 25)
    0.9
    """
    return torch.optim.RMSprop(list(parameters), lr=learning_rate, alpha=config.alpha, eps=config.eps,
                               momentum=config.momentum, weight_decay=config.weight_decay, foreach=True)


def make_optimizer(chosen: Part, parameters: Parameters, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer ``chosen``, over ``parameters``. Raises ToolkitError for a component that gives something else."""
    try:
        made = registry.make("optimizer", chosen, parameters=parameters, learning_rate=learning_rate)
    except ValueError as error:  # torch's, about options that do not go together
        if isinstance(error, ToolkitError):
            raise
        raise UsageError(f"--optimizer {chosen.name}: {error}. Its settings: toolkit info optimizer {chosen.name}") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise ToolkitError(f"the optimizer {chosen.name!r} gives {type(made).__name__}, promised: a torch.optim.Optimizer over "
                           f"the parameters. See: toolkit check optimizer {chosen.name}")
    return made


class OptimizerState:
    """An optimizer's moments as a named part of a checkpoint; its options come from the run's config."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        state: Mapping[int, Mapping[str, Any]] = self.optimizer.state_dict()["state"]
        return {str(index): dict(values) for index, values in state.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict({"state": {int(index): values for index, values in state.items()},
                                        "param_groups": self.optimizer.state_dict()["param_groups"]})


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """One learning rate for every group, times the group's own ``scale`` where it has one."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("scale", 1.0)
