"""State-dependent exploration of the bridged algorithms: it lasts, it resumes exactly, and it crosses over."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from toolkit.core import state as states
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.testing import AgentSuite

sb3 = pytest.importorskip("stable_baselines3")
SEEN = spaces.Box(-1, 1, (3,), np.float32)
PENDULUM = ("--env", "Pendulum-v1", "--preset", "none", "--steps", "128", "--final-episodes", "1", "--use-sde", "true")


def agent_for(name: str, actions: gymnasium.Space[Any] | None = None, **options: Any) -> Any:
    return registry.make("agent", name, observation_space=SEEN, action_space=actions or spaces.Box(-50, 50, (2,), np.float32),
                         n_envs=2, streams=Streams(3), clock=Clock(100), device=torch.device("cpu"), use_sde=True, **options)


def noises(agent: Any, count: int) -> list[np.ndarray]:
    """The noise of ``count`` steps on observations that stay the same, for two environments."""
    seen = np.array([[0.1, -0.4, 0.9]] * 2, np.float32)
    middle = agent.act(seen, deterministic=True).actions
    return [agent.act(seen).actions - middle for _ in range(count)]


@pytest.mark.parametrize(("name", "options"), [
    ("sb3-ppo", {"n_steps": 6}), ("sb3-a2c", {"n_steps": 6}), ("sb3-sac", {"train_freq": 6, "learning_starts": 0})])
def test_the_noise_lasts_as_long_as_it_is_told(name: str, options: dict[str, Any]) -> None:
    def changes(agent: Any, count: int) -> list[bool]:
        found = noises(agent, count)
        return [not np.allclose(one, other) for one, other in itertools.pairwise(found)]

    whole = agent_for(name, log_std_init=-1.0, **options)
    first = noises(whole, 1)[0]
    assert not np.allclose(first[0], first[1]), "each environment has its own noise"
    # A rollout has six steps: one matrix for each, or a new one within it after four.
    assert changes(agent_for(name, **options), 8) == [False] * 5 + [True] + [False]
    assert changes(agent_for(name, sde_sample_freq=4, **options), 8) == [False] * 3 + [True, False, True, False]
    agent = agent_for(name, sde_sample_freq=4, **options)
    noises(agent, 2)
    agent.noise.learned()  # as after a training phase
    assert changes(agent, 5) == [False] * 3 + [True]


@pytest.mark.parametrize("name", ["sb3-ppo", "sb3-sac"])
def test_noise_in_the_middle_of_its_life_is_state(name: str) -> None:
    options = {"sde_sample_freq": 4, **({"learning_starts": 0, "train_freq": 8} if name == "sb3-sac" else {})}
    one, other = agent_for(name, **options), agent_for(name, **options)
    noises(one, 2)
    tensors, skeleton = states.split(one.state_dict())
    other.load_state_dict(states.join(tensors, json.loads(json.dumps(skeleton))))
    for mine, theirs in zip(noises(one, 7), noises(other, 7), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["sb3-ppo", pytest.param("sb3-a2c", marks=pytest.mark.slow), "sb3-sac"])
def test_a_run_with_it_resumes_exactly(name: str) -> None:
    class Exploring(AgentSuite):
        """The promises of an agent that explores so."""

        options = {"use_sde": True, "sde_sample_freq": 3}

        @property
        def environments(self) -> list[str]:
            return ["Pendulum-v1"]

    suite = Exploring()
    suite.name = name
    suite.test_resumed_it_goes_on_exactly()
    suite.test_updates_move_the_parameters_and_stay_finite()


def test_actions_that_are_not_continuous_are_refused() -> None:
    with pytest.raises(UsageError, match="use_sde needs Box actions; this environment's are .*Leave out --use-sde"):
        agent_for("sb3-ppo", spaces.Discrete(2))


@pytest.mark.parametrize(("agent", "kind", "more"), [
    ("sb3-ppo", "PPO", ("--n-steps", "32")), ("ppo", "PPO", ("--n-steps", "32")),
    pytest.param("actor-critic", "A2C", (), marks=pytest.mark.slow), ("sac", "SAC", ("--learning-starts", "20")),
    pytest.param("sb3-sac", "SAC", ("--learning-starts", "20"), marks=pytest.mark.slow)])
def test_a_run_with_it_becomes_a_file_that_explores_so(toolkit: Any, tmp_path: Path, agent: str, kind: str,
                                                       more: tuple[str, ...]) -> None:
    toolkit.json("run", agent, *PENDULUM, "--sde-sample-freq", "4", *more, "--out", "run")
    toolkit.json("export-sb3", "run", "ours.zip")
    model = getattr(sb3, kind).load(tmp_path / "ours.zip")
    assert model.use_sde and model.sde_sample_freq == 4
    import toolkit as package

    mine = package.load(str(tmp_path / "run")).agent
    learned = mine.actor.log_std if agent == "sac" else mine.policy.actor.log_std if kind == "SAC" else mine.policy.log_std
    theirs = model.policy.actor.log_std if kind == "SAC" else model.policy.log_std
    torch.testing.assert_close(theirs, learned)


def test_a_saved_policy_with_it_becomes_a_run_and_other_forms_are_refused(toolkit: Any, tmp_path: Path) -> None:
    model = sb3.SAC("MlpPolicy", "Pendulum-v1", use_sde=True, sde_sample_freq=5, device="cpu", learning_starts=10,
                    buffer_size=200, policy_kwargs={"net_arch": [24, 24], "log_std_init": -2.5})
    model.learn(40)
    model.save(tmp_path / "theirs.zip")
    toolkit.json("load-sb3", "theirs.zip", "--env", "Pendulum-v1", "--trust", "--out", "run")
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    found = {name: settings[name]["value"] if isinstance(settings[name], dict) else settings[name]
             for name in ("use_sde", "sde_sample_freq", "log_std_init")}
    assert found == {"use_sde": True, "sde_sample_freq": 5, "log_std_init": -2.5}
    sb3.PPO("MlpPolicy", "Pendulum-v1", use_sde=True, n_steps=32, device="cpu",
            policy_kwargs={"squash_output": True}).save(tmp_path / "squashed.zip")
    refused = toolkit("load-sb3", "squashed.zip", "--env", "Pendulum-v1", "--trust")
    assert refused.returncode == 2 and "squash_output=True; allowed: False" in refused.stderr
