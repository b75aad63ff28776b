"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor


def dot(x: Tensor, y: Tensor) -> Tensor:
    """``sum_i x[i] * y[i]``: [n] and [n] -> []. Raises RuntimeError (torch) for other shapes. Source: ``torch.dot``.

    >>> dot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).item()
    11.0
    """
    return torch.dot(x, y)


def outer(x: Tensor, y: Tensor) -> Tensor:
    """``out[i, j] = x[i] * y[j]``: [n] and [m] -> [n, m]. Raises RuntimeError (torch) for other shapes.

    Source: ``torch.outer``.

    >>> outer(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    return torch.outer(x, y)


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]``: [n, k] and [k, m] -> [n, m].

    Dimensions before the last two are a batch and broadcast: [5, n, k] and [k, m] -> [5, n, m]. One
    dimension alone is a row on the left and a column on the right, and is gone in the result. Raises
    RuntimeError (torch) where the inner sizes differ. Source: ``torch.matmul``.

    >>> matmul(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 1.0])).tolist()
    [3.0, 7.0]
    """
    return x @ y
