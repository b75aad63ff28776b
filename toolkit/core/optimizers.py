"""Optimizers over flat parameters: one fused call a step."""

from __future__ import annotations

from typing import Any

import torch

from toolkit.core.flat import FlatParameters


class FlatAdam:
    """Adam (Kingma and Ba, 2015, algorithm 1) on one flat buffer.

    It calls the fused kernel that ``torch.optim.Adam(fused=True)`` calls, without the bookkeeping
    for parameter groups, which costs more than the arithmetic on small networks. A test holds it
    equal to ``torch.optim.Adam`` to the bit.
    """

    def __init__(self, parameters: FlatParameters, eps: float = 1e-8, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self._values, self._gradients = [parameters.values], [parameters.gradients]
        self._first = [torch.zeros_like(parameters.values)]
        self._second = [torch.zeros_like(parameters.values)]
        self._step = [torch.zeros((), dtype=torch.float32, device=parameters.values.device)]
        self._eps, self._betas = eps, betas

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        self._step[0] += 1
        torch._fused_adam_(
            self._values, self._gradients, self._first, self._second, [], self._step, lr=learning_rate,
            beta1=self._betas[0], beta2=self._betas[1], weight_decay=0.0, eps=self._eps, amsgrad=False, maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"first_moment": self._first[0], "second_moment": self._second[0], "step": self._step[0]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first[0].copy_(state["first_moment"])
        self._second[0].copy_(state["second_moment"])
        self._step[0].copy_(state["step"])


class FlatRMSprop:
    """RMSprop (Tieleman and Hinton, 2012) on one flat buffer, as ``torch.optim.RMSprop`` computes it.

    ``eps`` is added to the root of the running mean square, not under it.
    """

    def __init__(self, parameters: FlatParameters, alpha: float = 0.99, eps: float = 1e-8) -> None:
        self._values, self._gradients = parameters.values, parameters.gradients
        self._square = torch.zeros_like(parameters.values)
        self._root = torch.empty_like(parameters.values)
        self._alpha, self._eps = alpha, eps

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        self._square.mul_(self._alpha).addcmul_(self._gradients, self._gradients, value=1 - self._alpha)
        torch.sqrt(self._square, out=self._root)
        self._values.addcdiv_(self._gradients, self._root.add_(self._eps), value=-learning_rate)

    def state_dict(self) -> dict[str, Any]:
        return {"square_average": self._square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._square.copy_(state["square_average"])
