"""Actions kept for environments that come back by playing their episode again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.envs import history
from toolkit.envs.gymnasium_vector import GymnasiumVector
from toolkit.envs.history import ActionHistory
from toolkit.envs.in_process import InProcess
from toolkit.errors import UsageError


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_each_copy_has_the_actions_since_its_episode_began(data: st.DataObject) -> None:
    """A law: beside plain lists, over chunks, over ends of episodes and over saving and loading."""
    copies, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 40))
    kept, expected = ActionHistory(copies), [np.zeros((0, 2)) for _ in range(copies)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "CHUNK", 8)
        for step in range(steps):
            actions = np.arange(2.0 * copies).reshape(copies, 2) + 100 * step
            kept.append(actions)
            expected = [np.vstack([past, row]) for past, row in zip(expected, actions, strict=True)]
            for copy in data.draw(st.sets(st.integers(0, copies - 1))):
                kept.begin(copy)
                expected[copy] = np.zeros((0, 2))
            if data.draw(st.booleans()):
                loaded = ActionHistory(copies)
                loaded.load([kept.of(copy) for copy in range(copies)])
                kept = loaded
            for copy, past in enumerate(expected):
                np.testing.assert_array_equal(kept.of(copy).reshape(-1, 2), past)


def test_what_no_episode_looks_back_at_is_forgotten() -> None:
    kept = ActionHistory(2)
    for step in range(5 * history.CHUNK):
        kept.append([step, -step])
        if step % 100 == 99:
            kept.begin(0)
            kept.begin(1)
    assert len(kept._chunks) <= 1
    assert kept.of(1).tolist() == [-step for step in range(5 * history.CHUNK // 100 * 100, 5 * history.CHUNK)]


class Endless(gymnasium.Env[np.ndarray, np.ndarray]):
    """A sum of actions that never ends by itself, and says where it is."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.sum = self.np_random.normal(size=1)
        return self.sum, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.sum = self.sum + action
        return self.sum, 0.0, False, False, {}


class Told(Endless):
    def get_state(self) -> np.ndarray:
        return self.sum

    def set_state(self, state: np.ndarray) -> np.ndarray:
        self.sum = state
        return state


class Half(Endless):
    """It gives a state that it does not take back, and has to be played again."""

    def get_state(self) -> str:
        return "in good health"


@pytest.mark.parametrize(("kind", "keeps"), [(Endless, True), (Told, False), (Half, True)])
def test_a_long_episode_comes_back_with_its_time_limit(kind: type[Endless], keeps: bool) -> None:
    """By its actions, or by its own state, for which none are kept."""
    first, second = (InProcess(lambda: gymnasium.wrappers.TimeLimit(kind(), 1000), [0, 1]) for _ in range(2))
    first.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (1001, 2, 1))
    for row in actions[:700]:
        first.step(row)
    state = first.get_state()
    assert [copy.get("elapsed") for copy in state["copies"]] == ([None, None] if keeps else [700, 700])
    assert all(("actions" in copy) == keeps for copy in state["copies"])
    np.testing.assert_array_equal(second.set_state(state), first._observations)
    assert second.dropped == []
    for row in actions[700:]:
        ours, theirs = first.step(row), second.step(row)
        np.testing.assert_array_equal(ours.observations, theirs.observations)
        np.testing.assert_array_equal(ours.truncated, theirs.truncated)


class Grabbing(Endless):
    """It changes the array that it is given."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        action *= 0.5
        return super().step(action)


@pytest.mark.parametrize("vector", [InProcess, lambda make, seeds: GymnasiumVector(SyncVectorEnv([make] * len(seeds)), seeds)])
def test_an_environment_may_change_what_it_is_given(vector: Callable[..., Any]) -> None:
    envs = vector(Grabbing, [0])
    envs.reset()
    actions = np.ones((1, 1))
    envs.step(actions)
    assert actions.tolist() == [[1.0]]
    if vector is InProcess:
        other = InProcess(Grabbing, [5])
        np.testing.assert_array_equal(other.set_state(envs.get_state()), envs._observations)
        assert other.dropped == []


class Counted(Endless):
    """Rewards tell how many episodes there were, which no seed brings back."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.episodes += 1
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, _, _, _, info = super().step(action)
        return observation, float(self.episodes), False, bool(action[0] > 0.9), info


def test_rewards_that_do_not_come_back_are_told_of() -> None:
    first, second = InProcess(Counted, [0]), InProcess(Counted, [0])
    first.reset()
    for action in (1.0, 0.0):
        first.step(np.array([[action]]))
    with pytest.warns(UserWarning, match="keeps state between episodes"):
        second.set_state(first.get_state())
    assert second.dropped == [0]
    third = InProcess(Counted, [0])
    third.reset()
    third.step(np.array([[0.0]]))
    fourth = InProcess(Counted, [0])
    fourth.set_state(third.get_state())
    fifth = InProcess(Counted, [0])
    fifth.set_state(fourth.get_state())
    assert fourth.dropped == [] and fifth.dropped == []


class Masked(Told):
    """A third action is allowed after even sums alone, and then nothing is said."""

    action_space = gymnasium.spaces.Discrete(3)

    def info(self) -> dict[str, Any]:
        return {"action_mask": np.array([1, 1, 0], np.int8)} if round(self.count) % 2 else {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 1
        return self.sum, self.info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.sum = self.sum + action
        return self.sum, 0.0, False, False, self.info()


def test_masks_come_back_and_hold_for_one_step() -> None:
    """A state of the environment's own says nothing of masks, and a step without one allows everything."""
    first, second = InProcess(Masked, [0]), InProcess(Masked, [0])
    first.reset()
    assert first.masks is not None and first.masks.tolist() == [[True, True, False]]
    first.step(np.array([1]))
    assert first.masks.tolist() == [[True, True, True]]
    second.set_state(first.get_state())
    assert second.masks is not None and second.masks.tolist() == [[True, True, True]]


class Leaving(Endless):
    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        raise SystemExit(0)


def test_an_environment_that_ends_the_process_is_an_error() -> None:
    envs = InProcess(Leaving, [0])
    envs.reset()
    with pytest.raises(UsageError, match=r"'Leaving'.*step\(\) ended the whole process, sys.exit\(0\)"):
        envs.step(np.zeros((1, 1)))
