"""Kaldi's front ends beside kaldi-native-fbank, which is Kaldi's own arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from signals import noise, speech_like

from toolkit.registry import registry

native = pytest.importorskip("kaldi_native_fbank")

CLIPS = {"random": noise(16000, 1), "silent": torch.zeros(8000), "clipped": noise(16000, 2, 2.0).clamp(-1, 1),
         "short": noise(400, 3), "voice": speech_like(1.0)}


def native_features(maker: Any, options: Any, clip: torch.Tensor, rate: int, use_energy: bool) -> np.ndarray:
    computer = maker(options)
    computer.accept_waveform(rate, (clip.double() * 32768).float().tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(index) for index in range(computer.num_frames_ready)])


def set_frames(options: Any, rate: int, changes: dict[str, Any]) -> None:
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = rate
    options.frame_opts.snip_edges = changes.get("snip_edges", True)
    options.frame_opts.window_type = changes.get("window", "povey")
    options.mel_opts.num_bins = changes.get("n_mels", 23)
    options.mel_opts.low_freq = changes.get("f_min", 20.0)
    options.mel_opts.high_freq = changes.get("f_max", 0.0)
    options.raw_energy = changes.get("raw_energy", True)


CHANGES = [{}, {"n_mels": 80}, {"snip_edges": False}, {"window": "hamming"}, {"window": "hanning"}, {"window": "rectangular"},
           {"f_min": 60.0, "f_max": -400.0, "n_mels": 40}, {"use_energy": True}, {"use_energy": True, "raw_energy": False}]


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("rate", [16000, 8000, 11025])
def test_filter_banks(kind: str, changes: dict[str, Any], rate: int) -> None:
    if rate == 8000 and changes.get("n_mels") == 80:
        return  # 80 bands leave some empty at this rate, which is refused
    options = native.FbankOptions()
    set_frames(options, rate, changes)
    options.use_energy = changes.get("use_energy", False)
    expected = native_features(native.OnlineFbank, options, CLIPS[kind], rate, options.use_energy)
    ours = registry.make("frontend", "kaldi-fbank", sample_rate=rate, **changes)(CLIPS[kind])[0].numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("changes", [{}, {"use_energy": False}, {"n_mfcc": 20, "n_mels": 40}, {"snip_edges": False},
                                     {"lifter": 0.0}],
                         ids=str)
def test_cepstra(kind: str, changes: dict[str, Any]) -> None:
    options = native.MfccOptions()
    set_frames(options, 16000, changes)
    options.use_energy = changes.get("use_energy", True)
    options.num_ceps = changes.get("n_mfcc", 13)
    options.cepstral_lifter = changes.get("lifter", 22.0)
    expected = native_features(native.OnlineMfcc, options, CLIPS[kind], 16000, options.use_energy)
    ours = registry.make("frontend", "kaldi-mfcc", **changes)(CLIPS[kind])[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3, rtol=1e-4)


def test_a_float_waveform_that_is_not_scaled_would_differ_by_20_794() -> None:
    clip = noise(16000)
    scaled = registry.make("frontend", "kaldi-fbank")(clip)[0]
    unscaled = registry.make("frontend", "kaldi-fbank")(clip / 32768)[0]
    assert (scaled - unscaled).mean() == pytest.approx(20.794, abs=1e-2)


def test_dither_is_reproducible_and_small() -> None:
    one, other = (registry.make("frontend", "kaldi-fbank", dither=1.0)(torch.zeros(4000))[0] for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, registry.make("frontend", "kaldi-fbank", dither=1.0, dither_seed=1)(torch.zeros(4000))[0])


def test_dithered_features_depend_on_nothing_that_went_before() -> None:
    frontend = registry.make("frontend", "kaldi-fbank", dither=1.0)
    clips = noise(8000).view(2, 4000) * 1e-4
    both = frontend(clips)[0]
    assert torch.equal(frontend(clips[1])[0], both[1]) and torch.equal(frontend(clips)[0], both)
    torch.testing.assert_close(frontend(clips.clone().requires_grad_())[0], both)
