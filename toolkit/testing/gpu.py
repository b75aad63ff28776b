"""What components promise where torch sees a GPU: what they give on the CPU, but for the rounding of sums.

gpu        the device, or NotPromised where there is none
unrounded  products in full float32, as on the CPU; by default convolutions there round their factors to TF32
moved      tensors, and whatever holds them, on the device
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from toolkit.testing.suite import NotPromised, require

TOLERANCE = 2e-3


def gpu() -> torch.device:
    """The GPU. Raises NotPromised where torch sees none."""
    if not torch.cuda.is_available():
        raise NotPromised("torch sees no GPU here")
    return torch.device("cuda")


@contextmanager
def unrounded() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to(device).requires_grad_(value.requires_grad)
    if isinstance(value, Mapping):
        return {name: moved(item, device) for name, item in value.items()}
    return [moved(item, device) for item in value] if isinstance(value, (list, tuple)) else value


def require_same(found: Tensor, wanted: Tensor, what: str) -> None:
    """Raise Broken unless ``found``, from the GPU, is ``wanted`` within `TOLERANCE` of its largest value."""
    require(found.device.type == "cuda", f"{what} of what is on the GPU come back on {found.device}")
    shapes = f"{tuple(found.shape)} on the GPU, {tuple(wanted.shape)} on the CPU"
    require(found.shape == wanted.shape, f"{what} have the shape {shapes}")
    if wanted.numel():
        gap = float((found.detach().cpu().double() - wanted.detach().double()).abs().max())
        size = max(1.0, float(wanted.detach().abs().max()))
        require(gap <= TOLERANCE * size, f"{what} on the GPU differ from those on the CPU by {gap:.2g}, of at most {size:.2g}")
