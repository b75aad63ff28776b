"""Checkpoints: what is written, what is refused, and that nothing good is ever lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from refusals import asked_here
from small_runs import command, copy_of, finished, flags, outcome, steps_of, tree

from toolkit.core.state import join, split
from toolkit.training import checkpoints as module
from toolkit.training.checkpoints import MANIFEST, CheckpointError, Checkpoints, is_good

RUN = {"steps": 480, "checkpoint_every": 100, "evaluate_every": 0, "record_every": 100}
STATE = {"agent": {"weights": torch.arange(6.0).reshape(2, 3), "generator": np.random.default_rng(0).bit_generator.state,
                   "list": [np.arange(3), {"deep": torch.tensor(2.5)}], "text": "x", "none": None, "flag": True}}


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
@example({"__array__": None})
@example({"a": {"__tensor__": "b"}, "b": {"__plain__": {"__plain__": 1}}})
def test_plain_values_survive(state: dict[str, object]) -> None:
    tensors, skeleton = split(state)
    assert tensors == {}
    assert join(tensors, json.loads(json.dumps(skeleton))) == state


@pytest.mark.parametrize(("value", "message"), [
    ({1: 2}, "not text"), ({"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}}, "state 'part.a.b' is there twice"),
    (object(), "a checkpoint cannot keep")])
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



def test_a_replacement_that_was_cut_short_is_undone(tmp_path: Path) -> None:
    """Killed between the two renames: the old one is put back; killed after them: the new one stays."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, {"agent": {"text": "old"}}, {})
    os.rename(tmp_path / "5", tmp_path / ".replaced-5-1")
    (tmp_path / ".writing-5-1").mkdir()
    checkpoints.sweep()
    assert checkpoints.load(5) == {"agent": {"text": "old"}}
    os.rename(tmp_path / "5", tmp_path / ".replaced-5-1")
    checkpoints.save(5, {"agent": {"text": "new"}}, {})
    checkpoints.sweep()
    assert checkpoints.load(5) == {"agent": {"text": "new"}}
    assert [path.name for path in tmp_path.iterdir()] == ["5"]


def test_every_file_is_vouched_for_and_none_is_a_pickle() -> None:
    run = finished(**RUN)
    for step in steps_of(run):
        path = run / "checkpoints" / str(step)
        manifest = json.loads((path / MANIFEST).read_text())
        assert manifest["step"] == step and manifest["format"] == 1
        assert {entry.name for entry in path.iterdir()} == {*manifest["files"], MANIFEST}
        for name, facts in manifest["files"].items():
            data = (path / name).read_bytes()
            assert facts == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            assert name.endswith((".json", ".safetensors"))
            if name.endswith(".json"):
                json.loads(data)


# -- damage, by the command line


class Mine:
    """Unpickling this leaves a file behind."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


PICKLE = pickle.dumps(Mine())


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


def vouch(path: Path, name: str, data: bytes) -> None:
    """Write a file and make the manifest agree with it, as someone who means harm would."""
    (path / name).write_bytes(data)
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(path, lambda manifest: manifest["files"].update({name: facts}))


def rewrite(path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    (path / name).write_bytes(change((path / name).read_bytes()))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "planted pickle": (lambda path: (path / "agent.pkl").write_bytes(PICKLE),
                       "holds 'agent.pkl', which its manifest does not list"),
    "vouched pickle": (lambda path: vouch(path, "agent.pkl", PICKLE), "not a kind of file that a checkpoint holds"),
    "pickle in place": (lambda path: (path / "agent.safetensors").write_bytes(PICKLE), "agent.safetensors has"),
    "vouched pickle in place": (lambda path: vouch(path, "agent.safetensors", PICKLE), "agent.safetensors cannot be read"),
    "vouched nonsense": (lambda path: vouch(path, "agent.json", b"{"), "agent.json cannot be read"),
    "truncated": (lambda path: rewrite(path, "agent.safetensors", lambda data: data[:-10]), "agent.safetensors has"),
    "emptied": (lambda path: rewrite(path, "agent.safetensors", lambda data: b""), "agent.safetensors has 0 bytes"),
    "flipped byte": (lambda path: rewrite(path, "buffer.safetensors", lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]),
                     "the SHA-256 of buffer.safetensors differs"),
    "missing part": (lambda path: (path / "buffer.json").unlink(), "buffer.json is missing"),
    "part not listed": (lambda path: edit_manifest(path, lambda m: m["files"].pop("agent.json")), "holds 'agent.json', which"),
    "missing manifest": (lambda path: (path / MANIFEST).unlink(), "manifest.json is missing"),
    "garbled manifest": (lambda path: (path / MANIFEST).write_text("{"), "manifest.json cannot be read"),
    "binary manifest": (lambda path: (path / MANIFEST).write_bytes(b"\xff\xfe\x00"), "manifest.json cannot be read"),
    "another manifest": (lambda path: (path / MANIFEST).write_text("[]"), "manifest.json cannot be read"),
    "manifest of no files": (lambda path: edit_manifest(path, lambda m: m.update(files={})), "is not a manifest"),
    "manifest of odd files": (lambda path: edit_manifest(path, lambda m: m.update(files={"a.json": 3})), "is not a manifest"),
    "path outside": (lambda path: edit_manifest(path, lambda m: m["files"].update({"../x.json": {}})), "not a kind of file"),
    "another step's": (lambda path: edit_manifest(path, lambda m: m.update(step=7)), "is that of step 7"),
    "newer format": (lambda path: edit_manifest(path, lambda m: m.update(format=99)),
                     "has format 99.*reads up to 1: upgrade toolkit"),
}
QUICK = ("vouched pickle in place", "flipped byte", "missing manifest")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_checkpoint_is_refused_in_one_line_that_names_the_last_good_one(tmp_path: Path, fault: str) -> None:
    run = copy_of(finished(**RUN), tmp_path)
    last, before = steps_of(run)[-1], steps_of(run)[-2]
    damage, message = FAULTS[fault]
    damage(run / "checkpoints" / str(last))
    whole = tree(tmp_path)
    ways = [("resume", "run", "--steps", "600")]
    if fault in QUICK:
        ways += [("resume", "run", "--from", str(last)), ("evaluate", "run"), ("evaluate", f"run/checkpoints/{last}"),
                 (*flags("dqn", **RUN), "--init-from", "run", "--out", "other")]
    for words in ways:
        done = (command if fault in QUICK else asked_here)(*words, cwd=tmp_path)
        assert done.code == 1, done.err
        assert done.out == ""
        assert len(done.err.strip().split("\n")) == 1, done.err
        assert re.search(message, done.err), done.err
        assert f"The last good checkpoint is {before}: toolkit resume {run} --from {before}" in done.err
        assert tree(tmp_path) == whole, "nothing is overwritten and nothing is executed"


@pytest.mark.parametrize("fault", QUICK)
def test_the_command_in_the_message_then_works(tmp_path: Path, fault: str) -> None:
    run = copy_of(finished(**RUN), tmp_path)
    last, before = steps_of(run)[-1], steps_of(run)[-2]
    FAULTS[fault][0](run / "checkpoints" / str(last))
    damaged = tree(run / "checkpoints" / str(last))
    facts = command("resume", str(run), "--from", str(before), "--json", cwd=tmp_path).json
    assert facts["resumed_from"] == before
    assert outcome(run) == outcome(finished(**RUN))
    assert tree(run / "checkpoints" / "superseded" / str(last)) == damaged, "the damaged one is set aside, not deleted"


def test_when_all_are_damaged_it_says_so(tmp_path: Path) -> None:
    run = copy_of(finished(**RUN), tmp_path)
    for step in steps_of(run):
        (run / "checkpoints" / str(step) / MANIFEST).unlink()
    done = command("resume", "run", "--steps", "600", cwd=tmp_path)
    assert done.code == 1
    assert "There is no other good checkpoint in this run." in done.err


def test_a_fault_is_the_same_from_python(tmp_path: Path) -> None:
    run = copy_of(finished(**RUN), tmp_path)
    last = steps_of(run)[-1]
    FAULTS["flipped byte"][0](run / "checkpoints" / str(last))
    assert not is_good(run / "checkpoints" / str(last))
    with pytest.raises(CheckpointError, match="The last good checkpoint is"):
        Checkpoints(run / "checkpoints").load(last)


# -- the disk refuses


def test_a_full_disk_stops_the_run_and_keeps_what_was_saved(tmp_path: Path) -> None:
    """No file may grow past a limit, which the buffer's reaches after some checkpoints."""
    settings = {**RUN, "steps": 1000, "buffer_size": 1000, "evaluate_every": 200}
    words = flags("dqn", **settings)
    done = command(*words, "--out", "run", cwd=tmp_path, file_limit=25_000)
    assert done.code == 1, done.err
    assert len(done.err.strip().split("\n")) == 1, done.err
    good = steps_of(tmp_path / "run")[-1]
    assert 0 < good < 1000
    assert re.search(r"checkpoint \d+ could not be written to .*: a file may not be so large here \(see: ulimit -f\)", done.err)
    assert f"The last good checkpoint is {good}: toolkit resume" in done.err
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert all(checkpoints.load(step) for step in checkpoints.steps())
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["status"] == "failed" and "could not be written" in facts["reason"]
    assert command("resume", "run", "--json", cwd=tmp_path).json["resumed_from"] == good
    assert outcome(tmp_path / "run") == outcome(finished(**settings))


def test_a_disk_that_is_full_for_the_records_stops_the_run_too(tmp_path: Path) -> None:
    settings = {**RUN, "steps": 1600, "record_every": 5, "checkpoint_every": 200, "buffer_size": 50}
    done = command(*flags("dqn", **settings), "--out", "run", cwd=tmp_path, file_limit=40_000)
    assert done.code == 1, done.err
    assert len(done.err.strip().split("\n")) == 1, done.err
    good = steps_of(tmp_path / "run")[-1]
    assert re.search(rf"could not write to .*: File too large.*The last good checkpoint is {good}", done.err), done.err
    assert command("resume", "run", "--json", cwd=tmp_path).json["resumed_from"] == good > 0
    assert outcome(tmp_path / "run") == outcome(finished(**settings))


def test_no_room_for_the_first_checkpoint_is_said(tmp_path: Path) -> None:
    done = command(*flags("dqn", **RUN), "--out", "run", cwd=tmp_path, file_limit=1_000)
    assert done.code == 1 and not (tmp_path / "run").exists()
    assert done.err == ("toolkit: the run folder run cannot be written: File too large. Name a folder that you may write with "
                        "--out DIR\n")


@pytest.mark.parametrize(("code", "reason"), [
    (errno.ENOSPC, r"the disk is full \(\d+ MiB free\)"), (errno.EDQUOT, r"your quota of the disk is used up \(see: quota\)"),
    (errno.EFBIG, r"a file may not be so large here \(see: ulimit -f\)"), (errno.EIO, r"\[Errno 5\] Input/output error")])
def test_why_the_disk_refuses_is_said(code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "write_part", refuse)
    with pytest.raises(CheckpointError, match=f"checkpoint 3 could not be written to .*: {reason}. There is no other"):
        Checkpoints(tmp_path / "checkpoints").save(3, {"part": {}}, {})


def test_errors_that_are_not_about_parameters_come_through_as_they_are() -> None:
    from toolkit.training.made_with import Outgrown
    from toolkit.training.misfit import fitting

    state = {"agent": {"online": {"weight": torch.zeros(2, 3)}, "optimizer": {"moments": torch.zeros(6)}}}
    with pytest.raises(ValueError, match="my physics engine refuses"), fitting(state, lambda: state, lambda: ["online.weight"]):
        raise ValueError("my physics engine refuses")
    for other in ({"weight": torch.zeros(2, 4)}, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}):
        saved = {"agent": {"online": other, "optimizer": {"moments": torch.zeros(8)}}}
        with pytest.raises(Outgrown, match="1 differ, the first is agent.online."), \
                fitting(saved, lambda: state, lambda: ["online.weight"]):
            raise RuntimeError("size mismatch")
