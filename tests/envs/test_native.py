"""The environments stepped as arrays equal gymnasium's, step for step."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.envs.native import NATIVE
from toolkit.envs.native.base import ArrayEnv
from toolkit.errors import ToolkitError, UsageError

IDS = ["Acrobot-v1", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]
SEEDS = [3, 4, 5, 6, 7, 8]


def opened(env_id: str, seeds: list[int] = SEEDS, **options: Any) -> Any:
    return factory.make(EnvSpec(env_id, **options), seeds, "native")


def actions(space: gymnasium.Space[Any], rng: np.random.Generator, state: Any, count: int) -> Any:
    """Random actions that get somewhere: half of them push the way the copy moves; beyond the bounds now and then."""
    speed = state[-1] if len(state) == 4 else state[1]
    along = rng.random(count) < 0.7
    if space == gymnasium.spaces.Discrete(2):  # towards where the pole falls: it stays up for a while
        return np.where(along, speed + 3 * state[2] > 0, rng.integers(0, 2, count)).astype(np.int64)
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.where(along, 1 + np.sign(speed), rng.integers(0, 3, count)).astype(np.int64)
    push = np.where(along, np.sign(speed), rng.uniform(-1.5, 1.5, count)) * space.high[0]  # type: ignore[attr-defined]
    return push.astype(np.float32)[:, None]


@pytest.mark.parametrize("env_id", IDS)
def test_thousands_of_steps_are_equal(env_id: str) -> None:
    ours = opened(env_id)
    theirs = [gymnasium.make(env_id) for _ in SEEDS]
    assert isinstance(ours, ArrayEnv)
    assert ours.observation_space == theirs[0].observation_space and ours.action_space == theirs[0].action_space
    starts = np.stack([env.reset(seed=seed)[0] for env, seed in zip(theirs, SEEDS, strict=True)])
    np.testing.assert_array_equal(ours.reset(), starts)
    rng, episodes = np.random.default_rng(0), {"terminated": 0, "truncated": 0}
    for _ in range(2500):
        chosen = actions(ours.action_space, rng, ours.state, len(SEEDS))
        stepped = ours.step(chosen)
        observations, rewards = np.empty_like(stepped.observations), np.empty(len(SEEDS))
        for copy, env in enumerate(theirs):
            observations[copy], rewards[copy], terminated, truncated, _ = env.step(chosen[copy])
            assert (terminated, truncated and not terminated) == (stepped.terminated[copy], stepped.truncated[copy])
            if terminated or truncated:
                episodes["terminated" if terminated else "truncated"] += 1
                index = stepped.final.indices.tolist().index(copy)
                np.testing.assert_array_equal(stepped.final.observations[index], observations[copy])
                observations[copy] = env.reset()[0]
        np.testing.assert_allclose(stepped.rewards, rewards, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(stepped.observations, observations)
    assert sum(episodes.values()) > 20 and (env_id == "Pendulum-v1" or episodes["terminated"] > 5)


@pytest.mark.parametrize("env_id", IDS)
def test_a_state_is_continued_to_the_bit(env_id: str) -> None:
    first, second = opened(env_id), opened(env_id)
    first.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        stepped = first.step(actions(first.action_space, rng, first.state, len(SEEDS)))
    np.testing.assert_array_equal(second.set_state(first.get_state()), stepped.observations)
    for _ in range(600):
        chosen = actions(first.action_space, rng, first.state, len(SEEDS))
        one, other = first.step(chosen), second.step(chosen)
        np.testing.assert_array_equal(one.observations, other.observations)
        np.testing.assert_array_equal(one.truncated, other.truncated)


@pytest.mark.parametrize("env_id", [*IDS, "CartPole-v0"])
def test_gymnasium_still_registers_what_they_stand_for(env_id: str) -> None:
    assert str(gymnasium.spec(env_id).entry_point) in NATIVE
    assert isinstance(opened(env_id, SEEDS), ArrayEnv)


def test_a_state_of_another_vectorization_is_refused() -> None:
    with pytest.raises(ToolkitError, match="saved by another vectorization or an older version.*--init-from RUN"):
        opened("CartPole-v1").set_state({"attributes": {}, "generator": {}})


def test_rewards_of_sutton_and_barto_count_failures_alone() -> None:
    env = opened("CartPole-v1", options={"sutton_barto_reward": True})
    env.reset()
    pushed = [env.step(np.ones(len(SEEDS), np.int64)) for _ in range(12)]
    assert sum(stepped.terminated.sum() for stepped in pushed) >= len(SEEDS)
    for stepped in pushed:
        np.testing.assert_array_equal(stepped.rewards, np.where(stepped.terminated, -1.0, 0.0))


def test_options_and_a_time_limit_are_honoured() -> None:
    envs = opened("Pendulum-v1", options={"g": 0.0}, max_episode_steps=7)
    envs.reset()
    for step in range(7):
        stepped = envs.step(np.zeros((len(SEEDS), 1), np.float32))
        assert stepped.truncated.all() == (step == 6)
    with pytest.raises(UsageError, match=r"Pendulum-v1.*has no option --env.gravity"):
        opened("Pendulum-v1", options={"gravity": 1.0})
    with pytest.raises(UsageError, match="--env.g abc: allowed are numbers; its default is 10.0"):
        opened("Pendulum-v1", options={"g": "abc"})


def test_an_environment_without_one_says_so() -> None:
    with pytest.raises(UsageError, match="not vectorised by hand"):
        opened("Taxi-v4")
