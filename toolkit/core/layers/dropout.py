"""Dropout that draws quickly on a CPU: torch draws a number for each element, which costs more than what it is drawn for.

dropped  a share of the elements at 0, the rest scaled up
Dropout  the same as a layer, with torch's constructor
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 1 << 16  # of a share: an element is judged by 16 bits
SMALL = 4096  # elements below which torch's own kernel is quicker than four calls


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, by `dropped`: x of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return dropped(x, self.p) if self.training else x


def dropped(x: Tensor, share: float) -> Tensor:
    """x of any shape with a ``share`` of its elements at 0 and the others scaled up, so that the mean stays.

    On a CPU the share is rounded to a multiple of 2^-16, and the others scaled by what it then is. It reads torch's default
    generator. Source: Srivastava et al. (2014).
    """
    below = round(share * STEPS)
    if x.device.type != "cpu" or x.numel() < SMALL or not 0 < below < STEPS:
        return F.dropout(x, share)
    mask = (drawn(x.numel()) >= below - STEPS // 2).to(x.dtype).mul_(STEPS / (STEPS - below))
    return x * mask.view(x.shape)


def drawn(count: int) -> Tensor:
    """16 random bits for each of ``count`` elements: int16 [count]; four of them at a time."""
    return torch.empty(-(-count // 4), dtype=torch.int64).random_(-1 << 63, None).view(torch.int16)[:count]
