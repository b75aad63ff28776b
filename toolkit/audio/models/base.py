"""What the models that hear share: shorter sequences by convolutions, and an output for clips or positions.

HeardSpec    what the task tells the model: one answer a clip, or one a position
Subsampling  convolutions over frames and bins that step over both
Heard        base: states of positions to outputs

Positions past a clip's length are 0 before every layer that looks around, so padding changes nothing.
B clips, F frames, T positions, W width, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from toolkit.core.layers.dropout import Dropout


@dataclass(frozen=True)
class HeardSpec:
    """``level`` clip: outputs [B, C]; frames: outputs [B, T, C]."""

    level: Literal["clip", "frames"] = "frames"
    frames: Any = None  # the FrameSpec of the features


def whole_lengths(inputs: Tensor, lengths: Tensor | None) -> Tensor:
    """``lengths``, or the full length for each of ``inputs`` [B, F, ...]."""
    return torch.full((len(inputs),), inputs.shape[1], device=inputs.device) if lengths is None else lengths.to(inputs.device)


def mask_of(lengths: Tensor, longest: int) -> Tensor:
    """True [B, T] where a position is its clip's own."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


class Subsampling(nn.Module):
    """Features [B, F, bins] to [B, T, W] by convolutions of 3 x 3, each stepping ``stride`` frames and two bins."""

    def __init__(self, bins: int, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        before = (1, *channels[:-1])
        self.strides = tuple(strides)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inner, outer, 3, stride=(stride, 2), padding=1, bias=False)
            for inner, outer, stride in zip(before, channels, strides, strict=True))
        # Each position is normalised by itself: no clip depends on padding or on the others of its batch.
        sizes = [bins := (bins + 1) // 2 for _ in channels]
        self.norms = nn.ModuleList(nn.LayerNorm(outer * size) for outer, size in zip(channels, sizes, strict=True))
        self.width = channels[-1] * bins

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        values = (inputs * mask_of(lengths, inputs.shape[1]).unsqueeze(-1)).unsqueeze(1)  # (B, 1, F, bins)
        flat = values
        for convolution, norm, stride in zip(self.convolutions, self.norms, self.strides, strict=True):
            values = convolution(values)
            lengths = (lengths + stride - 1) // stride
            positions = values.transpose(1, 2)  # (B, T, channels, bins)
            flat = F.relu(norm(positions.flatten(2))) * mask_of(lengths, positions.shape[1]).unsqueeze(-1)
            values = flat.view(positions.shape).transpose(1, 2)
        return flat, lengths


class Heard(nn.Module):
    """Base: a subclass gives `states`; this gives the outputs."""

    def __init__(self, width: int, outputs: int, dropout: float, spec: Any) -> None:
        super().__init__()
        self.level = getattr(spec, "level", "frames")
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(2 * width if self.level == "clip" else width, outputs)

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, T, W] of features [B, F, bins], and how many of them are each clip's own [B]."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Outputs [B, C] or [B, T, C] and the positions of each clip."""
        states, counts = self.states(inputs, whole_lengths(inputs, lengths))
        if self.level == "clip":
            states = pooled(states, counts)
        return self.output(self.dropout(states)), counts


def pooled(states: Tensor, counts: Tensor) -> Tensor:
    """Mean and greatest value over each clip's own positions: [B, T, W] -> [B, 2 W]."""
    own = mask_of(counts, states.shape[1]).unsqueeze(-1)
    mean = (states * own).sum(1) / counts.clamp(min=1).unsqueeze(1)
    greatest = states.masked_fill(~own, torch.finfo(states.dtype).min).amax(1)
    return torch.cat([mean, greatest.masked_fill(counts.unsqueeze(1) == 0, 0.0)], -1)


def strides_of(subsampling: int, layers: int) -> list[int]:
    """Steps of ``layers`` convolutions whose product is ``subsampling``, a number from 1 to 8 without odd factors but 3, 5, 7."""
    strides = []
    for _ in range(layers):
        step = next((number for number in (2, 3, 5, 7) if subsampling % number == 0), 1)
        strides.append(step)
        subsampling //= step
    strides[-1] *= subsampling
    return strides
