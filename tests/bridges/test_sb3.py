"""Bridged algorithms learn exactly as the library alone does, and leave runs like any other."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces

from toolkit.agents.base import Batches, Steps
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training import setup
from toolkit.training.resolve import plan

BOX = spaces.Box(-np.inf, np.inf, (4,), np.float32)


def agent_for(name: str, observations: gymnasium.Space[Any], actions: gymnasium.Space[Any], **options: Any) -> Any:
    return registry.make("agent", name, observation_space=observations, action_space=actions, n_envs=2, streams=Streams(3),
                         clock=Clock(100), device=torch.device("cpu"), **options)


def test_advantages_are_those_of_the_library() -> None:
    agent = agent_for("sb3-ppo", BOX, spaces.Discrete(2), n_steps=16, gamma=0.9, gae_lambda=0.8)
    generator = np.random.default_rng(0)
    observations = generator.standard_normal((17, 2, 4)).astype(np.float32)
    acted = [agent.act(row) for row in observations[:-1]]
    rewards, ended = generator.standard_normal((16, 2)), generator.random((16, 2)) < 0.2
    nothing = np.zeros_like(ended)
    steps = Steps(observations, np.stack([item.actions for item in acted]), rewards, ended, nothing, ~nothing,
                  np.zeros(0, np.int64), np.zeros(0, np.int64), observations[0, :0],
                  {name: np.stack([item.extras[name] for item in acted]) for name in acted[0].extras})
    rollout = agent.algorithm.rollout_buffer
    agent.fill(rollout, steps)
    theirs = stable_baselines3.common.buffers.RolloutBuffer(16, BOX, spaces.Discrete(2), "cpu", 0.8, 0.9, 2)
    for row, item in enumerate(acted):
        begins = ended[row - 1] if row else np.ones(2, bool)
        theirs.add(observations[row], item.actions, rewards[row], begins, torch.tensor(item.extras["values"]),
                   torch.tensor(item.extras["log_probs"]))
    theirs.compute_returns_and_advantage(agent.policy.predict_values(torch.tensor(observations[-1])).detach(), ended[-1])
    np.testing.assert_allclose(rollout.columns["advantages"], theirs.advantages.flatten(), atol=1e-5)
    np.testing.assert_allclose(rollout.returns, theirs.returns.flatten(), atol=1e-5)


@pytest.mark.parametrize("observations", [
    spaces.Box(0, 255, (40, 40, 3), np.uint8), spaces.Discrete(5, start=2), spaces.MultiBinary(3),
    spaces.Dict({"a": spaces.Box(0, 1, (2,), np.float32), "b": spaces.Discrete(3)}),
    spaces.Tuple([spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(3)])], ids=str)
def test_it_sees_every_kind_of_observation(observations: Any) -> None:
    from toolkit.envs import packing

    agent = agent_for("sb3-dqn", observations, spaces.Discrete(3, start=1), n_step=1)
    seen = np.stack([packing.pack(observations, observations.sample()) for _ in range(4)])
    actions = agent.act(seen, deterministic=True).actions
    assert actions.shape == (4,) and set(actions.tolist()) <= {1, 2, 3}


def test_pictures_that_are_too_small_for_its_convolutions_are_refused() -> None:
    pictures = spaces.Box(0, 255, (36, 40, 3), np.uint8)
    agent_for("sb3-dqn", pictures, spaces.Discrete(3), n_step=1)
    for small in (spaces.Box(0, 255, (35, 40, 3), np.uint8), spaces.Dict(a=spaces.Box(0, 255, (3, 35, 40), np.uint8))):
        with pytest.raises(UsageError, match="takes pictures of 36 x 36 pixels or more; these are of 35 x 40. Allowed"):
            agent_for("sb3-dqn", small, spaces.Discrete(3), n_step=1)


@pytest.mark.parametrize("name", ["sb3-ppo", "sb3-a2c", "sb3-sac", "sb3-td3", "sb3-ddpg", "torchrl-ppo"])
@pytest.mark.parametrize(("whole", "real"), [(np.int8, np.float32), (np.int64, np.float64)])
def test_of_whole_numbers_the_nearest_is_taken(name: str, whole: Any, real: Any) -> None:
    """They are the actions of the same agent in the space of real numbers with these bounds, rounded."""
    options = {} if name in ("sb3-ppo", "sb3-a2c", "torchrl-ppo") else {"learning_starts": 10}
    one, other = (agent_for(name, BOX, spaces.Box(-128, 127, (2, 1), dtype), **options) for dtype in (whole, real))
    seen = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    for step, deterministic in [(0, False), (0, True), (50, False), (51, False)]:
        one.clock.step = other.clock.step = step
        actions, exact = (agent.act(seen, deterministic=deterministic).actions for agent in (one, other))
        assert actions.dtype == whole and actions.shape == (2, 2, 1)
        np.testing.assert_array_equal(actions, np.rint(exact))
    assert (exact != actions).any()


@pytest.mark.parametrize(("name", "env", "wanted"), [
    ("sb3-ppo", "CartPole-v1", {"n_envs": 8, "n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8}),
    ("sb3-a2c", "CartPole-v1", {"n_envs": 8, "n_steps": 5, "gae_lambda": 1.0, "ent_coef": 0.0}),
    ("sb3-dqn", "CartPole-v1", {"n_envs": 1, "batch_size": 64, "learning_starts": 1000, "target_update_interval": 10,
                                "gradient_steps": 128, "exploration_fraction": 0.16, "exploration_final_eps": 0.04}),
    ("sb3-sac", "Pendulum-v1", {"n_envs": 1, "batch_size": 256, "tau": 0.005, "gamma": 0.99, "learning_starts": 100}),
    ("sb3-sac", "MountainCarContinuous-v0", {"use_sde": True, "gamma": 0.9999, "tau": 0.01, "ent_coef": 0.1}),
    ("sb3-td3", "Pendulum-v1", {"n_envs": 1, "batch_size": 256, "gamma": 0.98, "learning_starts": 10_000, "policy_delay": 2}),
    ("sb3-ppo", "Pendulum-v1", {"n_envs": 4, "n_steps": 1024, "use_sde": True, "sde_sample_freq": 4})])
def test_published_settings_reach_the_library(name: str, env: str, wanted: dict[str, Any]) -> None:
    task: Any = setup.make_task(plan(registry.get("agent", name), {"env": env}, preset="zoo"))
    algorithm = task.agent.algorithm
    task.close()
    assert {key: getattr(algorithm, key) for key in wanted} == wanted
    rates = {"sb3-ppo": 1e-3, "sb3-a2c": 7e-4, "sb3-dqn": 2.3e-3, "sb3-sac": 1e-3, "sb3-td3": 1e-3}
    rate = 3e-4 if env == "MountainCarContinuous-v0" else rates[name]
    assert algorithm.lr_schedule(1.0) == pytest.approx(rate)
    if (name, env) == ("sb3-ppo", "CartPole-v1"):  # half-way, both have fallen to half
        assert algorithm.lr_schedule(0.5) == pytest.approx(5e-4) and algorithm.clip_range(0.5) == pytest.approx(0.1)


def test_a_run_is_evaluated_and_resumed_like_any_other(toolkit: Any) -> None:
    words = ("--env", "CartPole-v1", "--n-envs", "2", "--final-episodes", "2", "--evaluation-episodes", "1")
    whole = toolkit.json("run", "sb3-a2c", *words, "--steps", "400", "--out", "run")
    assert whole["steps"] == 400 and toolkit.json("evaluate", "run", "--episodes", "2")["episodes"] == 2
    assert toolkit.json("resume", "run", "--steps", "600")["steps"] == 600


def test_a_missing_library_is_named_with_its_install_command(toolkit: Any, tmp_path: Any) -> None:
    # A finder that knows no such module stands before all others.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'stable_baselines3' else find(name, *rest)\n")
    import os

    around = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    done = toolkit("run", "sb3-ppo", "--env", "CartPole-v1", PYTHONPATH=around)
    assert done.returncode == 2 and "Install it: pip install stable-baselines3" in done.stderr


def test_weights_that_the_library_would_not_use_are_refused() -> None:
    agent = agent_for("sb3-dqn", BOX, spaces.Discrete(2), buffer={"name": "prioritized"})
    batches = Batches(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4), np.int64), np.zeros((1, 4), np.float32),
                      np.zeros((1, 4, 4), np.float32), np.zeros((1, 4), bool), weights=np.ones((1, 4), np.float32))
    with pytest.raises(UsageError, match="--buffer prioritized needs both. Use --buffer uniform"):
        agent.update(batches)


@pytest.mark.parametrize("name", ["sb3-sac", "sb3-td3", "sb3-ddpg", "torchrl-ppo"])
@pytest.mark.parametrize("space", [spaces.Box(-np.inf, np.inf, (1,), np.float32), spaces.Box(1, 1, (1,), np.float32)])
def test_actions_are_scaled_to_finite_bounds_alone(name: str, space: spaces.Box) -> None:
    chosen = plan(registry.get("agent", name), {"env": "Pendulum-v1"})
    with pytest.raises(UsageError, match=f"{name} needs actions with finite bounds that differ"):
        setup.make_agent(name, chosen.config, spaces.Box(-1, 1, (3,), np.float32), space, 1, Streams(0), Clock(100),
                         torch.device("cpu"))
