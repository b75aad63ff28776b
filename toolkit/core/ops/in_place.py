"""Operations that write into their first tensor, and return it; their partners without ``_`` leave it alone.

Autograd refuses to write into a leaf that requires a gradient, and into what a gradient still needs.
"""

from __future__ import annotations

import torch  # noqa: F401 (the examples use it)
from torch import Tensor


def add_(x: Tensor, y: Tensor) -> Tensor:
    """``x = x + y`` in x's memory; y broadcasts, x keeps its shape: [2, 3] and [3] -> [2, 3].

    Raises RuntimeError (torch) where the result would have another shape, or x is a leaf that requires a
    gradient. Source: ``torch.Tensor.add_``; its partner is add.

    >>> x = torch.tensor([1, 2]); add_(x, torch.tensor(10)) is x, x.tolist()
    (True, [11, 12])
    """
    return x.add_(y)


def multiply_(x: Tensor, y: Tensor) -> Tensor:
    """``x = x * y`` in x's memory; y broadcasts, x keeps its shape: [2, 3] and [3] -> [2, 3].

    Raises RuntimeError (torch) where the result would have another shape, or x is a leaf that requires a
    gradient. Source: ``torch.Tensor.mul_``; its partner is multiply.

    >>> x = torch.tensor([1, 2]); multiply_(x, torch.tensor(3)).tolist(), x.tolist()
    ([3, 6], [3, 6])
    """
    return x.mul_(y)


def relu_(x: Tensor) -> Tensor:
    """``x = max(x, 0)`` in x's memory; the shape stays [*].

    Raises RuntimeError (torch) where x is a leaf that requires a gradient. Source: ``torch.relu_``; its partner is relu.

    >>> x = torch.tensor([-1.0, 2.0]); relu_(x) is x, x.tolist()
    (True, [0.0, 2.0])
    """
    return x.relu_()


def unsqueeze_(x: Tensor, dim: int) -> Tensor:
    """x itself gets a new dimension of size 1 at ``dim``: [3], dim 0 -> [1, 3]; no element moves.

    Raises IndexError (torch) for a place that is not there. Source: ``torch.Tensor.unsqueeze_``; its partner is unsqueeze.

    >>> x = torch.tensor([1, 2]); unsqueeze_(x, 0) is x, x.shape
    (True, torch.Size([1, 2]))
    """
    return x.unsqueeze_(dim)


def transpose_(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions of x itself change places: [2, 3] -> [3, 2]; no element moves.

    Raises IndexError (torch) for a dimension that is not there. Source: ``torch.Tensor.transpose_``; its
    partner is transpose.

    >>> x = torch.tensor([[1, 2, 3]]); transpose_(x, 0, 1) is x, x.tolist()
    (True, [[1], [2], [3]])
    """
    return x.transpose_(dim0, dim1)


def copy_(x: Tensor, y: Tensor) -> Tensor:
    """y's elements into x's memory, in x's dtype and on x's device; y broadcasts: [2, 3] and [3] -> [2, 3].

    Raises RuntimeError (torch) where y does not fit x. Source: ``torch.Tensor.copy_``; its partner is clone.

    >>> x = torch.zeros(2); copy_(x, torch.tensor([1, 2])).tolist()
    [1.0, 2.0]
    """
    return x.copy_(y)
