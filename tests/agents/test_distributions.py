"""Action distributions: densities and hand-written gradients against torch.distributions and autograd, and their samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from toolkit.agents.distributions import MASKED, distribution_for
from toolkit.agents.gsde import ExplorationNoise, StateDependent
from toolkit.errors import UsageError

SPACES = {
    "discrete": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([2, 5, 3]),
    "multi-binary": spaces.MultiBinary((2, 2)),
    "box": spaces.Box(-1, 1, (2, 3), np.float32),
}
FEATURES = 5


def drawn(space: Any, count: int) -> Tensor:
    space.seed(0)
    return torch.from_numpy(np.stack([space.sample() for _ in range(count)]))


def reference(space: Any, outputs: Tensor, log_std: Tensor | None, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy by torch.distributions."""
    if isinstance(space, spaces.Discrete):
        found: Any = torch.distributions.Categorical(logits=outputs)
        return found.log_prob(actions - 2), found.entropy()
    if isinstance(space, spaces.MultiDiscrete):
        each = [torch.distributions.Categorical(logits=piece) for piece in outputs.split([2, 5, 3], -1)]
        logs = [one.log_prob(actions[:, i]) for i, one in enumerate(each)]
        return torch.stack(logs).sum(0), torch.stack([one.entropy() for one in each]).sum(0)
    if isinstance(space, spaces.MultiBinary):
        found = torch.distributions.Bernoulli(logits=outputs)
        return found.log_prob(actions.flatten(1).float()).sum(-1), found.entropy().sum(-1)
    assert log_std is not None
    found = torch.distributions.Normal(outputs, log_std.exp().expand_as(outputs))
    return found.log_prob(actions.flatten(1)).sum(-1), found.entropy().sum(-1)


@pytest.mark.parametrize("name", SPACES)
def test_log_probability_entropy_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    space, count = SPACES[name], 7
    distribution: Any = distribution_for(space)
    outputs = torch.randn(count, distribution.outputs, requires_grad=True)
    log_std = torch.randn(distribution.outputs, requires_grad=True) if distribution.has_log_std else None
    actions, weights = drawn(space, count), torch.randn(count)
    log_prob, entropy = reference(space, outputs, log_std, actions)
    (weights @ log_prob + 0.3 * entropy.sum()).backward()
    bare = None if log_std is None else log_std.detach()
    evaluated = distribution.evaluate(outputs.detach(), bare, distribution.prepare(actions))
    torch.testing.assert_close(evaluated.log_prob, log_prob.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(evaluated.entropy, entropy.detach(), atol=1e-5, rtol=1e-5)
    by_outputs, by_log_std = distribution.backward(evaluated, weights.clone(), 0.3)
    torch.testing.assert_close(by_outputs, outputs.grad, atol=1e-5, rtol=1e-5)
    if log_std is not None:
        torch.testing.assert_close(by_log_std, log_std.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_samples_have_the_probabilities_of_the_outputs(name: str) -> None:
    """The mean log-probability of many samples is minus the entropy."""
    space, count = SPACES[name], 40_000
    distribution: Any = distribution_for(space)
    row = np.random.default_rng(1).normal(size=(1, distribution.outputs)).astype(np.float32)
    outputs = np.repeat(row, count, 0)
    log_std = np.full(distribution.outputs, -0.5, np.float32) if distribution.has_log_std else None
    actions = distribution.sample(outputs, log_std, np.random.default_rng(0))
    assert actions.shape == (count, *space.shape)
    evaluated = distribution.evaluate(torch.from_numpy(outputs), None if log_std is None else torch.from_numpy(log_std),
                                      distribution.prepare(torch.from_numpy(actions)))
    assert float(evaluated.log_prob.mean()) == pytest.approx(-float(evaluated.entropy.mean()), abs=0.05)
    most = distribution.mode(outputs[:1])
    if name != "box":
        assert space.contains(most[0].astype(space.dtype) if name != "discrete" else most[0])


def test_a_masked_action_is_never_drawn_and_does_not_count() -> None:
    distribution: Any = distribution_for(spaces.Discrete(3))
    outputs = np.tile(np.array([5.0, MASKED, 5.0], np.float32), (5000, 1))
    actions = distribution.sample(outputs, None, np.random.default_rng(0))
    assert set(actions.tolist()) == {0, 2}
    evaluated = distribution.evaluate(torch.from_numpy(outputs), None, distribution.prepare(torch.from_numpy(actions)))
    torch.testing.assert_close(evaluated.entropy, torch.full((5000,), float(np.log(2))), atol=1e-5, rtol=0)
    by_outputs, _ = distribution.backward(evaluated, torch.ones(5000), 1.0)
    assert torch.isfinite(by_outputs).all() and (by_outputs[:, 1] == 0).all()


def test_a_space_without_a_distribution_is_named() -> None:
    with pytest.raises(UsageError, match=r"Text.*allowed: Discrete, MultiDiscrete, MultiBinary, Box"):
        distribution_for(spaces.Text(4))


# -- state-dependent exploration


def test_state_dependent_gradients_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    space, count = spaces.Box(-1, 1, (2,), np.float32), 7
    distribution = StateDependent((2,), every=4)
    mean, features = torch.randn(count, 2, requires_grad=True), torch.randn(count, FEATURES)
    log_std = torch.randn(FEATURES, 2, requires_grad=True)
    actions, weights = drawn(space, count), torch.randn(count)
    normal = torch.distributions.Normal(mean, (features**2 @ log_std.exp() ** 2 + 1e-6).sqrt())
    log_prob, entropy = normal.log_prob(actions).sum(-1), normal.entropy().sum(-1)
    (weights @ log_prob + 0.3 * entropy.sum()).backward()
    evaluated = distribution.evaluate(torch.cat([mean.detach(), features], -1), log_std.detach(), distribution.prepare(actions))
    torch.testing.assert_close(evaluated.log_prob, log_prob.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(evaluated.entropy, entropy.detach(), atol=1e-5, rtol=1e-5)
    by_outputs, by_log_std = distribution.backward(evaluated, weights, 0.3)
    torch.testing.assert_close(by_outputs[:, :2], mean.grad, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(by_log_std, log_std.grad, atol=1e-5, rtol=1e-4)
    assert (by_outputs[:, 2:] == 0).all()


def test_noise_lasts_and_depends_on_the_observation_alone_meanwhile() -> None:
    noise, generator = ExplorationNoise(every=3), np.random.default_rng(0)
    features, std = np.array([[1.0, 2.0], [0.5, -1.0]], np.float32), np.full((2, 1), 0.1, np.float32)
    first = [noise.draw(features, std, generator) for _ in range(6)]
    np.testing.assert_array_equal(first[0], first[2])
    assert not np.array_equal(first[2], first[3]) and not np.array_equal(first[0][0], first[0][1])
    np.testing.assert_allclose(noise.draw(2 * features, std, np.random.default_rng(0)).shape, (2, 1))


def test_noise_has_the_deviation_that_the_density_says() -> None:
    noise, generator = ExplorationNoise(every=1), np.random.default_rng(0)
    features, std = np.array([[1.0, 2.0]], np.float32), np.array([[0.3], [0.1]], np.float32)
    values = np.array([noise.draw(features, std, generator)[0, 0] for _ in range(20_000)])
    assert values.std() == pytest.approx(np.sqrt(0.3**2 + 4 * 0.1**2), rel=0.03)


@pytest.mark.parametrize("name", ["ppo", "actor-critic", "reinforce"])
@pytest.mark.parametrize(("space", "options", "words"), [
    (spaces.Discrete(2), {}, "use_sde needs Box actions"),
    (spaces.Box(-1, 1, (1,), np.float32), {"share_network": True}, "separate, feed-forward")])
def test_state_dependent_exploration_says_what_it_needs(name: str, space: Any, options: dict[str, Any], words: str) -> None:
    from toolkit.registry import registry

    with pytest.raises(UsageError, match=words):
        registry.make("agent", name, observation_space=spaces.Box(-1, 1, (3,), np.float32), action_space=space,
                      use_sde=True, **options)


@pytest.mark.parametrize("options", [{}, {"use_sde": True}, {"recurrent": True}], ids=str)
def test_a_learned_deviation_is_acted_with_where_arrays_are_copies(options: dict[str, Any],
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, whose parameters no array shares memory with."""
    from toolkit.registry import registry

    monkeypatch.setattr(Tensor, "cpu", Tensor.clone)
    agent = registry.make("agent", "ppo", observation_space=spaces.Box(-1, 1, (3,), np.float32),
                          action_space=spaces.Box(-9, 9, (1,), np.float32), **options)
    seen = np.ones((200, 3), np.float32)
    assert agent.act(seen).actions.std() > 0.3
    agent.policy.log_std.data.fill_(-9.0)
    assert agent.act(seen).actions.std() < 0.01
