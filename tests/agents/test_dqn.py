"""DQN: its updates against a plain implementation, its schedules at exact steps, what it never does."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from toolkit.agents.base import Batches
from toolkit.agents.checks import NonFinite
from toolkit.agents.dqn import DQN
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry

SIGHT = spaces.Box(-10, 10, (3,), np.float32)
CHOICES = spaces.Discrete(4)


def made(clock: Clock | None = None, observation_space: Any = SIGHT, action_space: Any = CHOICES, seed: int = 0,
         **options: Any) -> DQN:
    torch.manual_seed(seed)
    chosen = {"network": {"name": "mlp", "hidden_sizes": (16, 8)}, "batch_size": 32, **options}
    agent: DQN = registry.make("agent", "dqn", observation_space=observation_space, action_space=action_space,
                               streams=Streams(seed), clock=clock or Clock(1000), **chosen)
    return agent


def phase(count: int, size: int = 32, seed: int = 0, actions: int = 4, start: int = 0, scale: float = 1.0) -> Batches:
    rng = np.random.default_rng(seed)
    shape = (count, size)
    return Batches(rng.normal(size=(*shape, 3)).astype(np.float32), rng.integers(actions, size=shape) + start,
                   (scale * rng.normal(size=shape)).astype(np.float32), rng.normal(size=(*shape, 3)).astype(np.float32),
                   rng.random(shape) < 0.3)


def plain_module(agent: DQN) -> nn.Sequential:
    """The agent's online network as anyone would write it, with the same weights."""
    twin = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
    for own, theirs in zip(twin.parameters(), agent.parameters().values(), strict=True):
        own.data = theirs.clone()
    return twin


# -- updates


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("limit", [0.05, 10.0])
@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_training_phase_equals_plain_pytorch(double: bool, loss: str, limit: float, schedule: str) -> None:
    clock = Clock(1000, 250)
    agent = made(clock, double=double, loss=loss, max_grad_norm=limit, gamma=0.9, learning_rate=0.01,
                 learning_rate_schedule=schedule, target_update_interval=100_000)
    online = plain_module(agent)
    target = copy.deepcopy(online)
    # A quarter of the budget is done.
    optimizer = torch.optim.Adam(online.parameters(), lr=0.01 * (0.75 if schedule == "linear" else 1.0))
    losses = []
    for turn in range(2):
        batches = phase(6, seed=turn, scale=3.0)
        updated = agent.update(batches)
        losses = []
        for k in range(6):
            o, a, r, n, d = (torch.from_numpy(item[k]) for item in (
                batches.observations, batches.actions, batches.rewards, batches.next_observations, batches.terminated))
            with torch.no_grad():
                following = target(n)
                best = (online(n) if double else following).argmax(1, keepdim=True)
                goal = r + 0.9 * (1 - d.float()) * following.gather(1, best)[:, 0]
            chosen = online(o).gather(1, a[:, None])[:, 0]
            value = nn.functional.smooth_l1_loss(chosen, goal) if loss == "huber" else 0.5 * nn.functional.mse_loss(chosen, goal)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(online.parameters(), limit)
            optimizer.step()
            losses.append(value.item())
    for own, theirs in zip(agent.parameters().values(), online.parameters(), strict=True):
        torch.testing.assert_close(own, theirs.detach(), atol=1e-6, rtol=1e-5)
    assert updated.metrics["train/loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert updated.metrics["train/n_updates"] == 12
    assert updated.metrics["train/learning_rate"] == pytest.approx(0.0075 if schedule == "linear" else 0.01)


def test_truncation_bootstraps_and_termination_does_not() -> None:
    """One transition; the target network gives 2 for every action there: targets 1 + 0.5 * 2 and 1."""
    for terminated, target in ((False, 2.0), (True, 1.0)):
        agent = made(gamma=0.5, batch_size=1, double=True)
        with torch.no_grad():
            agent.flat_target.values.zero_()
            agent.target.advantage.bias.fill_(2.0)
            agent.flat.values.zero_()
        agent._target_step = agent.clock.step
        one = Batches(np.ones((1, 1, 3), np.float32), np.zeros((1, 1), int), np.ones((1, 1), np.float32),
                      np.ones((1, 1, 3), np.float32), np.array([[terminated]]))
        updated = agent.update(one)
        # Online values are 0, so the temporal difference is the target itself, and its Huber loss is target - 1/2.
        assert updated.metrics["train/loss"] == pytest.approx(target - 0.5)
        assert updated.priorities is not None and updated.priorities.tolist() == [[target]]


def test_importance_weights_scale_each_transitions_pull() -> None:
    """Weight zero: as if it were not there (Adam's step is then zero too)."""
    agent, batches = made(), phase(1)
    before = agent.flat.values.clone()
    batches.weights = np.zeros((1, 32), np.float32)
    agent.update(batches)
    assert torch.equal(agent.flat.values, before)


def test_given_discounts_go_before_gamma() -> None:
    agent, other = made(gamma=0.9), made(gamma=0.5)
    batches = phase(2)
    batches.discounts = np.full((2, 32), 0.5, np.float32)
    agent.update(batches)
    batches.discounts = None
    other.update(batches)
    assert torch.equal(agent.flat.values, other.flat.values)


def test_actions_that_do_not_begin_at_zero_are_the_same_actions() -> None:
    shifted, plain = made(action_space=spaces.Discrete(4, start=-7)), made()
    observations = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_array_equal(shifted.act(observations, deterministic=True).actions + 7,
                                  plain.act(observations, deterministic=True).actions)
    shifted.update(phase(2, start=-7))
    plain.update(phase(2))
    assert torch.equal(shifted.flat.values, plain.flat.values)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    agent, batches = made(Clock(1000, 77)), phase(1)
    batches.observations[0, 3, 1] = np.nan
    before = agent.flat.values.clone()
    with pytest.raises(NonFinite, match="not finite.*step 77, update 0"):
        agent.update(batches)
    assert torch.equal(agent.flat.values, before)


# -- the target network


def moved(tau: float, steps: list[int], interval: int = 100) -> list[float]:
    """Where a target value that starts at 0 is after a phase at each of ``steps``, when the online value is 1."""
    clock = Clock(10_000)
    agent = made(clock, tau=tau, target_update_interval=interval, learning_rate=1e-30)
    agent.flat_target.values.zero_()
    agent.flat.values.fill_(1.0)
    found = []
    for step in steps:
        clock.step = step
        agent.update(phase(1))
        found.append(round(float(agent.flat_target.values[0]), 5))
    return found


def test_the_target_is_copied_where_a_multiple_is_crossed() -> None:
    assert moved(1.0, [99]) == [0.0]
    assert moved(1.0, [100]) == [1.0]
    assert moved(1.0, [101]) == [1.0]


def test_a_soft_target_moves_once_for_every_multiple_crossed() -> None:
    # 1 - 0.75 ** crossings: none, one at 100, two more at 200 and 300, none, then one at 400.
    assert moved(0.25, [99, 100, 310, 399, 400]) == [0.0, 0.25, 0.57812, 0.57812, 0.68359]
    assert moved(0.5, [4], interval=1) == [0.9375]


def test_the_counting_of_crossings_is_saved() -> None:
    clock = Clock(10_000)
    agent = made(clock, target_update_interval=100, learning_rate=1e-30)
    clock.step = 150
    agent.update(phase(1))
    twin = made(clock, target_update_interval=100, learning_rate=1e-30)
    twin.load_state_dict(agent.state_dict())
    twin.flat_target.values.zero_()
    clock.step = 199
    twin.update(phase(1))
    assert not twin.flat_target.values.any()
    clock.step = 200
    twin.update(phase(1))
    assert torch.equal(twin.flat_target.values, twin.flat.values)


# -- exploration


def test_epsilon_falls_in_a_straight_line_over_its_share_of_the_run() -> None:
    clock = Clock(1000)
    agent = made(clock, exploration_initial_eps=0.9, exploration_final_eps=0.1, exploration_fraction=0.4)
    expected = {0: 0.9, 1: 0.898, 100: 0.7, 200: 0.5, 399: 0.102, 400: 0.1, 401: 0.1, 1000: 0.1}
    for step, epsilon in expected.items():
        clock.step = step
        assert agent.epsilon == pytest.approx(epsilon)
    clock.budget = 2000  # extended: the curve of the new budget
    clock.step = 400
    assert agent.epsilon == pytest.approx(0.5)


def test_a_fraction_of_zero_is_the_final_epsilon_at_once() -> None:
    assert made(exploration_fraction=0.0, exploration_final_eps=0.07).epsilon == 0.07
    assert made(noisy=True).epsilon == 0.0


def share_of_greedy(agent: DQN, count: int = 4000) -> float:
    observations = np.ones((count, 3), np.float32)
    greedy = agent.act(observations[:1], deterministic=True).actions[0]
    return float((agent.act(observations).actions == greedy).mean())


def test_actions_are_random_before_learning_starts_and_then_as_epsilon_says() -> None:
    clock = Clock(1000)
    agent = made(clock, learning_starts=500, exploration_fraction=0.1, exploration_final_eps=0.2)
    clock.step = 499
    assert share_of_greedy(agent) == pytest.approx(0.25, abs=0.03)
    clock.step = 500
    # 0.8 + 0.2 / 4: a random action may be the greedy one.
    assert share_of_greedy(agent) == pytest.approx(0.85, abs=0.03)


def test_random_actions_last_as_long_as_the_zeta_distribution_says() -> None:
    """Exponent 2: one step in 1 / zeta(2) = 0.608 of all, two in a quarter of that; the action stays until they are over."""
    agent, observations = made(exploration_zeta=2.0), np.ones((8000, 3), np.float32)
    first = agent.act(observations)
    assert first.state is not None
    left = first.state[:, 0]
    assert (left == 0).mean() == pytest.approx(0.608, abs=0.02) and (left == 1).mean() == pytest.approx(0.152, abs=0.02)
    second = agent.act(observations, first.state)
    assert second.state is not None
    np.testing.assert_array_equal(second.actions[left > 0], first.actions[left > 0])
    np.testing.assert_array_equal(second.state[left > 0, 0], left[left > 0] - 1)
    np.testing.assert_allclose(np.bincount(second.actions[left == 0], minlength=4) / (left == 0).sum(), 0.25, atol=0.03)


def test_a_noisy_network_takes_no_random_actions_that_could_last() -> None:
    with pytest.raises(UsageError, match="--exploration-zeta 2: .* add --noisy false"):
        made(noisy=True, exploration_zeta=2.0)


def test_a_lasting_action_ends_where_it_is_not_allowed_any_more() -> None:
    agent = made(Clock(1000, 500), learning_starts=100, exploration_fraction=0.0, exploration_final_eps=0.0, exploration_zeta=2.0)
    state = np.array([[5, 2], [5, 2], [0, 2]])
    acted = agent.act(np.ones((3, 3), np.float32), state, np.array([[True] * 4, [True, True, False, True], [True] * 4]))
    assert acted.state is not None and acted.state[:, 0].tolist() == [4, 0, 0]
    assert acted.actions[0] == 2 and acted.actions[1] != 2
    greedy = agent.act(np.ones((3, 3), np.float32), deterministic=True).actions
    assert acted.actions[2] == greedy[2]


def test_every_action_is_explored_evenly() -> None:
    clock = Clock(1000)
    counts = np.bincount(made(clock).act(np.ones((8000, 3), np.float32)).actions, minlength=4)
    np.testing.assert_allclose(counts / 8000, 0.25, atol=0.02)


def test_deterministic_actions_are_greedy_and_draw_nothing() -> None:
    agent = made()
    observations = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    before = agent.generator.bit_generator.state
    with torch.no_grad():
        expected = agent.online(torch.from_numpy(observations))[..., 0].argmax(1).numpy()
    np.testing.assert_array_equal(agent.act(observations, deterministic=True).actions, expected)
    assert agent.generator.bit_generator.state == before


@pytest.mark.parametrize("step", [0, 300, 999])
def test_masked_actions_are_never_chosen(step: int) -> None:
    agent = made(Clock(1000, step), learning_starts=100, exploration_final_eps=0.5)
    rng = np.random.default_rng(1)
    mask = rng.random((3000, 4)) < 0.4
    mask[np.arange(3000), rng.integers(4, size=3000)] = True  # one at least is allowed
    observations = rng.normal(size=(3000, 3)).astype(np.float32)
    for deterministic in (False, True):
        chosen = agent.act(observations, mask=mask, deterministic=deterministic).actions
        assert mask[np.arange(3000), chosen].all()
        assert set(chosen.tolist()) == {0, 1, 2, 3}


def test_allowed_actions_are_explored_evenly() -> None:
    mask = np.tile([True, False, True, True], (9000, 1))
    chosen = made().act(np.ones((9000, 3), np.float32), mask=mask).actions
    np.testing.assert_allclose(np.bincount(chosen, minlength=4) / 9000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.02)


# -- saving


@pytest.mark.parametrize("options", [{}, {"dueling": True}, {"noisy": True}], ids=["plain", "dueling", "noisy"])
def test_a_restored_agent_acts_and_learns_the_same(options: dict[str, Any]) -> None:
    clock = Clock(1000, 600)
    agent, twin = made(clock, **options), made(clock, seed=5, **options)
    for _ in range(2):
        agent.update(phase(2))
        agent.act(np.ones((3, 3), np.float32))
    twin.load_state_dict(copy.deepcopy(agent.state_dict()))
    observations = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    for turn in range(3):
        np.testing.assert_array_equal(agent.act(observations).actions, twin.act(observations).actions)
        assert agent.update(phase(2, seed=turn)).metrics == twin.update(phase(2, seed=turn)).metrics
    assert torch.equal(agent.flat.values, twin.flat.values)
    assert torch.equal(agent.flat_target.values, twin.flat_target.values)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_average_of_the_last_part_acts_at_the_end(noisy: bool) -> None:
    clock = Clock(100, 60)
    agent, last = (made(clock, average_fraction=0.2, learning_rate=0.01, noisy=noisy) for _ in range(2))
    observations = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    seen = []
    for step in (60, 79, 80, 90, 100):
        clock.step = step
        agent.update(phase(2, seed=step))
        if step < 80:
            np.testing.assert_array_equal(agent.act(observations, deterministic=True).actions, greedy(agent, observations))
        else:
            seen.append(agent.flat.values.clone())
    assert agent.average is not None and agent.average.count == 3
    newest = agent.flat.values.clone()
    acted = agent.act(observations, deterministic=True).actions
    last.load_state_dict(copy.deepcopy(agent.state_dict()))
    np.testing.assert_array_equal(last.act(observations, deterministic=True).actions, acted)
    agent.flat.values.copy_(torch.stack(seen).mean(0))
    np.testing.assert_array_equal(acted, greedy(agent, observations))
    assert not torch.allclose(newest, agent.flat.values)
    clock.budget = 1000  # extended: the average belongs to the last part of the new budget
    agent.update(phase(1))
    np.testing.assert_array_equal(agent.act(observations, deterministic=True).actions, greedy(agent, observations))


def greedy(agent: DQN, observations: Any) -> Any:
    """The newest network's best actions, by the module itself."""
    agent.online.use_noise(False)
    with torch.no_grad():
        return agent.online(torch.from_numpy(observations))[..., 0].argmax(1).numpy()


def test_initialise_takes_the_networks_and_nothing_else() -> None:
    agent, fresh = made(), made(seed=5)
    agent.update(phase(3))
    generator = fresh.generator.bit_generator.state
    fresh.initialise(agent.state_dict())
    assert torch.equal(fresh.flat.values, agent.flat.values)
    assert torch.equal(fresh.flat_target.values, agent.flat.values), "the target begins as a copy of the online network"
    assert fresh.generator.bit_generator.state == generator
    assert not fresh.optimizer.state_dict()["first_moment"].any() and fresh._updates == 0
    observations = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(fresh._outputs(observations), agent._outputs(observations))


def test_other_action_spaces_are_refused_with_the_agents_that_can() -> None:
    with pytest.raises(UsageError, match=r"dqn acts in Discrete action spaces; this environment's is Box.*can: .*ppo"):
        made(action_space=spaces.Box(-1, 1, (2,), np.float32))


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiBinary(3), spaces.Box(0, 255, (4, 5, 3), np.uint8),
                                   spaces.Box(-1, 1, (2, 2), np.float64)], ids=["discrete", "bits", "picture", "matrix"])
def test_it_learns_from_any_observations(space: Any) -> None:
    agent = made(observation_space=space, batch_size=8, learning_rate=5e-3)
    space.seed(0)
    seen = np.stack([[space.sample() for _ in range(8)] for _ in range(2)])
    batches = Batches(seen, np.zeros((2, 8), int), np.ones((2, 8), np.float32), seen, np.ones((2, 8), bool))
    first = agent.update(batches).metrics["train/loss"]
    for _ in range(60):
        last = agent.update(batches).metrics["train/loss"]
    assert last < 0.5 * first
    assert agent.act(seen[0], deterministic=True).actions.shape == (8,)


def test_steps_to_sum_are_said_once_and_to_a_buffer_that_sums(only_here: None) -> None:
    assert made(n_step=3).buffer.options["n_step"] == 3
    assert made(buffer={"name": "n-step"}).buffer.options.get("n_step", 3) == 3
    with pytest.raises(UsageError, match="--buffer.gamma 0.5 and the agent's gamma 0.99 differ. Say it once: --gamma 0.5"):
        made(buffer={"name": "uniform", "gamma": 0.5})
    assert made(buffer={"name": "uniform", "gamma": 0.5}, gamma=0.5).buffer.options["gamma"] == 0.5
    with pytest.raises(UsageError, match="--buffer.n-step 5 and the agent's n_step 3 differ. Say it once: --n-step 5"):
        made(n_step=3, buffer={"name": "uniform", "n_step": 5})
    registry.register("buffer", "ring", summary="Of single steps.")(object)
    with pytest.raises(UsageError, match="the buffer ring has no n_step"):
        made(n_step=3, buffer={"name": "ring"})
    with pytest.raises(UsageError, match="the buffer 'rollout' is not one for transitions: it is for rollouts. Allowed here: n"):
        made(buffer={"name": "rollout"})
