"""Checkpoints: what is written, what is refused, and that nothing good is ever lost."""

from __future__ import annotations

import hashlib
import json
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import Toolkit
from toolkit.core.state import join, split
from toolkit.training.checkpoints import CheckpointError, Checkpoints

STATE = {"agent": {"weights": torch.arange(6.0).reshape(2, 3), "generator": np.random.default_rng(0).bit_generator.state,
                   "list": [np.arange(3), {"deep": torch.tensor(2.5)}], "text": "x", "none": None, "flag": True}}


def tree_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(7, STATE, {"best": 1.5})
    again = checkpoints.load(7)["agent"]
    assert torch.equal(again["weights"], STATE["agent"]["weights"])
    assert again["generator"] == STATE["agent"]["generator"]
    np.testing.assert_array_equal(again["list"][0], np.arange(3))
    assert again["list"][1]["deep"].item() == 2.5
    assert (again["text"], again["none"], again["flag"]) == ("x", None, True)


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3))


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4))
def test_plain_values_survive(state: dict[str, object]) -> None:
    tensors, skeleton = split(state)
    assert tensors == {}
    assert join(tensors, json.loads(json.dumps(skeleton))) == state


@pytest.mark.parametrize(("value", "message"), [({1: 2}, "not text"), (object(), "a checkpoint cannot keep")])
def test_what_cannot_be_kept_is_named(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        split({"part": value})


def test_the_last_two_the_best_the_final_and_the_first_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (0, 10, 20, 30, 40):
        checkpoints.save(step, STATE, {})
        if step == 10:
            checkpoints.link("best", step)
        checkpoints.prune()
    assert checkpoints.steps() == [0, 10, 30, 40]
    assert checkpoints.linked("best") == 10
    assert not (tmp_path / "best").readlink().is_absolute()


def test_saving_again_replaces_whole_and_leftovers_are_swept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, STATE, {})
    checkpoints.save(5, {"agent": {"text": "new"}}, {})
    assert checkpoints.load(5) == {"agent": {"text": "new"}}
    (tmp_path / ".writing-9-1").mkdir()
    (tmp_path / "5").rename(tmp_path / ".replaced-5-1")
    checkpoints.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    facts = Toolkit(folder).json("run", "dqn", "--env", "CartPole-v1", "--steps", "2000", "--final-episodes", "2",
                                 "--checkpoint-every", "500", "--evaluate-every", "0", "--out", "run")
    return Path(facts["run"])


def edit_manifest(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def plant_extra(path: Path) -> None:
    (path / "agent.pkl").write_bytes(pickle.dumps(print))


def plant_listed(path: Path) -> None:
    data = pickle.dumps(print)
    (path / "agent.pkl").write_bytes(data)
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(path, lambda manifest: manifest["files"].update({"agent.pkl": facts}))  # type: ignore[attr-defined]


def plant_in_place(path: Path) -> None:
    (path / "agent.safetensors").write_bytes(pickle.dumps(print))


def truncate(path: Path) -> None:
    data = (path / "agent.safetensors").read_bytes()
    (path / "agent.safetensors").write_bytes(data[:-10])


def flip(path: Path) -> None:
    data = bytearray((path / "agent.safetensors").read_bytes())
    data[-5] ^= 1
    (path / "agent.safetensors").write_bytes(bytes(data))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "planted pickle": (plant_extra, "holds 'agent.pkl', which its manifest does not list"),
    "listed pickle": (plant_listed, "not a kind of file that a checkpoint holds"),
    "pickle in place": (plant_in_place, "agent.safetensors has"),
    "truncated": (truncate, "agent.safetensors has"),
    "flipped byte": (flip, "the SHA-256 of agent.safetensors differs"),
    "missing part": (lambda path: (path / "buffer.json").unlink(), "buffer.json is missing"),
    "missing manifest": (lambda path: (path / "manifest.json").unlink(), "manifest.json is missing"),
    "garbled manifest": (lambda path: (path / "manifest.json").write_text("{"), "manifest.json cannot be read"),
    "newer format": (lambda path: edit_manifest(path, lambda m: m.update(format=99)), "has format 99.*upgrade toolkit"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_checkpoint_is_named_with_the_last_good_one(finished: Path, tmp_path: Path, fault: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    steps = Checkpoints(run / "checkpoints").steps()
    damage, message = FAULTS[fault]
    damage(run / "checkpoints" / str(steps[-1]))
    before = tree_hash(run)
    for words in (("evaluate", str(run)), ("resume", str(run), "--steps", "3000")):
        done = Toolkit(tmp_path)(*words)
        assert done.returncode == 1
        assert len(done.stderr.strip().split("\n")) == 1, done.stderr
        import re

        assert re.search(message, done.stderr), done.stderr
        assert f"The last good checkpoint is {steps[-2]}: toolkit resume {run} --from {steps[-2]}" in done.stderr
    assert tree_hash(run) == before
    with pytest.raises(CheckpointError):
        Checkpoints(run / "checkpoints").load(steps[-1])


def test_a_run_continues_from_the_last_good_checkpoint(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    steps = Checkpoints(run / "checkpoints").steps()
    truncate(run / "checkpoints" / str(steps[-1]))
    facts = Toolkit(tmp_path).json("resume", str(run), "--from", str(steps[-2]))
    assert facts["resumed_from"] == steps[-2]
    assert facts["parameters_sha256"] == json.loads((finished / "run.json").read_text())["parameters_sha256"]
    assert (run / "checkpoints" / "superseded" / str(steps[-1])).is_dir()


def test_a_full_disk_stops_the_run_and_keeps_what_was_saved(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from toolkit.cli import main; main(sys.argv[1:])")
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", program, "run", "dqn", "--env", "CartPole-v1", "--steps", "20000", "--checkpoint-every", "2000",
         "--buffer-size", "20000", "--preset", "none", "--gradient-steps", "1", "--train-freq", "500", "--evaluate-every", "0",
         "--network.hidden-sizes", "8", "--out", "run"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "could not be written" in done.stderr and "The last good checkpoint is" in done.stderr
    assert "Traceback" not in done.stderr
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.steps() and all(checkpoints.load(step) for step in checkpoints.steps())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 300_000
