"""The task vocoder: critics, their losses, exact resume in real processes, and the command vocode."""

from __future__ import annotations

import json
import math
import signal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dying import Die
from small_runs import command

from tests.audio.signals import noise, speech_like
from toolkit import load, make
from toolkit.audio import io
from toolkit.audio.vocoders import critics, metrics
from toolkit.audio.vocoders.critics import Critics, Opinion
from toolkit.audio.vocoders.hifigan import is_folded
from toolkit.audio.vocoders.task import distances, waveform_of
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.data import Loader

TINY = ("--model", "hifigan-v3", "--model.channels", "8", "--critic-width", "0.01", "--segment", "1024", "--batch-size", "2",
        "--evaluation-seconds", "0.1", "--samples", "1", "--warm-up", "4", "--seed", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds")
    for number in range(5):
        io.save(path / f"{number}.wav", speech_like(0.3, 22050, number), 22050)
    return path


# -- critics


def test_critics_have_the_published_sizes() -> None:
    every = Critics()

    def plain(module: torch.nn.Module) -> int:
        return sum(value.numel() for name, value in module.named_parameters() if not name.endswith("original0"))

    assert plain(every.periods) == 5 * (32 * 5 + 128 * 32 * 5 + 512 * 128 * 5 + 1024 * 512 * 5 + 1024 * 1024 * 5 + 1024 * 3
                                        + 32 + 128 + 512 + 1024 + 1024 + 1)
    assert len(every.scales) == 3


def test_losses_by_hand() -> None:
    real = [Opinion(torch.tensor([[1.0, 0.0]]), [torch.tensor([1.0, 3.0])])]
    made = [Opinion(torch.tensor([[0.5, 0.5]]), [torch.tensor([0.0, 0.0])])]
    assert float(critics.critics_loss(real, made)) == pytest.approx(0.5 + 0.25)
    assert float(critics.deception_loss(made)) == pytest.approx(0.25)
    assert float(critics.feature_distance(real, made)) == pytest.approx(2.0)


def test_critics_take_any_length() -> None:
    for length in (2048, 2049, 3001):
        assert len(Critics(share=0.01)(torch.randn(2, length))) == 8


# -- metrics


def test_metrics_by_hand() -> None:
    sound = noise(8192)
    frontend = make("frontend", "hifigan-mel")
    assert metrics.log_mel_l1(sound, sound * math.e, frontend) == pytest.approx(1, abs=1e-3)
    assert metrics.stft_distance(sound, sound) == 0
    assert metrics.stft_distance(2 * sound, sound) == pytest.approx(1 + math.log(2), abs=1e-3)
    assert metrics.si_sdr(3 * sound, sound) == math.inf or metrics.si_sdr(3 * sound, sound) > 100
    wave = torch.sin(torch.arange(1000) * 2 * math.pi / 100)
    other = torch.cos(torch.arange(1000) * 2 * math.pi / 100)
    assert metrics.si_sdr(wave + 0.1 * other, wave) == pytest.approx(20, abs=1e-3)
    assert metrics.si_sdr(wave + 0.1 * other + 3, wave - 1) == pytest.approx(20, abs=1e-3)  # a constant is no distortion


def test_distances_from_silence() -> None:
    """Magnitudes of silence count as 1e-7, and all of the sound is wrong: convergence is 1 both ways."""
    silence, sound = torch.zeros(8192), noise(8192)
    assert metrics.stft_distance(silence, silence) == 0
    assert metrics.stft_distance(sound, silence) == pytest.approx(metrics.stft_distance(silence, sound), rel=1e-5)
    louder = metrics.stft_distance(10 * sound, silence)
    assert louder == pytest.approx(metrics.stft_distance(sound, silence) + math.log(10), abs=0.1)
    assert metrics.si_sdr(silence, silence) == math.inf
    assert metrics.si_sdr(silence, sound) == metrics.si_sdr(sound, silence) == -math.inf


def test_what_is_the_same_is_understood() -> None:
    pytest.importorskip("pystoi")
    sound = torch.as_tensor(speech_like(1.5, 22050, 0)).float()
    assert metrics.judged_by_ear(sound, sound, 22050)["stoi"] == pytest.approx(1, abs=1e-3)
    assert metrics.judged_by_ear(sound + noise(len(sound)), sound, 22050)["stoi"] < 0.9
    assert metrics.judged_by_ear(sound[:1000], sound[:1000], 22050) == {}


def test_warping_takes_the_cheapest_path() -> None:
    table = np.array([[0.0, 5.0, 9.0], [2.0, 1.0, 4.0], [9.0, 1.0, 0.0]])
    assert metrics.warped(lambda rows, columns: table[rows, columns], 3, 3) == (1.0, 3)
    table = np.array([[1.0, 0.0, 0.0, 3.0]])  # one row has one path
    assert metrics.warped(lambda rows, columns: table[rows, columns], 1, 4) == (4.0, 4)
    frames = torch.randn(7, 80)
    assert metrics.cepstral_distortion(frames.repeat_interleave(3, 0), frames) == 0
    louder = metrics.cepstral_distortion(frames + 2, frames)  # only the first coefficient knows of loudness
    assert louder == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("name", "options"), [("log-mel", {"log": "log10"}), ("log-mel", {"log": "db"}), ("mel", {}),
                                               ("log-mel", {"log": "db", "shift": 3.0, "scale": 0.2}),
                                               ("log-mel", {"log": "natural", "shift": 3.0, "scale": 0.2})])
def test_cepstral_distortion_is_the_same_in_every_unit(name: str, options: dict[str, Any]) -> None:
    real = noise(8000, 1, 0.1)
    made = real + noise(8000, 2, 0.03)
    size = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 256, "n_mels": 40}
    natural, other = (registry.make("frontend", *given[:1], **size, **given[1])
                      for given in (("log-mel", {"log": "natural"}), (name, options)))
    wanted = metrics.cepstral_distortion(natural(made)[0], natural(real)[0])
    assert distances(made, real, natural)["cepstral_distortion"] == wanted
    assert distances(made, real, other)["cepstral_distortion"] == pytest.approx(wanted, rel=1e-4)


# -- the task


def outcome(run: Path) -> dict[str, Any]:
    facts = json.loads((run / "run.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {"sha256": facts["parameters_sha256"],
            "metrics": [{name: value for name, value in row.items() if not name.startswith("time")} for row in rows]}


def heard_in_tensorboard(run: Path) -> dict[str, bytes]:
    """The sounds of the last evaluation as TensorBoard's own reader finds them."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found = {}
    for event in LegacyEventFileLoader(str(next(run.glob("events.out.tfevents.*")))).Load():
        found.update({value.tag: value.audio.encoded_audio_string for value in event.summary.value if value.HasField("audio")})
    return found


def test_a_run_that_was_killed_ends_as_one_that_was_not(toolkit: Any, folder: Path, tmp_path: Path) -> None:
    words = ("run", "vocoder", "--data", str(folder), *TINY, "--steps", "16", "--record-every", "2", "--checkpoint-every", "4",
             "--evaluate-every", "8")
    whole = toolkit.json(*words, "--out", str(tmp_path / "whole"))
    assert set(whole["evaluation"]) >= {"log_mel_l1", "stft_distance", "cepstral_distortion"}
    assert command(*words, "--out", "parts", cwd=tmp_path, die=Die("step", 10)).code == -signal.SIGKILL
    again = toolkit.json("resume", str(tmp_path / "parts"))
    assert again["resumed_from"] >= 8
    assert again["parameters_sha256"] == whole["parameters_sha256"]
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    rows = outcome(tmp_path / "whole")["metrics"]
    assert any("train/critics_loss" in row for row in rows) and "train/critics_loss" not in rows[0]
    sounds = sorted(path.name for path in (tmp_path / "whole" / "samples" / "16").iterdir())
    assert sounds == ["clip-0-made.wav", "clip-0-real.wav"]
    heard = heard_in_tensorboard(tmp_path / "whole")
    assert set(heard) == {"samples/clip-0-made", "samples/clip-0-real"}
    kept = io.load(tmp_path / "whole" / "samples" / "16" / "clip-0-real.wav")[0]
    assert np.allclose(io.load(BytesIO(heard["samples/clip-0-real"]))[0], kept, atol=1e-4)
    done = toolkit.json("audio", "vocode", str(tmp_path / "whole"), str(folder / "0.wav"), str(tmp_path / "out.wav"), "--plot")
    assert done["duration"] == pytest.approx(0.3, abs=0.02) and (tmp_path / "out.png").stat().st_size > 1000
    assert io.info(tmp_path / "out.wav").sample_rate == 22050
    low = toolkit.json("audio", "vocode", str(tmp_path / "whole"), str(folder / "0.wav"), str(tmp_path / "low.wav"),
                       "--precision", "bfloat16")
    assert low["duration"] == done["duration"] and low["log_mel_l1"] == pytest.approx(done["log_mel_l1"], abs=0.05)
    assert low["log_mel_l1"] != done["log_mel_l1"]
    (folder / "asked.csv").write_text("path,start\n0.wav,0.1\nnone.wav,\n")  # its paths count from its folder, not from this one
    asked = toolkit("predict", "whole", "--input", str(folder / "asked.csv"))
    assert asked.returncode == 1 and asked.stdout.startswith('{"seconds": 0.2, ')
    assert asked.stderr.endswith(f"asked.csv, row 3: {folder / 'none.wav'}: there is no such file\n")
    vocoder = load(tmp_path / "whole").learner.model.vocoder  # type: ignore[union-attr]
    assert is_folded(vocoder) and not any(value.requires_grad for value in vocoder.parameters())


@pytest.mark.compiles
def test_a_vocoder_that_draws_samples_learns_their_likelihood(toolkit: Any, folder: Path, tmp_path: Path) -> None:
    """Untrained 8 bits a sample or so; what is learned first is that loud samples are rare."""
    words = ("run", "vocoder", "--data", str(folder), "--model", "wavenet", "--model.channels", "8",
             "--model.skip-channels", "12", "--model.layers", "4",
             "--segment", "2048", "--batch-size", "2", "--evaluation-seconds", "0.1", "--samples", "1",
             "--learning-rate", "0.01")
    run = toolkit.json(*words, "--steps", "60", "--out", str(tmp_path / "run"))
    assert run["evaluation"]["bits_per_sample"] < 7.5 and "log_mel_l1" in run["evaluation"]
    assert sorted(path.name for path in (tmp_path / "run" / "samples" / "60").iterdir()) == ["clip-0-made.wav", "clip-0-real.wav"]
    done = toolkit.json("audio", "vocode", str(tmp_path / "run"), str(folder / "0.wav"), str(tmp_path / "out.wav"))
    assert done["duration"] > 0.2
    refused = toolkit(*words, "--mel-weight", "2", "--steps", "2")
    assert refused.returncode == 2 and "mel-weight: wavenet learns by likelihood" in refused.stderr


def test_few_clips_give_segments_until_a_batch_is_full(folder: Path) -> None:
    problem = make("task", "vocoder", model={"name": "hifigan-v3", "channels": 8}, segment=1024, batch_size=5)
    clips = problem.encode([{"path": str(folder / f"{number}.wav")} for number in range(2)])
    loader, resumed = (Loader(problem, clips, problem.config, Streams(0)) for _ in range(2))
    first = loader.next()
    resumed.load_state_dict(loader.state_dict())
    second = loader.next()
    assert first.units == 5 and sorted(np.bincount(first.batch.indices)) == [2, 3]
    for segment, index in zip(first.batch.inputs, first.batch.indices, strict=True):
        assert (clips[index].unfold(0, 1024, 1) == segment).all(1).any(), "each is a stretch of its clip"
    assert len({segment.numpy().tobytes() for segment in (*first.batch.inputs, *second.batch.inputs)}) == 10
    assert torch.equal(resumed.next().batch.inputs, second.batch.inputs)


def test_the_preset_for_a_cpu_is_for_any_sound(toolkit: Any, folder: Path) -> None:
    for data in (str(folder), "spoken-sentences"):
        rows = toolkit.json("run", "vocoder", "--data", data, "--preset", "vocos", "--steps", "9", "--print-config")["config"]
        assert (rows["model"]["value"], rows["model.dim"]["value"], rows["steps"]["value"]) == ("vocos", 256, 9)
        assert rows["warm_up"]["value"] >= rows["steps"]["value"], "no critics"
        assert rows["critic_width"]["value"] < 1, "they would be in every checkpoint, 0.8 GB"


@pytest.mark.parametrize(("words", "said"), [
    (("--segment", "1000"), "multiples of the hop, 256"), (("--model", "griffin-lim"), "nothing to learn")])
def test_what_cannot_be_trained(words: tuple[str, ...], said: str, toolkit: Any, folder: Path) -> None:
    done = toolkit("run", "vocoder", "--data", str(folder), *words)
    assert done.returncode == 2 and said in done.stderr


def test_stretches_past_the_end_of_their_file_are_found_before_training(toolkit: Any, folder: Path, tmp_path: Path) -> None:
    rows = [{"path": str(folder / "0.wav"), "duration": seconds} for seconds in (0.1, 9, 0.2)] + [{"path": "none.wav"}]
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    done = toolkit("run", "vocoder", "--data", str(tmp_path / "clips.jsonl"))
    assert done.returncode == 2 and "3 of 5 rows (train) hold no sound that can be used (" in done.stderr, done.stderr
    assert "0.wav: the stretch from 0 s to 9 s reaches past its end" in done.stderr and ": rows 2, 4, 5. Mend" in done.stderr


def test_each_clip_is_looked_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looked: list[str] = []
    monkeypatch.setattr(io, "info", lambda path: looked.append(str(path)) or (_ for _ in ()).throw(io.AudioError("gone")))
    rows = [{"path": str(tmp_path / name)} for name in ("a.wav", "b.wav")] + [{"path": "c.wav", "duration": "0"}]
    with pytest.raises(UsageError, match=r"3 of 3 rows \(train\) hold no sound that can be used \(gone\): rows 1, 2, 3. Mend"):
        registry.make("task", "vocoder").check({"train": rows})
    assert len(looked) == 2


def test_vocode_by_name(toolkit: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    assert toolkit("audio", "vocode", "griffin-lim", str(folder / "1.wav"), str(out)).returncode == 0
    again = toolkit("audio", "vocode", "griffin-lim", str(folder / "1.wav"), str(out))
    assert again.returncode == 2 and "--overwrite" in again.stderr
    low = toolkit("audio", "vocode", "griffin-lim", str(folder / "1.wav"), str(tmp_path / "c.wav"), "--precision", "bfloat16")
    assert low.returncode == 2 and "griffin-lim has no form in bfloat16: phases are fitted by transforms" in low.stderr
    other = toolkit("audio", "vocode", "griffin-lim", str(folder / "1.wav"), str(tmp_path / "c.wav"), "--precision", "half")
    assert other.returncode == 2 and "'half' is not one of 'float32', 'bfloat16'" in other.stderr
    untrained = toolkit("audio", "vocode", "hifigan-v3", str(folder / "1.wav"), str(tmp_path / "b.wav"))
    assert untrained.returncode == 2 and "has not learned anything" in untrained.stderr


def test_a_row_of_a_csv_file_is_a_stretch_of_sound(tmp_path: Path) -> None:
    io.save(tmp_path / "a.wav", noise(22050), 22050)
    row = {"path": str(tmp_path / "a.wav"), "start": "0.25", "duration": "0.5"}
    assert len(waveform_of(row, 22050)) == 11025
    assert len(waveform_of({**row, "start": "", "duration": None}, 22050)) == 22050


def test_samples_are_learned_from_as_a_file_would_hold_them(tmp_path: Path) -> None:
    """Resampled, they have a band without anything; in a file it holds what rounding leaves, 101 dB below full scale."""
    samples = speech_like(0.5, 16000, 1).numpy()
    learned = waveform_of({"audio": samples, "sample_rate": 16000}, 24000)
    io.save(tmp_path / "sound.wav", io.resampled(samples[:, None], 16000, 24000)[:, 0], 24000)
    assert (learned - waveform_of({"path": str(tmp_path / "sound.wav")}, 24000)).abs().max() <= 2 / 32768
    window = torch.hann_window(12000)
    empty = torch.fft.rfft(learned[:12000] * window)[4500:].abs().square().mean() / window.square().sum()  # from 9 kHz on
    assert 10 * math.log10(float(empty)) == pytest.approx(10 * math.log10(1 / 12 / 32768**2), abs=1.0)


def test_samples_are_a_files_to_the_bit_beyond_full_scale_too(tmp_path: Path) -> None:
    loud = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5], np.float32)
    samples = np.concatenate([loud, 1.2 * noise(5000).clamp(-1, 1).numpy()])
    io.save(tmp_path / "loud.wav", samples, 22050)
    learned = waveform_of({"audio": samples, "sample_rate": 22050}, 22050)
    assert torch.equal(learned, waveform_of({"path": str(tmp_path / "loud.wav")}, 22050))
    assert (learned[:len(loud)] * 32768).tolist() == [-32768, -32768, -16384, 0, 16384, 32767, 32767]
