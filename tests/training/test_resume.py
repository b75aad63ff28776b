"""Exact resume: a run that was killed anywhere and resumed equals one that was never stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from dying import Die
from small_runs import RESUMABLE, STEPS, command, copy_of, finished, flags, outcome, rows, steps_of, tree

WAYS = [{"n_envs": 1}, {"n_envs": 3}, {"n_envs": 5, "workers": 2},
        {"n_envs": 8, "vectorization": "native"}, {"n_envs": 8, "vectorization": "in-process"}]
WAY_NAMES = ["one", "three", "workers", "native", "in-process"]


def resumed_after(die: Die, folder: Path, agent: str = "dqn", **settings: Any) -> dict[str, Any]:
    """The result of a run that died and was resumed once."""
    died = command(*flags(agent, **settings), "--out", "run", cwd=folder, die=die)
    assert died.code == -signal.SIGKILL, died.err
    before = steps_of(folder / "run")
    facts = command("resume", "run", "--json", cwd=folder).json
    assert facts["resumed_from"] == before[-1] > 0
    hidden = [path.name for path in (folder / "run").rglob(".*")]
    assert hidden == [], "what the killed process left half-written is swept away"
    return outcome(folder / "run")


@pytest.mark.parametrize("agent", RESUMABLE)
def test_every_agent_continues_exactly_after_a_kill(agent: str, tmp_path: Path) -> None:
    settings = {**STEPS, "n_envs": 2}
    assert resumed_after(Die("step", 290), tmp_path, agent, **settings) == outcome(finished(agent, **settings))


def test_noise_that_lasts_continues_exactly_after_a_kill(tmp_path: Path) -> None:
    settings = {**STEPS, "n_envs": 2, "noise_type": "ornstein-uhlenbeck"}
    assert resumed_after(Die("step", 290), tmp_path, "td3", **settings) == outcome(finished("td3", **settings))


def test_random_actions_that_last_continue_exactly_after_a_kill(tmp_path: Path) -> None:
    settings = {**STEPS, "n_envs": 2, "exploration_zeta": 1.2, "exploration_final_eps": 0.5}
    assert resumed_after(Die("step", 290), tmp_path, **settings) == outcome(finished(**settings))


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("step", [130, 470])
def test_copies_in_mid_episode_continue_however_they_are_stepped(way: dict[str, Any], step: int, tmp_path: Path) -> None:
    settings = {**STEPS, **way}
    assert resumed_after(Die("step", step), tmp_path, **settings) == outcome(finished(**settings))


@pytest.mark.parametrize("die", [
    Die("learn", 250), Die("play", 3), Die("evaluate", 480), Die("save", 4), Die("part", 17), Die("rename", 4), Die("rename", 5),
    Die("link", 1), Die("link", 2), Die("remove", 3), Die("replace", 5)], ids=lambda die: f"{die.where}-{die.at}")
def test_a_kill_at_any_moment_leaves_a_run_that_continues_exactly(die: Die, tmp_path: Path) -> None:
    """While learning, evaluating, writing a part, renaming, linking, pruning."""
    assert resumed_after(die, tmp_path, **STEPS) == outcome(finished(**STEPS))


MOMENTS = [(where, at) for where, calls in {
    "play": range(1, 5), "save": range(2, 8), "part": range(6, 36, 3), "rename": range(2, 8), "link": range(1, 3),
    "remove": range(1, 9), "replace": range(2, 9)}.items() for at in calls]


@pytest.mark.slow
@pytest.mark.parametrize(("where", "at"), MOMENTS)
def test_a_kill_at_every_moment(where: str, at: int, tmp_path: Path) -> None:
    died = command(*flags("dqn", **STEPS), "--out", "run", cwd=tmp_path, die=Die(where, at))
    assert died.code == -signal.SIGKILL, "the run was over before that"
    again = command("resume", "run", "--json", cwd=tmp_path)
    assert again.code == 0, again.err
    assert outcome(tmp_path / "run") == outcome(finished(**STEPS))


def test_a_run_killed_again_and_again_ends_the_same(tmp_path: Path) -> None:
    assert command(*flags("dqn", **STEPS), "--out", "run", cwd=tmp_path, die=Die("step", 150)).code == -signal.SIGKILL
    for step in (250, 350, 450):
        assert command("resume", "run", cwd=tmp_path, die=Die("step", step)).code == -signal.SIGKILL
    assert command("resume", "run", "--json", cwd=tmp_path).json["resumed_from"] == 400
    assert outcome(tmp_path / "run") == outcome(finished(**STEPS))


def test_a_run_killed_before_its_first_periodic_checkpoint_begins_again(tmp_path: Path) -> None:
    assert command(*flags("dqn", **STEPS), "--out", "run", cwd=tmp_path, die=Die("step", 50)).code == -signal.SIGKILL
    assert command("resume", "run", "--json", cwd=tmp_path).json["resumed_from"] == 0
    assert outcome(tmp_path / "run") == outcome(finished(**STEPS))


@pytest.mark.parametrize("way", [WAYS[0], pytest.param(WAYS[2], marks=pytest.mark.slow)], ids=["one", "native"])
def test_an_ordinary_process_that_is_killed_from_outside(way: dict[str, Any], tmp_path: Path) -> None:
    """Without anything of the above: the command line, a signal from another process, the command line."""
    settings = {**way, "steps": 1_800, "checkpoint_every": 300, "evaluate_every": 900, "learning_starts": 100}
    words = [*flags("dqn", **settings), "--out", "run"]
    environment = {**os.environ, "TOOLKIT_PLUGINS": "0"}
    process = subprocess.Popen([sys.executable, "-m", "toolkit", *words], cwd=tmp_path, env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "run" / "checkpoints"
    while not (folder.is_dir() and max(steps_of(tmp_path / "run"), default=0) > 0):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the budget was spent before the kill"
    done = subprocess.run([sys.executable, "-m", "toolkit", "resume", "run", "--json"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["resumed_from"] > 0
    assert facts["parameters_sha256"] == outcome(finished(**settings))["sha256"]
    assert outcome(tmp_path / "run") == outcome(finished(**settings))


# -- seeds


def test_the_same_seed_twice_is_the_same_run_and_another_seed_is_not(tmp_path: Path) -> None:
    first = outcome(finished(**STEPS))
    for name, seed in (("again", 0), ("other", 1)):
        assert command(*flags("dqn", **STEPS, seed=seed), "--out", name, cwd=tmp_path).code == 0
    assert outcome(tmp_path / "again") == first
    other = outcome(tmp_path / "other")
    assert other["sha256"] != first["sha256"] and other["metrics"] != first["metrics"]


# -- finished runs


def test_a_finished_run_says_so_and_is_left_alone(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    before = tree(run)
    done = command("resume", "run", cwd=tmp_path)
    assert done.code == 0 and done.out == ""
    assert "is finished (480 env steps). Extend it: toolkit resume run --steps N" in done.err
    facts = command("resume", "run", "--json", cwd=tmp_path).json
    assert facts["steps"] == facts["resumed_from"] == 480
    assert facts["parameters_sha256"] == outcome(run)["sha256"] and facts["evaluation"] == outcome(run)["evaluation"]
    assert tree(run) == before


def test_a_budget_already_spent_is_refused(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    before = tree(run)
    done = command("resume", "run", "--steps", "300", cwd=tmp_path)
    assert done.code == 2 and "--steps 300: the run is at step 480 already" in done.err
    assert tree(run) == before
    done = command("resume", "run", "--from", "7", cwd=tmp_path)
    assert done.code == 2 and "has no checkpoint 7. Allowed: 0," in done.err


def test_the_evaluation_at_the_end_may_have_other_episodes_and_nothing_else_changes(tmp_path: Path) -> None:
    for name, more in (("same", ()), ("other", ("--final-episodes", "3"))):
        (tmp_path / name).mkdir()
        copy_of(finished(**STEPS), tmp_path / name)
        command("resume", "run", "--steps", "720", *more, "--json", cwd=tmp_path / name)
    same, other = (outcome(tmp_path / name / "run") for name in ("same", "other"))
    assert other["sha256"] == same["sha256"] and other["evaluation"]["episodes"] == 3 != same["evaluation"]["episodes"]
    config = json.loads((tmp_path / "other" / "run" / "run.json").read_text())["config"]
    assert config["final_episodes"] == {"value": 3, "origin": "flag"}
    done = command("resume", "run", "--final-episodes", "5", cwd=tmp_path / "other")
    assert done.code == 2 and "run is finished. Judge it again: toolkit evaluate run --episodes 5" in done.err


def test_an_extended_run_keeps_its_past_and_continues_exactly_too(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        copy_of(finished(**STEPS), tmp_path / name)
    past = outcome(finished(**STEPS))
    facts = command("resume", "run", "--steps", "720", "--json", cwd=tmp_path / "whole").json
    assert facts["steps"] == 720 and facts["resumed_from"] == 480
    whole = outcome(tmp_path / "whole" / "run")
    assert whole["metrics"][:len(past["metrics"])] == past["metrics"], "also the line of the evaluation at the end"
    assert whole["metrics"][len(past["metrics"])]["step"] > 480, "what was recorded at the end is not recorded again"
    assert {name: whole["evaluations"][name] for name in past["evaluations"]} == past["evaluations"]
    config = json.loads((tmp_path / "whole" / "run" / "run.json").read_text())["config"]
    assert config["steps"] == {"value": 720, "origin": "flag"}
    for step in (500, 610):
        died = command("resume", "run", *(("--steps", "720") if step == 500 else ()), cwd=tmp_path / "killed",
                       die=Die("step", step))
        assert died.code == -signal.SIGKILL, died.err
    assert command("resume", "run", "--json", cwd=tmp_path / "killed").json["resumed_from"] == 600
    assert outcome(tmp_path / "killed" / "run") == whole


def test_continuing_from_an_earlier_checkpoint_sets_the_later_ones_aside(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    assert steps_of(run)[-1] == 480
    kept = {name: value for name, value in tree(run / "checkpoints").items() if name[0].isdigit() and name[0] != "0"}
    facts = command("resume", "run", "--from", "0", "--json", cwd=tmp_path).json
    assert facts["resumed_from"] == 0
    assert facts["parameters_sha256"] == outcome(finished(**STEPS))["sha256"]
    assert tree(run / "checkpoints" / "superseded") == kept
    assert outcome(run) == outcome(finished(**STEPS))


def test_a_checkpoint_can_be_named_as_the_run(tmp_path: Path) -> None:
    copy_of(finished(**STEPS), tmp_path)
    facts = command("resume", "run/checkpoints/0", "--json", cwd=tmp_path).json
    assert facts["resumed_from"] == 0
    assert facts["parameters_sha256"] == outcome(finished(**STEPS))["sha256"]


def test_a_run_of_before_a_schedule_was_refused_goes_on_as_it_was(tmp_path: Path) -> None:
    """Agents took ``plateau`` once, and never gave it scores: its factor stayed 1."""
    run, other = copy_of(finished(**STEPS), tmp_path), tmp_path / "other"
    shutil.copytree(run, other, symlinks=True)
    facts = json.loads((run / "run.json").read_text())
    chosen = {"learning_rate_schedule": "plateau", "learning_rate_schedule.patience": 3, "learning_rate_schedule.gamma": 0.1}
    facts["config"] |= {name: {"value": value, "origin": "flag"} for name, value in chosen.items()}
    (run / "run.json").write_text(json.dumps(facts))
    done = command("evaluate", "run", "--episodes", "2", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert command("resume", "run", "--steps", "600", cwd=tmp_path).code == 0
    assert command("resume", "other", "--steps", "600", cwd=tmp_path).code == 0
    assert outcome(run)["sha256"] == outcome(other)["sha256"]


def test_the_past_reason_is_forgotten_when_a_run_ends_well(tmp_path: Path) -> None:
    died = command(*flags("dqn", **STEPS), "--out", "run", cwd=tmp_path, die=Die("step", 200, (signal.SIGINT,)))
    assert died.code == 130
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["status"] == "interrupted" and "interrupted at step" in facts["reason"]
    assert command("resume", "run", cwd=tmp_path).code == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["status"] == "finished" and not facts.get("reason")


def test_times_go_on_where_they_were(tmp_path: Path) -> None:
    resumed_after(Die("step", 300), tmp_path, **STEPS)
    times = [row["time"] for row in rows(tmp_path / "run")]
    assert times == sorted(times) and times[0] >= 0
