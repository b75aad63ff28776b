"""Which device a run computes on."""

from __future__ import annotations

import torch

from toolkit.errors import UsageError

CHOICES = ("auto", "cpu", "cuda")


def select(device: str) -> torch.device:
    """The torch device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises UsageError when CUDA is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for, and torch sees no CUDA device here. Use --device cpu, "
                         "or see what torch finds: toolkit doctor")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
