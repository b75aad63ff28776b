"""Sound files: every format out and in, parts, streams, and a message for everything that can be wrong."""

from __future__ import annotations

import io as memory
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from signals import noise, tone

from toolkit import audio
from toolkit.audio import io, manifests
from toolkit.audio.transforms.codec import coded
from toolkit.errors import UsageError

RATE = 16000
LOSSLESS = [("wav", "PCM_16", 2 ** -15), ("wav", "PCM_24", 2 ** -23), ("wav", "PCM_32", 2 ** -24), ("wav", "PCM_U8", 2 ** -6),
            ("wav", "FLOAT", 0), ("wav", "DOUBLE", 0), ("flac", "PCM_16", 2 ** -15), ("flac", "PCM_24", 2 ** -23),
            ("aiff", "PCM_16", 2 ** -15), ("w64", "FLOAT", 0), ("caf", "PCM_16", 2 ** -15), ("au", "FLOAT", 0)]


@pytest.mark.parametrize(("suffix", "subtype", "error"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_lossless_formats_return_what_was_saved(tmp_path: Path, suffix: str, subtype: str, error: float, channels: int) -> None:
    clip = noise(channels * 900).view(channels, 900).clamp(-0.9, 0.9)
    audio.save(tmp_path / f"a.{suffix}", clip, RATE, subtype=subtype)
    loaded, rate = audio.load(tmp_path / f"a.{suffix}")
    assert rate == RATE and loaded.dtype == torch.float32 and loaded.shape == (channels, 900)
    torch.testing.assert_close(loaded, clip, atol=error, rtol=0)


@pytest.mark.parametrize("suffix", ["ogg", "opus", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_formats_return_about_what_was_saved(tmp_path: Path, suffix: str, channels: int) -> None:
    clip = tone(440.0, 1.0, RATE).repeat(channels, 1)
    audio.save(tmp_path / f"a.{suffix}", clip, RATE)
    loaded, rate = audio.load(tmp_path / f"a.{suffix}", sample_rate=RATE)
    assert rate == RATE and loaded.shape[0] == channels and abs(loaded.shape[1] - RATE) < 2400
    spectrum = torch.fft.rfft(loaded[0, 4000:12000]).abs()
    assert int(spectrum.argmax()) == 220
    assert io.info(tmp_path / f"a.{suffix}").subtype == {"ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}[suffix]


@pytest.mark.parametrize(("suffix", "rate", "error"), [("mp3", 16000, 1e-6), ("mp3", 44100, 1e-6), ("ogg", 44100, 1e-6),
                                                       ("opus", 16000, 1e-3)])  # Opus draws a faint noise of its own
def test_parts_and_blocks_of_lossy_files_are_those_of_the_whole(tmp_path: Path, suffix: str, rate: int, error: float) -> None:
    audio.save(tmp_path / f"a.{suffix}", 0.1 * noise(6 * rate) + 0.3 * tone(300.0, 6.0, rate), rate)
    whole = audio.load(tmp_path / f"a.{suffix}")[0]
    for first in range(rate // 2, 5 * rate, rate // 3):
        part = audio.load(tmp_path / f"a.{suffix}", offset=first / rate, duration=0.3)[0]
        torch.testing.assert_close(part, whole[:, first:first + part.shape[1]], atol=error, rtol=0)
    joined = np.concatenate([*io.blocks(tmp_path / f"a.{suffix}", seconds=0.37)], 1)
    np.testing.assert_allclose(joined, whole.numpy(), atol=error)


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.float64])
def test_integers_are_full_scale(tmp_path: Path, dtype: torch.dtype) -> None:
    scale = {torch.int16: 2 ** 15, torch.int32: 2 ** 31, torch.float64: 1}[dtype]
    audio.save(tmp_path / "a.wav", (torch.tensor([0.5, -0.25]) * scale).to(dtype), RATE, subtype="PCM_24")
    assert audio.load(tmp_path / "a.wav")[0].tolist() == [[0.5, -0.25]]


@pytest.mark.parametrize(("name", "subtype", "error"), [("a.wav", "FLOAT", 0), ("a.w64", "DOUBLE", 0), ("a.flac", None, 0),
                                                        ("a.ogg", None, 0.02), ("a.opus", None, 0.02)])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
def test_integers_are_full_scale_in_every_encoding(tmp_path: Path, name: str, subtype: str | None, error: float,
                                                   dtype: torch.dtype) -> None:
    clip = (tone(440.0, 1.0, RATE) * 0.5 * torch.iinfo(torch.int16).max).round() / 2 ** 15
    whole = (clip.double() * -torch.iinfo(dtype).min).to(dtype)
    audio.save(tmp_path / name, whole, RATE, subtype=subtype)
    with io.writing(tmp_path / f"blocks-{name}", RATE, 1, subtype=subtype) as writer:
        writer.write(whole[None])
    for saved in (tmp_path / name, tmp_path / f"blocks-{name}"):
        assert abs(float(audio.load(saved)[0].abs().max()) - float(clip.abs().max())) <= error


def test_saving_warns_of_samples_that_are_cut(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    loud = torch.tensor([0.0, 1.0, -1.0, 1.01])
    with audio.io.writing(tmp_path / "blocks.flac", 16000, 1) as writer:
        writer.write(loud)
        writer.write(loud * 2)
    assert writer.beyond == 4
    audio.save(tmp_path / "kept.wav", loud, 16000, subtype="float")
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"a.wav: 1 of 4 samples \(25 %\) are beyond full scale, and are cut. Divide"):
        audio.save(tmp_path / "a.wav", loud, 16000)


def test_parts_of_a_file_and_bytes_in_memory(tmp_path: Path) -> None:
    clip = noise(4 * RATE)
    audio.save(tmp_path / "a.flac", clip, RATE)
    whole = audio.load(tmp_path / "a.flac")[0]
    part = audio.load(tmp_path / "a.flac", offset=1.5, duration=0.25)[0]
    assert torch.equal(part, whole[:, 24000:28000])
    data = (tmp_path / "a.flac").read_bytes()
    assert torch.equal(audio.load(data)[0], whole)
    assert torch.equal(audio.load(memory.BytesIO(data))[0], whole)
    facts = io.info(data)
    assert (facts.sample_rate, facts.channels, facts.frames, facts.duration, facts.format) == (RATE, 1, 4 * RATE, 4.0, "FLAC")


def test_mono_and_rate_are_soundfiles_and_soxrs(tmp_path: Path) -> None:
    stereo = noise(2 * 44100).view(2, 44100)
    audio.save(tmp_path / "a.wav", stereo, 44100, subtype="FLOAT")
    loaded, rate = audio.load(tmp_path / "a.wav", sample_rate=RATE, mono=True)
    expected = soxr.resample(stereo.mean(dim=0).numpy(), 44100, RATE)
    assert rate == RATE
    np.testing.assert_allclose(loaded[0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("rate", [None, 16000, 22050])
@pytest.mark.parametrize("seconds", [0.01, 0.3, 7.0])
def test_blocks_joined_are_the_whole(tmp_path: Path, rate: int | None, seconds: float) -> None:
    audio.save(tmp_path / "a.wav", noise(2 * 44100).view(2, 44100), 44100, subtype="FLOAT")
    joined = np.concatenate(list(io.blocks(tmp_path / "a.wav", rate, True, seconds=seconds)), axis=1)
    np.testing.assert_allclose(joined, io.read(tmp_path / "a.wav", rate, True)[0], atol=2e-4)


# -- what can be wrong


def wav(frames: int = 100, **changes: int) -> bytes:
    data = b"\0\0" * frames
    size = changes.get("size", len(data))
    return (b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
            + b"data" + struct.pack("<I", size) + data)


def broken_flac() -> bytes:
    buffer = memory.BytesIO()
    soundfile.write(buffer, noise(30000).numpy(), RATE, format="FLAC")
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


def with_nan() -> bytes:
    buffer = memory.BytesIO()
    samples = noise(RATE).numpy().copy()
    samples[8000] = np.nan
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


BAD = {"empty": (b"", "it is empty (0 bytes)"), "text": (b"hello, this is text\n" * 10, "it is not audio: it holds text"),
       "random": (bytes(range(7, 250)) * 9, "it is not audio that can be read"),
       "aac": (b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(200), "it holds AAC"),
       "adts": (b"\xff\xf1\x50\x80" + bytes(99), "it holds AAC"),
       "webm": (b"\x1aE\xdf\xa3" + bytes(99), "WebM"), "zero length": (wav(0), "it holds no samples"),
       "header lies": (wav(100, size=90000), "its header promises 90000 bytes of samples, but 200 follow"),
       "cut header": (wav()[:20], "begins as WAV but is damaged or truncated"),
       "truncated": (broken_flac(), "a.wav: it is"), "nan": (with_nan(), "1 samples are NaN or infinite, the first at 0.500 s")}


@pytest.mark.parametrize("kind", BAD)
def test_every_failure_names_the_file_and_the_cause(tmp_path: Path, kind: str) -> None:
    data, message = BAD[kind]
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(io.AudioError) as caught:
        io.load(tmp_path / "a.wav")
    assert str(caught.value).startswith(f"{tmp_path / 'a.wav'}: ") and message in str(caught.value)
    with pytest.raises(io.AudioError):
        list(io.blocks(tmp_path / "a.wav", RATE))


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_wav_whose_writer_could_not_seek_back_is_read_to_its_end(size: int) -> None:
    assert io.info(wav(100, size=size)).frames == 100 and io.read(wav(100, size=size))[0].shape == (1, 100)


@pytest.mark.parametrize("size", [202, 0x7FFE0000, 0x90000000])
def test_a_wav_that_was_cut_is_none_of_those(size: int) -> None:
    with pytest.raises(io.AudioError, match="its header promises"):
        io.read(wav(100, size=size))


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    clip = noise(3 * RATE).view(2, -1).clamp(-0.9, 0.9)
    audio.save(tmp_path / "known.flac", clip, RATE)
    data = bytearray((tmp_path / "known.flac").read_bytes())
    data[21] &= 0xF0  # the 36 bits of the length in STREAMINFO
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    assert soundfile.info(tmp_path / "a.flac").frames == 2 ** 63 - 1
    assert io.info(tmp_path / "a.flac").duration == 1.5
    whole = io.read(tmp_path / "known.flac")[0]
    np.testing.assert_array_equal(io.read(tmp_path / "a.flac")[0], whole)
    np.testing.assert_array_equal(io.read(bytes(data), offset=0.5, duration=0.7)[0], whole[:, 8000:19200])
    np.testing.assert_array_equal(np.concatenate([*io.blocks(tmp_path / "a.flac", seconds=0.4)], 1), whole)
    with pytest.raises(io.AudioError, match="offset 2 s is past its end at 1.5 s"):
        io.read(tmp_path / "a.flac", offset=2.0)


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "GSM610"), ("AIFF", "GSM610"), ("WAV", "G721_32"), ("AU", "G721_32"),
                                               ("WAV", "NMS_ADPCM_32")])
def test_encodings_that_cannot_be_sought_in_are_read(tmp_path: Path, kind: str, subtype: str) -> None:
    soundfile.write(tmp_path / "a", tone(300.0, 1.0, 8000).numpy(), 8000, subtype, format=kind)
    assert not soundfile.SoundFile(tmp_path / "a").seekable()
    whole, rate = io.read(tmp_path / "a")
    assert rate == 8000 and 0.4 < np.abs(whole).max() < 1.1
    np.testing.assert_array_equal(whole[0, :100], soundfile.SoundFile(tmp_path / "a").read(100, dtype="float32"))
    np.testing.assert_array_equal(np.concatenate([*io.blocks(tmp_path / "a", seconds=0.3)], 1), whole)
    np.testing.assert_array_equal(io.read(tmp_path / "a", offset=0.25, duration=0.5)[0], whole[:, 2000:6000])
    parts = [*io.blocks(tmp_path / "a", offset=0.25, duration=0.5, seconds=0.2)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole[:, 2000:6000])


def test_a_name_need_not_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"lat\xe9in.wav")
    audio.save(path, noise(RATE), RATE)
    with io.writing(path, RATE, 1, overwrite=True) as writer:
        writer.write(noise(RATE)[None])
    assert io.info(path).frames == RATE and io.read(str(path))[0].shape == (1, RATE)
    clips, problems = manifests.scan(tmp_path)
    assert len(clips) == 1 and not problems
    manifests.write(tmp_path / "a.jsonl", clips)
    assert manifests.read(tmp_path / "a.jsonl", check_files=True) == clips
    with pytest.raises(UsageError, match="in.wav' is not UTF-8, which CSV cannot hold. Write .*b.jsonl, or rename the file"):
        manifests.write(tmp_path / "b.csv", clips)


def test_missing_files_folders_and_offsets(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", noise(RATE), RATE)
    with pytest.raises(io.AudioError, match="there is no such file"):
        io.load(tmp_path / "b.wav")
    with pytest.raises(io.AudioError, match="it is a folder"):
        io.load(tmp_path)
    with pytest.raises(io.AudioError, match="offset 2 s is past its end at 1 s"):
        io.load(tmp_path / "a.wav", offset=2.0)
    with pytest.raises(UsageError, match="duration above 0"):
        io.load(tmp_path / "a.wav", duration=0.0)
    with pytest.raises(UsageError, match="sample_rate: got 0"):
        io.load(tmp_path / "a.wav", sample_rate=0)
    with pytest.raises(UsageError, match="quality: got 'BEST', allowed: HQ"):
        io.load(tmp_path / "a.wav", sample_rate=8000, quality="BEST")


def test_saving_refuses_what_cannot_be_written_and_leaves_nothing(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", noise(99), RATE)
    with pytest.raises(UsageError, match="exists"):
        audio.save(tmp_path / "a.wav", noise(99), RATE)
    audio.save(tmp_path / "a.wav", noise(50), RATE, overwrite=True)
    for name, clip, options, message in (
            ("b.m4a", noise(9), {}, "suffix '.m4a' names no format"), ("b.wav", noise(9) / 0, {}, "nothing was written"),
            ("b.flac", noise(9), {"subtype": "DOUBLE"}, "does not exist in FLAC. Allowed: PCM"),
            ("b.opus", noise(900), {}, "Opus only supports"), ("b.wav", torch.zeros(0), {}, "at least one sample")):
        with pytest.raises((io.AudioError, UsageError), match=message):
            audio.save(tmp_path / name, clip, 44100 if name == "b.opus" else RATE, **options)
    assert os.listdir(tmp_path) == ["a.wav"]


STREAM = """
import resource, sys, threading, time
import torch, soxr, soundfile
from toolkit.audio import io
from toolkit.registry import registry
torch.set_num_threads(1)
def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * resource.getpagesize()
frontend = registry.make('frontend', 'log-mel')
frontend(torch.zeros(400))
before, most, frames = resident(), 0, 0
stream = frontend.stream()
for block in io.blocks(sys.argv[1], 16000, True, seconds=float(sys.argv[2])):
    frames += len(stream.push(torch.from_numpy(block[0])))
    most = max(most, resident())
frames += len(stream.finish())
print(frames, (most - before) / 1e6)
"""


def streamed(path: Path, seconds: float) -> tuple[int, float]:
    """(frames, megabytes above what the process held before) of log-mel over a file in blocks."""
    done = subprocess.run([sys.executable, "-c", STREAM, str(path), str(seconds)], capture_output=True, text=True, check=True)
    frames, megabytes = done.stdout.split()
    return int(frames), float(megabytes)


def repeat(path: Path, block: np.ndarray, rate: int, times: int) -> None:
    with soundfile.SoundFile(path, "w", rate, block.shape[1], "PCM_16") as file:
        for _ in range(times):
            file.write(block)


def test_minutes_of_sound_stream_in_constant_memory(tmp_path: Path) -> None:
    block = noise(2 * 30 * 44100).view(-1, 2).numpy()
    repeat(tmp_path / "long.wav", block, 44100, 6)
    frames, megabytes = streamed(tmp_path / "long.wav", 10.0)
    assert frames == 1 + 180 * 100
    assert megabytes < 60


@pytest.mark.slow
def test_an_hour_streams_in_under_60_megabytes(tmp_path: Path) -> None:
    block = noise(60 * 16000).view(-1, 1).numpy()
    repeat(tmp_path / "hour.wav", block, 16000, 60)
    frames, megabytes = streamed(tmp_path / "hour.wav", 10.0)
    assert frames == 1 + 3600 * 100
    assert megabytes < 60


# -- writing in blocks


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "FLOAT"), ("wav", "PCM_24"), ("flac", None), ("mp3", None)])
def test_a_file_written_in_blocks_is_the_one_written_whole(tmp_path: Path, suffix: str, subtype: str | None) -> None:
    clip = noise(2 * 30000).view(2, -1)
    io.save(tmp_path / f"whole.{suffix}", clip, RATE, subtype=subtype)
    with io.writing(tmp_path / f"blocks.{suffix}", RATE, 2, subtype=subtype) as writer:
        for block in clip.split([1, 4999, 0, 25000], dim=1):
            writer.write(block)
    assert writer.samples == 30000
    whole, blocks = (io.read(tmp_path / f"{name}.{suffix}")[0] for name in ("whole", "blocks"))
    np.testing.assert_array_equal(whole, blocks)


VORBIS = """
import sys
import numpy as np
from toolkit.audio import io
from toolkit.audio.transforms.codec import coded
long = np.tile(np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32), 500)  # 500 s: 4 million samples
io.save(sys.argv[1], long, 8000)
with io.writing(sys.argv[2], 8000, 1) as writer:
    writer.write(long)
print(*(io.info(path).frames for path in sys.argv[1:]), len(coded(long, 8000, "OGG", "VORBIS", 1.0)))
"""


@pytest.mark.slow
def test_vorbis_takes_blocks_of_any_length(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", VORBIS, str(tmp_path / "a.ogg"), str(tmp_path / "b.ogg")],
                          capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4000000"] * 3


@pytest.mark.parametrize("kind", ["save", "writing", "codec"])
def test_what_is_written_is_encoded_in_pieces(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = soundfile.SoundFile.write
    monkeypatch.setattr(soundfile.SoundFile, "write", lambda self, data: (sizes.append(len(data)), write(self, data))[1])
    clip = np.zeros(70000, np.float32)
    if kind == "save":
        io.save(tmp_path / "a.wav", clip, RATE)
    elif kind == "writing":
        with io.writing(tmp_path / "a.wav", RATE, 1) as writer:
            writer.write(clip[None])
    else:
        coded(clip, RATE, "WAV", "ULAW", None)
    assert sizes == [65536, 4464]


def test_a_wav_beyond_what_its_header_can_tell_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io, "LENGTHS", 10000)  # bytes
    message = r"a.wav: a WAV holds less than 10,000 bytes; this sound needs 10,096 or more. Name it .rf64, .w64 or .flac"
    with pytest.raises(io.AudioError, match=message):
        io.save(tmp_path / "a.wav", np.zeros((2, 1500), np.float32), RATE)
    with pytest.raises(io.AudioError, match=message), io.writing(tmp_path / "a.wav", RATE, 2) as writer:
        writer.write(np.zeros((2, 1000), np.float32))
        writer.write(np.zeros((2, 500), np.float32))
    assert os.listdir(tmp_path) == []
    for name in ("a.rf64", "a.w64", "a.flac"):
        io.save(tmp_path / name, np.zeros((2, 1500), np.float32), RATE)
        assert io.info(tmp_path / name).frames == 1500


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    name = "a" * 251 + ".wav"
    io.save(tmp_path / name, noise(99), RATE)
    assert os.listdir(tmp_path) == [name]


def test_a_file_written_in_blocks_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    with pytest.raises(KeyError), io.writing(target, RATE, 1) as writer:
        writer.write(noise(100))
        assert not target.exists()
        raise KeyError
    with pytest.raises(io.AudioError, match="a.wav: the waveform holds NaN"), io.writing(target, RATE, 1) as writer:
        writer.write(noise(100))
        writer.write(noise(100) / 0)
    with pytest.raises(io.AudioError, match="a.wav: nothing was written: there are no samples"), io.writing(target, RATE, 1):
        pass
    with pytest.raises(io.AudioError, match="it has 1 channels; got a block of 2"), io.writing(target, RATE, 1) as writer:
        writer.write(noise(100).view(2, 50))
    with pytest.raises(io.AudioError, match="Opus only supports"), io.writing(tmp_path / "a.opus", 44100, 1) as writer:
        writer.write(noise(100))
    assert os.listdir(tmp_path) == []
    io.save(target, noise(50), RATE)
    with pytest.raises(UsageError, match=r"a.wav exists"), io.writing(target, RATE, 1) as writer:
        writer.write(noise(100))
    assert io.info(target).frames == 50
    with io.writing(target, RATE, 1, overwrite=True) as writer:
        writer.write(noise(100))
    assert io.info(target).frames == 100
