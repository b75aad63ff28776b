"""Temporal-difference targets, as pure functions.

Letters: B transitions, Z atoms or quantiles, 1 for a value. Names carry their time: ``q_tm1`` at the step, ``q_t`` after it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bootstrapped(r_t: Tensor, discount_t: Tensor, outputs_t: Tensor) -> Tensor:
    """``r + discount * z`` for each output z of the next action (Watkins and Dayan, 1992): its value, or quantiles of it.

    Shapes: r_t [..., B], discount_t [..., B] (zero where the episode terminated, not where it was truncated); outputs_t, and
    what is returned, [..., B, Z].
    """
    return r_t.unsqueeze(-1) + discount_t.unsqueeze(-1) * outputs_t


def project(r_t: Tensor, discount_t: Tensor, p_t: Tensor, support: Tensor) -> Tensor:
    """The distribution of ``r + discount * z`` put back on the support (Bellemare et al., 2017, algorithm 1).

    Shapes: r_t, discount_t [B]; p_t [B, Z] probabilities of ``support`` [Z], evenly spaced; returns
    [B, Z]. Each moved atom is split between its two neighbours by distance; a sum over all pairs of
    triangular weights says the same as the paper's loop without its special case for whole numbers.
    """
    width = support[1] - support[0]
    moved = (r_t.unsqueeze(-1) + discount_t.unsqueeze(-1) * support).clamp(support[0], support[-1])  # [B, Z]
    overlap = (1.0 - (moved.unsqueeze(-1) - support).abs() / width).clamp(min=0.0)  # [B, Z, Z]
    return torch.einsum("bi,bij->bj", p_t, overlap)


def quantile_huber(theta_tm1: Tensor, theta_t: Tensor, midpoints: Tensor) -> tuple[Tensor, Tensor]:
    """The quantile Huber loss (Dabney et al., 2018, equation 10) and its derivative by ``theta_tm1``.

    Shapes: theta_tm1 [B, Z] predicted quantiles at ``midpoints`` [Z], theta_t [B, Z] target
    samples; returns [B] (summed over predicted quantiles, averaged over targets) and [B, Z].
    """
    delta = theta_t.unsqueeze(-2) - theta_tm1.unsqueeze(-1)  # [B, Z, Z], targets last
    weight = (midpoints.unsqueeze(-1) - (delta < 0).float()).abs()
    loss = (weight * huber(delta)).mean(-1).sum(-1)
    return loss, -(weight * huber_gradient(delta)).mean(-1)


def huber_gradient(delta: Tensor) -> Tensor:
    """The derivative of the Huber loss (threshold 1) by ``delta``: ``delta`` cut to [-1, 1]."""
    return delta.clamp(-1.0, 1.0)


def huber(delta: Tensor) -> Tensor:
    """``delta**2 / 2`` within [-1, 1], ``|delta| - 1/2`` outside (Huber, 1964, threshold 1)."""
    size = delta.abs()
    quadratic = size.clamp(max=1.0)
    return quadratic * (size - 0.5 * quadratic)
