"""Front ends beside the systems that they reproduce, on random, silent, clipped and very short clips."""

from __future__ import annotations

import warnings
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from signals import noise, speech_like, tone

from toolkit.audio import _torchaudio
from toolkit.audio.frontends import filters
from toolkit.registry import registry

transforms = pytest.importorskip("torchaudio").transforms if _torchaudio.torchaudio is not None else None

pytestmark = pytest.mark.compiles  # importing librosa does, half a minute in a new clone
SIZES = {8000: (256, 80, 40), 11025: (441, 147, 32), 16000: (400, 160, 80), 22050: (2048, 512, 128), 22051: (1024, 256, 64),
         44100: (2048, 441, 128)}
CLIPS = ("random", "silent", "clipped", "short", "voice")


def clip_of(kind: str, rate: int) -> torch.Tensor:
    if kind == "silent":
        return torch.zeros(rate)
    if kind == "short":
        return noise(1100, 7)  # above half of the longest n_fft, which is as short as torchaudio takes
    if kind == "voice":
        return speech_like(1.0, rate)
    return noise(rate, rate, 0.1) if kind == "random" else noise(rate, rate, 3.0).clamp(-1, 1)


def make(name: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return registry.make("frontend", name, **options)


def assert_spectra(ours: torch.Tensor, theirs: Any) -> None:
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), atol=1e-4, rtol=1e-4)


def assert_decibels(ours: torch.Tensor, theirs: Any) -> None:
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), atol=5e-4, rtol=1e-4)


every = [pytest.mark.parametrize("rate", SIZES), pytest.mark.parametrize("kind", CLIPS)]


def on_every_clip(test: Any) -> Any:
    for mark in every:
        test = mark(test)
    return test


@on_every_clip
def test_librosa_spectrograms(rate: int, kind: str) -> None:
    n_fft, hop, _ = SIZES[rate]
    clip = clip_of(kind, rate)
    ours = make("spectrogram", sample_rate=rate, n_fft=n_fft, hop_length=hop, padding="constant", win_length=n_fft - 6)(clip)[0]
    theirs = np.abs(librosa.stft(clip.numpy(), n_fft=n_fft, hop_length=hop, win_length=n_fft - 6)) ** 2
    assert_spectra(ours, theirs.T)


@on_every_clip
def test_librosa_mel(rate: int, kind: str) -> None:
    n_fft, hop, mels = SIZES[rate]
    clip = clip_of(kind, rate)
    ours = make("librosa-mel", sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=mels)(clip)[0]
    theirs = librosa.feature.melspectrogram(y=clip.numpy(), sr=rate, n_fft=n_fft, hop_length=hop, n_mels=mels)
    assert_spectra(ours, theirs.T)


@on_every_clip
@pytest.mark.parametrize("lifter", [0, 22])
def test_librosa_mfcc(rate: int, kind: str, lifter: int) -> None:
    n_fft, hop, mels = SIZES[rate]
    clip = clip_of(kind, rate)
    ours = make("librosa-mfcc", sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=mels, lifter=lifter)(clip)[0]
    theirs = librosa.feature.mfcc(y=clip.numpy(), sr=rate, n_fft=n_fft, hop_length=hop, n_mels=mels, lifter=lifter)
    # The lifter multiplies a coefficient by up to 12, its rounding too; the tolerance is meant before it.
    weights = filters.lifter_weights(theirs.shape[0], lifter, first=1) if lifter else np.ones(theirs.shape[0])
    assert_decibels(ours / torch.from_numpy(weights), theirs.T / weights)


@on_every_clip
def test_torchaudio_mel(rate: int, kind: str) -> None:
    n_fft, hop, mels = SIZES[rate]
    clip = clip_of(kind, rate)
    ours = make("torchaudio-mel", sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=mels)(clip)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transforms.MelSpectrogram(rate, n_fft=n_fft, hop_length=hop, n_mels=mels)(clip)
    assert_spectra(ours, theirs.T)


@on_every_clip
def test_torchaudio_mfcc(rate: int, kind: str) -> None:
    n_fft, hop, mels = SIZES[rate]
    clip = clip_of(kind, rate)
    count = min(40, mels)
    ours = make("torchaudio-mfcc", sample_rate=rate, n_fft=n_fft, hop_length=hop, n_mels=mels, n_mfcc=count)(clip)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transforms.MFCC(rate, n_mfcc=count, melkwargs={"n_fft": n_fft, "hop_length": hop, "n_mels": mels})(clip)
    assert_decibels(ours, theirs.T)


def test_torchaudio_with_its_defaults_and_the_four_empty_filters_of_them() -> None:
    clip = noise(16000)
    with pytest.warns(UserWarning, match="128 bands leave 4 empty"):
        ours = registry.make("frontend", "torchaudio-mel")(clip)[0]
    assert_spectra(ours, transforms.MelSpectrogram()(clip).T)


def test_torchaudio_lfcc() -> None:
    clip = speech_like(1.0)
    ours = make("lfcc", n_filters=128, n_lfcc=40, hop_length=200, top_db=80.0)(clip)[0]
    assert_decibels(ours, transforms.LFCC(speckwargs={"n_fft": 400, "hop_length": 200})(clip).T)


@pytest.mark.parametrize("kind", ["random", "clipped", "voice"])
def test_librosa_chroma(kind: str) -> None:
    clip = clip_of(kind, 22050)
    theirs = librosa.feature.chroma_stft(y=clip.numpy(), sr=22050, tuning=0.0)
    np.testing.assert_allclose(make("chroma")(clip)[0].numpy(), theirs.T, atol=1e-4, rtol=1e-4)


def test_librosa_pcen() -> None:
    clip = speech_like(2.0)
    mel = librosa.feature.melspectrogram(y=clip.numpy(), sr=16000, n_fft=400, hop_length=160, n_mels=40, power=1)
    theirs = librosa.pcen(mel * 2 ** 31, sr=16000, hop_length=160)
    np.testing.assert_allclose(make("pcen", n_mels=40, padding="constant")(clip)[0].numpy(), theirs.T, atol=1e-4, rtol=1e-3)


def test_pure_tones_agree_in_double_precision() -> None:
    """Between a tone's harmonics lies only rounding, where single precision tells nothing."""
    clip = tone(440.0, 1.0, 22050, 0.9).double()
    bank = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000, dtype=np.float64)
    expected = np.log(np.maximum(np.abs(stft(np.pad(clip.numpy(), 512, mode="reflect"), hann(1024), 256)) @ bank.T, 1e-5))
    np.testing.assert_allclose(make("tacotron2-mel")(clip)[0].numpy(), expected, atol=1e-9)


def test_librosa_cqt_of_tones() -> None:
    clip = sum(tone(frequency, 2.0, 22050, 0.2) for frequency in (110.0, 440.0, 1318.51))
    ours = make("cqt")(clip)[0].numpy().T
    theirs = np.abs(librosa.cqt(clip.numpy(), sr=22050, tuning=0.0))
    middle = slice(20, -20)
    peaks = theirs[:, middle].mean(axis=1) > 0.5 * theirs[:, middle].mean(axis=1).max()
    np.testing.assert_allclose(ours[:, middle][peaks], theirs[:, middle][peaks], rtol=0.05)


# -- presets whose systems are not installed: their published recipes, written out in NumPy


def stft(samples: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    """Spectra [F, bins] of whole frames, in double precision."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), len(window))[::hop]
    return np.fft.rfft(frames * window)


def hann(length: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


@pytest.mark.parametrize("kind", CLIPS)
def test_whisper(kind: str) -> None:
    clip = clip_of(kind, 16000).numpy()
    bank = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80, dtype=np.float64)
    power = np.abs(stft(np.pad(clip, 200, mode="reflect"), hann(400), 160)[:-1]) ** 2
    log = np.log10(np.maximum(power @ bank.T, 1e-10))
    expected = (np.maximum(log, log.max() - 8.0) + 4.0) / 4.0
    np.testing.assert_allclose(make("whisper-log-mel")(torch.from_numpy(clip))[0].numpy(), expected, atol=1e-4)


def test_whisper_gives_3000_frames_for_30_seconds() -> None:
    assert make("whisper-log-mel")(torch.zeros(480000))[0].shape == (3000, 80)
    assert make("whisper-log-mel", n_mels=128)(torch.zeros(16000))[0].shape == (100, 128)


@pytest.mark.parametrize("kind", CLIPS)
def test_hifigan(kind: str) -> None:
    clip = clip_of(kind, 22050).numpy()
    bank = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000, dtype=np.float64)
    spectrum = stft(np.pad(clip, 384, mode="reflect"), hann(1024), 256)
    expected = np.log(np.maximum(np.sqrt(np.abs(spectrum) ** 2 + 1e-9) @ bank.T, 1e-5))
    np.testing.assert_allclose(make("hifigan-mel")(torch.from_numpy(clip))[0].numpy(), expected, atol=2e-4)
    assert kind == "short" or len(expected) == 86


@pytest.mark.parametrize("kind", CLIPS)
def test_tacotron2(kind: str) -> None:
    clip = clip_of(kind, 22050).numpy()
    bank = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000, dtype=np.float64)
    expected = np.log(np.maximum(np.abs(stft(np.pad(clip, 512, mode="reflect"), hann(1024), 256)) @ bank.T, 1e-5))
    np.testing.assert_allclose(make("tacotron2-mel")(torch.from_numpy(clip))[0].numpy(), expected, atol=2e-4)
    assert kind == "short" or len(expected) == 87


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("padding", ["reflect", "same"])
def test_vocos(kind: str, padding: str) -> None:
    clip = clip_of(kind, 24000)
    mel = transforms.MelSpectrogram(24000, n_fft=1024, hop_length=256, n_mels=100, power=1, center=padding == "reflect")
    padded = clip if padding == "reflect" else torch.nn.functional.pad(clip[None], (384, 384), mode="reflect")[0]
    assert_decibels(make("vocos-mel", padding=padding)(clip)[0], mel(padded).clamp(min=1e-7).log().T)


@pytest.mark.parametrize("kind", ["random", "clipped", "voice"])
def test_nemo(kind: str) -> None:
    clip = clip_of(kind, 16000).numpy().astype(np.float64)
    bank = librosa.filters.mel(sr=16000, n_fft=512, n_mels=80, dtype=np.float64)
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399), 56)
    emphasised = np.concatenate([clip[:1], clip[1:] - 0.97 * clip[:-1]])
    power = np.abs(stft(np.pad(emphasised, 256), window, 160)[:100]) ** 2
    log = np.log(power @ bank.T + 2.0 ** -24)
    expected = (log - log.mean(axis=0)) / (log.std(axis=0, ddof=1) + 1e-5)
    np.testing.assert_allclose(make("nemo-mel")(torch.from_numpy(clip).float())[0].numpy(), expected, atol=1e-3)


# -- golden sums


SLANEY, HTK = ("slaney", "slaney"), ("htk", "none")


@pytest.mark.parametrize(("arguments", "total", "filled"), [
    ((16000, 400, 80, 0, 8000, *SLANEY), 1.999024, 391), ((22050, 1024, 80, 0, 8000, *SLANEY), 3.713688, 727),
    ((22050, 2048, 128, 0, 11025, *SLANEY), 11.886681, 2018), ((16000, 512, 80, 0, 8000, *SLANEY), 2.558261, None),
    ((24000, 1024, 100, 0, 12000, *HTK), 503.828645, None), ((16000, 400, 128, 0, 8000, *HTK), 197.376650, None)])
def test_golden_sums_of_filter_banks(arguments: tuple[Any, ...], total: float, filled: int | None) -> None:
    bank = filters.mel_filters(*arguments)
    assert bank.sum() == pytest.approx(total, abs=1e-6)
    assert filled is None or np.count_nonzero(bank) == filled


def test_golden_values_of_whispers_bank() -> None:
    bank = filters.mel_filters(16000, 400, 80, 0, 8000, "slaney", "slaney")
    assert bank.max() == pytest.approx(0.02588068, abs=1e-8)
    assert bank[1, 0] == pytest.approx(0.02486259, abs=1e-8)


def test_mel_scales() -> None:
    assert filters.hz_to_mel(8000.0, "slaney") == pytest.approx(45.245640471924965, abs=1e-12)
    assert filters.hz_to_mel(8000.0, "kaldi") == pytest.approx(2840.0377, abs=1e-4)
    assert filters.hz_to_mel(8000.0, "htk") == pytest.approx(2840.0230, abs=1e-4)
    for scale in ("slaney", "kaldi", "htk"):
        hz = np.linspace(0, 12000, 50)
        np.testing.assert_allclose(filters.mel_to_hz(filters.hz_to_mel(hz, scale), scale), hz, atol=1e-9)
