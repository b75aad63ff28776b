"""Autograd: derivatives, and where they stop. Source throughout: Paszke et al. (2017), "Automatic differentiation in PyTorch"."""

from __future__ import annotations

import torch
from torch import Tensor


def polynomial(x: Tensor, *coefficients: float) -> Tensor:
    """``c_0 x^n + ... + c_n`` by element, the shape staying [*]; no coefficients give 0.

    Raises TypeError for anything but a tensor. Source: Horner's rule, Knuth (1997), section 4.6.4.

    >>> polynomial(torch.tensor(2.0), 1, 3, 1).item()  # 4 + 6 + 1
    11.0
    """
    value = torch.zeros_like(x)
    for coefficient in coefficients:
        value = value * x + coefficient
    return value


def derivative(x: Tensor, *coefficients: float) -> Tensor:
    """The derivative of `polynomial` at each element, by autograd; the shape stays [*].

    The result can be differentiated again. Raises RuntimeError (torch) for whole numbers, which have no
    gradient. Source: reverse accumulation, Paszke et al. (2017).

    >>> derivative(torch.tensor(2.0), 1, 3, 1).item()  # x^2 + 3 x + 1 at 2: 2 * 2 + 3
    7.0
    """
    with torch.enable_grad():
        point = x if x.requires_grad else x.detach().requires_grad_()
        value = polynomial(point, *coefficients) + 0 * point  # a constant has a derivative too
        found, = torch.autograd.grad(value.sum(), point, create_graph=x.requires_grad)
    return found


def detach(x: Tensor) -> Tensor:
    """The same elements [*] in the same memory, through which no gradient flows.

    Raises TypeError for anything but a tensor. Source: ``torch.Tensor.detach``.

    >>> x = torch.ones(1, requires_grad=True); (x * detach(x)).backward(); x.grad.item()  # x^2 would give 2
    1.0
    """
    return torch.Tensor.detach(x)


def no_grad(x: Tensor, *coefficients: float) -> Tensor:
    """`polynomial` without a record: the same numbers [*], but no gradient flows and no memory is kept for one.

    Raises TypeError for anything but a tensor. Source: ``torch.no_grad``.

    >>> no_grad(torch.tensor(2.0, requires_grad=True), 1, 3, 1).requires_grad
    False
    """
    with torch.no_grad():
        return polynomial(x, *coefficients)
