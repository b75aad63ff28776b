"""Descriptions of sound beside librosa's, and sound rebuilt from features."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from filelock import FileLock
from signals import noise, speech_like, tone

from toolkit import audio
from toolkit.audio import analysis
from toolkit.audio.vocoders.spectra import linear
from toolkit.config import ConfigError
from toolkit.errors import UsageError
from toolkit.registry import registry

pytestmark = pytest.mark.compiles  # importing librosa does, half a minute in a new clone
RATES = {16000: (1024, 256), 22050: (2048, 512), 22051: (1023, 200)}
CLIPS = {"random": lambda rate: noise(rate, 1), "voice": lambda rate: speech_like(1.0, rate),
         "silent": lambda rate: torch.zeros(rate),
         "clipped": lambda rate: noise(rate, 2, 3.0).clamp(-1, 1), "short": lambda rate: noise(300, 3)}


def ours(name: str, clip: torch.Tensor, rate: int, **options: Any) -> np.ndarray:
    n_fft, hop = RATES[rate]
    frontend = registry.make("frontend", name, sample_rate=rate, n_fft=n_fft, hop_length=hop, **options)
    return np.asarray(frontend(clip)[0]).T


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", CLIPS)
def test_spectral_shapes(rate: int, kind: str) -> None:
    clip, (n_fft, hop) = CLIPS[kind](rate), RATES[rate]
    common = {"y": clip.numpy(), "n_fft": n_fft, "hop_length": hop}
    feature = librosa.feature
    close = np.testing.assert_allclose
    close(ours("spectral-centroid", clip, rate), feature.spectral_centroid(sr=rate, **common), rtol=1e-4, atol=1e-2)
    close(ours("spectral-bandwidth", clip, rate), feature.spectral_bandwidth(sr=rate, **common), rtol=1e-4, atol=1e-2)
    close(ours("spectral-flatness", clip, rate), feature.spectral_flatness(**common), rtol=1e-3, atol=1e-6)
    close(ours("rms", clip, rate), feature.rms(y=clip.numpy(), frame_length=n_fft, hop_length=hop), rtol=1e-4, atol=1e-7)
    # Rounding may decide which of two neighbouring bins a step falls on.
    gap = np.abs(ours("spectral-rolloff", clip, rate) - feature.spectral_rolloff(sr=rate, **common))
    assert gap.max() <= rate / n_fft + 0.01 and (gap > 0.01).mean() < 0.02
    contrast = ours("spectral-contrast", clip, rate, n_bands=5)
    close(contrast, feature.spectral_contrast(sr=rate, n_bands=5, **common), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("kind", CLIPS)
def test_zero_crossings_and_onsets(kind: str) -> None:
    clip = torch.cat([CLIPS[kind](22050), noise(4096, 4)])
    crossings = librosa.feature.zero_crossing_rate(clip.numpy(), center=False)
    np.testing.assert_allclose(ours("zero-crossing-rate", clip, 22050, padding="none"), crossings, atol=1e-6)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=clip.numpy()), top_db=None)
    expected = librosa.onset.onset_strength(S=mel, center=False)
    np.testing.assert_allclose(registry.make("frontend", "onset-strength")(clip)[0][:, 0], expected, atol=5e-4)


def test_numbers_known_by_hand() -> None:
    clip = tone(1000.0, 1.0, 16000, 0.5)
    assert ours("spectral-centroid", clip, 16000)[0, 30] == pytest.approx(1000.0, abs=0.5)
    assert ours("rms", clip, 16000)[0, 30] == pytest.approx(0.5 / np.sqrt(2), abs=1e-3)
    assert ours("zero-crossing-rate", clip, 16000)[0, 30] == pytest.approx(2000 / 16000, abs=1e-3)
    with pytest.raises(ConfigError, match="n_bands: got 6, which reach past 8000 Hz; allowed: at most 5"):
        registry.make("frontend", "spectral-contrast", sample_rate=16000, f_min=400.0)
    clip = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    for rate, n_fft in ((44100, 64), (44100, 100), (16000, 64), (22050, 100), (44100, 200), (44100, 256), (16000, 160)):
        facts = {"sample_rate": rate, "hop_length": 32, "n_bands": 4}
        try:
            assert registry.make("frontend", "spectral-contrast", n_fft=n_fft, **facts)(clip)[0].isfinite().all()
        except ConfigError as error:
            said = re.fullmatch(rf"n_fft: got {n_fft}, of which no bin .* the band from .* at {rate} Hz; .* (\d+)\.", str(error))
            assert said, str(error)
            assert registry.make("frontend", "spectral-contrast", n_fft=int(said[1]), **facts)(clip)[0].isfinite().all()
    with pytest.raises(ConfigError, match="n_fft: got 64, of which no bin belongs to the band from 0 to 200 Hz at 44100 Hz"):
        registry.make("frontend", "spectral-contrast", sample_rate=44100, n_fft=64, hop_length=32)


def test_pitch_tempo_parts_and_slopes() -> None:
    frequency, probability = audio.pitch(tone(220.0, 1.0, 16000), 16000)
    assert frequency[5:-5].tolist() == pytest.approx([220.0] * (len(frequency) - 10), rel=0.01)
    assert probability.shape == frequency.shape
    clicks = torch.zeros(22050 * 8)
    clicks[::11025] = 1.0
    assert audio.tempo(clicks + noise(len(clicks), 5, 1e-4), 22050) == pytest.approx(120, rel=0.05)
    sound = tone(440.0, 2.0, 22050, 0.3) + clicks[:44100]
    harmonic, percussive = audio.separate(sound)
    torch.testing.assert_close(harmonic + percussive, sound, atol=1e-3, rtol=0)
    assert harmonic.abs().max() < 0.6 < percussive.abs().max()
    ramp = torch.arange(20.0)[:, None] * torch.tensor([1.0, -2.0])
    torch.testing.assert_close(audio.deltas(ramp), torch.tensor([1.0, -2.0]).expand(20, 2), atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="an odd width from 3 to F"):
        audio.deltas(ramp[:5])


@pytest.mark.parametrize("name", ["log-mel", "torchaudio-mel", "whisper-log-mel", "tacotron2-mel"])
def test_mel_bands_come_back_from_their_inverse(name: str) -> None:
    frontend = registry.make("frontend", name, **({"n_mels": 64} if name == "torchaudio-mel" else {}))
    mel = frontend(speech_like(1.0, frontend.spec.sample_rate))[0]
    magnitude = audio.invert_mel(mel, frontend.spec)
    bank = torch.from_numpy(frontend.bank).float()
    bands, expected = magnitude ** frontend.spec.power @ bank, linear(mel, frontend.spec)
    assert (bands - expected).norm() / expected.norm() < 0.02


def test_inverses_are_those_of_the_vocoder() -> None:
    vocoder = registry.make("vocoder", "griffin-lim", iterations=8, momentum=0.99, solver_iterations=200)
    mel = vocoder.frontend(speech_like(0.5, vocoder.spec.sample_rate))[0]
    magnitude = audio.invert_mel(mel, vocoder.spec)
    torch.testing.assert_close(magnitude, vocoder.magnitudes(mel[None])[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(audio.griffin_lim(magnitude, vocoder.spec, iterations=8), vocoder.with_phases(magnitude[None])[0])


def test_griffin_lim_finds_a_waveform_of_these_magnitudes() -> None:
    frontend = registry.make("frontend", "spectrogram", power=1.0, n_fft=512, hop_length=128)
    magnitude = frontend(speech_like(1.0))[0]
    waveform = audio.griffin_lim(magnitude, frontend.spec, iterations=60)
    assert abs(len(waveform) - 16000) < 128
    again = frontend(waveform)[0][:len(magnitude)]
    assert (again - magnitude[:len(again)]).norm() / magnitude.norm() < 0.15
    assert torch.equal(waveform, audio.griffin_lim(magnitude, frontend.spec, iterations=60))
    with pytest.raises(UsageError, match=r"needs magnitudes \[F, 513\]; got shape \(126, 257\)"):
        audio.griffin_lim(magnitude, registry.make("frontend", "hifigan-mel").spec)
    with pytest.raises(ConfigError, match="padding: got 'none'; synthesis needs one of"):
        audio.griffin_lim(magnitude, replace(frontend.spec, padding="none"))
    with pytest.raises(UsageError, match="only mel bands can be inverted; this front end gives cepstra"):
        audio.invert_mel(magnitude, registry.make("frontend", "mfcc").spec)


@pytest.mark.parametrize("rate", [16000, 22050])
def test_pyin_is_librosas_and_finds_a_gliding_voice(rate: int) -> None:
    time = torch.arange(rate) / rate
    hertz = 120.0 + 60.0 * time
    phase = 2 * torch.pi * torch.cumsum(hertz, 0) / rate
    clip = sum(torch.sin(number * phase) / number for number in range(1, 6)) * 0.2
    clip = torch.cat((clip, noise(rate // 2, 3, 1e-3)))
    frontend = registry.make("frontend", "pyin", sample_rate=rate)
    features, frames = frontend(clip)
    frequency, voiced, probability = librosa.pyin(clip.double().numpy(), fmin=65.0, fmax=800.0, sr=rate, fill_na=0.0)
    np.testing.assert_allclose(features.numpy(), np.stack([frequency * voiced, probability], axis=1), rtol=1e-5, atol=1e-5)
    times = np.array(frontend.spec.times(int(frames)))
    inside = (times > 0.1) & (times < 0.9)
    np.testing.assert_allclose(features[inside, 0], 120.0 + 60.0 * times[inside], rtol=0.02)
    assert features[times > 1.15, 1].mean() < 0.5 * features[inside, 1].mean()  # noise is no voice


@pytest.mark.parametrize(("options", "message"), [
    ({"f_max": 60.0}, "f_max: got 60, allowed: above f_min = 65"), ({"f_max": 12000.0}, "at most half the sample rate, 11025 Hz"),
    ({"f_min": 20.0}, "f_min: got 20, allowed: at least 21.55 Hz, of which two periods fit a frame of 2048 samples"),
    ({"hop_length": 4096}, "hop_length: got 4096, allowed: at most frame_length = 2048")])
def test_pyins_settings_that_cannot_be_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry.make("frontend", "pyin", **options)


def test_processes_compile_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def pyin(clip: np.ndarray, **options: Any) -> None:
        asked.append(str(clip.dtype))

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(analysis, "librosa", lambda: SimpleNamespace(pyin=pyin))
    with ThreadPoolExecutor() as pool:
        with FileLock(tmp_path / "compiling.lock"):  # as another process would
            found = pool.submit(analysis.pyin.__wrapped__)
            with pytest.raises(TimeoutError):
                found.result(0.3)
            assert asked == []
        assert found.result(20) is pyin and asked == ["float32", "float64"]
