"""Agents in environments whose observations and actions are of every shape that gymnasium has."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from anything import ACTIONS, OBSERVATIONS
from gymnasium import spaces

from toolkit.agents.base import Batches, Steps
from toolkit.agents.normalization import ObservationNormalizer
from toolkit.core.seeding import Streams
from toolkit.envs import packing
from toolkit.envs.spaces import from_json, to_json
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training import resolve, setup

SMALL = {"steps": 64, "n_envs": 2, "evaluate_every": 0, "n_steps": 16, "learning_starts": 24, "batch_size": 8, "n_epochs": 2,
         "buffer_size": 200, "episodes_per_update": 2}


def trains(agent: str, **settings: Any) -> None:
    """Asserts that a short run of the agent can be evaluated; the environment asserts that actions are its own."""
    entry = registry.get("agent", agent)
    chosen = {"env": "anything:Anything-v0", **SMALL, **settings}
    known = {*resolve.all_settings(entry, chosen), "env.sees", "env.does"}
    task = setup.make_task(resolve.plan(entry, {name: value for name, value in chosen.items() if name in known}, preset="none"))
    while task.clock.remaining:
        task.advance()
    assert task.evaluate(False).score == 7
    task.close()


@pytest.mark.parametrize(("agent", "does"), [
    (agent, does) for agent in ("dqn", "ppo", "actor-critic", "reinforce", "sac", "td3", "sb3-ppo", "sb3-dqn", "sb3-td3",
                                "torchrl-ppo", "torchrl-dqn") for does, space in ACTIONS.items()
    if type(space).__name__ in registry.get("agent", agent).accepts])
def test_actions_of_every_shape_reach_the_environment_as_it_wants_them(agent: str, does: str) -> None:
    trains(agent, **{"env.does": does})


@pytest.mark.parametrize("sees", OBSERVATIONS)
@pytest.mark.parametrize(("agent", "settings"), [
    pytest.param("dqn", {"buffer": "prioritized", "n_step": 3}, marks=pytest.mark.compiles), ("ppo", {"recurrent": True}),
    ("ppo", {"network": "transformer", "frame_stack": 3}), ("sac", {"env.does": "uneven"}), ("sb3-dqn", {}),
    ("torchrl-ppo", {})], ids=str)
def test_observations_of_every_shape_are_learned_from(agent: str, settings: dict[str, Any], sees: str) -> None:
    trains(agent, **{"env.sees": sees, **settings})


@pytest.mark.parametrize(("does", "sees"), [("table", "nested"), ("bits", "table"), ("number", "number"), ("uneven", "nested")])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_gymnasiums_vectors_take_them_too(vectorization: str, does: str, sees: str) -> None:
    trains("ppo", vectorization=vectorization, **{"env.sees": sees, "env.does": does})


@pytest.mark.parametrize("does", ["table", "bits", "number"])
def test_workers_take_them_too(does: str) -> None:
    trains("ppo", workers=1, **{"env.sees": "nested", "env.does": does})


@pytest.mark.parametrize("space", [*OBSERVATIONS.values(), *ACTIONS.values(), gymnasium.spaces.Box(0, 1, (3,), np.bool_)],
                         ids=str)
def test_spaces_survive_json(space: gymnasium.Space[Any]) -> None:
    again = from_json(json.loads(json.dumps(to_json(space))))
    assert again == space
    if packing.is_packed(space):  # a run is evaluated on observations packed by the environment's own space
        there, here = packing.layout(again), packing.layout(space)
        assert [(leaf.path, leaf.offset, leaf.dtype) for leaf in there.leaves] == [
            (leaf.path, leaf.offset, leaf.dtype) for leaf in here.leaves]


def test_of_a_dict_the_numbers_are_normalised_and_nothing_else() -> None:
    space = spaces.Dict(level=spaces.Box(-100, 100, (2,), np.float32), kind=spaces.Discrete(5),
                        wide=spaces.Box(-9, 9, (), np.float64))
    elements = [{"level": np.array([10 + 2 * sign, -4], np.float32), "kind": np.int64(3), "wide": np.float64(5 * sign)}
                for sign in (-1, 1)]
    rows = np.stack([packing.pack(space, element) for element in elements])
    normalizer = ObservationNormalizer(space)
    assert np.array_equal(packing.unpack(space, normalizer(rows))["kind"], [3, 3])
    normalizer.update(rows)
    found = packing.unpack(space, normalizer(rows))
    np.testing.assert_allclose(found["level"], [[-1, 0], [1, 0]], atol=1e-6)  # mean 10 and deviation 2; one that never changes
    np.testing.assert_allclose(found["wide"], [-1, 1], atol=1e-6)
    assert found["kind"].tolist() == [3, 3]
    assert packing.unpack(space, rows)["level"].tolist() == [[8, -4], [12, -4]]  # what it was given stays


REPLAY = [entry.name for entry in registry.entries("agent", plugins=False)
          if {"normalize_observations", "buffer_size"} <= {item.name for item in entry.settings}]


@pytest.mark.parametrize("name", REPLAY)
def test_a_replay_agent_that_normalises_learns_the_same_in_any_units(name: str) -> None:
    rng, see = np.random.default_rng(0), spaces.Box(-np.inf, np.inf, (3,), np.float32)
    moves: Any = spaces.Discrete(4) if "Discrete" in registry.get("agent", name).accepts else spaces.Box(-1, 1, (2,), np.float32)
    moves.seed(0)
    seen = rng.normal(size=(5, 40, 3)).astype(np.float32)
    actions = np.stack([[moves.sample() for _ in range(40)] for _ in range(4)])
    rewards, no, nothing = rng.normal(size=(4, 40)).astype(np.float32), np.zeros((4, 40), bool), np.zeros(0, np.int64)

    def made() -> Any:
        torch.manual_seed(0)
        return registry.make("agent", name, observation_space=see, action_space=moves, n_envs=40, batch_size=40,
                             learning_starts=0, normalize_observations=True, streams=Streams(3),
                             network={"name": "mlp", "hidden_sizes": (16,)})

    def learned(scale: Any, shift: Any) -> tuple[Any, Any]:
        agent, given = made(), (seen * scale + shift).astype(np.float32)
        agent.observe(Steps(given, actions, rewards, no, no, ~no, nothing, nothing, given[:0, 0]))
        agent.update(Batches(given[:-1], actions, rewards, given[1:], no))
        return agent, agent.act(given[4], deterministic=True).actions

    one, chosen = learned(1, 0)
    other, also = learned(np.array([1000, 0.01, 5]), np.array([50, 3, -70]))
    np.testing.assert_allclose(chosen, also, atol=1e-3)
    for mine, theirs in zip(one.parameters().values(), other.parameters().values(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
    later = made()
    later.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(later.act(seen[4], deterministic=True).actions, chosen)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(0, 255, (36, 36, 3), np.uint8),
                                   spaces.Dict(a=spaces.Discrete(2))])
def test_where_there_are_no_numbers_normalising_is_refused(space: gymnasium.Space[Any]) -> None:
    with pytest.raises(UsageError, match="nothing to normalise in .* Leave out --normalize-observations"):
        ObservationNormalizer(space)


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (0,)), spaces.Tuple(()), spaces.Dict({})], ids=str)
def test_a_space_without_numbers_is_refused(space: gymnasium.Space[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBSERVATIONS, "nothing", space)
    with pytest.raises(UsageError, match="holds no numbers: there is nothing to see or to do"):
        trains("ppo", **{"env.sees": "nothing"})
