"""A loss of numbers: squared where an error is small, a line where it is large, smooth in between."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.nn import functional

from toolkit.core.losses import Elementwise


class Component(Elementwise):
    """``scale^2 log cosh(error / scale)``, in the target's unit squared.

    The mean, lengths and the check of shapes come with `Elementwise`.

    >>> import torch, toolkit
    >>> loss = toolkit.make("loss", "component", scale=1.0)
    >>> round(float(loss(torch.tensor([3.0]), torch.tensor([0.0]))), 4)  # log cosh 3
    2.3093
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.scale = config.scale

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        errors = (outputs - targets).abs() / self.scale
        return self.scale ** 2 * (errors + functional.softplus(-2 * errors) - math.log(2))  # log cosh that cannot overflow
