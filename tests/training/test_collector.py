"""The collector: what it writes down, worked by hand, and exactly its budget."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from toolkit.agents.base import Acted
from toolkit.agents.checks import NonFinite
from toolkit.core.clock import Clock
from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.envs.in_process import InProcess
from toolkit.envs.workers import WorkersFailed
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.collector import Collector, Episode


class Count(gymnasium.Env[Any, Any]):
    """Observes how often it was stepped in all; rewards 1, 2, 3, ... within an episode, which has ``length`` steps."""

    observation_space = gymnasium.spaces.Box(-1e6, 1e6, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(1000)

    def __init__(self, length: int, truncates: bool = False) -> None:
        self.length, self.truncates = length, truncates
        self.all = self.within = 0
        self.seeds: list[int | None] = []
        self.actions: list[int] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.within = 0
        return np.array([100.0 + self.all], np.float32), {}

    def step(self, action: Any) -> Any:
        self.actions.append(int(action))
        self.all, self.within = self.all + 1, self.within + 1
        over = self.within == self.length
        return np.array([self.all], np.float32), float(self.within), over and not self.truncates, over and self.truncates, {}


class Numbered:
    """Acts 0, 1, 2, ... in every copy; remembers the steps of the clock and the states that it was given."""

    def __init__(self, clock: Clock, memory: bool = False) -> None:
        self.clock, self.memory, self.calls = clock, memory, 0
        self.steps: list[int] = []
        self.states: list[Any] = []

    def act(self, observations: Any, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        self.steps.append(self.clock.step)
        self.states.append(None if state is None else state[:, 0].tolist())
        self.calls += 1
        count = len(observations)
        new = (np.zeros((count, 1)) if state is None else state) + 1 if self.memory else None
        return Acted(np.full(count, self.calls - 1), {"twice": 2 * observations}, new)


def made(lengths: list[int], budget: int, memory: bool = False, **options: Any) -> tuple[Collector, list[Count], Numbered, Clock]:
    envs = [Count(length, **options) for length in lengths]
    clock = Clock(budget)
    agent, queue = Numbered(clock, memory), list(envs)
    vector = InProcess(lambda: queue.pop(0), [7 + index for index in range(len(envs))])
    return Collector(vector, agent, clock), envs, agent, clock  # type: ignore[arg-type]


@pytest.mark.parametrize("actions,said", [
    (np.zeros((2, 1), np.int64), r"of shape \(2, 1\), promised: \(2,\), one of Discrete"),
    (np.zeros(1, np.int64), r"of shape \(1,\)"), (np.array([0, 9999]), "the action 9999, which is not in Discrete")])
def test_actions_that_are_none_are_the_agents_fault(actions: Any, said: str) -> None:
    collector, _, agent, _ = made([3, 2], 100)
    agent.act = lambda *_, **__: Acted(actions)  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=f"the agent gave .*{said}.*toolkit check agent NAME"):
        collector.collect(1)


def test_rows_are_written_down_as_they_happened() -> None:
    collector, _, _, clock = made([3, 2], 100)
    steps, episodes = collector.collect(4)
    # Copy 0 ends after step 3, copy 1 after steps 2 and 4.
    assert steps.observations[..., 0].tolist() == [[100, 100], [1, 1], [2, 102], [103, 3], [4, 104]]
    assert steps.actions.tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert steps.rewards.tolist() == [[1, 1], [2, 2], [3, 1], [1, 2]]
    assert steps.terminated.tolist() == [[False, False], [False, True], [True, False], [False, True]]
    assert not steps.truncated.any() and steps.valid.all() and steps.count == 8 == clock.step
    assert list(zip(steps.final_rows, steps.final_copies, steps.final_observations[:, 0], strict=True)) == [
        (1, 1, 2), (2, 0, 3), (3, 1, 4)]
    assert steps.extras["twice"][..., 0].tolist() == [[200, 200], [2, 2], [4, 204], [206, 6]]
    # 1 + 2 twice in copy 1, 1 + 2 + 3 in copy 0, in the order in which they ended.
    assert episodes == [Episode(3, 2), Episode(6, 3), Episode(3, 2)]


def test_returns_run_on_from_one_call_to_the_next() -> None:
    collector, _, _, _ = made([5], 100)
    found = [collector.collect(rows)[1] for rows in (2, 2, 2, 4, 5, 1)]
    # Steps 1-2, 3-4, 5-6, 7-10, 11-15, 16: episodes of 1 + 2 + 3 + 4 + 5 end at 5, 10 and 15.
    assert found == [[], [], [Episode(15, 5)], [Episode(15, 5)], [Episode(15, 5)], []]


def test_observations_run_on_too() -> None:
    collector, _, _, _ = made([3, 4], 100)
    first, _ = collector.collect(2)
    second, _ = collector.collect(3)
    assert first.observations[-1].tolist() == second.observations[0].tolist()
    assert second.observations[:, 0, 0].tolist() == [2, 103, 4, 5]
    first.observations[:] = -1
    assert second.observations[0, 0, 0] == 2, "what was handed over is not shared"


@pytest.mark.parametrize(("n_envs", "budget", "rows"), [(1, 7, 3), (3, 10, 2), (4, 10, 4), (8, 3, 5), (5, 25, 5)])
def test_exactly_the_budget_is_taken(n_envs: int, budget: int, rows: int) -> None:
    collector, _, _, clock = made([2] * n_envs, budget)
    counts = []
    while clock.remaining:
        steps, _ = collector.collect(rows)
        counts.append(steps.count)
        assert len(steps.rewards) <= rows
    assert sum(counts) == clock.step == budget
    # Whatever exceeds the budget is in the last row, and the last copies have it.
    assert steps.valid[:-1].all()
    assert steps.valid[-1].tolist() == [copy < (budget - 1) % n_envs + 1 for copy in range(n_envs)]


def test_an_episode_that_ends_beyond_the_budget_is_not_counted() -> None:
    collector, _, _, clock = made([2, 2], 3)
    _, episodes = collector.collect(5)
    assert clock.step == 3 and episodes == [Episode(3, 2)]


def test_the_clock_moves_while_acting() -> None:
    collector, _, agent, _ = made([3, 3], 100)
    collector.collect(3)
    collector.collect(1)
    assert agent.steps == [0, 2, 4, 6]


def test_each_copy_is_seeded_once_with_its_own_seed() -> None:
    collector, envs, _, _ = made([2, 3], 100)
    collector.collect(7)
    assert envs[0].seeds == [7, None, None, None]
    assert envs[1].seeds == [8, None, None]


def test_memory_is_cleared_where_an_episode_ended() -> None:
    collector, _, agent, _ = made([2, 3], 100, memory=True)
    collector.collect(3)
    collector.collect(2)
    assert agent.states == [None, [1, 1], [0, 2], [1, 0], [0, 1]]


def test_truncation_is_written_as_truncation() -> None:
    collector, _, _, _ = made([2], 100, truncates=True)
    steps, _ = collector.collect(2)
    assert steps.truncated[:, 0].tolist() == [False, True] and not steps.terminated.any()
    assert steps.final_observations[:, 0].tolist() == [2]


@pytest.mark.parametrize("rows", [1, 9, 30])
def test_a_collector_put_back_goes_on_the_same_in_mid_episode(rows: int) -> None:
    def make() -> tuple[Collector, Clock]:
        clock = Clock(10_000)
        envs = InProcess(lambda: gymnasium.make("CartPole-v1"), [3, 4])
        return Collector(envs, ByPole(), clock), clock  # type: ignore[arg-type]

    collector, clock = make()
    collector.collect(rows)
    state, at = collector.state_dict(), clock.step
    following = [collector.collect(count) for count in (20, 50)]
    twin, its_clock = make()
    its_clock.step = at
    twin.load_state_dict(state)
    for (steps, episodes), (theirs, their_episodes) in zip(following, [twin.collect(count) for count in (20, 50)], strict=True):
        np.testing.assert_array_equal(steps.observations, theirs.observations)
        np.testing.assert_array_equal(steps.terminated, theirs.terminated)
        np.testing.assert_array_equal(steps.final_observations, theirs.final_observations)
        assert episodes == their_episodes
    assert clock.step == its_clock.step


class ByPole:
    """Pushes against the fall, poorly."""

    def act(self, observations: Any, state: Any = None, mask: Any = None, deterministic: bool = False) -> Acted:
        return Acted((observations[:, 2] > 0).astype(np.int64))


def test_a_reward_that_is_no_number_is_refused_with_its_place() -> None:
    collector, envs, _, _ = made([5, 5], 100)
    collector.collect(3)
    envs[1].step = lambda action: (np.zeros(1, np.float32), float("nan"), False, False, {})  # type: ignore[method-assign]
    with pytest.raises(NonFinite, match=r"not finite \(nan\) at step 8, from copy 1 of the environment after the action 3"):
        collector.collect(2)


def test_an_episode_that_cannot_be_restored_is_forgotten() -> None:
    collector, twin, agent = made([3, 10], 100, memory=True)[0], *made([3, 10], 100, memory=True)[0:3:2]
    collector.collect(4)  # copy 0 is in its second episode, and what it shows depends on the first
    with pytest.warns(UserWarning, match="copy 0 did not come back to where it was"):
        twin.load_state_dict(collector.state_dict())
    _, episodes = twin.collect(3)
    assert episodes == [Episode(6, 3)] and agent.states[0] == [0, 4]


def test_a_vectorization_without_states_forgets_all_episodes() -> None:
    envs = factory.make(EnvSpec("CartPole-v1"), [1, 2], "sync")
    clock = Clock(100)
    collector = Collector(envs, Numbered(clock), clock)  # type: ignore[arg-type]
    collector.load_state_dict({"returns": np.ones(2), "lengths": np.ones(2, np.int64), "recurrent": None, "begun": False})
    assert collector.state_dict()["returns"].tolist() == [1, 1]
    with pytest.warns(UserWarning, match="keeps no state of unfinished episodes"):
        collector.load_state_dict({**collector.state_dict(), "begun": True, "envs": envs.get_state()})
    assert collector.state_dict()["returns"].tolist() == [0, 0] == collector.state_dict()["lengths"].tolist()
    envs.close()


@pytest.mark.parametrize("buffer", ["uniform", "prioritized"])
def test_after_an_inexact_resume_every_transition_kept_is_one_that_happened(buffer: str) -> None:
    """A cart's place after 0.02 s is known from its place and its speed, in every transition that did not cross a reset."""
    def made_again() -> tuple[Any, Collector, Any]:
        envs, clock = factory.make(EnvSpec("CartPole-v1"), [1, 2], "sync"), Clock(10_000)
        replay = registry.make("buffer", buffer, capacity=1000, n_envs=2, observation_space=envs.observation_space,
                               action_space=envs.action_space, generator=np.random.default_rng(0))
        return envs, Collector(envs, ByPole(), clock), replay  # type: ignore[arg-type]

    envs, collector, replay = made_again()
    for _ in range(7):
        replay.add(collector.collect(1)[0])
    last, states = collector.state_dict()["observations"], (collector.state_dict(), replay.state_dict())
    envs.close()
    envs, collector, replay = made_again()
    replay.load_state_dict(states[1])
    with pytest.warns(UserWarning, match="keeps no state of unfinished episodes"):
        collector.load_state_dict(states[0])
        collector.load_state_dict(collector.state_dict())  # saved again before a step was taken
    steps = [collector.collect(5)[0] for _ in range(9)]
    assert [each.broken_copies.tolist() for each in steps] == [[0, 1]] + [[]] * 8
    for each in steps:
        replay.add(each)
    envs.close()
    kept = replay.gather(np.arange(104)[None])
    happened = replay._at(replay._valid, np.arange(104))
    now, then = kept.observations[0, happened], kept.next_observations[0, happened]
    np.testing.assert_allclose(then[:, 0], now[:, 0] + 0.02 * now[:, 1], atol=1e-6)
    np.testing.assert_array_equal(kept.next_observations[0, 12:14], last)
    assert not kept.terminated[0, 12:14].any()


def test_the_steps_before_a_failure_are_given_and_all_episodes_break_off_there() -> None:
    """The third step reached the copies and came to nothing: what they see when they are restored is not what was stored."""
    collector, _, _, clock = made([9, 9], 100, memory=True)
    step = collector.envs.step

    def failing(actions: Any) -> Any:
        stepped = step(actions)
        if clock.step == 4:
            raise WorkersFailed("it failed", np.array([1]))
        return stepped

    collector.envs.step = failing  # type: ignore[method-assign]
    steps, _ = collector.collect(5)
    assert steps.rewards.tolist() == [[1, 1], [2, 2]] and steps.observations[-1, :, 0].tolist() == [2, 2]
    assert collector.failure is not None and len(collector.collect(5)[0].rewards) == 0, "and nothing more"
    twin, _, agent, _ = made([9, 9], 100, memory=True)
    twin.load_state_dict(collector.state_dict())
    steps, _ = twin.collect(2)
    assert steps.observations[0, :, 0].tolist() == [3, 3] and agent.states[0] == [0, 0]
    assert steps.broken_copies.tolist() == [0, 1]
    assert steps.broken_observations is not None and steps.broken_observations[:, 0].tolist() == [2, 2]
    assert twin.state_dict()["returns"].tolist() == [9, 9]  # 4 and 5, the third and what came before are no whole episode
