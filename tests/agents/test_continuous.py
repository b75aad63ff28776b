"""SAC and TD3: their updates against plain PyTorch, their actions, their noise, what they refuse."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from toolkit.agents.base import Batches
from toolkit.agents.continuous import ContinuousAgent
from toolkit.agents.networks.mlp import MLP
from toolkit.agents.noise import make_noise
from toolkit.agents.sac import SAC, squash
from toolkit.agents.sac_sde import Limited, StateDependentSAC
from toolkit.agents.td3 import TD3
from toolkit.agents.twin_critics import StackedCritics
from toolkit.core.clock import Clock
from toolkit.core.seeding import Streams
from toolkit.envs.base import Stepped
from toolkit.envs.packing import pack
from toolkit.errors import UsageError
from toolkit.registry import registry
from toolkit.training.collector import fresh_where_ended

SIGHT = spaces.Box(-10, 10, (3,), np.float32)
MOVES = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))
SQUASHING = torch.distributions.TanhTransform()


def made(name: str, observation_space: Any = SIGHT, action_space: Any = MOVES, clock: Clock | None = None, n_envs: int = 1,
         **options: Any) -> Any:
    torch.manual_seed(0)
    chosen = {"network": {"name": "mlp", "hidden_sizes": (16, 8)}, "batch_size": 32, "learning_starts": 0, **options}
    return registry.make("agent", name, observation_space=observation_space, action_space=action_space, n_envs=n_envs,
                         streams=Streams(0), clock=clock or Clock(1000), **chosen)


def phase(count: int, seed: int = 0, size: int = 32) -> Batches:
    rng = np.random.default_rng(seed)
    shape = (count, size)
    actions = rng.uniform(MOVES.low, MOVES.high, (*shape, 2)).astype(np.float32)
    return Batches(rng.normal(size=(*shape, 3)).astype(np.float32), actions,
                   rng.normal(size=shape).astype(np.float32), rng.normal(size=(*shape, 3)).astype(np.float32),
                   rng.random(shape) < 0.3)


def tensors(batches: Batches, k: int) -> tuple[Tensor, ...]:
    o, a, r, n, d = (torch.from_numpy(item[k]) for item in (
        batches.observations, batches.actions, batches.rewards, batches.next_observations, batches.terminated))
    low, high = torch.from_numpy(MOVES.low), torch.from_numpy(MOVES.high)
    return o, 2 * (a - low) / (high - low) - 1, r, n, d.float()


def sequential(widths: tuple[int, ...], parameters: list[Tensor]) -> nn.Sequential:
    """A plain ReLU network with the given weights."""
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), nn.ReLU()]
    twin = nn.Sequential(*layers[:-1])
    for own, theirs in zip(twin.parameters(), parameters, strict=True):
        own.data = theirs.clone()
    return twin


def twins(agent: ContinuousAgent, outputs: int) -> tuple[nn.Sequential, list[nn.Sequential]]:
    """The agent's actor and critics as anyone would write them."""
    critics = [sequential((5, 16, 8, 1), list(critic.parameters())) for critic in agent.critics.critics]
    weights = [*agent.actor.body.parameters(), *agent.actor.head.parameters()]
    return sequential((3, 16, 8, outputs), weights), critics


def values(critics: list[nn.Sequential], observations: Tensor, actions: Tensor) -> Tensor:
    return torch.stack([critic(torch.cat([observations, actions], -1))[:, 0] for critic in critics])


def blend(online: nn.Module, target: nn.Module, tau: float) -> None:
    for own, theirs in zip(online.parameters(), target.parameters(), strict=True):
        theirs.data = (1 - tau) * theirs.data + tau * own.data


def assert_equal(agent: ContinuousAgent, actor: nn.Module, critics: list[nn.Sequential]) -> None:
    own = [*agent.actor.parameters(), *agent.critics.parameters()]
    plain = [*actor.parameters(), *(parameter for critic in critics for parameter in critic.parameters())]
    for ours, theirs in zip(own, plain, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("ent_coef", [None, 0.2])
def test_sac_equals_plain_pytorch(ent_coef: float | None) -> None:
    agent: SAC = made("sac", ent_coef=ent_coef, learning_rate=0.003, gamma=0.9, tau=0.1)
    actor, critics = twins(agent, 4)
    targets = copy.deepcopy(critics)
    log_alpha = torch.tensor([0.0 if ent_coef is None else float(np.log(ent_coef))], requires_grad=True)
    by_actor = torch.optim.Adam(actor.parameters(), lr=0.003)
    by_critics = torch.optim.Adam([p for critic in critics for p in critic.parameters()], lr=0.003)
    by_alpha = torch.optim.Adam([log_alpha], lr=0.003)
    noise = copy.deepcopy(agent.noise)

    def draw(observations: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = actor(observations).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        before = mean + normal.stddev * normals
        actions = torch.tanh(before)
        return actions, (normal.log_prob(before) - SQUASHING.log_abs_det_jacobian(before, actions)).sum(-1)

    for turn in range(3):
        batches = phase(4, turn)
        agent.update(batches)
        normals = torch.from_numpy(noise.standard_normal((4, 64, 2), dtype=np.float32))
        for k in range(4):
            o, a, r, n, d = tensors(batches, k)
            actions, log_prob = draw(o, normals[k, :32])
            alpha = log_alpha.exp().detach()
            if ent_coef is None:
                by_alpha.zero_grad()
                (-(log_alpha * (log_prob.detach() - 2.0)).mean()).backward()
                by_alpha.step()
            with torch.no_grad():
                following, cost = draw(n, normals[k, 32:])
                goal = r + 0.9 * (1 - d) * (values(targets, n, following).amin(0) - alpha * cost)
            by_critics.zero_grad()
            (0.5 * (values(critics, o, a) - goal).square().mean(1).sum()).backward()
            by_critics.step()
            by_actor.zero_grad()
            (alpha * log_prob - values(critics, o, actions).amin(0)).mean().backward()
            by_actor.step()
            for critic, target in zip(critics, targets, strict=True):
                blend(critic, target, 0.1)
    assert_equal(agent, actor, critics)
    torch.testing.assert_close(agent.temperature.log_alpha.detach(), log_alpha.detach(), atol=1e-5, rtol=1e-5)


def test_sac_with_state_dependent_exploration_equals_plain_pytorch() -> None:
    agent: StateDependentSAC = made("sac", use_sde=True, ent_coef=0.2, learning_rate=0.003, gamma=0.9, tau=0.1, log_std_init=-1.0)
    actor, critics = twins(agent, 2)
    log_std = agent.actor.log_std.detach().clone().requires_grad_()
    targets = copy.deepcopy(critics)
    by_actor = torch.optim.Adam([*actor.parameters(), log_std], lr=0.003)
    by_critics = torch.optim.Adam([p for critic in critics for p in critic.parameters()], lr=0.003)
    noise = copy.deepcopy(agent.noise)

    def draw(observations: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        features = actor[:-1](observations)
        mean = actor[-1](features).clamp(-2, 2)
        normal = torch.distributions.Normal(mean, (features**2 @ log_std.exp() ** 2 + 1e-6).sqrt())
        before = mean + features @ (log_std.exp() * normals)
        actions = torch.tanh(before)
        return actions, (normal.log_prob(before) - torch.log(1 - actions**2 + 1e-6)).sum(-1)

    for turn in range(3):
        batches = phase(2, turn)
        agent.update(batches)
        normals = torch.from_numpy(noise.standard_normal((2, 8, 2), dtype=np.float32))
        for k in range(2):
            o, a, r, n, d = tensors(batches, k)
            actions, log_prob = draw(o, normals[k])
            with torch.no_grad():
                following, cost = draw(n, normals[k])
                goal = r + 0.9 * (1 - d) * (values(targets, n, following).amin(0) - 0.2 * cost)
            by_critics.zero_grad()
            (0.5 * (values(critics, o, a) - goal).square().mean(1).sum()).backward()
            by_critics.step()
            by_actor.zero_grad()
            (0.2 * log_prob - values(critics, o, actions).amin(0)).mean().backward()
            by_actor.step()
            for critic, target in zip(critics, targets, strict=True):
                blend(critic, target, 0.1)
    for ours, theirs in zip([*agent.actor.body.parameters(), *agent.actor.head.parameters()], actor.parameters(), strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(agent.actor.log_std.detach(), log_std.detach(), atol=2e-5, rtol=1e-4)


def test_means_past_their_limit_are_led_back_and_not_further_out() -> None:
    means = torch.tensor([-3.0, -3.0, -1.0, 3.0, 3.0], requires_grad=True)
    limited = Limited.apply(means, 2.0)
    limited.backward(torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]))  # a step goes against it
    assert limited.tolist() == [-2, -2, -1, 2, 2]
    assert means.grad is not None and means.grad.tolist() == [0, -1, 1, 1, 0]


def test_td3_equals_plain_pytorch() -> None:
    agent: TD3 = made("td3", learning_rate=0.003, gamma=0.9, tau=0.1, policy_delay=2)
    actor, critics = twins(agent, 2)
    targets, target_actor = copy.deepcopy(critics), copy.deepcopy(actor)
    by_actor = torch.optim.Adam(actor.parameters(), lr=0.003)
    by_critics = torch.optim.Adam([p for critic in critics for p in critic.parameters()], lr=0.003)
    noise = copy.deepcopy(agent.noise)
    updates = 0
    for turn in range(3):
        batches = phase(3, turn)  # an odd count: the delay goes on from phase to phase
        agent.update(batches)
        normals = torch.from_numpy(noise.standard_normal((3, 32, 2), dtype=np.float32))
        for k in range(3):
            o, a, r, n, d = tensors(batches, k)
            with torch.no_grad():
                following = (torch.tanh(target_actor(n)) + (0.2 * normals[k]).clamp(-0.5, 0.5)).clamp(-1, 1)
                goal = r + 0.9 * (1 - d) * values(targets, n, following).amin(0)
            by_critics.zero_grad()
            (values(critics, o, a) - goal).square().mean(1).sum().backward()
            by_critics.step()
            updates += 1
            if updates % 2 == 0:
                by_actor.zero_grad()
                (-values(critics, o, torch.tanh(actor(o)))[0].mean()).backward()
                by_actor.step()
                for critic, target in zip(critics, targets, strict=True):
                    blend(critic, target, 0.1)
                blend(actor, target_actor, 0.1)
    assert_equal(agent, actor, critics)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("name", ["sac", "td3"])
def test_autograd_gives_what_the_fast_path_gives(name: str, layer_norm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = {"name": "mlp", "hidden_sizes": (16, 8), "layer_norm": layer_norm}
    fast = made(name, network=network)
    assert isinstance(fast._critics, StackedCritics)
    monkeypatch.setattr(MLP, "fast_path", lambda self, batch_size: None)
    monkeypatch.setattr("toolkit.agents.twin_critics.stacked_path", lambda *arguments, **options: None)
    slow = made(name, network=network)
    for turn in range(2):
        fast.update(phase(4, turn))
        slow.update(phase(4, turn))
    for ours, theirs in zip(fast.parameters().values(), slow.parameters().values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("mean", [0.3, -3.0, 9.0, -40.0])
def test_squash_gives_the_density_of_its_actions(mean: float) -> None:
    """In one dimension the density of tanh(N(m, s)) integrates to one, and equals the change of variables."""
    outputs, noise = torch.tensor([[mean, -0.7]]), torch.tensor([[1.1]])
    drawn = squash(outputs, noise)
    before = mean + np.exp(-0.7) * 1.1
    log_normal = -0.5 * 1.1**2 + 0.7 - 0.5 * np.log(2 * np.pi)
    # The derivative of tanh is 1 / cosh**2, which is known where 1 - tanh**2 has no digits left.
    assert float(drawn.actions) == pytest.approx(np.tanh(before), abs=1e-6)
    assert float(drawn.log_prob) == pytest.approx(log_normal + 2 * np.log(np.cosh(before)), rel=1e-4)


def test_entropy_brings_a_saturated_policy_back() -> None:
    agent = made("sac", ent_coef=1.0)
    agent.actor.head.bias.data[:2] = torch.tensor([15.0, -15.0])
    first = agent.actor.head.bias[:2].detach().abs().clone()
    for turn in range(5):
        agent.update(phase(4, turn))
    assert bool((agent.actor.head.bias[:2].abs() < first - 0.001).all())


@pytest.mark.parametrize("name", ["sac", "td3"])
@pytest.mark.parametrize("count", [1, 5])
def test_actions_fill_the_bounds_and_warm_up_is_uniform(name: str, count: int) -> None:
    agent = made(name, clock=Clock(1000), n_envs=count, learning_starts=100)
    observations = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32) * 100
    drawn = np.concatenate([agent.act(observations).actions for _ in range(400)])
    assert drawn.dtype == np.float32 and drawn.shape == (400 * count, 2)
    assert (drawn >= MOVES.low).all() and (drawn <= MOVES.high).all()
    assert drawn[:, 0].min() < -1.9 and drawn[:, 0].max() > 1.9 and abs(drawn[:, 1].mean() - 0.5) < 0.1
    first = agent.act(observations, deterministic=True).actions
    np.testing.assert_array_equal(first, agent.act(observations, deterministic=True).actions)


@pytest.mark.parametrize("name", ["sac", "td3", "ppo", "actor-critic"])
@pytest.mark.parametrize("dtype", [np.int8, np.int64])
def test_of_whole_numbers_the_nearest_is_taken(name: str, dtype: Any) -> None:
    whole = spaces.Box(-128, 127, (1,), dtype)
    agent = registry.make("agent", name, observation_space=SIGHT, action_space=whole)
    head = agent.actor.head if name in ("sac", "td3") else agent.policy.actor.head
    head.weight.data.zero_()
    for wanted in (114.75, -115.75):
        place = (wanted + 0.5) / 127.5  # between the bounds, from -1 to 1
        head.bias.data.fill_(np.arctanh(place) if name in ("sac", "td3") else place)
        action = agent.act(np.zeros((1, 3), np.float32), deterministic=True).actions
        assert action.dtype == dtype and action.tolist() == [[round(wanted)]]


WIDE = spaces.Box(np.array([2, -1, -1000, 0, -np.inf], np.float32), np.array([10, 1, 1000, 0.01, np.inf], np.float32))


@pytest.mark.parametrize("name,options", [("ppo", {}), ("ppo", {"recurrent": True}), ("ppo", {"use_sde": True}),
                                          ("actor-critic", {}), ("reinforce", {})])
def test_a_gaussian_policy_begins_in_the_middle_of_its_bounds_and_reaches_them(name: str, options: dict[str, Any]) -> None:
    """A number whose bounds hold 0 and lie 0.1 to 10 from their middle, or have no end, is drawn as it is."""
    agent = registry.make("agent", name, observation_space=SIGHT, action_space=WIDE, n_envs=1, **options)
    head = getattr(agent.policy.actor, "head", agent.policy.actor)
    head.weight.data.zero_()
    for drawn, wanted in ((0.0, [6, 0, 0, 0.005, 0]), (0.5, [8, 0.5, 500, 0.0075, 0.5]), (-2, [2, -1, -1000, 0, -2])):
        head.bias.data.fill_(drawn)
        actions = agent.act(np.zeros((1, 3), np.float32), deterministic=True).actions
        np.testing.assert_allclose(actions[0], wanted, rtol=1e-5, atol=1e-9)


def test_a_policy_of_an_earlier_version_draws_the_environments_own_numbers() -> None:
    agent, later = (registry.make("agent", "ppo", observation_space=SIGHT, action_space=WIDE, n_envs=1) for _ in range(2))
    state = agent.state_dict()
    later.load_state_dict(state)
    assert later.reach is not None
    del state["reaches"]
    later.load_state_dict(state)
    later.policy.actor.head.weight.data.zero_()
    later.policy.actor.head.bias.data.fill_(3)
    assert later.act(np.zeros((1, 3), np.float32), deterministic=True).actions.tolist() == [[3, 1, 3, np.float32(0.01), 3]]


def test_ornstein_uhlenbeck_noise_remembers_and_has_its_deviation() -> None:
    noise, generator, last = make_noise("ornstein-uhlenbeck", 0.5), np.random.default_rng(0), np.zeros((1, 1), np.float32)
    drawn = np.array([(last := noise.draw(last, generator)).item() for _ in range(200_000)])
    # Stationary variance: dt sigma^2 / (1 - (1 - theta dt)^2), about sigma^2 / (2 theta).
    assert drawn.std() == pytest.approx(np.sqrt(0.01 * 0.25 / (1 - (1 - 0.0015) ** 2)), rel=0.15)
    assert np.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(1 - 0.0015, abs=1e-3)


def test_ornstein_uhlenbeck_noise_begins_at_zero_with_each_copys_episode() -> None:
    agent = made("td3", n_envs=2, noise_type="ornstein-uhlenbeck", noise_std=0.5)
    normals = copy.deepcopy(agent.generator).standard_normal((3, 2, 2), dtype=np.float32)
    seen, nothing = np.zeros((2, 3), np.float32), np.zeros(2, bool)
    first = agent.act(seen)
    # At a begin 0.5 * sqrt(0.01) * normal, later 1 - 0.15 * 0.01 of the last noise and such a step.
    np.testing.assert_allclose(first.state, 0.05 * normals[0], rtol=1e-5)
    state = fresh_where_ended(first.state, Stepped(seen, nothing, np.array([False, True]), nothing, None, None))
    second = agent.act(seen, state)
    goes_on, begins = 0.9985 * 0.05 * normals[0, 0] + 0.05 * normals[1, 0], 0.05 * normals[1, 1]
    np.testing.assert_allclose(second.state, [goes_on, begins], rtol=1e-5)
    policy = agent.act(seen, deterministic=True)
    wide = np.array([2.0, 0.5])  # half of what the bounds leave
    np.testing.assert_allclose(second.actions, policy.actions + wide * second.state, atol=1e-5)
    assert policy.state is None and made("td3").act(seen[:1]).state is None, "normal noise does not last"


@pytest.mark.parametrize("name", ["sac", "td3"])
def test_a_loaded_agent_goes_on_as_the_saved_one(name: str) -> None:
    agent, other = made(name), made(name)
    observations = np.ones((1, 3), np.float32)
    agent.update(phase(3))
    agent.act(observations)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    for one in (agent, other):
        one.update(phase(3, 1))
    np.testing.assert_array_equal(agent.act(observations).actions, other.act(observations).actions)
    for ours, theirs in zip(agent.parameters().values(), other.parameters().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["sac", "td3"])
@pytest.mark.parametrize(("space", "words"), [
    (spaces.Discrete(3), "dqn"),
    (spaces.Box(-np.inf, np.inf, (1,), np.float32), "finite bounds"),
    (spaces.Box(-3e38, 3e38, (1,), np.float32), "not by more than float32 can hold"),
    (spaces.Box(np.array([-1, 0], np.float32), np.array([1, 0], np.float32)), "bounds that differ")])
def test_a_space_it_cannot_use_is_named(name: str, space: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made(name, action_space=space)


@pytest.mark.parametrize("name", ["sac", "td3"])
def test_pictures_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="nature-cnn"):
        made(name, observation_space=spaces.Box(0, 255, (3, 84, 84), np.uint8))


@pytest.mark.parametrize("name", ["sac", "td3"])
def test_dict_observations_are_learned_from(name: str) -> None:
    space = spaces.Dict({"place": spaces.Discrete(4), "speed": spaces.Box(-1, 1, (2,), np.float32)})
    space.seed(0)
    agent = made(name, observation_space=space)
    rows = np.stack([pack(space, space.sample()) for _ in range(64)]).reshape(2, 32, -1)
    before = {key: value.clone() for key, value in agent.parameters().items()}
    agent.update(replace(phase(2), observations=rows, next_observations=rows))
    assert all(not torch.equal(before[key], value) for key, value in agent.parameters().items())
    assert agent.act(rows[0, :1]).actions.shape == (1, 2)


@pytest.mark.parametrize(("name", "options"), [("sac", {}), ("sac", {"use_sde": True}), ("td3", {})])
def test_the_average_of_the_last_actors_acts_at_the_end(name: str, options: dict[str, Any]) -> None:
    clock = Clock(100, 79)
    agent, twin = (made(name, clock=clock, average_fraction=0.2, learning_rate=0.01, **options) for _ in range(2))
    observations = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    newest = made(name, clock=clock, **options)

    def by_the_newest() -> Any:
        newest.flat_actor.values.copy_(agent.flat_actor.values)
        return newest.act(observations, deterministic=True).actions

    agent.update(phase(2))
    np.testing.assert_array_equal(agent.act(observations, deterministic=True).actions, by_the_newest())
    seen = []
    for step in (80, 90, 100):
        clock.step = step
        agent.update(phase(2, seed=step))
        seen.append(agent.flat_actor.values.clone())
    acted = agent.act(observations, deterministic=True).actions
    assert not np.allclose(acted, by_the_newest(), atol=1e-5)
    newest.flat_actor.values.copy_(torch.stack(seen).mean(0))
    np.testing.assert_allclose(acted, newest.act(observations, deterministic=True).actions, atol=1e-6)
    twin.load_state_dict(copy.deepcopy(agent.state_dict()))
    np.testing.assert_array_equal(twin.act(observations, deterministic=True).actions, acted)
    clock.budget = 1000  # extended: the average belongs to the last part of the new budget
    agent.update(phase(1))
    np.testing.assert_array_equal(agent.act(observations, deterministic=True).actions, by_the_newest())


def test_an_entropy_coefficient_that_is_given_is_kept_beside_the_networks_of_another_run() -> None:
    source = made("sac", ent_coef=0.2)
    fixed, learned = made("sac", ent_coef=0.7), made("sac")
    for agent in (fixed, learned):
        agent.initialise(source.state_dict())
    assert float(fixed.temperature.log_alpha.exp()) == pytest.approx(0.7)
    assert float(learned.temperature.log_alpha.exp()) == pytest.approx(0.2)


@pytest.mark.parametrize(("theirs", "ours", "said"), [
    (True, False, "its networks saw observations normalised, and here they would see others. Add --normalize-observations"),
    (False, True, "its networks saw observations as they are, and here they would see others. Leave out --normalize-")])
def test_networks_are_not_taken_over_to_see_other_observations(theirs: bool, ours: bool, said: str) -> None:
    source = made("td3", normalize_observations=theirs)
    made("td3", normalize_observations=theirs).initialise(source.state_dict())
    with pytest.raises(UsageError, match=said):
        made("td3", normalize_observations=ours).initialise(source.state_dict())
