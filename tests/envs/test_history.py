"""Actions kept for environments that come back by playing their episode again."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.envs import history
from toolkit.envs.history import ActionHistory
from toolkit.envs.in_process import InProcess


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


@pytest.mark.parametrize(("kind", "keeps"), [(Endless, True), (Told, False)])
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
