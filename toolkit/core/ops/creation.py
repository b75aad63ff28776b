"""New tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def zeros(*shape: int) -> Tensor:
    """All elements 0: shape [*shape], float32. Raises RuntimeError (torch) for a negative size. Source: ``torch.zeros``.

    >>> zeros(2, 3).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return torch.zeros(shape)


def ones(*shape: int) -> Tensor:
    """All elements 1: shape [*shape], float32. Raises RuntimeError (torch) for a negative size. Source: ``torch.ones``.

    >>> ones(3).tolist()
    [1.0, 1.0, 1.0]
    """
    return torch.ones(shape)


def full(value: float, *shape: int) -> Tensor:
    """All elements ``value``: shape [*shape], float32. Raises RuntimeError (torch) for a negative size.

    Source: ``torch.full``.

    >>> full(7, 2).tolist()
    [7.0, 7.0]
    """
    return torch.full(shape, float(value))


def arange(start: float, stop: float, step: float = 1) -> Tensor:
    """``start, start + step, ...`` up to but without ``stop``: shape [ceil((stop - start) / step)].

    int64 for whole numbers, else float32. Raises RuntimeError (torch) for a step of 0 or of the wrong sign.
    Source: ``torch.arange``.

    >>> arange(0, 5, 2).tolist()
    [0, 2, 4]
    """
    return torch.arange(start, stop, step)


def linspace(start: float, stop: float, count: int) -> Tensor:
    """``count`` numbers at even distances from ``start`` to ``stop``, both included: shape [count], float32.

    Raises RuntimeError (torch) for a negative count. Source: ``torch.linspace``.

    >>> linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    return torch.linspace(start, stop, count)


def eye(size: int) -> Tensor:
    """The identity: shape [size, size], 1 on the diagonal, float32. Raises RuntimeError (torch) for a negative size.

    Source: ``torch.eye``.

    >>> eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return torch.eye(size)


def normal(seed: int, *shape: int) -> Tensor:
    """Draws of the standard normal distribution: shape [*shape], float32; the same seed gives the same numbers.

    It has a generator of its own, and leaves torch's default one alone. Raises RuntimeError (torch) for a
    negative size. Source: ``torch.randn``.

    >>> bool((normal(0, 3) == normal(0, 3)).all()), normal(0, 2, 3).shape
    (True, torch.Size([2, 3]))
    """
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
