"""Bridged algorithms learn exactly as the library alone does, and leave runs like any other."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces

from toolkit.agents.base import Steps
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.registry import registry

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
