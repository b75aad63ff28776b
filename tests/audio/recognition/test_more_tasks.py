"""Voice activity and numbers of clips: targets by hand, and real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import Toolkit

from toolkit import audio
from toolkit.audio import io
from toolkit.audio.listening import at_rate, classify
from toolkit.audio.manifests import Clip, ManifestError
from toolkit.audio.tasks.base import whole
from toolkit.audio.tasks.voice_activity import stretches, well_formed
from toolkit.audio.vocoders.task import waveform_of
from toolkit.config import Part
from toolkit.core.problem import Batch, run_model
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry

SMALL = ("--model.channels", "6,8", "--model.time-strides", "2,1", "--model.hidden-size", "12", "--batch-size", "8")


def tones(folder: Path) -> None:
    """Twenty clips of a second: a tone from 0.3 s to 0.7 s between faint noise; ``pitch`` is the tone's, in kHz."""
    rows = []
    for number in range(20):
        draw = np.random.default_rng(number)
        pitch, time = draw.uniform(0.2, 2.0), np.arange(16000) / 16000
        sound = 0.005 * draw.standard_normal(16000) + 0.5 * np.sin(2000 * np.pi * pitch * time) * ((time >= 0.3) & (time < 0.7))
        audio.save(folder / f"{number}.wav", sound.astype(np.float32), 16000)
        rows.append(json.dumps({"path": f"{number}.wav", "pitch": pitch, "segments": [[0.3, 0.7]]}))
    (folder / "clips.jsonl").write_text("\n".join(rows) + "\n")


def test_a_position_is_speech_where_its_middle_is() -> None:
    """Ten frames of 10 ms in five positions: middles at 10, 30, 50, 70 and 90 ms; the second clip has three."""
    problem = registry.make("task", "voice-activity")
    segments = torch.tensor([[[0.02, 0.06], [0.085, 0.2]], [[0.0, 0.02], [0, 0]]])
    batch = Batch(torch.zeros(2, 10, 40), torch.tensor([10, 6]), segments)
    assert problem.wanted(5, torch.tensor([5, 3]), batch).tolist() == [[0, 1, 1, 0, 1], [1, 0, 0, -100, -100]]


def test_stretches_are_runs_of_active_positions() -> None:
    assert stretches(np.array([0, 1, 1, 0, 1], bool), 0.02) == [[0.02, 0.06], [0.08, 0.1]]
    assert stretches(np.zeros(0, bool), 0.02) == []
    assert well_formed([[0, 1], [1.5, 2]]) and well_formed([]) and not well_formed([[1, 0]]) and not well_formed("no")


def test_where_the_tone_is_found(toolkit: Toolkit, tmp_path: Path) -> None:
    tones(tmp_path)
    words = ("--data", "clips.jsonl", *SMALL, "--epochs", "15", "--out")
    done = toolkit.json("run", "voice-activity", *words, "active")
    assert done["evaluation"]["accuracy"] > 0.9 and toolkit.json("evaluate", "active")["f1"] == done["evaluation"]["f1"]
    (answer,) = toolkit.json("predict", "active", "0.wav")["answers"]
    begin, end = answer["segments"][0]
    assert begin == pytest.approx(0.3, abs=0.1) and end == pytest.approx(0.7, abs=0.1)


def test_a_number_of_each_clip_is_learned(toolkit: Toolkit, tmp_path: Path) -> None:
    tones(tmp_path)
    done = toolkit.json("run", "audio-regression", "--data", "clips.jsonl", "--target", "pitch", *SMALL, "--epochs", "30",
                        "--out", "pitch")
    assert done["evaluation"]["r2"] > 0.5  # the mean gives 0
    assert 0 < toolkit.json("predict", "pitch", "0.wav")["answers"][0]["value"] < 3
    wrong = toolkit("run", "audio-regression", "--data", "clips.jsonl", "--target", "segments", *SMALL, "--out", "wrong")
    assert wrong.returncode == 2 and "20 of 20 clips (train)" in wrong.stderr and "not a number" in wrong.stderr


@pytest.mark.parametrize("moving", ["speed(0.9, 1.1)", "shift(-0.5..0.5)", "crop(1)", "trim", "time-warp", "spec-augment"])
def test_transforms_that_move_speech_are_refused(moving: str) -> None:
    with pytest.raises(UsageError, match=f"{moving.partition('(')[0]} changes how long clips are or where in them something is"):
        registry.make("task", "voice-activity", transforms=f"noise(10) | {moving}")


def test_transforms_that_leave_speech_where_it_is_are_allowed() -> None:
    task = registry.make("task", "voice-activity", transforms="noise(10) | pitch | codec(mu-law) | spec-augment(warp=0)")
    assert task.transforms.moving == [] and len(task.transforms.steps) == 4


# -- what all tasks on sound do with clips


def heard(**options: Any) -> Any:
    problem = registry.make("task", "audio-classification", **options)
    problem.target_name = "label"
    return problem


def test_a_row_of_a_manifest_is_asked_about_as_the_stretch_that_it_is() -> None:
    assert heard().as_example({"path": "a.wav", "start": "1.5", "duration": 0.5})["audio"] == Clip("a.wav", 1.5, 0.5)
    with pytest.raises(ManifestError, match="predict: path: got None, allowed: a file's name"):
        heard().as_example({"file": "a.wav"})


def test_paths_of_a_manifest_that_is_asked_about_count_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    audio.save(tmp_path / "in" / "a.wav", np.zeros(16000, np.float32), 16000)
    monkeypatch.chdir(tmp_path / "in")
    rows = [{"path": "a.wav", "start": 0.5, "duration": 0.5}, "a.wav"]
    there = str(tmp_path / "in" / "a.wav")
    assert heard().asked(rows, Path("m.jsonl")) == [Clip(there, 0.5, 0.5), Clip(there)]
    above, gone = heard().asked([rows[0], "b.wav"], tmp_path / "m.jsonl")
    assert isinstance(above, ManifestError) and str(above).startswith("a.wav: there is no such file in ")
    assert "the manifest's folder, from where its paths count" in str(above)
    assert isinstance(gone, ManifestError) and "no such file" in str(gone)
    with pytest.raises(ManifestError, match="m.csv: it has no column 'path', which names .*; it has file, label.*audio manifest"):
        heard().asked([{"file": "a.wav", "label": "x"}], Path("m.csv"))


def test_a_stretch_past_the_end_of_its_file_is_found_before_training(tmp_path: Path) -> None:
    audio.save(tmp_path / "a.wav", np.zeros(16000, np.float32), 16000)
    asked = [(0.0, 1.0), (0.5, 0.505), (0.0, 3.0), (2.0, None), (0.5, None), (0.0, 1.04)]
    rows = [{"audio": Clip(str(tmp_path / "a.wav"), *stretch), "label": "ab"[place % 2]} for place, stretch in enumerate(asked)]
    with pytest.raises(UsageError, match="2 of 6 clips .train. cannot be used: /.*a.wav: the stretch from 0 s to 3 s "
                                         "reaches past its end at 1 s; /.*the stretch from 2 s reaches past"):
        heard().check({"train": rows})
    splits: dict[str, Any] = {"train": rows}
    with pytest.warns(UserWarning, match="2 of 6 clips .train. are left out: /.*a.wav: "):
        heard(skip_bad=True).check(splits)
    assert splits["train"] == [rows[place] for place in (0, 1, 4, 5)]
    with pytest.raises(UsageError, match=r"2 of 2 clips .train. cannot be used, so that none is left: /.*\. Mend them$"):
        heard(skip_bad=True).check({"train": rows[2:4]})


def damaged_clips(folder: Path) -> list[dict[str, Any]]:
    """Four clips in FLAC, the second cut off in its middle and the fourth of floats with one that is no number."""
    rows = []
    for place in range(4):
        path = folder / f"{place}.flac"
        audio.save(path, np.random.default_rng(place).uniform(-0.5, 0.5, 16000).astype(np.float32), 16000)
        rows.append({"audio": Clip(str(path)), "label": "ab"[place // 2]})
    whole = (folder / "1.flac").read_bytes()
    middle = len(whole) // 2
    (folder / "1.flac").write_bytes(whole[:middle] + bytes(4000) + whole[middle + 4000:])
    samples = np.zeros(16000, np.float32)
    samples[800] = np.nan
    soundfile.write(folder / "3.wav", samples, 16000, subtype="FLOAT")
    return [*rows[:3], {"audio": Clip(str(folder / "3.wav")), "label": "b"}]


def test_clips_that_only_decoding_shows_to_be_bad_are_found_before_training(tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    rows = damaged_clips(tmp_path)
    blamed = "2 of 4 clips .train. {}: /.*1.flac: it is damaged after .*; /.*3.wav: 1 samples are NaN or infinite, the"
    with pytest.raises(UsageError, match=blamed.format("cannot be used")):
        heard().check({"train": rows})
    problem, splits, decoded = heard(skip_bad=True), {"train": rows}, []
    load = Clip.load
    monkeypatch.setattr(Clip, "load", lambda clip, *more: decoded.append(clip.path) or load(clip, *more))
    with pytest.warns(UserWarning, match=blamed.format("are left out")):
        problem.check(splits)
    assert splits["train"] == [rows[0], rows[2]]
    problem.fit(splits["train"])
    assert len(problem.encode(splits["train"])) == 2
    assert decoded == [row["audio"].path for row in rows] and not problem._heard, "each file is decoded once"
    problem.restore(problem.facts())
    with pytest.warns(UserWarning, match=blamed.format("are left out").replace("train", "test")):
        problem.check(judged := {"test": rows})
    assert judged["test"] == splits["train"]


def test_whole_numbers_are_sound_of_full_scale() -> None:
    samples = np.array([16384, -32768], np.int16)
    assert whole(heard().samples(heard().as_example(samples))).tolist() == [0.5, -1.0]
    assert np.concatenate([*at_rate(samples, 16000, 16000)]).tolist() == [0.5, -1.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_samples_of_every_type_are_the_same_sound(dtype: Any) -> None:
    scale = 1 if np.issubdtype(dtype, np.floating) else -np.iinfo(dtype).min
    samples, problem = (np.array([0.5, -1.0, 0.25]) * scale).astype(dtype), heard()
    assert whole(problem.samples({"audio": samples})).tolist() == [0.5, -1.0, 0.25]
    assert waveform_of({"audio": samples}, 16000).tolist() == [0.5, -1.0, 0.25]
    assert np.concatenate([*at_rate(samples, 16000, 16000)]).tolist() == [0.5, -1.0, 0.25]
    resampled = problem.samples({"audio": np.repeat(samples, 100), "sample_rate": 8000})
    assert 1 < np.abs(resampled).max() < 1.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint16, np.bool_])
def test_numbers_whose_full_scale_is_unknown_are_refused(dtype: Any) -> None:
    samples, problem = np.ones(16000, dtype), heard()
    said = f"samples are {np.dtype(dtype)}; allowed: floats in .-1, 1., int16 or int32"
    for ask in (lambda: problem.encode([problem.as_example(samples)], targets=False), lambda: [*at_rate(samples, 16000, 16000)],
                lambda: waveform_of({"audio": samples}, 16000)):
        with pytest.raises(io.AudioError, match=said):
            ask()
    problem.target_name = "label"
    with pytest.raises(UsageError, match=f"1 of 1 clips .train. cannot be used: clip 1: {said}"):
        problem.check({"train": [{"audio": samples, "label": "a"}]})


def test_answers_are_refused_for_samples_that_are_no_numbers() -> None:
    samples = np.zeros(16000, np.float32)
    samples[8000] = np.nan
    for task in ("audio-classification", "voice-activity", "vocoder"):
        problem = registry.make("task", task)
        with pytest.raises(io.AudioError, match="its sound: 1 samples are NaN or infinite, the first at 0"):
            problem.encode([problem.as_example(samples)], targets=False)


def test_a_long_waveform_is_heard_in_pieces() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 25 * 8000)).astype(np.float32)
    pieces = [*at_rate(samples, 8000, 8000)]
    assert [len(piece) for piece in pieces] == [80000, 80000, 40000]
    np.testing.assert_array_equal(np.concatenate(pieces), samples.mean(0))
    resampled = [*at_rate(samples, 8000, 4000)]
    assert max(map(len, resampled)) == 40000 and sum(map(len, resampled)) == 100000


def test_speech_ends_with_its_clip() -> None:
    """Frames of 10 ms round their centres: of 1.0049 s there are 101, which reach to 1.01 s."""
    problem: Any = registry.make("task", "voice-activity")

    class Always(torch.nn.Module):
        def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> Any:
            return torch.tensor([-9.0, 9.0]).expand(*inputs.shape[:2], 2), lengths

    clips = [np.full(size, 0.1, np.float32) for size in (16078, 8000)]
    encoded = problem.encode([problem.as_example(clip) for clip in clips], targets=False)
    found = problem.predict(Always(), problem.collate(encoded, np.arange(2)))
    assert [answer["segments"] for answer in found] == [[[0.0, 1.004]], [[0.0, 0.5]]]


@pytest.mark.parametrize(("samples", "rate", "said"), [
    (np.zeros((16000, 2), np.float32), 16000, r"got \(16000, 2\), which is 16000 channels of 2 samples. Turn it: waveform.T"),
    (np.zeros((1, 2, 3), np.float32), 16000, r"a waveform is \[T\] or \[channels, T\]; got \(1, 2, 3\)"),
    (np.zeros(16000, np.float32), 0, "sample_rate: got 0, allowed: samples a second, at least 1"),
    (np.array([0.0, np.nan], np.float32), 16000, "the waveform: 1 samples are NaN or infinite, the first at 0.000 s")])
def test_what_is_no_waveform_is_refused(samples: Any, rate: int, said: str) -> None:
    with pytest.raises(ToolkitError, match=said):
        list(at_rate(samples, rate, 16000))


def test_clips_without_a_frame_are_told_of() -> None:
    problem = heard(frontend=Part("kaldi-fbank", {}))
    rows = [{"audio": np.ones(400, np.float32), "label": "a"}, {"audio": np.ones(399, np.float32), "label": "b"}]
    said = "399 samples at 16000 Hz are too short for one frame of 400"
    with pytest.raises(UsageError, match=f"1 of 2 clips .train. cannot be used: clip 2: {said}"):
        problem.check({"train": rows})
    with pytest.raises(io.AudioError, match=f"a clip: {said}"):
        problem.encode(rows, targets=False)
    with pytest.raises(UsageError, match="the data's split 'train' holds text, label and no sound. Allowed: a folder of sound"):
        problem.check({"train": [{"text": "a", "label": "b"}]})


@pytest.mark.parametrize(("task", "said"), [
    ("audio-classification", "2 of 3 clips .train. cannot be used: clip 1: {}; clip 3: its sound has the shape .1, 9000.; allow"),
    ("vocoder", "2 of 3 rows .train. hold no sound that can be used .{}.: rows 1, 3. Mend")])
def test_samples_in_memory_are_looked_at_before_training(task: str, said: str) -> None:
    samples = [np.random.default_rng(place).uniform(-0.5, 0.5, 9000).astype(np.float32) for place in range(3)]
    samples[0][[160, 400]] = np.nan, np.inf
    rows = [{"audio": sound, "sample_rate": 16000, "label": "x"} for sound in (*samples[:2], samples[2][None])]
    problem = registry.make("task", task)
    problem.target_name = "label"
    with pytest.raises(UsageError, match=said.format("its sound: 2 samples are NaN or infinite, the first at 0.010 s")):
        problem.check({"train": rows})


class Answers(torch.nn.Module):
    """A model of a stranger: one answer a clip or one a position, with lengths or without."""

    def __init__(self, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(inputs, outputs)

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        return self.layer(inputs).mean(1), lengths


class NoLengths(Answers):
    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        return self.layer(inputs), None


class OneMore(Answers):
    def __init__(self, inputs: int, outputs: int, spec: Any = None) -> None:
        super().__init__(inputs, outputs + 1)


class NoPair(Answers):
    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> Any:
        return self.layer(inputs)


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize(("task", "model", "said"), [
    ("speech-recognition", Answers, r"answers once for each example: .* shape \[1, 7\]. .* \[B, T', C\], and .*: --model crnn"),
    ("speech-recognition", NoLengths, r"answers without lengths: .* one output for each position, \[B, T', C\], and their "),
    ("audio-classification", NoLengths, r"answers for each position: .* one output for each example, \[B, C\]. Name"),
    ("audio-classification", OneMore, r"gives 3 outputs, and was asked for 2. See: toolkit check model odd"),
    ("audio-classification", NoPair, r"returns Tensor, promised: the pair \(outputs, lengths\). See: toolkit check model odd")])
def test_a_model_that_answers_otherwise_than_the_task_asks_is_blamed_and_not_the_data(task: str, model: Any, said: str) -> None:
    registry.register("model", "odd")(model)
    problem = registry.make("task", task, model="odd")
    rows = [{"audio": np.ones(4000, np.float32), "text": text, "label": text} for text in ("ab", "ba")]
    with pytest.raises(UsageError, match=f"the model 'odd' {said}"):
        problem.check({"train": rows})
        problem.fit(rows)
        encoded = problem.encode(rows)
        run_model(problem, problem.build(), problem.collate(encoded, np.arange(2)))


def test_the_last_stretch_may_be_too_short_for_an_answer() -> None:
    problem = heard(frontend=Part("kaldi-fbank", {}))
    problem.fit([{"audio": np.random.default_rng(number).uniform(-1, 1, 2000).astype(np.float32), "label": label}
                 for number, label in enumerate("ab")])
    model = problem.build()
    assert [answer["end"] for answer in classify(problem, model, [np.ones(3300, np.float32)], 0.1)] == [0.1, 0.2]
    assert list(classify(problem, model, [], 0.1)) == []
