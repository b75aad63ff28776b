"""Clips and what lies beyond their ends.

extend        one clip [T] with its padding [left + T + right]
extend_batch  clips [B, T] of different lengths, each padded at its own end
frames_of     overlapping frames as a view
"""

from __future__ import annotations

import torch
from torch import Tensor

MODES = {"reflect": "reflect", "constant": "constant", "same": "reflect", "none": "constant", "snip": "constant",
         "mirror": "mirror"}


def source_positions(position: Tensor, length: Tensor, mode: str) -> Tensor:
    """Which sample of a clip of ``length`` stands at ``position`` beyond its ends; any distance away.

    ``reflect`` mirrors without the edge sample (period 2 (length - 1)), ``mirror`` with it (period 2 length).
    """
    if mode == "mirror":
        folded = torch.remainder(position, 2 * length)
        return torch.minimum(folded, 2 * length - 1 - folded)
    period = (2 * (length - 1)).clamp(min=1)
    folded = torch.remainder(position, period)
    return torch.minimum(folded, period - folded).minimum(length - 1).clamp(min=0)


def extend(clip: Tensor, left: int, right: int, mode: str) -> Tensor:
    """A clip [T], T >= 1, with ``left`` and ``right`` samples of padding: [left + T + right]."""
    if left == 0 and right == 0:
        return clip
    if mode == "constant":
        return torch.cat((clip.new_zeros(left), clip, clip.new_zeros(right)))
    samples = clip.shape[0]
    if mode == "reflect" and samples > max(left, right):
        return torch.cat((clip[1:left + 1].flip(0), clip, clip[samples - 1 - right:samples - 1].flip(0)))
    length = torch.tensor(samples, device=clip.device)
    ends = torch.cat((torch.arange(-left, 0, device=clip.device), torch.arange(samples, samples + right, device=clip.device)))
    padding = clip[source_positions(ends, length, mode)]
    return torch.cat((padding[:left], clip, padding[left:]))


def extend_batch(clips: Tensor, lengths: Tensor, left: int, total: int, mode: str) -> Tensor:
    """Clips [B, T] with their lengths [B], each with its own padding: [B, total]. Clips of length 0 are zeros."""
    position = torch.arange(total, device=clips.device) - left
    length = lengths[:, None]
    inside = (position >= 0) & (position < length)
    if mode == "constant":
        index = position.clamp(0, clips.shape[1] - 1).expand(len(clips), total)
        return torch.where(inside, clips.gather(1, index), clips.new_zeros(()))
    index = torch.where(inside, position.expand(len(clips), total), source_positions(position, length.clamp(min=1), mode))
    return torch.where(length > 0, clips.gather(1, index), clips.new_zeros(()))


def frames_of(samples: Tensor, frame_length: int, hop_length: int) -> Tensor:
    """Overlapping frames [..., F, frame_length] of samples [..., T], as a view."""
    return samples.unfold(-1, frame_length, hop_length)


def mask_of(counts: Tensor, frames: int) -> Tensor:
    """True where a frame belongs to its clip: [B, F]."""
    return torch.arange(frames, device=counts.device) < counts[:, None]
