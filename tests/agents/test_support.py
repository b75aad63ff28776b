"""c51 and rainbow say where their distributions do not hold what is returned."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from toolkit.agents.base import Batches, Steps
from toolkit.errors import UsageError
from toolkit.registry import registry


def made(name: str, **options: Any) -> Any:
    return registry.make("agent", name, observation_space=spaces.Box(-1, 1, (2,), np.float32), action_space=spaces.Discrete(2),
                         n_envs=2, gamma=0.5, **options)


def rewarded(rewards: list[list[float]], ends: list[list[int]], valid: list[list[int]] | None = None,
             cut: bool = False) -> Steps:
    """Steps [T, 2] with these rewards, where episodes end at the marked ones: terminated, or ``cut``."""
    shape, none = np.shape(rewards), np.zeros(0, np.int64)
    over, never = np.array(ends, bool), np.zeros(shape, bool)
    return Steps(np.zeros((shape[0] + 1, 2, 2), np.float32), np.zeros(shape, np.int64), np.array(rewards, float),
                 never if cut else over, over if cut else never, ~never if valid is None else np.array(valid, bool),
                 none, none, np.zeros((0, 2), np.float32))


@pytest.mark.parametrize("name", ["c51", "rainbow"])
def test_an_episode_beyond_the_support_is_warned_of_once(name: str) -> None:
    agent = made(name, v_min=0.0, v_max=100.0)
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


def batch() -> Batches:
    shape = (1, 4)
    return Batches(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.int64), np.zeros(shape, np.float32),
                   np.zeros((*shape, 2), np.float32), np.zeros(shape, bool))


COST = rewarded([[-1, -4], [-1, -4]], [[0, 0], [1, 1]])  # returns of -1.5 and -6, and -2.5 a step: -5 for ever
GAIN = rewarded([[1, 0], [1, 2]], [[0, 0], [1, 1]])  # returns of 1.5 and 1, a reward of 2, and 1 a step: 2 for ever


@pytest.mark.parametrize("steps,options,low,high", [
    (COST, {}, -6, 0), (rewarded([[-1, -3], [-1, -3]], [[1, 0], [1, 1]]), {}, -4.5, 0),
    (rewarded([[-3, -4], [-3, -4]], [[0, 0], [0, 0]]), {}, -7, 0),
    (rewarded([[-9, 0], [0, 0]], [[1, 0], [0, 0]], cut=True), {}, -9, 0),
    (rewarded([[-3, -4], [-3, -4]], [[1, 1], [1, 1]], cut=True), {}, -7, 0), (GAIN, {}, 0, 2),
    (rewarded([[4, 4], [4, 4]], [[1, 1], [1, 1]]), {}, 0, 8), (rewarded([[0, 0]], [[1, 1]]), {}, -1, 1),
    (COST, {"v_max": 3.0}, -6, 3), (GAIN, {"v_min": -2.0}, -2, 2)])
def test_ends_that_are_not_given_are_set_before_the_first_update(steps: Steps, options: Any, low: float, high: float) -> None:
    agent = made("c51", **options, batch_size=4)
    agent.observe(steps)
    saved = agent.state_dict()
    agent.update(batch())
    np.testing.assert_allclose(agent.support, np.linspace(low, high, 51), rtol=1e-6)
    agent.observe(rewarded([[1, 0], [50, 0]], [[0, 0], [0, 0]]))
    agent.update(batch())
    np.testing.assert_allclose(agent.support, np.linspace(low, high, 51), rtol=1e-6, err_msg="it stays")
    other, third = made("c51", **options, batch_size=4), made("c51", batch_size=4)
    other.load_state_dict(saved)
    other.update(batch())
    np.testing.assert_array_equal(other.support, agent.support, err_msg="what was returned is saved")
    third.initialise(agent.state_dict())
    np.testing.assert_array_equal(third.support, agent.support, err_msg="networks speak of the support that they learned on")


def test_an_end_on_the_wrong_side_is_told_of() -> None:
    agent = made("c51", v_min=0.0, batch_size=4)
    agent.observe(COST)
    with pytest.raises(UsageError, match="c51: v_min 0 must be below v_max 0"):
        agent.update(batch())


def test_other_ends_than_those_that_networks_speak_of_are_refused() -> None:
    source = made("c51", v_min=0.0, v_max=100.0)
    made("c51", v_min=0.0, v_max=100.0).initialise(source.state_dict())
    made("c51", v_max=100.0).initialise(source.state_dict())
    with pytest.raises(UsageError, match="--init-from: its distributions hold returns with a v_min of 0, and here it is -5"):
        made("c51", v_min=-5.0, v_max=100.0).initialise(source.state_dict())
