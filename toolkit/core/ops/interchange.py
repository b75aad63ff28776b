"""To and from NumPy, other types, other devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_numpy(x: Tensor) -> np.ndarray[Any, Any]:
    """An array of the same shape [*] over the same memory, where x is on the CPU: writing to one writes to both.

    Raises TypeError (torch) for a tensor on another device and RuntimeError for one that requires a gradient
    (detach it first). Source: ``torch.Tensor.numpy``.

    >>> x = torch.zeros(2); to_numpy(x)[0] = 5; x.tolist()
    [5.0, 0.0]
    """
    return x.numpy()


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor of the same shape [*] and type over the array's memory: writing to one writes to both.

    Raises TypeError (torch) for what is not an array or holds anything but numbers, ValueError for negative
    strides. Source: ``torch.from_numpy``.

    >>> array = np.zeros(2); from_numpy(array).add_(1).tolist(), array.tolist()
    ([1.0, 1.0], [1.0, 1.0])
    """
    return torch.from_numpy(array)


def clone(x: Tensor) -> Tensor:
    """A copy with memory of its own, through which gradients flow; the shape stays [*].

    Raises TypeError for anything but a tensor. Source: ``torch.clone``.

    >>> x = torch.zeros(1); clone(x).add_(1).item(), x.item()
    (1.0, 0.0)
    """
    return torch.clone(x)


def to_dtype(x: Tensor, dtype: str) -> Tensor:
    """The elements as another type, the shape staying [*]: float32, float64, bfloat16, int64, bool, ...

    x itself where it already is. Fractions are cut off towards 0. Raises TypeError for a name that is no type of
    torch. Source: ``torch.Tensor.to``.

    >>> to_dtype(torch.tensor([1.7, -1.7]), "int64").tolist()
    [1, -1]
    """
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"{dtype!r} is no type of torch; some are float32, float64, bfloat16, int64, bool")
    return x.to(found)


def to_device(x: Tensor, device: str = "cpu") -> Tensor:
    """The elements on another device (cpu, cuda, cuda:1, meta), the shape staying [*]; x itself where it already is.

    Gradients flow back to where x is. Raises RuntimeError (torch) for a device that is not there.
    Source: ``torch.Tensor.to``.

    >>> x = torch.zeros(2); to_device(x, "cpu") is x, to_device(x, "meta").device.type
    (True, 'meta')
    """
    return x.to(device)
