"""Arithmetic by element, with broadcasting, and sums.

Broadcasting: shapes are compared from the last dimension on; sizes must be equal, or one of them 1 or
absent, which is then repeated without being copied. The gradient of a repeated number is the sum over
its repetitions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def add(x: Tensor, y: Tensor) -> Tensor:
    """``x + y``, shapes broadcast: [2, 3] and [3] -> [2, 3]. Raises RuntimeError (torch) for shapes that do not fit.

    Source: broadcasting as in Harris et al. (2020).

    >>> add(torch.tensor([[1], [2]]), torch.tensor([10, 20])).tolist()
    [[11, 21], [12, 22]]
    """
    return x + y


def subtract(x: Tensor, y: Tensor) -> Tensor:
    """``x - y``, shapes broadcast: [2, 3] and [3] -> [2, 3]. Raises RuntimeError (torch) for shapes that do not fit.

    Source: broadcasting as in Harris et al. (2020).

    >>> subtract(torch.tensor([5, 7]), torch.tensor(2)).tolist()
    [3, 5]
    """
    return x - y


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """``x * y`` by element (not the matrix product), shapes broadcast: [2, 1] and [3] -> [2, 3].

    Raises RuntimeError (torch) for shapes that do not fit. Source: broadcasting as in Harris et al. (2020).

    >>> multiply(torch.tensor([[1], [2]]), torch.tensor([3, 4, 5])).tolist()
    [[3, 4, 5], [6, 8, 10]]
    """
    return x * y


def divide(x: Tensor, y: Tensor) -> Tensor:
    """``x / y``, shapes broadcast: [2, 3] and [3] -> [2, 3]; whole numbers give float32, and 1 / 0 is infinite.

    Raises RuntimeError (torch) for shapes that do not fit. Source: IEEE 754; broadcasting as in Harris et al. (2020).

    >>> divide(torch.tensor([1, 3]), torch.tensor([2, 0])).tolist()
    [0.5, inf]
    """
    return x / y


def power(x: Tensor, exponent: float) -> Tensor:
    """``x ** exponent`` by element, the shape staying [*]; a negative x with a fraction for exponent is NaN.

    Raises RuntimeError (torch) for whole numbers with a negative exponent. Source: ``torch.pow``.

    >>> power(torch.tensor([1.0, 2.0, 3.0]), 2).tolist()
    [1.0, 4.0, 9.0]
    """
    return x ** exponent


def exp(x: Tensor) -> Tensor:
    """``e ** x`` by element, the shape staying [*]. Raises TypeError for anything but a tensor. Source: ``torch.exp``.

    >>> exp(torch.tensor([0.0, 1.0])).mul(1000).round().tolist()
    [1000.0, 2718.0]
    """
    return torch.exp(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm by element, the shape staying [*]; 0 gives minus infinity, less gives NaN.

    Raises TypeError for anything but a tensor. Source: ``torch.log``.

    >>> log(torch.tensor([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    return torch.log(x)


def relu(x: Tensor) -> Tensor:
    """``max(x, 0)`` by element, the shape staying [*]; at 0 its gradient is 0.

    Raises TypeError for anything but a tensor. Source: Nair and Hinton (2010).

    >>> relu(torch.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return torch.relu(x)


def total(x: Tensor, dim: int | None = None) -> Tensor:
    """The sum of all elements, shape []; with ``dim`` over that dimension alone: [2, 3], dim 0 -> [3].

    Raises IndexError (torch) for a dimension that is not there. Source: ``torch.sum``.

    >>> total(torch.tensor([[1, 2], [3, 4]])).item(), total(torch.tensor([[1, 2], [3, 4]]), 0).tolist()
    (10, [4, 6])
    """
    return x.sum() if dim is None else x.sum(dim)


def mean(x: Tensor, dim: int | None = None) -> Tensor:
    """The mean of all elements, shape []; with ``dim`` over that dimension alone: [2, 3], dim 0 -> [3].

    Raises IndexError (torch) for a dimension that is not there, RuntimeError for whole numbers. Source: ``torch.mean``.

    >>> mean(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [1.5, 3.5]
    """
    return x.mean() if dim is None else x.mean(dim)


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` over ``dim``, the shape staying [*]: positive shares that add to 1.

    Raises IndexError (torch) for a dimension that is not there. Source: Bridle (1990), equation 2.

    >>> softmax(torch.tensor([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    return torch.softmax(x, dim)
