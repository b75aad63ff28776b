"""Filter banks that are refused, specs that must agree, kernels that answer to their own frequency."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from signals import noise, tone

from toolkit.audio.frontends import filters
from toolkit.audio.spec import FrameSpec, SpecMismatch
from toolkit.config import ConfigError
from toolkit.registry import registry

PRESETS = {"librosa-mel", "librosa-mfcc", "torchaudio-mel", "torchaudio-mfcc"}
BANDED = {"mel", "log-mel", "mfcc", "pcen", "whisper-log-mel", "hifigan-mel", "tacotron2-mel", "nemo-mel", "vocos-mel",
          "kaldi-fbank", "kaldi-mfcc"} | PRESETS
NAMES = {"waveform", "spectrogram", "lfcc", "chroma", "cqt", "wavelet"} | BANDED


def test_every_front_end_of_the_list_is_registered() -> None:
    assert {entry.name for entry in registry.entries("frontend", plugins=False)} >= NAMES


@pytest.mark.parametrize("name", sorted(BANDED))
def test_empty_mel_filters_are_refused_with_the_largest_count_that_works(name: str) -> None:
    if name in PRESETS:
        with pytest.warns(UserWarning, match="The largest n_mels that works here is"):
            registry.make("frontend", name, n_mels=1000)
        return
    with pytest.raises(ConfigError, match="n_mels: 1000 bands leave .* empty") as caught:
        registry.make("frontend", name, n_mels=1000)
    works = int(str(caught.value).split("works here is ")[1].split(";")[0])
    options = {"n_mfcc": min(works, 13)} if "mfcc" in name else {}
    assert registry.make("frontend", name, n_mels=works, **options)(noise(8000))[0].isfinite().all()
    with pytest.raises(ConfigError, match="empty"):
        registry.make("frontend", name, n_mels=works + 1, **options)


def test_torchaudios_own_defaults_have_four_empty_filters() -> None:
    bank = filters.mel_filters(16000, 400, 128, 0, 8000, "htk", "none")
    assert np.count_nonzero(~bank.any(axis=0)) == 4
    with pytest.raises(ConfigError, match="128 bands leave 4 empty .* works here is"):
        registry.make("frontend", "mel", n_mels=128, mel_scale="htk", mel_norm="none")


def test_more_cepstra_than_bands_are_refused() -> None:
    with pytest.raises(ConfigError, match="hop_length: got 480, allowed: at most win_length = 400 where ends are mirrored"):
        registry.make("frontend", "kaldi-fbank", snip_edges=False, frame_shift=30.0)
    with pytest.raises(ConfigError, match="n_mfcc: got 81, allowed: at most n_mels = 80"):
        registry.make("frontend", "mfcc", n_mfcc=81)


def test_a_mismatch_names_the_field_both_values_and_the_flag() -> None:
    vocoder, given = (registry.make("frontend", "hifigan-mel", hop_length=hop).spec for hop in (256, 300))
    vocoder.require(vocoder)
    with pytest.raises(SpecMismatch) as caught:
        vocoder.require(given, "the vocoder")
    assert "hop_length: the vocoder needs 256, the front end gives 300" in str(caught.value)
    assert "--frontend.hop-length 256" in str(caught.value)


@pytest.mark.parametrize(("change", "message"), [
    ({"f_max": 9000.0}, "f_max: got 9000.0, allowed: at most half the sample rate, 8000 Hz"),
    ({"win_length": 500}, "win_length: got 500, allowed: 1 to n_fft = 400"), ({"f_min": 8000.0}, "f_min")])
def test_impossible_frames_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry.make("frontend", "log-mel", **change)


def test_a_stored_spec_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="colour"):
        FrameSpec.from_json({"colour": 1})


def test_times_are_the_frames_centres() -> None:
    assert registry.make("frontend", "log-mel").spec.times(3) == [0.0, 0.01, 0.02]
    assert registry.make("frontend", "kaldi-fbank").spec.times(2) == [0.0125, 0.0225]


# -- kernels


@pytest.mark.parametrize("frequency", [100.0, 440.0, 3000.0])
def test_a_tone_of_amplitude_1_has_magnitude_1_in_its_wavelet_bin(frequency: float) -> None:
    frontend = registry.make("frontend", "wavelet", f_min=frequency, f_max=2 * frequency, n_bins=13)
    values = frontend(tone(frequency, 1.0, 16000, 1.0))[0][30:-30]
    assert values[:, 0].numpy() == pytest.approx(1.0, abs=2e-3)
    assert values.argmax(dim=1).eq(0).all()


def test_the_scalogram_has_the_shape_of_pywavelets() -> None:
    """pywt's complex Morlet of bandwidth 2 (omega / 2 pi f)^2; its scale differs by a factor for each frequency."""
    clip = noise(4000, 3)
    frontend = registry.make("frontend", "wavelet", f_min=200.0, f_max=1600.0, n_bins=4, hop_length=1)
    centre = 6.0 / (2 * np.pi)
    wavelet = pywt.ContinuousWavelet(f"cmor2.0-{centre:.12f}")
    theirs = np.abs(pywt.cwt(clip.numpy().astype(np.float64), centre * 16000 / frontend.frequencies, wavelet, precision=14)[0])
    ours = frontend(clip)[0].numpy().T[:, :4000]
    middle = slice(1200, -1200)
    for mine, other in zip(ours[:, middle], theirs[:, middle], strict=True):
        mine, other = mine / mine.mean(), other / other.mean()
        assert np.corrcoef(mine, other)[0, 1] > 0.998


def test_bins_above_half_the_rate_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most half the sample rate, 4000 Hz"):
        registry.make("frontend", "cqt", sample_rate=8000)


def test_a_batch_keeps_each_clips_own_cut() -> None:
    """torchaudio's MFCC of a batch [B, T] cuts at the loudest clip's peak; here each clip is cut at its own."""
    loud, faint = noise(8000, 1, 0.5), noise(8000, 2, 1e-4)
    frontend = registry.make("frontend", "torchaudio-mfcc", n_mels=64)
    together = frontend(torch.stack([loud, faint]))[0]
    torch.testing.assert_close(together[1], frontend(faint)[0], atol=1e-4, rtol=1e-4)
