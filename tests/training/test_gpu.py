"""Runs and commands in processes of their own on a GPU; what components do there is in their suites."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import Toolkit, recordings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
CUDA = ("--device", "cuda")
CRNN = ("--model", "crnn", "--model.channels", "4,6", "--model.time-strides", "2,1", "--model.hidden-size", "8")


def facts(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "run.json").read_text())
    return found


def test_sound_is_told_written_and_made_there(tmp_path: Path, toolkit: Toolkit) -> None:
    recordings(tmp_path / "sounds", 22050)
    sound = "sounds/high/0.wav"
    data = ("--data", "sounds", "--steps", "24", "--batch-size", "4", *CUDA)
    toolkit.json("run", "audio-classification", *data, *CRNN, "--transforms", "speed(0.9, 1.1) | noise(snr=0..20)",
                 "--out", "told")
    assert toolkit.json("audio", "classify", "told", sound)["files"][0]["label"] in ("high", "low")
    toolkit.json("run", "speech-recognition", *data, "--model", "streaming-conformer", "--model.width", "16", "--out", "written")
    for how in ((), ("--stream",)):
        assert toolkit("audio", "transcribe", "written", sound, *how).returncode == 0
    toolkit.json("run", "vocoder", "--data", "sounds", "--steps", "8", "--model", "hifigan-v3", "--model.channels", "16",
                 "--critic-width", "0.01", "--evaluation-seconds", "0.1", *CUDA, "--out", "made")
    assert toolkit.json("audio", "vocode", "made", sound, "again.wav")["log_mel_l1"] > 0
    assert all(facts(tmp_path / run)["device"] == "cuda" for run in ("told", "written", "made"))


@pytest.mark.parametrize("words", (
    ("speech-recognition", *CRNN), ("vocoder", "--model", "vocos", "--model.dim", "32", "--model.hidden", "48",
                                    "--critic-width", "0.05", "--evaluation-seconds", "0.1")), ids=lambda words: words[0])
def test_training_in_bfloat16_is_alike_each_time(words: tuple[str, ...], tmp_path: Path, toolkit: Toolkit) -> None:
    recordings(tmp_path / "sounds", 22050)
    for run in ("one", "other"):
        toolkit.json("run", *words, "--data", "sounds", "--steps", "24", "--batch-size", "4", "--precision", "bfloat16", *CUDA,
                     "--out", run)
    one, other = facts(tmp_path / "one"), facts(tmp_path / "other")
    assert one["device"] == "cuda" and one["parameters_sha256"] == other["parameters_sha256"]


def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path, toolkit: Toolkit) -> None:
    words = ("run", "dqn", "--env", "CartPole-v1", "--preset", "none", "--steps", "6000", "--checkpoint-every", "1000",
             "--evaluate-every", "0", "--final-episodes", "5", *CUDA)
    whole = toolkit.json(*words, "--out", "whole")
    process = toolkit.start(*words, "--out", "cut")
    while not list(tmp_path.glob("cut/checkpoints/[1-9]*/manifest.json")):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    toolkit.json("resume", "cut")
    assert whole["steps"] == 6000
    assert facts(tmp_path / "cut")["parameters_sha256"] == facts(tmp_path / "whole")["parameters_sha256"]


@pytest.mark.parametrize("model", ("transformer", "conformer"))
def test_runs_are_alike_each_time(model: str, tmp_path: Path, toolkit: Toolkit) -> None:
    recordings(tmp_path / "sounds", 22050)
    for run in ("one", "other"):
        done = toolkit("run", "speech-recognition", "--data", "sounds", "--steps", "160", "--batch-size", "4", "--model", model,
                       "--model.width", "32", "--evaluate-every", "0", *CUDA, "--out", run)
        assert "determinis" not in done.stderr
    assert facts(tmp_path / "one")["parameters_sha256"] == facts(tmp_path / "other")["parameters_sha256"]


def test_auto_leaves_small_networks_on_the_cpu(tmp_path: Path, toolkit: Toolkit) -> None:
    for name, words, device in (
            ("small", ("dqn", "--env", "CartPole-v1"), "cpu"),
            ("large", ("ppo", "--env", "CartPole-v1", "--network", "transformer", "--n-envs", "2", "--n-steps", "32"), "cuda"),
            ("rows", ("tabular-classification", "--data", "iris"), "cuda")):
        toolkit.json("run", *words, "--preset", "none", "--steps", "64", "--evaluate-every", "0", "--out", name)
        assert facts(tmp_path / name)["device"] == device
