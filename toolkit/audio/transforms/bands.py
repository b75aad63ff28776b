"""Band filters: pre-emphasis and Butterworth filters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform, check_bounds, uniform
from toolkit.audio.transforms.blocks import Sound
from toolkit.config import ConfigError


class PreEmphasis(Transform):
    """y[t] = x[t] - c x[t-1]; the first sample stays."""

    whole_clip = ""

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return torch.cat((clip[:1], clip[1:] - self.config.coefficient * clip[:-1]))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        return Sound(lambda: self.emphasised(sound.read()), sound.samples)

    def emphasised(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        last: Tensor | None = None  # the sample before a block
        for block in blocks:
            earlier = block[:-1] if last is None else torch.cat((last, block[:-1]))
            rest = block[len(block) - len(earlier):] - self.config.coefficient * earlier
            yield torch.cat((block[:1], rest)) if last is None else rest
            last = block[-1:]


class Filter(Transform):
    """A causal Butterworth filter, computed in double precision on the CPU; its edges are drawn for each clip."""

    whole_clip = ""
    shape = ""

    def edges(self, generator: torch.Generator) -> Any:
        """The edge, or both (Hz)."""
        raise NotImplementedError

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        return next(filtered([clip], self.sections(generator)))

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        sections = self.sections(generator)
        return Sound(lambda: filtered(sound.read(), sections), sound.samples)

    def sections(self, generator: torch.Generator) -> np.ndarray:
        """The filter in sections of second order [sections, 6]."""
        from scipy.signal import butter

        return np.asarray(butter(self.config.order, self.edges(generator), self.shape, fs=self.config.sample_rate, output="sos"))


class Cutoff(Filter):
    """A filter with one edge."""

    def __init__(self, config: configs.CutoffConfig) -> None:
        check_bounds(cutoff=config.cutoff)
        check_edge("cutoff", config.cutoff[-1], config.sample_rate)
        super().__init__(config)

    def edges(self, generator: torch.Generator) -> Any:
        return uniform(self.config.cutoff, generator)


class LowPass(Cutoff):
    """Keeps what is below the edge."""

    shape = "lowpass"


class HighPass(Cutoff):
    """Keeps what is above the edge."""

    shape = "highpass"


class Band(Filter):
    """A filter with two edges."""

    def __init__(self, config: configs.BandConfig) -> None:
        check_bounds(low=config.low, high=config.high)
        check_edge("high", config.high[-1], config.sample_rate)
        if config.low[-1] >= config.high[0]:
            raise ConfigError(f"low: got {config.low[-1]:g}, allowed: below high = {config.high[0]:g} Hz.")
        super().__init__(config)

    def edges(self, generator: torch.Generator) -> Any:
        return [uniform(self.config.low, generator), uniform(self.config.high, generator)]


class BandPass(Band):
    """Keeps what is between the edges; the defaults are a telephone's."""

    shape = "bandpass"


class BandStop(Band):
    """Removes what is between the edges."""

    shape = "bandstop"


def filtered(blocks: Iterable[Tensor], sections: np.ndarray) -> Iterator[Tensor]:
    """Blocks [T] of a clip through a filter."""
    from scipy.signal import sosfilt

    state = np.zeros((len(sections), 2))
    for block in blocks:
        samples, state = sosfilt(sections, block.detach().cpu().double().numpy(), zi=state)
        yield torch.from_numpy(samples).to(block)


def check_edge(name: str, frequency: float, sample_rate: int) -> None:
    if frequency >= sample_rate / 2:
        raise ConfigError(f"{name}: got {frequency:g}, allowed: below half the sample rate, {sample_rate / 2:g} Hz.")
