"""What the room's components promise.

Frontend   sound to features: ``(features, lengths) = frontend(waveform, lengths)``
Stream     a front end or a vocoder fed in blocks
Transform  sound to sound, with its own generator
Vocoder    mel features to sound

Waveforms are float in [-1, 1]. B clips, T samples, F frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from toolkit.audio.spec import FrameSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Stream(Protocol):
    """A front end or a vocoder in the middle of a clip; what it yields, joined, is the offline result.

    A front end takes samples [T] and gives frames [n, bins], a vocoder the other way round.
    """

    def push(self, block: Tensor) -> Tensor:
        """What ``block`` completes; it may be empty."""

    def finish(self) -> Tensor:
        """What only the clip's end completes; the stream is then at its end."""


@runtime_checkable
class Frontend(Protocol):
    """A torch module from waveforms to features.

    Features do not depend on padding: what lies past a clip's length is never read, and frames past
    a clip's own are 0. One clip [T] is accepted and gives [F, bins].
    """

    spec: FrameSpec

    def __call__(self, waveform: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, F, bins] and the frames of each clip [B] of waveforms [B, T] with lengths [B]."""

    def stream(self) -> Stream:
        """A new stream; raises UsageError where a frame depends on the whole clip."""


@runtime_checkable
class Transform(Protocol):
    """Sound to sound. One clip [T] is accepted and gives [T'].

    Random choices come from ``generator`` alone, and what is done to a clip does not depend on
    padding; samples past a clip's length are 0.
    """

    def __call__(self, waveform: Tensor, lengths: Tensor | None = None,
                 generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Waveforms [B, T'] and their lengths [B]."""


@runtime_checkable
class Vocoder(Protocol):
    """Mel features to sound."""

    spec: FrameSpec

    def __call__(self, mel: Tensor) -> Tensor:
        """Waveforms [B, T] of features [B, F, mels] that were made under ``spec``."""
