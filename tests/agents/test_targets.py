"""Temporal-difference targets and returns, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolkit.agents import returns, targets


def test_what_is_bootstrapped_stops_at_termination() -> None:
    # 1 + 0.9 * 3 = 3.7 and 1 + 0.9 * 2 = 2.8; the second terminated, so its discount is 0 and the target is the reward.
    outputs = torch.tensor([[3.0, 2.0], [4.0, 2.0]])  # two quantiles of the next action
    target = targets.bootstrapped(torch.tensor([1.0, 2.0]), torch.tensor([0.9, 0.0]), outputs)
    torch.testing.assert_close(target, torch.tensor([[3.7, 2.8], [2.0, 2.0]]))


@given(st.floats(-5, 5))
def test_huber_is_torchs_and_its_gradient_is_autograds(value: float) -> None:
    delta = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    loss = targets.huber(delta)
    theirs = torch.nn.functional.smooth_l1_loss(delta, torch.zeros_like(delta), reduction="none")
    torch.testing.assert_close(loss.detach(), theirs.detach())
    loss.sum().backward()
    torch.testing.assert_close(targets.huber_gradient(delta).detach(), delta.grad)


def test_projection_splits_between_neighbours_and_keeps_the_mass() -> None:
    support = torch.tensor([0.0, 1.0, 2.0])
    p = torch.tensor([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    # Row 0: the atom 1 moves to 0.25 + 0.5 * 1 = 0.75: a quarter to 0, three quarters to 1.
    # Row 1: terminated, everything lies at the reward 5, cut to the largest atom.
    out = targets.project(torch.tensor([0.25, 5.0]), torch.tensor([0.5, 0.0]), p, support)
    torch.testing.assert_close(out, torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_on_a_gpu_the_projection_is_the_same_and_alike_each_time() -> None:
    torch.manual_seed(1)
    given = (torch.randn(64) * 8, torch.rand(64), torch.softmax(torch.randn(64, 51), -1), torch.linspace(-10, 10, 51))
    out, again = (targets.project(*(value.cuda() for value in given)) for _ in range(2))
    torch.testing.assert_close(out.cpu(), targets.project(*given))
    assert torch.equal(out, again)


def test_quantile_huber_by_hand_and_by_autograd() -> None:
    midpoints = torch.tensor([0.25, 0.75])
    theta = torch.tensor([[0.0, 1.0]], requires_grad=True)
    goals = torch.tensor([[0.5, 3.0]])
    # delta (rows: predicted, columns: targets) = [[0.5, 3], [-0.5, 2]]; huber = [[0.125, 2.5], [0.125, 1.5]]
    # weights |tau - (delta < 0)| = [[0.25, 0.25], [0.25, 0.75]]; mean over targets, sum over predictions:
    # (0.25*0.125 + 0.25*2.5)/2 + (0.25*0.125 + 0.75*1.5)/2 = 0.328125 + 0.578125
    loss, slope = targets.quantile_huber(theta, goals, midpoints)
    assert loss.item() == pytest.approx(0.90625)
    loss.sum().backward()
    torch.testing.assert_close(slope.detach(), theta.grad)


def test_advantages_bootstrap_at_truncation_and_not_at_termination() -> None:
    r = np.array([[1.0], [1.0], [1.0]])
    v = np.array([[0.5], [0.5], [0.5]])
    v_next = np.array([[0.5], [10.0], [0.25]])  # the middle step's true next observation is worth 10
    none = np.zeros((3, 1), bool)
    middle = np.array([[False], [True], [False]])
    gamma, lam = 0.5, 0.5
    last = 1 + 0.5 * 0.25 - 0.5
    truncated = returns.generalized_advantages(r, v, v_next, none, middle, gamma, lam)
    second = 1 + 0.5 * 10 - 0.5
    np.testing.assert_allclose(truncated[:, 0], [1 + 0.25 - 0.5 + 0.25 * second, second, last])
    terminated = returns.generalized_advantages(r, v, v_next, middle, none, gamma, lam)
    second = 1 - 0.5
    np.testing.assert_allclose(terminated[:, 0], [1 + 0.25 - 0.5 + 0.25 * second, second, last])


@given(st.integers(1, 12), st.floats(0, 1))
def test_lambda_one_is_the_discounted_return_minus_the_value(steps: int, gamma: float) -> None:
    rng = np.random.default_rng(steps)
    r, v = rng.standard_normal((steps, 2)), rng.standard_normal((steps + 1, 2))
    ended = rng.random((steps, 2)) < 0.3
    ended[-1] = True
    none = np.zeros_like(ended)
    advantages = returns.generalized_advantages(r, v[:-1], v[1:], none, ended, gamma, 1.0)
    np.testing.assert_allclose(advantages, returns.discounted_returns(r, ended, gamma, v[1:]) - v[:-1], atol=1e-9)


def test_next_values_take_the_side_table_where_an_episode_ended() -> None:
    v = np.arange(6.0).reshape(3, 2)
    out = returns.next_values(v, np.array([1]), np.array([0]), np.array([99.0]))
    np.testing.assert_array_equal(out, [[2, 3], [99, 5]])


def test_explained_variance() -> None:
    goal = np.array([1.0, 2.0, 3.0])
    assert returns.explained_variance(goal, goal) == 1
    assert returns.explained_variance(np.full(3, 2.0), goal) == 0
    assert np.isnan(returns.explained_variance(goal, np.ones(3)))
