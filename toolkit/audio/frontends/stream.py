"""FrameStream: a front end fed in blocks of any size.

The frames it yields, joined, are the frames of the whole clip: a block is prepared with the sample before
it, the clip's beginning is mirrored as soon as enough of it is known, and its end when `finish` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from toolkit.audio.frontends.framing import extend, source_positions
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.audio.frontends.framewise import Framewise


class FrameStream:
    """One clip on its way through ``frontend``. Memory is a few frames, however long the clip."""

    def __init__(self, frontend: Framewise) -> None:
        self._frontend = frontend
        self._kept = torch.zeros(0)  # prepared samples, with the beginning's padding once `_begun`
        self._position = 0  # of the first kept sample, counted from the padded clip's first
        self._samples = 0  # real samples taken
        self._yielded = 0  # frames
        self._last: Tensor | None = None  # the last sample as it was given
        self._begun = self._ended = False
        self._state: Any = None

    def push(self, block: Tensor) -> Tensor:
        """The frames [n, bins] that ``block`` [T] completes. Raises UsageError after `finish` or for another shape."""
        if self._ended:
            raise UsageError("this stream has ended: begin a new one with frontend.stream()")
        if not isinstance(block, Tensor) or block.dim() != 1 or not block.is_floating_point():
            raise UsageError("a stream takes blocks [T] of float samples, one clip at a time")
        if len(block):
            self._take(block.detach())
        spec = self._frontend.spec
        if not self._begun:
            enough = spec.left + 1 if self._frontend.mode != "constant" else 1
            if self._samples < enough:
                return self._nothing(block)
            self._begin()
        complete = (self._position + len(self._kept) - spec.frame_length) // spec.hop_length + 1
        return self._yield(max(self._yielded, min(complete, spec.frames(self._samples))), block)

    def finish(self) -> Tensor:
        """The frames [n, bins] that need the clip's end. Raises UsageError when called again."""
        if self._ended:
            raise UsageError("this stream has ended: begin a new one with frontend.stream()")
        self._ended = True
        spec, mode = self._frontend.spec, self._frontend.mode
        like = self._kept
        if self._samples == 0:
            return self._nothing(like)
        right = spec.right(self._samples)
        if not self._begun:
            self._kept = extend(self._kept, spec.left, right, mode)
        elif mode == "constant":
            self._kept = torch.nn.functional.pad(self._kept, (0, right))
        else:
            ends = torch.arange(self._samples, self._samples + right)
            index = source_positions(ends, torch.tensor(self._samples), mode) + spec.left - self._position
            self._kept = torch.cat((self._kept, self._kept[index.to(like.device)]))
        return self._yield(spec.frames(self._samples), like)

    def _take(self, block: Tensor) -> None:
        size = torch.tensor([len(block)], device=block.device)
        prepared = self._frontend.prepare(block[None], size, self._last)[0]
        self._last = block[None, -1:].clone()
        self._kept = torch.cat((self._kept.to(prepared), prepared))
        self._samples += len(block)

    def _begin(self) -> None:
        """Put the padding before the clip's first sample."""
        self._kept = extend(self._kept, self._frontend.spec.left, 0, self._frontend.mode)
        self._begun = True

    def _yield(self, until: int, like: Tensor) -> Tensor:
        """Features of the frames up to ``until``; then forget the samples that no later frame needs."""
        spec, count = self._frontend.spec, until - self._yielded
        if count <= 0:
            return self._nothing(like)
        with torch.no_grad():
            start = self._yielded * spec.hop_length - self._position
            values = self._frontend.values_of(self._kept[start:], count)[None]
            counts = torch.tensor([count], device=values.device)
            features, self._state = self._frontend.finish(values, counts, self._state)
        self._yielded = until
        # The end is mirrored from up to one frame of samples before the next frame.
        drop = min(until * spec.hop_length - spec.frame_length - self._position, len(self._kept))  # a hop may be longer
        if drop > 0:
            self._kept = self._kept[drop:].clone()
            self._position += drop
        return features[0]

    def _nothing(self, like: Tensor) -> Tensor:
        return like.new_zeros(0, self._frontend.spec.bins)
