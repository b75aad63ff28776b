"""Parts of a tensor. Slices share memory; what is chosen by lists of places or by a mask is a copy."""

from __future__ import annotations

import torch
from torch import Tensor


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """``x[..., index, ...]`` at dimension ``dim``, which is gone: [2, 3], dim 0 -> [3]. Shares memory.

    Negative places count from the end. Raises IndexError (torch) for a place that is not there. Source: ``torch.select``.

    >>> select(torch.tensor([[0, 1, 2], [3, 4, 5]]), 1, -1).tolist()
    [2, 5]
    """
    return x.select(dim, index)


def cut(x: Tensor, dim: int, start: int, stop: int, step: int = 1) -> Tensor:
    """``x[..., start:stop:step, ...]`` at dimension ``dim``: [5], 1 to 5 by 2 -> [2]. Shares memory.

    Ends past the size are taken as the size. Raises ValueError (torch) for a step below 1, IndexError for a
    dimension that is not there. Source: Python's slices; ``torch.Tensor.__getitem__``.

    >>> cut(torch.tensor([0, 1, 2, 3, 4]), 0, 1, 5, 2).tolist()
    [1, 3]
    """
    places: list[slice] = [slice(None)] * x.dim()
    places[dim] = slice(start, stop, step)
    return x[tuple(places)]


def index_select(x: Tensor, dim: int, *places: int) -> Tensor:
    """The places of dimension ``dim`` in the order asked for, as a copy: [4, 2], places 3 0 3 -> [3, 2].

    Raises IndexError (torch) for a place that is not there; negative ones are not allowed. Source: ``torch.index_select``.

    >>> index_select(torch.tensor([5, 6, 7]), 0, 2, 0, 2).tolist()
    [7, 5, 7]
    """
    return x.index_select(dim, torch.tensor(places, dtype=torch.int64, device=x.device))


def gather(x: Tensor, index: Tensor, dim: int = -1) -> Tensor:
    """``out[i, j] = x[i, index[i, j]]`` for the last dimension of two: one place a row, index's shape [*], as a copy.

    Raises RuntimeError (torch) for places that are not int64 or not there. Source: ``torch.gather``.

    >>> gather(torch.tensor([[5, 6], [7, 8]]), torch.tensor([[1], [0]])).tolist()
    [[6], [7]]
    """
    return x.gather(dim, index)


def where(x: Tensor, y: Tensor, above: float = 0.0) -> Tensor:
    """x where x is larger than ``above``, else y; shapes broadcast: [2, 3] and [3] -> [2, 3], as a copy.

    Raises RuntimeError (torch) for shapes that do not fit. Source: ``torch.where``.

    >>> where(torch.tensor([-1.0, 2.0]), torch.tensor(0.0)).tolist()
    [0.0, 2.0]
    """
    return torch.where(x > above, x, y)


def masked_select(x: Tensor, above: float = 0.0) -> Tensor:
    """The elements larger than ``above``, in order, as a copy: shape [how many there are].

    Raises TypeError for anything but a tensor. Source: ``torch.masked_select``.

    >>> masked_select(torch.tensor([[-1.0, 2.0], [3.0, 0.0]])).tolist()
    [2.0, 3.0]
    """
    return x.masked_select(x > above)
