"""Voice activity and numbers of clips: targets by hand, and real runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Toolkit

from toolkit import audio
from toolkit.audio.tasks.voice_activity import stretches, well_formed
from toolkit.core.problem import Batch
from toolkit.errors import UsageError
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


def test_transforms_that_move_speech_are_refused() -> None:
    with pytest.raises(UsageError, match="speed changes how long clips are"):
        registry.make("task", "voice-activity", transforms="noise(10) | speed(0.9, 1.1)")
