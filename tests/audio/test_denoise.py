"""What the denoisers gain and cost, in SI-SDR on sounds like speech."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from signals import noise, speech_like

from toolkit.audio.transforms.recording import denoised
from toolkit.registry import registry

CLIPS = {seed: speech_like(3.0, seed=seed) for seed in range(3)}


def si_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, both without mean (Le Roux et al., 2019)."""
    estimate, reference = (item.double() - item.double().mean() for item in (estimate, reference))
    target = reference * (estimate @ reference) / (reference @ reference)
    return float(10 * torch.log10(target.square().sum() / (target - estimate).square().sum()))


def noisy(clip: torch.Tensor, snr: float, colour: str = "white", seed: int = 5) -> torch.Tensor:
    return registry.make("transform", "noise", snr=(snr,), colour=colour, seed=seed)(clip)[0]


def gain(name: str, clip: torch.Tensor, disturbed: torch.Tensor, **options: Any) -> float:
    return si_sdr(registry.make("transform", name, **options)(disturbed)[0], clip) - si_sdr(disturbed, clip)


every = [pytest.mark.parametrize("name", ["spectral-gate", "wiener"]), pytest.mark.parametrize("adaptive", [False, True])]


@every[0]
@every[1]
@pytest.mark.parametrize(("snr", "least"), [(0.0, 5.0), (10.0, 2.0), (20.0, 0.0), (30.0, -0.5)])
@pytest.mark.parametrize("seed", CLIPS)
def test_white_noise(name: str, adaptive: bool, snr: float, least: float, seed: int) -> None:
    clip = CLIPS[seed]
    assert gain(name, clip, noisy(clip, snr), adaptive=adaptive) >= least


@every[0]
@every[1]
@pytest.mark.parametrize("rate", [8000, 44100])
def test_other_rates(name: str, adaptive: bool, rate: int) -> None:
    clip = speech_like(2.0, rate)
    assert gain(name, clip, noisy(clip, 0.0), adaptive=adaptive, sample_rate=rate) >= 5.0


@every[0]
@pytest.mark.parametrize("colour", ["pink", "blue"])
def test_coloured_noise(name: str, colour: str) -> None:
    # Of pink noise the lowest octaves hold much, and differ from draw to draw: single gains are between 1.7 and 5.
    gains = [gain(name, CLIPS[0], noisy(CLIPS[0], 0.0, colour, seed)) for seed in range(8)]
    assert sum(gains) / len(gains) >= 2.0


@every[0]
def test_noise_that_changes_is_what_adaptive_is_for(name: str) -> None:
    clip = speech_like(12.0, seed=1)
    rising = noise(len(clip), 2, 1.0) * torch.where(torch.arange(len(clip)) < len(clip) // 2, 0.01, 0.1)
    stationary, adaptive = (gain(name, clip, clip + rising, adaptive=choice) for choice in (False, True))
    assert adaptive >= 4.0 and adaptive > stationary + 1.0


@every[0]
def test_pauses_are_weakened_by_what_is_asked(name: str) -> None:
    quiet = noise(32000, 3, 0.05)
    for reduction in (6.0, 20.0):
        left = registry.make("transform", name, reduction=reduction)(quiet)[0]
        weakened = 10 * torch.log10(quiet.square().mean() / left.square().mean())
        assert 0.5 * reduction < float(weakened) <= reduction + 0.01


@every[0]
def test_louder_recordings_are_treated_alike(name: str) -> None:
    disturbed = noisy(CLIPS[0], 5.0)
    transform = registry.make("transform", name)
    torch.testing.assert_close(transform(disturbed * 0.01)[0] * 100, transform(disturbed)[0], atol=1e-4, rtol=1e-3)


@every[0]
@every[1]
@pytest.mark.parametrize("size", [700, 16000, 10 ** 6])
def test_a_recording_in_blocks_is_the_one_in_whole(name: str, adaptive: bool, size: int) -> None:
    samples = 4 * 16000 - 37
    clips = torch.stack([noisy(speech_like(4.0, seed=seed)[:samples], snr, seed=seed) for seed, snr in ((0, 0.0), (1, 20.0))])
    transform = registry.make("transform", name, adaptive=adaptive)
    blocks = list(denoised(transform, lambda: clips.split(size, dim=1), samples))
    torch.testing.assert_close(torch.cat(blocks, dim=1), transform(clips)[0], atol=1e-6, rtol=0)


@every[1]
def test_a_recording_that_is_silent_stays_so(adaptive: bool) -> None:
    transform = registry.make("transform", "wiener", adaptive=adaptive)
    silent = torch.zeros(1, 80000)
    joined = torch.cat(list(denoised(transform, lambda: silent.split(9999, dim=1), 80000)), dim=1)
    assert torch.equal(joined, silent)
