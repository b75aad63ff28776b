"""Denoising without training: spectral gating and the Wiener filter.

Both estimate the noise's power in each frequency from the clip itself (once for the clip, or around each moment
where it is adaptive), weaken each frequency by a gain between a floor and 1, and put the frames together again.
The estimate is the lesser of two that err upwards: a low quantile of the power over time, which speech in a
frequency held for long raises, and the mean of the quietest frames, which noise in bursts raises.

Sources: Boll (1979) for the gate; Ephraim and Malah (1984) for the decision-directed estimate, and Plapous,
Marro and Scalart (2006) for its second step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.audio.transforms import configs
from toolkit.audio.transforms.base import Transform
from toolkit.audio.transforms.blocks import Sound

FRAME_SECONDS = 0.032
OVERLAP = 4  # frames over each sample
QUANTILE = 0.1  # of the power over time: noise, as long as a frequency is silent in a tenth of the frames
QUIETEST = 0.05  # share of the frames that are taken for pauses
FEWEST = 3  # frames
# The quantile of an exponentially distributed power is this share of its mean.
QUANTILE_SHARE = -math.log(1 - QUANTILE)
ESTIMATES_PER_WINDOW = 6  # of the adaptive noise; between them it is interpolated
ACROSS = 5  # bins over which the noise is averaged
TINY = 1e-14


class Denoise(Transform):
    """What both share: spectra, the noise's power, the gain's floor. Computed in double precision.

    A gain looks at ``context`` frames on either side of its own.
    """

    context = 0
    whole_clip = ""

    def __init__(self, config: configs.DenoiseConfig) -> None:
        super().__init__(config)
        self.n_fft = max(16, 1 << round(math.log2(FRAME_SECONDS * config.sample_rate)))
        self.hop = self.n_fft // OVERLAP
        self.floor = 10 ** (-config.reduction / 20)
        self.span = round(config.window * config.sample_rate / self.hop)  # frames of an adaptive estimate

    def gains_after(self, power: Tensor, noise: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Gains [bins, F] on amplitudes, for the power of the clip and that of the noise [bins, F]; and the state after them.

        ``state`` is what the frames before left; None at the beginning.
        """
        raise NotImplementedError

    def apply(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        window = torch.hann_window(self.n_fft, dtype=torch.float64, device=clip.device)
        mode = "reflect" if len(clip) > self.n_fft // 2 else "constant"
        spectrum = torch.stft(clip.double(), self.n_fft, self.hop, window=window, pad_mode=mode, return_complex=True)
        power = spectrum.abs().square()  # [bins, F]
        gains = self.gains_after(power, self.noise(power), None)[0].clamp(self.floor, 1.0)
        return torch.istft(spectrum * gains, self.n_fft, self.hop, window=window, length=len(clip)).to(clip.dtype)

    def over(self, sound: Sound, generator: torch.Generator) -> Sound:
        from toolkit.audio.transforms import recording  # which is made of this module's functions

        if sound.samples <= self.n_fft:
            clip = self.apply(torch.cat([*sound.read()]), generator)
            return Sound(lambda: [clip], len(clip))
        blocks = recording.denoising(self, lambda: (unit[None] for unit in sound.units()), sound.samples)
        return Sound(lambda: (block[0] for block in blocks()), sound.samples)

    def readings(self, samples: int) -> int:
        from toolkit.audio.transforms import recording

        return recording.readings(self, samples) - 1

    def noise(self, power: Tensor) -> Tensor:
        """The power of the noise [bins, F]."""
        frames = power.shape[1]
        if not self.is_adaptive(frames):
            return least_power(power).expand_as(power)
        starts = self.starts(frames)
        estimates = torch.cat([least_power(power[:, start:start + self.span]) for start in starts], dim=1)
        return interpolated(estimates, torch.tensor(starts, dtype=power.dtype) + self.span / 2, frames)

    def is_adaptive(self, frames: int) -> bool:
        """Whether there is more than one estimate of the noise of a clip."""
        return self.config.adaptive and frames > self.span

    def starts(self, frames: int) -> list[int]:
        """The first frame of each stretch of ``span`` frames that the noise is estimated from."""
        step = max(1, self.span // ESTIMATES_PER_WINDOW)
        return [*range(0, frames - self.span, step), frames - self.span]


class SpectralGate(Denoise):
    """A gate for each frequency, open where the power around it stands out from the noise."""

    context = 3  # two of the power, one of the gate

    def gains_after(self, power: Tensor, noise: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        around = averaged(power, 3, 5)
        level = 10 * torch.log10(around / noise + TINY)
        gate = torch.sigmoid((level - self.config.threshold) / (self.config.slope / 4))
        return self.floor + (1 - self.floor) * averaged(gate, 3, 3), None


class Wiener(Denoise):
    """The gain xi / (1 + xi), xi being the ratio of speech to noise."""

    def gains_after(self, power: Tensor, noise: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        posterior = power / noise  # [bins, F]
        present = (posterior - 1).clamp(min=0)
        smoothing = self.config.smoothing
        before = posterior.new_zeros(len(posterior)) if state is None else state
        gains = torch.empty_like(posterior.T)  # [F, bins]
        for frame, (now, fresh) in enumerate(zip(posterior.T.contiguous(), present.T.contiguous())):
            prior = (smoothing * before + (1 - smoothing) * fresh).clamp_(min=self.floor)
            gain = prior / (1 + prior)
            # The second step takes the delay of one frame out of the first one's estimate.
            prior = gain.square_().mul_(now)
            gains[frame] = prior / (1 + prior)
            before = prior
        return gains.T, before


# -- estimates


def least_power(power: Tensor) -> Tensor:
    """The noise's power [bins, 1], from power [bins, F] of which it is the least."""
    width = width_across(len(power))
    low = torch.quantile(power, QUANTILE, dim=1, keepdim=True) / QUANTILE_SHARE
    low = smoothed(low.T, width).T.clamp(min=TINY)
    # Frames are ranked by what stands out of the noise: the plain sum is that of the noise's strongest bins.
    count = quiet_frames(power.shape[1])
    quietest = (power / low).mean(dim=0).topk(count, largest=False).indices
    pauses = power[:, quietest].mean(dim=1, keepdim=True)
    return torch.minimum(low, smoothed(pauses.T, width).T).clamp(min=TINY)


def width_across(bins: int) -> int:
    """Bins over which the noise is averaged."""
    return min(ACROSS, 2 * (bins // 2) - 1)


def quiet_frames(frames: int) -> int:
    """How many of a clip's frames are taken for pauses."""
    return min(frames, max(FEWEST, int(QUIETEST * frames)))


def smoothed(values: Tensor, width: int) -> Tensor:
    """The mean over ``width`` (odd) neighbours along the last dimension, the ends repeated."""
    if width <= 1:
        return values
    padded = F.pad(values[None], (width // 2, width // 2), mode="replicate")
    return F.avg_pool1d(padded, width, 1)[0]


def averaged(values: Tensor, bins: int, frames: int) -> Tensor:
    """The mean over neighbouring bins and frames of values [bins, F]."""
    return smoothed(smoothed(values, frames).T, bins).T


def interpolated(estimates: Tensor, centres: Tensor, frames: int, first: int = 0) -> Tensor:
    """Estimates [bins, n] at frames ``centres`` [n] as values [bins, frames - first], the ends repeated."""
    position = torch.arange(first, frames, dtype=estimates.dtype).clamp(float(centres[0]), float(centres[-1]))
    after = torch.searchsorted(centres, position).clamp(1, len(centres) - 1)
    share = (position - centres[after - 1]) / (centres[after] - centres[after - 1])
    share, after = share.to(estimates.device), after.to(estimates.device)
    return torch.lerp(estimates[:, after - 1], estimates[:, after], share)
