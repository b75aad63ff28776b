"""A tensor operation: what is left of a tensor's numbers when the small ones are made smaller."""

from __future__ import annotations

import torch
from torch import Tensor


def component(x: Tensor, threshold: float = 0.5) -> Tensor:
    """``sign(x) max(|x| - threshold, 0)``, of the shape of x: soft thresholding (Donoho, 1995, equation 7).

    >>> component(torch.tensor([-2.0, 0.25, 1.0])).tolist()
    [-1.5, 0.0, 0.5]
    """
    return torch.sign(x) * (x.abs() - threshold).clamp(min=0.0)
