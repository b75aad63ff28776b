"""Band filters: pre-emphasis and Butterworth filters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, check_bounds, uniform
from toolkit.config import ConfigError


class PreEmphasis(Transform):
    """y[t] = x[t] - c x[t-1]; the first sample stays."""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return torch.cat((clip[:1], clip[1:] - self.config.coefficient * clip[:-1]))


class Cutoff(Transform):
    """A causal Butterworth filter with one edge, drawn for each clip."""

    shape = ""

    def __init__(self, config: configs.CutoffConfig) -> None:
        check_bounds(cutoff=config.cutoff)
        check_edge("cutoff", config.cutoff[-1], config.sample_rate)
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return filtered(clip, self.config.order, uniform(self.config.cutoff, generator), self.shape, self.config.sample_rate)


class LowPass(Cutoff):
    """Keeps what is below the edge."""

    shape = "lowpass"


class HighPass(Cutoff):
    """Keeps what is above the edge."""

    shape = "highpass"


class Band(Transform):
    """A causal Butterworth filter with two edges, drawn for each clip."""

    shape = ""

    def __init__(self, config: configs.BandConfig) -> None:
        check_bounds(low=config.low, high=config.high)
        check_edge("high", config.high[-1], config.sample_rate)
        if config.low[-1] >= config.high[0]:
            raise ConfigError(f"low: got {config.low[-1]:g}, allowed: below high = {config.high[0]:g} Hz.")
        super().__init__(config)

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        edges = [uniform(self.config.low, generator), uniform(self.config.high, generator)]
        return filtered(clip, self.config.order, edges, self.shape, self.config.sample_rate)


class BandPass(Band):
    """Keeps what is between the edges; the defaults are a telephone's."""

    shape = "bandpass"


class BandStop(Band):
    """Removes what is between the edges."""

    shape = "bandstop"


def filtered(clip: Tensor, order: int, edges: Any, shape: str, sample_rate: int) -> Tensor:
    """A clip [T] through a Butterworth filter, computed in double precision on the CPU."""
    from scipy.signal import butter, sosfilt

    sections = butter(order, edges, shape, fs=sample_rate, output="sos")
    samples = sosfilt(sections, clip.detach().cpu().double().numpy())
    return torch.from_numpy(samples).to(clip)


def check_edge(name: str, frequency: float, sample_rate: int) -> None:
    if frequency >= sample_rate / 2:
        raise ConfigError(f"{name}: got {frequency:g}, allowed: below half the sample rate, {sample_rate / 2:g} Hz.")
