"""Other shapes of the same elements. What shares memory with its input says so."""

from __future__ import annotations

import torch
from torch import Tensor


def view(x: Tensor, *shape: int) -> Tensor:
    """The same elements in the same order in another shape, sharing memory: [2, 3] -> [3, 2].

    One size may be -1: what is left. Raises RuntimeError (torch) where the number of elements differs, or
    where the strides do not allow it (after a transpose: use reshape). Source: ``torch.Tensor.view``.

    >>> view(torch.arange(6), 3, -1).tolist()
    [[0, 1], [2, 3], [4, 5]]
    """
    return x.view(*shape)


def reshape(x: Tensor, *shape: int) -> Tensor:
    """As view where that can be, else a copy: [2, 3] -> [3, 2].

    Raises RuntimeError (torch) where the number of elements differs. Source: ``torch.reshape``.

    >>> reshape(torch.arange(6).view(2, 3).t(), 6).tolist()
    [0, 3, 1, 4, 2, 5]
    """
    return x.reshape(*shape)


def flatten(x: Tensor, start: int = 0, end: int = -1) -> Tensor:
    """Dimensions ``start`` to ``end`` become one: [2, 3, 4], start 1 -> [2, 12]. Shares memory where it can.

    Raises IndexError (torch) for a dimension that is not there. Source: ``torch.flatten``.

    >>> flatten(torch.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    return x.flatten(start, end)


def squeeze(x: Tensor, dim: int | None = None) -> Tensor:
    """Without dimensions of size 1, or without ``dim`` if its size is 1: [1, 3, 1] -> [3]. Shares memory.

    Raises IndexError (torch) for a dimension that is not there. Source: ``torch.squeeze``.

    >>> squeeze(torch.zeros(1, 3, 1)).shape, squeeze(torch.zeros(1, 3, 1), 0).shape
    (torch.Size([3]), torch.Size([3, 1]))
    """
    return x.squeeze() if dim is None else x.squeeze(dim)


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at ``dim``: [3], dim 0 -> [1, 3]. Shares memory.

    Raises IndexError (torch) for a place that is not there. Source: ``torch.unsqueeze``.

    >>> unsqueeze(torch.tensor([1, 2]), 1).tolist()
    [[1], [2]]
    """
    return x.unsqueeze(dim)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """``out[..., i, ..., j, ...] = x[..., j, ..., i, ...]``: two dimensions change places, [2, 3] -> [3, 2].

    Shares memory: only the two sizes and the two strides change places, so the result is no longer
    contiguous. Raises IndexError (torch) for a dimension that is not there. Source: ``torch.transpose``.

    >>> transpose(torch.tensor([[0, 1, 2], [3, 4, 5]]), 0, 1).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    return x.transpose(dim0, dim1)


def permute(x: Tensor, *dims: int) -> Tensor:
    """Dimension k of the result is dimension ``dims[k]`` of x: [2, 3, 4], dims 2 0 1 -> [4, 2, 3]. Shares memory.

    Raises RuntimeError (torch) unless each dimension is named once. Source: ``torch.permute``.

    >>> permute(torch.zeros(2, 3, 4), 2, 0, 1).shape
    torch.Size([4, 2, 3])
    """
    return x.permute(*dims)


def expand(x: Tensor, *shape: int) -> Tensor:
    """Dimensions of size 1 repeated to ``shape`` without a copy: [3, 1] -> [3, 4]; their stride is 0. Shares memory.

    Raises RuntimeError (torch) for a size that is neither 1 nor the one asked for. Source: ``torch.Tensor.expand``.

    >>> expand(torch.tensor([[1], [2]]), 2, 3).tolist()
    [[1, 1, 1], [2, 2, 2]]
    """
    return x.expand(*shape)


def contiguous(x: Tensor) -> Tensor:
    """x itself where its elements lie in order in memory, else a copy in which they do; the shape stays [*].

    Raises TypeError for anything but a tensor. Source: ``torch.Tensor.contiguous``.

    >>> contiguous(torch.zeros(2, 3).t()).stride()
    (2, 1)
    """
    return x.contiguous()


def cat(x: Tensor, y: Tensor, dim: int = 0) -> Tensor:
    """y after x along ``dim``, as a copy: [2, 3] and [1, 3] -> [3, 3].

    Raises RuntimeError (torch) where another size differs. Source: ``torch.cat``.

    >>> cat(torch.tensor([1, 2]), torch.tensor([3])).tolist()
    [1, 2, 3]
    """
    return torch.cat([x, y], dim)


def stack(x: Tensor, y: Tensor, dim: int = 0) -> Tensor:
    """x and y side by side along a new dimension, as a copy: [3] and [3] -> [2, 3].

    Raises RuntimeError (torch) where shapes differ. Source: ``torch.stack``.

    >>> stack(torch.tensor([1, 2]), torch.tensor([3, 4]), 1).tolist()
    [[1, 3], [2, 4]]
    """
    return torch.stack([x, y], dim)
