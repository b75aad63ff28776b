"""TorchRL's side of the bridges."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from conftest import Toolkit
from gymnasium import spaces
from torchrl.envs import GymEnv
from torchrl.envs.utils import check_env_specs

import toolkit.envs.ids  # noqa: F401  (gymnasium knows the environments from then on)
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.envs.base import MEASURED
from toolkit.envs.constructors import defaults_of
from toolkit.errors import UsageError
from toolkit.registry import registry


def test_a_buffer_that_sums_rewards_is_refused() -> None:
    with pytest.raises(UsageError, match="learns from single steps"):
        registry.make("agent", "torchrl-dqn", observation_space=spaces.Box(0, 1, (2,), np.float32), n_envs=1,
                      action_space=spaces.Discrete(2), streams=Streams(0), clock=Clock(9), device=torch.device("cpu"),
                      buffer="n-step")


OURS = sorted(name for name in gymnasium.registry if name.startswith("toolkit/"))


def options_for(env_id: str) -> dict[str, str]:
    """Words that need no data, where an environment says words."""
    return {"words": "tones"} if "words" in defaults_of(gymnasium.registry[env_id]) else {}


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("env_id", OURS)
def test_gymnasium_steps_several_copies_of_every_environment(env_id: str, mode: str) -> None:
    envs = gymnasium.make_vec(f"toolkit.envs.ids:{env_id}", num_envs=2, vectorization_mode=mode, **options_for(env_id))
    observations, _ = envs.reset(seed=3)
    again, _ = envs.reset(seed=3)
    assert envs.observation_space.contains(observations)
    for name, values in observations.items():
        np.testing.assert_array_equal(values, again[name])
        assert (values[0] != values[1]).any() or not values.any(), "the copies are one"
    envs.action_space.seed(0)
    for _ in range(3):
        infos = envs.step(envs.action_space.sample())[-1]
    measured = [name for name in infos if name.startswith(MEASURED)]
    assert measured
    assert all(infos[name].shape == (2,) for name in measured)
    envs.close()


@pytest.mark.parametrize("env_id", OURS)
def test_torchrl_steps_several_copies_of_every_environment(env_id: str) -> None:
    env = GymEnv(f"toolkit.envs.ids:{env_id}", num_envs=2, **options_for(env_id))
    limit = gymnasium.registry[env_id].max_episode_steps
    rollout = env.rollout(limit + 2, break_when_any_done=False)
    assert rollout.shape == (2, limit + 2)
    assert rollout["next", "done"].any()
    assert rollout["next", "reward"].isfinite().all()
    measured = [name for name in list(rollout["next"].keys()) if name.startswith(MEASURED)]
    assert measured
    assert all(rollout["next", name].isfinite().all() for name in measured)
    check_env_specs(env)
    env.close()


# Each word names an environment of the toolkit's, as a program that imports nothing of the toolkit spells it.
HEARD = {"HearAndGo": {"words": "tones"}, "SoundSeeker": {}, "KeywordGuard": {"words": "tones"}, "PitchMatch": {}}
FROM_TORCHRL = """
import json, sys
import gymnasium
from torchrl.envs import GymEnv
from torchrl.envs.utils import check_env_specs

# What this process is forked from knows the toolkit.
for known in sys.modules, gymnasium.registry:
    for name in [name for name in known if name.replace("/", ".").partition(".")[0] == "toolkit"]:
        del known[name]
for env_id, options in json.loads(sys.argv[1]):
    env = GymEnv(env_id, **options)
    drawn = []
    for _ in range(2):
        env.set_seed(3)
        drawn.append(env.reset())
    assert bool((drawn[0] == drawn[1]).all()), "the same seed gives another beginning"
    rollout = env.rollout(50, break_when_any_done=False)
    assert rollout.shape == (50,), rollout.shape
    assert rollout["next", "reward"].isfinite().all()
    check_env_specs(env)
    env.close()
"""


def test_torchrl_knows_every_environment_of_the_toolkit(tmp_path: Path) -> None:
    from toolkit.envs.hearing import ENVIRONMENTS

    assert HEARD.keys() == ENVIRONMENTS.keys(), "an environment without a trial"
    # A plugin's comes in by the same door, and gymnasium's own need none.
    (tmp_path / "walks_plugin.py").write_text(
        "def declare(registry):\n"
        "    registry.add('env', 'walks', 'gymnasium.envs.classic_control:PendulumEnv', summary='A swing.')\n")
    facts = tmp_path / "walks-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: walks\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[toolkit.plugins]\nwalks = walks_plugin:declare\n")
    ids = [[f"toolkit.envs.ids:toolkit/{name}-v0", options] for name, options in HEARD.items()]
    ids += [["toolkit.envs.ids:walks/walks", {}], ["CartPole-v1", {}]]
    (tmp_path / "program.py").write_text(FROM_TORCHRL)
    done = Toolkit(tmp_path, tmp_path, "walks")(json.dumps(ids), module="program")
    assert done.returncode == 0, done.stderr[-3000:]
