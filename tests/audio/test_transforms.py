"""Transforms in numbers: levels, ratios, frequencies, lengths, decays."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import noise, speech_like, tone

from toolkit import audio
from toolkit.audio.io import AudioError
from toolkit.audio.transforms.level import loudness
from toolkit.audio.transforms.noise import coloured
from toolkit.audio.transforms.room import room
from toolkit.config import ConfigError
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry

RATE = 16000


def make(name: str, **options: Any) -> Any:
    return registry.make("transform", name, **options)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ratio_db(signal: torch.Tensor, disturbance: torch.Tensor) -> float:
    return 10 * math.log10(float(signal.double().square().mean() / disturbance.double().square().mean()))


def frequency_of(clip: torch.Tensor, rate: int = RATE) -> float:
    """The strongest frequency, by a parabola through the spectrum's peak."""
    spectrum = torch.fft.rfft(clip.double() * torch.hann_window(len(clip), dtype=torch.float64)).abs().log()
    peak = int(spectrum.argmax())
    low, top, high = (float(spectrum[peak + step]) for step in (-1, 0, 1))
    return (peak + 0.5 * (low - high) / (low - 2 * top + high)) * rate / len(clip)


# -- level


def test_gain_is_in_decibels() -> None:
    assert make("gain", gain=(6.0,))(torch.ones(4))[0].tolist() == pytest.approx([10 ** 0.3] * 4)
    changes = [20 * math.log10(float(make("gain", seed=seed)(torch.ones(1))[0])) for seed in range(200)]
    assert min(changes) >= -6 and max(changes) <= 6 and abs(np.mean(changes)) < 0.6 and min(changes) < -5 and max(changes) > 5


@pytest.mark.parametrize("factor", [1e-4, 1.0, 50.0])
def test_normalising_reaches_the_level(factor: float) -> None:
    clip = speech_like(1.0) * factor
    peak = make("normalize", level=-3.0)(clip)[0]
    assert 20 * math.log10(float(peak.abs().max())) == pytest.approx(-3.0, abs=1e-4)
    rms = make("normalize", level=-20.0, measure="rms")(clip)[0]
    assert ratio_db(rms, torch.ones(1)) == pytest.approx(-20.0, abs=1e-4)
    if factor >= 1.0:
        loud = make("normalize", level=-23.0, measure="loudness")(clip)[0]
        assert loudness(loud, RATE) == pytest.approx(-23.0, abs=1e-3)


@pytest.mark.parametrize("rate", [48000, 44100, 16000])
def test_loudness_of_a_full_scale_tone(rate: int) -> None:
    """BS.1770-4: 0 dBFS at 997 Hz in one channel is -3.01 LUFS; gates leave out what is silent."""
    clip = tone(997.0, 3.0, rate, 1.0)
    assert loudness(clip, rate) == pytest.approx(-3.01, abs=0.05)
    assert loudness(clip * 0.1, rate) == pytest.approx(-23.01, abs=0.05)
    with_pause = torch.cat([clip, torch.zeros(10 * rate)])
    assert loudness(with_pause, rate) == pytest.approx(-3.01, abs=0.3)
    assert loudness(torch.zeros(rate), rate) == -math.inf


def test_clipping_cuts_at_the_threshold() -> None:
    clip = tone(100.0, 0.1, RATE, 0.8)
    cut = make("clipping", threshold=(-6.0206,))(clip)[0]
    assert float(cut.abs().max()) == pytest.approx(0.4, abs=1e-5)
    assert torch.equal(cut[clip.abs() < 0.39], clip[clip.abs() < 0.39])
    soft = make("clipping", threshold=(-6.0206,), soft=True)(clip)[0]
    assert 0.38 < float(soft.abs().max()) < 0.4


# -- silence


@pytest.mark.compiles
def test_trim_is_librosas() -> None:
    clip = torch.cat([torch.zeros(3000), speech_like(1.0), torch.zeros(5000)])
    trimmed, sizes = make("trim", top_db=30.0, frame_length=2048, hop_length=512)(clip)
    theirs = librosa.effects.trim(clip.numpy(), top_db=30.0)[0]
    assert sizes.tolist() == [len(theirs)] and np.array_equal(trimmed.numpy(), theirs)
    assert make("trim")(torch.zeros(4000))[1].tolist() == [0]


def test_vad_finds_the_speech() -> None:
    voice = speech_like(3.0)
    pauses = torch.cat([noise(RATE, 1, 1e-3), voice[:8000] + 0.05 * tone(300, 0.5, RATE), noise(RATE, 2, 1e-3)])
    vad = make("vad", hangover=0.0)
    speech = vad.speech(pauses)
    assert speech[:15500].float().mean() < 0.02 and speech[24500:].float().mean() < 0.02
    assert speech[16500:19000].all()
    kept, sizes = vad(pauses)
    assert sizes.tolist() == [int(speech.sum())] and torch.equal(kept, pauses[speech])
    muted, sizes = make("vad", hangover=0.0, action="mute")(pauses)
    assert sizes.tolist() == [len(pauses)] and torch.equal(muted, pauses * speech)
    assert make("vad")(torch.zeros(8000))[1].tolist() == [0]
    assert make("vad")(tone(200.0, 1.0, RATE))[1].tolist() == [RATE]


# -- spectrum


def test_pre_emphasis_by_hand() -> None:
    assert make("pre-emphasis", coefficient=0.5)(torch.tensor([1.0, 2.0, 4.0]))[0].tolist() == [1.0, 1.5, 3.0]


@pytest.mark.parametrize(("name", "options", "kept", "lost"), [
    ("low-pass", {"cutoff": (1000.0,)}, 200.0, 4000.0), ("high-pass", {"cutoff": (1000.0,)}, 4000.0, 200.0),
    ("band-pass", {}, 1000.0, 60.0), ("band-stop", {"low": (900.0,), "high": (1200.0,)}, 4000.0, 1040.0)])
def test_band_filters_keep_and_remove(name: str, options: dict[str, Any], kept: float, lost: float) -> None:
    transform = make(name, **options)
    for frequency, least, most in ((kept, -0.2, 0.2), (lost, -400, -40)):
        clip = tone(frequency, 1.0, RATE)
        assert least < ratio_db(transform(clip)[0][8000:], clip[8000:]) < most


def test_the_edge_is_at_minus_3_decibels() -> None:
    clip = tone(1000.0, 1.0, RATE)
    assert ratio_db(make("low-pass")(clip)[0][8000:], clip[8000:]) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("low-pass", {"cutoff": (8000.0,)}, "cutoff: got 8000, allowed: below half the sample rate, 8000 Hz"),
    ("band-pass", {"low": (4000.0,)}, "low: got 4000, allowed: below high = 3400"),
    ("gain", {"gain": (3.0, 1.0)}, "not the larger"),
    ("gain", {"gain": (1.0, 2.0, 3.0)}, "one number, or two"), ("speed", {"factors": ()}, "at least one number"),
    ("codec", {"codecs": ("mp4",)}, "codecs: got 'mp4', allowed: one of mp3"), ("noise", {"colour": "red"}, "colour: got 'red'")])
def test_settings_out_of_range_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(name, **options)


# -- other sounds

SLOPES = {"white": 0.0, "pink": -3.01, "brown": -6.02, "blue": 3.01, "violet": 6.02}  # dB an octave


@given(st.floats(-20, 60), st.sampled_from(list(SLOPES)), st.integers(50, 4000), st.integers(0, 99))
@settings(max_examples=60)
def test_noise_is_at_exactly_the_ratio(snr: float, colour: str, samples: int, seed: int) -> None:
    clips = noise(2 * 4000, seed).view(2, 4000).double()
    lengths = torch.tensor([samples, 4000])
    noisy, _ = make("noise", snr=(snr,), colour=colour)(clips, lengths, generator(seed))
    for clip, changed, length in zip(clips, noisy, lengths.tolist()):
        assert ratio_db(clip[:length], (changed - clip)[:length]) == pytest.approx(snr, abs=1e-6)


def test_noise_in_single_precision_is_at_the_ratio_too() -> None:
    clip = speech_like(2.0)
    for snr in (0.0, 10.0, 30.0):
        assert ratio_db(clip, make("noise", snr=(snr,))(clip)[0].double() - clip.double()) == pytest.approx(snr, abs=1e-3)


@pytest.mark.parametrize(("colour", "slope"), SLOPES.items())
def test_colours_fall_and_rise_by_octaves(colour: str, slope: float) -> None:
    power = torch.fft.rfft(coloured(1 << 17, colour, torch.zeros(1), generator())).abs().square()
    octaves = [10 * math.log10(float(power[1 << k:2 << k].mean())) for k in range(8, 16)]
    assert np.polyfit(range(8), octaves, 1)[0] == pytest.approx(slope, abs=0.2)


def test_noise_from_files_is_the_files(tmp_path: Path) -> None:
    (tmp_path / "noises").mkdir()
    audio.save(tmp_path / "noises" / "hum.wav", tone(1000.0, 0.2, RATE), RATE)
    (tmp_path / "noises" / "bad.wav").write_bytes(b"RIFF")
    with pytest.warns(UserWarning, match="left out: .*bad.wav"):
        transform = make("noise", path=str(tmp_path / "noises"), snr=(0.0,))
    clip = speech_like(1.0)
    hum = transform(clip)[0] - clip
    assert frequency_of(hum) == pytest.approx(1000.0, abs=0.5)
    assert ratio_db(clip, hum) == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(ToolkitError, match="there is no such file"):
        make("noise", path=str(tmp_path / "none.wav"))
    audio.save(tmp_path / "tiny.wav", torch.ones(1), 48000)
    for name in ("noise", "reverb"):
        with pytest.raises(AudioError, match="tiny.wav: it is too short to be drawn from: at 16000 Hz it has no sample"):
            make(name, path=str(tmp_path / "tiny.wav"))(clip)
    with pytest.raises(UsageError, match="holds no sound"):
        (tmp_path / "empty").mkdir()
        make("noise", path=str(tmp_path / "empty"))


def test_mix_puts_another_clip_on_top() -> None:
    low, high = tone(200.0, 0.5, RATE), tone(3000.0, 0.2, RATE)
    clips = torch.zeros(2, 8000)
    clips[0], clips[1, :3200] = low, high
    lengths = torch.tensor([8000, 3200])
    mixed, sizes = make("mix", snr=(5.0,))(clips, lengths)
    assert torch.equal(sizes, lengths) and not mixed[1, 3200:].any()
    assert ratio_db(low, mixed[0] - low) == pytest.approx(5.0, abs=1e-3)
    assert frequency_of(mixed[0] - low) == pytest.approx(3000.0, abs=2)
    assert torch.equal(make("mix")(low)[0], low)


@pytest.mark.parametrize("rt60", [0.3, 0.8])
def test_a_generated_room_decays_as_it_says(rt60: float) -> None:
    response = room(rt60, 3.0, RATE, torch.zeros(1), generator(1))
    tail = response[1:].square()
    assert 10 * math.log10(1.0 / float(tail.sum())) == pytest.approx(3.0, abs=1e-9)
    left = 10 * torch.log10(tail.flip(0).cumsum(0).flip(0))  # Schroeder's integral
    begin, end = (int(torch.nonzero(left <= left[0] - level)[0]) for level in (5, 25))
    assert 3 * (end - begin) / RATE == pytest.approx(rt60, rel=0.1)


def test_reverb_keeps_the_direct_sound_in_place() -> None:
    click = torch.zeros(8000)
    click[1000] = 0.5
    wet, sizes = make("reverb", drr=(10.0,))(click)
    assert sizes.tolist() == [8000] and not wet[:999].abs().gt(1e-7).any()
    assert int(wet.abs().argmax()) == 1000 and float(wet[1000]) == pytest.approx(0.5, abs=1e-6)
    grown, sizes = make("reverb", rt60=(0.5,), tail=True)(click)
    assert sizes.tolist() == [8000 + 8000 - 1] and len(grown) == 15999


def test_recorded_rooms_are_convolved(tmp_path: Path) -> None:
    response = torch.tensor([0.0, 0.0, 0.5, 0.25])
    audio.save(tmp_path / "room.wav", response, RATE, subtype="FLOAT")
    clip = torch.zeros(10)
    clip[3] = 1.0
    wet = make("reverb", path=str(tmp_path / "room.wav"))(clip)[0]
    assert wet.tolist() == pytest.approx([0, 0, 0, 1.0, 0.5, 0, 0, 0, 0, 0], abs=1e-6)


# -- time


@pytest.mark.parametrize("factor", [0.9, 1.1, 2.0])
def test_speed_changes_length_and_pitch(factor: float) -> None:
    faster, sizes = make("speed", factors=(factor,))(tone(440.0, 1.0, RATE))
    assert sizes.tolist() == [round(RATE / factor)] == [len(faster)]
    assert frequency_of(faster) == pytest.approx(440.0 * factor, abs=0.3)


def test_speed_draws_each_factor() -> None:
    lengths = {int(make("speed", seed=seed)(torch.zeros(990))[1]) for seed in range(20)}
    assert lengths == {1100, 990, 900}


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_stretch_changes_length_alone(factor: float) -> None:
    stretched, sizes = make("stretch", factor=(factor,))(tone(440.0, 1.0, RATE))
    assert sizes.tolist() == [round(RATE / factor)]
    assert frequency_of(stretched) == pytest.approx(440.0, abs=0.5)
    assert ratio_db(stretched[2000:-2000], tone(440.0, 1.0, RATE)) == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("semitones", [-5.0, 7.0])
def test_pitch_changes_frequency_alone(semitones: float) -> None:
    shifted, sizes = make("pitch", semitones=(semitones,))(tone(440.0, 1.0, RATE))
    assert sizes.tolist() == [RATE]
    assert frequency_of(shifted[1000:-1000]) == pytest.approx(440.0 * 2 ** (semitones / 12), rel=2e-3)


def test_crop_and_shift_by_hand() -> None:
    clip = torch.arange(1.0, 9.0)
    options = {"sample_rate": 10, "seconds": 0.4}
    assert make("crop", place="start", **options)(clip)[0].tolist() == [1, 2, 3, 4]
    assert make("crop", place="middle", **options)(clip)[0].tolist() == [3, 4, 5, 6]
    assert make("crop", **options)(clip[:2])[0].tolist() == [1, 2, 0, 0]
    assert {int(make("crop", seed=seed, **options)(clip)[0][0]) for seed in range(40)} == {1, 2, 3, 4, 5}
    assert make("shift", seconds=(0.3,), sample_rate=10)(clip)[0].tolist() == [0, 0, 0, 1, 2, 3, 4, 5]
    assert make("shift", seconds=(-0.3,), sample_rate=10)(clip)[0].tolist() == [4, 5, 6, 7, 8, 0, 0, 0]


CODECS = {"mp3": 8, "vorbis": 5, "opus": 3, "mu-law": 25, "a-law": 25, "gsm": -1, "adpcm": 15}  # least ratio to what is lost, dB


@pytest.mark.parametrize(("codec", "least"), CODECS.items())
@pytest.mark.parametrize("rate", [16000, 44100])
def test_codecs_keep_time_and_most_of_the_sound(codec: str, least: float, rate: int) -> None:
    clip = speech_like(1.0, rate)
    coded, sizes = make("codec", codecs=(codec,), sample_rate=rate, compression=(0.3,))(clip)
    assert sizes.tolist() == [len(clip)] and not torch.equal(coded, clip)
    spectrum = torch.fft.rfft(coded.double()) * torch.fft.rfft(clip.double()).conj()
    lag = int(torch.fft.irfft(spectrum).argmax())
    assert min(lag, len(clip) - lag) <= 2
    assert ratio_db(clip, coded - clip) > least


# -- features


def test_masks_are_as_many_and_as_wide_as_they_say() -> None:
    features = torch.ones(50, 20) + torch.rand(50, 20, generator=generator())
    for seed in range(30):
        hidden = make("time-mask", frames=10, masks=1, fill="zero", seed=seed)(features)[0] == 0
        rows = hidden.all(dim=1)
        assert torch.equal(hidden, rows[:, None].expand_as(hidden)) and int(rows.sum()) <= 10
        assert int(rows.int().diff().abs().sum()) <= 2  # one stretch
        columns = (make("frequency-mask", bins=5, masks=2, fill="zero", seed=seed)(features)[0] == 0).all(dim=0)
        assert int(columns.sum()) <= 10
    masks = [make("time-mask", frames=3, masks=1, fill="zero", seed=seed)(features)[0] == 0 for seed in range(60)]
    assert {int(mask.all(dim=1).sum()) for mask in masks} == {0, 1, 2, 3}
    assert int((make("time-mask", frames=100, masks=1, share=0.1, fill="zero", seed=3)(features)[0] == 0).all(dim=1).sum()) <= 5


def test_masks_are_filled_with_the_clips_mean() -> None:
    features = torch.rand(50, 20, generator=generator())
    masked = make("frequency-mask", bins=20, masks=3)(features)[0]
    changed = masked != features
    assert changed.any() and torch.allclose(masked[changed], features.mean())


def test_warping_keeps_the_ends_and_the_order() -> None:
    ramp = torch.arange(100.0)[:, None].expand(100, 4).contiguous()
    for seed in range(20):
        warped = make("time-warp", frames=20, seed=seed)(ramp)[0]
        assert warped[0, 0] == 0 and warped[-1, 0] == 99 and (warped.diff(dim=0) > 0).all()
    assert (warped - ramp).abs().max() > 0.5
    assert torch.equal(make("time-warp")(ramp[:2])[0], ramp[:2])
