"""The fundamental frequency of each frame by pYIN (Mauch and Dixon, 2014), as librosa computes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.analysis import pyin
from toolkit.audio.configs import PyinConfig
from toolkit.audio.frontends.framewise import Framewise
from toolkit.audio.spec import FrameSpec
from toolkit.config import ConfigError


class Pyin(Framewise):
    """Frequency in Hz, 0 where no voice is, and the probability of a voice: [B, F, 2].

    The frequencies are the likeliest path through a clip, so that a frame depends on all others. It moves in steps:
    its derivative is 0. Computed on the CPU.
    """

    whole_clip = "the path of the pitch is the likeliest over the whole clip"

    def __init__(self, config: PyinConfig) -> None:
        check_range(config)
        details = (("f_min", config.f_min), ("f_max", config.f_max))
        super().__init__(FrameSpec("pyin", 2, config.sample_rate, config.frame_length, config.frame_length, config.hop_length,
                                   padding=config.padding, details=details))
        self.config = config

    def analyse(self, frames: Tensor) -> Tensor:
        return frames.clone()

    def finish(self, values: Tensor, counts: Tensor | None, state: Any = None) -> tuple[Tensor, Any]:
        numbers = [values.shape[1]] * len(values) if counts is None else counts.tolist()
        found = np.zeros((*values.shape[:2], 2))
        for row, frames, count in zip(found, values.detach().cpu().double().numpy(), numbers):
            if count:
                row[:count] = self.path(frames[:count])
        return torch.from_numpy(found).to(values) + values[..., :2] * 0.0, None  # autograd then knows it to be flat

    def path(self, frames: np.ndarray) -> np.ndarray:
        """Frequency and probability [F, 2] of the frames [F, frame_length] of one clip."""
        hop = self.config.hop_length
        samples = np.concatenate([frames[:-1, :hop].ravel(), frames[-1]])
        frequency, voiced, probability = pyin()(
            samples, fmin=self.config.f_min, fmax=self.config.f_max, sr=self.config.sample_rate, center=False,
            frame_length=self.config.frame_length, hop_length=hop, fill_na=0.0)
        return np.stack([frequency * voiced, probability], axis=1)


def check_range(config: PyinConfig) -> None:
    """Raise ConfigError where the frequencies do not fit the rate or the frame, or frames leave gaps."""
    if not config.f_min < config.f_max <= config.sample_rate / 2:
        raise ConfigError(f"f_max: got {config.f_max:g}, allowed: above f_min = {config.f_min:g} and at most half the sample "
                          f"rate, {config.sample_rate / 2:g} Hz.")
    lowest = config.sample_rate / (config.frame_length // 2 - 1)
    if config.f_min < lowest:
        raise ConfigError(f"f_min: got {config.f_min:g}, allowed: at least {lowest:.4g} Hz, of which two periods fit a frame of "
                          f"{config.frame_length} samples. A longer frame_length allows less.")
    if config.hop_length > config.frame_length:
        raise ConfigError(f"hop_length: got {config.hop_length}, allowed: at most frame_length = {config.frame_length}.")
