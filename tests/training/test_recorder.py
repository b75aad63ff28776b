"""Records: metrics.jsonl and TensorBoard say the same, and are cut back when a run is resumed."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
from dying import Die
from small_runs import STEPS, command, finished, flags, rows
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toolkit.registry import registry
from toolkit.training.recorder import make_recorder

TRACKERS = [entry.name for entry in registry.entries("tracker", plugins=False) if not entry.extras]


def events(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads: ``{tag: [(step, value), ...]}``."""
    files = list(run.glob("events.out.tfevents.*"))
    assert len(files) == 1
    read = EventAccumulator(str(run), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def lines(run: Path) -> dict[str, list[tuple[int, float]]]:
    """The same from metrics.jsonl, in single precision, which event files hold."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows(run):
        for name, value in row.items():
            if name not in ("step", "time"):
                found.setdefault(name, []).append((row["step"], value))
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, series in one.items():
        assert [step for step, _ in series] == [step for step, _ in other[name]], name
        assert [value for _, value in series] == pytest.approx([value for _, value in other[name]], rel=1e-6), name


def test_names_are_those_of_stable_baselines3() -> None:
    found = rows(finished(**STEPS))
    names = {name for row in found for name in row}
    assert {"step", "time", "rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/exploration_rate", "train/loss",
            "train/learning_rate", "train/n_updates", "time/fps", "time/total_timesteps", "eval/mean_reward",
            "eval/mean_ep_length"} <= names
    assert all(isinstance(row["step"], int) and row["time"] >= 0 for row in found)


def test_tensorboard_reads_what_the_lines_say() -> None:
    same(events(finished(**STEPS)), lines(finished(**STEPS)))


@pytest.mark.parametrize("step", [30, 290, 465])
def test_a_resumed_run_has_each_event_once(step: int, tmp_path: Path) -> None:
    assert command(*flags("dqn", **STEPS), "--out", "run", cwd=tmp_path, die=Die("step", step)).code == -signal.SIGKILL
    assert command("resume", "run", cwd=tmp_path).code == 0
    same(events(tmp_path / "run"), lines(tmp_path / "run"))
    whole = lines(finished(**STEPS))
    for name, series in lines(tmp_path / "run").items():
        assert [at for at, _ in series] == [at for at, _ in whole[name]]
        if not name.startswith("time/"):
            assert series == whole[name]


@pytest.mark.parametrize("name", TRACKERS)
def test_every_tracker_is_cut_back_and_goes_on(name: str, tmp_path: Path) -> None:
    for folder in ("straight", "cut"):
        (tmp_path / folder).mkdir()
    straight = make_recorder(tmp_path / "straight", [name])
    straight.write(1, 0.5, {"a": 1.0})
    straight.write(2, 1.0, {"a": 2.0})
    straight.close()
    recorder = make_recorder(tmp_path / "cut", [name])
    empty = recorder.offsets()
    recorder.write(7, 0.5, {"a": 9.0})
    recorder.cut(empty)
    recorder.write(1, 0.5, {"a": 1.0})
    offsets = recorder.offsets()
    recorder.write(5, 0.9, {"a": 5.0, "b": 6.0})
    recorder.close()
    again = make_recorder(tmp_path / "cut", [name])
    again.cut(offsets)
    assert again.offsets() == offsets
    again.write(2, 1.0, {"a": 2.0})
    again.close()
    if name == "jsonl":
        assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (tmp_path / "straight" / "metrics.jsonl").read_bytes()
    if name == "tensorboard":
        assert events(tmp_path / "cut") == events(tmp_path / "straight") == {"a": [(1, 1.0), (2, 2.0)]}


def test_a_file_that_is_shorter_already_is_left_alone(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, ["jsonl"])
    recorder.write(1, 0.5, {"a": 1.0})
    before = (tmp_path / "metrics.jsonl").read_bytes()
    recorder.cut({"jsonl": 10_000, "no such tracker": 3})
    recorder.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_line_is_there_as_soon_as_it_is_written_and_is_strict_json(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, ["jsonl"])
    recorder.write(3, 1.23456, {"a": math.nan, "b": math.inf, "c": 0.1, "d": 2})

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert row == {"step": 3, "time": 1.235, "a": None, "b": None, "c": 0.1, "d": 2}
    recorder.close()
