"""Policies to and from Stable-Baselines3's files, with equal actions, in real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from toolkit import train
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.exchange import export_sb3, load_sb3
from toolkit.training.resolve import plan
from toolkit.training.setup import make_agent

sb3 = pytest.importorskip("stable_baselines3")
SMALL: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 32, "batch_size": 32}, "A2C": {}, "DQN": {"buffer_size": 200, "learning_starts": 10},
    "SAC": {"buffer_size": 200, "learning_starts": 10}, "TD3": {"buffer_size": 200, "learning_starts": 10}}
ENVS = {"PPO": "CartPole-v1", "A2C": "Pendulum-v1", "DQN": "CartPole-v1", "SAC": "Pendulum-v1", "TD3": "Pendulum-v1"}
OURS = {"ppo": ("PPO", "Pendulum-v1", ("--n-steps", "32")), "actor-critic": ("A2C", "CartPole-v1", ()),
        "dqn": ("DQN", "CartPole-v1", ("--learning-starts", "20", "--average-fraction", "0.5")),
        "sac": ("SAC", "Pendulum-v1", ("--learning-starts", "20")),
        "td3": ("TD3", "Pendulum-v1", ("--learning-starts", "20", "--average-fraction", "0.5")),
        "sb3-ppo": ("PPO", "CartPole-v1", ("--n-steps", "32"))}


class WholeNumbers(gymnasium.Env[Any, Any]):
    """Wants a whole number from -3 to 3."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Box(-3, 3, (1,), np.int64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(2, np.float32), 1.0, True, False, {}


gymnasium.register("WholeNumbers-v0", WholeNumbers)


def quick(names: Any, *chosen: str) -> list[Any]:
    """The others train and load the library in as many processes again."""
    return [pytest.param(name, marks=[] if name in chosen else [pytest.mark.slow]) for name in names]


def saved(kind: str, path: Path) -> Any:
    model = getattr(sb3, kind)("MlpPolicy", ENVS[kind], seed=0, device="cpu", policy_kwargs={"net_arch": [24, 24]}, **SMALL[kind])
    model.learn(64)
    model.save(path)
    return model


@pytest.mark.parametrize("kind", quick(SMALL, "PPO", "SAC"))
def test_a_saved_policy_becomes_a_run_that_acts_the_same(toolkit: Any, tmp_path: Path, kind: str) -> None:
    model = saved(kind, tmp_path / "theirs.zip")
    refused = toolkit("load-sb3", "theirs.zip", "--env", ENVS[kind])
    assert refused.returncode == 2 and "executes whatever it holds" in refused.stderr and "--trust" in refused.stderr
    done = toolkit.json("load-sb3", "theirs.zip", "--env", ENVS[kind], "--trust", "--out", "run")
    assert done["steps"] == model.num_timesteps and done["evaluation"]["episodes"] == 100
    assert done["steps_per_second"] is None, "nothing was trained here"
    import toolkit as package

    run = package.load(str(tmp_path / "run"))
    space = gymnasium.make(ENVS[kind]).observation_space
    seen = np.stack([np.clip(space.sample(), -5, 5) for _ in range(50)])
    mine, theirs = np.asarray(run.agent.act(seen, deterministic=True).actions), model.predict(seen, deterministic=True)[0]
    assert np.allclose(mine.reshape(theirs.shape), theirs, atol=1e-4)
    assert toolkit.json("evaluate", "run", "--episodes", "2")["episodes"] == 2


@pytest.mark.parametrize("agent", quick(OURS, "ppo", "dqn", "td3"))
def test_a_run_becomes_a_file_that_the_library_loads(toolkit: Any, tmp_path: Path, agent: str) -> None:
    kind, env, more = OURS[agent]
    toolkit.json("run", agent, "--env", env, "--preset", "none", "--steps", "128", "--final-episodes", "1", *more, "--out", "run")
    assert toolkit.json("export-sb3", "run", "ours.zip")["file"] == "ours.zip"
    model = getattr(sb3, kind).load(tmp_path / "ours.zip")
    import toolkit as package

    run = package.load(str(tmp_path / "run"))
    space = gymnasium.make(env).observation_space
    seen = np.stack([np.clip(space.sample(), -5, 5) for _ in range(50)])
    mine, theirs = np.asarray(run.agent.act(seen, deterministic=True).actions), model.predict(seen, deterministic=True)[0]
    assert np.allclose(mine.reshape(theirs.shape), theirs, atol=1e-4)
    again = toolkit("export-sb3", "run", "ours.zip")
    assert again.returncode == 2 and "nothing is overwritten" in again.stderr


def test_layer_norms_cannot_be_exchanged() -> None:
    from toolkit.bridges.sb3.exchange import plain

    body = registry.make("network", "mlp", observation_space=gymnasium.spaces.Box(-1, 1, (3,), np.float32), layer_norm=True)
    with pytest.raises(UsageError, match="layer norms have no counterpart"):
        plain(body)


def test_a_policy_of_ddpg_is_told_from_one_of_td3_and_another_number_of_critics_is_refused(tmp_path: Path) -> None:
    from toolkit.bridges.sb3.exchange import kind_of_file

    options = {"learning_starts": 20, "buffer_size": 200, "seed": 0, "device": "cpu"}
    sb3.DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, **options).save(tmp_path / "ddpg.zip")
    sb3.TD3("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8], "n_critics": 3}, **options).save(tmp_path / "td3.zip")
    assert kind_of_file(str(tmp_path / "ddpg.zip")) == "ddpg" and kind_of_file(str(tmp_path / "td3.zip")) == "td3"
    load_sb3(str(tmp_path / "ddpg.zip"), "Pendulum-v1", trust=True, out=str(tmp_path / "run"))
    with pytest.raises(UsageError, match="its networks are not those of the agent sb3-td3, and it cannot become a run of it"):
        load_sb3(str(tmp_path / "td3.zip"), "Pendulum-v1", trust=True, out=str(tmp_path / "other"))


def test_what_the_library_saw_in_another_form_cannot_be_exchanged() -> None:
    from toolkit.bridges.sb3.exchange import exported

    seen, moves = gymnasium.spaces.Box(-1, 1, ()), gymnasium.spaces.Discrete(3)
    made = plan(registry.get("agent", "sb3-ppo"), {"env": "CartPole-v1"})
    agent = make_agent("sb3-ppo", made.config, seen, moves, 1, Streams(0), Clock(10), torch.device("cpu"))
    with pytest.raises(UsageError, match=r"sb3-ppo saw Box\(-1.0, 1.0, \(\), float32\) as .*; such a run cannot be exported"):
        exported(agent, "sb3-ppo", seen, moves)


def test_masks_cannot_be_exchanged() -> None:
    from toolkit.bridges.sb3.exchange import exported

    seen, moves = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(3)
    agent = registry.make("agent", "ppo", observation_space=seen, action_space=moves, n_envs=1, action_masking=True)
    with pytest.raises(UsageError, match="action masks have no counterpart in Stable-Baselines3's policies"):
        exported(agent, "ppo", seen, moves)


@pytest.mark.parametrize("use_sde", [False, True])
def test_actions_far_from_zero_are_drawn_as_here(use_sde: bool) -> None:
    from toolkit.bridges.sb3.exchange import exported

    seen, moves = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Box(np.float32([2, -1000]), np.float32([10, 1000]))
    agent = registry.make("agent", "ppo", observation_space=seen, action_space=moves, n_envs=1, use_sde=use_sde)
    agent.policy.actor.head.weight.data.mul_(100)
    policy = exported(agent, "ppo", seen, moves).policy
    observations = np.stack([seen.sample() for _ in range(20)])
    np.testing.assert_allclose(agent.act(observations, deterministic=True).actions,
                               policy.predict(observations, deterministic=True)[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(policy.log_std.detach(), np.broadcast_to(np.log([4, 1000]), policy.log_std.shape)
                               + agent.config.log_std_init, rtol=1e-5)


def test_actions_that_only_one_side_rounds_cannot_be_exchanged(tmp_path: Path) -> None:
    run = train("ppo", env="WholeNumbers-v0", preset="none", steps=32, n_steps=32, final_episodes=1, out=str(tmp_path / "run"))
    with pytest.raises(UsageError, match=r"whole numbers in a range, .*int64\): Stable-Baselines3 .* where the toolkit rounds"):
        export_sb3(run.directory, None, str(tmp_path / "x.zip"))
    assert not (tmp_path / "x.zip").exists()


def test_what_cannot_be_exchanged_says_why(toolkit: Any, tmp_path: Path) -> None:
    toolkit.json("run", "dqn", "--env", "CartPole-v1", "--preset", "none", "--steps", "40", "--final-episodes", "1",
                 "--dueling", "true", "--out", "dueling")
    wrong = toolkit("export-sb3", "dueling", "x.zip")
    assert wrong.returncode == 2 and "toolkit: dueling networks (--dueling) have no counterpart" in wrong.stderr
    (tmp_path / "no.zip").write_bytes(b"nothing")
    wrong = toolkit("load-sb3", "no.zip", "--env", "CartPole-v1", "--trust")
    assert wrong.returncode == 2 and "it is not a policy that Stable-Baselines3 has saved" in wrong.stderr
    saved("DQN", tmp_path / "dqn.zip")
    wrong = toolkit("load-sb3", "dqn", "--env", "CartPole-v1", "--trust")
    assert wrong.returncode == 2 and "toolkit: there is no file dqn. Did you mean dqn.zip?" in wrong.stderr
    wrong = toolkit("load-sb3", "dqn.zip", "--env", "Acrobot-v1", "--trust")
    assert wrong.returncode == 2 and "the policy's are" in wrong.stderr and "Traceback" not in wrong.stderr
