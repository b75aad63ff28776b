"""Action masks in every form that gymnasium has for them, the refusals of others, and what is said where nobody heeds them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import toolkit
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.envs import factory
from toolkit.envs.base import EnvSpec
from toolkit.envs.masks import heeded, row_of
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.collector import Collector

FOUR, TWO = spaces.Discrete(4), spaces.MultiDiscrete([2, 3])


class Choosy(gymnasium.Env[Any, Any]):
    """Episodes of five steps; ``mask`` is what its infos say, and an action of which that says nothing good is an error."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, kind: str = "row", two: bool = False) -> None:
        self.kind, self.action_space = kind, TWO if two else FOUR

    def info(self) -> dict[str, Any]:
        return {"row": {"action_mask": np.array([1, 0, 1, 0], np.int8)}, "truths": {"action_mask": [True, False, True, False]},
                "rows": {"action_mask": (np.array([1, 0], np.int8), np.array([0, 1, 1], np.int8))},
                "at times": {} if self.steps % 2 else {"action_mask": np.array([1, 0, 1, 0], np.int8)},
                "short": {"action_mask": np.ones(2)}, "nothing": {"action_mask": np.zeros(4, np.int8)}}[self.kind]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), self.info()

    def step(self, action: Any) -> Any:
        if self.kind == "rows":
            allowed = action[0] == 0 and action[1] > 0
        else:
            allowed = action in (0, 2) or self.kind in ("short", "nothing") or (self.kind == "at times" and self.steps % 2)
        if not allowed:
            raise ValueError(f"action {action} is not allowed")
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, self.steps >= 5, False, self.info()


gymnasium.register("toolkit-tests/Choosy-v0", Choosy)


def trained(tmp_path: Any, kind: str, **options: Any) -> Any:
    options |= {"env.kind": kind, "env.two": kind == "rows"}
    return toolkit.train("ppo", env="toolkit-tests/Choosy-v0", preset="none", steps=60, n_envs=2, n_steps=20, batch_size=20,
                         final_episodes=2, out=str(tmp_path / "run"), **options)


@pytest.mark.parametrize("given", [[1, 0, 1, 0], (True, False, True, False), np.array([1, 0, 1, 0], np.int8),
                                   np.array([1.0, 0, 1, 0])])
def test_a_mask_of_one_choice(given: Any) -> None:
    assert row_of(given, FOUR, "an").tolist() == [True, False, True, False]


@pytest.mark.parametrize("given", [([1, 0], [0, 1, 1]), (np.array([1, 0]), np.array([0, 1, 1])), [1, 0, 0, 1, 1],
                                   np.array([1, 0, 0, 1, 1], bool)])
def test_a_mask_of_several_choices(given: Any) -> None:
    assert row_of(given, TWO, "an").tolist() == [True, False, False, True, True]


@pytest.mark.parametrize("space,given", [
    (FOUR, [1, 0]), (FOUR, np.ones((2, 2))), (FOUR, [0.0, -np.inf, 0.0, 0.0]), (FOUR, [2, 0, 1, 0]), (FOUR, [np.nan] * 4),
    (FOUR, "1010"), (FOUR, [[1, 0], [1]]), (FOUR, {"a": 1}), (TWO, np.ones((2, 3))), (TWO, ([1, 0, 1], [1, 0])), (TWO, [1, 0])])
def test_what_is_no_mask_is_refused_with_what_is_one(space: Any, given: Any) -> None:
    with pytest.raises(UsageError, match=rf"^an action_mask is .*Allowed for {re.escape(str(space))}: {5 if space is TWO else 4} "
                                         "truths or numbers 0 and 1, one for each action"):
        row_of(given, space, "an")


def test_a_mask_that_leaves_no_choice_is_told_of() -> None:
    masks = np.array([[1, 0, 0, 0, 1], [1, 1, 0, 0, 0]], bool)
    with pytest.raises(UsageError, match=r"copy 1 of the environment allows no action.*\[1 1 0 0 0\].*end the episode there"):
        heeded(masks, TWO)
    assert heeded(masks[:1], TWO) is not None and heeded(np.eye(4, dtype=bool), FOUR).shape == (4, 4)


@pytest.mark.parametrize("kind", ["row", "truths", "at times", "rows"])
@pytest.mark.parametrize("vectorization", ["in-process", "sync"])
def test_every_form_is_heeded(kind: str, vectorization: str, tmp_path: Any) -> None:
    run = trained(tmp_path, kind=kind, action_masking=True, vectorization=vectorization)
    assert run.evaluation["returns"] == [5.0, 5.0]


@pytest.mark.parametrize("kind,said", [("short", r"'toolkit-tests/Choosy-v0' \(copy 0, .*its action_mask is \[1. 1.\]"),
                                       ("nothing", "copy 0 of the environment allows no action")])
def test_masks_that_cannot_be_heeded(kind: str, said: str, tmp_path: Any) -> None:
    with pytest.raises(UsageError, match=said):
        trained(tmp_path, kind=kind, action_masking=True)


def test_who_does_not_heed_masks_is_told_once(tmp_path: Any) -> None:
    with pytest.warns(UserWarning, match="says in info.*--action-masking: actor-critic, ppo, reinforce") as said:
        trained(tmp_path, kind="nothing")
    assert len([item for item in said if "action-masking" in str(item.message)]) == 1


def test_predict_takes_a_mask_as_the_environment_gives_it(tmp_path: Any) -> None:
    run = trained(tmp_path, kind="rows", action_masking=True)
    mask = (np.array([0, 1], np.int8), np.array([0, 0, 1], np.int8))
    assert run.predict(np.zeros(2, np.float32), action_mask=mask)[0].tolist() == [1, 2]
    actions, _ = run.predict(np.zeros((2, 2), np.float32), action_mask=[mask, [1, 0, 1, 0, 0]])
    assert actions.tolist() == [[1, 2], [0, 0]]
    with pytest.raises(UsageError, match="1 action masks for 2 observations"):
        run.predict(np.zeros((2, 2), np.float32), action_mask=[mask])
    with pytest.raises(UsageError, match="predict: an action_mask is"):
        run.predict(np.zeros(2, np.float32), action_mask=[1, 0])


@pytest.mark.parametrize("way", ["in-process", "workers", "sync"])
def test_an_agent_learns_from_the_masks_that_it_acted_by(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    envs = factory.make(EnvSpec("faulty:faulty/Changing-v0"), [1, 2], way, workers=1 if way == "workers" else 0)
    clock = Clock(100)
    agent = registry.make("agent", "ppo", observation_space=envs.observation_space, action_space=envs.action_space, n_envs=2,
                          streams=Streams(0), clock=clock, device=torch.device("cpu"), n_steps=10, action_masking=True)
    steps, _ = Collector(envs, agent, clock).collect(10)
    envs.close()
    allowed = steps.observations[:-1] == 0
    assert (steps.extras["masks"] == allowed)[steps.valid].all()
    assert np.take_along_axis(steps.extras["masks"], steps.actions[..., None], -1)[steps.valid].all()
