"""The three autoreset modes of gymnasium and the in-process loop give the same valid transitions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from toolkit.agents.base import Acted
from toolkit.agents.buffers.uniform import UniformBuffer
from toolkit.agents.configs import UniformConfig
from toolkit.core.clock import Clock
from toolkit.envs import factory
from toolkit.envs.base import EnvSpec, VectorEnv
from toolkit.envs.gymnasium_vector import GymnasiumVector
from toolkit.envs.in_process import InProcess
from toolkit.training.collector import Collector, Episode

Transition = tuple[tuple[float, ...], int, float, tuple[float, ...], bool, bool]
ID = "Walk-of-autoreset-tests-v0"
WAYS = ("in-process", *AutoresetMode)


class Walk(gymnasium.Env[Any, Any]):
    """Positions begin anywhere in 0..9, drawn by the seed; the action is added. 12 or more ends it, 5 steps cut it short.

    The observation also counts resets, so that every transition of a copy is one of a kind.
    """

    observation_space = gymnasium.spaces.Box(-100, 100, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def __init__(self) -> None:
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.position, self.steps = int(self.np_random.integers(10)), 0
        self.resets += 1
        return self.observation(), {}

    def observation(self) -> Any:
        return np.array([self.resets, self.position, self.steps], np.float32)

    def step(self, action: Any) -> Any:
        self.position += int(action)
        self.steps += 1
        return self.observation(), 0.5 * self.position, self.position >= 12, self.steps >= 5, {}


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    gymnasium.register(ID, Walk)
    yield
    del gymnasium.registry[ID]


class ByObservation:
    """Acts by the observation alone, so that every way of stepping sees the same actions."""

    def act(self, observations: Any, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        return Acted((observations.sum(1).astype(np.int64) * 7 // 3) % 4)


def vector(way: Any, n_envs: int) -> VectorEnv:
    seeds = list(range(50, 50 + n_envs))
    if way == "in-process":
        return InProcess(lambda: gymnasium.make(ID), seeds)
    return GymnasiumVector(SyncVectorEnv([lambda: gymnasium.make(ID)] * n_envs, autoreset_mode=way), seeds)


def collected(envs: VectorEnv, budget: int, rows: int = 4) -> tuple[list[list[Transition]], list[Episode], Any]:
    """The valid transitions of each copy in order, the episodes, and a buffer of all."""
    clock = Clock(budget)
    collector = Collector(envs, ByObservation(), clock)  # type: ignore[arg-type]
    buffer = UniformBuffer(UniformConfig(), capacity=4 * budget, n_envs=envs.n_envs, observation_space=envs.observation_space,
                           action_space=envs.action_space, generator=np.random.default_rng(0))
    found: list[list[Transition]] = [[] for _ in range(envs.n_envs)]
    episodes: list[Episode] = []
    while clock.remaining:
        steps, ended = collector.collect(rows)
        buffer.add(steps)
        episodes += ended
        finals = {(row, copy): index for index, (row, copy) in enumerate(zip(steps.final_rows, steps.final_copies, strict=True))}
        for row, copy in zip(*np.nonzero(steps.valid), strict=True):
            place = finals.get((row, copy))
            after = steps.observations[row + 1, copy] if place is None else steps.final_observations[place]
            found[copy].append((tuple(steps.observations[row, copy].tolist()), int(steps.actions[row, copy]),
                                float(steps.rewards[row, copy]), tuple(after.tolist()), bool(steps.terminated[row, copy]),
                                bool(steps.truncated[row, copy])))
    envs.close()
    assert clock.step == budget == sum(map(len, found)) == len(buffer)
    return found, episodes, buffer


def by_hand(seed: int, count: int) -> list[Transition]:
    """The first transitions of one copy, played without any vector."""
    env, agent, found = Walk(), ByObservation(), []
    observation = env.reset(seed=seed)[0]
    while len(found) < count:
        action = int(agent.act(observation[None]).actions[0])
        after, reward, terminated, truncated, _ = env.step(action)
        found.append((tuple(observation.tolist()), action, reward, tuple(after.tolist()), terminated,
                      truncated and not terminated))
        observation = env.reset()[0] if terminated or truncated else after
    return found


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_way_gives_the_transitions_of_a_plain_loop(way: Any, n_envs: int) -> None:
    found, _, _ = collected(vector(way, n_envs), 60 * n_envs)
    for copy, transitions in enumerate(found):
        assert transitions == by_hand(50 + copy, len(transitions))
        ends = [item[4] or item[5] for item in transitions]
        assert any(item[4] for item in transitions) and any(item[5] for item in transitions), "both ends are there"
        assert not any(item[4] and item[5] for item in transitions)
        for item, end, following in zip(transitions, ends, transitions[1:], strict=False):
            assert (following[0] == item[3]) is not end, "an observation goes on except where an episode ended"


@pytest.mark.parametrize("way", WAYS[1:], ids=str)
def test_one_copy_gives_the_very_same_sequence_episodes_and_samples(way: Any) -> None:
    found, episodes, buffer = collected(vector(way, 1), 97, rows=5)
    expected, their_episodes, other = collected(vector("in-process", 1), 97, rows=5)
    assert found == expected
    assert episodes == their_episodes

    def known(one: Any) -> set[Any]:
        batch = one.gather(one._draw(3000)[None])
        return {(tuple(o.tolist()), int(a), float(r), tuple(n.tolist()), bool(t)) for o, a, r, n, t in zip(
            batch.observations[0], batch.actions[0], batch.rewards[0], batch.next_observations[0], batch.terminated[0],
            strict=True)}

    assert known(buffer) == known(other) == {item[:5] for item in found[0]}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_returns_and_lengths_are_those_of_the_episodes(way: Any) -> None:
    found, episodes, _ = collected(vector(way, 2), 150)
    expected = []
    for transitions in found:
        total, length = 0.0, 0
        for _, _, reward, _, terminated, truncated in transitions:
            total, length = total + reward, length + 1
            if terminated or truncated:
                expected.append(Episode(total, length))
                total, length = 0.0, 0
    assert sorted(episodes) == sorted(expected)


@pytest.mark.parametrize("vectorization", ["in-process", "native", "sync", "async"])
def test_the_factorys_vectors_give_whole_cartpole_transitions(vectorization: str) -> None:
    """Real environments: in each kept transition the position moves by 0.02 times the velocity."""
    envs = factory.make(EnvSpec("CartPole-v1"), [1, 2, 3], vectorization)
    clock = Clock(400)
    collector = Collector(envs, Always(), clock)  # type: ignore[arg-type]
    steps, episodes = collector.collect(200)
    envs.close()
    finals = {(row, copy): index for index, (row, copy) in enumerate(zip(steps.final_rows, steps.final_copies, strict=True))}
    for row, copy in zip(*np.nonzero(steps.valid), strict=True):
        place = finals.get((row, copy))
        after = steps.observations[row + 1, copy] if place is None else steps.final_observations[place]
        before = steps.observations[row, copy]
        assert after[0] == pytest.approx(before[0] + 0.02 * before[1], abs=1e-6)
    assert clock.step == steps.count == 400
    # Always to the right: the pole falls after 8 to 11 steps, each worth 1.
    assert len(episodes) > 20
    assert all(episode.episode_return == episode.length and 8 <= episode.length <= 11 for episode in episodes)


class Always:
    def act(self, observations: Any, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        return Acted(np.ones(len(observations), np.int64))


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_masks_are_those_of_every_copy_when_some_are_reset(mode: AutoresetMode) -> None:
    makers = [partial(gymnasium.make, "Taxi-v4", max_episode_steps=limit) for limit in (5, 6, 7)]
    queue, seeds = [maker() for maker in makers], [1, 2, 3]
    plain, vector = InProcess(lambda: queue.pop(0), seeds), GymnasiumVector(SyncVectorEnv(makers, autoreset_mode=mode), seeds)
    plain.reset()
    vector.reset()
    for _ in range(20):
        assert plain.masks is not None
        np.testing.assert_array_equal(vector.masks, plain.masks)
        actions = plain.masks.argmax(-1)
        np.testing.assert_array_equal(vector.step(actions).observations, plain.step(actions).observations)
    plain.close()
    vector.close()
