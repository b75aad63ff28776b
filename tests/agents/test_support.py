"""c51 and rainbow say where their distributions do not hold what is returned."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from toolkit.agents.base import Steps
from toolkit.registry import registry


def made(name: str, **options: Any) -> Any:
    return registry.make("agent", name, observation_space=spaces.Box(-1, 1, (2,), np.float32), action_space=spaces.Discrete(2),
                         n_envs=2, gamma=0.5, **options)


def rewarded(rewards: list[list[float]], ends: list[list[int]], valid: list[list[int]] | None = None) -> Steps:
    """Steps [T, 2] with these rewards, where episodes end at the marked ones."""
    shape, none = np.shape(rewards), np.zeros(0, np.int64)
    return Steps(np.zeros((shape[0] + 1, 2, 2), np.float32), np.zeros(shape, np.int64), np.array(rewards, float),
                 np.array(ends, bool), np.zeros(shape, bool), np.ones(shape, bool) if valid is None else np.array(valid, bool),
                 none, none, np.zeros((0, 2), np.float32))


@pytest.mark.parametrize("name", ["c51", "rainbow"])
def test_an_episode_beyond_the_support_is_warned_of_once(name: str) -> None:
    agent = made(name)
    with pytest.warns(UserWarning, match="discounted return of -6, .*--v-min 0 to --v-max 100.* such as --v-min -9") as said:
        agent.observe(rewarded([[1, -4], [1, -2]], [[0, 0], [0, 0]]))
        agent.observe(rewarded([[1, -4], [1, -8]], [[0, 1], [1, 1]]))  # -4 - 2/2 - 4/4, over two rollouts
    assert len(said) == 1


def test_returns_that_the_support_holds_are_not() -> None:
    agent = made("c51", v_min=-7.0, v_max=3.0, n_atoms=11)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.observe(rewarded([[2, -4], [2, -4], [2, -8]], [[0, 0], [0, 1], [1, 1]]))  # 3.5, -6 and -8: nearer than an atom
        agent.observe(rewarded([[9, 2], [9, 2]], [[0, 0], [0, 0]]))  # has not ended
        agent.observe(rewarded([[9, 0], [1, 0]], [[0, 0], [1, 1]], [[0, 1], [1, 1]]))  # was lost: its rest is an episode of 1
    with pytest.warns(UserWarning, match="discounted return of 9, .* such as --v-max 14"):
        agent.observe(rewarded([[9, 0]], [[1, 0]]))
