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

    Shapes: r_t, discount_t [..., B]; p_t [..., B, Z] probabilities of ``support`` [Z], evenly spaced;
    returns [..., B, Z]. Each moved atom is split between its two neighbours by distance; the share of
    the upper one is zero where it lies on the lower one, which the paper's loop loses.
    """
    last = len(support) - 1
    moved = r_t.unsqueeze(-1) + discount_t.unsqueeze(-1) * support  # [..., B, Z]
    place = ((moved - support[0]) / (support[1] - support[0])).clamp(0.0, last)
    if not place.is_cpu:  # a GPU scatters in any order, and a run must repeat; all pairs of atoms cost it little
        overlap = (1.0 - (place.unsqueeze(-1) - torch.arange(last + 1, device=place.device)).abs()).clamp(min=0.0)
        return torch.einsum("...i,...ij->...j", p_t, overlap)
    lower = place.floor()
    upper_share = place - lower
    index = lower.long()
    projected = torch.zeros_like(p_t).scatter_add_(-1, index, p_t * (1.0 - upper_share))
    return projected.scatter_add_(-1, (index + 1).clamp(max=last), p_t * upper_share)


def quantile_huber(theta_tm1: Tensor, theta_t: Tensor, midpoints: Tensor) -> tuple[Tensor, Tensor]:
    """The quantile Huber loss (Dabney et al., 2018, equation 10) and its derivative by ``theta_tm1``.

    Shapes: theta_tm1 [B, Z] predicted quantiles at ``midpoints`` [Z], theta_t [B, Z] target
    samples; returns [B] (summed over predicted quantiles, averaged over targets) and [B, Z].
    """
    delta = theta_t.unsqueeze(-2) - theta_tm1.unsqueeze(-1)  # [B, Z, Z], targets last
    above = midpoints.unsqueeze(-1)
    slope = huber_gradient(delta)
    weighted = slope * torch.where(delta < 0, 1.0 - above, above)
    # Huber's loss is its slope times (delta - slope / 2), within [-1, 1] and outside: fewer passes over all the pairs.
    loss = (weighted * torch.sub(delta, slope, alpha=0.5)).mean(-1).sum(-1)
    return loss, -weighted.mean(-1)


def huber_gradient(delta: Tensor) -> Tensor:
    """The derivative of the Huber loss (threshold 1) by ``delta``: ``delta`` cut to [-1, 1]."""
    return delta.clamp(-1.0, 1.0)


def huber(delta: Tensor) -> Tensor:
    """``delta**2 / 2`` within [-1, 1], ``|delta| - 1/2`` outside (Huber, 1964, threshold 1)."""
    size = delta.abs()
    quadratic = size.clamp(max=1.0)
    return quadratic * (size - 0.5 * quadratic)
