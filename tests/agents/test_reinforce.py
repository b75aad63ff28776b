"""REINFORCE: how it cuts rollouts into episodes, and what it learns from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from toolkit.agents.base import Steps
from toolkit.agents.normalization import RewardNormalizer
from toolkit.agents.reinforce import Reinforce
from toolkit.registry import registry

SIGHT = spaces.Box(-10, 10, (1,), np.float32)


def made(**options: Any) -> Reinforce:
    agent: Reinforce = registry.make("agent", "reinforce", observation_space=SIGHT, action_space=spaces.Discrete(2), n_envs=1,
                                     **{"episodes_per_update": 100, **options})
    return agent


def rollout(begin: int, rewards: list[float], ends: dict[int, str], invalid: tuple[int, ...] = ()) -> Steps:
    """Steps of one environment that sees its step's number; ``ends`` says how the episode ended at a row."""
    rows = len(rewards)
    terminated, truncated, valid = (np.zeros((rows, 1), bool) for _ in range(3))
    valid[[row for row in range(rows) if row not in invalid]] = True
    for row, how in ends.items():
        (terminated if how == "terminated" else truncated)[row] = True
    observations = (begin + np.arange(rows + 1, dtype=np.float32)).reshape(rows + 1, 1, 1)
    final_rows = np.array(sorted(ends), np.int64)
    return Steps(observations, np.zeros((rows, 1), np.int64), np.array(rewards)[:, None], terminated, truncated, valid,
                 final_rows, np.zeros(len(ends), np.int64), np.full((len(ends), 1), 9, np.float32))


def test_an_episode_over_several_rollouts_is_one() -> None:
    agent = made()
    agent.update(rollout(0, [1, 2, 3], {1: "terminated"}))
    agent.update(rollout(3, [4, 5], {1: "truncated"}))
    assert [episode["rewards"].tolist() for episode in agent._finished] == [[1, 2], [3, 4, 5]]
    assert [episode["terminated"] for episode in agent._finished] == [True, False]
    assert [episode["last"].tolist() for episode in agent._finished] == [[9], [9]]


def test_an_episode_lost_between_two_rollouts_is_not_joined_with_the_next() -> None:
    agent = made()
    agent.update(rollout(0, [1, 2], {}))
    agent.update(rollout(2, [0, 3, 4], {2: "terminated"}, invalid=(0,)))
    assert [episode["rewards"].tolist() for episode in agent._finished] == [[1, 2], [3, 4]]
    broken = agent._finished[0]
    assert not broken["terminated"] and broken["last"].tolist() == [2]  # it bootstraps from what it saw when it was lost


def test_an_episode_broken_off_before_a_rollout_is_finished_by_what_it_had_seen_last() -> None:
    agent = made()
    agent.update(rollout(0, [1, 2], {}))
    following = rollout(50, [3, 4], {1: "terminated"})
    following.broken_copies, following.broken_observations = np.array([0]), np.array([[2]], np.float32)
    agent.update(following)
    assert [episode["rewards"].tolist() for episode in agent._finished] == [[1, 2], [3, 4]]
    assert not agent._finished[0]["terminated"] and agent._finished[0]["last"].tolist() == [2]
    following = rollout(70, [5], {0: "terminated"})
    following.broken_copies, following.broken_observations = np.array([0]), np.array([[52]], np.float32)
    agent.update(following)
    assert len(agent._finished) == 3, "it had ended already, and there is nothing to finish"


def test_rewards_are_scaled_by_returns_that_stop_where_an_episode_broke_off() -> None:
    normalizer = RewardNormalizer(1, 0.5)
    normalizer(rollout(0, [4.0], {}))
    following = rollout(9, [2.0], {})
    following.broken_copies, following.broken_observations = np.array([0]), np.array([[1]], np.float32)
    normalizer(following)
    assert normalizer.returns.tolist() == [2.0], "and not 2 + 4 / 2"
    assert normalizer.moments.mean == 3.0  # of the returns 4 and 2


def test_the_row_of_a_reset_leaves_nothing_unfinished() -> None:
    agent = made()
    agent.update(rollout(0, [1, 2], {1: "terminated"}))
    agent.update(rollout(2, [0, 3, 4], {2: "terminated"}, invalid=(0,)))
    assert [episode["rewards"].tolist() for episode in agent._finished] == [[1, 2], [3, 4]]


@pytest.mark.parametrize("normalize", [False, True])
def test_rewards_are_normalised_where_that_is_asked_for(normalize: bool) -> None:
    agent = made(normalize_rewards=normalize, gamma=0.0)
    agent.update(rollout(0, [10, 30], {1: "terminated"}))
    seen = [1, 3] if normalize else [10, 30]  # by the deviation of the rewards, which is 10
    np.testing.assert_allclose(agent._finished[0]["rewards"], seen, rtol=1e-6)


def test_it_has_no_lambda_to_set() -> None:
    assert "gae_lambda" not in {item.name for item in registry.get("agent", "reinforce").settings}
