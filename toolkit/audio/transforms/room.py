"""Rooms: convolution with impulse responses, recorded or generated.

A generated response is a direct impulse followed by noise that decays by 60 dB in ``rt60`` seconds (Polack's
model), the ratio of their energies being exact. The direct sound keeps its place and its level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, check_bounds, normal, uniform
from toolkit.audio.transforms.blocks import Sound, span
from toolkit.audio.transforms.sources import Recordings
from toolkit.errors import UsageError

DECAY = 3 * math.log(10)  # the amplitude's exponent over rt60: 60 dB


class Reverb(Transform):
    """A clip as it sounds in a room."""

    whole_clip = ""

    def __init__(self, config: configs.ReverbConfig) -> None:
        check_bounds(rt60=config.rt60, drr=config.drr)
        super().__init__(config)
        self.keeps_length = not config.tail
        self.recordings = Recordings(config.path, config.sample_rate) if config.path else None

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        response = self.response(clip, generator)
        wet = convolved(clip.double(), response).to(clip.dtype)
        return wet if self.config.tail else wet[:len(clip)]

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        response = self.response(torch.zeros(0), generator)
        samples = sound.samples + (len(response) - 1 if self.config.tail else 0)
        return Sound(lambda: span(reverberated(sound.units(), response), 0, samples), samples)

    def response(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """An impulse response whose direct sound is its first sample and 1."""
        if self.recordings is not None:
            recording = self.recordings.draw(generator).to(like.device)
            direct = int(recording.abs().argmax())
            if recording[direct] == 0:
                raise UsageError(f"path: {self.config.path} holds an impulse response that is silent")
            return recording[direct:] / recording[direct]
        rt60, drr = uniform(self.config.rt60, generator), uniform(self.config.drr, generator)
        return room(rt60, drr, self.config.sample_rate, like, generator)


def room(rt60: float, drr: float, sample_rate: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """A generated response [rt60 * sample_rate] in double precision; ``drr`` in dB."""
    samples = max(2, round(rt60 * sample_rate))
    time = torch.arange(samples, dtype=torch.float64, device=like.device) / sample_rate
    tail = normal(samples, like, generator) * torch.exp(-DECAY * time / rt60)
    tail[0] = 0
    tail = tail * (10 ** (-drr / 20) / tail.square().sum().sqrt())
    tail[0] = 1.0
    return tail


def reverberated(units: Iterable[Tensor], response: Tensor) -> Iterator[Tensor]:
    """The full convolution of a clip in blocks [T] with a response [R], each block's end added to what follows."""
    over = torch.zeros(len(response) - 1, dtype=torch.float64)
    for unit in units:
        wet = convolved(unit.double(), response)
        wet[:len(over)] += over
        over = wet[len(unit):].clone()
        yield wet[:len(unit)].to(unit.dtype)
    if len(over):
        yield over.float()


def convolved(clip: Tensor, response: Tensor) -> Tensor:
    """The full convolution [T + R - 1] of two signals."""
    samples = len(clip) + len(response) - 1
    size = 1 << (samples - 1).bit_length()
    return torch.fft.irfft(torch.fft.rfft(clip, size) * torch.fft.rfft(response, size), size)[:samples]
