"""Evaluation: even quotas, its own seeds, and nothing of training is touched by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import RESUMABLE, STEPS, command, copy_of, finished, flags, outcome, timeless, tree

import toolkit
from toolkit.agents.base import Acted
from toolkit.agents.checks import NonFinite
from toolkit.envs.base import EnvSpec
from toolkit.envs.in_process import InProcess
from toolkit.errors import MissingExtra, UsageError
from toolkit.training import evaluation, video
from toolkit.training.evaluation import EvaluationStopped, Watch, evaluate_agent, play, with_limit
from toolkit.training.tasks import evaluation_seed


class Lasting(gymnasium.Env[Any, Any]):
    """An episode of the k-th copy lasts ``k`` steps, each worth its number of the episode."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, steps: int) -> None:
        self.steps, self.taken, self.episode = steps, 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.taken, self.episode = 0, self.episode + 1
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.taken += 1
        return np.zeros(1, np.float32), float(self.episode), self.taken == self.steps, False, {}


class Greedy:
    """Always 1, and never asked for anything but deterministic actions."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def act(self, observations: Any, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        assert deterministic
        self.states.append(None if state is None else state[:, 0].tolist())
        count = len(observations)
        return Acted(np.ones(count, np.int64), {}, (np.zeros((count, 1)) if state is None else state) + 1)


def test_each_copy_plays_its_quota_however_short_its_episodes_are() -> None:
    queue = [Lasting(1), Lasting(2), Lasting(5)]
    envs = InProcess(lambda: queue.pop(0), [0, 1, 2])
    agent = Greedy()
    returns, lengths, _ = play(agent, envs, np.array([2, 2, 1]))  # type: ignore[arg-type]
    # Copy 0: 1, then 2; copy 1: 1 + 1, then 2 + 2; copy 2: five times 1.
    assert returns == [1, 2, 2, 4, 5]
    assert lengths == [1, 1, 2, 2, 5]
    assert agent.states == [None, [0, 1, 1], [0, 0, 2], [0, 1, 3], [0, 0, 4]], "memory is cleared where an episode ended"


@pytest.mark.parametrize(("episodes", "copies"), [(1, 1), (7, 7), (20, 20), (53, 20)])
def test_quotas_are_even_and_add_up(episodes: int, copies: int) -> None:
    found = evaluate_agent(Greedy(), EnvSpec("CartPole-v1"), episodes, 5)  # type: ignore[arg-type]
    assert len(found.summary["returns"]) == len(found.details["lengths"]) == episodes == found.summary["episodes"]
    assert len(found.details["env_seeds"]) == len(set(found.details["env_seeds"])) == copies


def test_numbers_are_the_mean_and_spread_of_the_returns() -> None:
    found = evaluate_agent(Greedy(), EnvSpec("CartPole-v1"), 10, 5)  # type: ignore[arg-type]
    returns = found.summary["returns"]
    assert found.score == found.metrics["eval/mean_reward"] == pytest.approx(sum(returns) / 10)
    assert found.summary["std_return"] == pytest.approx(np.sqrt(np.mean((np.array(returns) - found.score) ** 2)))
    assert found.details["lengths"] == returns, "a step of CartPole is worth 1"


def test_the_same_seed_gives_the_same_episodes_and_another_seed_others() -> None:
    first, again, other = (evaluate_agent(Greedy(), EnvSpec("CartPole-v1"), 30, seed) for seed in (5, 5, 6))  # type: ignore[arg-type]
    assert first == again
    assert first.summary["returns"] != other.summary["returns"]


def test_its_seeds_are_not_those_of_training() -> None:
    from toolkit.core.seeding import Streams

    training = {Streams(0).seed("env", index) for index in range(100)}
    found = evaluate_agent(Greedy(), EnvSpec("CartPole-v1"), 20, evaluation_seed(0))  # type: ignore[arg-type]
    assert not training & set(found.details["env_seeds"])


def test_a_stopped_evaluation_leaves_nothing() -> None:
    asked = iter([False, False, True])
    with pytest.raises(EvaluationStopped):
        evaluate_agent(Greedy(), EnvSpec("CartPole-v1"), 5, 0, lambda: next(asked))  # type: ignore[arg-type]


@pytest.mark.parametrize("agent", RESUMABLE)
def test_training_is_the_same_with_and_without_evaluations(agent: str) -> None:
    often, never = ({**STEPS, "n_envs": 2, "evaluate_every": every} for every in (120, 0))
    with_them, without = finished(agent, **often), finished(agent, **never)
    assert outcome(with_them)["sha256"] == outcome(without)["sha256"]
    assert outcome(with_them)["evaluation"] == outcome(without)["evaluation"]
    assert [row for row in timeless(with_them) if "eval/mean_reward" not in row] == [
        row for row in timeless(without) if "eval/mean_reward" not in row]


class Blind(Lasting):
    """Sees NaN from its ``after``-th step on."""

    def __init__(self, after: int) -> None:
        super().__init__(4)
        self.after, self.all = after, 0

    def step(self, action: Any) -> Any:
        self.all += 1
        _, *rest = super().step(action)
        return np.full(1, np.nan if self.all >= self.after else 0.0, np.float32), *rest


def test_observations_that_are_none_are_no_evaluation_but_those_of_a_copy_that_is_through() -> None:
    agent: Any = Greedy()
    with pytest.raises(NonFinite, match="evaluation is not finite, from copy 1 of the environment at step 2 of an episode"):
        play(agent, InProcess(iter([Lasting(2), Blind(2)]).__next__, [0, 1]), np.array([3, 1]))
    assert play(agent, InProcess(iter([Lasting(2), Blind(5)]).__next__, [0, 1]), np.array([3, 1]))[1] == [2, 2, 2, 4]


class Priceless(Blind):
    """Its rewards are NaN, and not its observations."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return np.zeros(1, np.float32), reward + float(observation[0]), *rest


def test_rewards_that_are_none_are_no_evaluation_but_those_of_a_copy_that_is_through() -> None:
    agent: Any = Greedy()
    with pytest.raises(NonFinite, match=r"reward is not finite \(nan\) in the evaluation, from copy 1 .* step 2 of an episode"):
        play(agent, InProcess(iter([Lasting(2), Priceless(2)]).__next__, [0, 1]), np.array([3, 1]))
    assert play(agent, InProcess(iter([Lasting(2), Priceless(5)]).__next__, [0, 1]), np.array([3, 1]))[1] == [2, 2, 2, 4]


def test_pictures_of_odd_sizes_become_a_film(tmp_path: Path) -> None:
    """The codec halves height and width: the last row and column are there twice."""
    imageio = pytest.importorskip("imageio.v3")
    frames = [np.full((65, 63, 3), 40 * number, np.uint8) for number in range(4)]
    video.write(tmp_path / "a.mp4", video.Film(frames), 10)
    assert imageio.imread(tmp_path / "a.mp4").shape == (4, 66, 64, 3)


# -- of a run


def test_a_run_keeps_every_evaluation(tmp_path: Path) -> None:
    run = finished(**STEPS)
    files = {path.name: json.loads(path.read_text()) for path in (run / "evaluations").iterdir()}
    recorded = {row["step"]: row["eval/mean_reward"] for row in timeless(run) if "eval/mean_reward" in row}
    assert {content["step"]: content["mean_return"] for content in files.values()} == recorded
    assert [files[name]["episodes"] for name in sorted(files, key=lambda name: int(name[:-5]))] == [3, 3, 3, 5]
    for content in files.values():
        assert content["env"] == "CartPole-v1" and len(content["returns"]) == len(content["lengths"]) == content["episodes"]
        assert content["seed"] == json.loads((run / "run.json").read_text())["seeds"]["evaluation"]


def test_the_command_repeats_the_runs_own_evaluation_and_overwrites_none(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    before = tree(run)
    own = outcome(run)["evaluation"]
    assert command("evaluate", "run", "--episodes", "5", "--json", cwd=tmp_path).json == own
    assert command("evaluate", "run/checkpoints/final", "--episodes", "5", "--json", cwd=tmp_path).json == own
    other = command("evaluate", "run", "--episodes", "5", "--seed", "9", "--json", cwd=tmp_path).json
    assert set(other) == {"mean_return", "std_return", "episodes", "returns"} and other != own
    after = tree(run)
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == [f"evaluations/480-seed{seed}-5.json" for seed in sorted(
        (9, evaluation_seed(0)), key=str)]
    text = command("evaluate", "run", "--episodes", "5", cwd=tmp_path)
    assert text.out.strip() == (f"mean return {own['mean_return']:.1f}, standard deviation {own['std_return']:.1f}, "
                                "over 5 episodes")


def test_an_earlier_checkpoint_and_another_environment_can_be_judged(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    first = command("evaluate", "run/checkpoints/0", "--episodes", "5", "--json", cwd=tmp_path).json
    assert first["returns"] == toolkit.load(run / "checkpoints" / "0").evaluate(5).summary["returns"]
    other = command("evaluate", "run", "--env", "CartPole-v0", "--episodes", "2", "--json", cwd=tmp_path)
    assert other.code == 0 and other.json["episodes"] == 2, other.err
    wrong = command("evaluate", "run", "--env", "CartPole-v9", cwd=tmp_path)
    assert wrong.code == 2 and "CartPole-v1" in wrong.err


def test_wrong_environments_for_a_policy_are_named(tmp_path: Path) -> None:
    copy_of(finished(**STEPS), tmp_path)
    done = command("evaluate", "run", "--env", "MountainCar-v0", "--episodes", "2", cwd=tmp_path)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err and "MountainCar-v0" in done.err and "CartPole-v1" in done.err


def test_an_evaluation_that_cannot_be_kept_is_printed_with_a_warning(tmp_path: Path) -> None:
    run = copy_of(finished(**STEPS), tmp_path)
    shutil.rmtree(run / "evaluations")
    (run / "evaluations").write_text("no folder: as on a disk that may not be written")
    done = command("evaluate", "run", "--episodes", "5", "--json", cwd=tmp_path)
    assert done.json["episodes"] == 5
    assert f"toolkit: this evaluation is not kept: {run / 'evaluations'} cannot be written: Not a directory" in done.err


def test_flags_reach_the_evaluations(tmp_path: Path) -> None:
    words = flags("dqn", **{**STEPS, "steps": 120, "evaluation_episodes": 2, "final_episodes": 4, "evaluate_every": 60})
    assert command(*words, "--out", "run", cwd=tmp_path).code == 0
    counts = [json.loads(path.read_text())["episodes"] for path in sorted((tmp_path / "run" / "evaluations").iterdir())]
    assert sorted(counts) == [2, 4]


@pytest.mark.parametrize(("path", "error", "message"), [
    ("film.avi", UsageError, "--video film.avi: allowed suffixes are .gif, .mp4"), ("film.gif", MissingExtra, "pip install")])
def test_a_film_that_cannot_be_is_refused_before_the_work(
        path: str, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "installed", lambda module: False)
    with pytest.raises(error, match=message):
        video.check_format(path)


# -- episodes that do not end


@pytest.fixture
def with_endless(tmp_path: Path) -> Path:
    """A folder with the environment ``endless:Endless-v0``, whose episodes last for ever."""
    (tmp_path / "endless.py").write_text(
        "import gymnasium, numpy\n"
        "class Endless(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (1,))\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None): return numpy.zeros(1, numpy.float32), {}\n"
        "    def step(self, action): return numpy.zeros(1, numpy.float32), 1.0, False, False, {}\n"
        "gymnasium.register('Endless-v0', Endless)\n")
    return tmp_path


ENDLESS = {"env": "endless:Endless-v0", "steps": 120, "evaluate_every": 0, "final_episodes": 2}


def test_an_episode_without_an_end_is_told_of_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "LONG_SECONDS", -1.0)
    agent: Any = Greedy()
    with pytest.warns(UserWarning, match=r"in -1 s \(1 steps\).*'some' has no limit.*--max-episode-steps N") as said:
        assert play(agent, InProcess(lambda: Lasting(4), [0]), np.array([2]), watch=Watch("some"))[1] == [4, 4]
    assert len(said) == 1


@pytest.mark.parametrize(("spec", "limit"), [
    (EnvSpec("CartPole-v1"), None), (EnvSpec("CliffWalking-v1"), 10_000),
    (EnvSpec("CliffWalking-v1", max_episode_steps=9), 9)])
def test_episodes_that_nothing_ends_get_a_limit(spec: EnvSpec, limit: int | None) -> None:
    bounded, watch = with_limit(spec)
    assert bounded.max_episode_steps == limit and (watch is not None) == (limit == 10_000)


def test_a_run_whose_episodes_have_no_end_comes_to_its_own(with_endless: Path) -> None:
    done = command(*flags("ppo", **ENDLESS), "--out", "run", "--json", cwd=with_endless)
    assert done.json["evaluation"]["returns"] == [10_000, 10_000]
    assert done.err.count("'endless:Endless-v0' has no limit of steps, and episodes of the evaluation had no end: they were cut "
                          "after 10,000. Another limit: --max-episode-steps N") == 1
    assert json.loads(next((with_endless / "run" / "evaluations").iterdir()).read_text())["cut_episodes"] == 2
    judged = command("evaluate", "run", "--episodes", "2", "--max-episode-steps", "7", "--json", cwd=with_endless)
    assert judged.json["returns"] == [7.0, 7.0] and not judged.err
    kept = sorted((with_endless / "run" / "evaluations").iterdir())
    filmed = command("evaluate", "run", "--max-episode-steps", "7", "--seed", "3", "--video", "films/film.gif", cwd=with_endless)
    assert filmed.code == 2 and "'endless:Endless-v0' cannot draw itself: its constructor takes no render_mode" in filmed.err
    assert sorted((with_endless / "run" / "evaluations").iterdir()) == kept, "it is said before any episode is played"
    assert not (with_endless / "films").exists()
    again = flags("ppo", **ENDLESS, max_episode_steps=5)
    assert command(*again, "--init-from", "run", "--json", cwd=with_endless).json["evaluation"]["mean_return"] == 5
