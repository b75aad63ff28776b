"""The trainer's clocks, records and links, on a task that can be worked by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import rows, steps_of, timeless
from torch import Tensor

from toolkit.core.clock import Clock
from toolkit.core.state import Saveable
from toolkit.errors import ToolkitError
from toolkit.training.checkpoints import Checkpoints
from toolkit.training.collector import Episode
from toolkit.training.evaluation import Evaluation
from toolkit.training.recorder import make_recorder
from toolkit.training.run_directory import RunDirectory
from toolkit.training.tasks import Report
from toolkit.training.trainer import Every, Intervals, Outcome, Trainer, load_parts, parameters_sha256


class Adding:
    """Adds ``units`` a turn to its only parameter; its score at a step is given."""

    unit = "turns"
    seconds: Mapping[str, float] = {"adding": 1.25}

    def __init__(self, budget: int, units: int = 5, scores: Mapping[int, float] | None = None) -> None:
        self.clock = Clock(budget)
        self.units, self.scores = units, scores or {}
        self.value = torch.zeros(2)
        self.evaluated: list[tuple[int, bool]] = []

    def advance(self, should_stop: Callable[[], bool] = bool) -> Report:
        units = min(self.units, self.clock.remaining)
        self.clock.step += units
        self.value += units
        episodes = [Episode(float(self.clock.step), units)]
        return Report(units, {"train/loss": float(self.clock.step), "train/n_updates": float(self.clock.step)}, episodes)

    def evaluate(self, final: bool, should_stop: Callable[[], bool] = bool) -> Evaluation:
        self.evaluated.append((self.clock.step, final))
        score = self.scores.get(self.clock.step, 0.0)
        return Evaluation(score, {"mean_return": score}, {"eval/mean_reward": score}, {"final": final})

    def parts(self) -> Mapping[str, Saveable]:
        return {"own": self}

    def parameters(self) -> Mapping[str, Tensor]:
        return {"value": self.value}

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value.copy_(state["value"])

    def close(self) -> None:
        pass


def fit(folder: Path, task: Adding, record: int = 10, evaluate: int = 0, checkpoint: int = 20,
        seconds: float = 1e6) -> Outcome:
    directory = RunDirectory.create(str(folder), "adding", "", 0,
                                    {"status": "running", "kind": "task", "component": "adding", "config": {}})
    trainer = Trainer(directory, make_recorder(directory.path), Intervals(record, evaluate, checkpoint, seconds))
    try:
        return trainer.fit(task)
    finally:
        trainer.recorder.close()


def resumed(folder: Path, task: Adding, step: int, record: int = 10, evaluate: int = 0, checkpoint: int = 20,
            end: bool = False) -> Outcome:
    directory = RunDirectory(folder)
    trainer = Trainer(directory, make_recorder(directory.path), Intervals(record, evaluate, checkpoint, 1e6))
    trainer.restore(task, directory.checkpoints.load(step), directory.read() if end else None)
    try:
        return trainer.fit(task)
    finally:
        trainer.recorder.close()


def test_a_clock_fires_once_for_each_multiple_reached() -> None:
    clock, fired = Every(10, 10), []
    for step in (0, 4, 9, 10, 14, 19, 33, 39, 40, 41):
        if clock.due(step):
            fired.append(step)
            clock.fired(step)
    assert fired == [10, 33, 40]
    never = Every(0)
    assert not any(never.due(step) for step in range(100))
    never.fired(5)
    assert not never.due(100)


def test_the_whole_run_by_hand(tmp_path: Path) -> None:
    task = Adding(43, 5, {20: 3.0, 40: 1.0, 43: 2.0})
    outcome = fit(tmp_path / "run", task, record=10, evaluate=20, checkpoint=15)
    assert task.clock.step == outcome.steps == 43 and task.value.tolist() == [43, 43]
    assert task.evaluated == [(20, False), (40, False), (43, True)]
    lines = [(row["step"], {name: value for name, value in row.items() if name != "step"}) for row in timeless(tmp_path / "run")]
    # Losses are means since the last record; counters are as they are; returns are the mean of all episodes so far.
    assert lines == [
        (10, {"rollout/ep_rew_mean": 7.5, "rollout/ep_len_mean": 5, "train/loss": 7.5, "train/n_updates": 10}),
        (20, {"rollout/ep_rew_mean": 12.5, "rollout/ep_len_mean": 5, "train/loss": 17.5, "train/n_updates": 20}),
        (20, {"eval/mean_reward": 3.0}),
        (30, {"rollout/ep_rew_mean": 17.5, "rollout/ep_len_mean": 5, "train/loss": 27.5, "train/n_updates": 30}),
        (40, {"rollout/ep_rew_mean": 22.5, "rollout/ep_len_mean": 5, "train/loss": 37.5, "train/n_updates": 40}),
        (40, {"eval/mean_reward": 1.0}),
        (43, {"rollout/ep_rew_mean": pytest.approx(223 / 9), "rollout/ep_len_mean": pytest.approx(43 / 9), "train/loss": 43,
              "train/n_updates": 43}),
        (43, {"eval/mean_reward": 2.0})]
    assert all(row["time/total_timesteps"] == row["step"] and row["time/adding_seconds"] == 1.25 and row["time/fps"] > 0
               for row in rows(tmp_path / "run") if "time/fps" in row)
    # At 0, at multiples of 15, at the best evaluation (20, no multiple), at the end; then pruned to 0, best, last two.
    assert steps_of(tmp_path / "run") == [0, 20, 30, 43]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.linked("best") == 20 and checkpoints.linked("final") == 43
    assert checkpoints.load(20)["own"]["value"].tolist() == [20, 20]


def test_the_end_counts_as_the_best_when_it_is(tmp_path: Path) -> None:
    fit(tmp_path / "run", Adding(40, 5, {20: 3.0, 40: 4.0}), evaluate=20)
    assert os.readlink(tmp_path / "run" / "checkpoints" / "best") == "40"


def test_a_score_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    fit(tmp_path / "run", Adding(60, 5, {20: float("nan"), 40: 3.0, 60: float("nan")}), evaluate=20)
    assert os.readlink(tmp_path / "run" / "checkpoints" / "best") == "40"
    for path in [tmp_path / "run" / "run.json", *(tmp_path / "run" / "evaluations").iterdir()]:
        assert "NaN" not in path.read_text(), "JSON has no word for it"


def test_of_equal_evaluations_the_later_is_the_best(tmp_path: Path) -> None:
    fit(tmp_path / "run", Adding(60, 5, {20: 3.0, 40: 3.0, 60: 2.0}), evaluate=20)
    assert os.readlink(tmp_path / "run" / "checkpoints" / "best") == "40"


def test_without_evaluations_in_between_the_end_is_evaluated_alone(tmp_path: Path) -> None:
    task = Adding(40)
    fit(tmp_path / "run", task, evaluate=0)
    assert task.evaluated == [(40, True)]
    assert [path.name for path in (tmp_path / "run" / "evaluations").iterdir()] == ["40.json"]


def test_without_periodic_checkpoints_there_are_the_first_and_the_last(tmp_path: Path) -> None:
    fit(tmp_path / "run", Adding(40), checkpoint=0)
    assert steps_of(tmp_path / "run") == [0, 40]


def test_time_too_calls_for_checkpoints(tmp_path: Path) -> None:
    """Every turn comes later than no seconds at all after the last save."""
    saved: list[int] = []
    task = Adding(30)
    original = task.state_dict
    task.state_dict = lambda: saved.append(task.clock.step) or original()  # type: ignore[func-returns-value,method-assign]
    fit(tmp_path / "run", task, checkpoint=0, seconds=0.0)
    assert saved == [0, 5, 10, 15, 20, 25, 30]


def test_a_turn_longer_than_the_intervals_fires_each_clock_once(tmp_path: Path) -> None:
    task = Adding(100, 35)
    fit(tmp_path / "run", task, record=10, evaluate=10, checkpoint=10)
    assert [row["step"] for row in rows(tmp_path / "run") if "train/loss" in row] == [35, 70, 100]
    assert task.evaluated == [(35, False), (70, False), (100, True)]


def test_the_last_line_is_written_even_when_nothing_was_learned(tmp_path: Path) -> None:
    task = Adding(20)
    task.advance = lambda should_stop=bool: Report(_add(task, 5), {}, [])  # type: ignore[method-assign]
    fit(tmp_path / "run", task)
    assert [row["step"] for row in rows(tmp_path / "run") if "time/fps" in row] == [10, 20]


def _add(task: Adding, units: int) -> int:
    task.clock.step += units
    return units


def test_returns_are_averaged_over_the_last_hundred_episodes(tmp_path: Path) -> None:
    fit(tmp_path / "run", Adding(750, 5), record=750)
    last = next(row for row in rows(tmp_path / "run") if "rollout/ep_rew_mean" in row)
    assert last["rollout/ep_rew_mean"] == (255 + 750) / 2


def test_resuming_anywhere_gives_the_same_records(tmp_path: Path) -> None:
    scores = {20: 3.0, 40: 4.0, 60: 1.0}
    fit(tmp_path / "whole", Adding(70, 5, scores), evaluate=20)
    kept = {}
    for stop in (45, 65):
        class Stops(Adding):
            def advance(self, should_stop: Callable[[], bool] = bool, stop: int = stop) -> Report:
                if self.clock.step >= stop:
                    raise ToolkitError("stopped")
                return super().advance()

        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(ToolkitError, match="stopped"):
            fit(folder, Stops(70, 5, scores), evaluate=20)
        resumed(folder, Adding(70, 5, scores), steps_of(folder)[-1], evaluate=20)
        kept[stop] = folder
    for folder in kept.values():
        assert timeless(folder) == timeless(tmp_path / "whole")
        assert steps_of(folder) == steps_of(tmp_path / "whole")
        assert os.readlink(folder / "checkpoints" / "best") == "40"


def test_an_extended_run_remembers_its_best_and_repeats_nothing(tmp_path: Path) -> None:
    scores = {20: 3.0, 40: 5.0, 60: 4.0, 80: 4.5}
    fit(tmp_path / "run", Adding(40, 5, scores), evaluate=20)
    before = rows(tmp_path / "run")
    task = Adding(80, 5, scores)
    resumed(tmp_path / "run", task, 40, evaluate=20, end=True)
    assert task.evaluated == [(60, False), (80, True)], "40 was evaluated already"
    after = rows(tmp_path / "run")
    assert after[:len(before)] == before and after[len(before)]["step"] == 50
    assert os.readlink(tmp_path / "run" / "checkpoints" / "best") == "40", "the evaluation at the first end was the best"
    assert os.readlink(tmp_path / "run" / "checkpoints" / "final") == "80"


def test_the_end_is_written_down(tmp_path: Path) -> None:
    task = Adding(40, 5, {40: 1.5})
    outcome = fit(tmp_path / "run", task)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["status"] == "finished" and facts["steps"] == 40 and facts["evaluation"] == {"mean_return": 1.5}
    assert facts["parameters_sha256"] == outcome.parameters_sha256 == parameters_sha256({"value": torch.full((2,), 40.0)})
    manifest = json.loads((tmp_path / "run" / "checkpoints" / "40" / "manifest.json").read_text())
    assert manifest["facts"]["parameters_sha256"] == outcome.parameters_sha256
    assert facts["train_seconds"] >= 0


def test_the_hash_is_of_names_shapes_types_and_bytes() -> None:
    one = {"a": torch.arange(4.0), "b": torch.ones(1)}
    assert parameters_sha256(one) == parameters_sha256({"b": torch.ones(1), "a": torch.arange(4.0)})
    others = [{"a": torch.arange(4.0)}, {"a": torch.arange(4.0).reshape(2, 2), "b": torch.ones(1)},
              {"a": torch.arange(4.0), "c": torch.ones(1)}, {"a": torch.arange(4.0, dtype=torch.float64), "b": torch.ones(1)},
              {"a": torch.arange(4.0) + 1e-6, "b": torch.ones(1)}]
    assert parameters_sha256(one) not in [parameters_sha256(other) for other in others]
    assert parameters_sha256({"a": torch.arange(4.0).reshape(2, 2).t()}) == parameters_sha256(
        {"a": torch.tensor([[0.0, 2.0], [1.0, 3.0]])}), "however it lies in memory"


def test_a_checkpoint_without_a_part_is_named() -> None:
    with pytest.raises(ToolkitError, match="no part 'own'; it holds other"):
        load_parts({"own": Adding(1)}, {"other": {}})
