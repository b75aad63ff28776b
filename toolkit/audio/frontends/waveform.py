"""The waveform front end: frames of the samples themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from toolkit.audio.configs import WaveformConfig
from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.frontends.framing import mask_of
from toolkit.audio.spec import FrameSpec

EPSILON = 1e-7  # added to the variance, as wav2vec 2.0's feature extractor does


class Waveform(Framewise):
    """Frames of ``frame_length`` samples; with the defaults every sample is a frame of one value."""

    def __init__(self, config: WaveformConfig) -> None:
        length = config.frame_length
        super().__init__(FrameSpec("waveform", length, config.sample_rate, length, length, config.hop_length,
                                   details=(("normalize", config.normalize),)))
        self.normalize = self.prepares = config.normalize
        self.whole_clip = "samples are normalised over the clip (normalize)" if config.normalize else ""

    def prepare(self, clips: Tensor, lengths: Tensor, before: Tensor | None = None) -> Tensor:
        if not self.normalize:
            return clips
        inside = mask_of(lengths, clips.shape[1])
        zero = clips.new_zeros(())
        number = lengths[:, None].clamp(min=1)
        mean = torch.where(inside, clips, zero).sum(dim=1, keepdim=True) / number
        variance = torch.where(inside, clips - mean, zero).square().sum(dim=1, keepdim=True) / number
        return (clips - mean) / (variance + EPSILON).sqrt()

    def analyse(self, frames: Tensor) -> Tensor:
        return frames.clone()
