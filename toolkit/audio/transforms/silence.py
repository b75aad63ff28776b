"""Silence: trimmed at the ends, or wherever nobody speaks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.010
FLOOR_QUANTILE = 0.1  # of the frames' energies: what is taken for the noise floor
SILENT = 1e-10  # power of a frame that is silence whatever surrounds it


class Trim(Transform):
    """Leaves out the frames at both ends that are far below the loudest one; as ``librosa.effects.trim`` does."""

    keeps_length = False

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        config: configs.TrimConfig = self.config
        half = config.frame_length // 2
        frames = F.pad(clip.detach(), (half, half)).unfold(0, config.frame_length, config.hop_length)
        power = frames.double().square().mean(dim=1).clamp(min=SILENT)
        loud = torch.nonzero(power > power.max() * 10 ** (-config.top_db / 10)).flatten()
        if not len(loud) or float(power.max()) <= SILENT:
            return clip[:0]
        return clip[int(loud[0]) * config.hop_length:min(len(clip), (int(loud[-1]) + 1) * config.hop_length)]


class VAD(Transform):
    """Keeps what is speech: frames whose energy in the voice's band is above the clip's own noise floor."""

    def __init__(self, config: configs.VADConfig) -> None:
        super().__init__(config)
        self.keeps_length = config.action == "mute"

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        speech = self.speech(clip)
        return clip * speech if self.config.action == "mute" else clip[speech]

    def speech(self, clip: Tensor) -> Tensor:
        """True [T] where a clip [T] is speech."""
        config: configs.VADConfig = self.config
        frame, hop = (max(1, round(seconds * config.sample_rate)) for seconds in (FRAME_SECONDS, HOP_SECONDS))
        power = self.band_power(clip.detach(), frame, hop)
        active = (power > self.limit(power)).to(torch.float32)
        reach = math.ceil(config.hangover / HOP_SECONDS)
        active = F.max_pool1d(active[None], 2 * reach + 1, 1, reach)[0]
        return active.repeat_interleave(hop)[:len(clip)].bool()

    def band_power(self, clip: Tensor, frame: int, hop: int) -> Tensor:
        """Power in the band around every ``hop`` samples: [ceil(T / hop)]."""
        config: configs.VADConfig = self.config
        padded = F.pad(clip, (frame // 2, frame + hop))
        frames = padded.unfold(0, frame, hop)[:math.ceil(len(clip) / hop)]
        spectrum = torch.fft.rfft(frames * torch.hann_window(frame, dtype=clip.dtype, device=clip.device)).abs().square()
        frequencies = torch.arange(spectrum.shape[1], device=clip.device) * (config.sample_rate / frame)
        inside = (frequencies >= config.f_min) & (frequencies <= config.f_max)
        return spectrum[:, inside].sum(dim=1).double() * (2.0 / (0.375 * frame * frame))

    def limit(self, power: Tensor) -> Tensor:
        """The power above which a frame is speech.

        Where even the quietest frames are within ``threshold`` of the loudest there is no pause to tell the
        floor from, and every frame that is not silent is kept.
        """
        config: configs.VADConfig = self.config
        loudest = power.max()
        floor = torch.quantile(power, FLOOR_QUANTILE) * 10 ** (config.threshold / 10)
        lowest = loudest * 10 ** (-config.range / 10)
        return torch.where(floor < loudest, torch.maximum(floor, lowest), lowest).clamp(min=SILENT)
