"""Denoising of recordings of any length: read in blocks, several times, with the same numbers as `Denoise` on the whole.

What the noise is estimated from is the whole recording, which is therefore read once for each thing that must be known
before the next: twice for the low quantile of every frequency's power (a histogram over the leading bits of the numbers,
then over the following ones within the part that holds the quantile), once for the quietest frames, once for their mean.
An adaptive estimate is read once. Memory does not depend on the length but for a number a frame, or the adaptive estimates
(together under 10 kilobytes a second of sound and channel).

C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from toolkit.audio.transforms import denoise

Read = Callable[[], Iterable[Tensor]]  # begins to read anew: blocks [C, T] of any size
AT_LEAST = 256  # frames at a time, however small the blocks that are read: a histogram costs the same for one as for many
COARSE, FINE = 18, 5  # bits of a 32-bit float that the first and the second histogram leave out


def denoised(transform: denoise.Denoise, read: Read, samples: int) -> Iterator[Tensor]:
    """Blocks [C, T] of what ``transform`` makes of a recording of ``samples`` samples, which are more than half a frame."""
    return denoising(transform, read, samples)()


def denoising(transform: denoise.Denoise, read: Read, samples: int) -> Callable[[], Iterator[Tensor]]:
    """What begins to give those blocks anew; the noise is estimated once, here."""
    sound = Spectra(transform, read, samples)
    noise = adaptive_noise(transform, sound) if transform.is_adaptive(sound.frames) else stationary_noise(sound)
    return lambda: overlapped(transform, gains_of(transform, sound, noise), samples)


def readings(transform: denoise.Denoise, samples: int) -> int:
    """How often `denoised` reads the recording."""
    return 2 if transform.is_adaptive(1 + samples // transform.hop) else 6


class Spectra:
    """The spectra of a recording, as often as they are asked for: [C, bins, n] at a time, double precision."""

    def __init__(self, transform: denoise.Denoise, read: Read, samples: int) -> None:
        self.n_fft, self.hop, self.read = transform.n_fft, transform.hop, read
        self.frames = 1 + samples // self.hop
        self.window = torch.hann_window(self.n_fft, dtype=torch.float64)

    def __iter__(self) -> Iterator[Tensor]:
        half, kept, begun = self.n_fft // 2, None, False
        for block in self.read():
            kept = block.double() if kept is None else torch.cat((kept, block.double()), dim=1)
            if kept.shape[1] <= 2 * self.n_fft:  # the end is mirrored from half a frame of samples
                continue
            if not begun:
                kept, begun = torch.cat((kept[:, 1:half + 1].flip(1), kept), dim=1), True
            count = (kept.shape[1] - self.n_fft - half) // self.hop
            if count >= AT_LEAST:
                yield self.of(kept[:, :(count - 1) * self.hop + self.n_fft])
                kept = kept[:, count * self.hop:]
        assert kept is not None
        if not begun:
            kept = torch.cat((kept[:, 1:half + 1].flip(1), kept), dim=1)
        yield self.of(torch.cat((kept, kept[:, -half - 1:-1].flip(1)), dim=1))

    def of(self, samples: Tensor) -> Tensor:
        frames = samples.unfold(1, self.n_fft, self.hop) * self.window  # [C, n, n_fft]
        return torch.fft.rfft(frames).transpose(1, 2)

    def powers(self) -> Iterator[Tensor]:
        """Their powers [C, bins, n]."""
        return (spectrum.abs().square() for spectrum in self)


# -- the noise's power


def stationary_noise(sound: Spectra) -> Callable[[int, int], Tensor]:
    """`denoise.least_power` of each channel: [C, bins, n] for frames from the first number to before the second."""
    low = low_quantile(sound) / denoise.QUANTILE_SHARE  # [C, bins, 1]
    width = denoise.width_across(low.shape[1])
    low = torch.stack([denoise.smoothed(channel.T, width).T for channel in low]).clamp(min=denoise.TINY)
    scores = torch.cat([(power / low).mean(dim=1) for power in sound.powers()], dim=1)  # [C, F]
    quietest = torch.zeros_like(scores, dtype=torch.bool)
    count = denoise.quiet_frames(sound.frames)
    quietest.scatter_(1, scores.topk(count, dim=1, largest=False).indices, True)
    total, first = torch.zeros_like(low), 0
    for power in sound.powers():
        chosen = quietest[:, None, first:first + power.shape[2]]
        total += (power * chosen).sum(dim=2, keepdim=True)
        first += power.shape[2]
    pauses = torch.stack([denoise.smoothed(channel.T, width).T for channel in total / count])
    least = torch.minimum(low, pauses).clamp(min=denoise.TINY)
    return lambda begin, end: least.expand(-1, -1, end - begin)


def low_quantile(sound: Spectra) -> Tensor:
    """The low quantile [C, bins, 1] of power over all frames, as `torch.quantile` interpolates it, to four digits after it."""
    place = denoise.QUANTILE * (sound.frames - 1)
    ranks = (math.floor(place), math.ceil(place))
    coarse = histogram(sound, COARSE, None)
    found = []
    for rank in ranks:
        bucket, before = bucket_of(coarse, torch.full(coarse.shape[:2], rank))
        fine, _ = bucket_of(histogram(sound, FINE, bucket), rank - before)
        bits = (bucket << COARSE) + (fine << FINE) + (1 << FINE - 1)  # the middle of what is left
        found.append(bits.to(torch.int32).view(torch.float32).double())
    return torch.lerp(found[0], found[1], place - ranks[0])[..., None]


def histogram(sound: Spectra, dropped: int, within: Tensor | None) -> Tensor:
    """How often the powers' leading bits occur [C, bins, buckets]; those ``within`` a coarse bucket [C, bins] alone.

    Positive floats are ordered as their bits are.
    """
    size = 1 << (31 - dropped if within is None else COARSE - dropped)
    counts: Any = 0
    for power in sound.powers():
        bits = power.float().view(torch.int32).flatten(0, 1).long()  # [C bins, n]
        inside = torch.ones_like(bits, dtype=torch.bool) if within is None else bits >> COARSE == within.flatten()[:, None]
        bucket = (bits >> dropped) % size + size * torch.arange(len(bits))[:, None]
        counts = counts + torch.bincount(bucket[inside], minlength=size * len(bits))
    return counts.view(*power.shape[:2], size)


def bucket_of(counts: Tensor, rank: Tensor) -> tuple[Tensor, Tensor]:
    """The bucket of ``counts`` [C, bins, buckets] that holds the number of a rank [C, bins], and how many lie before it."""
    until = counts.cumsum(dim=2)
    bucket = (until <= rank[..., None]).sum(dim=2)
    before = torch.where(bucket > 0, until.gather(2, (bucket - 1).clamp(min=0)[..., None])[..., 0], 0)
    return bucket, before


def adaptive_noise(transform: denoise.Denoise, sound: Spectra) -> Callable[[int, int], Tensor]:
    """The same for an estimate around each moment."""
    starts, span = transform.starts(sound.frames), transform.span
    estimates: list[Tensor] = []
    kept, first = None, 0  # the powers from frame ``first`` on
    for power in sound.powers():
        kept = power if kept is None else torch.cat((kept, power), dim=2)
        while len(estimates) < len(starts) and starts[len(estimates)] + span <= first + kept.shape[2]:
            begin = starts[len(estimates)] - first
            estimates.append(torch.stack([denoise.least_power(channel) for channel in kept[:, :, begin:begin + span]]))
        done = starts[min(len(estimates), len(starts) - 1)] - first
        kept, first = kept[:, :, done:].clone(), first + done
    joined = torch.cat(estimates, dim=2)  # [C, bins, estimates]
    centres = torch.tensor(starts, dtype=joined.dtype) + span / 2
    return lambda begin, end: torch.stack([denoise.interpolated(channel, centres, end, begin) for channel in joined])


# -- gains and sound


def gains_of(transform: denoise.Denoise, sound: Spectra, noise: Callable[[int, int], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Spectra and their gains [C, bins, n]. Each stretch of frames is seen with those around it that a gain looks at."""
    context = transform.context
    states: list[Any] = []
    kept, first, done = None, 0, 0  # the spectra from frame ``first`` on, of which those before ``done`` are over
    for spectrum in sound:
        kept = spectrum if kept is None else torch.cat((kept, spectrum), dim=2)
        end = first + kept.shape[2]
        ready = end if end == sound.frames else end - context
        if ready <= done:
            continue
        power, level = kept.abs().square(), noise(first, end)
        states = states or [None] * len(kept)
        results = [transform.gains_after(*channel) for channel in zip(power, level, states)]
        states = [state for _, state in results]
        gains = torch.stack([gain for gain, _ in results]).clamp(transform.floor, 1.0)
        yield kept[:, :, done - first:ready - first], gains[:, :, done - first:ready - first]
        done = ready
        keep = max(0, done - context - first)
        kept, first = kept[:, :, keep:].clone(), first + keep


def overlapped(transform: denoise.Denoise, weighed: Iterable[tuple[Tensor, Tensor]], samples: int) -> Iterator[Tensor]:
    """The sound [C, T] of spectra times gains: frames added where they overlap, over the sum of their squared windows."""
    n_fft, hop, overlap = transform.n_fft, transform.hop, denoise.OVERLAP
    window = torch.hann_window(n_fft, dtype=torch.float64)
    squared = window.square().view(overlap, hop)
    over: Tensor | None = None  # what later frames are still added to, [C + 1, overlap - 1, hop]; the last row is the windows'
    skipped, left = n_fft // 2, samples
    for spectrum, gains in weighed:
        frames = torch.fft.irfft((spectrum * gains).transpose(1, 2), n_fft) * window  # [C, n, n_fft]
        count = frames.shape[1]
        parts = torch.cat((frames.unflatten(2, (overlap, hop)), squared.expand(1, count, overlap, hop)))
        total = F.pad(over, (0, 0, 0, count)) if over is not None else parts.new_zeros(len(parts), count + overlap - 1, hop)
        for place in range(overlap):
            total[:, place:place + count] += parts[:, :, place]
        over = total[:, count:]
        complete = total[:, :count].flatten(1)
        yield from trimmed(complete, skipped, left)
        taken = min(skipped, complete.shape[1])
        skipped, left = skipped - taken, left - max(0, complete.shape[1] - taken)
    if over is not None and left > 0:
        yield from trimmed(over.flatten(1), skipped, left)


def trimmed(complete: Tensor, skipped: int, left: int) -> Iterator[Tensor]:
    """Sums and windows [C + 1, T] as sound, without the first ``skipped`` samples and at most ``left`` of them."""
    wanted = complete[:, skipped:][:, :max(0, left)]
    if wanted.shape[1]:
        yield (wanted[:-1] / wanted[-1]).float()
