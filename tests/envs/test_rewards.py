"""What counts as one reward, however the copies are stepped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.envs import factory
from toolkit.envs.base import EnvSpec, VectorEnv, measures_of
from toolkit.errors import ToolkitError
from toolkit.testing.environments import EnvSuite

ALLOWED = {"an array of one": 2.5, "a scalar array": 2.5, "nested": 2.5, "a bool": 1.0, "an int": 3.0}
REFUSED = {"two": r"of shape \(2,\)", "none": r"of shape \(0,\)", "no number": "None", "a text": "'1.5'", "complex": "1.j"}


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """``faulty:faulty/Paying-v0`` can be imported here and in workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def paying(how: str, way: str = "in-process") -> VectorEnv:
    envs = factory.make(EnvSpec("faulty:faulty/Paying-v0", {"how": how}), [1, 2], way, workers=1 if way == "workers" else 0)
    envs.reset()
    return envs


@pytest.mark.parametrize("how", ALLOWED)
def test_what_holds_exactly_one_number_is_a_reward(how: str) -> None:
    for way in ("in-process", "sync"):
        rewards = paying(how, way).step(np.zeros(2, int)).rewards
        assert rewards.dtype == np.float64 and rewards.tolist() == [ALLOWED[how]] * 2, way


@pytest.mark.parametrize("how", REFUSED)
def test_anything_else_is_refused_by_the_environments_name(how: str) -> None:
    for way in ("in-process", "sync"):
        envs = paying(how, way)
        with pytest.raises(ToolkitError, match=rf"environment 'faulty:faulty/Paying-v0' gave a reward .*{REFUSED[how]}.*; "
                                               "allowed: one number, or an array that holds exactly one. Mend what its step"):
            envs.step(np.zeros(2, int))


@pytest.mark.filterwarnings("ignore:.*ERROR")
@pytest.mark.parametrize("way", ["async", "workers"])
def test_other_processes_do_the_same(way: str) -> None:
    envs = paying("an array of one", way)
    assert envs.step(np.zeros(2, int)).rewards.tolist() == [2.5, 2.5]
    envs.close()
    envs = paying("two", way)
    with pytest.raises(ToolkitError, match=r"'faulty:faulty/Paying-v0' gave a reward of shape \(2,\)") as caught:
        envs.step(np.zeros(2, int))
    assert "Traceback" not in str(caught.value)
    envs.close()


def test_the_suite_of_environments_takes_them_too() -> None:
    suite: Any = EnvSuite()
    suite.name, suite.options = "faulty:faulty/Paying-v0", {"how": "an array of one"}
    suite.test_the_same_seed_gives_the_same_episodes()
    suite.test_rewards_and_observations_are_what_the_spaces_say()


@pytest.mark.parametrize(("info", "found"), [
    ({"measured_error": 0.5, "measured_word": "x", "measures": {"success": True, "n": 2}, 0: 1.0},
     {"error": 0.5, "success": True, "n": 2}),
    ({"measures": np.ones(3)}, {}), ({"measures": {"colour": "red", "path": [1, 2]}}, {}), (None, {})])
def test_only_numbers_by_name_are_what_an_environment_measures(info: Any, found: dict[str, Any]) -> None:
    assert measures_of(info) == found
