"""Sound classification in real runs: learned, judged on every split, resumed, asked; bad data is found before training."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Toolkit

from toolkit import audio
from toolkit.config import Part
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.registry import registry
from toolkit.training.supervised import make_supervised

SMALL = ("--model.channels", "6,8", "--model.time-strides", "2,2", "--model.hidden-size", "16", "--batch-size", "20",
         "--data.count", "100", "--data.held-out", "20", "--transforms", "")


def run(toolkit: Toolkit, *words: str, **environment: str) -> Any:
    return toolkit.json("run", "audio-classification", "--data", "synthetic-sounds", *SMALL, *words, **environment)


def test_sounds_are_learned_and_every_condition_is_judged(toolkit: Toolkit, tmp_path: Path) -> None:
    done = run(toolkit, "--epochs", "8", "--out", "heard")
    assert {"accuracy", "accuracy/validation", "accuracy/noise_0db"} <= set(done["evaluation"])
    assert done["evaluation"]["accuracy"] > 0.6  # chance is 0.1
    again = toolkit.json("evaluate", "heard")
    assert again["accuracy"] == done["evaluation"]["accuracy"]
    audio.save(tmp_path / "tone.wav", 0.5 * np.sin(np.arange(16000) / 8).astype(np.float32), 16000)
    (answer,) = toolkit.json("predict", "heard", "tone.wav")["answers"]
    assert answer["label"] in ("sine", "bell", "chirp") and sum(answer["probabilities"].values()) == pytest.approx(1.0)


def test_the_same_seed_ends_the_same_under_random_transforms(toolkit: Toolkit) -> None:
    words = ("--transforms", "noise(snr=0..20) | gain(-6..6)", "--model.dropout", "0.2", "--steps", "60",
             "--data.count", "40", "--data.held-out", "10")
    whole = run(toolkit, *words, "--out", "whole")
    other = run(toolkit, *words, "--out", "again", PYTHONHASHSEED="1")
    assert other["parameters_sha256"] == whole["parameters_sha256"]


def test_a_run_is_not_resumed_on_other_recordings_than_its_transforms_drew_from(toolkit: Toolkit, tmp_path: Path) -> None:
    hiss = np.random.default_rng(0).normal(size=8000).astype(np.float32) / 10
    (tmp_path / "noises").mkdir()
    audio.save(tmp_path / "noises" / "hiss.wav", hiss, 16000)
    (tmp_path / "steps.toml").write_text('transforms = ["noise(path=noises, snr=5)"]')
    run(toolkit, "--transforms", "steps.toml", "--steps", "40", "--data.count", "40", "--data.held-out", "10", "--out", "run")
    (tmp_path / "steps.toml").write_text('transforms = ["noise(path=noises,  snr=5) "]  # as before')
    assert toolkit.json("resume", "run", "--steps", "80")["steps"] == 80
    for change in (lambda: audio.save(tmp_path / "noises" / "hiss.wav", -hiss, 16000, overwrite=True),
                   lambda: (tmp_path / "steps.toml").write_text('transforms = ["noise(path=noises, snr=6)"]')):
        change()
        done = toolkit("resume", "run", "--steps", "120")
        assert done.returncode == 2 and "what the run draws from has changed since it began: a file that its" in done.stderr
        assert "start a new one, from this one's parameters with --init-from" in done.stderr
        audio.save(tmp_path / "noises" / "hiss.wav", hiss, 16000, overwrite=True)
    assert toolkit("evaluate", "run").returncode == 0


def test_shuffled_labels_are_those_of_the_training_clips_alone() -> None:
    rows = [{"audio": np.full(8, place, np.int16), "label": "abc"[place % 3]} for place in range(60)]

    def shuffled(seed: int) -> list[str]:
        problem = registry.make("task", "audio-classification", shuffle_labels=True)
        learned = problem.learned_from(rows, np.random.default_rng(seed))
        assert all(row["label"] == "abc"[place % 3] for place, row in enumerate(rows))
        assert [row["audio"][0] for row in learned] == list(range(60))
        return [row["label"] for row in learned]

    given = [row["label"] for row in rows]
    assert sorted(shuffled(0)) == sorted(given) and shuffled(0) == shuffled(0) != shuffled(1)
    assert 8 <= sum(one == other for one, other in zip(shuffled(0), given, strict=True)) <= 32  # a third by chance


def test_each_seed_shuffles_labels_anew() -> None:
    def labels(seed: int, **options: Any) -> list[int]:
        dataset = registry.make("dataset", "synthetic-sounds", count=100, held_out=20)
        options = {"shuffle_labels": True, "model": Part("crnn", {"channels": (4, 4), "time_strides": (2, 2)}), **options}
        task = make_supervised("audio-classification", options, dataset, Clock(0), Streams(seed), torch.device("cpu"))
        targets: list[int] = task.loader.encoded.targets.tolist()
        return targets

    assert labels(0) == labels(0) != labels(1)
    assert labels(0) != labels(0, split_seed=1) != labels(0, shuffle_labels=False)


@pytest.mark.parametrize(("transforms", "blamed"), [("trim", "trim"), ("gain(3) | speed(1) | vad", "speed and vad")])
def test_a_clip_of_which_the_transforms_leave_nothing_is_named(transforms: str, blamed: str, toolkit: Toolkit,
                                                              tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / "sounds" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        sound = np.sin(np.arange(8000) / (3 + number)) * (number != 3) * np.hanning(8000)
        audio.save(tmp_path / "sounds" / "ab"[number % 2] / f"{number}.wav", sound.astype(np.float32), 16000)
    rows = [f"sounds/{label}/{number}.wav,{label},{'test' if number > 5 else 'train'}" for number, label in enumerate("abababab")]
    (tmp_path / "sounds.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    done = toolkit("run", "audio-classification", "--data", "sounds.csv", *SMALL[:-6], "--transforms", transforms,
                   "--epochs", "1", "--batch-size", "1", "--out", "run")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"--transforms: {blamed} left 0 of the 8000 samples of row 5 (" in done.stderr
    assert "sounds/b/3.wav) of the training data; 0 samples at 16000 Hz are too short for one frame of" in done.stderr
    assert f"Leave that clip out of the data, or {blamed} out of --transforms" in done.stderr
    done = toolkit("run", "audio-classification", "--data", "sounds/", *SMALL[:-6], "--transforms", transforms,
                   "--split-seed", "1", "--epochs", "1", "--batch-size", "1", "--out", "other")
    assert re.search(r"left 0 of the 8000 samples of /[^ ]*/sounds/b/3.wav of the training data", done.stderr), done.stderr


def test_clips_that_cannot_be_used_are_counted_before_training(toolkit: Toolkit, tmp_path: Path) -> None:
    for label in ("a", "b"):
        for number in range(6):
            sound = np.random.default_rng(number).uniform(-0.5, 0.5, 4000).astype(np.float32)
            audio.save(tmp_path / f"{label}{number}.wav", sound, 16000)
    rows = [f'{{"path": "{label}{number}.wav", "label": "{label}"}}' for label in ("a", "b") for number in range(6)]
    (tmp_path / "empty.wav").write_bytes(b"")
    rows += ['{"path": "none.wav", "label": "a"}', '{"path": "empty.wav", "label": "b"}', '{"path": "a0.wav"}', "no row", "",
             '{"path": "a1.wav", "label": "a", "duration": -1}', '{"path": 3, "label": "a"}']
    (tmp_path / "clips.jsonl").write_text("\n".join(rows) + "\n")
    words = ("run", "audio-classification", "--data", "clips.jsonl", *SMALL[:8], "--steps", "20")
    done = toolkit(*words)
    assert done.returncode == 2
    assert "6 of 18 clips (train) cannot be used: row 13 (" in done.stderr and "--skip-bad true" in done.stderr
    assert "a0.wav): no 'label'; row 16: it is not JSON: Expecting value at column 1; row 18: duration: got -1, " in done.stderr
    skipped = toolkit(*words, "--skip-bad", "true", "--out", "skipping")
    assert skipped.returncode == 0 and "6 of 18 clips (train) are left out: row 13 (" in skipped.stderr
    (tmp_path / "good.jsonl").write_text("\n".join(rows[:12]))
    good = toolkit.json(*words[:3], "good.jsonl", *words[4:], "--out", "run")
    assert toolkit.json("evaluate", "skipping")["accuracy"] == good["evaluation"]["accuracy"]
    judged = toolkit("evaluate", "run", "--data", "clips.jsonl")
    assert judged.returncode == 2 and "6 of 18 clips (test) cannot be used: row 13 (" in judged.stderr
    assert judged.stderr.endswith("or judge other data without them: toolkit evaluate RUN --data DATA --skip-bad\n")
    judged = toolkit("evaluate", "run", "--data", "clips.jsonl", "--skip-bad", "--json")
    assert judged.stderr.count("6 of 18 clips (test) are left out: row 13 (") == 1
    assert json.loads(judged.stdout)["accuracy"] == toolkit.json("evaluate", "run", "--data", "good.jsonl")["accuracy"]
    alone = toolkit("evaluate", "run", "--skip-bad")
    assert alone.returncode == 2 and "Allowed: toolkit evaluate RUN --data DATA --skip-bad" in alone.stderr
    asked = toolkit("predict", "run", "--input", "clips.jsonl", "--json")
    told = json.loads(asked.stdout)["answers"]
    assert asked.returncode == 1 and [row["row"] for row in told] == [*range(1, 17), 18, 19]
    assert [row["row"] for row in told if "error" in row] == [13, 14, 16, 18, 19]
    assert "clips.jsonl, row 18: duration: got -1, allowed: seconds above 0\n" in asked.stderr
    heard = toolkit("audio", "classify", "run", "clips.jsonl")
    assert heard.returncode == 1 and "skipped: clips.jsonl, row 19: path: got 3, allowed: a file's name\n" in heard.stderr
    assert "heard 13 clips, 5 skipped" in heard.stderr


def test_other_data_of_another_class_is_named_with_its_row(toolkit: Toolkit, tmp_path: Path) -> None:
    for name in "abcd":
        audio.save(tmp_path / f"{name}.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 4000).astype(np.float32), 16000)
    (tmp_path / "clips.csv").write_text("path,label\n" + "a.wav,x\nb.wav,y\n" * 3)
    toolkit.json("run", "audio-classification", "--data", "clips.csv", *SMALL[:8], "--steps", "2", "--out", "run")
    (tmp_path / "new.csv").write_text("path,label\na.wav,x\nb.wav,z\n")
    done = toolkit("evaluate", "run", "--data", "new.csv", "--skip-bad")
    assert done.returncode == 2 and "'label' holds 'z' in row 3, which is not among the classes trained on: x, y" in done.stderr
    (tmp_path / "empty.csv").write_text("file,label\na.wav,x\n")
    for words in ("evaluate", "run", "--data"), ("predict", "run", "--input"):
        done = toolkit(*words, "empty.csv")
        said = "it has no column 'path', which names the sound file of each row; it has file, label. Rename "
        assert done.returncode == 2 and said in done.stderr
        assert "Rename the column that does to path, or write a manifest: toolkit audio manifest FOLDER --out" in done.stderr
