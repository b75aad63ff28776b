"""EnvPool's copies give whole transitions; without the package the error says how to get it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.envs.envpool import EnvPool
from toolkit.errors import MissingExtra, UsageError
from toolkit.training.api import train

INSTALLED = importlib.util.find_spec("envpool") is not None


@pytest.mark.skipif(INSTALLED, reason="EnvPool is installed")
def test_without_the_package_the_command_is_named() -> None:
    with pytest.raises(MissingExtra, match="pip install envpool"):
        factory.make(EnvSpec("CartPole-v1"), [1, 2], "envpool")


@pytest.mark.skipif(not INSTALLED, reason="EnvPool is not installed")
def test_rows_after_an_episodes_end_are_not_valid() -> None:
    envs = factory.make(EnvSpec("CartPole-v1"), [1, 2, 3], "envpool")
    before, ended = envs.reset().copy(), np.zeros(3, bool)
    for _ in range(100):
        stepped = envs.step(np.zeros(3, np.int64))
        valid = np.ones(3, bool) if stepped.valid is None else stepped.valid
        np.testing.assert_array_equal(valid, ~ended)
        # The position moves by 0.02 times the velocity, but for a reset.
        np.testing.assert_allclose(stepped.observations[valid, 0], (before[:, 0] + 0.02 * before[:, 1])[valid], atol=1e-5)
        before, ended = stepped.observations.copy(), stepped.terminated | stepped.truncated
    envs.close()


@pytest.mark.skipif(not INSTALLED, reason="EnvPool is not installed")
def test_what_it_does_not_have_is_named() -> None:
    with pytest.raises(UsageError, match="EnvPool stacks frames in its own way, .* Leave out --frame-stack"):
        factory.make(EnvSpec("CartPole-v1", frame_stack=2), [1], "envpool")
    with pytest.raises(UsageError, match="EnvPool prepares pictures of Atari games in its own way"):
        factory.make(EnvSpec("ALE/Pong-v5", atari="training"), [1], "envpool")
    with pytest.raises(UsageError, match="EnvPool's FrozenLake-v1 does not accept --env.is_slippery False. Its options are"):
        factory.make(EnvSpec("FrozenLake-v1", {"is_slippery": False}), [1], "envpool")
    with pytest.raises(UsageError, match="EnvPool has no environment 'CarRacing-v99'.* Leave out --vectorization envpool"):
        EnvPool(EnvSpec("CarRacing-v99"), [1])  # a name that gymnasium lacks too stops at the factory, before this


@pytest.mark.skipif(not INSTALLED, reason="EnvPool is not installed")
def test_other_observations_than_those_of_evaluations_are_refused_before_training(tmp_path: Path) -> None:
    pytest.importorskip("ale_py")
    with pytest.raises(UsageError, match="the observations of ALE/Pong-v5 are Box.* by EnvPool, and Box.* by gymnasium, which"):
        train("dqn", env="ALE/Pong-v5", preset="none", vectorization="envpool", steps=10, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
