"""The recurrent policy: acting step by step equals the sequence, episodes forget, memory is learned with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from toolkit.agents.base import Steps
from toolkit.agents.ppo_recurrent import RecurrentPPO, Sequences
from toolkit.registry import registry

SPACE = spaces.Box(-1, 1, (3,), np.float32)


def make(**options: object) -> RecurrentPPO:
    torch.manual_seed(0)
    agent = registry.make("agent", "ppo", observation_space=SPACE, action_space=spaces.Discrete(2), n_envs=2, recurrent=True,
                          lstm_hidden_size=5, n_steps=6, network={"name": "mlp", "hidden_sizes": (4,)}, **options)
    assert isinstance(agent, RecurrentPPO)
    return agent


def rollout(agent: RecurrentPPO, rows: int = 6) -> Steps:
    """A rollout of numbers in which copy 0 is truncated at row 2."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((rows + 1, 2, 3)).astype(np.float32)
    states = np.zeros((rows, 2, 10), np.float32)
    actions = np.zeros((rows, 2), np.int64)
    state = None
    for row in range(rows):
        acted = agent.act(observations[row], state)
        states[row], actions[row] = acted.extras["states"], acted.actions
        state = acted.state
        if row == 2 and state is not None:
            state[0] = 0
    truncated = np.zeros((rows, 2), bool)
    truncated[2, 0] = True
    return Steps(observations, actions, np.ones((rows, 2)), np.zeros((rows, 2), bool), truncated, np.ones((rows, 2), bool),
                 np.array([2]), np.array([0]), rng.standard_normal((1, 3)).astype(np.float32), {"states": states})


def test_the_sequence_sees_the_states_that_acting_saw() -> None:
    agent = make()
    steps = rollout(agent)
    begins = torch.zeros(6, 2, dtype=torch.bool)
    begins[3, 0] = True
    with torch.no_grad():
        states = agent.policy.sequence(torch.from_numpy(steps.observations[:6]), torch.zeros(2, 10), begins)
    kept = states.numpy()[:-1].copy()
    kept[2, 0] = 0
    np.testing.assert_allclose(kept, steps.extras["states"][1:], atol=1e-6)


def test_an_epoch_over_all_environments_is_one_over_each() -> None:
    agent = make(batch_size=100)
    prepared = agent.prepare(rollout(agent))
    assert len(prepared) == 12
    whole = agent._log_probabilities(prepared).reshape(6, 2)
    found = agent._sequences
    for copy in range(2):
        only = [copy]
        agent._path.sequences = Sequences(found.observations[:, only], found.state[only], found.begins[:, only],
                                          found.valid[:, only])
        part = prepared.select(torch.arange(copy, 12, 2))
        torch.testing.assert_close(agent._evaluate(part)[0].log_prob, whole[:, copy])


@pytest.mark.parametrize(("batch_size", "length", "pieces", "minibatches"), [
    (2, 2, 6, 6), (4, 3, 4, 3), (5, 3, 4, 2), (6, 6, 2, 2)])
def test_rollouts_longer_than_a_minibatch_are_cut_and_begin_with_the_states_that_were_acted_with(
        batch_size: int, length: int, pieces: int, minibatches: int) -> None:
    agent = make(batch_size=batch_size, n_epochs=1, learning_rate=1e-12)
    prepared = agent.prepare(rollout(agent))
    whole = agent._log_probabilities(prepared)
    assert agent._pieces.valid.shape == (length, pieces)
    seen: list[int] = []

    def evaluated(part: Any, old: Any, *rest: Any) -> Any:
        torch.testing.assert_close(agent._evaluate(part)[0].log_prob, old)
        seen.append(len(part))
        return False, {}

    agent._minibatch = evaluated  # type: ignore[method-assign]
    agent._epoch(prepared, whole, 1e-12, 0.2, False)
    assert sum(seen) == 12 and len(seen) == minibatches


def test_a_truncated_episode_is_valued_with_its_memory_however_it_is_reset() -> None:
    agent, steps = make(), rollout(make(), rows=3)
    at_once = agent.prepare(steps).advantages  # the last observation is in the side table
    observations = steps.observations.copy()
    observations[3, 0] = steps.final_observations[0]  # gymnasium's NEXT_STEP: it is what is seen next
    none = np.zeros(0, np.int64)
    later = agent.prepare(replace(steps, observations=observations, final_rows=none, final_copies=none,
                                  final_observations=steps.final_observations[:0])).advantages
    torch.testing.assert_close(later, at_once)


def test_a_group_of_environments_without_a_valid_step_is_passed_over() -> None:
    agent = make(batch_size=1)
    steps = rollout(agent)
    steps.valid[:, 1] = False
    before = agent.flat.values.clone()
    agent.update(steps)
    assert agent.flat.values.isfinite().all() and not torch.equal(before, agent.flat.values)


def test_an_update_moves_the_memory_and_saves_and_restores() -> None:
    agent, twin = make(), make()
    before = agent.flat.values.clone()
    steps = rollout(agent)
    metrics = agent.update(steps).metrics
    assert np.isfinite(metrics["train/loss"]) and not torch.equal(before, agent.flat.values)
    twin.load_state_dict(agent.state_dict())
    acted = agent.act(steps.observations[0], deterministic=True)
    again = twin.act(steps.observations[0], deterministic=True)
    np.testing.assert_array_equal(acted.actions, again.actions)
    np.testing.assert_array_equal(acted.state, again.state)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_option_decides(recurrent: bool) -> None:
    agent = registry.make("agent", "ppo", observation_space=SPACE, action_space=spaces.Discrete(2), recurrent=recurrent)
    assert isinstance(agent, RecurrentPPO) is recurrent
